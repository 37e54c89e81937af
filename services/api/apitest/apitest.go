// Package apitest starts the use cases of package api on a state in memory, for
// the tests of whatever is built on them.
package apitest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/audit/audittest"
	"github.com/rekindle-dev/rekindle/pkg/seal"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/services/api"
	"github.com/rekindle-dev/rekindle/services/api/auth"
)

// Patience bounds whatever a test waits for. It is only reached by a test that
// fails.
const Patience = 30 * time.Second

// Process is a running Service and what it leaves behind.
type Process struct {
	Service *api.Service
	State   state.Store
	Events  *Events
	Parked  *Parked
	Audit   *audittest.Log
	Log     *Log
	Metrics *prometheus.Registry
	// Receiver is whoever callbacks name.
	Receiver *Receiver
	// Stop ends the process; it ends with the test in any case.
	Stop func()
}

// Start starts a Service over st and waits until it is ready. Several may run
// over one state.
func Start(t testing.TB, st state.Store, cfg api.Config) *Process {
	t.Helper()
	return StartWith(t, cfg, api.Deps{State: st})
}

// StartWith is Start with a clock and a tester. What the process leaves behind is
// not to be given.
func StartWith(t testing.TB, cfg api.Config, deps api.Deps) *Process {
	t.Helper()
	p := &Process{State: deps.State, Events: new(Events), Parked: new(Parked), Audit: new(audittest.Log), Log: new(Log), Metrics: prometheus.NewRegistry()}
	deps.Ledger, deps.Parked, deps.Jobs = p.Events, p.Parked, p.Parked
	if deps.Events == nil {
		deps.Events = p.Events
	}
	if deps.Log == nil {
		deps.Log = p.Events
	}
	if deps.Audit == nil {
		deps.Audit = p.Audit
	}
	deps.Logger, deps.Metrics = p.Log.Logger(), p.Metrics
	p.startCourier(t, &deps)
	p.Service = api.New(cfg, deps)
	ctx, stop := context.WithCancel(context.Background())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- p.Service.Run(ctx, func() { close(ready) }) }()
	p.Stop = sync.OnceFunc(func() {
		stop()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("the service ended with %v, want context.Canceled", err)
		}
	})
	t.Cleanup(p.Stop)
	select {
	case <-ready:
	case err := <-ended:
		ended <- context.Canceled
		t.Fatalf("the service ended before it was ready: %v", err)
	case <-time.After(Patience):
		t.Fatal("the service was not ready in time")
	}
	return p
}

// PublishKeyset puts the public half of a new keyring into the state, as an
// exchanger does, and returns what opens what is sealed to it.
func PublishKeyset(t testing.TB, st state.Store) *seal.Opener {
	t.Helper()
	ring, err := seal.NewKeyring(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(ring.Keyset())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := st.Commit(t.Context(), state.Write{Key: state.KeysetKey, Value: body}); err != nil {
		t.Fatal(err)
	}
	return seal.NewOpener(ring)
}

// Caller returns a caller of the default organisation, with all rights.
func Caller() api.Caller {
	return api.Caller{
		Org: api.DefaultOrg, Callback: Callback,
		Actor: secret.Actor{Email: "ada@example.org", DisplayName: "Ada"}, Rights: auth.AllRights(),
	}
}

// Watch follows the keys of a pattern until holds is true of their records,
// which are given by key.
func Watch(t testing.TB, st state.Store, pattern string, holds func(records map[string][]byte) bool) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), Patience)
	defer stop()
	done := errors.New("holds")
	ctx, end := context.WithCancelCause(ctx)
	records, caughtUp := make(map[string][]byte), false
	look := func() {
		if caughtUp && holds(records) {
			end(done)
		}
	}
	err := st.Follow(ctx, []string{pattern}, func(c state.Change) {
		if c.Value == nil {
			delete(records, c.Key)
		} else {
			records[c.Key] = c.Value
		}
		look()
	}, func() {
		caughtUp = true
		look()
	})
	if !errors.Is(context.Cause(ctx), done) {
		t.Fatalf("waiting for %s: %v", pattern, err)
	}
}

// Events is a Publisher that remembers, and the Ledger and the Log of what it remembers.
type Events struct {
	mu        sync.Mutex
	published []events.Event
	unknown   [][]byte
	broken    error
	more      chan struct{} // closed with the next event; nil when nobody waits
}

// Forward implements api.Publisher.
func (e *Events) Forward(ctx context.Context, h events.Header, body []byte) error {
	event, err := events.Decode(h, body)
	if err != nil && !errors.Is(err, events.ErrUnknownType) {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case e.broken != nil:
		return e.broken
	case err != nil:
		e.unknown = append(e.unknown, body)
	default:
		e.published = append(e.published, event)
		e.wake()
	}
	return nil
}

// Unknown returns the bodies of what was published that this version does not know.
func (e *Events) Unknown() [][]byte {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.unknown)
}

// Published returns what was published.
func (e *Events) Published() []events.Event {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.published)
}

// History implements api.Ledger: the n-th event has the sequence n.
func (e *Events) History(_ context.Context, org, secret string, after uint64, most int) (found []events.Entry, more bool, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for i, event := range e.published {
		sequence := uint64(i + 1)
		if event.Org != org || event.Data.About() != secret || sequence <= after {
			continue
		}
		if len(found) == most {
			return found, true, e.broken
		}
		found = append(found, events.Entry{Sequence: sequence, Stored: event.Time, Type: event.Data.Type(), Event: event})
	}
	return found, false, e.broken
}

// Last implements api.Ledger.
func (e *Events) Last(_ context.Context, org, secret string, t events.Type) (last events.Entry, found bool, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for i, event := range e.published {
		if event.Org == org && event.Data.About() == secret && event.Data.Type() == t {
			last, found = events.Entry{Sequence: uint64(i + 1), Stored: event.Time, Type: t, Event: event}, true
		}
	}
	return last, found, e.broken
}

// Break lets Forward, History and Last fail from now on; nil mends it.
func (e *Events) Break(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.broken = err
	e.wake()
}

// Log is a log that is kept. The zero Log is empty.
type Log struct {
	mu    sync.Mutex
	buf   bytes.Buffer
	lines []chan struct{} // closed at the next write
}

// Logger returns a logger that writes to it.
func (l *Log) Logger() *slog.Logger {
	return slog.New(slog.NewJSONHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// Write implements io.Writer.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, written := range l.lines {
		close(written)
	}
	l.lines = nil
	return l.buf.Write(p)
}

// String returns what was logged.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// Await returns when the log contains text.
func (l *Log) Await(t testing.TB, text string) {
	t.Helper()
	late := time.After(Patience)
	for {
		written := make(chan struct{})
		l.mu.Lock()
		found := bytes.Contains(l.buf.Bytes(), []byte(text))
		l.lines = append(l.lines, written)
		l.mu.Unlock()
		if found {
			return
		}
		select {
		case <-written:
		case <-late:
			t.Fatalf("the log does not say %q", text)
		}
	}
}
