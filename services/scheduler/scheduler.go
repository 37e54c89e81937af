// Package scheduler decides when. It follows the records of all secrets, keeps
// an index of what each of them has to do next and when, and orders it at that
// time by offering a job to whichever exchanger is free. It sees no secret
// material, sealed or not.
//
//	records ──Follow──► index ──due──► lanes ──► publishers ──Offer──► jobs
//	   ▲       all              our share                               │
//	   └───────────────── an exchanger writes ◄─────────────────────────┘
//
// # What it promises
//
//   - Nothing is offered early, and what is due is offered at once, as fast as
//     the jobs are taken, unless its provider is not to be asked: the budget of
//     its client is used up, the provider has asked for patience, or it fails.
//     Then it waits, and goes in the order in which values end. Nobody waits for
//     somebody else's provider.
//   - What was offered is offered again, after pauses that grow from 3 s to a
//     minute, until its record changes. So a job may be lost anywhere, for any
//     reason, and comes back; and since a queue keeps one job for each secret,
//     an offer too many is refused.
//   - The index holds nothing of its own. It is derived from the records, which
//     store every due time, so a start is a replay. What fell due meanwhile is
//     offered as it is read: each record is the last of its secret, and what has
//     been read is true whatever is still to come.
//
// # Several schedulers
//
// Every scheduler follows all records, and each offers what of them is its share: by
// hosts, since what a host is asked is counted in the memory of whoever asks, and by
// secrets where nobody is asked (package rendezvous). When one comes or goes, the others
// know within seconds and go on from the records. One that still reads the records
// comes in only if there is none that has read them. Sharing them out saves work, and
// keeps the budgets; nothing else depends on it: of two that offer the same job, the
// second is refused.
//
// # What it refuses
//
// It computes no due time (package secret does, once, when it is decided), does
// not look at outcomes, and knows no provider but by name: what these say of
// themselves, exchangers write down (package endpoint).
package scheduler

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/endpoint"
	"github.com/rekindle-dev/rekindle/pkg/state"
)

// Follower tells of every record and every change, as state.Store does.
type Follower interface {
	Follow(ctx context.Context, patterns []string, apply func(state.Change), caughtUp func()) error
}

// Jobs takes jobs for exchangers. It is used from many goroutines.
type Jobs interface {
	// Offer queues the job, or reports false when a job for the same secret is
	// queued or being worked on. After an error it may be queued or not.
	Offer(ctx context.Context, e events.Event) (accepted bool, err error)
}

// Members knows who shares the work.
type Members interface {
	// Join makes this scheduler one of a group until ctx ends. It calls tell with its
	// own name and with those of all, itself included, whenever that has changed, and
	// with nobody while it is to offer nothing. When tell has returned, others go by it.
	// Until able is closed, this one comes in only if nobody else is there.
	Join(ctx context.Context, group string, able <-chan struct{}, tell func(me string, all []string)) error
}

// Deps is what a scheduler works with. The first three are required.
type Deps struct {
	State      Follower
	Jobs       Jobs
	Members    Members
	Budgets    Budgets               // how much providers are asked
	Now        func() time.Time      // nil means time.Now
	Logger     *slog.Logger          // nil means silence
	Tracer     trace.Tracer          // nil means no traces
	Registerer prometheus.Registerer // nil means no metrics
}

// Scheduler is one scheduler of a fleet.
type Scheduler struct {
	deps    Deps
	metrics *metrics

	// wake ends the sleep of the feeder.
	wake chan struct{}

	// complete is closed when the index is.
	complete chan struct{}

	mu    sync.Mutex
	lanes *lanes
	// names are the hosts by the keys of their records.
	names map[string]string
	// sleepsUntil is when the feeder takes its next entry unless it is woken
	// before; awake while it does not sleep.
	sleepsUntil int64
	// failedAt is when an offer failed last; zero when a later one succeeded.
	failedAt time.Time
}

// group is that of all schedulers.
const group = "scheduler"

// awake is before any time that something is due.
const awake = -1 << 63

// New returns a scheduler with an empty index, and registers its metrics.
func New(d Deps) *Scheduler {
	if d.Now == nil {
		d.Now = time.Now
	}
	if d.Logger == nil {
		d.Logger = slog.New(slog.DiscardHandler)
	}
	if d.Tracer == nil {
		d.Tracer = noop.Tracer{}
	}
	s := &Scheduler{
		deps: d, wake: make(chan struct{}, 1), complete: make(chan struct{}), sleepsUntil: awake,
		lanes: newLanes(d.Budgets), names: map[string]string{},
	}
	s.lanes.x.share = share{} // until it is one of the members
	s.metrics = newMetrics(d.Registerer, s)
	return s
}

// Run follows the records and offers jobs as far as they are its share, until ctx
// ends. It calls ready when the index is complete. It may be called once; an error
// means that the state or the members have failed for good.
func (s *Scheduler) Run(ctx context.Context, ready func()) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var working sync.WaitGroup
	hosts := make(chan struct{}) // closed when it is known how they fare
	working.Go(func() {
		err := s.deps.State.Follow(ctx, []string{state.EndpointKeys}, s.applyHealth, func() { close(hosts) })
		stop(fmt.Errorf("follow the hosts: %w", err))
	})
	working.Go(func() {
		err := s.deps.State.Follow(ctx, []string{state.SecretKey("*")}, s.apply, func() { close(s.complete) })
		stop(fmt.Errorf("follow the secrets: %w", err))
	})
	if within(ctx, hosts) {
		working.Go(func() { s.offerDue(ctx) })
		working.Go(func() {
			err := s.deps.Members.Join(ctx, group, s.complete, s.share)
			stop(fmt.Errorf("share the work: %w", err))
		})
		if within(ctx, s.complete) {
			ready()
			working.Go(func() { s.giveAlarms(ctx) })
		}
	}
	working.Wait()
	return context.Cause(ctx)
}

// within reports whether done is closed before ctx ends.
func within(ctx context.Context, done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	case <-ctx.Done():
		return false
	}
}

// apply brings the index up to date with a change. A record that cannot be read
// is as good as gone: there is no telling what is due.
func (s *Scheduler) apply(c state.Change) {
	_, name := state.Split(c.Key)
	id, ok := parseID(name)
	if !ok {
		s.damaged(c)
		return
	}
	if c.Value == nil {
		s.update(func() { s.lanes.x.remove(id) })
		return
	}
	record, ok := read(id, c.Value)
	if !ok {
		s.damaged(c)
		s.update(func() { s.lanes.x.remove(id) })
		return
	}
	p, asked := planOf(id, record), waitsFor(record)
	s.update(func() {
		p.org = s.lanes.x.orgs.number(record.Org)
		p.host, p.client = s.lanes.x.hosts.number(asked.Host), endpoint.Client(asked.Client)
		s.lanes.x.set(p)
	})
}

// applyHealth brings the lanes up to date with what is known of a host. Of a
// record that cannot be read nothing is known, and nothing waits for it.
func (s *Scheduler) applyHealth(c state.Change) {
	now := s.deps.Now()
	var known *endpoint.Health
	if c.Value != nil {
		var err error
		if known, err = endpoint.Decode(c.Key, c.Value, now); err != nil {
			s.damaged(c)
		}
	}
	s.update(func() {
		if known != nil {
			s.names[c.Key] = known.Host
		}
		if name, ok := s.names[c.Key]; ok {
			s.lanes.follow(name, known, now)
		}
		if known == nil {
			delete(s.names, c.Key)
		}
	})
}

func (s *Scheduler) damaged(c state.Change) {
	s.metrics.damaged.Inc()
	s.deps.Logger.Error("record is damaged, left out", "key", c.Key, "revision", uint64(c.Revision))
}

// update changes the lanes or their index, and wakes the feeder if it would oversleep.
func (s *Scheduler) update(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
	if s.lanes.earliest() >= s.sleepsUntil {
		return
	}
	s.sleepsUntil = awake
	select {
	case s.wake <- struct{}{}:
	default: // it has been woken already
	}
}
