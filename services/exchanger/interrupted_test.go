package exchanger

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/services/sandbox"
)

// checkInterrupted fails the test unless the last that was told of the secret is an
// interruption, with want for what does not follow from its record.
func (w *world) checkInterrupted(id string, want events.ExchangeInterrupted) {
	w.t.Helper()
	s, told := w.secret(id), w.events.about(id)
	want.Secret, want.Property, want.Environment, want.Kind, want.WorksUntil = id, s.Property, s.Environment, string(s.Kind), s.ExpiresAt
	if diff := cmp.Diff(events.Data(want), told[len(told)-1].Data); diff != "" {
		w.t.Errorf("told (-want +got):\n%s", diff)
	}
}

// Whoever is told of an interruption is told, too, when the next attempt is that is
// kept back.
func TestKeptBackIsTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.rotating(strict())
	decision := w.secret(s.ID).Decision
	w.dies(s.ID, 2)
	w.again(s.ID)
	w.checkInterrupted(s.ID, events.ExchangeInterrupted{
		Action: "refresh", Generation: decision, NextAttemptAt: w.secret(s.ID).LastAttempt(),
	})
}

// So is whoever waits for a replay that came too late for the grace.
func TestTooLateIsTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.rotating(lenient(10 * time.Second))
	w.script(s, sandbox.Step{Times: 1, Fault: sandbox.FaultDropAfterCommit}, sandbox.Step{})
	w.run(w.exchanger(), w.job(s.ID))
	w.advance(time.Minute)
	decision := w.secret(s.ID).Decision
	w.run(w.exchanger(), w.job(s.ID))
	w.checkInterrupted(s.ID, events.ExchangeInterrupted{
		Action: "refresh", Generation: decision, Cause: events.CauseKeptBack, NextAttemptAt: w.secret(s.ID).LastAttempt(),
	})
}

// An attempt whose outcome is void was made all the same: it is told, before that of
// the exchange that took its place.
func TestVoidIsTold(t *testing.T) {
	t.Parallel()
	for _, deleted := range []bool{false, true} {
		w := newWorld(t)
		h := w.hold(w.create(secret.OAuth2))
		id := h.secret.ID
		w.update(id, func(s *secret.Secret) {
			if s.Ask(w.now()); deleted {
				s.Delete(w.now())
			}
		})
		if err := h.release(); err != nil {
			t.Error(err)
		}
		told := w.events.about(id)
		if deleted { // and whoever reads of that wants no more
			if len(told) != 0 {
				t.Errorf("%d events of what is gone", len(told))
			}
			continue
		}
		if len(told) != 2 || told[1].Data.Type() != events.TypeExchangeSucceeded {
			t.Fatalf("%d events, want one of what is void and a success", len(told))
		}
		want := events.ExchangeInterrupted{
			Secret: id, Property: testProperty, Environment: h.secret.Environment, Kind: "oauth2", Action: "exchange",
			Generation: 1, Cause: events.CauseVoid,
		}
		if diff := cmp.Diff(events.Data(want), told[0].Data); diff != "" {
			t.Errorf("void (-want +got):\n%s", diff)
		}
		w.checkRest(id)
		w.wantRequests(id, 2)
	}
}
