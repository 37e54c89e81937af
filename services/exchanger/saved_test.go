package exchanger

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/provider"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/services/sandbox"
)

// asking is a secret whose refresh is due, at a provider without grace that tells by
// introspection alone how long a token lives.
func (w *world) asking(x *Exchanger) *secret.Secret {
	w.t.Helper()
	s := w.consented(x, sandbox.CodeFlow{RefreshTokens: strict()}, declared(strict()), func(d *provider.Descriptor) {
		d.IntrospectURL = w.provider.url + "/introspect"
	})
	w.script(s, sandbox.Step{Omit: []string{"expires_in"}})
	w.clock.Store(w.secret(s.ID).NextAttemptAt.UnixMilli())
	return s
}

// meanwhile does something, once, while the provider is asked by introspection.
func (w *world) meanwhile(do func()) {
	told, once := *w.provider.arrival.Load(), true
	hook := func(id string) {
		told(id)
		if id == "" && once {
			once = false
			do()
		}
	}
	w.provider.arrival.Store(&hook)
}

// What came in place of the refresh token is in the grant before the provider is
// asked for anything else, under the claim, which is renewed with it.
func TestSavedBeforeAsked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	x := w.exchanger(renewing)
	s := w.asking(x)
	sent := w.grant(s.ID).Consent.Generation
	asked := false
	w.meanwhile(func() {
		asked = true
		check := func() {
			if g := w.grant(s.ID); g.Claim == nil || g.Consent.Generation != g.Claim.Decision || g.Claim.Token != sent || g.Lost != nil {
				t.Errorf("while it is asked the grant is %s", show(g))
			}
		}
		check()
		w.advance(time.Second)
		w.await(s.ID, func(g *secret.Grant) bool { return g.Claim.Until.Equal(w.now().Add(claimLife)) })
		check()
	})
	w.run(x, w.job(s.ID))
	if !asked {
		t.Error("nothing was asked")
	}
	w.checkServes(s.ID)
	w.wantRequests(s.ID, 2)
}

// Whoever dies while asking has lost a value, and no grant.
func TestCrashesWhileAsking(t *testing.T) {
	t.Parallel()
	const saved, outcome = 2, 3 // effects
	sc := scenario{name: "asking", prepare: (*world).asking, check: (*world).checkServes, requests: 2}
	if effects := sc.effects(t); effects[saved-1] != "commit grant" || effects[outcome-1] != "commit grant" {
		t.Fatalf("effects: %v", effects)
	}
	for _, tt := range []struct {
		at       int
		mode     mode
		requests int
		check    func(*world, string)
	}{
		{saved, diesBefore, 2, (*world).checkKeptBack},
		{saved, diesAfter, 3, (*world).checkServes},
		{saved, fails, 2, (*world).checkServes},
		{saved, answerLost, 2, (*world).checkServes},
		{outcome, diesBefore, 3, (*world).checkServes},
		{outcome, diesAfter, 2, (*world).checkServes},
		{outcome, fails, 2, (*world).checkServes},
		{outcome, answerLost, 2, (*world).checkServes},
	} {
		t.Run(fmt.Sprintf("%s at %d", tt.mode, tt.at), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			id := sc.strike(w, tt.at, tt.mode)
			w.wantRequests(id, tt.requests)
			tt.check(w, id)
			w.checkClaims(id)
			w.checkAnnounced(id)
		})
	}
}

// Whoever is overtaken while asking finds the refresh token in use that it saved.
func TestOvertakenWhileAsking(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	x := w.exchanger()
	s := w.asking(x)
	m := w.job(s.ID)
	w.meanwhile(func() {
		w.advance(2 * claimLife)
		w.again(s.ID)
	})
	if err := x.Handle(context.Background(), m); err == nil {
		t.Error("it was not overtaken")
	}
	w.wantRequests(s.ID, 3)
	w.checkServes(s.ID)
}

// A lifetime that nobody tells fails the refresh, and costs no refresh token.
func TestAskedInVain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	x := w.exchanger()
	s := w.asking(x)
	name := s.Kind.Provider()
	app := w.apps[name]
	silent := app
	silent.Provider.IntrospectURL = w.provider.url + "/nowhere"
	w.apps[name] = silent
	w.run(x, w.job(s.ID))
	if got := w.secret(s.ID); reason(got) != string(events.ReasonNoLifetime) || w.grant(s.ID).Lost != nil {
		t.Errorf("record: %s", show(got))
	}
	w.apps[name] = app
	w.runDue(x, s.ID)
	w.checkServes(s.ID)
}
