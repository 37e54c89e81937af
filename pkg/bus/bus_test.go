package bus

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/natsd"
	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/pkg/state/statetest"
)

// patience bounds every wait, so that what never comes fails a test instead of
// holding it up. No test measures time.
const patience = 30 * time.Second

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve starts a server of the test's own, as the program embeds it.
func serve(t testing.TB) *natsd.Server {
	t.Helper()
	s, err := natsd.Start(t.Context(), natsd.Config{StoreDir: t.TempDir(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// configFor returns the configuration of a client of the server.
func configFor(t testing.TB, s *natsd.Server) Config {
	user, password := s.Credentials()
	return Config{URL: s.URL(), User: user, Password: password, Name: t.Name(), Logger: slog.New(slog.DiscardHandler)}
}

func connect(t testing.TB, cfg Config, lane limits) *Bus {
	t.Helper()
	b, err := start(t.Context(), cfg, lane)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

// open returns a bus with a server of its own.
func open(t testing.TB) *Bus {
	t.Helper()
	return connect(t, configFor(t, serve(t)), usual())
}

func openState(t testing.TB, b *Bus) *State {
	t.Helper()
	s, err := b.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// patient returns a context that ends before the test binary's patience does.
func patient(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// next returns what comes out of ch.
func next[T any](t testing.TB, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-patient(t).Done():
		t.Fatal("nothing came")
		panic("unreachable")
	}
}

// until asks the server again and again. It is for what nobody announces.
func until(t testing.TB, what string, done func() bool) {
	t.Helper()
	for ctx := patient(t); !done(); runtime.Gosched() {
		if ctx.Err() != nil {
			t.Fatalf("%s: not yet", what)
		}
	}
}

func TestStateConforms(t *testing.T) {
	t.Parallel()
	statetest.Suite(t, func(t *testing.T) state.Store { return openState(t, open(t)) })
}

// due returns a job for the secret.
func due(id string) events.Event {
	now := time.Now()
	return events.Event{
		ID: "event of " + id, Source: "/rekindle/test", Org: "org@Test", Time: now,
		Data: events.RefreshDue{Secret: id, Action: "refresh", Decision: 1, DueAt: now},
	}
}

func offer(t testing.TB, b *Bus, id string) bool {
	t.Helper()
	accepted, err := b.Offer(patient(t), due(id))
	if err != nil {
		t.Fatal(err)
	}
	return accepted
}

// TestPassingRecordsLeaveNothing: what was removed from the outbox is gone from the stream
// in a moment, marker and all, so that a million changes do not leave a million markers.
func TestPassingRecordsLeaveNothing(t *testing.T) {
	t.Parallel()
	b := open(t)
	st := openState(t, b)
	const some = 20
	for i := range some {
		key := state.OutboxKey(fmt.Sprint(i))
		rev := commit(t, st, put(key, "to be told"), put(state.SecretKey(fmt.Sprint(i)), "{}"))
		commit(t, st, state.Write{Key: key, Expect: rev - 1})
	}
	until(t, "only the secrets are left", func() bool {
		s, err := b.js.Stream(t.Context(), streamOf(state.Main))
		if err != nil {
			t.Fatal(err)
		}
		return s.CachedInfo().State.Msgs == some
	})
}
