package scheduler_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/goleak"

	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/pkg/state/statetest"
	"github.com/rekindle-dev/rekindle/services/scheduler"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is what schedulers work with, inside a synctest bubble: time stands
// still while anything can run.
type world struct {
	t       *testing.T
	began   time.Time
	state   *statetest.Store
	jobs    *jobs
	members *members
	ids     map[string]bool // of all secrets
}

// inWorld runs a test in a bubble with a world of its own.
func inWorld(t *testing.T, test func(w *world)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		test(&world{
			t: t, began: time.Now(), state: statetest.New(), ids: map[string]bool{},
			jobs: &jobs{held: make(map[string]bool)}, members: new(members),
		})
	})
}

// at returns the moment so long after the beginning.
func (w *world) at(d time.Duration) time.Time { return w.began.Add(d) }

// until lets time pass, to so long after the beginning, and everything that is
// to happen until then, and then, happen.
func (w *world) until(d time.Duration) {
	time.Sleep(time.Until(w.at(d)))
	synctest.Wait()
}

// running is a scheduler at work.
type running struct {
	registry *prometheus.Registry
	log      *log
	ready    atomic.Bool
	kill     func() // ends it and waits for it
	err      error  // after its end
	ended    chan struct{}
}

// start starts a scheduler and waits until there is nothing for it to do but
// wait. It ends with the test.
func (w *world) start(edits ...func(*scheduler.Deps)) *running {
	r := &running{registry: prometheus.NewPedanticRegistry(), log: new(log), ended: make(chan struct{})}
	d := scheduler.Deps{
		State: w.state, Jobs: w.jobs, Members: w.members,
		Logger: slog.New(slog.NewTextHandler(r.log, nil)), Registerer: r.registry,
	}
	for _, edit := range edits {
		edit(&d)
	}
	ctx, cancel := context.WithCancel(w.t.Context())
	s := scheduler.New(d)
	go func() {
		defer close(r.ended)
		r.err = s.Run(ctx, func() { r.ready.Store(true) })
	}()
	r.kill = func() {
		cancel()
		<-r.ended
	}
	w.t.Cleanup(r.kill)
	synctest.Wait()
	return r
}

func traced(tracer trace.Tracer) func(*scheduler.Deps) {
	return func(d *scheduler.Deps) { d.Tracer = tracer }
}

// store is how the rest of the fleet writes records.
func (w *world) store() secret.Store { return secret.Store{State: w.state} }

// create stores a secret that is refreshed so long after the beginning and
// expires an hour later, changed by the edits, and returns its id.
func (w *world) create(due time.Duration, edits ...func(*secret.Secret)) string {
	w.t.Helper()
	s := &secret.Secret{
		ID: secret.NewID(secret.PrefixSecret), Org: "acme", Property: secret.NewID(secret.PrefixProperty),
		Environment: "EN1", Deployed: "EN1", Name: "n", Kind: secret.OAuth2, Status: secret.Succeeded,
		CreatedAt: w.began, UpdatedAt: w.began, Generation: 1, Decision: 2,
		ExpiresAt: w.at(due + time.Hour), RefreshAt: w.at(due), NextAttemptAt: w.at(due),
	}
	for _, edit := range edits {
		edit(s)
	}
	if _, err := w.store().Create(w.t.Context(), &secret.Draft{Secret: s, Credential: new(secret.Credential)}); err != nil {
		w.t.Fatal(err)
	}
	w.ids[s.ID] = true
	return s.ID
}

func (w *world) update(id string, edit func(*secret.Secret)) {
	w.t.Helper()
	_, _, err := w.store().Update(w.t.Context(), id, func(s *secret.Secret) error {
		edit(s)
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// refreshed does what an exchanger does in the end: it stores the next due
// time and acknowledges the job.
func (w *world) refreshed(id string, due time.Duration) {
	w.t.Helper()
	w.update(id, func(s *secret.Secret) {
		s.Decision++
		s.RefreshAt, s.NextAttemptAt, s.ExpiresAt = w.at(due), w.at(due), w.at(due+time.Hour)
	})
	w.jobs.done(id)
}

// put writes a record as it is.
func (w *world) put(key, value string) {
	w.t.Helper()
	_, rev, err := w.state.Get(w.t.Context(), key)
	if err != nil && !errors.Is(err, state.ErrNotFound) {
		w.t.Fatal(err)
	}
	if _, err := w.state.Commit(w.t.Context(), state.Write{Key: key, Value: []byte(value), Expect: rev}); err != nil {
		w.t.Fatal(err)
	}
}

// offered says, in one line, when jobs for the secret were offered, counted
// from the beginning, and which of them were refused or failed.
func (w *world) offered(id string) string {
	var line []string
	for _, o := range w.jobs.all(id) {
		word := fmt.Sprintf("%s@%v", o.due().Action, o.at.Sub(w.began))
		if o.failed {
			word += "!"
		} else if !o.accepted {
			word += "?"
		}
		line = append(line, word)
	}
	return strings.Join(line, " ")
}

// expect checks what offered says.
func (w *world) expect(id, want string) {
	w.t.Helper()
	if got := w.offered(id); got != want {
		w.t.Errorf("offers: %s\n  want: %s", got, want)
	}
}

// metric returns the value of a counter or gauge, or the count of a histogram,
// with these label values in the order of their names; 0 if there is none.
func (r *running) metric(t *testing.T, name string, labels ...string) float64 {
	t.Helper()
	families, err := r.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			if family.GetName() == name && matches(m.GetLabel(), labels) {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	return 0
}

func matches(pairs []*dto.LabelPair, values []string) bool {
	if len(pairs) != len(values) {
		return false
	}
	for i, p := range pairs {
		if p.GetValue() != values[i] {
			return false
		}
	}
	return true
}
