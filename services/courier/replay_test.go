package courier_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rekindle-dev/rekindle/pkg/audit"
	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/pkg/webhook"
)

// entities makes entries, each about another entity.
func entities(from, to int) (all []audit.Entry) {
	for i := from; i < to; i++ {
		all = append(all, about(fmt.Sprint("SE", i)))
	}
	return all
}

// ask asks for a replay.
func (w *world) ask(t *testing.T, c *webhook.Callback, r webhook.Replay) {
	t.Helper()
	r.AskedAt = time.Now()
	if r.Number = 1; c.Replay != nil {
		r.Number = c.Replay.Number + 1
	}
	c.Replay = &r
	w.change(t, c)
}

// positions returns where what was posted stands in the trail.
func positions(t *testing.T, posts []post) (all []uint64) {
	t.Helper()
	for _, p := range posts {
		all = append(all, p.position(t))
	}
	return all
}

// from are the numbers from one to 25.
func from(first uint64) (all []uint64) {
	for n := first; n <= 25; n++ {
		all = append(all, n)
	}
	return all
}

// TestReplay from a position and from a time: all from there on comes once more, with the ids
// it had, in its order, and nothing before it.
func TestReplay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		to := new(receivers)
		c, _ := w.process(t, "one", to)
		w.process(t, "two", to)
		w.happen(t, entities(0, 10)...) // ahead of the callback
		time.Sleep(time.Hour)
		cb := w.subscribe(t, shop, "https://shop.test/hook", webhook.Everything)
		for range 5 {
			w.happen(t, about("SE1"), about("SE1"), about("SE1"))
			time.Sleep(time.Hour)
		}
		ids := map[uint64]string{}
		for _, p := range to.posts() {
			ids[p.position(t)] = p.header.Get("Webhook-Id")
		}
		before := len(to.posts())
		steps := []struct {
			replay webhook.Replay
			want   []uint64
		}{
			{webhook.Replay{From: 15}, from(15)},
			{webhook.Replay{From: 25}, from(25)},
			{webhook.Replay{From: 26}, nil},
			{webhook.Replay{Since: time.Now().Add(-2*time.Hour - time.Minute)}, from(20)},
			{webhook.Replay{Since: time.Now().Add(time.Minute)}, nil},
			{webhook.Replay{From: 9}, from(9)},
			{webhook.Replay{Since: time.Now().Add(-100 * time.Hour)}, from(1)},
		}
		for _, step := range steps {
			w.ask(t, cb, step.replay)
			time.Sleep(10 * time.Second)
			posts := to.posts()[before:]
			before += len(posts)
			got := positions(t, posts)
			if step.replay.From != 9 && step.replay.From != 0 { // about several entities they may fly at once
				if diff := cmp.Diff(step.want, got); diff != "" {
					t.Errorf("%+v (-want +got):\n%s", step.replay, diff)
				}
			}
			slices.Sort(got)
			if diff := cmp.Diff(step.want, got); diff != "" {
				t.Errorf("%+v (-want +got):\n%s", step.replay, diff)
			}
			for _, p := range posts {
				if id := ids[p.position(t)]; id != "" && id != p.header.Get("Webhook-Id") {
					t.Errorf("position %d has another id", p.position(t))
				}
			}
			p := c.Log(shop).Replay
			if p == nil || p.Number != cb.Replay.Number || p.Runs() || p.Messages != len(step.want) {
				t.Errorf("%+v: progress %+v", step.replay, p)
			}
		}
		if left := w.left(t); len(left) > 0 {
			t.Errorf("left over: %v", left)
		}
	})
}

// TestReplayIsTakenOver: what a process has not gone through when it dies, another does, and
// not all of it again.
func TestReplayIsTakenOver(t *testing.T) {
	t.Parallel()
	for _, cut := range []bool{false, true} { // stopped, or cut off
		t.Run(fmt.Sprint("cut off ", cut), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				for i := range 10 {
					w.keep(t, w.page(t, entities(100*i, 100*i+100)...))
				}
				cb := w.subscribe(t, shop, "https://shop.test/hook", webhook.Everything)
				slow := &receivers{answer: func(post) (int, webhook.Problem) {
					time.Sleep(time.Second)
					return 200, ""
				}}
				st := &cutOff{Store: w.st}
				_, kill := w.processOver(t, "one", slow, st)
				w.ask(t, cb, webhook.Replay{From: 1})
				time.Sleep(40 * time.Second)
				st.cut.Store(cut)
				kill()
				first := len(slow.posts())
				to := new(receivers)
				c, _ := w.process(t, "two", to)
				time.Sleep(5 * time.Second)
				if n := len(to.posts()); (n > 0) == cut {
					t.Errorf("%d have come at once", n)
				}
				time.Sleep(3 * time.Minute)
				seen := map[uint64]bool{}
				for _, p := range append(slow.posts(), to.posts()...) {
					seen[p.position(t)] = true
				}
				if len(seen) != 1000 {
					t.Errorf("%d of 1000 have come", len(seen))
				}
				if again := first + len(to.posts()) - 1000; again > 2*100 {
					t.Errorf("%d have come again", again)
				}
				if p := c.Log(shop).Replay; p.Runs() || p.Position != 1000 {
					t.Errorf("progress %+v", p)
				}
			})
		})
	}
}

// TestReplayIsPaced: what happens meanwhile does not wait for all that is replayed, and no more
// waits than may.
func TestReplayIsPaced(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		for i := range 20 {
			w.keep(t, w.page(t, entities(100*i, 100*i+100)...))
		}
		to := &receivers{answer: func(post) (int, webhook.Problem) {
			time.Sleep(time.Second)
			return 200, ""
		}}
		c, _ := w.process(t, "one", to)
		cb := w.subscribe(t, shop, "https://shop.test/hook", webhook.Everything)
		w.ask(t, cb, webhook.Replay{From: 1})
		time.Sleep(time.Minute)
		w.happen(t, about("SEnew"))
		if n := c.Log(shop).Waiting; n > 110 {
			t.Errorf("%d wait", n)
		}
		time.Sleep(30 * time.Second)
		if !slices.ContainsFunc(to.posts(), func(p post) bool { return p.entity(t) == "SEnew" }) {
			t.Error("what happened meanwhile waits for the replay")
		}
		if p := c.Log(shop).Replay; !p.Runs() || p.Messages > 1000 {
			t.Errorf("progress %+v", p)
		}
		time.Sleep(5 * time.Minute)
		if p := c.Log(shop).Replay; p.Runs() || p.Messages != 2000 {
			t.Errorf("in the end: progress %+v", p)
		}
	})
}

// TestReplayReplaces the one before, which goes no further.
func TestReplayReplaces(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		for i := range 10 {
			w.keep(t, w.page(t, entities(100*i, 100*i+100)...))
		}
		to := &receivers{answer: func(post) (int, webhook.Problem) {
			time.Sleep(time.Second)
			return 200, ""
		}}
		c, _ := w.process(t, "one", to)
		cb := w.subscribe(t, shop, "https://shop.test/hook", webhook.Everything)
		w.ask(t, cb, webhook.Replay{From: 1})
		time.Sleep(20 * time.Second)
		w.ask(t, cb, webhook.Replay{From: 991})
		time.Sleep(10 * time.Minute)
		count := map[uint64]int{}
		for _, p := range to.posts() {
			count[p.position(t)]++
		}
		if n := len(count); n > 400 {
			t.Errorf("%d messages: the first went on", n)
		}
		for n := uint64(991); n <= 1000; n++ {
			if count[n] != 1 {
				t.Errorf("position %d came %d times", n, count[n])
			}
		}
		if p := c.Log(shop).Replay; p.Number != 2 || p.Runs() || p.Messages != 10 {
			t.Errorf("progress %+v", p)
		}
	})
}

// TestReplayInStrictOrder: what happens meanwhile comes behind what is replayed, about every
// entity.
func TestReplayInStrictOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		to := &receivers{answer: func(post) (int, webhook.Problem) {
			time.Sleep(100 * time.Millisecond)
			return 200, ""
		}}
		w.process(t, "one", to)
		w.process(t, "two", to)
		cb := w.subscribeTo(t, &webhook.Callback{ID: shop, URL: "https://shop.test/hook", Subscriptions: []string{webhook.Everything}, Ordering: webhook.Strict})
		var page []audit.Entry
		for range 150 {
			page = append(page, about("SE1"), about("SE2"))
		}
		w.happen(t, append(page, about("SE3"))...)
		time.Sleep(time.Minute)
		before := len(to.posts())
		w.ask(t, cb, webhook.Replay{From: 1})
		time.Sleep(3 * time.Second)
		w.happen(t, about("SE3"), about("SE2"), about("SE1")) // meanwhile
		time.Sleep(time.Hour)
		want := map[string][]uint64{"SE3": {301, 302}}
		for n := uint64(1); n <= 300; n++ {
			entity := fmt.Sprint("SE", 1+(n-1)%2)
			want[entity] = append(want[entity], n)
		}
		want["SE2"], want["SE1"] = append(want["SE2"], 303), append(want["SE1"], 304)
		got, _ := taken(t, to.posts()[before:], func(post) bool { return false })
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

// TestReplayHurries what waits for another try, and gives it all its tries.
func TestReplayHurries(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		to := &receivers{answer: func(post) (int, webhook.Problem) { return 500, webhook.ProblemStatus }}
		c, _ := w.process(t, "one", to)
		cb := w.subscribe(t, shop, "https://shop.test/hook", webhook.Everything)
		w.happen(t, about("SE1"))
		time.Sleep(3 * 24 * time.Hour)
		before := len(to.posts())
		w.ask(t, cb, webhook.Replay{From: 1})
		time.Sleep(time.Second)
		if n := len(to.posts()) - before; n != 1 {
			t.Errorf("%d tries, want one at once", n)
		}
		if tries := c.Log(shop).Tries; tries[0].Attempt != 1 || tries[0].Outcome != webhook.Failed {
			t.Errorf("the last try is %+v", tries[0])
		}
	})
}

// TestReplayOfADeletedCallback ends, and nothing is left of it.
func TestReplayOfADeletedCallback(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		for i := range 10 {
			w.keep(t, w.page(t, entities(100*i, 100*i+100)...))
		}
		to := &receivers{answer: func(post) (int, webhook.Problem) { return 500, webhook.ProblemStatus }}
		w.process(t, "one", to)
		cb := w.subscribe(t, shop, "https://shop.test/hook", webhook.Everything)
		w.ask(t, cb, webhook.Replay{From: 1})
		time.Sleep(10 * time.Second)
		w.remove(t, state.CallbackKey(shop))
		time.Sleep(5 * time.Minute)
		if left := w.left(t); len(left) > 0 {
			t.Errorf("left over: %v", left)
		}
		if _, _, err := w.st.Get(t.Context(), state.ReplayKey(shop)); err == nil {
			t.Error("how far it was is left over")
		}
	})
}

// TestSentAgain: a message is sent again at once, by its id, whether it waits or not.
func TestSentAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var status atomic.Int64
		status.Store(200)
		to := &receivers{answer: func(post) (int, webhook.Problem) {
			if status.Load() != 200 {
				return int(status.Load()), webhook.ProblemStatus
			}
			return 200, ""
		}}
		c, _ := w.process(t, "one", to)
		cb := w.subscribe(t, shop, "https://shop.test/hook", webhook.Everything)
		w.happen(t, about("SE1"))
		status.Store(500)
		w.happen(t, about("SE2"))
		sent, waiting := c.Log(shop).Tries[1].Delivery, c.Log(shop).Tries[0].Delivery

		send := func(message string, want webhook.Outcome, tries int) {
			t.Helper()
			got, err := c.Send(t.Context(), cb, message)
			if err != nil || got.Outcome != want || got.Delivery != message {
				t.Errorf("%v, %v, want it %s", got, err, want)
			}
			if n := len(to.posts()); n != tries {
				t.Errorf("%d tries, want %d", n, tries)
			}
		}
		send(sent, webhook.Dropped, 3)
		send(waiting, webhook.Failed, 4)
		if n := c.Log(shop).Waiting; n != 1 {
			t.Errorf("%d wait", n)
		}
		status.Store(201)
		status.Store(200)
		send(sent, webhook.Delivered, 5)
		send(waiting, webhook.Delivered, 6)
		time.Sleep(time.Hour)
		posts := to.posts()
		if n := len(posts); n != 6 || len(w.left(t)) != 0 {
			t.Errorf("%d tries, and %v waits", n, w.left(t))
		}
		if string(posts[4].body) != string(posts[0].body) || string(posts[5].body) != string(posts[1].body) {
			t.Error("a message has another body when it is sent again")
		}
		ping, err := c.Send(t.Context(), cb, "")
		if err != nil {
			t.Fatal(err)
		}
		for _, message := range []string{"msg_1", ping.Delivery} {
			if _, err := c.Send(t.Context(), cb, message); err != webhook.ErrNoMessage {
				t.Errorf("%s: %v", message, err)
			}
		}
		time.Sleep(webhook.KeepTries + time.Hour)
		if tries := c.Log(shop).Tries; len(tries) != 0 {
			t.Errorf("%d tries are told of for ever", len(tries))
		}
	})
}

// TestReplayInStrictOrderOfAFullLine: what was dropped because too much was waiting comes with the
// replay, and drops nothing of what waits for it.
func TestReplayInStrictOrderOfAFullLine(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var up atomic.Bool
		to := &receivers{answer: func(post) (int, webhook.Problem) {
			if !up.Load() {
				time.Sleep(10 * time.Second)
				return 0, webhook.ProblemTimeout
			}
			return 200, ""
		}}
		c, _ := w.process(t, "one", to)
		cb := w.subscribeTo(t, &webhook.Callback{ID: shop, URL: "https://shop.test/hook", Subscriptions: []string{webhook.Everything}, Ordering: webhook.Strict})
		var large []audit.Entry
		for _, e := range entities(0, 20) {
			e.Entity.Public = json.RawMessage(`{"name":"` + strings.Repeat("n", 128<<10) + `"}`)
			large = append(large, e)
		}
		const pages = webhook.MaxWaitingBytes/(20*128<<10) + 2
		for range pages {
			w.happen(t, large...)
		}
		dropped := func() (n int) {
			for _, try := range c.Log(shop).Tries {
				n += try.Count
			}
			return n
		}
		before := dropped()
		up.Store(true)
		w.ask(t, cb, webhook.Replay{From: 1})
		time.Sleep(time.Hour)
		got := map[uint64]bool{}
		for _, p := range to.posts() {
			got[p.position(t)] = true
		}
		for n := range uint64(pages * 20) {
			if !got[n+1] {
				t.Errorf("position %d has not come", n+1)
			}
		}
		if left := w.left(t); before == 0 || dropped() != before || len(left) > 0 {
			t.Errorf("%d were dropped, and %d before; %d are left", dropped(), before, len(left))
		}
	})
}
