package exchanger

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/provider"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/services/sandbox"
)

// The accounts of these tests.
const (
	alice = "alice@people.test"
	bob   = "bob@people.test"
)

// heldBack is a secret of alice's for which bob has consented, too.
func (w *world) heldBack(x *Exchanger) *secret.Secret {
	w.t.Helper()
	s := w.consented(x, sandbox.CodeFlow{RefreshTokens: strict(), Consents: people(alice, bob, alice)}, declared(strict()))
	w.advance(2 * dialog)
	w.consent(s.ID)
	w.run(x, w.job(s.ID))
	if a := w.secret(s.ID).Authorization; a.HeldAt.IsZero() {
		w.t.Fatalf("not held: %s", show(a))
	}
	return s
}

// whose is the account that the deployed token is of, by the provider's books.
func (w *world) whose(id string) string {
	w.t.Helper()
	found := w.artifacts(id)
	if len(found) != 1 {
		w.t.Fatalf("%d artifacts", len(found))
	}
	return w.provider.Introspect(w.value(found[0])).Subject
}

// Another account's consent is held, and the grant in use serves on.
func TestAnotherAccountIsHeld(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	x := w.exchanger()
	s := w.consented(x, sandbox.CodeFlow{RefreshTokens: strict(), Consents: people(alice, bob)})
	before, grant := w.secret(s.ID), w.grant(s.ID)
	w.advance(2 * dialog)
	w.consent(s.ID)
	w.run(x, w.job(s.ID))

	want := *before
	want.Decision, want.UpdatedAt = before.Decision+2, w.now()
	want.Authorization = new(*before.Authorization)
	want.Authorization.HeldAt = w.now()
	if diff := cmp.Diff(&want, w.secret(s.ID)); diff != "" {
		t.Errorf("record (-want +got):\n%s", diff)
	}
	g := w.grant(s.ID)
	if diff := cmp.Diff(grant.Consent, g.Consent, brief()); diff != "" || g.Held == nil || g.Held.Account == g.Consent.Account || g.Outcome.Sealed != nil {
		t.Errorf("held %s, grant in use (-before +after):\n%s", show(g.Held), diff)
	}
	w.checkAnnounced(s.ID)
	if n, _ := w.metric(`rekindle_exchanges_total{action="authorize",kind="oauth2-acme",outcome="held"}`); n != 1 {
		t.Error("not counted as held")
	}
	w.runDue(x, s.ID)
	if who := w.whose(s.ID); who != alice || w.secret(s.ID).RefreshStatus != secret.Succeeded || w.grant(s.ID).Held == nil {
		t.Errorf("it is %s's: %s", who, show(w.secret(s.ID)))
	}
}

// What is held is used when somebody says so, or goes when the account in use
// consents again.
func TestHeldIsAccepted(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		end  func(w *world, id string)
		want string
	}{
		{"accepted", func(w *world, id string) { w.update(id, func(s *secret.Secret) { s.AcceptHeld(w.now()) }) }, bob},
		{"the first account again", (*world).consent, alice},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			x := w.exchanger()
			s := w.heldBack(x)
			tt.end(w, s.ID)
			w.run(x, w.job(s.ID))
			got, g := w.secret(s.ID), w.grant(s.ID)
			if who := w.whose(s.ID); who != tt.want || !got.Authorization.HeldAt.IsZero() || got.Authorization.Accept || g.Held != nil {
				t.Errorf("it is %s's, want %s's: %s", who, tt.want, show(got))
			}
			if !g.Consent.AuthorizedAt.Equal(got.Authorization.AuthorizedAt) {
				t.Errorf("grant: %s", show(g.Consent))
			}
			w.checkRest(s.ID)
			w.checkRefreshable(s.ID)
			w.wantRequests(s.ID, 3)
		})
	}
}

// checkNothingHeld fails the test if another account's consent waits for a decision.
func (w *world) checkNothingHeld(id string) {
	w.t.Helper()
	if a, g := w.secret(id).Authorization, w.grant(id); !a.HeldAt.IsZero() || a.Accept || g.Held != nil {
		w.t.Errorf("held %s, authorization: %s", show(g.Held), show(a))
	}
}

// A held grant that the provider refuses is dropped, and leaves the one in use
// alone.
func TestHeldIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	x := w.exchanger()
	s := w.heldBack(x)
	if err := w.provider.Revoke(s.ID, 2); err != nil {
		t.Fatal(err)
	}
	before := w.secret(s.ID)
	w.update(s.ID, func(s *secret.Secret) { s.AcceptHeld(w.now()) })
	w.run(x, w.job(s.ID))
	got := w.secret(s.ID)
	a := got.Authorization
	if a.Failure == nil || a.Failure.Reason != string(events.ReasonGrantEnded) || !a.EndedAt.IsZero() || a.Required || len(w.ends(s.ID)) != 0 {
		t.Errorf("authorization: %s", show(a))
	}
	w.checkNothingHeld(s.ID)
	if got.Status != secret.Succeeded || !got.NextAttemptAt.Equal(before.NextAttemptAt) {
		t.Errorf("record: %s", show(got))
	}
	w.runDue(x, s.ID)
	if who := w.whose(s.ID); who != alice {
		t.Errorf("it is %s's", who)
	}
	w.checkAnnounced(s.ID)
}

// That a held grant has ended, too, is nothing to say of the one in use.
func TestHeldHasEndedToo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	x := w.exchanger()
	s := w.heldBack(x)
	for number := range uint64(len(w.grants(s.ID))) {
		if err := w.provider.Revoke(s.ID, number+1); err != nil {
			t.Fatal(err)
		}
	}
	w.runDue(x, s.ID)
	w.runDue(x, s.ID)
	w.update(s.ID, func(s *secret.Secret) { s.AcceptHeld(w.now()) })
	w.run(x, w.job(s.ID))
	if ends := w.ends(s.ID); len(ends) != 1 {
		t.Errorf("said at %v, authorization: %s", ends, show(w.secret(s.ID).Authorization))
	}
	w.checkNothingHeld(s.ID)
	w.checkAnnounced(s.ID)
}

// Whose consent it is shows in the id token, at the userinfo endpoint, or in the
// redirect; where it shows nowhere, it counts as the same.
func TestAccountIsKnown(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		subject func(w *world) provider.Subject
		held    bool
	}{
		"id token": {func(*world) provider.Subject { return provider.Subject{From: provider.PlaceIDToken, Field: "sub"} }, true},
		"userinfo": {func(w *world) provider.Subject {
			return provider.Subject{From: provider.PlaceUserinfo, Field: "user_id", URL: w.provider.url + "/userinfo"}
		}, true},
		"nowhere": {func(*world) provider.Subject { return provider.Subject{} }, false},
		"userinfo away": {func(w *world) provider.Subject {
			return provider.Subject{From: provider.PlaceUserinfo, Field: "user_id", URL: w.nobody()}
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			x := w.exchanger()
			s := w.consented(x, sandbox.CodeFlow{Consents: people(alice, bob)}, func(d *provider.Descriptor) { d.Subject = tt.subject(w) })
			w.consent(s.ID)
			w.run(x, w.job(s.ID))
			if a := w.secret(s.ID).Authorization; a.HeldAt.IsZero() == tt.held || a.Failure != nil {
				t.Errorf("authorization: %s", show(a))
			}
			if tt.held && w.grant(s.ID).Held.Account == bob {
				t.Error("the account is kept as it is")
			}
			w.wantRequests(s.ID, 2)
		})
	}
}

// Where the account in use is known, one that is not known is another.
func TestUnknownAccountIsHeld(t *testing.T) {
	t.Parallel()
	for name, accounts := range map[string][]sandbox.Consent{"another": people(alice, bob), "the same": people(alice, alice)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			x := w.exchanger()
			s := w.consented(x, sandbox.CodeFlow{Consents: accounts}, func(d *provider.Descriptor) {
				d.Subject = provider.Subject{From: provider.PlaceUserinfo, Field: "user_id", URL: w.provider.url + "/userinfo"}
			})
			app := w.apps[acme]
			app.Provider.Subject.URL = w.nobody()
			w.apps[acme] = app
			w.consent(s.ID)
			w.run(x, w.job(s.ID))
			g := w.grant(s.ID)
			if a := w.secret(s.ID).Authorization; a.HeldAt.IsZero() || a.Failure != nil || g.Held == nil || g.Held.Account != "" || g.Consent.Account == "" {
				t.Errorf("authorization: %s, grant: %s", show(a), show(g))
			}
			if who := w.whose(s.ID); who != alice {
				t.Errorf("it is %s's", who)
			}
			w.checkRefreshable(s.ID)
		})
	}
}
