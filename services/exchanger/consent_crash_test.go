package exchanger

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/provider"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/services/sandbox"
)

// consents are the scenarios of secrets that people consent to. What the
// provider does not permit is to be told so: a code works once, and a refresh
// token that was replaced as long as the provider's grace lasts.
func consents() []scenario {
	rotating := sandbox.CodeFlow{RefreshTokens: strict(), Consents: people(alice, alice, bob)}
	first := func(w *world, _ *Exchanger) *secret.Secret {
		s := w.consenting(rotating)
		w.consent(s.ID)
		return s
	}
	again := func(w *world, x *Exchanger) *secret.Secret {
		s := w.consented(x, rotating)
		w.advance(2 * dialog)
		w.consent(s.ID)
		return s
	}
	another := func(w *world, x *Exchanger) *secret.Secret {
		s := w.consented(x, sandbox.CodeFlow{RefreshTokens: strict(), Consents: people(alice, bob)})
		w.advance(2 * dialog)
		w.consent(s.ID)
		return s
	}
	killed := func(prepare func(*world, *Exchanger) *secret.Secret) func(*world, *Exchanger) *secret.Secret {
		return func(w *world, x *Exchanger) *secret.Secret {
			s := prepare(w, x)
			sab := &saboteur{inner: w.store, events: w.events, at: 2, mode: diesBefore}
			process(w.exchanger(sab.sabotaged), w.job(s.ID))
			w.advance(claimLife)
			return s
		}
	}
	accepted := func(w *world, x *Exchanger) *secret.Secret {
		s := w.heldBack(x)
		w.update(s.ID, func(s *secret.Secret) { s.AcceptHeld(w.now()) })
		return s
	}
	refresh := func(tokens sandbox.RefreshTokens) func(w *world, x *Exchanger) *secret.Secret {
		return func(w *world, x *Exchanger) *secret.Secret {
			s := w.consented(x, sandbox.CodeFlow{RefreshTokens: tokens}, declared(tokens))
			w.clock.Store(w.secret(s.ID).NextAttemptAt.UnixMilli())
			return s
		}
	}
	dead := func(w *world, x *Exchanger) *secret.Secret {
		s := refresh(sandbox.RefreshTokens{})(w, x)
		if err := w.provider.Revoke(s.ID, 0); err != nil {
			w.t.Fatal(err)
		}
		return s
	}
	confirmed := func(w *world, x *Exchanger) *secret.Secret {
		s := dead(w, x)
		w.run(x, w.job(s.ID))
		w.clock.Store(w.secret(s.ID).NextAttemptAt.UnixMilli())
		return s
	}
	reminded := func(w *world, x *Exchanger) *secret.Secret {
		s := w.consented(x, sandbox.CodeFlow{Lifetime: sandbox.Duration(2 * day)}, func(d *provider.Descriptor) { d.Consent.ReauthorizeAfter = day })
		w.clock.Store(w.secret(s.ID).Authorization.Notices[0].UnixMilli())
		return s
	}
	grace := sandbox.RefreshTokens{Rotation: sandbox.RotationRotate, DetectReuse: true, Grace: sandbox.Duration(time.Minute)}
	return []scenario{
		{"consent", first, (*world).checkServes, 1, 2, (*world).checkUnauthorized, true},
		{"another consent", again, (*world).checkServes, 2, 2, (*world).checkForgotten, true},
		{"another account's consent", another, func(w *world, id string) {
			if a := w.secret(id).Authorization; a.HeldAt.IsZero() || a.Failure != nil || w.grant(id).Held == nil || w.whose(id) != alice {
				w.t.Errorf("authorization: %s", show(a))
			}
			w.checkRefreshable(id)
		}, 2, 2, (*world).checkForgotten, true},
		{"acceptance", accepted, func(w *world, id string) {
			if w.whose(id) != bob || w.grant(id).Held != nil {
				w.t.Errorf("record: %s", show(w.secret(id)))
			}
			w.checkServes(id)
		}, 3, 2, (*world).checkForgotten, false},
		{"refresh of a grant, with grace", refresh(grace), (*world).checkServes, 2, 2, nil, false},
		{"refresh of a grant, without grace", refresh(strict()), (*world).checkServes, 2, 2, (*world).checkKeptBack, true},
		{"refresh of a dead grant", dead, (*world).checkStruck, 2, 2, nil, false},
		{"confirmation of a dead grant", confirmed, (*world).checkDead, 3, 2, nil, false},
		{"giving up a consent", killed(first), (*world).checkUnauthorized, 1, 0, nil, false},
		{"giving up another consent", killed(again), (*world).checkForgotten, 2, 0, nil, false},
		{"reminder", reminded, func(w *world, id string) {
			said := slices.DeleteFunc(w.events.about(id), func(e events.Event) bool { return e.Data.Type() != events.TypeReauthorizationDue })
			if a := w.secret(id).Authorization; len(said) != 1 || !a.Required || len(a.Notices) != 0 {
				w.t.Errorf("said %d times: %s", len(said), show(a))
			}
		}, 1, 0, nil, false},
	}
}

// checkServes fails the test unless the last grant that was given is in use.
func (w *world) checkServes(id string) {
	w.t.Helper()
	s, grants := w.secret(id), w.grants(id)
	if a := s.Authorization; s.Status != secret.Succeeded || s.Plan().Action != secret.Refresh || s.Attempts != 0 ||
		a.Failure != nil || !a.ConsentedAt.IsZero() || !a.EndedAt.IsZero() {
		w.t.Errorf("record: %s", show(s))
	}
	if last := grants[len(grants)-1]; last.Ended != "" || last.CodePresented != 1 {
		w.t.Errorf("grant, by the provider's books: %s", show(last))
	}
	w.checkValue(s)
	w.checkRefreshable(id)
}

// checkUnauthorized fails the test unless there is no grant, because nobody knows
// what came of the first consent.
func (w *world) checkUnauthorized(id string) {
	w.t.Helper()
	s := w.secret(id)
	a := s.Authorization
	if s.Status != secret.Failed || reason(s) != string(events.ReasonUnknown) || !is(a.Failure, s.StatusDetails) ||
		s.ConsentWaits() || !a.AuthorizedAt.IsZero() || s.Plan().Action != secret.Rest {
		w.t.Errorf("record: %s", show(s))
	}
	if g := w.grant(id); g.Consent != nil || len(w.artifacts(id)) != 0 {
		w.t.Errorf("%d artifacts, grant: %s", len(w.artifacts(id)), show(g.Consent))
	}
	w.checkNothingHeld(id)
}

// checkForgotten is checkServesOn for a consent of which nobody knows what came.
func (w *world) checkForgotten(id string) { w.checkServesOn(id, events.ReasonUnknown) }

// checkServesOn fails the test unless the first grant is in use, and this is why
// none came after it.
func (w *world) checkServesOn(id string, why events.Reason) {
	w.t.Helper()
	s := w.secret(id)
	a := s.Authorization
	if s.Status != secret.Succeeded || s.Plan().Action != secret.Refresh || s.ConsentWaits() || !a.EndedAt.IsZero() || a.Required ||
		a.Failure == nil || a.Failure.Reason != string(why) {
		w.t.Errorf("record: %s", show(s))
	}
	if found := w.artifacts(id); len(found) != 1 || found[0].Generation != s.Generation {
		w.t.Errorf("the value in use has changed: %s", show(found))
	}
	w.checkNothingHeld(id)
	if w.grants(id)[0].Ended != "" {
		w.t.Error("the grant in use was ended")
	}
	w.checkRefreshable(id)
}

// checkKeptBack fails the test unless the refresh token waits for the last place,
// because nobody knows whether it was replaced, and all else is as it was.
func (w *world) checkKeptBack(id string) {
	w.t.Helper()
	s := w.secret(id)
	if s.Status != secret.Succeeded || s.RefreshStatus != secret.Pending || reason(s) != string(events.ReasonUnknown) || s.Attempts != 0 ||
		!s.NextAttemptAt.Equal(s.LastAttempt()) || s.ReauthorizationRequired(w.now()) || len(w.ends(id)) != 0 {
		w.t.Errorf("said at %v, record: %s", w.ends(id), show(s))
	}
	w.checkKept(s)
}

// checkStruck fails the test unless the refusal of the grant waits to be put to
// the test.
func (w *world) checkStruck(id string) {
	w.t.Helper()
	s := w.secret(id)
	a := s.Authorization
	if s.Status != secret.Succeeded || s.RefreshStatus != secret.Pending || reason(s) != string(events.ReasonGrantEnded) || s.Attempts != 1 ||
		a.Strikes != 1 || !a.EndedAt.IsZero() || a.Required || len(w.ends(id)) != 0 {
		w.t.Errorf("said at %v, record: %s", w.ends(id), show(s))
	}
}

// checkDead fails the test unless it is known that the grant has ended.
func (w *world) checkDead(id string) {
	w.t.Helper()
	s := w.secret(id)
	if s.Status != secret.Succeeded || s.Attempts != 2 || s.Plan().Action != secret.Rest || s.Authorization.EndedAt.IsZero() || len(w.ends(id)) != 1 {
		w.t.Errorf("said at %v, record: %s", w.ends(id), show(s))
	}
	if found := w.artifacts(id); len(found) != 1 || found[0].Generation != s.Generation {
		w.t.Errorf("the value in use has changed: %s", show(found))
	}
}

// Whatever others do while a code is exchanged, it is sent once, and what came
// for it is in use or held, or the secret is gone.
func TestInterferenceWithConsent(t *testing.T) {
	t.Parallel()
	change := func(change func(w *world, s *secret.Secret)) func(*world, string) {
		return func(w *world, id string) { w.update(id, func(s *secret.Secret) { change(w, s) }) }
	}
	others := map[string]func(w *world, id string){
		"delete": change(func(w *world, s *secret.Secret) { s.Delete(w.now()) }),
		"detach": change(func(w *world, s *secret.Secret) { s.Detach(w.now()) }),
		"ask":    change(func(w *world, s *secret.Secret) { s.Ask(w.now()) }),
		"move":   change((*world).move),
		"consent anew": func(w *world, id string) {
			if !w.secret(id).ConsentWaits() {
				w.advance(2 * dialog)
				w.consent(id)
			}
		},
	}
	for _, sc := range consents()[:4] {
		effects := sc.effects(t)
		for name, other := range others {
			for i, effect := range effects {
				t.Run(fmt.Sprintf("%s: %s before %d. %s", sc.name, name, i+1, effect), func(t *testing.T) {
					t.Parallel()
					w := newWorld(t)
					id := sc.prepare(w, w.exchanger()).ID
					m := w.job(id)
					sab := &saboteur{inner: w.store, events: w.events, at: i + 1, meanwhile: func() { other(w, id) }}
					if err := w.exchanger(sab.sabotaged).Handle(t.Context(), m); err != nil {
						m.Delivery++
						w.run(w.exchanger(), m)
					}
					if s := w.secret(id); s != nil && s.Plan().Due(w.now()) {
						w.run(w.exchanger(), w.job(id))
					}
					for _, g := range w.grants(id) {
						if g.CodePresented > 1 || g.Ended != "" {
							t.Errorf("grant, by the provider's books: %s", show(g))
						}
					}
					w.checkSettled(id)
				})
			}
		}
	}
}

// checkSettled is checkRest for a secret that may have been taken out of its
// environment, and then works again in another.
func (w *world) checkSettled(id string) {
	w.t.Helper()
	w.checkRest(id)
	s := w.secret(id)
	if s == nil {
		return
	}
	if a := s.Authorization; !a.ConsentedAt.IsZero() || a.Failure != nil || a.Required {
		w.t.Errorf("authorization: %s", show(a))
	}
	if s.Environment == "" {
		w.update(id, func(s *secret.Secret) {
			s.Attach(secret.NewID(secret.PrefixEnvironment), "production")
			s.Ask(w.now())
		})
		w.run(w.exchanger(), w.job(id))
		w.checkRest(id)
	}
	w.checkRefreshable(id)
}

// An exchanger that is told to stop waits for what the provider gives for a code
// or a refresh token: it would be lost.
func TestHardStopDuringConsent(t *testing.T) {
	t.Parallel()
	for _, sc := range consents()[:6] {
		t.Run(sc.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			s := sc.prepare(w, w.exchanger())
			h := w.hold(s)
			h.stop()
			if err := h.release(); err != nil && !errors.Is(err, errFenced) {
				t.Errorf("error is %v", err)
			}
			if s := w.secret(s.ID); s.Plan().Due(w.now()) {
				w.run(w.exchanger(), w.job(s.ID))
			}
			sc.check(w, s.ID)
			w.wantRequests(s.ID, sc.requests)
		})
	}
}

// An exchanger that is told to stop keeps the claim of what it may not lose,
// however long the provider takes.
func TestHardStopDuringLongExchange(t *testing.T) {
	t.Parallel()
	for _, sc := range consents()[:6] {
		t.Run(sc.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			s := sc.prepare(w, w.exchanger())
			h := w.hold(s, renewing)
			h.stop()
			for range 3 {
				w.advance(2 * claimLife)
				w.await(s.ID, func(g *secret.Grant) bool { return g.Claim.Until.Equal(w.now().Add(claimLife)) })
				if err := w.exchanger().Handle(t.Context(), w.job(s.ID)); !errors.Is(err, errBusy) {
					t.Errorf("error is %v", err)
				}
			}
			if err := h.release(); err != nil {
				t.Errorf("error is %v", err)
			}
			sc.check(w, s.ID)
			w.wantRequests(s.ID, sc.requests)
		})
	}
}
