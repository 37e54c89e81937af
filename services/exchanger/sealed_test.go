package exchanger

import (
	"strings"
	"testing"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/events/sealing"
	"github.com/rekindle-dev/rekindle/pkg/seal"
	"github.com/rekindle-dev/rekindle/pkg/secret"
)

// publish gives a secret the hidden credential that a publisher has sealed for target,
// as the api stores it: bound to about.
func (w *world) publish(s *secret.Secret, about string, target sealing.Target, plaintext string) {
	w.t.Helper()
	value, err := w.ring.Keyset().Seal(target, []byte(plaintext))
	if err != nil {
		w.t.Fatal(err)
	}
	w.plant(s.ID, &secret.Credential{Generation: s.CredentialGeneration, Fields: map[string]secret.SealedField{
		target.Field: {Generation: s.CredentialGeneration, Sealed: value.Bytes(), Bound: about},
	}})
}

// targetOf is the hidden credential of a secret, as a publisher calls it.
func targetOf(s *secret.Secret, about string) sealing.Target {
	return sealing.Target{Org: s.Org, About: about, Field: s.Kind.Hidden(), TokenURL: s.Credentials.TokenURL}
}

// plantedFor is the hidden credential that secrets are created with.
func plantedFor(kind secret.Kind) string {
	return map[secret.Kind]string{
		secret.Token: plantedToken, secret.SimpleHTTP: plantedPassword,
		secret.OAuth2: plantedSecret, secret.OAuth2JWT: signingKeyPEM(),
	}[kind.Canonical()]
}

// TestSealedByAPublisher: it is exchanged like any other, and exported.
func TestSealedByAPublisher(t *testing.T) {
	t.Parallel()
	for _, kind := range []secret.Kind{secret.Token, secret.SimpleHTTP, secret.OAuth2, secret.OAuth2JWT} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			s := w.create(kind)
			about := sealing.AboutName(s.Property, "crm")
			w.publish(s, about, targetOf(s, about), plantedFor(kind))
			w.run(w.exchanger(), w.job(s.ID))
			if got := w.secret(s.ID); got.Status != secret.Succeeded {
				t.Fatalf("not exchanged: %s", show(got))
			}
			e, o := w.exporter(func(d *ExportDeps) { d.HandOver = false })
			if got := w.exported(e, o)[s.Name].Credentials[kind.Hidden()]; !strings.HasPrefix(string(got), `"`+plantedFor(kind)[:10]) {
				t.Errorf("the %s was exported as something of %d bytes", kind.Hidden(), len(got))
			}
		})
	}
}

// TestSealedStaysOpen: what is changed about a secret leaves what its publisher sealed
// as it is, and it opens still. The copy that exchangers make is bound to the id.
func TestSealedStaysOpen(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(w *world, s *secret.Secret){
		"nothing": func(*world, *secret.Secret) {},
		"another name": func(w *world, s *secret.Secret) {
			w.update(s.ID, func(s *secret.Secret) { s.Name = "renamed" })
		},
		"other public members": func(w *world, s *secret.Secret) { w.replace(s.ID, nil) },
		"another path": func(w *world, s *secret.Secret) {
			w.update(s.ID, func(s *secret.Secret) { s.Credentials.TokenURL += "&more" })
		},
		"another primary key": func(w *world, _ *secret.Secret) {
			ring, id, err := w.ring.Prepare(w.now())
			if err == nil {
				ring, err = ring.Activate(id)
			}
			if err != nil {
				w.t.Fatal(err)
			}
			w.useRing(ring)
		},
		"no copy": func(w *world, s *secret.Secret) {
			w.recopy(s.ID, func(g *secret.Grant) { g.Credential = nil })
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			s := w.create(secret.OAuth2)
			about := sealing.AboutName(s.Property, s.Name)
			w.publish(s, about, targetOf(s, about), plantedSecret)
			w.demand(s, plantedSecret)
			w.run(w.exchanger(), w.job(s.ID))
			w.checkCopy(s.ID, plantedSecret)
			change(w, s)
			before := w.secret(s.ID).Generation
			w.runDue(w.exchanger(), s.ID)
			if got := w.secret(s.ID); got.Generation == before || got.Status != secret.Succeeded || got.RefreshStatusDetails != nil {
				t.Fatalf("not refreshed: %s", show(got))
			}
			w.checkCopy(s.ID, plantedSecret)
		})
	}
}

// TestSealedForSomethingElse: what was sealed for another thing than it was sent for is
// of no use, and the failure says what it should have been sealed for.
func TestSealedForSomethingElse(t *testing.T) {
	t.Parallel()
	for name, edit := range map[string]func(*sealing.Target){
		"organisation": func(t *sealing.Target) { t.Org = "other" },
		"property":     func(t *sealing.Target) { t.About = sealing.AboutName("PR2", "crm") },
		"name":         func(t *sealing.Target) { t.About += "2" },
		"server":       func(t *sealing.Target) { t.TokenURL = "https://evil.test/t" },
		"member":       func(t *sealing.Target) { t.Field = sealing.FieldPassword },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			s := w.create(secret.OAuth2)
			about := sealing.AboutName(s.Property, "crm")
			target := targetOf(s, about)
			edit(&target)
			value, err := w.ring.Keyset().Seal(target, []byte(plantedSecret))
			if err != nil {
				t.Fatal(err)
			}
			w.plant(s.ID, &secret.Credential{Generation: 1, Fields: map[string]secret.SealedField{
				"client_secret": {Generation: 1, Sealed: value.Bytes(), Bound: about},
			}})
			w.run(w.exchanger(), w.job(s.ID))
			got := w.secret(s.ID)
			want := "sealed, for something else than " + s.Credentials.SealedAs("client_secret") + " of " + about + " in " + s.Org
			if f := got.StatusDetails; got.Status != secret.Failed || f.Reason != string(events.ReasonCannotOpen) || !strings.Contains(f.Detail, want) || !strings.Contains(f.Detail, "sealed for that or for "+s.ID) {
				t.Fatalf("want %q, have %s", want, show(got))
			}
			if w.grant(s.ID).Credential != nil {
				t.Error("what does not open was copied")
			}
		})
	}
}

// TestSealedToAKeyThatIsGone: whoever reads of it learns that it is the key.
func TestSealedToAKeyThatIsGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.create(secret.Token)
	about := sealing.AboutName(s.Property, "crm")
	value, err := newRing(t, w.now()).Keyset().Seal(targetOf(s, about), []byte(plantedToken))
	if err != nil {
		t.Fatal(err)
	}
	w.plant(s.ID, &secret.Credential{Generation: 1, Fields: map[string]secret.SealedField{
		"token": {Generation: 1, Sealed: value.Bytes(), Bound: about},
	}})
	w.run(w.exchanger(), w.job(s.ID))
	if f := w.secret(s.ID).StatusDetails; f == nil || !strings.Contains(f.Detail, "keyring of the fleet, or send the token again") || strings.Contains(f.Detail, about) {
		t.Fatalf("the failure is %s", show(f))
	}
}

// A value that a publisher has sealed is no value of the fleet's own, whatever it was
// sealed for.
func TestPublishersValuesAreApart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.create(secret.Token)
	value, err := w.ring.Keyset().Seal(sealing.Target{Org: s.Org, About: s.ID, Field: "token"}, []byte(plantedToken))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := seal.NewOpener(w.ring).Open(s.Binding("token", secret.SealedField{Generation: 1}), value.Bytes()); err == nil {
		t.Error("it opens as what the api has sealed")
	}
}
