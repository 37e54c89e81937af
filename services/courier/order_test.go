package courier_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/pkg/webhook"
)

// taken returns the positions that a receiver has taken, by entity, and how many it has
// refused.
func taken(t *testing.T, posts []post, refused func(post) bool) (by map[string][]uint64, refusals int) {
	t.Helper()
	by = map[string][]uint64{}
	for _, p := range posts {
		if refused(p) {
			refusals++
			continue
		}
		entity := p.entity(t)
		by[entity] = append(by[entity], p.position(t))
	}
	return by, refusals
}

// TestStrict has a receiver refuse what is about one entity for a while. What is newer about
// it waits, and nothing else; then it comes in its order.
func TestStrict(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var back atomic.Int64
		refused := func(p post) bool {
			until := back.Load()
			return p.entity(t) == "SE1" && (until == 0 || p.at.UnixNano() < until)
		}
		to := &receivers{answer: func(p post) (int, webhook.Problem) {
			time.Sleep(50 * time.Millisecond)
			if refused(p) {
				return 503, webhook.ProblemStatus
			}
			return 200, ""
		}}
		w.process(t, "one", to)
		w.process(t, "two", to)
		w.subscribeTo(t, &webhook.Callback{ID: shop, URL: "https://shop.test/hook", Subscriptions: []string{webhook.Everything}, Ordering: webhook.Strict})
		for range 5 { // pages go to one process or the other
			w.happen(t, about("SE1"), about("SE2"), about("SE3"))
		}
		time.Sleep(50 * time.Minute)
		for _, p := range to.posts() {
			if p.entity(t) == "SE1" && p.position(t) != 1 {
				t.Errorf("position %d was sent ahead of what waits for another try", p.position(t))
			}
		}
		got, _ := taken(t, to.posts(), refused)
		want := map[string][]uint64{"SE2": {2, 5, 8, 11, 14}, "SE3": {3, 6, 9, 12, 15}}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("meanwhile (-want +got):\n%s", diff)
		}
		back.Store(time.Now().UnixNano())
		time.Sleep(2 * time.Hour)
		got, _ = taken(t, to.posts(), refused)
		want["SE1"] = []uint64{1, 4, 7, 10, 13}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("in the end (-want +got):\n%s", diff)
		}
	})
}

// TestStrictGoesOnBehindWhatIsDropped, for the next of the entity has its own tries.
func TestStrictGoesOnBehindWhatIsDropped(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		first := func(p post) bool { return p.position(t) == 1 }
		to := &receivers{answer: func(p post) (int, webhook.Problem) {
			if first(p) {
				return 400, webhook.ProblemStatus
			}
			return 200, ""
		}}
		w.process(t, "one", to)
		w.subscribeTo(t, &webhook.Callback{ID: shop, URL: "https://shop.test/hook", Subscriptions: []string{webhook.Everything}, Ordering: webhook.Strict})
		w.happen(t, about("SE1"), about("SE1"), about("SE1"))
		time.Sleep(5 * 24 * time.Hour)
		got, refusals := taken(t, to.posts(), first)
		if diff := cmp.Diff(map[string][]uint64{"SE1": {2, 3}}, got); diff != "" || refusals != webhook.MaxTries() {
			t.Errorf("%d refusals, and (-want +got):\n%s", refusals, diff)
		}
		if posts := to.posts(); !first(posts[webhook.MaxTries()-1]) {
			t.Error("what is newer was sent ahead of the last try")
		}
	})
}

// TestOrderIsChanged: what has waited behind another goes when it need not any more.
func TestOrderIsChanged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		to := &receivers{answer: func(post) (int, webhook.Problem) { return 500, webhook.ProblemStatus }}
		w.process(t, "one", to)
		c := w.subscribeTo(t, &webhook.Callback{ID: shop, URL: "https://shop.test/hook", Subscriptions: []string{webhook.Everything}, Ordering: webhook.Strict})
		w.happen(t, about("SE1"), about("SE1"))
		if n := len(to.posts()); n != 1 {
			t.Fatalf("%d tries, want that of the first", n)
		}
		c.Ordering = ""
		w.change(t, c)
		if n := len(to.posts()); n != 2 {
			t.Errorf("%d tries, want one of each", n)
		}
	})
}

// late is a state of which a follower is told nothing of what waits before it is opened.
type late struct {
	state.Store
	open chan struct{}
}

func (l *late) Follow(ctx context.Context, patterns []string, apply func(state.Change), caughtUp func()) error {
	if state.BucketOf(patterns[0]) != state.Deliveries {
		return l.Store.Follow(ctx, patterns, apply, caughtUp)
	}
	return l.Store.Follow(ctx, patterns, func(change state.Change) {
		<-l.open
		apply(change)
	}, caughtUp)
}

// TestWhatIsAheadIsKnown before anything is sent: who writes what waits down may be told later
// than others what is ahead of it.
func TestWhatIsAheadIsKnown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		st := &late{w.st, make(chan struct{})}
		to := new(receivers)
		w.processOver(t, "one", to, st)
		w.subscribe(t, shop, "https://shop.test/hook", webhook.Everything)
		w.happen(t, about("SE1"))
		if n := len(to.posts()); n != 0 {
			t.Errorf("%d were sent by who does not know what waits", n)
		}
		close(st.open)
		synctest.Wait()
		if n := len(to.posts()); n != 1 {
			t.Errorf("%d were sent, want 1", n)
		}
	})
}

// TestWhenTheNextIsDue: what waits for what is ahead of it is not due.
func TestWhenTheNextIsDue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		c, _ := w.process(t, "one", &receivers{answer: func(post) (int, webhook.Problem) { return 500, webhook.ProblemStatus }})
		w.subscribeTo(t, &webhook.Callback{ID: shop, URL: "https://shop.test/hook", Subscriptions: []string{webhook.Everything}, Ordering: webhook.Strict})
		w.happen(t, about("SE1"), about("SE1"))
		time.Sleep(10 * time.Second)
		log := c.Log(shop)
		if in := time.Until(log.NextAt); log.Waiting != 2 || in < 40*time.Second || in > time.Minute {
			t.Errorf("%d wait, the next of them is due in %v", log.Waiting, in)
		}
	})
}
