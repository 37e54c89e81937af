package sandbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// Limits that nothing configures.
const (
	maxTokenBody   = 64 << 10         // bytes of a request to /token or /introspect
	maxControlBody = 256 << 10        // bytes of a client document
	maxHeader      = 32 << 10         // bytes of a request's header
	maxListed      = 10_000           // ledger entries in one answer
	maxWait        = 30 * time.Second // one wait for requests over HTTP
	drain          = 5 * time.Second  // between stopping softly and cutting off
)

// Defaults of Config.
const (
	defaultPrefix     = "sandbox-token-"
	defaultLifetime   = 10 * time.Hour
	defaultMaxClients = 4096
	defaultLedgerSize = 512
)

// Config configures a Server. The zero value is a server without clients that
// accepts only those that are registered.
type Config struct {
	// OpenClients accepts any client id with any secret and registers it when it
	// first calls. Registered clients keep their own rules.
	OpenClients bool
	// TokenPrefix starts every code and token, so that a search for leaks can find
	// them. Default "sandbox-token-".
	TokenPrefix string
	// Lifetime of a token whose step does not say. Default 10 h, which satisfies
	// the default windows of contract A11 for every kind.
	Lifetime time.Duration
	// MaxClients bounds the registered clients. Default 4096.
	MaxClients int
	// LedgerSize bounds the requests remembered per client. Default 512.
	LedgerSize int
	// Now is the clock of tokens and of the ledger; delays keep real time.
	// Default time.Now.
	Now func() time.Time
	// Log receives one Debug record per token request. Default: discarded.
	Log *slog.Logger
}

// withDefaults fills in what is unset.
func (c Config) withDefaults() Config {
	if c.TokenPrefix == "" {
		c.TokenPrefix = defaultPrefix
	}
	if c.Lifetime == 0 {
		c.Lifetime = defaultLifetime
	}
	if c.MaxClients <= 0 {
		c.MaxClients = defaultMaxClients
	}
	if c.LedgerSize <= 0 {
		c.LedgerSize = defaultLedgerSize
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// Server is the authorization server. All methods may be called concurrently.
type Server struct {
	cfg     Config
	clients *registry
	mint    mint
	seq     atomic.Uint64 // numbers the requests of all clients
	handler http.Handler
}

// New makes a server; it holds nothing that must be closed.
func New(cfg Config) *Server {
	cfg = cfg.withDefaults()
	s := &Server{
		cfg:     cfg,
		clients: newRegistry(cfg),
		mint:    newMint(cfg.TokenPrefix),
	}
	s.handler = s.routes()
	return s
}

// Handler returns the whole server as a handler. Requests that wait end with
// their own context only; Serve sees to that, other servers must too.
func (s *Server) Handler() http.Handler { return s.handler }

// Serve answers requests on ln until ctx ends, then lets go of those that wait,
// finishes the rest and returns nil. It closes ln. Any other end is an error.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	srv := &http.Server{
		Handler:           s.handler,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    maxHeader,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ErrorLog:          slog.NewLogLogger(s.cfg.Log.Handler(), slog.LevelWarn),
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()
	s.cfg.Log.InfoContext(ctx, "sandbox is listening", "addr", ln.Addr().String())

	select {
	case err := <-served:
		return fmt.Errorf("sandbox: serve: %w", err)
	case <-ctx.Done():
	}
	soft, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer cancel()
	err := srv.Shutdown(soft)
	if err != nil {
		err = errors.Join(fmt.Errorf("sandbox: drain: %w", err), srv.Close())
	}
	<-served //nolint:errcheck // http.ErrServerClosed
	return err
}

// Put registers a client or replaces the registered one of the same id. A
// replaced client starts its new scripts at their beginning and keeps its
// counters, ledger, grants and tokens. The error is ErrInvalid, naming every fault of
// the document, or ErrFull.
func (s *Server) Put(c Client) error {
	if err := c.validate(); err != nil {
		return err
	}
	return s.clients.put(c.clone())
}

// Client reports on one client, or returns ErrUnknownClient.
func (s *Server) Client(id string) (State, error) {
	r, err := s.clients.get(id)
	if err != nil {
		return State{}, err
	}
	return r.state(), nil
}

// Clients reports on all clients, ordered by id.
func (s *Server) Clients() []State {
	records := s.clients.all()
	states := make([]State, len(records))
	for i, r := range records {
		states[i] = r.state()
	}
	return states
}

// Delete forgets a client with its counters, ledger, grants and tokens, and lets go of
// its held requests. The error is ErrUnknownClient.
func (s *Server) Delete(id string) error { return s.clients.remove(id) }

// Reset deletes every client and forgets the requests of unknown ones.
func (s *Server) Reset() { s.clients.reset() }

// Requests lists what the ledger still holds of one client, oldest first.
func (s *Server) Requests(id string) ([]Request, error) {
	r, err := s.clients.get(id)
	if err != nil {
		return nil, err
	}
	return r.requests(), nil
}

// AllRequests lists what the ledgers still hold of all clients and of callers
// that were no client, oldest first.
func (s *Server) AllRequests() []Request { return s.clients.requests() }

// WaitRequests returns when the client has made at least n requests since it was
// registered, refused ones included. A request counts once it is in the ledger
// and its step is taken, which is before it is delayed, held or answered. The
// error is ErrUnknownClient, also when the client is deleted meanwhile, or the
// cause of ctx's end.
func (s *Server) WaitRequests(ctx context.Context, id string, n uint64) error {
	for {
		r, err := s.clients.get(id)
		if err != nil {
			return err
		}
		seen, arrival := r.watch()
		if seen >= n {
			return nil
		}
		select {
		case <-arrival:
		case <-ctx.Done():
			return fmt.Errorf("sandbox: wait for requests: %w", context.Cause(ctx))
		}
	}
}

// Release answers the requests of a client that are held now (Step.Hold); later
// ones are held again. To release a certain request, WaitRequests for it first.
func (s *Server) Release(id string) error {
	r, err := s.clients.get(id)
	if err != nil {
		return err
	}
	r.release()
	return nil
}

// Grants lists what is remembered of a client's grants, oldest first.
func (s *Server) Grants(id string) ([]Grant, error) {
	r, err := s.clients.get(id)
	if err != nil {
		return nil, err
	}
	return r.views(), nil
}

// Revoke ends a grant of the client with all its tokens, as a person does in the
// settings of the account; 0 is every grant there is. The error is
// ErrUnknownClient or ErrUnknownGrant.
func (s *Server) Revoke(id string, number uint64) error {
	return s.eachGrant(id, number, func(g *grant) { g.end(EndedRevoked) })
}

// Expire ends the refresh tokens of a grant by their age, as of now; 0 is every
// grant there is. Access tokens live on. The errors are those of Revoke.
func (s *Server) Expire(id string, number uint64) error {
	now := s.cfg.Now()
	return s.eachGrant(id, number, func(g *grant) { g.ExpiresAt = now })
}

func (s *Server) eachGrant(id string, number uint64, change func(*grant)) error {
	r, err := s.clients.get(id)
	if err != nil {
		return err
	}
	return r.eachGrant(number, change)
}

// Introspect tells whether an access token works now (RFC 7662). A token works
// from its issue until its lifetime is over, its grant is revoked or forgotten,
// its client is deleted or the server is reset.
func (s *Server) Introspect(token string) Introspection {
	c, ok := s.mint.open(kindAccess, token)
	if !ok || !s.cfg.Now().Before(c.expires) {
		return Introspection{}
	}
	r, err := s.clients.get(c.owner)
	if err != nil || r.incarnation != c.incarnation {
		return Introspection{}
	}
	account, stands := r.account(c.grant)
	if !stands {
		return Introspection{}
	}
	return Introspection{
		Active:    true,
		ClientID:  c.owner,
		Subject:   account,
		TokenType: "Bearer",
		ExpiresAt: c.expires.Unix(),
		IssuedAt:  c.issued.Unix(),
	}
}
