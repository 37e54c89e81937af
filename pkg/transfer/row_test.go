package transfer_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rekindle-dev/rekindle/pkg/transfer"
)

const (
	crm   = `{"property":"shop","name":"crm","type_of":"oauth2","environment":"dev","credentials":{"client_id":"c","client_secret":"canary","token_url":"https://idp.test/t","options":{"scope":"read"}}}`
	books = `{"version":1,"name":"books","type_of":"oauth2-acme","credentials":{"scopes":["all"]},"grant":{"refresh_token":"canary","authorized_at":"2026-01-02T03:04:05Z"}}`
)

func TestDecode(t *testing.T) {
	t.Parallel()
	row, err := transfer.Decode([]byte(crm))
	if err != nil {
		t.Fatal(err)
	}
	want := transfer.Row{
		Version: 1, Property: "shop", Name: "crm", TypeOf: "oauth2", Environment: "dev",
		Credentials: map[string]json.RawMessage{
			"client_id": json.RawMessage(`"c"`), "client_secret": json.RawMessage(`"canary"`),
			"token_url": json.RawMessage(`"https://idp.test/t"`), "options": json.RawMessage(`{"scope":"read"}`),
		},
	}
	if diff := cmp.Diff(want, row); diff != "" {
		t.Errorf("row (-want +got):\n%s", diff)
	}
	if shown := fmt.Sprintf("%v %+v %#v %s", row, row, row, row); strings.Contains(shown, "canary") {
		t.Errorf("printed: %s", shown)
	}
	row.Wipe()
	if strings.Contains(string(row.Credentials["client_secret"]), "canary") {
		t.Error("the client secret is not overwritten")
	}
	if row, err := transfer.Decode([]byte(books)); err != nil || string(row.Grant["refresh_token"]) != `"canary"` {
		t.Errorf("%v: %v", row, err)
	}
}

// What is wrong is said with its member, and shows nothing of a value.
func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	for row, want := range map[string]string{
		``:                                  "must be a JSON object",
		`[]`:                                "must be a JSON object",
		`"canary"`:                          "must be a JSON object",
		"{\"name\":\"\xff\"}":               "not UTF-8",
		`{"name":"x"}`:                      "type_of: is required",
		`{"type_of":"token"}`:               "name: is required",
		`{"name":7,"type_of":""}`:           "name: must be a string",
		`{"name":"x","type_of":"token"} {}`: "is not one JSON object, at byte 32",
		`{"name":"x","type_of":"token"}}`:   "is not one JSON object, at byte 30",
		`{"name":"x","name":"y"}`:           "name: is there twice",
		`{"name":"x","type_of":"token","version":2}`:                                              "version: must be 1: another one is not known here",
		`{"name":"x","type_of":"token","tok":1}`:                                                  "tok: is not known: there are version, id, property, name, type_of, environment, credentials, grant",
		`{"name":"x","type_of":"token","sk-canary":1}`:                                            "(a member that is not shown): is not known: there are version, id, property, name, type_of, environment, credentials, grant",
		`{"name":"x","type_of":"token","credentials":"canary"}`:                                   "credentials: must be a JSON object",
		`{"name":"x","type_of":"token","credentials":{"password":"canary"}}`:                      "credentials.password: is not known: there are token",
		`{"name":"x","type_of":"oauth2-acme","credentials":{"token":"canary"}}`:                   "credentials.token: is not known: there are scopes",
		`{"name":"x","type_of":"token","credentials":{"token":"canary`:                            "is not one JSON object, at byte 44",
		`{"name":"x","type_of":"token","grant":{}}`:                                               "grant: is for the types that a person consents to",
		`{"name":"x","type_of":"oauth2-client_credentials","grant":{}}`:                           "grant: is for the types that a person consents to",
		`{"name":"x","type_of":"oauth2-acme","grant":{"refresh":"canary"}}`:                       "grant.refresh: is not known: there are refresh_token, authorized_at, reauthorize_by, account, account_fingerprint, scopes, client_id, extra",
		`{"name":"x","type_of":"oauth2-acme","grant":{"refresh_token":"a","refresh_token":"b"}}`:  "grant.refresh_token: is there twice",
		`{"name":"x","type_of":"oauth2-acme","grant":{"refresh_token":"canary","authorized_at":}`: "is not one JSON object, at byte 44",
	} {
		_, err := transfer.Decode([]byte(row))
		if _, ok := errors.AsType[*transfer.ProblemError](err); !ok || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v", row, err)
		}
		if err != nil && err.Error() != want {
			t.Errorf("%s: %q, want %q", row, err, want)
		}
	}
}

// FuzzDecode: whatever a line is, it is a row or is refused; what is a row is the
// same row when it was written and read again; and no error quotes a value.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		crm, books, `{}`, `{"name":"x","type_of":"token","credentials":{"token":"t"}}`, `{"name":null,"type_of":"token"}`,
		`{"name":"x","type_of":"oauth2-jwt","credentials":{"custom_claims":{"a":[1]},"ttl":3600}}`, `{"name":"x","type_of":"token","tok":"canary-value"}`,
		`{"name":"x","type_of":"simple-http","credentials":{"password":{"sealed":"AA=="}}}`, `[`, "\xff", `{"name":"x","type_of":"token","version":1e0}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		row, err := transfer.Decode(line)
		if err != nil {
			if _, ok := errors.AsType[*transfer.ProblemError](err); !ok || strings.Contains(err.Error(), "canary-value") {
				t.Fatalf("refused with %T %v", err, err)
			}
			return
		}
		written, err := json.Marshal(row)
		if err != nil {
			t.Fatal(err)
		}
		again, err := transfer.Decode(written)
		if err != nil {
			t.Fatalf("%s is refused when it comes again: %v", written, err)
		}
		rewritten, err := json.Marshal(again)
		if err != nil || string(written) != string(rewritten) {
			t.Errorf("%s is %s when it comes again: %v", written, rewritten, err)
		}
	})
}
