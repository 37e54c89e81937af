package scheduler_test

import (
	"cmp"
	"container/heap"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/endpoint"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/services/scheduler"
)

const (
	sick, well = "sick.test", "well.test"
	// answerTime is how long a provider takes to answer.
	answerTime = 20 * ms
)

// exchangers are a fleet of them, as far as the scheduler sees it: they drop what
// is not to be asked, ask, and write what came of it.
type exchangers struct {
	w    *world
	jobs // what was offered, and one job for each secret
	// back is when the sick provider answers again.
	back time.Time

	mu      sync.Mutex
	failed  int // in a row
	closed  time.Time
	served  []time.Time // by the sick provider, since it is back
	expired map[string]bool
	working sync.WaitGroup
}

func (x *exchangers) Offer(ctx context.Context, e events.Event) (bool, error) {
	accepted, err := x.jobs.Offer(ctx, e)
	if accepted {
		x.working.Go(func() {
			x.work(e.Data.About())
			x.jobs.done(e.Data.About())
		})
	}
	return accepted, err
}

func (x *exchangers) note(host string, change func(*endpoint.Health) bool) (*endpoint.Health, bool) {
	h, wrote, err := endpoint.Store{State: x.w.state}.Update(context.Background(), host, time.Now(), change)
	if err != nil {
		x.w.t.Error(err)
	}
	return h, wrote
}

// admitted reports whether a host may be asked, and whether that is to find out
// if it is back.
func (x *exchangers) admitted(host string) (ok, probe bool) {
	now := time.Now()
	h, _ := x.note(host, func(*endpoint.Health) bool { return false })
	if !h.Open(now) {
		return true, false
	}
	_, probe = x.note(host, func(h *endpoint.Health) bool { return h.Probe(now, 20*time.Second) })
	return probe, probe
}

func (x *exchangers) work(id string) {
	s, _, err := x.w.store().Get(context.Background(), id)
	if err != nil {
		x.w.t.Error(err)
		return
	}
	host := s.Endpoint().Host
	ok, probe := x.admitted(host)
	if !ok || !s.Plan().Due(time.Now()) {
		return
	}
	begun := time.Now()
	time.Sleep(answerTime)
	o := &secret.Outcome{Decision: s.Decision, Action: secret.Refresh, StartedAt: begun, At: time.Now(), Environment: "EN1"}
	if host == sick && begun.Before(x.back) {
		o.Failure = &secret.Failure{Reason: "unreachable"}
		o.RetryAt = x.fails(host, probe)
		o.Down = !o.RetryAt.IsZero()
	} else {
		o.ExpiresAt, o.RefreshAt = time.Now().Add(48*time.Hour), time.Now().Add(24*time.Hour)
		x.answers(s, begun)
	}
	_, _, err = x.w.store().Update(context.Background(), id, func(s *secret.Secret) error {
		if !s.Apply(o, time.Now()) {
			return errors.New("decided anew meanwhile")
		}
		return nil
	})
	if err != nil {
		x.w.t.Error(err)
	}
}

// fails counts a failure and returns until when the host is left alone.
func (x *exchangers) fails(host string, probe bool) (until time.Time) {
	x.mu.Lock()
	x.failed++
	trips := probe || x.failed == 5
	x.mu.Unlock()
	h, _ := x.note(host, func(h *endpoint.Health) bool { return trips && h.Trip(time.Now(), probe) })
	return h.OpenUntil
}

func (x *exchangers) answers(s *secret.Secret, begun time.Time) {
	host := s.Endpoint().Host
	x.note(host, func(h *endpoint.Health) bool { return h.Answered(begun) })
	x.mu.Lock()
	defer x.mu.Unlock()
	if host != sick {
		return
	}
	if x.closed.IsZero() {
		x.closed = time.Now()
	}
	x.served = append(x.served, begun)
	if !time.Now().Before(s.ExpiresAt) {
		x.expired[s.ID] = true
	}
}

// waits is a secret that waits for the sick provider.
type waits struct {
	id       string
	due, end time.Time
}

// byEnd is a heap of them, the first end in front.
type byEnd []waits

func (h byEnd) Len() int           { return len(h) }
func (h byEnd) Less(i, j int) bool { return h[i].end.Before(h[j].end) }
func (h byEnd) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *byEnd) Push(v any)        { *h = append(*h, v.(waits)) }
func (h *byEnd) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}

// ideal is the best that can be done from a moment on by one request every gap: in
// each place the one of those due whose end is next and still to come. It returns
// what ends all the same, and in how many places there was something to do before
// the first in which there was not.
func ideal(all []waits, from time.Time, gap time.Duration) (expired map[string]bool, busy int) {
	slices.SortFunc(all, func(a, b waits) int { return a.due.Compare(b.due) })
	var due byEnd
	expired = map[string]bool{}
	lost := 0
	idle := false
	for at := from; len(all)+len(due)+lost > 0; at = at.Add(gap) {
		for len(all) > 0 && !all[0].due.After(at) {
			heap.Push(&due, all[0])
			all = all[1:]
		}
		for len(due) > 0 && !due[0].end.After(at) {
			expired[heap.Pop(&due).(waits).id] = true
			lost++
		}
		switch {
		case len(due) > 0:
			if w := heap.Pop(&due).(waits); !w.end.After(at.Add(answerTime)) {
				expired[w.id] = true
			}
		case lost > 0:
			lost--
		default:
			idle = true
		}
		if !idle {
			busy++
		}
	}
	return expired, busy
}

// Drain: a provider is down for an hour, and then bears a few requests a second.
// What has waited is done in an order that no other could save more by, the budget
// is used, and nobody else notices.
func TestDrain(t *testing.T) {
	inWorld(t, func(w *world) {
		const secrets, healthy, rate = 20_000, 2_000, 2
		x := &exchangers{w: w, jobs: jobs{held: map[string]bool{}}, back: w.at(time.Hour), expired: map[string]bool{}}
		roll := rand.New(rand.NewPCG(5, 3))
		upTo := func(d time.Duration) time.Duration { return time.Duration(roll.Int64N(int64(d/ms))) * ms }
		ends := map[time.Duration]bool{} // no two are the same: either order would do
		for i := range secrets {
			at, end := upTo(2*time.Hour), time.Duration(0)
			for end == 0 || ends[end] {
				end = at + 20*time.Minute + upTo(70*time.Minute)
			}
			ends[end] = true
			w.create(at, to(sick, "client"), func(s *secret.Secret) {
				s.ExpiresAt = w.at(end)
				s.Name = fmt.Sprint("sick", i)
			})
		}
		var others []string
		for i := range healthy {
			others = append(others, w.create(upTo(3*time.Hour), to(well, "client"), func(s *secret.Secret) { s.Name = fmt.Sprint("well", i) }))
		}
		r := w.start(func(d *scheduler.Deps) {
			d.Jobs = x
			d.Budgets = scheduler.Budgets{Hosts: map[string]scheduler.Budget{sick: {Rate: rate}}}
		})
		w.until(time.Hour)
		if n := r.metric(t, "rekindle_breaker_open", sick); n != 1 {
			t.Errorf("the breaker is not open: %v", n)
		}
		requests := len(x.jobs.all()) - x.accepted(others...)
		if most := 5 + 6 + 60/2 + 10; requests > 2*most {
			t.Errorf("%d jobs for a provider that is down, want about %d", requests, most)
		}
		for d := time.Hour; x.isClosed().IsZero(); d += ms {
			w.until(d)
		}
		left := w.left(x)
		drain, waiting := r.metric(t, "rekindle_budget_drain_seconds", sick), r.metric(t, "rekindle_budget_waiting", sick)
		if waiting < secrets/3 || drain < 0.9*waiting/rate || drain > 1.1*waiting/rate {
			t.Errorf("%v wait, and are said to be done in %v s", waiting, drain)
		}
		ended := 0
		for _, l := range left {
			if !l.end.After(x.isClosed()) {
				ended++
			}
		}
		// The one that found the provider back was the first of the budget.
		want, busy := ideal(left, x.isClosed().Add(time.Second/rate-answerTime), time.Second/rate)
		w.until(5 * time.Hour)
		x.working.Wait()
		x.checkUsed(t, busy, time.Second/rate)
		if len(want) < ended+1000 {
			t.Errorf("of %d that expire %d had ended before: there is nothing to decide", len(want), ended)
		}
		x.checkExpired(t, want)
		x.checkOnTime(t, others)
		if n := r.metric(t, "rekindle_budget_waiting", sick) + r.metric(t, "rekindle_breaker_open", sick); n != 0 {
			t.Errorf("something waits or is open in the end: %v", n)
		}
	})
}

func to(host, client string) func(*secret.Secret) {
	return func(s *secret.Secret) {
		s.Credentials.TokenURL, s.Credentials.ClientID = "https://"+host+"/token", client
	}
}

func (x *exchangers) isClosed() time.Time {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.closed
}

// accepted counts the jobs of the secrets.
func (x *exchangers) accepted(ids ...string) (n int) {
	of := map[string]bool{}
	for _, id := range ids {
		of[id] = true
	}
	for _, o := range x.jobs.all() {
		if of[o.due().Secret] {
			n++
		}
	}
	return n
}

// left is what is still to be done by the sick provider.
func (w *world) left(x *exchangers) (left []waits) {
	for id := range w.ids {
		s, _, err := w.store().Get(w.t.Context(), id)
		if err != nil {
			w.t.Fatal(err)
		}
		if s.Endpoint().Host == sick && s.NextAttemptAt.Before(x.isClosed().Add(12*time.Hour)) {
			left = append(left, waits{id, s.NextAttemptAt, s.ExpiresAt})
		}
	}
	return left
}

// checkUsed: of the places that there was something to do in, nearly all are used.
func (x *exchangers) checkUsed(t *testing.T, busy int, gap time.Duration) {
	t.Helper()
	end := x.closed.Add(time.Duration(busy) * gap)
	n := 0
	for _, at := range x.served {
		if at.After(x.closed.Add(-ms)) && at.Before(end) {
			n++
		}
	}
	if n < busy*95/100 || n > busy+1 {
		t.Errorf("%d of %d places were used", n, busy)
	}
	slices.SortFunc(x.served, time.Time.Compare)
	for i := range x.served[10:] {
		if took := x.served[i+10].Sub(x.served[i]); took < 9*gap {
			t.Fatalf("eleven requests in %v", took)
		}
	}
	t.Logf("%d of %d places were used", n, busy)
}

func (x *exchangers) checkExpired(t *testing.T, want map[string]bool) {
	t.Helper()
	var more, less int
	for id := range x.expired {
		if !want[id] {
			more++
		}
	}
	for id := range want {
		if !x.expired[id] {
			less++
		}
	}
	if more+less > 0 || len(want) == 0 {
		t.Errorf("%d expired, %d of them needlessly, and %d did not that had to", len(x.expired), more, less)
	}
	t.Logf("%d expired", len(x.expired))
}

// checkOnTime: each was offered the moment it was due.
func (x *exchangers) checkOnTime(t *testing.T, ids []string) {
	t.Helper()
	first := map[string]offer{}
	for _, o := range x.jobs.all() {
		if _, known := first[o.due().Secret]; !known {
			first[o.due().Secret] = o
		}
	}
	for _, id := range ids {
		o, offered := first[id]
		if !offered || cmp.Compare(o.at.Sub(o.due().DueAt), ms) > 0 {
			t.Fatalf("a healthy provider's secret was offered %v late", o.at.Sub(o.due().DueAt))
		}
	}
}
