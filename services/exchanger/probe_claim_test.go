package exchanger

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/services/sandbox"
)

// A test and an exchange of the same secret are never made at once: the test is
// not made, the exchange waits.
func TestTestAndRefresh(t *testing.T) {
	t.Parallel()
	t.Run("test during a refresh", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		h := w.hold(w.create(secret.OAuth2))
		for _, wait := range []time.Duration{0, claimLife} { // also not when it seems dead
			w.advance(wait)
			q := w.ask(h.secret.ID)
			if err := w.exchanger().Handle(t.Context(), q.Message); err != nil || !q.answer().Busy {
				t.Errorf("not busy after %v: %v", wait, err)
			}
		}
		if err := h.release(); err != nil {
			t.Error(err)
		}
		w.checkRest(h.secret.ID)
		w.wantRequests(h.secret.ID, 1)
	})
	t.Run("refresh during a test", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		s := w.create(secret.OAuth2)
		q, done := w.held(s, renewing)
		for range 3 {
			w.advance(2 * claimLife)
			w.await(s.ID, func(g *secret.Grant) bool { return g.Claim.Until.Equal(w.now().Add(claimLife)) })
			if err := w.exchanger().Handle(t.Context(), w.job(s.ID)); !errors.Is(err, errBusy) {
				t.Errorf("error is %v", err)
			}
		}
		w.release(s)
		if err := <-done; err != nil || q.answer().Busy {
			t.Errorf("the test was not made: %v", err)
		}
		w.run(w.exchanger(), w.job(s.ID))
		w.checkRest(s.ID)
		w.wantRequests(s.ID, 2)
	})
}

// held lets an exchanger begin a test, and returns when the provider has its
// request.
func (w *world) held(s *secret.Secret, edits ...func(*Exchanger)) (q *question, done chan error) {
	w.t.Helper()
	w.script(s, sandbox.Step{Times: 1, Hold: true}, sandbox.Step{})
	before, err := w.provider.Client(s.Credentials.ClientID)
	if err != nil {
		w.t.Fatal(err)
	}
	q, done = w.ask(s.ID), make(chan error, 1)
	x := w.exchanger(edits...)
	go func() { done <- x.Handle(context.Background(), q.Message) }()
	if err := w.provider.WaitRequests(context.Background(), s.Credentials.ClientID, before.Counters.Requests+1); err != nil {
		w.t.Fatal(err)
	}
	return q, done
}

func (w *world) release(s *secret.Secret) {
	w.t.Helper()
	if err := w.provider.Release(s.Credentials.ClientID); err != nil {
		w.t.Fatal(err)
	}
}

// The claim of a tester that died runs out. One that was thought dead changes
// nothing, whoever came after it: an exchange, or another test.
func TestStalledTest(t *testing.T) {
	t.Parallel()
	for name, next := range map[string]func(w *world, s *secret.Secret) (finish func()){
		"overtaken by an exchange": func(w *world, s *secret.Secret) func() {
			w.run(w.exchanger(), w.job(s.ID))
			return func() {}
		},
		"overtaken by a test": func(w *world, s *secret.Secret) func() {
			q, done := w.held(s)
			return func() {
				w.release(s)
				if err := <-done; err != nil || q.answer().Busy {
					w.t.Errorf("the second test was not made: %v", err)
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			s := w.create(secret.OAuth2)
			var finish func()
			var after map[string][]byte
			stalls := &saboteur{inner: w.store, events: w.events, at: 2, meanwhile: func() {
				if err := w.exchanger().Handle(t.Context(), w.job(s.ID)); !errors.Is(err, errBusy) {
					t.Errorf("error is %v", err)
				}
				w.advance(claimLife)
				finish = next(w, s)
				after = w.store.dump(t)
			}}
			if err := w.exchanger(stalls.sabotaged).Handle(t.Context(), w.ask(s.ID).Message); err != nil {
				t.Error(err)
			}
			if diff := cmp.Diff(after, w.store.dump(t)); diff != "" {
				t.Errorf("state (-before +after):\n%s", diff)
			}
			finish()
			if got := w.secret(s.ID); got.Plan().Due(w.now()) {
				w.run(w.exchanger(), w.job(s.ID))
			}
			w.checkRest(s.ID)
		})
	}
}

// A renewal whose answer is lost, or which fails, is no loss to a test either.
func TestRenewalOfTestFails(t *testing.T) {
	t.Parallel()
	for _, mode := range []mode{fails, answerLost} {
		t.Run(mode.String(), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			s := w.create(secret.OAuth2)
			w.run(w.exchanger(), w.job(s.ID))
			struck := make(chan struct{})
			sab := &saboteur{inner: w.store, events: w.events, at: 2, mode: mode, meanwhile: func() { close(struck) }}
			q, done := w.held(s, sab.sabotaged, renewing)
			<-struck
			w.advance(time.Second)
			w.await(s.ID, func(g *secret.Grant) bool { return g.Claim == nil || g.Claim.Until.Equal(w.now().Add(claimLife)) })
			w.release(s)
			if err := <-done; err != nil || q.answer().Busy || w.grant(s.ID).Claim != nil {
				t.Errorf("error %v, claim %s", err, show(w.grant(s.ID).Claim))
			}
		})
	}
}

// A test keeps the trace that a decision was claimed, so that whoever reads its
// record from behind does not claim it again.
func TestTestKeepsTheTrace(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.create(secret.OAuth2)
	dies := &saboteur{inner: w.store, events: w.events, at: 2, mode: diesBefore}
	process(w.exchanger(dies.sabotaged), w.job(s.ID)) // decision 1, and nobody knows what came of it
	w.advance(claimLife)
	w.update(s.ID, func(s *secret.Secret) { s.Ask(w.now()) })
	q := w.ask(s.ID)
	if err := w.exchanger().Handle(t.Context(), q.Message); err != nil || q.answer().Busy {
		t.Fatalf("not tested: %v", err)
	}
	if claim := w.grant(s.ID).Claim; claim == nil || claim.Decision != 1 || claim.Live(w.now()) {
		t.Errorf("claim: %s", show(claim))
	}
	w.run(w.exchanger(), w.job(s.ID))
	w.checkValue(w.secret(s.ID))
}

// Whatever happens to a tester at one of its writes, the secret is exchanged
// afterwards as if there had been no test.
func TestCrashesOfTests(t *testing.T) {
	t.Parallel()
	for _, exchanged := range []bool{false, true} {
		for at := 1; at <= 2; at++ {
			for _, mode := range []mode{fails, answerLost, diesBefore, diesAfter} {
				w := newWorld(t)
				s := w.create(secret.OAuth2)
				if exchanged {
					w.run(w.exchanger(), w.job(s.ID))
					w.clock.Store(w.secret(s.ID).NextAttemptAt.UnixMilli())
				}
				decision := w.secret(s.ID).Decision
				q := w.ask(s.ID)
				sab := &saboteur{inner: w.store, events: w.events, at: at, mode: mode}
				process(w.exchanger(sab.sabotaged), q.Message)
				w.run(w.exchanger(), w.job(s.ID))
				if got := w.secret(s.ID); got.Generation != decision || w.store.requestsOf(s.ID)[decision] != 1 {
					t.Errorf("exchanged=%t, %s at %d: requests %v, record %s", exchanged, mode, at, w.store.requestsOf(s.ID), show(got))
				}
				w.checkValue(w.secret(s.ID))
			}
		}
	}
}
