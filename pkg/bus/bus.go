package bus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Config says how to reach the server.
type Config struct {
	// URL may hold several servers, separated by commas, and credentials.
	URL string
	// User and Password are used when the URL holds none.
	User, Password string
	// Role is what the client does in the fleet, where the server admits each client for
	// what it does. Zero is for who may do everything, and declares the streams.
	Role Role
	// Credentials is a file that proves who the client is: the seed of an nkey, or a JWT
	// and the seed of its key. Empty means that nothing does, or that the URL does.
	Credentials string
	// Vault is the same for the account that the vault is in, where that is another.
	Vault string
	// CA is a file with the certificates that vouch for the server, if not those that the
	// machine trusts.
	CA string
	// Name is how this client shows in the server's lists.
	Name string
	// Replicas of every stream: 1, or 3 or 5 on a cluster.
	Replicas int
	// Audit is how much of the audit trail is kept.
	Audit AuditKept
	// OnConnected, if not nil, is told when the connection stands and when it is
	// lost, in the order of events and never twice at a time. It must not block.
	OnConnected func(connected bool)
	// Local is the clock of this machine; nil means time.Now.
	Local  func() time.Time
	Logger *slog.Logger
}

// AuditKept is how much of the audit trail is kept: what is older, or over, goes. Zero
// leaves it as it is, or at the default.
type AuditKept struct {
	Keep  time.Duration
	Bytes int64
}

// Bus is a connection to the fleet's NATS. It reconnects for ever, unless the
// server refuses its credentials; whatever uses it then ends with an error.
// A Bus is safe for concurrent use.
type Bus struct {
	nc       *nats.Conn
	js       jetstream.JetStream
	role     Role
	vault    *Bus // to the account of the vault: itself, or one that has no more than a connection
	log      *slog.Logger
	replicas int
	audit    AuditKept
	lane     limits
	batches  chan struct{} // slots for atomic batches, see commitBatch
	steady   steadiness
	clock    clock
	said     atomic.Int64  // how bad the clock of this machine was said to be, as a level
	restored chan struct{} // filled when the connection stands again
	links    *links
	refusals *refusals
}

const (
	// requestTimeout bounds one request to the server, unless its context ends
	// earlier.
	requestTimeout = 5 * time.Second
	// retryPause is between two attempts at what will work again soon.
	retryPause = 250 * time.Millisecond
	// pingInterval is a third of the time after which a server that vanished
	// without a word is given up.
	pingInterval = 5 * time.Second
	// connectPause is between two attempts at a server that is not up yet.
	connectPause = time.Second
)

// Connect connects, refuses a server that is too old or has no JetStream, and
// makes sure that the streams are there. It waits for a server that is not up
// yet until ctx ends. Its errors show no credentials.
func Connect(ctx context.Context, cfg Config) (*Bus, error) { return start(ctx, cfg, usual()) }

func start(ctx context.Context, cfg Config, lane limits) (*Bus, error) {
	addr, err := address(cfg.URL)
	if err != nil {
		return nil, err
	}
	if cfg.Local == nil {
		cfg.Local = time.Now
	}
	b := &Bus{
		log: cfg.Logger, role: cfg.Role, replicas: max(1, cfg.Replicas), audit: cfg.Audit, lane: lane, batches: make(chan struct{}, maxBatches),
		clock: clock{local: cfg.Local}, restored: make(chan struct{}, 1), links: &links{needed: 1}, refusals: newRefusals(),
	}
	b.links.tell = func(connected bool) {
		b.steady.connected(connected)
		if cfg.OnConnected != nil {
			cfg.OnConnected(connected)
		}
	}
	if err := b.connect(ctx, cfg, addr); err != nil {
		return nil, fmt.Errorf("connect to NATS at %s: %w", addr, err)
	}
	if err := b.prepare(ctx); err != nil {
		b.Close()
		return nil, fmt.Errorf("NATS at %s: %w", addr, err)
	}
	return b, nil
}

// prepare checks the server, declares the streams and asks for the time. It waits for
// a cluster that has no leader yet.
func (b *Bus) prepare(ctx context.Context) error {
	if v := b.nc.ConnectedServerVersion(); older(v, MinServer) {
		return fmt.Errorf("the server has version %s, but at least %s is needed: upgrade it", v, MinServer)
	}
	asking, stop := b.refusals.end(ctx)
	defer stop()
	for {
		err := translate(b.stand(asking))
		for i := 0; err == nil && i < measurements; i++ {
			err = b.measure(asking)
		}
		if what := b.refusals.first(); err != nil && what != "" {
			return fmt.Errorf("the server refuses this client what %s: %s", b.role.needs(), what)
		}
		if !errors.Is(err, ErrUnavailable) {
			return err
		}
		b.log.InfoContext(ctx, "waiting for JetStream", "error", err)
		if pause(ctx, connectPause) != nil {
			return err
		}
	}
}

// stand makes sure that the streams are there.
func (b *Bus) stand(ctx context.Context) error {
	if b.role.declares() {
		return b.declare(ctx)
	}
	return b.check(ctx)
}

// Connected reports whether the connection stands at this moment.
func (b *Bus) Connected() bool { return b.nc.IsConnected() && b.vault.nc.IsConnected() }

// closed returns why the connection is closed, or nil when it is not.
func (b *Bus) closed() error {
	for _, nc := range []*nats.Conn{b.nc, b.vault.nc} {
		if nc.IsClosed() {
			return fmt.Errorf("the connection to NATS is closed: %w", cmp.Or(nc.LastError(), nats.ErrConnectionClosed))
		}
	}
	return nil
}

// Close sends what is buffered and closes the connection.
func (b *Bus) Close() {
	if b.Connected() {
		_ = b.nc.FlushTimeout(time.Second) //nolint:errcheck // nothing is lost that was acknowledged
	}
	b.nc.Close()
	b.vault.nc.Close()
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
