package exchanger

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/provider"
	"github.com/rekindle-dev/rekindle/pkg/seal"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/services/sandbox"
)

// declared makes a descriptor say what the provider does to refresh tokens.
func declared(t sandbox.RefreshTokens) func(*provider.Descriptor) {
	return func(d *provider.Descriptor) {
		d.Refresh.Rotates = t.Rotation == sandbox.RotationRotate
		d.Refresh.Grace = time.Duration(t.Grace)
	}
}

// strict are the refresh tokens of a provider that ends a grant over a token
// that comes twice.
func strict() sandbox.RefreshTokens {
	return sandbox.RefreshTokens{Rotation: sandbox.RotationRotate, DetectReuse: true}
}

// Refresh after refresh, whatever the provider does to the refresh token.
func TestRotation(t *testing.T) {
	t.Parallel()
	for name, tokens := range map[string]sandbox.RefreshTokens{
		"none": {}, "repeated": {Rotation: sandbox.RotationRepeat}, "rotated": strict(),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			x := w.exchanger()
			s := w.consented(x, sandbox.CodeFlow{RefreshTokens: tokens})
			authorized := *w.secret(s.ID).Authorization
			for range 3 {
				w.runDue(x, s.ID)
			}
			got := w.secret(s.ID)
			w.checkValue(got)
			authorized.AliveAt = w.now()
			if diff := cmp.Diff(&authorized, got.Authorization); diff != "" || got.RefreshStatus != secret.Succeeded {
				t.Errorf("refreshed: %q, authorization (-want +got):\n%s", got.RefreshStatus, diff)
			}
			grant := w.grants(s.ID)[0]
			for _, token := range grant.RefreshTokens {
				if tokens.Rotation == sandbox.RotationRotate && token.Presented > 1 {
					t.Errorf("refresh token %d was sent %d times", token.Number, token.Presented)
				}
			}
			w.wantRequests(s.ID, 4)
			w.checkRefreshable(s.ID)
		})
	}
}

// Where there is no refresh token, the consent ends with the access token, and
// nothing is refreshed.
func TestNoRefreshToken(t *testing.T) {
	t.Parallel()
	for _, issued := range []provider.Issue{provider.IssuedSometimes, provider.IssuedNever} {
		t.Run(string(issued), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			x := w.exchanger()
			never := sandbox.CodeFlow{Lifetime: sandbox.Duration(60 * day), RefreshTokens: sandbox.RefreshTokens{Issue: sandbox.IssueNever}}
			s := w.consented(x, never, func(d *provider.Descriptor) { d.Refresh.Issued = issued })
			ends := w.now().Add(60 * day)
			got := w.secret(s.ID)
			if !got.ExpiresAt.Equal(ends) || !got.RefreshAt.IsZero() || !got.Authorization.ReauthorizeBy.Equal(ends) {
				t.Errorf("record: %s", show(got))
			}
			w.checkValue(got)
			warned := 0
			for w.secret(s.ID).Plan().Action != secret.Rest {
				w.runDue(x, s.ID)
				warned++
			}
			if got := w.secret(s.ID); warned != 4 || !got.Authorization.Required || got.Status != secret.Succeeded {
				t.Errorf("warned %d times: %s", warned, show(got))
			}
			w.wantRequests(s.ID, 1)
		})
	}
}

// A refresh token that came with an answer of no other use takes the place of
// the one that was spent on it.
func TestRotatedTokenIsKept(t *testing.T) {
	t.Parallel()
	endless := sandbox.Step{Times: 1, Omit: []string{"expires_in"}}
	short := sandbox.Duration(time.Hour)
	windows := func(x *Exchanger) {
		x.Policy = secret.Policy{secret.ProviderKind(acme): {MinValidity: 2 * time.Hour}}
	}
	for _, tt := range []struct {
		name   string
		step   sandbox.Step
		edits  []func(*Exchanger)
		reason events.Reason
	}{
		{"no lifetime", endless, nil, events.ReasonNoLifetime},
		{"too short a lifetime", sandbox.Step{Times: 1, Lifetime: &short}, []func(*Exchanger){windows}, events.ReasonWindow},
	} {
		t.Run(tt.name+", refresh", func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			x := w.exchanger(tt.edits...)
			s := w.consented(x, sandbox.CodeFlow{RefreshTokens: strict()})
			w.script(s, tt.step, sandbox.Step{})
			w.runDue(x, s.ID)
			got := w.secret(s.ID)
			if f := got.RefreshStatusDetails; f == nil || f.Reason != string(tt.reason) || got.Attempts != 1 {
				t.Fatalf("record: %s", show(got))
			}
			w.runDue(x, s.ID)
			w.checkValue(w.secret(s.ID))
			w.wantRequests(s.ID, 3)
		})
		t.Run(tt.name+", accept", func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			x := w.exchanger(tt.edits...)
			s := w.consented(x, sandbox.CodeFlow{RefreshTokens: strict(), Consents: people(alice, bob)})
			w.consent(s.ID)
			w.run(x, w.job(s.ID))
			accept := func() *secret.Authorization {
				w.update(s.ID, func(s *secret.Secret) { s.AcceptHeld(w.now()) })
				w.run(x, w.job(s.ID))
				return w.secret(s.ID).Authorization
			}
			inUse := w.grant(s.ID).Consent
			w.script(s, tt.step, sandbox.Step{})
			if a := accept(); a.Failure == nil || a.Failure.Reason != string(tt.reason) || a.HeldAt.IsZero() {
				t.Fatalf("authorization: %s", show(a))
			}
			if diff := cmp.Diff(inUse, w.grant(s.ID).Consent, brief()); diff != "" {
				t.Errorf("the grant in use has changed:\n%s", diff)
			}
			if a := accept(); a.Failure != nil || !a.HeldAt.IsZero() {
				t.Errorf("authorization: %s", show(a))
			}
			w.checkValue(w.secret(s.ID))
			w.checkRefreshable(s.ID)
		})
	}
}

// reason is why the last exchange failed, empty if it did not.
func reason(s *secret.Secret) string {
	for _, f := range []*secret.Failure{s.StatusDetails, s.RefreshStatusDetails} {
		if f != nil {
			return f.Reason
		}
	}
	return ""
}

// Without the app that a consent was given to, the grant stays and serves again
// when the app is back. While another is in its place, somebody has to consent.
func TestAppIsAway(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		change func(w *world)
		reason events.Reason
		human  bool
	}{
		"not registered": {func(w *world) { delete(w.apps, acme) }, events.ReasonNotRegistered, false},
		"another app": {func(w *world) {
			app := w.apps[acme]
			app.ClientID = "another"
			w.apps[acme] = app
		}, events.ReasonAppRefused, true},
		"another client secret": {func(w *world) {
			app := w.apps[acme]
			app.Secret = seal.NewPlaintext("wrong")
			w.apps[acme] = app
		}, events.ReasonAppRefused, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			x := w.exchanger()
			s := w.consented(x, sandbox.CodeFlow{RefreshTokens: strict()})
			app := w.apps[acme]
			tt.change(w)
			w.runDue(x, s.ID)
			got := w.secret(s.ID)
			if reason(got) != string(tt.reason) || got.Attempts != 1 || !got.Authorization.EndedAt.IsZero() || got.Authorization.Required != tt.human {
				t.Errorf("record: %s", show(got))
			}
			said := 0
			for _, e := range w.events.about(s.ID) {
				if e.Data.Type() == events.TypeReauthorizationDue {
					said++
				}
			}
			if (said == 1) != tt.human || len(w.ends(s.ID)) != 0 {
				t.Errorf("said %d times, ended at %v", said, w.ends(s.ID))
			}
			w.apps[acme] = app // and the next attempt mends it
			w.runDue(x, s.ID)
			if a := w.secret(s.ID).Authorization; !a.EndedAt.IsZero() || a.Required {
				t.Errorf("authorization: %s", show(a))
			}
			w.checkValue(w.secret(s.ID))
			w.checkAnnounced(s.ID)
		})
	}
}

// ends are the announcements that the grant is of no use any more.
func (w *world) ends(id string) (ids []string) {
	for _, e := range w.events.about(id) {
		if _, due := e.Data.(events.ReauthorizationDue); due && strings.HasSuffix(e.ID, ".ended") {
			ids = append(ids, strings.TrimPrefix(e.ID, id+"."))
		}
	}
	return ids
}

// That a grant has ended is said once, whenever that shows, and is over with the
// next consent.
func TestDeadGrant(t *testing.T) {
	t.Parallel()
	for at := 1; at <= secret.MaxAttempts; at++ { // the first strike
		t.Run(fmt.Sprintf("found at attempt %d", at), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			x := w.exchanger()
			s := w.consented(x, sandbox.CodeFlow{})
			if err := w.provider.Revoke(s.ID, 0); err != nil {
				t.Fatal(err)
			}
			cutOff := w.exchanger(func(x *Exchanger) { x.Client = NewClient(EgressConfig{}); t.Cleanup(x.Client.Close) })
			for range at - 1 {
				w.runDue(cutOff, s.ID)
			}
			for w.secret(s.ID).Plan().Action != secret.Rest {
				w.runDue(x, s.ID)
			}
			got := w.secret(s.ID)
			a := got.Authorization
			if reason(got) != string(events.ReasonGrantEnded) || got.RefreshStatus != secret.Failed || got.Status != secret.Succeeded ||
				a.EndedAt.IsZero() || !a.Required || got.Attempts != at+1 {
				t.Errorf("record: %s", show(got))
			}
			first := fmt.Sprintf("%d.ended", at+2)
			if ends := w.ends(s.ID); len(ends) != 1 || ends[0] != first {
				t.Errorf("said at %v, want %s", ends, first)
			}
			w.advance(2 * maxSkew)
			w.update(s.ID, func(s *secret.Secret) { s.Ask(w.now()) })
			w.run(x, w.job(s.ID))
			if got := w.secret(s.ID); got.Status != secret.Failed || len(w.ends(s.ID)) != 1 {
				t.Errorf("said at %v, record: %s", w.ends(s.ID), show(got))
			}
			w.consent(s.ID)
			w.run(x, w.job(s.ID))
			if a := w.secret(s.ID).Authorization; a.Required || !a.EndedAt.IsZero() {
				t.Errorf("authorization: %s", show(a))
			}
			w.checkValue(w.secret(s.ID))
			w.checkAnnounced(s.ID)
		})
	}
}

// Two refusals for good make an end if no other answer came between them. That there
// was none says nothing.
func TestStrikesInARow(t *testing.T) {
	t.Parallel()
	for name, between := range map[string]struct {
		step sandbox.Step
		ends bool
	}{
		"a firewall's word": {sandbox.Step{Times: 1, Status: 403}, false},
		"a fault":           {sandbox.Step{Times: 1, Status: 503}, false},
		"too many requests": {sandbox.Step{Times: 1, Status: 429}, false},
		"no answer":         {sandbox.Step{Times: 1, Fault: sandbox.FaultReset}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			x := w.exchanger()
			s := w.consented(x, sandbox.CodeFlow{})
			refusal := sandbox.Step{Times: 1, Error: "invalid_grant"}
			w.script(s, refusal, between.step, refusal, sandbox.Step{})
			for range 3 {
				w.runDue(x, s.ID)
			}
			got := w.secret(s.ID)
			if ended := !got.Authorization.EndedAt.IsZero(); ended != between.ends || ended != (got.Plan().Action == secret.Rest) {
				t.Fatalf("record: %s", show(got))
			}
			if !between.ends {
				w.runDue(x, s.ID)
				w.checkServes(s.ID)
			}
		})
	}
}

// A refusal of what somebody asked for is put to the test, too, while they wait. Of
// what is known to have ended that is no question any more.
func TestRefusedToWhoAsked(t *testing.T) {
	t.Parallel()
	ask := func(w *world, x *Exchanger, id string) {
		w.update(id, func(s *secret.Secret) { s.Ask(w.now()) })
		w.run(x, w.job(id))
	}
	struck := func(w *world, id string) {
		got := w.secret(id)
		if got.Status != secret.Pending || reason(got) != string(events.ReasonGrantEnded) || !got.NextAttemptAt.Equal(w.now().Add(confirmed)) ||
			!got.Authorization.EndedAt.IsZero() || got.Authorization.Required || len(w.ends(id)) != 0 {
			w.t.Fatalf("said at %v, record: %s", w.ends(id), show(got))
		}
		w.checkAnnounced(id)
	}
	t.Run("taken back", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		x := w.exchanger()
		s := w.consented(x, sandbox.CodeFlow{})
		w.script(s, sandbox.Step{Times: 1, Error: "invalid_grant"}, sandbox.Step{})
		ask(w, x, s.ID)
		struck(w, s.ID)
		w.runDue(x, s.ID)
		w.checkServes(s.ID)
		w.wantRequests(s.ID, 3)
	})
	t.Run("confirmed", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		x := w.exchanger()
		s := w.consented(x, sandbox.CodeFlow{})
		if err := w.provider.Revoke(s.ID, 0); err != nil {
			t.Fatal(err)
		}
		ask(w, x, s.ID)
		struck(w, s.ID)
		w.runDue(x, s.ID)
		w.advance(2 * maxSkew)
		for requests := 3; requests < 5; requests++ {
			got := w.secret(s.ID)
			if got.Status != secret.Failed || got.Authorization.EndedAt.IsZero() || got.Plan().Action != secret.Rest || len(w.ends(s.ID)) != 1 {
				t.Fatalf("said at %v, record: %s", w.ends(s.ID), show(got))
			}
			w.wantRequests(s.ID, requests)
			w.checkAnnounced(s.ID)
			ask(w, x, s.ID)
		}
	})
}

// confirmed is how soon it is asked again for who waits.
const confirmed = time.Second

// Whoever dies before it is said that a grant has ended has it said by the next.
func TestDeadGrantIsSaidAfterACrash(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.consented(w.exchanger(), sandbox.CodeFlow{})
	if err := w.provider.Revoke(s.ID, 0); err != nil {
		t.Fatal(err)
	}
	w.runDue(w.exchanger(), s.ID) // the first strike
	w.clock.Store(w.secret(s.ID).NextAttemptAt.UnixMilli())
	m := w.job(s.ID)
	dies := &saboteur{inner: w.store, events: w.events, named: "announce", mode: diesBefore}
	if lived, _ := process(w.exchanger(dies.sabotaged), m); lived {
		t.Fatal("it lived")
	}
	m.Delivery++
	w.run(w.exchanger(), m)
	if ends := w.ends(s.ID); len(ends) != 1 {
		t.Errorf("said at %v", ends)
	}
	w.checkAnnounced(s.ID)
	w.wantRequests(s.ID, 3)
}

// A policy that nobody told us of: grants that end at the same age. From the
// third on the end is expected.
func TestSessionPolicy(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	x := w.exchanger()
	s := w.consented(x, sandbox.CodeFlow{Lifetime: sandbox.Duration(time.Hour)})
	for range 2 {
		authorized := w.secret(s.ID).Authorization.AuthorizedAt
		for w.now().Sub(authorized) < 24*time.Hour {
			w.runDue(x, s.ID)
		}
		if err := w.provider.Revoke(s.ID, 0); err != nil {
			t.Fatal(err)
		}
		for w.secret(s.ID).Plan().Action != secret.Rest {
			w.runDue(x, s.ID)
		}
		w.advance(time.Hour)
		w.consent(s.ID)
		w.run(x, w.job(s.ID))
	}
	a := w.secret(s.ID).Authorization
	if lived := a.ReauthorizeBy.Sub(a.AuthorizedAt); lived != 24*time.Hour || len(a.Notices) == 0 {
		t.Errorf("after two that lived for a day: %s", show(a))
	}
}

// Without an environment a consent is proven and kept, and the value comes when
// there is one.
func TestConsentWithoutEnvironment(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	x := w.exchanger()
	s := w.consenting(sandbox.CodeFlow{RefreshTokens: strict()})
	w.update(s.ID, loose)
	w.consent(s.ID)
	w.run(x, w.job(s.ID))
	got := w.secret(s.ID)
	if got.Status != secret.Succeeded || !got.ActivatedAt.IsZero() || got.Plan().Action != secret.Rest {
		t.Errorf("record: %s", show(got))
	}
	w.checkValue(got)
	w.advance(30 * day)
	w.update(s.ID, func(s *secret.Secret) {
		s.Attach(secret.NewID(secret.PrefixEnvironment), "staging")
		s.Ask(w.now())
	})
	w.run(x, w.job(s.ID))
	w.checkRest(s.ID)
	w.checkValue(w.secret(s.ID))
	w.wantRequests(s.ID, 2)
}

// The code waits for a refresh under way, and what that has brought is not lost,
// whatever comes of the code.
func TestConsentDuringRefresh(t *testing.T) {
	t.Parallel()
	for _, refused := range []bool{false, true} {
		t.Run(fmt.Sprintf("refused=%t", refused), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			s := w.consented(w.exchanger(), sandbox.CodeFlow{RefreshTokens: strict()})
			w.clock.Store(w.secret(s.ID).NextAttemptAt.UnixMilli())
			h := w.hold(s)
			w.consent(s.ID)
			if err := w.exchanger().Handle(t.Context(), w.job(s.ID)); !errors.Is(err, errBusy) {
				t.Errorf("error is %v", err)
			}
			if refused {
				w.advance(time.Minute) // the code is late
			}
			if err := h.release(); err != nil {
				t.Fatal(err)
			}
			if got := w.secret(s.ID); got.Plan().Due(w.now()) {
				w.run(w.exchanger(), w.job(s.ID))
			}
			got, grants := w.secret(s.ID), w.grants(s.ID)
			w.checkValue(got)
			inUse, requests := 1, 3
			if refused {
				inUse, requests = 0, 4 // the refresh was void, and is made again
			}
			if (got.Authorization.Failure != nil) != refused || got.Plan().Action != secret.Refresh || grants[0].Ended != "" || grants[inUse].Ended != "" {
				t.Errorf("record: %s", show(got))
			}
			w.wantRequests(s.ID, requests)
			w.checkRefreshable(s.ID)
		})
	}
}

// A retry that is asked for while a code waits is made good by the code, or with
// the grant in use.
func TestRetryWhileConsentWaits(t *testing.T) {
	t.Parallel()
	for _, order := range []string{"retry first", "consent first"} {
		for _, late := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, late=%t", order, late), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				x := w.exchanger()
				s := w.consented(x, sandbox.CodeFlow{RefreshTokens: strict()})
				w.advance(2 * dialog)
				retry := func() { w.update(s.ID, func(s *secret.Secret) { s.Ask(w.now()) }) }
				if order == "retry first" {
					retry()
					w.consent(s.ID)
				} else {
					w.consent(s.ID)
					retry()
				}
				requests := 2
				if late {
					w.advance(time.Minute)
				}
				if late && order == "retry first" {
					requests = 3
				}
				w.run(x, w.job(s.ID))
				got := w.secret(s.ID)
				if got.Status != secret.Succeeded || (got.Authorization.Failure != nil) != late {
					t.Errorf("record: %s", show(got))
				}
				w.checkRest(s.ID)
				w.wantRequests(s.ID, requests)
				w.checkRefreshable(s.ID)
			})
		}
	}
}
