package api

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"golang.org/x/time/rate"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/audit"
	"github.com/rekindle-dev/rekindle/pkg/provider"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/services/api/auth"
)

// DefaultOrg is the organisation of a deployment that names none. It has the
// form that clients expect.
const DefaultOrg = "REKINDLE@LocalOrg"

// DefaultCompany is the name of the company that is made for it.
const DefaultCompany = "Rekindle"

// Publisher announces events.
type Publisher interface {
	// Forward publishes an event as it was written, and returns when it is stored. An
	// event of the same id published again soon is stored once.
	Forward(ctx context.Context, h events.Header, body []byte) error
}

// Config is what a deployment decides.
type Config struct {
	// Org is the organisation a company is made for at the start, unless it
	// has one. Default DefaultOrg.
	Org string
	// Company is the name that company gets. Default DefaultCompany.
	Company string
	// Policy gives the refresh offset of secrets that name none. Default
	// secret.DefaultPolicy.
	Policy secret.Policy
	// Apps are the apps that are registered with providers. Without one there
	// can be no secrets that a person consents to there.
	Apps provider.Apps
	// PlainHTTP are the networks that callbacks may be in which are not told by https.
	PlainHTTP []netip.Prefix
}

// Tester has exchangers make exchanges of which nothing is kept.
type Tester interface {
	// Ask puts the job into its secret's lane, waits until it has been done, and
	// returns the answer. It gives up when ctx ends.
	Ask(ctx context.Context, job events.Event) ([]byte, error)
}

// Board shows how secrets stand to whoever watches.
type Board interface {
	// Changed notes that the record of a secret has changed, and whether it is shown since.
	// It does not wait.
	Changed(id string, revision state.Revision, shown bool)
	// Run shows what read returns until ctx ends.
	Run(ctx context.Context, read func(id string) (*secret.Secret, bool))
}

// Deps is what a Service stands on.
type Deps struct {
	State  state.Store
	Events Publisher
	// Tester may be nil: then there are no tests.
	Tester Tester
	// Ledger may be nil: then there are no time-lines.
	Ledger Ledger
	// Log may be nil: then nobody can follow what happens.
	Log Log
	// Parked and Jobs may be nil: then parked messages cannot be seen.
	Parked Parked
	Jobs   Jobs
	// Audit may be nil: then nothing is written down. Heard may be nil: then what the
	// fleet does by itself is not.
	Audit audit.Log
	Heard Heard
	// Courier may be nil: then callbacks are not told anything, and none can be made.
	Courier Courier
	// Board may be nil: then nobody can watch how secrets stand.
	Board   Board
	Logger  *slog.Logger
	Metrics prometheus.Registerer
	// Now is the clock. Default time.Now.
	Now func() time.Time
}

// Caller is who a use case is carried out for.
type Caller struct {
	// Org is the organisation whose records it may see; others' do not exist.
	Org   string
	Actor secret.Actor
	// Principal tells it from all others, as [auth.Principal.Key]; whom the actor is said to
	// be may be what somebody says of himself.
	Principal string
	// Rights are what it may do. Whoever asks for something else is refused before
	// the use case, but where the right that is needed depends on what is asked for;
	// and they bound what a caller may give away.
	Rights auth.Rights
	// Until is when the caller's own token ends, if what it makes must end then
	// too; zero for never.
	Until time.Time
	// Request is the id of what it asks, and Purpose what it says it is for, if anything.
	Request, Purpose string
	// Callback is the URL at which consents come back that this caller asks for.
	Callback string
	// IfMatch are the tags of what the caller wants to change or delete: if it is
	// something else by now, that is ErrChanged. Nil makes no condition.
	IfMatch Tags
	// Errand is what it is done for, if that is to be done once: it is remembered, and an
	// event is answered, in the same commit. Only what is done to one secret can be.
	Errand *Errand
}

// secretsRead is the secrets, to be read. Whoever changes one says what is to be told of
// it: see [Service.telling].
type secretsRead interface {
	Get(ctx context.Context, id string) (*secret.Secret, state.Revision, error)
	Holder(ctx context.Context, property, name string) (string, error)
}

// Service carries out the use cases. It is safe for concurrent use.
type Service struct {
	cfg     Config
	deps    Deps
	secrets secretsRead
	outbox  *outbox
	keeper  *keeper
	view    *projection
	unsaid  *prometheus.CounterVec
	tests   pace
	turns   turns
	uses    uses
	misses  *rate.Limiter
}

// New returns a Service that knows nothing until Run.
func New(cfg Config, deps Deps) *Service {
	if cfg.Org == "" {
		cfg.Org = DefaultOrg
	}
	if cfg.Company == "" {
		cfg.Company = DefaultCompany
	}
	if cfg.Policy == nil {
		cfg.Policy = secret.DefaultPolicy()
	}
	if deps.Now == nil {
		deps.Now = time.Now
	}
	outbox := newOutbox(deps.Logger)
	deps.Metrics.MustRegister(outbox.collector(deps.Now))
	return &Service{
		cfg:     cfg,
		deps:    deps,
		secrets: secret.Store{State: deps.State},
		outbox:  outbox,
		keeper:  newKeeper(deps),
		view:    newProjection(deps.Logger, cfg.Apps),
		misses:  rate.NewLimiter(missRate, missRate),
		unsaid: promauto.With(deps.Metrics).NewCounterVec(prometheus.CounterOpts{
			Name: "rekindle_events_unpublished_total",
			Help: "Failed attempts to announce a change that was made; another is made later.",
		}, []string{"type"}),
	}
}

// Run follows the state and heals what is half done until ctx ends, and returns
// ctx's error. It calls ready when the projection is complete and there is a
// company.
func (s *Service) Run(ctx context.Context, ready func()) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	caughtUp := make(chan struct{})
	followed := make(chan struct{})
	go func() {
		defer close(followed)
		stop(s.deps.State.Follow(ctx, followedKeys(), s.followed, func() {
			s.view.ready()
			close(caughtUp)
		}))
	}()
	select {
	case <-caughtUp:
		stop(s.work(ctx, ready))
	case <-ctx.Done():
	}
	<-followed
	return context.Cause(ctx)
}

// work is what Run does once the projection is complete.
func (s *Service) work(ctx context.Context, ready func()) error {
	if err := s.ensureCompany(ctx); err != nil {
		return err
	}
	ready()
	var besides sync.WaitGroup
	defer besides.Wait()
	besides.Go(func() { s.noteUses(ctx) })
	besides.Go(func() {
		s.heal(ctx, s.view.aBuild, s.view.unbuilt) //nolint:errcheck // it ends with ctx, as the other does
	})
	besides.Go(func() { s.relay(ctx) })  //nolint:errcheck // so does it
	besides.Go(func() { s.listen(ctx) }) //nolint:errcheck // and this
	if s.deps.Board != nil {
		besides.Go(func() { s.deps.Board.Run(ctx, s.view.standing) })
	}
	return s.heal(ctx, s.view.anOrphan, s.view.orphaned)
}

// followed takes in a change of the state.
func (s *Service) followed(c state.Change) {
	if state.Passing(c.Key) {
		_, id := state.Split(c.Key)
		s.outbox.apply(id, c, s.deps.Now())
	}
	s.view.apply(c)
	if kind, id := state.Split(c.Key); kind == "secret" && s.deps.Board != nil {
		s.deps.Board.Changed(id, c.Revision, s.view.hasSecret(id))
	}
}

// Ready reports whether questions can be answered.
func (s *Service) Ready() bool {
	s.view.mu.RLock()
	defer s.view.mu.RUnlock()
	return s.view.caughtUp
}

// Sealing is closed once the fleet's keyset is known, without which no secret
// can be created. Ready does not wait for it: what is there can be read.
func (s *Service) Sealing() <-chan struct{} { return s.view.sealing }

// now is the time as records hold it.
func (s *Service) now() time.Time { return s.deps.Now().UTC().Truncate(time.Millisecond) }

// see waits until the projection shows a write that was made. A caller that
// does not wait as long is not told that the write failed: it did not.
func (s *Service) see(ctx context.Context, revision state.Revision) {
	if err := s.view.wait(ctx, revision); err != nil {
		s.deps.Logger.WarnContext(ctx, "a write was not seen in time", "revision", uint64(revision), "error", err)
	}
}

// ensureCompany makes the company of the configured organisation unless there
// is one. Of two processes that try, one succeeds.
func (s *Service) ensureCompany(ctx context.Context) error {
	if s.Companies(Caller{Org: s.cfg.Org}, Query[*Company]{}).Total > 0 {
		return nil
	}
	now := s.now()
	c := &Company{
		ID: companyID(s.cfg.Org), Org: s.cfg.Org, Name: s.cfg.Company,
		Token: newToken(), CreatedAt: now, UpdatedAt: now,
	}
	rev, err := s.commit(ctx, did(Caller{}, audit.Created, c), put{key: state.CompanyKey(c.ID), record: c})
	if errors.Is(err, state.ErrConflict) {
		_, rev, err = s.deps.State.Get(ctx, state.CompanyKey(c.ID))
	}
	if err != nil {
		return err
	}
	return s.view.wait(ctx, rev)
}
