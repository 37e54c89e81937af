package scheduler

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/rekindle-dev/rekindle/pkg/endpoint"
)

// watched are lanes with what has to be true of them, looked up in all there is.
type watched struct {
	*lanes
	now   int64
	known map[string]*endpoint.Health
	taken []entry
	// probes counts those that asked whether a host is back, since any of them
	// may be done.
	probes map[uint32]int
}

func newWatched() *watched {
	w := &watched{now: 1_000_000, known: map[string]*endpoint.Health{}, probes: map[uint32]int{}}
	w.lanes = newLanes(Budgets{
		Default: Budget{Concurrency: 3},
		Hosts: map[string]Budget{
			"rated":  {Rate: 2, Burst: 2, Concurrency: 3},
			"shared": {Rate: 1, Shared: true},
		},
	})
	return w
}

// alone returns a scheduler that has all of the work.
func alone(d Deps) *Scheduler {
	s := New(d)
	s.share("me", []string{"me"})
	return s
}

func (w *watched) clock() time.Time { return time.UnixMilli(w.now) }

func (w *watched) each(visit func(slot uint32, e *entry)) {
	for slot := range w.x.used {
		if e := w.x.entry(slot); e.place != vacant {
			visit(slot, e)
		}
	}
}

// mayBeAsked reports whether the provider of e has nothing against being asked.
func (w *watched) mayBeAsked(e *entry) bool {
	name := w.x.hosts.names[e.host]
	if k := w.known[name]; k != nil {
		paused := k.Paused(e.client)
		for _, p := range k.Pauses {
			if name == "shared" && p.Until.After(paused) {
				paused = p.Until
			}
		}
		return !paused.After(w.clock()) && (!k.Open(w.clock()) || !k.OpenUntil.After(w.clock()))
	}
	return true
}

// mayGo reports whether the budget of the provider of e has room for one more.
func (w *watched) mayGo(e *entry) bool {
	h := w.hosts[e.host]
	if !w.mayBeAsked(e) || !h.free(w.now) {
		return false
	}
	n := h.lanes[e.client]
	if n == nil {
		n = h.lanes[0]
	}
	b := n.bucket
	return b.cutAt == 0 && b.ready(w.now) <= w.now // a rate that grows is waited for a little longer than need be
}

// before reports whether a has to go before b, of the same lane.
func (w *watched) before(a, b *entry) bool {
	saved := func(e *entry) bool { return e.action == exchange || e.expires > w.now }
	switch {
	case a.action == exchange && b.action == exchange:
		return a.due < b.due
	case a.action == exchange || b.action == exchange:
		return a.action == exchange
	case saved(a) && saved(b):
		return a.expires < b.expires
	case w.budgets.of(w.x.hosts.names[a.host]).Rate > 0:
		return false // it depends on how long it takes
	default:
		return saved(a)
	}
}

// take takes whatever may be taken.
func (w *watched) take(t *rapid.T) {
	for w.takeOne(t) {
		w.check(t)
	}
}

// takeOne takes an entry and checks that it may be taken and is the right one.
func (w *watched) takeOne(t *rapid.T) bool {
	before := map[uint32]int{}
	for number, h := range w.hosts {
		before[number] = len(h.released)
	}
	e, ok := w.lanes.take(w.now)
	if !ok {
		if at := w.x.earliest(); at <= w.now {
			t.Fatalf("what is due at %d was not taken at %d", at, w.now)
		}
		w.each(func(_ uint32, e *entry) {
			if e.stage == waiting && w.mayGo(e) {
				t.Fatalf("%+v waits for nothing", *e)
			}
		})
		if at := w.earliest(); at <= w.now {
			t.Fatalf("nothing was taken at %d, but something is said to come at %d", w.now, at)
		}
		return false
	}
	w.taken = append(w.taken, e)
	if !w.x.ours(&e.plan) {
		t.Fatalf("taken from another: %+v", e)
	}
	if e.due > w.now {
		t.Fatalf("taken at %d, before it is due: %+v", w.now, e)
	}
	if e.host != 0 && e.action != erase && !w.mayBeAsked(&e) && (e.action != authorize || w.lanes.paused(&e) > w.now) {
		t.Fatalf("taken at %d, while the provider is not to be asked: %+v", w.now, e)
	}
	if !e.paid {
		return true
	}
	if k := w.known[w.x.hosts.names[e.host]]; k != nil && k.Open(w.clock()) {
		if w.probes[e.host]++; w.probes[e.host] > 1 {
			t.Fatalf("a second one asks whether the host is back")
		}
	}
	if h := w.hosts[e.host]; before[e.host] >= h.budget.Concurrency {
		t.Fatalf("taken beside %d others of the host", before[e.host])
	}
	w.each(func(_ uint32, o *entry) {
		if o.stage == waiting && o.host == e.host && o.client == e.client && w.before(o, &e) {
			t.Fatalf("at %d %+v was taken before %+v", w.now, e, *o)
		}
	})
	return true
}

// check compares what is kept in several places.
func (w *watched) check(t *rapid.T) {
	taken, waits := map[uint32]int{}, map[uint32]int{}
	w.each(func(slot uint32, e *entry) {
		if !w.x.ours(&e.plan) && (e.place != idle || e.stage != loose) {
			t.Fatalf("another's is kept busy with: %+v", *e)
		}
		switch e.stage {
		case released:
			taken[e.host]++
			if !w.hosts[e.host].released[slot] {
				t.Fatalf("a place is held that the host does not know: %+v", *e)
			}
		case waiting:
			waits[e.host]++
			if n := w.hosts[e.host].laneOf(slot, e); n == nil || n.queueOf(slot, e) == nil {
				t.Fatalf("waits in no lane: %+v", *e)
			}
		}
	})
	for number, h := range w.hosts {
		queued := 0
		for client, n := range h.lanes {
			queued += n.waiting()
			if n.client != client || n.host != h {
				t.Fatalf("a lane is not where it thinks it is")
			}
			if n.waiting() > 0 && n.place == idle && n.timer == idle {
				t.Fatal("a lane in which something waits is forgotten")
			}
		}
		if len(h.released) != taken[number] || queued != waits[number] {
			t.Fatalf("host %s has %d places taken, want %d; %d wait, want %d", w.x.hosts.names[number],
				len(h.released), taken[number], queued, waits[number])
		}
		if len(h.released) > h.budget.Concurrency {
			t.Fatalf("host %s has %d places taken", w.x.hosts.names[number], len(h.released))
		}
		delete(taken, number)
		delete(waits, number)
	}
	if len(taken)+len(waits) > 0 {
		t.Fatalf("there are entries of hosts that are not known: %v %v", taken, waits)
	}
}

func (w *watched) said(name string, change func(h *endpoint.Health) bool) {
	h := w.known[name]
	if h == nil {
		h = &endpoint.Health{Host: name}
	}
	clear(w.probes)
	if change(h) {
		w.known[name] = h
		w.follow(name, h, w.clock())
	}
}

func TestLanes(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := newWatched()
		host := rapid.SampledFrom([]string{"", "plain", "rated", "shared"})
		client := rapid.Uint32Range(0, 3)
		soon := rapid.Int64Range(0, 5000)
		t.Repeat(map[string]func(*rapid.T){
			"set": func(t *rapid.T) {
				clear(w.probes) // whose plan changes is done
				at := host.Draw(t, "host")
				for range rapid.IntRange(1, 6).Draw(t, "secrets") {
					p := plan{
						id:     numbered(rapid.IntRange(0, 60).Draw(t, "secret")),
						action: rapid.SampledFrom([]uint8{rest, exchange, refresh, refresh, refresh, authorize, erase}).Draw(t, "action"),
						host:   w.x.hosts.number(at), client: client.Draw(t, "client"),
						due: w.now + soon.Draw(t, "due") - 1000, decision: rapid.Uint64Range(1, 3).Draw(t, "decision"),
					}
					if left := soon.Draw(t, "left"); left > 0 {
						p.expires = w.now + left - 1000
					}
					w.x.set(&p)
				}
			},
			"remove": func(t *rapid.T) { w.x.remove(numbered(rapid.IntRange(0, 60).Draw(t, "secret"))) },
			"pass": func(t *rapid.T) {
				w.now += soon.Draw(t, "time")
				clear(w.probes)
			},
			"take": w.take,
			"offered": func(t *rapid.T) {
				if len(w.taken) == 0 {
					t.Skip("nothing was taken")
				}
				e := w.taken[0]
				w.taken = w.taken[1:]
				clear(w.probes)
				w.offered(&e, offerResult(rapid.IntRange(0, 2).Draw(t, "result")), w.now+soon.Draw(t, "pause"))
			},
			"fails": func(t *rapid.T) {
				w.said(host.Draw(t, "host"), func(h *endpoint.Health) bool { return h.Host != "" && h.Trip(w.clock(), rapid.Bool().Draw(t, "probe")) })
			},
			"answers": func(t *rapid.T) {
				w.said(host.Draw(t, "host"), func(h *endpoint.Health) bool { return h.Host != "" && h.Answered(w.clock()) })
			},
			"asks for patience": func(t *rapid.T) {
				w.said(host.Draw(t, "host"), func(h *endpoint.Health) bool {
					return h.Host != "" && h.Wait(client.Draw(t, "client"), w.clock(), time.Duration(soon.Draw(t, "asked"))*time.Millisecond)
				})
			},
			"has too much": func(t *rapid.T) {
				w.said(host.Draw(t, "host"), func(h *endpoint.Health) bool { return h.Host != "" && h.Throttled(client.Draw(t, "client"), w.clock()) })
			},
			"members change": func(t *rapid.T) {
				clear(w.probes)
				all := rapid.SliceOfDistinct(rapid.SampledFrom([]string{"me", "you", "they"}), rapid.ID).Draw(t, "members")
				w.x.share = shareOf("me", all)
				for slot := range w.x.used {
					w.reassign(slot)
				}
			},
			"": w.check,
		})
	})
}

// What no lane has to remember takes no memory.
func TestLanesAreDropped(t *testing.T) {
	t.Parallel()
	w := newWatched()
	for _, name := range []string{"plain", "rated", "shared"} {
		for client := range uint32(3) {
			w.x.set(&plan{id: numbered(len(w.x.slots)), action: refresh, due: w.now, decision: 1, host: w.x.hosts.number(name), client: client})
		}
	}
	for range 10 {
		for e, ok := w.lanes.take(w.now); ok; e, ok = w.lanes.take(w.now) {
			w.offered(&e, offerAccepted, w.now+3000)
			done := e.plan
			done.due, done.decision = w.now+1e9, 2
			w.x.set(&done)
		}
		w.now += 1000
	}
	if len(w.hosts) != 0 || len(w.timed.places) != 0 || len(w.ready.places) != 0 {
		t.Errorf("%d hosts, %d and %d lanes are left", len(w.hosts), len(w.timed.places), len(w.ready.places))
	}
}

// The budget holds over any time: no more than a burst and what the rate gives.
func TestBudgetHolds(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		b := Budget{Rate: rapid.Float64Range(0.1, 5000).Draw(t, "rate"), Burst: rapid.IntRange(1, 50).Draw(t, "burst")}
		now := int64(1_000_000)
		bucket, began, n := newBucket(b, now), now, 0
		for range 200 {
			at := bucket.ready(now)
			if at < now {
				t.Fatal("ready in the past")
			}
			now = max(now, at) + rapid.Int64Range(0, 3).Draw(t, "late")
			if bucket.ready(now) > now {
				t.Fatalf("not ready at the time it named")
			}
			bucket.take()
			n++
			if most := float64(b.Burst) + b.Rate*float64(now-began)/1000 + 0.001; float64(n) > most {
				t.Fatalf("%d requests in %d ms, want at most %g", n, now-began, most)
			}
		}
	})
}

// A cut halves the rate, and a minute later it is whole again.
func TestCut(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ rate, observed, cut, after float64 }{
		"limited":   {100, 1000, 50, 100},
		"unlimited": {0, 40, 20, 0},
		"idle":      {0, 0, 0.5, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, now := newBucket(Budget{Rate: tt.rate, Burst: 10}, 1000), int64(2000)
			b.cut(now, tt.observed)
			if got := b.perSecond(now); got != tt.cut {
				t.Errorf("cut to %g, want %g", got, tt.cut)
			}
			b.cut(now, tt.observed)
			if got := b.perSecond(now); got != tt.cut/2 {
				t.Errorf("cut twice to %g, want %g", got, tt.cut/2)
			}
			now += recovery
			b.ready(now)
			if got := b.perSecond(now); got != tt.after {
				t.Errorf("a minute later %g, want %g", got, tt.after)
			}
		})
	}
}

// However many hosts fail, metrics name a bounded number of them, and lose none.
func TestHostsNamedAreBounded(t *testing.T) {
	t.Parallel()
	s, now := alone(Deps{Budgets: Budgets{Hosts: map[string]Budget{"quiet": {Rate: 1}}}}), time.Now()
	if all := s.standings(); len(all) != 2 || all[0].host != "quiet" || all[1] != (standing{host: otherHosts, nearest: never}) {
		t.Errorf("without anything to tell: %+v", all)
	}
	const hosts = 3 * maxNamed
	for i := range hosts {
		h := &endpoint.Health{Host: fmt.Sprint("host-", i)}
		h.Trip(now, false)
		s.lanes.follow(h.Host, h, now)
		s.lanes.x.set(&plan{
			id: numbered(i), action: refresh, decision: 1, due: now.UnixMilli(),
			expires: now.UnixMilli() + int64(1000*(i+60)), host: s.lanes.x.hosts.number(h.Host),
		})
	}
	s.lanes.take(now.UnixMilli())
	all, waiting := s.standings(), 0
	for _, at := range all {
		waiting += at.waiting
	}
	if last := all[len(all)-1]; len(all) != maxNamed+1 || waiting != hosts || last.host != otherHosts || last.open != 1 || last.nearest == never {
		t.Errorf("%d hosts with %d that wait, the last is %+v", len(all), waiting, last)
	}
}
