package scheduler

import (
	"encoding/binary"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// model is the index as anybody would write it: it looks at everything.
type model map[uid]*modelled

type modelled struct {
	plan     plan
	queued   bool
	at       int64
	offers   uint8
	accepted bool
}

func (m model) set(p plan) {
	old := m[p.id]
	if old != nil && old.plan.due == p.due && old.plan.decision == p.decision && old.plan.action == p.action {
		old.plan = p
		return
	}
	m[p.id] = &modelled{plan: p, queued: p.action != rest, at: p.due}
}

func (m model) earliest() int64 {
	at := int64(never)
	for _, e := range m {
		if e.queued {
			at = min(at, e.at)
		}
	}
	return at
}

func (m model) requeue(e entry, at int64) {
	if now := m[e.id]; now != nil && !now.queued && now.plan.action != rest && now.plan.same(&e.plan) {
		now.queued, now.at, now.offers, now.accepted = true, at, e.offers, e.accepted
	}
}

func TestIndexIsTheModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		x, m := newIndex(), model{}
		var taken []entry
		clock := rapid.Int64Range(-5, 60)
		aSecret := rapid.Custom(func(t *rapid.T) uid { return numbered(rapid.IntRange(0, 20).Draw(t, "secret")) })
		t.Repeat(map[string]func(*rapid.T){
			"set": func(t *rapid.T) {
				p := plan{
					id:       aSecret.Draw(t, "id"),
					action:   rapid.Uint8Range(rest, erase).Draw(t, "action"),
					due:      clock.Draw(t, "due"),
					decision: rapid.Uint64Range(1, 3).Draw(t, "decision"),
					expires:  clock.Draw(t, "expires"),
				}
				x.set(&p)
				m.set(p)
			},
			"remove": func(t *rapid.T) {
				id := aSecret.Draw(t, "id")
				x.remove(id)
				delete(m, id)
			},
			"take": func(t *rapid.T) {
				now := clock.Draw(t, "now")
				slot, ok := x.take(now)
				if want := m.earliest() <= now; ok != want {
					t.Fatalf("take(%d) = %v, want %v", now, ok, want)
				}
				if ok {
					e := *x.entry(slot)
					if at := m[e.id].at; at != m.earliest() {
						t.Fatalf("took what is queued for %d before what is queued for %d", at, m.earliest())
					}
					m[e.id].queued = false
					taken = append(taken, e)
				}
			},
			"requeue": func(t *rapid.T) {
				if len(taken) == 0 {
					t.Skip("nothing was taken")
				}
				e := rapid.SampledFrom(taken).Draw(t, "taken")
				at := clock.Draw(t, "at")
				e.offers, e.accepted = e.offers+1, true
				if slot, unchanged := x.find(&e); unchanged {
					x.entry(slot).offers, x.entry(slot).accepted = e.offers, e.accepted
					x.enqueue(slot, at)
				}
				m.requeue(e, at)
			},
			"": func(t *rapid.T) { agree(t, x, m) },
		})
	})
}

// agree compares the index with the model, and its parts with each other.
func agree(t *rapid.T, x *index, m model) {
	if got, want := x.earliest(), m.earliest(); got != want {
		t.Fatalf("earliest = %d, want %d", got, want)
	}
	for i, q := range x.queue.places {
		if above := x.queue.places[max(0, i-1)/2]; above.at > q.at {
			t.Fatalf("place %d of the queue is earlier than the one above", i)
		}
		if place := x.entry(q.item).place; int(place) != i {
			t.Fatalf("the entry at place %d thinks it is at %d", i, place)
		}
	}
	got := model{}
	for n := range x.pages {
		x.page(n, func(e *entry) {
			at := &modelled{plan: e.plan, queued: e.place >= 0, offers: e.offers, accepted: e.accepted}
			if at.queued {
				at.at = x.queue.places[e.place].at
			}
			got[e.id] = at
		})
	}
	if len(x.slots) != len(got) {
		t.Fatalf("%d secrets are known and %d are on the pages", len(x.slots), len(got))
	}
	for id, want := range m {
		if !want.queued {
			want.at = 0
		}
		if got[id] == nil || *got[id] != *want {
			t.Fatalf("entry %v is %+v, want %+v", id, got[id], want)
		}
	}
	if len(got) != len(m) {
		t.Fatalf("%d entries, want %d", len(got), len(m))
	}
}

// What was removed leaves room for others.
func TestIndexUsesSlotsAgain(t *testing.T) {
	t.Parallel()
	x := newIndex()
	for range 3 {
		for i := range pageSize {
			x.set(&plan{id: numbered(i), action: refresh, due: int64(i)})
		}
		for i := range pageSize {
			x.remove(numbered(i))
		}
	}
	if len(x.pages) != 1 || len(x.slots) != 0 || len(x.queue.places) != 0 {
		t.Errorf("%d pages, %d slots, %d in the queue after all was removed", len(x.pages), len(x.slots), len(x.queue.places))
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	x := newIndex()
	got := []uint32{x.orgs.number("a"), x.orgs.number("b"), x.orgs.number("a"), x.orgs.number("")}
	if diff := cmp.Diff([]uint32{0, 1, 0, 2}, got); diff != "" {
		t.Errorf("numbers (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"a", "b", ""}, x.orgs.names); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
}

// numbered is the id of the i-th secret, spread as random ids are.
func numbered(i int) (id uid) {
	binary.BigEndian.PutUint64(id[:], uint64(i)*0x9e3779b97f4a7c15)
	return id
}

const million = 1_000_000

// full returns an index of a million secrets that fall due within a day.
func full() *index {
	x := newIndex()
	roll := rand.New(rand.NewPCG(1, 2))
	for i := range million {
		x.set(&plan{id: numbered(i), action: refresh, due: roll.Int64N(day)})
	}
	return x
}

const day = 24 * 3600 * 1000

// BenchmarkIndexMove is what a refresh costs the index: its entry is taken, and
// set for the next day when the record comes back.
func BenchmarkIndexMove(b *testing.B) {
	x := full()
	b.ReportAllocs()
	for b.Loop() {
		slot, _ := x.take(never)
		p := x.entry(slot).plan
		p.due += day
		x.set(&p)
	}
}

// BenchmarkIndexFill is what a secret costs when a scheduler starts, in time and
// in memory that stays.
func BenchmarkIndexFill(b *testing.B) {
	var bytes float64
	for b.Loop() {
		before := allocated()
		x := full()
		bytes = (allocated() - before) / million
		runtime.KeepAlive(x)
	}
	b.ReportMetric(bytes, "B/secret")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/million, "ns/secret")
}

func allocated() float64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

// BenchmarkTally is what a scrape of the metrics costs.
func BenchmarkTally(b *testing.B) {
	s := alone(Deps{})
	s.lanes.x = full()
	for b.Loop() {
		s.tally()
	}
}
