package exchanger

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/services/sandbox"
)

// After every kind of success and failure, at a provider that says back what it
// was told, nothing planted is found anywhere.
func TestNothingIsReadable(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	x := w.exchanger()
	for _, kind := range secret.Kinds() {
		if kind.Interactive() {
			continue // consent_test.go
		}
		w.run(x, w.job(w.create(kind).ID))
		w.run(x, w.job(w.create(kind, loose).ID))
	}
	echo := `{"error":"` + plantedSecret + `","error_description":"{{access_token}} ` + plantedSecret + `","access_token":"{{access_token}}"}`
	for _, step := range []sandbox.Step{
		{Status: 400, Body: &echo, Headers: map[string]string{"WWW-Authenticate": plantedSecret, "Location": "https://" + plantedSecret + "/"}},
		{Status: 200, Body: &echo},
		{Status: 302, Body: &echo, Headers: map[string]string{"Location": "https://" + plantedSecret + "/"}},
		{Status: 503, Body: &echo},
		{Fault: sandbox.FaultTruncated},
		{Fields: map[string]json.RawMessage{"expires_in": json.RawMessage(`"` + plantedSecret + `"`)}},
		{Fields: map[string]json.RawMessage{"token_type": json.RawMessage(`"` + plantedSecret + `"`)}},
		{Fields: map[string]json.RawMessage{"expires_in": json.RawMessage(`60`)}},
	} {
		s := w.create(secret.OAuth2)
		w.script(s, step)
		w.run(x, w.job(s.ID))
	}
	failing := w.create(secret.OAuth2)
	w.script(failing, sandbox.Step{Times: 1}, sandbox.Step{Status: 401, Body: &echo})
	w.run(x, w.job(failing.ID))
	for w.secret(failing.ID).Plan().Action != secret.Rest {
		w.runDue(x, failing.ID)
	}
	panics := w.exchanger(func(x *Exchanger) { x.Client = nil })
	w.run(panics, w.job(w.create(secret.OAuth2).ID))

	sinks := map[string]string{
		"state": w.store.written.String(), "log": w.logs.String(), "metrics": scrape(t, w.metrics),
		"spans": w.shownSpans(), "events": w.shownEvents(),
	}
	for sink, text := range sinks {
		if !strings.Contains(text, "oauth2") {
			t.Errorf("%s: nothing in it: %.200s", sink, text)
		}
		for _, planted := range []string{plantedToken, plantedPassword, plantedSecret, plantedPrefix} {
			for form, sought := range forms(planted) {
				if i := strings.Index(text, sought); i >= 0 {
					t.Errorf("%s is in the %s, %s: …%s…", planted, sink, form, text[max(0, i-100):min(len(text), i+100)])
				}
			}
		}
	}
}

// forms are the spellings in which a value could be found.
func forms(planted string) map[string]string {
	list := map[string]string{"as it is": planted, "in hex": hex.EncodeToString([]byte(planted))}
	for shift := range 3 {
		encoded := base64.StdEncoding.EncodeToString([]byte(strings.Repeat(" ", shift) + planted))
		// The first and the last letters depend on what stands beside it.
		list[fmt.Sprintf("in base64 after %d", shift)] = encoded[4 : len(encoded)-4]
	}
	return list
}

func (w *world) shownSpans() string {
	var text strings.Builder
	for _, s := range w.spans.Ended() {
		fmt.Fprintln(&text, s.Name(), s.Attributes(), s.Status(), s.Events(), s.Links(), s.Resource())
	}
	return text.String()
}

func (w *world) shownEvents() string {
	w.t.Helper()
	var text strings.Builder
	for _, e := range w.events.list {
		header, body, err := events.Encode(e)
		if err != nil {
			w.t.Fatal(err)
		}
		fmt.Fprintf(&text, "%v %s\n", header, body)
	}
	return text.String()
}

// What is looked for would be found.
func TestFormsAreFound(t *testing.T) {
	t.Parallel()
	for _, before := range []string{"", "a", "ab", "abc"} {
		encoded := base64.StdEncoding.EncodeToString([]byte(before + plantedPassword + ":x"))
		found := false
		for _, sought := range forms(plantedPassword) {
			found = found || strings.Contains(encoded, sought)
		}
		if !found {
			t.Errorf("behind %q it is not found in base64", before)
		}
	}
}

// Nor is a code or token of a consent, after all that can come of one.
func TestNothingOfAConsentIsReadable(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	x := w.exchanger()
	s := w.heldBack(x)
	w.runDue(x, s.ID)
	w.update(s.ID, func(s *secret.Secret) { s.AcceptHeld(w.now()) })
	w.run(x, w.job(s.ID))
	echo := `{"error":"` + plantedSecret + `","error_description":"{{refresh_token}} {{access_token}}","access_token":"{{access_token}}","refresh_token":"{{refresh_token}}"}`
	for _, step := range []sandbox.Step{
		{Status: 400, Body: &echo},
		{Status: 200, Body: &echo},
		{Status: 500, Body: &echo},
		{Fault: sandbox.FaultTruncated},
		{Omit: []string{"expires_in"}},
		{Fields: map[string]json.RawMessage{"error": json.RawMessage(`"` + plantedSecret + `"`)}},
	} {
		w.script(s, step)
		w.consent(s.ID)
		w.run(x, w.job(s.ID))
		if w.secret(s.ID).Plan().Action != secret.Rest {
			w.runDue(x, s.ID)
		}
	}
	for sink, text := range map[string]string{
		"state": w.store.written.String(), "log": w.logs.String(), "metrics": scrape(t, w.metrics),
		"spans": w.shownSpans(), "events": w.shownEvents(),
	} {
		if !strings.Contains(text, "oauth2-acme") {
			t.Errorf("%s: nothing in it: %.200s", sink, text)
		}
		for _, planted := range []string{plantedSecret, plantedPrefix, alice, bob} {
			for form, sought := range forms(planted) {
				if i := strings.Index(text, sought); i >= 0 {
					t.Errorf("%s is in the %s, %s: …%s…", planted, sink, form, text[max(0, i-100):min(len(text), i+100)])
				}
			}
		}
	}
}
