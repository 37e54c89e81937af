// Package courier tells callbacks what happens: it takes the pages of the audit trail,
// makes a delivery of each entry for each callback that is subscribed to it, and sends
// these until the receiver has them, or eight tries in almost five days have failed.
//
// It promises
//   - that what is written down in the trail is sent at least once, whatever dies in
//     between. A repeat has the id of the first;
//   - that no receiver holds up another: each callback has a line of its own;
//   - that first tries about one entity are made one after the other, in the order of the
//     trail. One that waits for another try does not hold up later ones, unless the callback
//     asks for strict order: each tells when it was done, so that receivers can tell what is
//     older;
//   - that the trail is told again to who asks for a replay, each message under its id, and
//     goes on so after a death where it was;
//   - that what waits is bounded: see the constants of package webhook.
//
// Any number of processes share the work. Who makes a delivery, or made its last try, goes
// first; others come after it only when it does not. A delivery is held by its record, so
// it is sent by one process at a time unless that is cut off from the store for longer
// than [holdFor].
package courier

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rekindle-dev/rekindle/pkg/audit"
	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/pkg/webhook"
)

// Pages is where the audit trail comes from.
type Pages interface {
	// Pages hands over pages as they are stored, in their order, to the processes of a
	// group: each to one of them, until ctx ends. What handle returns an error for is
	// handed over again.
	Pages(ctx context.Context, group string, handle func(ctx context.Context, page []byte) error) error
}

// Poster sends.
type Poster interface {
	// Post makes one try. It returns the status of the answer, and what has kept the
	// receiver from taking what it was sent, "" if nothing did.
	Post(ctx context.Context, url string, header http.Header, body []byte) (status int, problem webhook.Problem)
}

// Deps is what a Courier stands on.
type Deps struct {
	// Name is this process's, like no other's.
	Name  string
	State state.Store
	Pages Pages
	// Log is where the audit trail is kept: what is sent again is read there.
	Log    audit.Log
	Poster Poster
	// Key is the fleet's, see [Adopt].
	Key     *webhook.Key
	Logger  *slog.Logger
	Metrics prometheus.Registerer
	// Now is the clock. Default time.Now.
	Now func() time.Time
}

// The pace of the work.
const (
	// group is who shares the pages of the trail.
	group = "callbacks"
	// holdFor is for how long a delivery is left to the process that holds it.
	holdFor = time.Minute
	// holdLeast is how much of that must be left when a try begins.
	holdLeast = 20 * time.Second
	// othersAfter is how much later than whoever made the last try others make the next.
	othersAfter = 2 * time.Second
	// finishIn is for how long is tried to write down how a try ended.
	finishIn = 30 * time.Second
	// again is when something is looked at again that could not be done.
	again = time.Second
	// sweepEvery is how often is looked for what deleted callbacks have left.
	sweepEvery = time.Minute
)

// Courier delivers. It is safe for concurrent use.
type Courier struct {
	deps    Deps
	metrics *metrics
	senders sync.WaitGroup
	// seen is the revision up to which this process has been told what waits.
	seen atomic.Uint64
	// known is closed when it knows what there was to deliver when it started.
	known chan struct{}

	// running ends with Run. Lines are served until then.
	running context.Context //nolint:containedctx // set once, by Run
	// asked holds a token when there may be a replay to go on with, and reading one for each
	// that reads the trail.
	asked, reading chan struct{}

	mu        sync.Mutex
	callbacks map[string]*webhook.Callback
	lines     map[string]*line
	histories map[string]*history
	standings map[string]*standing
}

// New returns a Courier that knows nothing until Run.
func New(deps Deps) *Courier {
	if deps.Now == nil {
		deps.Now = time.Now
	}
	c := &Courier{
		deps: deps, running: context.Background(), known: make(chan struct{}),
		asked: make(chan struct{}, 1), reading: make(chan struct{}, readAtOnce),
		callbacks: map[string]*webhook.Callback{}, lines: map[string]*line{}, histories: map[string]*history{},
		standings: map[string]*standing{},
	}
	c.metrics = newMetrics(deps.Metrics, c.waiting)
	return c
}

// Run delivers until ctx ends, and returns ctx's error; or what keeps it from following
// the state. It calls ready when it knows the callbacks. It sends, and takes pages, only
// when it knows what there is to deliver, which may be a gigabyte.
func (c *Courier) Run(ctx context.Context, ready func()) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	c.running = ctx
	var running sync.WaitGroup
	defer c.senders.Wait()
	defer running.Wait()
	follow := func(apply func(state.Change), patterns ...string) <-chan struct{} {
		caughtUp := make(chan struct{})
		running.Go(func() {
			stop(c.deps.State.Follow(ctx, patterns, apply, func() { close(caughtUp) }))
		})
		return caughtUp
	}
	callbacks := follow(c.applyCallback, state.CallbackKey("*"))
	deliveries := follow(c.applyDelivery, state.DeliveryKey("*", "*"), state.TryKey("*", "*"), state.ReplayKey("*"))
	select {
	case <-callbacks:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	ready()
	select {
	case <-deliveries:
		close(c.known)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	running.Go(func() { c.sweep(ctx) })
	running.Go(func() { c.replays(ctx) })
	running.Go(func() {
		stop(c.deps.Pages.Pages(ctx, group, c.takePage))
	})
	<-ctx.Done()
	return context.Cause(ctx)
}

// ErrOtherKey says that the fleet signs with another key than this process has.
var ErrOtherKey = errors.New("the fleet signs callbacks with another key than this process has")

// Adopt makes a key the fleet's, or returns ErrOtherKey when another is that already.
func Adopt(ctx context.Context, st state.Store, key *webhook.Key) error {
	check := []byte(`"` + key.Check() + `"`)
	for {
		found, _, err := st.Get(ctx, state.SigningKey)
		switch {
		case err == nil && string(found) == string(check):
			return nil
		case err == nil:
			return ErrOtherKey
		case !errors.Is(err, state.ErrNotFound):
			return err
		}
		_, err = st.Commit(ctx, state.Write{Key: state.SigningKey, Value: check})
		if !errors.Is(err, state.ErrConflict) {
			return err
		}
	}
}

// Adopted reports whether a key is the fleet's already.
func Adopted(ctx context.Context, st state.Store) (bool, error) {
	_, _, err := st.Get(ctx, state.SigningKey)
	if errors.Is(err, state.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// callback returns a callback as this process knows it, nil for none.
func (c *Courier) callback(id string) *webhook.Callback {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.callbacks[id]
}

// line returns the line of a callback.
func (c *Courier) line(callback string) *line {
	c.mu.Lock()
	defer c.mu.Unlock()
	l, ok := c.lines[callback]
	if !ok {
		ctx, stop := context.WithCancel(c.running)
		l = newLine(c.deps.Name, callback, stop)
		c.lines[callback] = l
		c.senders.Go(func() { c.serve(ctx, l) })
	}
	return l
}

// history returns the tries of a callback.
func (c *Courier) history(callback string) *history {
	c.mu.Lock()
	defer c.mu.Unlock()
	h, ok := c.histories[callback]
	if !ok {
		h = &history{slots: map[int]kept{}}
		c.histories[callback] = h
	}
	return h
}

// waiting is how many deliveries wait, as this process knows it.
func (c *Courier) waiting() (n int) {
	c.mu.Lock()
	lines := make([]*line, 0, len(c.lines))
	for _, l := range c.lines {
		lines = append(lines, l)
	}
	c.mu.Unlock()
	for _, l := range lines {
		n += l.len()
	}
	return n
}
