package apitest

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"testing"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/provider"
	"github.com/rekindle-dev/rekindle/pkg/seal"
)

// Callback is where consents come back to.
const Callback = "https://api.example.org/oauth2/callback"

// Apps are an app with each of the providers of contract A13 and one with Acme,
// which no package knows. Acme takes any scope, and its answer names the account
// in the redirect.
func Apps(t testing.TB) provider.Apps {
	t.Helper()
	apps := provider.Apps{}
	for _, name := range []string{"google", "linkedin", "amazon"} {
		d, ok := provider.Defaults().Get(name)
		if !ok {
			t.Fatalf("there is no provider %s", name)
		}
		d, err := d.At(nil)
		if err != nil {
			t.Fatal(err)
		}
		apps[name] = app(d)
	}
	acme := apps["linkedin"].Provider.Clone()
	acme.Name, acme.Kind, acme.Label = "acme", "", "Acme"
	acme.AuthorizeURL, acme.TokenURL = "https://acme.test/authorize?tenant=7", "https://acme.test/token"
	acme.PKCE, acme.Scopes = provider.S256, provider.Scopes{Default: []string{"all"}}
	acme.Subject = provider.Subject{From: provider.PlaceCallback, Field: "account"}
	acme.Answer.KeepCallback = []string{"shard"}
	acme.Issuer = provider.Issuer{From: provider.PlaceCallback, Field: "iss"} // RFC 9207
	if err := acme.Validate(); err != nil {
		t.Fatal(err)
	}
	apps["acme"] = app(acme)
	return apps
}

func app(d provider.Descriptor) provider.App {
	return provider.App{Provider: d, Registration: provider.Registration{Provider: d.Name, ClientID: d.Name + "-app"}}
}

// Tester is an api.Tester that answers as an exchanger does: sealed to the key of
// the job. The zero Tester answers with nothing.
type Tester struct {
	mu     sync.Mutex
	answer any // an events.TestAnswer, or what to say in its place, or an error
	asked  []events.Event
}

// Answer is what Ask answers from now on.
func (t *Tester) Answer(a events.TestAnswer) { t.set(a) }

// Say lets Ask seal something that is no answer.
func (t *Tester) Say(text string) { t.set(text) }

// Break lets Ask fail from now on.
func (t *Tester) Break(err error) { t.set(err) }

func (t *Tester) set(answer any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.answer = answer
}

// Asked returns the jobs.
func (t *Tester) Asked() []events.Event {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.asked
}

// Ask implements api.Tester.
func (t *Tester) Ask(_ context.Context, job events.Event) ([]byte, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.asked = append(t.asked, job)
	request, ok := job.Data.(events.TestRequested)
	if !ok {
		return nil, fmt.Errorf("the job is %s", job.Data.Type())
	}
	var text []byte
	switch a := t.answer.(type) {
	case error:
		return nil, a
	case string:
		text = []byte(a)
	default:
		var err error
		if text, err = json.Marshal(a); err != nil {
			return nil, err
		}
	}
	return seal.SealReply(request.Key, seal.Binding{Secret: request.Secret, Field: events.FieldTestAnswer}, seal.NewPlaintext(text))
}
