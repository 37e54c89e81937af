package exchanger

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/pkg/state/statetest"
	"github.com/rekindle-dev/rekindle/pkg/work"
)

// soak is a fleet in which everything happens one step at a time, in an order
// that nobody would think of. A step is what an exchanger does between two calls
// of the state or the events, a request to the provider included. Jobs are
// delivered as JetStream does: again when whoever has one is dead, or seems so;
// who only seemed dead goes on as if nothing had happened, and its ack counts.
type soak struct {
	w          *world
	exchangers []*Exchanger
	secrets    []string
	queue      map[string]*queued // one job at most for a secret
	handlers   []*handler         // at work, dead ones not included

	mu       sync.Mutex
	running  *handler
	requests map[string]map[uint64]int // by secret and decision
}

// queued is a job that is not acknowledged.
type queued struct {
	m      work.Message
	holder *handler // nil: to be delivered
}

// handler is the handling of one delivery.
type handler struct {
	secret  string
	job     *queued
	claimed uint64 // the last decision it has claimed
	met     bool   // another was at work on the secret at the same time

	at     string      // what it is about to do
	asks   chan string // what it would do next
	may    chan mode   // whether it may
	ended  chan struct{}
	lived  bool
	err    error
	cancel context.CancelFunc
}

type handlerKey struct{}

// wait is called by handlers, before each step.
func wait(ctx context.Context, what string) mode {
	h := ctx.Value(handlerKey{}).(*handler)
	h.asks <- what
	m := <-h.may
	if m == diesBefore {
		runtime.Goexit()
	}
	return m
}

// turnstile is the world as the handlers see it.
type turnstile struct{ *soak }

func (g turnstile) Get(ctx context.Context, key string) ([]byte, state.Revision, error) {
	if wait(ctx, "get "+key) == fails {
		return nil, 0, statetest.ErrFault
	}
	return g.w.store.Get(ctx, key)
}

func (g turnstile) Commit(ctx context.Context, writes ...state.Write) (rev state.Revision, err error) {
	return rev, step(ctx, "commit "+writes[0].Key, func() error {
		rev, err = g.w.store.Commit(ctx, writes...)
		if d, ok := claimIn(writes[0]); ok && err == nil {
			ctx.Value(handlerKey{}).(*handler).claimed = d
		}
		return err
	})
}

func (g turnstile) Publish(ctx context.Context, e events.Event) error {
	return step(ctx, "publish "+e.ID, func() error { return g.w.events.Publish(ctx, e) })
}

func (g turnstile) Follow(context.Context, []string, func(state.Change), func()) error {
	panic("exchangers follow nothing")
}

func step(ctx context.Context, what string, do func() error) error {
	m := wait(ctx, what)
	if m == fails {
		return statetest.ErrFault
	}
	if err := do(); err != nil {
		return err
	}
	if m == answerLost {
		return statetest.ErrFault
	}
	return nil
}

func newSoak(t *rapid.T, p *tokenServer) *soak {
	s := &soak{w: newWorldOf(t), queue: map[string]*queued{}, requests: map[string]map[uint64]int{}}
	s.w.provider = p
	told := s.requested
	p.arrival.Store(&told)
	for range 2 {
		kind := rapid.SampledFrom([]secret.Kind{secret.OAuth2, secret.Token}).Draw(t, "kind")
		s.secrets = append(s.secrets, s.w.create(kind).ID)
	}
	for range 3 {
		s.exchangers = append(s.exchangers, s.w.exchanger(using(turnstile{s}), func(x *Exchanger) { x.Events = turnstile{s} }))
	}
	return s
}

// note writes what happens between the lines of the exchangers' log.
func (s *soak) note(format string, args ...any) { fmt.Fprintf(s.w.logs, format+"\n", args...) }

// requested counts a request for the decision that whoever runs has claimed.
func (s *soak) requested(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.requests[id] == nil {
		s.requests[id] = map[uint64]int{}
	}
	s.requests[id][s.running.claimed]++
}

// People do something to a secret.
func (s *soak) People(t *rapid.T) {
	id := rapid.SampledFrom(s.secrets).Draw(t, "secret")
	r := s.w.secret(id)
	if r == nil || !r.DeletedAt.IsZero() {
		t.Skip("deleted")
	}
	change := (*secret.Secret).Ask
	switch dice := rapid.IntRange(0, 9).Draw(t, "do"); {
	case dice == 0:
		change = (*secret.Secret).Delete
	case dice < 5 && r.Environment != "":
		change = (*secret.Secret).Detach
	case dice < 9 && r.Environment == "":
		change = func(r *secret.Secret, now time.Time) {
			r.Attach(secret.NewID(secret.PrefixEnvironment), "staging")
			r.Ask(now)
		}
	}
	s.w.update(id, func(r *secret.Secret) { change(r, s.w.now()) })
	s.note("people: %s", show(s.w.secret(id)))
}

// What time, scheduler and queue do.

func (s *soak) Wait(t *rapid.T) {
	s.w.advance(time.Duration(rapid.IntRange(1, 5000).Draw(t, "ms")) * time.Millisecond)
}

func (s *soak) WaitUntilDue(t *rapid.T) {
	id, found := s.pick(t, func(id string) bool {
		r := s.w.secret(id)
		return r != nil && r.Plan().Action != secret.Rest && !r.Plan().Due(s.w.now())
	})
	if !found {
		t.Skip("nothing to wait for")
	}
	s.w.clock.Store(s.w.secret(id).Plan().At.UnixMilli())
}

func (s *soak) pick(t *rapid.T, which func(id string) bool) (string, bool) {
	var list []string
	for _, id := range s.secrets {
		if which(id) {
			list = append(list, id)
		}
	}
	if len(list) == 0 {
		return "", false
	}
	return rapid.SampledFrom(list).Draw(t, "which"), true
}

func (s *soak) deliverable(id string) bool {
	if q := s.queue[id]; q != nil {
		return q.holder == nil
	}
	r := s.w.secret(id)
	return r != nil && r.Plan().Due(s.w.now())
}

// Deliver hands out a job that is queued or due.
func (s *soak) Deliver(t *rapid.T) {
	id, found := s.pick(t, s.deliverable)
	if !found {
		t.Skip("no job")
	}
	s.deliver(id, s.exchangers[rapid.IntRange(0, len(s.exchangers)-1).Draw(t, "to")])
}

func (s *soak) deliver(id string, x *Exchanger) {
	q := s.queue[id]
	if q == nil {
		q = &queued{m: s.w.job(id)}
		q.m.Delivery = 0
		s.queue[id] = q
	}
	q.m.Delivery++
	h := &handler{secret: id, job: q, asks: make(chan string), may: make(chan mode), ended: make(chan struct{})}
	q.holder = h
	for _, other := range s.handlers {
		if other.secret == id {
			h.met, other.met = true, true
		}
	}
	s.handlers = append(s.handlers, h)
	s.note("%p of %s: delivery %d of %s", h, id, q.m.Delivery, q.m.Data)
	ctx, cancel := context.WithCancel(context.WithValue(context.Background(), handlerKey{}, h))
	h.cancel = cancel
	go func(m work.Message) {
		defer close(h.ended)
		h.err = x.Handle(ctx, m)
		h.lived = true
	}(q.m)
	s.follow(h)
}

// let lets a handler do what it is about to do, and everything up to its next
// step.
func (s *soak) let(h *handler, m mode) {
	s.note("%p of %s: %s: %s", h, h.secret, m, h.at)
	s.mu.Lock()
	s.running = h
	s.mu.Unlock()
	h.may <- m
	s.follow(h)
}

func (s *soak) follow(h *handler) {
	select {
	case h.at = <-h.asks:
		return
	case <-h.ended:
	}
	h.cancel()
	s.note("%p of %s: lived=%t: %v", h, h.secret, h.lived, h.err)
	s.handlers = slices.DeleteFunc(s.handlers, func(other *handler) bool { return other == h })
	switch {
	case h.lived && h.err == nil:
		if s.queue[h.secret] == h.job {
			delete(s.queue, h.secret)
		}
	case h.job.holder == h:
		h.job.holder = nil
	}
}

// What exchangers do.

func (s *soak) Step(t *rapid.T) {
	h := s.handler(t, func(*handler) bool { return true })
	for range rapid.IntRange(1, 8).Draw(t, "steps") {
		if slices.Contains(s.handlers, h) {
			s.let(h, works)
		}
	}
}

func (s *soak) Fault(t *rapid.T) {
	s.let(s.handler(t, s.alone), rapid.SampledFrom([]mode{fails, answerLost}).Draw(t, "fault"))
}

func (s *soak) Kill(t *rapid.T) { s.let(s.handler(t, s.alone), diesBefore) }

func (s *soak) HardStop(t *rapid.T) { s.handler(t, func(*handler) bool { return true }).cancel() }

// Overtake makes the queue think a handler dead.
func (s *soak) Overtake(t *rapid.T) {
	h := s.handler(t, func(h *handler) bool { return h.job.holder == h })
	h.job.holder = nil
}

func (s *soak) handler(t *rapid.T, which func(*handler) bool) *handler {
	var list []*handler
	for _, h := range s.handlers {
		if which(h) {
			list = append(list, h)
		}
	}
	if len(list) == 0 {
		t.Skip("nobody at work")
	}
	return list[rapid.IntRange(0, len(list)-1).Draw(t, "handler")]
}

// alone reports whether nobody else was at work on the secret meanwhile and the
// job will be delivered again. Only then may a handler die or be failed by the
// state: exchangers stall, and exchangers die, but none dies in the very moment
// in which another, which stalled, has left something for it to clear away.
func (s *soak) alone(h *handler) bool {
	return !h.met && h.job.holder == h && s.queue[h.secret] == h.job
}

// Check is what holds after every step.
func (s *soak) Check(t *rapid.T) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, requests := range s.requests {
		for decision, n := range requests {
			if n > 1 {
				t.Fatalf("%d requests for decision %d of %s", n, decision, id)
			}
		}
	}
}

// rest lets everything come to its end.
func (s *soak) rest(t *rapid.T) {
	for range 1000 {
		for len(s.handlers) > 0 {
			s.let(s.handlers[0], works)
		}
		i := slices.IndexFunc(s.secrets, s.deliverable)
		if i < 0 {
			return
		}
		s.w.advance(claimLife)
		s.deliver(s.secrets[i], s.exchangers[0])
	}
	t.Fatal("no rest")
}

// No order of events, no crash, no stall and no failure of the state loses a
// secret, leaves anything behind, or sends two requests for one decision.
func TestSoak(t *testing.T) {
	t.Parallel()
	p := newProvider(t, time.Now)
	rapid.Check(t, func(t *rapid.T) {
		s := newSoak(t, p)
		defer func() {
			for len(s.handlers) > 0 {
				s.let(s.handlers[0], diesBefore)
			}
			p.Reset()
		}()
		// What happens more often than other things stands here more often.
		t.Repeat(map[string]func(*rapid.T){
			"": s.Check, "people": s.People, "deliver": s.Deliver, "deliver 2": s.Deliver, "overtake": s.Overtake, "overtake 2": s.Overtake,
			"step": s.Step, "step 2": s.Step, "step 3": s.Step, "step 4": s.Step, "fault": s.Fault, "kill": s.Kill, "hard stop": s.HardStop,
			"wait": s.Wait, "wait 2": s.Wait, "wait until due": s.WaitUntilDue,
		})
		s.rest(t)
		s.Check(t)
		for _, id := range s.secrets {
			s.w.checkRest(id)
		}
		if t.Failed() {
			t.Log(s.w.logs.String())
		}
	})
}
