package exchanger

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/rekindle-dev/rekindle/pkg/provider"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/services/sandbox"
)

// What an exchanger brings that was thought dead is void, but for a refresh token
// that is nowhere else, as long as nobody has sent the one before again.
func TestSalvage(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]sandbox.Step{
		"value and token": {}, "token of a value without end": {Omit: []string{"expires_in"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			s := w.rotating(strict())
			decision := w.secret(s.ID).Decision
			h := w.holdWith(s, answer)
			w.advance(claimLife)
			w.again(s.ID)
			before := w.grant(s.ID)
			if err := h.release(); !errors.Is(err, errFenced) {
				t.Errorf("error is %v", err)
			}
			w.checkKeptBack(s.ID) // the decision was made anew, and that stands
			after := w.grant(s.ID)
			if after.Lost != nil || after.Consent.Generation != decision {
				t.Errorf("grant: %s", show(after))
			}
			after.Lost, after.Consent = before.Lost, before.Consent
			if diff := gocmp.Diff(before, after); diff != "" {
				t.Errorf("all else in the grant (-before +after):\n%s", diff)
			}
			w.runDue(w.exchanger(), s.ID)
			w.checkServes(s.ID)
			w.wantRequests(s.ID, 3)
			w.checkClaims(s.ID)
			w.checkAnnounced(s.ID)
		})
	}
}

// What is to be saved is nowhere else: one write that fails is not the end of it.
func TestSalvageIsTriedAgain(t *testing.T) {
	t.Parallel()
	for _, mode := range []mode{fails, answerLost} {
		w := newWorld(t)
		s := w.rotating(strict())
		sab := &saboteur{inner: w.store, events: w.events, at: 3, mode: mode}
		h := w.hold(s, sab.sabotaged)
		w.advance(claimLife)
		w.again(s.ID)
		if err := h.release(); !errors.Is(err, errFenced) {
			t.Errorf("error is %v", err)
		}
		if len(sab.effects) != 5 {
			t.Errorf("%v, want a claim, and twice a commit and an attempt to save", sab.effects)
		}
		w.runDue(w.exchanger(), s.ID)
		w.checkServes(s.ID)
		w.wantRequests(s.ID, 3)
	}
}

// An exchanger that was thought dead comes back at any moment of what is done by
// whoever took over. What it brings never takes the place of anything newer.
func TestSalvageInAnyOrder(t *testing.T) {
	t.Parallel()
	for name, due := range map[string]func(w *world) *secret.Secret{
		"refresh": func(w *world) *secret.Secret { return w.rotating(lenient(time.Hour)) },
		"acceptance": func(w *world) *secret.Secret {
			rules := lenient(time.Hour)
			x := w.exchanger()
			s := w.consented(x, sandbox.CodeFlow{RefreshTokens: rules, Consents: people(alice, bob, alice)}, declared(rules))
			w.advance(2 * dialog)
			w.consent(s.ID)
			w.run(x, w.job(s.ID))
			w.update(s.ID, func(s *secret.Secret) { s.AcceptHeld(w.now()) })
			return s
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			saved := 0
			for at := 1; ; at++ {
				w := newWorld(t)
				s := due(w)
				decision := w.secret(s.ID).Decision
				h := w.hold(s)
				w.advance(claimLife)
				var before, after *secret.Grant
				sab := &saboteur{inner: w.store, events: w.events, at: at, meanwhile: func() {
					before = w.grant(s.ID)
					err := h.release()
					after = w.grant(s.ID)
					if gone := before.Claim == nil || before.Claim.Decision != decision || before.Claim.Until.IsZero(); errors.Is(err, errFenced) != gone {
						t.Errorf("released at %d: %v", at, err)
					}
				}}
				m := w.job(s.ID)
				m.Delivery = 2
				w.run(w.exchanger(sab.sabotaged), m)
				if before == nil {
					break
				}
				waits := before.Claim != nil && before.Claim.Decision == decision && before.Claim.Until.IsZero()
				kept := after.Lost == nil && cmp.Or(after.Held, after.Consent).Generation == decision
				if waits {
					saved++
				}
				if diff := gocmp.Diff(before, after, brief()); waits && !kept || before.Claim == nil && diff != "" {
					t.Errorf("released at %d: kept=%t, want %t; grant (-before +after):\n%s", at, kept, waits, diff)
				}
				w.checkServes(s.ID)
				w.checkClaims(s.ID)
			}
			if saved == 0 {
				t.Error("nothing was saved in any order")
			}
		})
	}
}

// Whoever asked does not wait any longer then.
func TestSalvageForWhoAsked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.rotating(strict())
	w.update(s.ID, func(s *secret.Secret) { s.Ask(w.now()) })
	h := w.hold(s)
	w.advance(claimLife)
	w.again(s.ID)
	if got := w.secret(s.ID); got.Status != secret.Pending || !got.NextAttemptAt.Equal(got.LastAttempt()) {
		t.Errorf("record: %s", show(got))
	}
	if err := h.release(); !errors.Is(err, errFenced) {
		t.Errorf("error is %v", err)
	}
	w.run(w.exchanger(), w.job(s.ID))
	w.checkServes(s.ID)
	w.wantRequests(s.ID, 3)
}

// An exchanger that does not know that its outcome was stored, and finds others past
// it, has nothing to save.
func TestNoSalvageOfWhatWasStored(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.rotating(strict())
	overtakes := &saboteur{inner: w.store, events: w.events, at: 4, meanwhile: func() {
		w.run(w.exchanger(), w.job(s.ID))
		w.update(s.ID, func(s *secret.Secret) { s.Ask(w.now()) })
		w.run(w.exchanger(), w.job(s.ID))
	}}
	unheard := &saboteur{inner: overtakes, events: w.events, at: 2, mode: answerLost}
	m := w.job(s.ID)
	if err := w.exchanger(unheard.sabotaged).Handle(t.Context(), m); !errors.Is(err, errFenced) {
		t.Errorf("error is %v", err)
	}
	m.Delivery++
	w.run(w.exchanger(), m)
	w.checkServes(s.ID)
	w.wantRequests(s.ID, 3)
}

// What a code brings that was given up takes the place of nothing: of that it was
// said that somebody has to consent again.
func TestNoSalvageOfConsents(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	never := sandbox.CodeFlow{RefreshTokens: sandbox.RefreshTokens{Issue: sandbox.IssueNever}, Consents: people(alice, alice)}
	s := w.consented(w.exchanger(), never, func(d *provider.Descriptor) { d.Refresh.Issued = provider.IssuedNever })
	w.advance(2 * dialog)
	w.consent(s.ID)
	h := w.hold(s)
	w.advance(claimLife)
	w.again(s.ID)
	before := w.grant(s.ID)
	if err := h.release(); !errors.Is(err, errFenced) {
		t.Errorf("error is %v", err)
	}
	if diff := gocmp.Diff(before, w.grant(s.ID)); diff != "" {
		t.Errorf("grant (-before +after):\n%s", diff)
	}
}

// An exchanger that finds itself overtaken waits for the answer all the same, if
// that may be a refresh token that is nowhere else.
func TestOvertakenRefreshWaits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.rotating(strict())
	store := &glance{partition: partition{Store: w.store}, seen: make(chan struct{})}
	h := w.hold(s, using(store), renewing)
	heal := store.cut()
	w.advance(claimLife)
	w.again(s.ID)
	heal()
	<-store.seen // its own revision is gone
	if err := h.release(); !errors.Is(err, errFenced) {
		t.Errorf("error is %v", err)
	}
	w.runDue(w.exchanger(), s.ID)
	w.checkServes(s.ID)
	w.wantRequests(s.ID, 3)
}

// glance tells when somebody reads a grant again.
type glance struct {
	partition
	mu    sync.Mutex
	reads int
	seen  chan struct{}
}

func (g *glance) Get(ctx context.Context, key string) ([]byte, state.Revision, error) {
	if kind, _ := state.Split(key); kind == "grant" {
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.reads++; g.reads == 2 {
			close(g.seen)
		}
	}
	return g.Store.Get(ctx, key)
}
