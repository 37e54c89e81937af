package bus

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
)

// connect connects to the fleet's account and, if it is another, to that of the vault.
func (b *Bus) connect(ctx context.Context, cfg Config, addr string) error {
	b.vault = b
	options, err := b.options(cfg, cfg.Credentials, cfg.Role)
	if err != nil {
		return err
	}
	if cfg.Vault == "" {
		return b.dial(ctx, cfg.URL, addr, options)
	}
	b.links.needed = 2
	if err := b.dial(ctx, cfg.URL, addr, options); err != nil {
		return err
	}
	vault := &Bus{log: b.log, batches: make(chan struct{}, maxBatches), replicas: b.replicas}
	options, err = b.options(cfg, cfg.Vault, vaultOf(cfg.Role))
	if err == nil {
		err = vault.dial(ctx, cfg.URL, addr, options)
	}
	if err != nil {
		b.nc.Close()
		return fmt.Errorf("the vault: %w", err)
	}
	b.vault, vault.vault = vault, vault
	return nil
}

// dial connects; addr is the URL as it may be shown.
func (b *Bus) dial(ctx context.Context, url, addr string, options []nats.Option) error {
	for {
		nc, err := nats.Connect(url, options...)
		if err == nil {
			b.nc = nc
			b.js, err = jetstream.New(nc, jetstream.WithDefaultTimeout(requestTimeout))
			return err
		}
		if final(err) {
			return err
		}
		b.log.InfoContext(ctx, "waiting for NATS", "addr", addr, "error", err)
		if pause(ctx, connectPause) != nil {
			return err
		}
	}
}

// final tells errors that waiting does not cure.
func final(err error) bool {
	_, certificate := errors.AsType[*tls.CertificateVerificationError](err)
	return certificate || errors.Is(err, nats.ErrAuthorization) || errors.Is(err, nats.ErrAuthExpired) ||
		errors.Is(err, nats.ErrSecureConnRequired) || errors.Is(err, nats.ErrSecureConnWanted)
}

// options are those of one connection, which proves itself by a file.
func (b *Bus) options(cfg Config, file string, role Role) ([]nats.Option, error) {
	identity, err := cfg.identity(file, role)
	return append([]nats.Option{
		nats.Name(cfg.Name), nats.MaxReconnects(-1), nats.ReconnectWait(retryPause),
		nats.PingInterval(pingInterval),
		nats.ReconnectBufSize(-1), // what cannot be sent must fail, not be kept and forgotten
		nats.ConnectHandler(func(*nats.Conn) { b.links.stands(true) }),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			b.links.stands(false)
			if err != nil {
				b.log.Warn("connection to NATS lost", "error", err)
			}
		}),
		nats.ReconnectHandler(func(*nats.Conn) {
			b.links.stands(true)
			select {
			case b.restored <- struct{}{}:
			default: // somebody is told already
			}
			b.log.Info("connection to NATS restored")
		}),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			if what, ok := forbidden(err); ok {
				b.refusals.note(what)
				b.log.Error("NATS refuses what this client has no permission for: see docs/runbooks/RekindleNATSRefuses.md", "reason", what)
				return
			}
			b.log.Warn("NATS reports a problem", "error", err)
		}),
	}, identity...), err
}

// links counts the connections that stand. They are as good as one: all or none.
type links struct {
	needed int
	tell   func(connected bool) // when all stand, and when they do no more, in order

	mu    sync.Mutex
	count int
}

// stands notes that one more stands, or one less.
func (l *links) stands(now bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := l.count == l.needed
	if l.count--; now {
		l.count += 2
	}
	if all != (l.count == l.needed) {
		l.tell(!all)
	}
}

// refusals are what the server has refused for lack of permission. It says so beside the
// request, which remains without an answer.
type refusals struct {
	counter prometheus.Counter

	mu    sync.Mutex
	what  string
	ended context.CancelFunc // of who waits for an answer that would not come
}

func newRefusals() *refusals {
	return &refusals{counter: prometheus.NewCounter(prometheus.CounterOpts{
		Name: "rekindle_nats_refused_total",
		Help: "What the NATS server has refused this process for lack of permission: nothing, unless its credentials are not those of its role.",
	})}
}

func (r *refusals) note(what string) {
	r.counter.Inc()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.what == "" {
		r.what = what
	}
	if r.ended != nil {
		r.ended()
	}
}

// end returns a context that ends when something is refused, until stop is called.
func (r *refusals) end(ctx context.Context) (refused context.Context, stop func()) {
	refused, cancel := context.WithCancel(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = cancel
	return refused, func() {
		cancel()
		r.mu.Lock()
		defer r.mu.Unlock()
		r.ended = nil
	}
}

// first returns what was refused first, if anything was.
func (r *refusals) first() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.what
}

// Refused returns a collector of how often the server has refused something for lack of
// permission.
func (b *Bus) Refused() prometheus.Collector { return b.refusals.counter }
