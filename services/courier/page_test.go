package courier_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rekindle-dev/rekindle/pkg/audit"
	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/pkg/webhook"
	"github.com/rekindle-dev/rekindle/services/courier"
)

// flaky is a state that does not answer some of the writes that make deliveries.
type flaky struct {
	state.Store
	made  atomic.Int64
	fails func(n int64) bool
}

func (f *flaky) Commit(ctx context.Context, writes ...state.Write) (state.Revision, error) {
	kind, _ := state.Split(writes[0].Key)
	if kind == "delivery" && writes[0].Expect == 0 && f.fails(f.made.Add(1)) {
		return 0, errors.New("no answer")
	}
	return f.Store.Commit(ctx, writes...)
}

// TestAPageIsGoneThroughOnce: what was stored of it, and sent, is not made again when the rest
// cannot be stored for a while.
func TestAPageIsGoneThroughOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		st := &flaky{Store: w.st, fails: func(n int64) bool { return n > 1 && n < 8 }}
		to := new(receivers)
		w.processOver(t, "one", to, st)
		w.subscribe(t, shop, "https://shop.test/hook", webhook.Everything)
		w.happen(t, about("SE1"), about("SE2"), about("SE3"))
		time.Sleep(time.Minute)
		count := map[uint64]int{}
		for _, p := range to.posts() {
			count[p.position(t)]++
		}
		for position := range uint64(3) {
			if n := count[position+1]; n != 1 {
				t.Errorf("position %d was sent %d times", position+1, n)
			}
		}
	})
}

// TestWhatWaitsIsBoundedInBytes, too.
func TestWhatWaitsIsBoundedInBytes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		c, _ := w.process(t, "one", &receivers{answer: func(post) (int, webhook.Problem) {
			time.Sleep(10 * time.Second)
			return 0, webhook.ProblemTimeout
		}})
		w.subscribe(t, shop, "https://shop.test/hook", webhook.Everything)
		large := about("SE1")
		large.Entity.Public = json.RawMessage(`{"name":"` + strings.Repeat("n", 128<<10) + `"}`)
		var all []audit.Entry
		for i := range 20 {
			large.Entity.ID = fmt.Sprint("SE", i)
			all = append(all, large)
		}
		const pages = webhook.MaxWaitingBytes/(20*128<<10) + 2
		for range pages {
			w.happen(t, all...)
		}
		bytes := 0
		for _, key := range w.left(t) {
			body, _, err := w.st.Get(t.Context(), key)
			if err != nil {
				t.Fatal(err)
			}
			d, err := webhook.ReadDelivery(body)
			if err != nil {
				t.Fatal(err)
			}
			bytes += len(d.Body)
		}
		if bytes > webhook.MaxWaitingBytes || bytes < webhook.MaxWaitingBytes/2 {
			t.Errorf("%d bytes wait", bytes)
		}
		if tries := c.Log(shop).Tries; len(tries) == 0 || tries[0].Problem != webhook.ProblemOverflow {
			t.Errorf("it is not told that some were dropped: %v", tries)
		}
	})
}

// endless is a state in which there is no end of what waits.
type endless struct {
	state.Store
	known chan struct{}
}

func (e *endless) Follow(ctx context.Context, patterns []string, apply func(state.Change), caughtUp func()) error {
	if state.BucketOf(patterns[0]) != state.Deliveries {
		return e.Store.Follow(ctx, patterns, apply, caughtUp)
	}
	return e.Store.Follow(ctx, patterns, apply, func() {
		select {
		case <-e.known:
			caughtUp()
		case <-ctx.Done():
		}
	})
}

// TestReadyBeforeWhatWaitsIsKnown: a process need not have read what waits to serve the API;
// to send it must.
func TestReadyBeforeWhatWaitsIsKnown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		to := new(receivers)
		_, kill := w.process(t, "before", &receivers{answer: func(post) (int, webhook.Problem) { return 500, webhook.ProblemStatus }})
		w.subscribe(t, shop, "https://shop.test/hook", webhook.Everything)
		w.happen(t, about("SE1"))
		kill()
		st := &endless{w.st, make(chan struct{})}
		w.processOver(t, "one", to, st) // waits until it is ready
		time.Sleep(time.Hour)
		if n := len(to.posts()); n != 0 {
			t.Errorf("%d were sent before all that waits was known", n)
		}
		close(st.known)
		synctest.Wait()
		if n := len(to.posts()); n != 1 {
			t.Errorf("%d were sent, want 1", n)
		}
	})
}

// TestNothingIsLeftOfADeletedCallback in a process, either.
func TestNothingIsLeftOfADeletedCallback(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		c := courier.New(courier.Deps{
			Name: "one", State: w.st, Pages: w.trail, Log: &w.kept, Poster: new(receivers), Key: w.key,
			Logger: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(),
		})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- c.Run(ctx, func() {}) }()
		defer func() { cancel(); <-ended }()
		synctest.Wait()
		w.subscribe(t, shop, "https://shop.test/hook", webhook.Everything)
		w.happen(t, about("SE1"))
		if n := c.Lines(); n != 1 {
			t.Fatalf("%d lines of one callback", n)
		}
		w.remove(t, state.CallbackKey(shop))
		time.Sleep(2 * time.Minute)
		if n := c.Lines(); n != 0 {
			t.Errorf("%d lines of no callback", n)
		}
	})
}

// TestTheEndOfAPropertyIsTold to its callbacks, for a while; then they are removed.
func TestTheEndOfAPropertyIsTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		down := time.Now().Add(10 * time.Minute)
		to := &receivers{answer: func(p post) (int, webhook.Problem) {
			if p.at.Before(down) {
				return 503, webhook.ProblemStatus
			}
			return 200, ""
		}}
		w.process(t, "one", to)
		w.process(t, "two", to)
		cb := w.subscribe(t, shop, "https://shop.test/hook", "property.deleted")
		cb.EndedAt = time.Now()
		w.change(t, cb)
		w.happen(t, audit.Entry{Resource: "property", Verb: audit.Deleted, Entity: audit.Entity{ID: property, Property: property}})
		time.Sleep(50 * time.Minute)
		if posts := to.posts(); len(posts) != 4 || posts[3].at.Before(down) {
			t.Errorf("%d tries, want 4 of which the last is taken", len(posts))
		}
		if _, _, err := w.st.Get(t.Context(), state.CallbackKey(shop)); err != nil {
			t.Errorf("it is gone too soon: %v", err)
		}
		time.Sleep(15 * time.Minute)
		if _, _, err := w.st.Get(t.Context(), state.CallbackKey(shop)); !errors.Is(err, state.ErrNotFound) {
			t.Errorf("it is still there: %v", err)
		}
	})
}
