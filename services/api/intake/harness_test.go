package intake_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/rekindle-dev/rekindle/events"
	upstream "github.com/rekindle-dev/rekindle/events/intake"
	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/pkg/state/statetest"
	"github.com/rekindle-dev/rekindle/pkg/work"
	"github.com/rekindle-dev/rekindle/services/api"
	"github.com/rekindle-dev/rekindle/services/api/apitest"
	"github.com/rekindle-dev/rekindle/services/api/intake"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// errCrash is what a step returns at which the process dies.
var errCrash = errors.New("the process died")

// queue is one partition of the queue, which outlives the processes that take from it.
type queue struct {
	mu      sync.Mutex
	letters []work.Letter
	erased  map[uint64]bool
	replies []events.Event
	last    uint64
	wake    chan struct{}
	dealt   chan struct{} // closed, and made anew, whenever a letter is dealt with
	// fate is that of the process that takes from it.
	fate *fate
}

func newQueue() *queue {
	return &queue{erased: map[uint64]bool{}, wake: make(chan struct{}, 1), dealt: make(chan struct{})}
}

func (q *queue) put(l work.Letter) uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.last++
	l.Place, l.At = q.last, time.Now()
	q.letters = append(q.letters, l)
	q.stir()
	return l.Place
}

func (q *queue) stir() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// fate has a process die before or after one of its effects. The zero fate never does.
type fate struct {
	mu    sync.Mutex
	armed bool
	taken []string
	at    int // counted from 1
	after bool
	dead  chan struct{} // closed when it dies
}

// do has an effect, unless the process is dead, or dies before it.
func (f *fate) do(name string, effect func() error) error {
	now, gone := f.enter(name)
	if gone || now && !f.after {
		return f.die(now)
	}
	err := effect()
	if now {
		return f.die(now)
	}
	return err
}

// enter notes an effect, and reports whether it is the last, or comes after that.
func (f *fate) enter(name string) (now, gone bool) {
	if f == nil {
		return false, false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	select {
	case <-f.dead:
		return false, true
	default:
	}
	if !f.armed {
		return false, false
	}
	f.taken = append(f.taken, name)
	return len(f.taken) == f.at, false
}

func (f *fate) die(now bool) error {
	if now {
		close(f.dead)
	}
	return errCrash
}

func (f *fate) arm() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.armed = true
}

// mortalStore is the state as a process has it.
type mortalStore struct {
	state.Store
	fate *fate
}

func (m mortalStore) Commit(ctx context.Context, writes ...state.Write) (rev state.Revision, err error) {
	ofEvent := slices.ContainsFunc(writes, func(w state.Write) bool { return strings.HasPrefix(w.Key, "intake.") })
	if _, gone := (&fate{dead: m.fate.dead}).enter(""); !ofEvent && !gone {
		return m.Store.Commit(ctx, writes...) // of the relay, at any time
	}
	err = m.fate.do("commit", func() (err error) {
		rev, err = m.Store.Commit(ctx, writes...)
		return err
	})
	return rev, err
}

// mortalEvents is the event log as a process has it.
type mortalEvents struct {
	api.Publisher
	fate *fate
}

func (m mortalEvents) Forward(ctx context.Context, h events.Header, body []byte) error {
	name := strings.TrimPrefix(h.Get(events.HeaderType), events.TypePrefix)
	return m.fate.do("publish "+name, func() error { return m.Publisher.Forward(ctx, h, body) })
}

// first returns the letter whose turn it is. What was erased is not handed over again.
func (q *queue) first() (work.Letter, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.letters) > 0 && q.erased[q.letters[0].Place] {
		q.letters = q.letters[1:]
	}
	if len(q.letters) == 0 {
		close(q.dealt)
		q.dealt = make(chan struct{})
		return work.Letter{}, false
	}
	l := q.letters[0]
	l.Body = bytes.Clone(l.Body)
	return l, true
}

// Take implements intake.Queue.
func (q *queue) Take(ctx context.Context, ready func(), handle func(context.Context, work.Letter) error) error {
	ready()
	for {
		for l, there := q.first(); there && ctx.Err() == nil; l, there = q.first() {
			if handle(ctx, l) != nil {
				continue
			}
			_ = q.fate.do("ack", func() error { // it comes again
				q.mu.Lock()
				defer q.mu.Unlock()
				q.letters = slices.DeleteFunc(q.letters, func(w work.Letter) bool { return w.Place == l.Place })
				return nil
			})
		}
		select {
		case <-q.wake:
		case <-ctx.Done():
			q.stir()
			return ctx.Err()
		}
	}
}

// Erase implements intake.Queue.
func (q *queue) Erase(_ context.Context, place uint64) error {
	return q.fate.do("erase", func() error {
		q.mu.Lock()
		defer q.mu.Unlock()
		q.erased[place] = true
		return nil
	})
}

// Reply implements intake.Queue.
func (q *queue) Reply(_ context.Context, _ string, answer events.Event) error {
	return q.fate.do("reply", func() error {
		q.mu.Lock()
		defer q.mu.Unlock()
		q.replies = append(q.replies, answer)
		return nil
	})
}

// settled waits until the queue is empty.
func (q *queue) settled(t *testing.T) {
	t.Helper()
	late := time.After(apitest.Patience)
	for {
		q.mu.Lock()
		dealt, left := q.dealt, len(q.letters)
		q.mu.Unlock()
		if left == 0 {
			return
		}
		select {
		case <-dealt:
		case <-late:
			t.Fatalf("%d letters are left", left)
		}
	}
}

// site is a process with its door open.
type site struct {
	*apitest.Process
	queue    *queue
	property string
	metrics  *prometheus.Registry
}

func newSite(t *testing.T) *site {
	t.Helper()
	st := statetest.New()
	apitest.PublishKeyset(t, st)
	s := start(t, st, newQueue(), wiring{})
	s.plant(t)
	return s
}

// wiring is how a process differs from a healthy one.
type wiring struct {
	fate   *fate
	events *apitest.Events // of all processes, if there are more than one
	now    func() time.Time
	use    func(intake.UseCases) intake.UseCases
}

// plant makes the property that most tests need.
func (s *site) plant(t *testing.T) {
	t.Helper()
	company := s.Service.Companies(apitest.Caller(), api.Query[*api.Company]{Number: 1, Size: 1}).Items[0]
	data, err := api.ReadDocument([]byte(`{"data":{"attributes":{"name":"p","platform":"edge"}}}`))
	if err != nil {
		t.Fatal(err)
	}
	p, err := s.Service.CreateProperty(t.Context(), apitest.Caller(), company.ID, data)
	if err != nil {
		t.Fatal(err)
	}
	s.property = p.ID
}

// start opens the door of a process over a state and a queue that may be there already.
func start(t *testing.T, st state.Store, q *queue, w wiring) *site {
	t.Helper()
	s := &site{queue: q, metrics: prometheus.NewRegistry()}
	own, said := api.Deps{State: st, Now: w.now}, w.events
	if said == nil {
		said = new(apitest.Events)
	}
	own.Events = said
	q.fate = w.fate
	if w.fate != nil {
		own.State, own.Events = mortalStore{st, w.fate}, mortalEvents{said, w.fate}
	}
	s.Process = apitest.StartWith(t, api.Config{Apps: apitest.Apps(t)}, own)
	s.Process.Events = said
	deps := intake.Deps{Service: s.Service, Queue: q, Events: own.Events, Callback: apitest.Callback, Logger: s.Log.Logger(), Metrics: s.metrics, Now: w.now}
	if w.use != nil {
		deps.Service = w.use(s.Service)
	}
	ctx, stop := context.WithCancel(context.Background())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- intake.New(deps).Run(ctx, func() { close(ready) }) }()
	process := s.Stop
	s.Stop = sync.OnceFunc(func() {
		stop()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("the door ended with %v", err)
		}
		process()
	})
	t.Cleanup(s.Stop)
	<-ready
	return s
}

// letter is an event as plain NATS would carry it. A header "name: value" replaces what is
// sent by default, "name:" leaves it out.
func letter(t upstream.Type, id, body string, headers ...string) work.Letter {
	h := map[string][]string{
		"ce-specversion": {"1.0"}, "ce-id": {id}, "ce-source": {"/crm"}, "ce-type": {upstream.TypePrefix + string(t)},
		"ce-time": {"2026-11-22T10:00:00Z"}, upstream.HeaderReply: {upstream.NewReplySubject(api.DefaultOrg)},
	}
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ":")
		if h[name] = []string{strings.TrimSpace(value)}; value == "" {
			delete(h, name)
		}
	}
	return work.Letter{Subject: upstream.Subject(api.DefaultOrg, t, "key"), Header: h, Body: []byte(body)}
}

// answers are the answers among the facts, one for each id, by the event that they answer.
func (s *site) answers() map[string][]events.Data {
	byID := map[string]events.Event{}
	for _, e := range s.Events.Published() {
		byID[e.ID] = e
	}
	found := map[string][]events.Data{}
	for _, id := range slices.Sorted(maps.Keys(byID)) {
		switch e := byID[id]; e.Data.(type) {
		case events.Accepted, events.Rejected:
			found[e.Data.About()] = append(found[e.Data.About()], e.Data)
		}
	}
	return found
}

// lastReply is the data of the last reply.
func (s *site) lastReply(t *testing.T) events.Data {
	t.Helper()
	s.queue.mu.Lock()
	defer s.queue.mu.Unlock()
	if len(s.queue.replies) == 0 {
		t.Fatal("there was no reply")
	}
	return s.queue.replies[len(s.queue.replies)-1].Data
}

// create is the data of an event that makes a secret which a person consents to.
func (s *site) create(name string) string {
	return fmt.Sprintf(`{"property":%q,"name":%q,"type_of":"oauth2-acme","credentials":{"scopes":["all"]}}`, s.property, name)
}

// secrets are the names of the secrets of the property, with their ids.
func (s *site) secrets(t *testing.T) map[string]string {
	t.Helper()
	page, err := s.Service.SecretsOfProperty(t.Context(), apitest.Caller(), s.property, api.SecretQuery{Number: 1, Size: 1000})
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]string{}
	for _, n := range page.Items {
		if names[n.Name] != "" {
			t.Errorf("there are two secrets %s", n.Name)
		}
		names[n.Name] = n.ID
	}
	return names
}
