package main

import (
	"encoding/json"
	"io"
	"strings"
	"testing"

	"github.com/rekindle-dev/rekindle/services/api/client"
)

// FuzzProviders: whatever a file says of providers is resolved, or refused with
// the place and what to write instead.
func FuzzProviders(f *testing.F) {
	for _, text := range []string{
		registered, registered + "    client_secret: x\n    secret_expires_at: 2027-03-01\n",
		"providers:\n  own:\n    authorize_url: https://{tenant}.example/a\n    token_url: https://{tenant}.example/t\n    placeholders: {tenant: {pattern: '[a-z]+'}}\n    values: {tenant: x}\n    client_id: x\n    client_secret: y\n",
		"providers:\n  microsoft:\n    values: {tenant: common, other: x}\n    scopes: [a, 1]\n    expires: {unit: ms, default: 1h}\n",
		"providers:\n  jwt: {}\n  client_credentials: {kind: oauth2}\n  ? [x]\n  : y\n",
		"providers:\n  google: {rename: {client_id: app_id}, format: json, rotation: rotate, grace: -1s, refused: [{code: x, meaning: y}]}\n",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if _, wrong := resolveFile(t, targetExchanger, text, nil); len(wrong) == 1 && wrong[0] == "" {
			t.Error("an error without words")
		}
	})
}

// FuzzPrintTest: of a provider's answer, whatever it is, no text is shown whole
// but what no secret is in.
func FuzzPrintTest(f *testing.F) {
	const planted = "planted-in-an-answer-of-some-length"
	for _, body := range []string{
		`{"access_token":"` + planted + `","expires_in":3600,"scope":"a"}`, `{"data":{"tokens":["` + planted + `",1e400,null]}}`,
		`{"error":"invalid_client","error_description":"x"}`, `{"token_type":{"x":"` + planted + `"}}`, `[]`, `null`, `{"a":1,"a":2}`,
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, answer []byte) {
		if !json.Valid(answer) {
			return
		}
		document, err := json.Marshal(map[string]any{"id": "SE1", "meta": map[string]any{"test_exchange": json.RawMessage(answer)}})
		if err != nil {
			t.Fatal(err)
		}
		for _, form := range []string{outputText, outputJSON} {
			var out strings.Builder
			s := &session{remote: &remote{output: form}, out: &out, err: io.Discard}
			var one client.Secret
			one.Meta.TestExchange, one.JSON = answer, document
			_ = s.printTest(one, false) // that the provider refused is an error
			if strings.Contains(out.String(), planted) {
				t.Errorf("%s shows as %s", answer, out.String())
			}
		}
	})
}
