package provider

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// shape is a file of testdata: what a provider answers, in its documented shape
// with invented values, and what is to be read from it.
type shape struct {
	Code    exchange  `json:"code"`
	Refresh exchange  `json:"refresh"`
	Refused []refusal `json:"refused"`
}

type exchange struct {
	Answer json.RawMessage `json:"answer"`
	Want   reading         `json:"want"`
}

type refusal struct {
	Answer  json.RawMessage `json:"answer"`
	Meaning Meaning         `json:"meaning"`
	Code    string          `json:"code"`
}

// reading is Fields as a file shows them.
type reading struct {
	AccessToken     string            `json:"access_token"`
	RefreshToken    string            `json:"refresh_token,omitempty"`
	IDToken         bool              `json:"id_token,omitempty"`
	TokenType       string            `json:"token_type,omitempty"`
	Lifetime        string            `json:"lifetime,omitempty"`
	ExpiresAt       string            `json:"expires_at,omitempty"`
	Endless         bool              `json:"endless,omitempty"`
	RefreshLifetime string            `json:"refresh_lifetime,omitempty"`
	Scopes          []string          `json:"scopes,omitempty"`
	Subject         string            `json:"subject,omitempty"`
	Extra           map[string]string `json:"extra,omitempty"`
}

func read(f Fields) reading {
	r := reading{
		AccessToken: f.AccessToken, RefreshToken: f.RefreshToken, IDToken: f.IDToken != "", TokenType: f.TokenType,
		Endless: f.Endless, Scopes: f.Scopes, Subject: f.Subject, Extra: f.Extra,
	}
	if f.Lifetime > 0 {
		r.Lifetime = people(f.Lifetime)
	}
	if !f.ExpiresAt.IsZero() {
		r.ExpiresAt = f.ExpiresAt.Format(time.RFC3339)
	}
	if f.RefreshLifetime > 0 {
		r.RefreshLifetime = people(f.RefreshLifetime)
	}
	return r
}

// TestRecordedShapes reads for every provider its answer to a code, its answer to
// a refresh token and its refusals.
func TestRecordedShapes(t *testing.T) {
	each(t, func(t *testing.T, d Descriptor) {
		path := filepath.Join("testdata", d.Name+".json")
		body, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var s shape
		dec := json.NewDecoder(bytes.NewReader(body))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&s); err != nil {
			t.Fatal(err)
		}
		for _, e := range []*exchange{&s.Code, &s.Refresh} {
			f, err := d.Read("application/json; charset=utf-8", e.Answer)
			if err != nil {
				t.Fatal(err)
			}
			e.Want = read(f)
		}
		for i, r := range s.Refused {
			refused := d.Refused("application/json", r.Answer)
			if refused == nil {
				t.Fatalf("refused[%d] is taken for no refusal", i)
			}
			s.Refused[i].Meaning, s.Refused[i].Code = refused.Meaning, refused.Code
			if _, err := d.Read("application/json", r.Answer); err == nil {
				t.Errorf("refused[%d] is read as an answer", i)
			}
		}
		got, err := json.MarshalIndent(s, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		golden(t, path, append(bytes.ReplaceAll(got, []byte(`\u0026`), []byte("&")), '\n'))
		promises(t, d, s)
	})
}

// promises holds what a descriptor says of refresh tokens against what was
// recorded.
func promises(t *testing.T, d Descriptor, s shape) {
	t.Helper()
	if got, want := s.Code.Want.RefreshToken != "", d.Refresh.Issued != IssuedNever; got != want {
		t.Errorf("the answer to a code has a refresh token: %v, want %v", got, want)
	}
	if d.Refresh.Rotates && s.Refresh.Want.RefreshToken == "" {
		t.Error("rotates, but the answer to a refresh has no refresh token")
	}
	if !d.Refresh.Rotates && s.Refresh.Want.RefreshToken != "" && s.Refresh.Want.RefreshToken != s.Code.Want.RefreshToken {
		t.Error("does not rotate, but the answer to a refresh has another refresh token")
	}
	if w := s.Code.Want; w.Lifetime == "" && w.ExpiresAt == "" && d.IntrospectURL == "" && d.Expiry.Default == 0 {
		t.Error("there is no way to know when a token ends")
	}
	if from := d.Subject.From; (from == PlaceAnswer || from == PlaceIDToken) && s.Code.Want.Subject == "" {
		t.Error("the answer to a code does not tell whose grant it is")
	}
	for _, path := range d.Answer.Keep {
		if s.Code.Want.Extra[path] == "" && !strings.HasPrefix(path, "enterprise.") {
			t.Errorf("the answer to a code has no %s to keep", path)
		}
	}
	if len(s.Refused) == 0 {
		t.Error("no refusal is recorded")
	}
	if !slices.ContainsFunc(s.Refused, func(r refusal) bool { return r.Meaning == NeedsHuman }) && d.Name != "linkedin" {
		t.Error("no recorded refusal asks for a person")
	}
}

// TestErrorsShowNoValues puts a canary wherever an answer has room for one.
func TestErrorsShowNoValues(t *testing.T) {
	t.Parallel()
	const canary = "c4n4ry"
	bodies := []string{
		canary, `"` + canary + `"`, `{"access_token":"` + canary + `\n"}`, `{"access_token":["` + canary + `"]}`,
		`{"error":"` + canary + `"}`, `{"error":"invalid_grant","error_description":"` + canary + `"}`,
		`{"error":{"message":"` + canary + `"}}`, `{"ok":false,"error":"` + canary + `"}`,
		`{"authed_user":"` + canary + `"}`, `{"access_token":"` + canary + `","access_token":"` + canary + `"}`,
	}
	each(t, func(t *testing.T, d Descriptor) {
		for _, body := range bodies {
			for _, media := range []string{"application/json", "application/x-www-form-urlencoded"} {
				_, err := d.Read(media, []byte(body))
				if err == nil {
					continue
				}
				_, refused := errors.AsType[*RefusedError](err)
				_, malformed := errors.AsType[*MalformedError](err)
				if !refused && !malformed || strings.Contains(err.Error(), canary) {
					t.Errorf("%s: %T %v", body, err, err)
				}
			}
		}
	})
}

func TestRefusedRecognises(t *testing.T) {
	t.Parallel()
	d, _ := Defaults().Get("google")
	tests := []struct {
		name, media, body string
		want              *RefusedError
	}{
		{"a firewall's page", "text/html", "<html>403</html>", nil},
		{"nothing", "", "", nil},
		{"JSON of somebody else", "application/json", `{"message":"forbidden"}`, nil},
		{"a form", "application/x-www-form-urlencoded; charset=utf-8", "error=slow_down", &RefusedError{Wait, "slow_down", ""}},
		{"an error nobody knows", "application/json", `{"error":"s3cret"}`, &RefusedError{Meaning: Unknown}},
		{"the error twice", "application/json", `{"error":"invalid_grant","error":"invalid_client"}`, &RefusedError{Meaning: Unknown}},
		{"an empty error", "application/json", `{"error":""}`, nil},
	}
	for _, tt := range tests {
		if diff := cmp.Diff(tt.want, d.Refused(tt.media, []byte(tt.body))); diff != "" {
			t.Errorf("%s:\n%s", tt.name, diff)
		}
	}
	if got := d.RefusedCallback("admin_policy_enforced"); got.Meaning != AdminPolicy {
		t.Errorf("the callback's error means %v", got)
	}
	if got := d.RefusedCallback("s3cret"); got.Meaning != Unknown || strings.Contains(got.Error(), "s3cret") {
		t.Errorf("an unknown error of the callback is %v", got)
	}
}
