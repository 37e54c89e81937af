package provider

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestOverride changes one field of a provider; the others, and the set it was
// made from, stay.
func TestOverride(t *testing.T) {
	t.Parallel()
	set := Defaults()
	d, _ := set.Get("google")
	d.TokenURL = "http://127.0.0.1:8089/token"
	d.Scopes.Allowed = append(d.Scopes.Allowed, "https://www.googleapis.com/auth/drive")
	d.AuthorizeParams["prompt"] = "login"
	changed, err := set.With(d)
	if err != nil {
		t.Fatal(err)
	}
	before, _ := set.Get("google")
	if diff := cmp.Diff(google(), before); diff != "" {
		t.Errorf("the defaults changed:\n%s", diff)
	}
	after, _ := changed.Get("google")
	want := google()
	want.TokenURL = "http://127.0.0.1:8089/token"
	want.Scopes.Allowed = append(want.Scopes.Allowed, "https://www.googleapis.com/auth/drive")
	want.AuthorizeParams["prompt"] = "login"
	if diff := cmp.Diff(want, after); diff != "" {
		t.Error(diff)
	}
	if !slices.Equal(changed.Names(), set.Names()) {
		t.Errorf("names: %v", changed.Names())
	}
	d.AuthorizeParams["prompt"] = "none" // the set has a copy
	if again, _ := changed.Get("google"); again.AuthorizeParams["prompt"] != "login" {
		t.Error("the set shares a map with what it was given")
	}
}

func TestAddition(t *testing.T) {
	t.Parallel()
	set, err := Defaults().With(valid(), Descriptor{
		Name: "minimal", Label: "Minimal", AuthorizeURL: "https://a.example/authorize", TokenURL: "https://a.example/token", AuthStyle: AuthHeader,
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"acme", "minimal", "google"} {
		if d, ok := set.Get(name); !ok || d.Name != name {
			t.Errorf("%s: %v %q", name, ok, d.Name)
		}
	}
	if _, ok := set.Get("nobody"); ok {
		t.Error("there is a provider that nobody added")
	}
	if _, ok := set.ForKind(""); ok {
		t.Error("no kind is the kind of some provider")
	}
}

func TestWithRefuses(t *testing.T) {
	t.Parallel()
	incomplete := Descriptor{Name: "acme", Label: "Acme", TokenURL: "https://acme.example/token"}
	rival := valid()
	rival.Kind = "oauth2-google"
	nameless := valid()
	nameless.Name = ""
	tests := []struct {
		name string
		with []Descriptor
		want []string
	}{
		{"a new one that is incomplete", []Descriptor{incomplete}, []string{"acme.authorize_url", "acme.auth_style"}},
		{"two of a kind", []Descriptor{rival}, []string{"google.kind"}},
		{"one without a name", []Descriptor{nameless}, []string{"name"}},
		{"several", []Descriptor{nameless, incomplete}, []string{"name", "acme.authorize_url", "acme.auth_style"}},
	}
	for _, tt := range tests {
		set, err := Defaults().With(tt.with...)
		var got []string
		for line := range strings.SplitSeq(err.Error(), "\n") {
			field, _, _ := strings.Cut(line, ":")
			got = append(got, field)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s:\n%s", tt.name, diff)
		}
		if _, ok := errors.AsType[*FieldError](err); !ok {
			t.Errorf("%s: no FieldError in %v", tt.name, err)
		}
		if !slices.Equal(set.Names(), Defaults().Names()) {
			t.Errorf("%s: the set changed all the same", tt.name)
		}
	}
}

func TestRegistration(t *testing.T) {
	t.Parallel()
	d, _ := Defaults().Get("amazon")
	ok := Registration{Provider: "amazon", ClientID: "amzn1.application-oa2-client.0", SecretExpiresAt: time.Unix(0, 0), Values: map[string]string{"tld": "co.uk"}}
	if err := ok.Validate(d); err != nil {
		t.Error(err)
	}
	if err := (App{d, ok}).Validate(); err != nil {
		t.Error(err)
	}
	wrong := Registration{Provider: "google", ClientID: "a\nb", Values: map[string]string{"tld": "evil.example", "shop": "x"}}
	if diff := cmp.Diff([]string{"provider", "client_id", "values.shop", "values.tld"}, fields(wrong.Validate(d))); diff != "" {
		t.Error(diff)
	}
}
