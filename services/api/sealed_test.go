package api_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rekindle-dev/rekindle/events/sealing"
	"github.com/rekindle-dev/rekindle/pkg/seal"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/pkg/state/statetest"
	"github.com/rekindle-dev/rekindle/services/api"
	"github.com/rekindle-dev/rekindle/services/api/apitest"
)

const publisherSecret = "canary-5d71-what-a-publisher-has-sealed"

// publish seals a value as a publisher does, with the keyset of the fleet.
func (w *world) publish(t testing.TB, target sealing.Target, plaintext string) sealing.Value {
	t.Helper()
	body, _, err := w.State.Get(t.Context(), state.KeysetKey)
	if err != nil {
		t.Fatal(err)
	}
	keys := must[sealing.Keyset](t)(sealing.Parse(body))
	return must[sealing.Value](t)(keys.Seal(target, []byte(plaintext)))
}

// target is a client secret of what the world calls about.
func target(about string) sealing.Target {
	return sealing.Target{Org: api.DefaultOrg, About: about, Field: "client_secret", TokenURL: "https://idp.test/t"}
}

// withSealed are attributes of a secret called crm with this client secret, as JSON.
func withSealed(value any) string {
	body, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	return fmt.Sprintf(`{"name":"crm","type_of":"oauth2","credentials":{"client_id":"c","token_url":"https://idp.test/t","client_secret":%s}}`, body)
}

func (w *world) createOf(t testing.TB, attributes string) (*api.Changed, error) {
	t.Helper()
	return w.Service.CreateSecret(t.Context(), apitest.Caller(), w.property.ID, document(t, `{"data":{"attributes":%s}}`, attributes))
}

// kept opens the client secret of a record, as what it says it was sealed for.
func (w *world) kept(t testing.TB, id string) (secret.SealedField, string) {
	t.Helper()
	s, _, err := secret.Store{State: w.State}.Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	c, err := secret.Vault{State: w.State}.Credential(t.Context(), id)
	if err != nil || c.Generation != s.CredentialGeneration {
		t.Fatalf("credential %v, %v", c, err)
	}
	f := c.Fields["client_secret"]
	opened, err := w.opener.Open(s.Binding("client_secret", f), f.Sealed)
	if err != nil {
		t.Fatal(err)
	}
	return f, string(opened.Reveal())
}

// TestSealedByThePublisher: what was sealed before it came is stored as it came, with
// what it is sealed for, and neither a new name nor other public members change that.
func TestSealedByThePublisher(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	about := sealing.AboutName(w.property.ID, "crm")
	sent := w.publish(t, target(about), publisherSecret)
	made := must[*api.Changed](t)(w.createOf(t, withSealed(sent)))
	change := func(attributes string) {
		t.Helper()
		if _, err := w.Service.ChangeSecret(t.Context(), apitest.Caller(), made.ID, document(t, `{"data":{"attributes":%s}}`, attributes)); err != nil {
			t.Fatal(err)
		}
	}
	holds := func(what string, want secret.SealedField, plain string) {
		t.Helper()
		got, opened := w.kept(t, made.ID)
		if diff := cmp.Diff(want, got); diff != "" || opened != plain {
			t.Errorf("%s: opened %t (-want +got):\n%s", what, opened == plain, diff)
		}
	}
	first := secret.SealedField{Generation: 1, Sealed: sent.Bytes(), Bound: about}
	holds("a create", first, publisherSecret)
	change(`{"name":"renamed"}`)
	change(`{"credentials":{"client_id":"other","token_url":"https://idp.test/elsewhere"}}`)
	holds("other public members", first, publisherSecret)

	again := w.publish(t, target(made.ID), publisherSecret+"2")
	change(string(must[[]byte](t)(json.Marshal(map[string]any{"credentials": map[string]any{"client_secret": again}}))))
	holds("an update", secret.SealedField{Generation: 3, Sealed: again.Bytes(), Bound: made.ID}, publisherSecret+"2")

	change(`{"credentials":{"client_secret":"plain"}}`)
	if f, opened := w.kept(t, made.ID); f.Bound != "" || f.Generation != 4 || opened != "plain" {
		t.Errorf("text after it is bound to %q, generation %d", f.Bound, f.Generation)
	}
}

// TestSealedForAnotherServer: another token_url asks for the client secret again, by
// whomever the one there is was sealed.
func TestSealedForAnotherServer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	made := must[*api.Changed](t)(w.createOf(t, withSealed(w.publish(t, target(sealing.AboutName(w.property.ID, "crm")), publisherSecret))))
	_, err := w.Service.ChangeSecret(t.Context(), apitest.Caller(), made.ID, document(t, `{"data":{"attributes":{"credentials":{"token_url":"https://evil.test/t"}}}}`))
	if err == nil || !strings.Contains(err.Error(), "names another server") {
		t.Errorf("the stored one was kept: %v", err)
	}
}

// TestSealedToAKeyOfTheKeyset: to whichever of its keys, for a rotation takes a while
// to get around.
func TestSealedToAKeyOfTheKeyset(t *testing.T) {
	t.Parallel()
	ring := must[*seal.Keyring](t)(seal.NewKeyring(time.Now()))
	next, id, err := ring.Prepare(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	next = must[*seal.Keyring](t)(next.Activate(id))
	body := must[[]byte](t)(json.Marshal(next.Keyset()))
	st := statetest.New()
	if _, err := st.Commit(t.Context(), state.Write{Key: state.KeysetKey, Value: body}); err != nil {
		t.Fatal(err)
	}
	w := &world{Process: apitest.Start(t, st, api.Config{})}
	w.company = w.Service.Companies(apitest.Caller(), everything[*api.Company]()).Items[0]
	w.property = w.newProperty(t, "edge")
	value := must[sealing.Value](t)(ring.Keyset().Seal(target(sealing.AboutName(w.property.ID, "crm")), []byte(publisherSecret)))
	if _, err := w.createOf(t, withSealed(value)); err != nil {
		t.Errorf("to a key that is retired: %v", err)
	}
}

func TestSealedIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	about := sealing.AboutName(w.property.ID, "crm")
	good := w.publish(t, target(about), publisherSecret)
	other := must[*seal.Keyring](t)(seal.NewKeyring(time.Now()))
	for _, row := range []struct {
		name  string
		value any
		wants string
	}{
		{"another fleet's key", must[sealing.Value](t)(other.Keyset().Seal(target(about), []byte("x"))), "fetch the keyset again"},
		{"too long", w.publish(t, target(about), strings.Repeat("x", 16<<10+1)), "at most 16384 bytes long before it is sealed"},
		{"empty", map[string][]byte{"sealed": good.Bytes()[:1145]}, "must not be empty"},
		{"cut off", map[string][]byte{"sealed": good.Bytes()[:100]}, `{"sealed": "<base64>"}`},
		{"text in it", map[string]string{"sealed": publisherSecret}, `{"sealed": "<base64>"}`},
		{"nothing in it", map[string]string{}, `{"sealed": "<base64>"}`},
		{"more in it", map[string]any{"sealed": good.Bytes(), "value": publisherSecret}, `{"sealed": "<base64>"}`},
		{"a list", []string{publisherSecret}, "must be a string"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			_, err := w.createOf(t, withSealed(row.value))
			refusedFor(t, err, row.wants)
		})
	}
	if _, err := w.createOf(t, withSealed(good)); err != nil {
		t.Errorf("what is in order: %v", err)
	}
}

// refusedFor fails the test unless one problem is told of the client secret, in these
// words and not in its own.
func refusedFor(t testing.TB, err error, wants string) {
	t.Helper()
	refused, ok := errors.AsType[*api.RefusedError](err)
	if !ok || len(refused.Problems) != 1 {
		t.Fatalf("not refused for one thing: %v", err)
	}
	p := refused.Problems[0]
	if p.Pointer != "/data/attributes/credentials/client_secret" || !strings.Contains(p.Detail, wants) {
		t.Errorf("refused for %s: %s, want %q", p.Pointer, p.Detail, wants)
	}
	if strings.Contains(err.Error(), publisherSecret) {
		t.Errorf("the refusal quotes what was sent: %v", err)
	}
}

// TestSealedOnly: through a door that takes nothing plain, plain text is refused under
// each name that hides something, whatever the type.
func TestSealedOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	about := sealing.AboutName(w.property.ID, "crm")
	create := func(attributes string) (*api.Changed, error) {
		body := fmt.Appendf(nil, `{"data":{"attributes":%s}}`, attributes)
		data := must[*api.Object](t)(api.ReadDocument(body))
		data.SealedOnly(about)
		made, err := w.Service.CreateSecret(t.Context(), apitest.Caller(), w.property.ID, data)
		if err != nil && strings.Contains(err.Error(), publisherSecret) {
			t.Errorf("the refusal quotes what was sent: %v", err)
		}
		return made, err
	}
	_, err := create(withSealed(publisherSecret))
	refusedFor(t, err, `must be sealed to the fleet's keyset, as {"sealed": "<base64>"}: what was sent is erased, and should be replaced if it was plain text`)

	for _, kind := range []string{"token", "oauth2", "oauth2-google", "unheard-of"} {
		_, err := create(fmt.Sprintf(`{"name":"n","type_of":%q,"credentials":{"token":%[2]q,"password":%[2]q,"client_secret":%[2]q,"private_key":[%[2]q]}}`, kind, publisherSecret))
		for _, name := range sealing.Fields() {
			if err == nil || !strings.Contains(err.Error(), name+" must be sealed") {
				t.Errorf("%s: a plain %s goes unsaid: %v", kind, name, err)
			}
		}
	}
	made := must[*api.Changed](t)(create(withSealed(w.publish(t, target(about), publisherSecret))))

	// An event may call a secret by its name where HTTP has its id.
	data := must[*api.Object](t)(api.ReadDocument(fmt.Appendf(nil, `{"data":{"attributes":%s}}`, withSealed(w.publish(t, target(about), "by name")))))
	data.SealedOnly(about)
	must[*api.Changed](t)(w.Service.ChangeSecret(t.Context(), apitest.Caller(), made.ID, data))
	if f, opened := w.kept(t, made.ID); f.Bound != about || opened != "by name" {
		t.Errorf("sealed for %q, kept as for %q", about, f.Bound)
	}
}
