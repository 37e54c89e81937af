package courier_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/rekindle-dev/rekindle/pkg/audit"
	"github.com/rekindle-dev/rekindle/pkg/audit/audittest"
	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/pkg/state/statetest"
	"github.com/rekindle-dev/rekindle/pkg/webhook"
	"github.com/rekindle-dev/rekindle/services/courier"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	org      = "ORG@Test"
	property = "PR00000000000040008000000000000001"
	shop     = "CB00000000000040008000000000000001"
	bank     = "CB00000000000040008000000000000002"
)

// post is a try that a receiver has seen.
type post struct {
	at     time.Time
	url    string
	header http.Header
	body   []byte
}

// receivers answer as they are told, and remember.
type receivers struct {
	answer func(p post) (int, webhook.Problem)

	mu   sync.Mutex
	seen []post
}

func (r *receivers) Post(ctx context.Context, url string, header http.Header, body []byte) (int, webhook.Problem) {
	p := post{time.Now(), url, header.Clone(), bytes.Clone(body)}
	r.mu.Lock()
	r.seen = append(r.seen, p)
	r.mu.Unlock()
	if r.answer == nil {
		return 200, ""
	}
	return r.answer(p)
}

func (r *receivers) posts() []post {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.seen)
}

func (p post) position(t *testing.T) uint64 {
	t.Helper()
	var m struct{ Meta struct{ Position uint64 } }
	if err := json.Unmarshal(p.body, &m); err != nil {
		t.Fatal(err)
	}
	return m.Meta.Position
}

func (p post) entity(t *testing.T) string {
	t.Helper()
	var m struct {
		Data struct {
			Relationships struct {
				Entity struct{ Data struct{ ID string } }
			}
		}
	}
	if err := json.Unmarshal(p.body, &m); err != nil {
		t.Fatal(err)
	}
	return m.Data.Relationships.Entity.Data.ID
}

// cutOff is a state that does not answer once it is cut off.
type cutOff struct {
	state.Store
	cut atomic.Bool
}

func (c *cutOff) Commit(ctx context.Context, writes ...state.Write) (state.Revision, error) {
	if c.cut.Load() {
		return 0, errors.New("no answer")
	}
	return c.Store.Commit(ctx, writes...)
}

// text is a log that is kept.
type text struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *text) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *text) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// trail hands over pages to one of those who take them.
type trail struct{ pages chan []byte }

func (tr *trail) Pages(ctx context.Context, _ string, handle func(context.Context, []byte) error) error {
	for {
		select {
		case p := <-tr.pages:
			for handle(ctx, p) != nil && ctx.Err() == nil {
				time.Sleep(time.Second)
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// world is a state, a trail and a key that processes share.
type world struct {
	st    state.Store
	trail *trail
	kept  audittest.Log // what the trail has had
	last  uint64        // page of it
	key   *webhook.Key
	log   text
	total uint64
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{st: statetest.New(), trail: &trail{make(chan []byte, 100)}, key: webhook.NewKey()}
	if err := courier.Adopt(t.Context(), w.st, w.key); err != nil {
		t.Fatal(err)
	}
	return w
}

// process starts a courier, and returns it with what kills it.
func (w *world) process(t *testing.T, name string, to courier.Poster) (*courier.Courier, func()) {
	t.Helper()
	return w.processOver(t, name, to, w.st)
}

func (w *world) processOver(t *testing.T, name string, to courier.Poster, st state.Store) (*courier.Courier, func()) {
	t.Helper()
	c := courier.New(courier.Deps{
		Name: name, State: st, Pages: w.trail, Log: &w.kept, Poster: to, Key: w.key,
		Logger: slog.New(slog.NewTextHandler(&w.log, nil)), Metrics: prometheus.NewRegistry(),
	})
	ctx, cancel := context.WithCancel(t.Context())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- c.Run(ctx, func() { close(ready) }) }()
	<-ready
	kill := sync.OnceFunc(func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("ended with %v", err)
		}
	})
	t.Cleanup(kill)
	return c, kill
}

func (w *world) subscribe(t *testing.T, id, url string, to ...string) *webhook.Callback {
	t.Helper()
	return w.subscribeTo(t, &webhook.Callback{ID: id, URL: url, Subscriptions: to})
}

// subscribeTo makes a callback that has an id, a URL and what it is told of.
func (w *world) subscribeTo(t *testing.T, c *webhook.Callback) *webhook.Callback {
	t.Helper()
	c.Org, c.Property, c.Generation, c.CreatedAt = org, property, 1, time.Now()
	w.change(t, c)
	return c
}

// change stores a callback.
func (w *world) change(t *testing.T, c *webhook.Callback) {
	t.Helper()
	body, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	_, rev, err := w.st.Get(t.Context(), state.CallbackKey(c.ID))
	if err != nil && !errors.Is(err, state.ErrNotFound) {
		t.Fatal(err)
	}
	if _, err := w.st.Commit(t.Context(), state.Write{Key: state.CallbackKey(c.ID), Value: body, Expect: rev}); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
}

// remove removes a record.
func (w *world) remove(t *testing.T, key string) {
	t.Helper()
	_, rev, err := w.st.Get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.st.Commit(t.Context(), state.Write{Key: key, Expect: rev}); err != nil {
		t.Fatal(err)
	}
}

func about(entity string) audit.Entry {
	return audit.Entry{
		Resource: "secret", Verb: audit.Updated, Email: "canary@example.org", Request: "canary-request",
		Entity: audit.Entity{ID: entity, Name: "crm", Property: property, Public: json.RawMessage(`{"name":"crm"}`)},
	}
}

// happen writes a page of the trail.
func (w *world) happen(t *testing.T, entries ...audit.Entry) {
	t.Helper()
	page := w.page(t, entries...)
	w.keep(t, page)
	w.trail.pages <- page
	synctest.Wait()
}

// keep keeps a page for whoever looks for it later.
func (w *world) keep(t *testing.T, page []byte) {
	t.Helper()
	var err error
	if w.last, err = w.kept.Append(t.Context(), org, page, w.last); err != nil {
		t.Fatal(err)
	}
}

func (w *world) page(t *testing.T, entries ...audit.Entry) []byte {
	t.Helper()
	now := time.Now()
	for i := range entries {
		entries[i].At = now
		entries[i].ID = audit.NewID(org, fmt.Sprint(w.total, i), now)
	}
	body, err := json.Marshal(audit.Page{Org: org, Number: 1 + w.total, Total: w.total, At: now, Entries: entries})
	if err != nil {
		t.Fatal(err)
	}
	w.total += uint64(len(entries))
	return body
}

// left returns the keys of what waits.
func (w *world) left(t *testing.T) (keys []string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	w.st.Follow(ctx, []string{state.DeliveryKey("*", "*")}, func(c state.Change) {
		if c.Value != nil {
			keys = append(keys, c.Key)
		}
	}, cancel)
	return keys
}

// A try is made when the contract says, each counted from the one before, and then no more.
func TestRetries(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		to := &receivers{answer: func(post) (int, webhook.Problem) {
			time.Sleep(3 * time.Second) // a try takes its time; the next is counted from its beginning
			return 500, webhook.ProblemStatus
		}}
		c, _ := w.process(t, "one", to)
		w.subscribe(t, shop, "https://shop.test/hook", "secret.updated")
		w.happen(t, about("SE1"))
		time.Sleep(6 * 24 * time.Hour)
		synctest.Wait()

		want := []time.Duration{
			time.Minute, 5 * time.Minute, 30 * time.Minute, time.Hour, 12 * time.Hour, 24 * time.Hour, 72 * time.Hour,
		}
		var got []time.Duration
		posts := to.posts()
		for i, p := range posts[1:] {
			got = append(got, p.at.Sub(posts[i].at))
			if string(p.body) != string(posts[0].body) || p.header.Get("Webhook-Id") != posts[0].header.Get("Webhook-Id") {
				t.Errorf("try %d has another body or id", i+2)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("pauses (-want +got):\n%s", diff)
		}
		if left := w.left(t); len(left) > 0 {
			t.Errorf("left over: %v", left)
		}
		tries, waiting := c.Log(shop).Tries, c.Log(shop).Waiting
		if waiting != 0 || len(tries) != webhook.MaxTries() || tries[0].Outcome != webhook.Dropped || tries[1].Outcome != webhook.Failed {
			t.Errorf("%d waiting, tries %v", waiting, tries)
		}
		if !strings.Contains(w.log.String(), "a delivery was dropped") {
			t.Error("the log does not tell that it was dropped")
		}
	})
}

// What is sent says what happened, is signed, and does not tell who did it.
func TestMessage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		to := new(receivers)
		w.process(t, "one", to)
		w.subscribe(t, shop, "https://shop.test/hook", "secret.updated")
		w.subscribe(t, bank, "https://bank.test/hook", "library.created")
		other := about("SE2")
		other.Entity.Property = "PR00000000000040008000000000000002"
		created := about("SE3")
		created.Verb = audit.Created
		w.happen(t, about("SE1"), other, created)

		posts := to.posts()
		if len(posts) != 1 {
			t.Fatalf("%d posts, want that of what is subscribed to", len(posts))
		}
		const want = `{"data":{"id":"ID","type":"audit_events","attributes":{"created_at":"2000-01-01T00:00:00.000Z","display_name":"crm",` +
			`"entity":"{\"id\":\"SE1\",\"type\":\"secrets\",\"attributes\":{\"name\":\"crm\"}}","type_of":"secret.updated"},` +
			`"relationships":{"entity":{"data":{"id":"SE1","type":"secrets"}},"property":{"data":{"id":"` + property + `","type":"properties"}}}},` +
			`"meta":{"callback_id":"` + shop + `","position":1}}`
		var read struct{ Data struct{ ID string } }
		if err := json.Unmarshal(posts[0].body, &read); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, strings.Replace(string(posts[0].body), read.Data.ID, "ID", 1)); diff != "" {
			t.Errorf("the message (-want +got):\n%s", diff)
		}
		secret, err := w.key.Secret(shop, 1)
		if err != nil {
			t.Fatal(err)
		}
		h := posts[0].header
		if err := webhook.Verify(secret.Reveal(), h, posts[0].body, time.Now()); err != nil {
			t.Errorf("the signature: %v", err)
		}
		if h.Get("Content-Type") != "application/json" {
			t.Errorf("Content-Type is %q", h.Get("Content-Type"))
		}
	})
}

// A callback that does not answer holds up no other, and none of its own entities another.
func TestSlowReceiverHoldsUpNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		to := &receivers{answer: func(p post) (int, webhook.Problem) {
			if strings.Contains(p.url, "shop") {
				time.Sleep(10 * time.Second)
				return 0, webhook.ProblemTimeout
			}
			return 201, ""
		}}
		c, _ := w.process(t, "one", to)
		w.subscribe(t, shop, "https://shop.test/hook", webhook.Everything)
		w.subscribe(t, bank, "https://bank.test/hook", webhook.Everything)
		var all []audit.Entry
		for i := range 50 {
			all = append(all, about(fmt.Sprint("SE", i)))
		}
		w.happen(t, all...)
		if tries, waiting := c.Log(bank).Tries, c.Log(bank).Waiting; waiting != 0 || len(tries) != 50 {
			t.Errorf("the other has %d tries and %d waiting", len(tries), waiting)
		}
		if waiting := c.Log(shop).Waiting; waiting != 50 {
			t.Errorf("%d are waiting for the slow one", waiting)
		}
		before := len(to.posts())
		time.Sleep(30 * time.Second)
		if n := len(to.posts()) - before; n > 4 {
			t.Errorf("%d tries within 30 s to one that does not answer within 10", n)
		}
	})
}

// First tries about one entity are made in order, one after the other.
func TestOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var mu sync.Mutex
		flying := 0
		to := &receivers{answer: func(p post) (int, webhook.Problem) {
			mu.Lock()
			flying++
			if flying > 1 {
				t.Error("two at once about one entity")
			}
			mu.Unlock()
			time.Sleep(time.Duration(1+p.at.Nanosecond()%3) * 100 * time.Millisecond)
			mu.Lock()
			flying--
			mu.Unlock()
			return 200, ""
		}}
		w.process(t, "one", to)
		w.process(t, "two", to)
		w.subscribe(t, shop, "https://shop.test/hook", webhook.Everything)
		for range 10 {
			w.happen(t, about("SE1"), about("SE1"), about("SE1"))
		}
		time.Sleep(time.Minute)
		var got, want []uint64
		for i, p := range to.posts() {
			got, want = append(got, p.position(t)), append(want, uint64(i+1))
		}
		if diff := cmp.Diff(want, got); diff != "" || len(got) != 30 {
			t.Errorf("positions (-want +got):\n%s", diff)
		}
	})
}

// Two processes share what there is: nothing is sent twice while both live.
func TestShared(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var up atomic.Bool
		to := &receivers{answer: func(post) (int, webhook.Problem) {
			if !up.Load() {
				return 503, webhook.ProblemStatus
			}
			return 200, ""
		}}
		w.process(t, "one", to)
		w.process(t, "two", to)
		w.subscribe(t, shop, "https://shop.test/hook", webhook.Everything)
		for i := range 20 {
			w.happen(t, about(fmt.Sprint("SE", i)))
		}
		time.Sleep(30 * time.Second)
		up.Store(true)
		time.Sleep(time.Hour)
		count := map[string]int{}
		for _, p := range to.posts() {
			count[p.header.Get("Webhook-Id")]++
		}
		for id, n := range count {
			if n != 2 {
				t.Errorf("%s was sent %d times, want once before and once after the receiver came back", id, n)
			}
		}
		if len(count) != 20 || len(w.left(t)) != 0 {
			t.Errorf("%d deliveries, %d left", len(count), len(w.left(t)))
		}
	})
}

// What a process had not sent when it died, another sends.
func TestTakenOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.subscribe(t, shop, "https://shop.test/hook", webhook.Everything)
		st := &cutOff{Store: w.st}
		// It is cut off while it sends, so that it cannot write down that it has.
		stuck := &receivers{answer: func(post) (int, webhook.Problem) {
			st.cut.Store(true)
			return 200, ""
		}}
		_, kill := w.processOver(t, "one", stuck, st)
		w.happen(t, about("SE1"))
		time.Sleep(5 * time.Second)
		kill()
		if left := w.left(t); len(left) != 1 {
			t.Fatalf("left over: %v", left)
		}
		to := new(receivers)
		w.process(t, "two", to)
		time.Sleep(2 * time.Minute)
		if n := len(to.posts()); n != 1 {
			t.Fatalf("the other process has sent it %d times", n)
		}
		if to.posts()[0].header.Get("Webhook-Id") != stuck.posts()[0].header.Get("Webhook-Id") {
			t.Error("the repeat has another id")
		}
		if left := w.left(t); len(left) > 0 {
			t.Errorf("left over: %v", left)
		}
	})
}

// A process that stops lets others have at once what it was sending.
func TestReleased(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.subscribe(t, shop, "https://shop.test/hook", webhook.Everything)
		began := make(chan struct{})
		slow := posterFunc(func(ctx context.Context) (int, webhook.Problem) {
			close(began)
			<-ctx.Done()
			return 0, webhook.ProblemTimeout
		})
		_, kill := w.process(t, "one", slow)
		w.happen(t, about("SE1"))
		<-began
		kill()
		to := new(receivers)
		w.process(t, "two", to)
		synctest.Wait()
		if n := len(to.posts()); n != 1 {
			t.Errorf("the other process has sent it %d times", n)
		}
	})
}

type posterFunc func(ctx context.Context) (int, webhook.Problem)

func (f posterFunc) Post(ctx context.Context, _ string, _ http.Header, _ []byte) (int, webhook.Problem) {
	return f(ctx)
}

// No more waits than there may; the oldest goes, and that is told.
func TestOverflow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		c, _ := w.process(t, "one", &receivers{answer: func(post) (int, webhook.Problem) {
			time.Sleep(10 * time.Second)
			return 0, webhook.ProblemTimeout
		}})
		w.subscribe(t, shop, "https://shop.test/hook", webhook.Everything)
		var all []audit.Entry
		for i := range audit.MaxEntries {
			all = append(all, about(fmt.Sprint("SE", i)))
		}
		const over = 7
		for range webhook.MaxWaiting / audit.MaxEntries {
			w.happen(t, all...)
		}
		w.happen(t, all[:over]...)
		if left := len(w.left(t)); left != webhook.MaxWaiting {
			t.Errorf("%d wait", left)
		}
		tries := c.Log(shop).Tries
		if len(tries) != 1 || tries[0].Problem != webhook.ProblemOverflow || tries[0].Count != over {
			t.Errorf("it is not told that %d were dropped: %v", over, tries)
		}
	})
}

// What a deleted callback leaves is removed, and not sent.
func TestDeleted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		to := &receivers{answer: func(post) (int, webhook.Problem) { return 500, webhook.ProblemStatus }}
		w.process(t, "one", to)
		w.subscribe(t, shop, "https://shop.test/hook", webhook.Everything)
		w.happen(t, about("SE1"), about("SE2"))
		w.remove(t, state.CallbackKey(shop))
		time.Sleep(2 * time.Minute)
		if n := len(to.posts()); n != 2 {
			t.Errorf("%d tries, want none after it was deleted", n)
		}
		if left := w.left(t); len(left) > 0 {
			t.Errorf("left over: %v", left)
		}
		if _, _, err := w.st.Get(t.Context(), state.TryKey(shop, "1")); !errors.Is(err, state.ErrNotFound) {
			t.Errorf("its tries are left over: %v", err)
		}
	})
}

// What is no page, and what was there before the callback, is passed over; a page that comes
// twice is sent with the same ids.
func TestPages(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		to := new(receivers)
		w.process(t, "one", to)
		early := w.page(t, about("SE1"))
		time.Sleep(time.Second)
		w.subscribe(t, shop, "https://shop.test/hook", webhook.Everything)
		twice := w.page(t, about("SE2"))
		for _, p := range [][]byte{[]byte("canary"), []byte("{}"), early, twice, twice} {
			w.trail.pages <- p
			synctest.Wait()
		}
		posts := to.posts()
		if len(posts) != 2 || posts[0].header.Get("Webhook-Id") != posts[1].header.Get("Webhook-Id") {
			t.Errorf("%d posts", len(posts))
		}
		if strings.Contains(w.log.String(), "canary") {
			t.Error("the log quotes what is no page")
		}
	})
}

// A ping is sent at once, signed, and once.
func TestPing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		status := 200
		to := &receivers{answer: func(post) (int, webhook.Problem) {
			if status == 200 {
				return 200, ""
			}
			return status, webhook.ProblemStatus
		}}
		c, _ := w.process(t, "one", to)
		cb := w.subscribe(t, shop, "https://shop.test/hook", "secret.created")
		if got, err := c.Send(t.Context(), cb, ""); err != nil || got.Outcome != webhook.Delivered || got.Status != 200 {
			t.Errorf("%v, %v", got, err)
		}
		status = 404
		if got, err := c.Send(t.Context(), cb, ""); err != nil || got.Outcome != webhook.Dropped || got.Status != 404 || !got.NextAt.IsZero() {
			t.Errorf("%v, %v", got, err)
		}
		time.Sleep(24 * time.Hour)
		if n := len(to.posts()); n != 2 {
			t.Errorf("%d posts", n)
		}
		if tries := c.Log(shop).Tries; len(tries) != 2 {
			t.Errorf("tries %v", tries)
		}
	})
}

// A process with another key than the fleet's is told so.
func TestAdopt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if err := courier.Adopt(t.Context(), w.st, w.key); err != nil {
		t.Errorf("the same key: %v", err)
	}
	if err := courier.Adopt(t.Context(), w.st, webhook.NewKey()); !errors.Is(err, courier.ErrOtherKey) {
		t.Errorf("another key: %v", err)
	}
	if adopted, err := courier.Adopted(t.Context(), w.st); err != nil || !adopted {
		t.Errorf("adopted: %v, %v", adopted, err)
	}
}
