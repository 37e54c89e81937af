package status_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/bus"
	"github.com/rekindle-dev/rekindle/pkg/natsd"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/services/api/status"
)

// patience bounds whatever a test waits for. It is only reached by a test that fails.
const patience = 30 * time.Second

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a NATS server with records, and somebody who looks at the bucket by nothing but
// nats.go.
type world struct {
	t       *testing.T
	ctx     context.Context
	server  *natsd.Server
	state   *bus.State
	js      jetstream.JetStream
	records map[string]*secret.Secret
	revs    map[string]state.Revision
}

func newWorld(t *testing.T) *world {
	t.Helper()
	server, err := natsd.Start(t.Context(), natsd.Config{StoreDir: t.TempDir(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	w := &world{t: t, ctx: ctx, server: server, records: map[string]*secret.Secret{}, revs: map[string]state.Revision{}}
	w.state, err = w.connect().State(ctx)
	w.check(err)
	user, password := server.Credentials()
	nc, err := nats.Connect(server.URL(), nats.UserInfo(user, password))
	w.check(err)
	t.Cleanup(nc.Close)
	w.js, err = jetstream.New(nc)
	w.check(err)
	return w
}

func (w *world) check(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) connect() *bus.Bus {
	w.t.Helper()
	user, password := w.server.Credentials()
	b, err := bus.Connect(w.ctx, bus.Config{
		URL: w.server.URL(), User: user, Password: password, Name: w.t.Name(), Logger: slog.New(slog.DiscardHandler),
	})
	w.check(err)
	w.t.Cleanup(b.Close)
	return b
}

// newSecret returns a secret that is not stored yet.
func newSecret(org, property string, kind secret.Kind) *secret.Secret {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	return &secret.Secret{
		ID: secret.NewID(secret.PrefixSecret), Org: org, Property: property, Name: "one of many", Kind: kind,
		Status: secret.Pending, CreatedAt: now, UpdatedAt: now,
	}
}

// commit stores secrets as they are now.
func (w *world) commit(all ...*secret.Secret) {
	w.t.Helper()
	for _, s := range all {
		body, err := json.Marshal(s)
		w.check(err)
		rev, err := w.state.Commit(w.ctx, state.Write{Key: state.SecretKey(s.ID), Value: body, Expect: w.revs[s.ID]})
		w.check(err)
		w.records[s.ID], w.revs[s.ID] = s, rev
	}
}

func (w *world) erase(s *secret.Secret) {
	w.t.Helper()
	_, err := w.state.Commit(w.ctx, state.Write{Key: state.SecretKey(s.ID), Expect: w.revs[s.ID]})
	w.check(err)
	delete(w.records, s.ID)
	delete(w.revs, s.ID)
}

// poster is a process that keeps statuses.
type poster struct {
	w       *world
	bus     *bus.Bus
	board   *status.Board
	metrics *prometheus.Registry
	// stop ends it, and says goodbye; cut ends it as a crash does.
	stop, cut func()

	mu   sync.Mutex
	seen map[string]*secret.Secret
	// held, if not nil, is closed when records are to be seen that were committed since.
	held chan struct{}
}

// alone shares with nobody: two of them write the same.
type alone struct{}

func (alone) Join(ctx context.Context, _ string, able <-chan struct{}, tell func(string, []string)) error {
	select {
	case <-able:
		tell("alone", []string{"alone"})
		<-ctx.Done()
	case <-ctx.Done():
	}
	return ctx.Err()
}

// post starts a process that keeps statuses, with the others.
func (w *world) post() *poster {
	w.t.Helper()
	b := w.connect()
	members, err := b.Members(w.ctx, "poster")
	w.check(err)
	return w.postOver(b, b.Statuses(), members)
}

func (w *world) postOver(b *bus.Bus, bucket status.Bucket, members status.Members) *poster {
	w.t.Helper()
	st, err := b.State(w.ctx)
	w.check(err)
	p := &poster{w: w, bus: b, metrics: prometheus.NewRegistry(), seen: map[string]*secret.Secret{}}
	p.board = status.New(status.Deps{Bucket: bucket, Members: members, Records: st, Logger: slog.New(slog.DiscardHandler), Metrics: p.metrics})
	ctx, stop := context.WithCancel(context.Background())
	var working sync.WaitGroup
	caughtUp := make(chan struct{})
	working.Go(func() {
		_ = st.Follow(ctx, []string{state.SecretKey("*")}, p.apply, func() { close(caughtUp) })
	})
	select {
	case <-caughtUp:
	case <-w.ctx.Done():
		w.t.Fatal("the records are not known")
	}
	working.Go(func() { p.board.Run(ctx, p.read) })
	p.stop = sync.OnceFunc(func() { stop(); working.Wait() })
	p.cut = func() { b.Close(); p.stop() }
	w.t.Cleanup(p.stop)
	return p
}

func (p *poster) apply(c state.Change) {
	_, id := state.Split(c.Key)
	p.mu.Lock()
	held := p.held
	p.mu.Unlock()
	if held != nil {
		<-held
	}
	p.mu.Lock()
	delete(p.seen, id)
	if c.Value != nil {
		if s, err := secret.Decode(c.Value); err == nil {
			p.seen[id] = s
		}
	}
	_, shown := p.seen[id]
	p.mu.Unlock()
	p.board.Changed(id, c.Revision, shown)
}

// lag keeps the process from seeing how records change, until the function that it returns
// is called, or the test is over.
func (p *poster) lag() (resume func()) {
	held := make(chan struct{})
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held = held
	resume = sync.OnceFunc(func() { close(held) })
	p.w.t.Cleanup(resume)
	return resume
}

func (p *poster) read(id string) (*secret.Secret, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s, ok := p.seen[id]
	return s, ok
}

// gauge returns a metric of the process.
func (p *poster) gauge(name string) (sum float64) {
	families, err := p.metrics.Gather()
	p.w.check(err)
	for _, f := range families {
		if f.GetName() == name {
			for _, m := range f.GetMetric() {
				sum += m.GetGauge().GetValue() + m.GetCounter().GetValue()
			}
		}
	}
	return sum
}

// bucket opens the bucket as anybody does.
func (w *world) bucket() jetstream.KeyValue {
	w.t.Helper()
	kv, err := w.js.KeyValue(w.ctx, events.StatusBucket)
	w.check(err)
	return kv
}

// watch begins to watch keys and returns what comes, but for the nil that ends the past.
func (w *world) watch(pattern string) <-chan jetstream.KeyValueEntry {
	w.t.Helper()
	watcher, err := w.bucket().Watch(w.ctx, pattern)
	w.check(err)
	w.t.Cleanup(func() { _ = watcher.Stop() })
	return watcher.Updates()
}

// keyOf is where the status of a secret belongs.
func keyOf(s *secret.Secret) string {
	return events.StatusKey(s.Org, s.Property, string(s.Kind.Canonical()), s.ID)
}

// shown is what the bucket shows, by key.
func (w *world) shown() map[string]events.Status {
	w.t.Helper()
	all := map[string]events.Status{}
	watcher, err := w.bucket().Watch(w.ctx, "*.*.*.*", jetstream.IgnoreDeletes())
	w.check(err)
	defer watcher.Stop()
	for e := range watcher.Updates() {
		if e == nil {
			break
		}
		var st events.Status
		w.check(json.Unmarshal(e.Value(), &st))
		all[e.Key()] = st
	}
	return all
}

// settled waits until the bucket shows just what the records say.
func (w *world) settled() {
	w.t.Helper()
	enough := time.After(patience / 2)
	for {
		diff := w.differs()
		if diff == "" {
			return
		}
		select {
		case <-enough:
			w.t.Fatalf("the bucket is not what the records say: %s", diff)
		default: // it is nobody's to announce
		}
	}
}

func (w *world) differs() string {
	shown := w.shown()
	for id, s := range w.records {
		if got := shown[keyOf(s)]; got.Revision != uint64(w.revs[id]) || got.Secret != id {
			return fmt.Sprintf("%s has revision %d, want %d", id, got.Revision, w.revs[id])
		}
		delete(shown, keyOf(s))
	}
	for key := range shown {
		return key + " is there"
	}
	return ""
}

// written is how many writes the bucket has ever taken.
func (w *world) written() uint64 {
	w.t.Helper()
	s, err := w.js.Stream(w.ctx, "KV_"+events.StatusBucket)
	w.check(err)
	return s.CachedInfo().State.LastSeq
}
