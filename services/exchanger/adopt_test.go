package exchanger

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/seal"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/services/sandbox"
)

// imported is a secret whose consent was given to another system a week ago, with
// that system's refresh token, as the api stores it.
func (w *world) imported(tokens sandbox.RefreshTokens, edits ...func(*secret.Draft)) *secret.Secret {
	w.t.Helper()
	s := w.consenting(sandbox.CodeFlow{RefreshTokens: tokens, Consents: people(alice, bob)}, declared(tokens))
	verifier := rand.Text() + rand.Text()
	old := w.apps[acme]
	old.Provider.TokenURL, _, _ = strings.Cut(old.Provider.TokenURL, "?") // not on the account of the secret
	held, err := w.provider.client.Code(context.Background(), old, seal.NewPlaintext(w.browse(s.ID, verifier)), seal.NewPlaintext(verifier), testRedirect)
	if err != nil {
		w.t.Fatal(err)
	}
	w.edit(s.ID, func(d *secret.Draft) {
		given := w.now().Add(-7 * day)
		generation := d.Import(given, []string{plantedScope})
		sealed, err := w.sealer.Seal(seal.LongLived, seal.Binding{Secret: s.ID, Field: secret.FieldRefreshToken, Generation: generation}, held.Refresh)
		if err != nil {
			w.t.Fatal(err)
		}
		d.Consent = &secret.Consent{Imported: &secret.ConsentGrant{
			Generation: generation, Sealed: sealed, ClientID: s.ID, AuthorizedAt: given,
			Account: secret.Account(acme, alice), EndsAt: given.Add(365 * day),
		}}
		d.Ask(w.now())
		for _, edit := range edits {
			edit(d)
		}
	})
	return w.secret(s.ID)
}

// presented is how often each refresh token of the one grant was presented.
func (w *world) presented(id string) (times []uint64) {
	w.t.Helper()
	for _, token := range w.grants(id)[0].RefreshTokens {
		times = append(times, token.Presented)
	}
	return times
}

// A consent that was given elsewhere serves without anybody consenting again, and
// the token that the other system holds is spent by that, once.
func TestImportedConsent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	x := w.exchanger()
	s := w.imported(strict())
	w.run(x, w.job(s.ID))
	got := w.secret(s.ID)
	if got.Status != secret.Succeeded || got.Authorization.Imported != 0 || !got.Authorization.AuthorizedAt.Equal(w.now().Add(-7*day)) ||
		!got.Authorization.ReauthorizeBy.Equal(w.now().Add(358*day)) || len(got.Authorization.Notices) == 0 {
		t.Errorf("record: %s", show(got))
	}
	w.checkValue(got)
	w.runDue(x, s.ID)
	if got := w.presented(s.ID); len(got) != 3 || got[0] != 1 || got[1] != 1 || got[2] != 0 {
		t.Errorf("refresh tokens were presented %v times", got)
	}
	w.wantRequests(s.ID, 2)
	w.checkAnnounced(s.ID)
	w.checkRefreshable(s.ID)
}

// The token that was imported is one like any other from the claim on: the intent
// names it before it leaves.
func TestImportedIntent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.imported(strict())
	h := w.hold(s)
	g := w.grant(s.ID)
	sum := sha256.Sum256(g.Consent.Sealed)
	if g.Claim == nil || g.Claim.Token != 1 || g.Claim.Fingerprint != hex.EncodeToString(sum[:8]) {
		t.Errorf("claim: %s", show(g.Claim))
	}
	if err := h.release(); err != nil {
		t.Error(err)
	}
}

// A token that nobody replaces is opened at each refresh. It is adopted in the form that
// is quick to open, unless it does not open at all.
func TestImportedIsResealed(t *testing.T) {
	t.Parallel()
	for name, key := range map[string]bool{"opens": true, "is sealed to another fleet": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			s := w.imported(sandbox.RefreshTokens{})
			stored, err := secret.Vault{State: w.store}.Consent(t.Context(), s.ID)
			if err != nil {
				t.Fatal(err)
			}
			given := stored.Imported
			if !key {
				w.useRing(newRing(t, w.now()))
			}
			w.run(w.exchanger(), w.job(s.ID))
			use := w.grant(s.ID).Consent
			if short := len(use.Sealed) < len(given.Sealed)-1000; short != key || use.Generation != given.Generation {
				t.Errorf("%d bytes of generation %d, imported %d of %d", len(use.Sealed), use.Generation, len(given.Sealed), given.Generation)
			}
			if got := w.secret(s.ID); (got.Status == secret.Succeeded) != key {
				t.Errorf("record: %s", show(got))
			}
		})
	}
}

// What is kept fresh elsewhere is left alone, whatever is asked for, until it is
// taken over.
func TestElsewhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	x := w.exchanger()
	due := w.now()
	s := w.imported(strict(), func(d *secret.Draft) { d.Leave(w.now()) })
	stale := w.job(s.ID)
	w.update(s.ID, func(s *secret.Secret) { s.Ask(w.now()) })
	w.run(x, stale)
	if got := w.secret(s.ID); got.Status != secret.Pending || got.Plan().Action != secret.Rest {
		t.Errorf("record: %s", show(got))
	}
	w.wantRequests(s.ID, 0)
	w.advance(time.Hour)
	w.update(s.ID, func(s *secret.Secret) {
		s.TakeOver(w.now())
		s.PutOff(w.now(), w.now().Add(10*time.Minute))
	})
	if got := w.secret(s.ID).NextAttemptAt; !got.Equal(due.Add(70 * time.Minute)) {
		t.Errorf("due at %v", got)
	}
	w.runDue(x, s.ID)
	w.checkValue(w.secret(s.ID))
	w.wantRequests(s.ID, 1)
}

// A failure that passes takes no consent away: a retry sends the same token.
func TestImportedRetry(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	x := w.exchanger()
	s := w.imported(strict())
	w.script(s, sandbox.Step{Status: 503, Times: 1}, sandbox.Step{})
	w.run(x, w.job(s.ID))
	got := w.secret(s.ID)
	if got.Status != secret.Failed || got.NeedsConsent() {
		t.Fatalf("record: %s", show(got))
	}
	w.update(s.ID, func(s *secret.Secret) { s.Ask(w.now()) })
	w.run(x, w.job(s.ID))
	w.checkValue(w.secret(s.ID))
	w.checkRefreshable(s.ID)
}

// An exchanger that dies with the answer: within a grace nothing is lost, and
// without one it is called unknown, never revoked.
func TestImportedAndLost(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		tokens   sandbox.RefreshTokens
		want     secret.Status
		requests int
	}{
		"grace":    {lenient(time.Minute), secret.Succeeded, 2},
		"no grace": {strict(), secret.Failed, 3}, // a refusal is put to the test
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			s := w.imported(tt.tokens)
			w.dies(s.ID, 2)
			w.again(s.ID)
			for w.secret(s.ID).Plan().Action == secret.Exchange {
				w.runDue(w.exchanger(), s.ID)
			}
			got := w.secret(s.ID)
			if got.Status != tt.want {
				t.Fatalf("record: %s", show(got))
			}
			if tt.want == secret.Failed && got.StatusDetails.Reason != string(events.ReasonUnknown) {
				t.Errorf("the reason is %s", got.StatusDetails.Reason)
			}
			w.wantRequests(s.ID, tt.requests)
		})
	}
}

// The account that came with an import is guarded like any: another's consent is
// held, and the imported one stays.
func TestAccountOfImport(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	x := w.exchanger()
	s := w.imported(strict(), func(d *secret.Draft) { d.NextAttemptAt = time.Time{} })
	w.consent(s.ID)
	w.run(x, w.job(s.ID))
	if a := w.secret(s.ID).Authorization; a.HeldAt.IsZero() {
		t.Errorf("bob's consent is not held back from alice's secret: %s", show(a))
	}
	w.update(s.ID, func(s *secret.Secret) { s.Ask(w.now()) })
	w.run(x, w.job(s.ID))
	if got := w.whose(s.ID); got != alice {
		t.Errorf("the value is %s's", got)
	}
}
