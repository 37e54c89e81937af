package exchanger

import (
	"context"
	"testing"

	"github.com/rekindle-dev/rekindle/pkg/seal"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/services/sandbox"
)

// replantedSecret is what a client secret is changed to.
const replantedSecret = "replanted-client-secret-51c0"

// replace gives a secret other credentials, as an update by the api does. Without a
// hidden one the stored one is kept.
func (w *world) replace(id string, hidden map[string]string) {
	w.t.Helper()
	_, _, err := secret.Store{State: w.store}.Edit(context.Background(), id, func(d *secret.Draft) error {
		d.CredentialGeneration++
		fields := w.seal(d.Secret, d.CredentialGeneration, hidden).Fields
		if len(fields) == 0 {
			fields = d.Credential.Fields
		}
		d.Credential = &secret.Credential{Generation: d.CredentialGeneration, Fields: fields}
		d.Ask(w.now())
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// recopy changes the grant, which nobody but a fault or another version does.
func (w *world) recopy(id string, change func(g *secret.Grant)) {
	g := w.grant(id)
	change(g)
	w.overwrite(state.GrantKey(id), g)
}

// demand has the provider take one client secret and no other.
func (w *world) demand(s *secret.Secret, clientSecret string) {
	w.t.Helper()
	if err := w.provider.Put(sandbox.Client{ID: s.Credentials.ClientID, Secret: sandbox.Secret(clientSecret)}); err != nil {
		w.t.Fatal(err)
	}
}

// The copy of the credentials in the grant stands for the record exactly as long as
// it is a copy of what the secret names. Else the record is read, and copied anew.
func TestCopiedCredential(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		change func(w *world, s *secret.Secret)
		reads  int // of the record, for the next exchange
		wants  string
	}{
		{"nothing happens", func(*world, *secret.Secret) {}, 0, plantedSecret},
		{"the record is damaged", func(w *world, s *secret.Secret) { w.overwrite(state.CredentialKey(s.ID), "damaged") }, 0, plantedSecret},
		{
			"another client secret", func(w *world, s *secret.Secret) {
				w.replace(s.ID, map[string]string{"client_secret": replantedSecret})
			}, 1, replantedSecret,
		},
		{"other public credentials", func(w *world, s *secret.Secret) { w.replace(s.ID, nil) }, 1, plantedSecret},
		{
			"another primary key", func(w *world, _ *secret.Secret) {
				ring, id, err := w.ring.Prepare(w.now())
				if err == nil {
					ring, err = ring.Activate(id)
				}
				if err != nil {
					w.t.Fatal(err)
				}
				w.useRing(ring)
			}, 1, plantedSecret,
		},
		{
			"an older exchanger has written the grant", func(w *world, s *secret.Secret) {
				w.recopy(s.ID, func(g *secret.Grant) { g.Credential = nil })
			}, 1, plantedSecret,
		},
		{
			"the copy is changed", func(w *world, s *secret.Secret) {
				w.recopy(s.ID, func(g *secret.Grant) { g.Credential.Fields["client_secret"].Sealed[20] ^= 1 })
			}, 1, plantedSecret,
		},
		{
			"the copy is no sealed value", func(w *world, s *secret.Secret) {
				w.recopy(s.ID, func(g *secret.Grant) { g.Credential.Fields["client_secret"] = secret.SealedField{Generation: 1} })
			}, 1, plantedSecret,
		},
		{
			"the copy is another secret's", func(w *world, s *secret.Secret) {
				other := w.create(secret.OAuth2)
				w.run(w.exchanger(), w.job(other.ID))
				w.recopy(s.ID, func(g *secret.Grant) { g.Credential = w.grant(other.ID).Credential })
			}, 1, plantedSecret,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			s := w.create(secret.OAuth2)
			w.run(w.exchanger(), w.job(s.ID))
			tt.change(w, s)
			w.demand(s, tt.wants)
			for _, want := range []int{tt.reads, 0} {
				before := w.secret(s.ID).Generation
				store := &counting{w.store, map[string]int{}}
				w.runDue(w.exchanger(using(store)), s.ID)
				if got := w.secret(s.ID); got.Generation == before || got.Status != secret.Succeeded || got.RefreshStatusDetails != nil {
					t.Fatalf("not refreshed: %s", show(got))
				}
				if got := store.reads["credential"]; got != want {
					t.Errorf("the record was read %d times, want %d", got, want)
				}
				w.checkCopy(s.ID, tt.wants)
			}
		})
	}
}

// checkCopy fails the test unless the grant has a copy of the credentials as they are,
// sealed by an exchanger to the primary key.
func (w *world) checkCopy(id, want string) {
	w.t.Helper()
	s, copied := w.secret(id), w.grant(id).Credential
	if copied == nil || copied.Generation != s.CredentialGeneration || len(copied.Fields) != 1 {
		w.t.Fatalf("the copy is %s", show(copied))
	}
	f := copied.Fields["client_secret"]
	value, err := seal.NewOpener(w.ring).Open(seal.Binding{Secret: id, Field: s.Credentials.SealedAs("client_secret"), Generation: f.Generation}, f.Sealed)
	if err != nil || string(value.Reveal()) != want {
		w.t.Errorf("the copy opens as %q, %v", value.Reveal(), err)
	}
	if _, key, err := seal.Inspect(f.Sealed); err != nil || key != w.ring.Keyset().Primary() {
		w.t.Errorf("the copy is sealed to %s, %v", key, err)
	}
}

// Credentials that are changed while an exchange runs with those of before are the
// ones of the next, whatever the grant was written with meanwhile.
func TestCredentialChangedDuringExchange(t *testing.T) {
	t.Parallel()
	for _, copied := range []bool{false, true} {
		w := newWorld(t)
		s := w.create(secret.OAuth2)
		if copied {
			w.run(w.exchanger(), w.job(s.ID))
			w.clock.Store(w.secret(s.ID).NextAttemptAt.UnixMilli())
		}
		h := w.hold(s)
		w.replace(s.ID, map[string]string{"client_secret": replantedSecret})
		if err := h.release(); err != nil {
			t.Fatal(err)
		}
		w.demand(s, replantedSecret)
		if w.secret(s.ID).Plan().Due(w.now()) {
			w.run(w.exchanger(), w.job(s.ID))
		}
		w.checkRest(s.ID)
		w.checkCopy(s.ID, replantedSecret)
	}
}

// What is opened once is not copied, and a test leaves nothing behind: see TestTest.
func TestNotCopied(t *testing.T) {
	t.Parallel()
	for _, kind := range []secret.Kind{secret.Token, secret.SimpleHTTP} {
		w := newWorld(t)
		s := w.create(kind)
		w.run(w.exchanger(), w.job(s.ID))
		if g := w.grant(s.ID); g.Credential != nil {
			t.Errorf("%s: %s", kind, show(g))
		}
	}
}
