package provider

import (
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAt(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		values   map[string]string
		url      string // the token endpoint
		mistaken []string
	}{
		{"google", nil, "https://oauth2.googleapis.com/token", nil},
		{"shopify", map[string]string{"shop": "acme-2"}, "https://acme-2.myshopify.com/admin/oauth/access_token", nil},
		{"shopify", nil, "", []string{"placeholders.shop"}},
		{"shopify", map[string]string{"shop": "acme", "tenant": "x"}, "", []string{"placeholders.tenant"}},
		{"auth0", map[string]string{"tenant": "acme.eu"}, "https://acme.eu.auth0.com/oauth/token", nil},
		{"amazon", map[string]string{"tld": "co.jp"}, "https://api.amazon.co.jp/auth/o2/token", nil},
		{"amazon", map[string]string{"tld": "evil.example"}, "", []string{"placeholders.tld"}},
		{"microsoft", nil, "https://login.microsoftonline.com/common/oauth2/v2.0/token", nil},
		{"microsoft", map[string]string{"tenant": ""}, "", []string{"placeholders.tenant"}},
		{"okta", map[string]string{"org": "dev-1"}, "https://dev-1.okta.com/oauth2/v1/token", nil},
	}
	for _, tt := range tests {
		d, _ := Defaults().Get(tt.name)
		placed, err := d.At(tt.values)
		if diff := cmp.Diff(tt.mistaken, fields(err)); diff != "" {
			t.Errorf("%s %v:\n%s", tt.name, tt.values, diff)
		}
		if placed.TokenURL != tt.url {
			t.Errorf("%s %v: %q, want %q", tt.name, tt.values, placed.TokenURL, tt.url)
		}
		if err == nil {
			if err := placed.Validate(); err != nil {
				t.Errorf("%s %v: %v", tt.name, tt.values, err)
			}
		}
	}
	d, _ := Defaults().Get("amazon-seller")
	placed, err := d.At(map[string]string{"application_id": "amzn1.sp.solution.0"})
	if err != nil || placed.AuthorizeParams["application_id"] != "amzn1.sp.solution.0" {
		t.Errorf("%v %v", placed.AuthorizeParams, err)
	}
	if d.AuthorizeParams["application_id"] != "{application_id}" {
		t.Error("At changed the descriptor it was called on")
	}
}

// breakouts are values that would lead elsewhere if they got into an address.
var breakouts = []string{
	"", ".", "..", "../..", "a/b", "a/../b", `a\b`, "a?b", "a#b", "a@b", "a:b", "evil.example/", "evil.example#", "evil.example:443@",
	"a%2fb", "a%00b", "a b", "a\nb", "a\r\nHost: b", "a\x00b", "a\tb", "{shop}", "a..b", ".a", "a.", "-a", "a-", "é", "ａ", "127.0.0.1/",
	strings.Repeat("a", 64), strings.Repeat("a.", 200) + "a",
}

// FuzzPlaceholder proves that no value that is admitted leads to another host or
// changes more than its part of an address.
func FuzzPlaceholder(f *testing.F) {
	for _, v := range append([]string{"acme", "acme.eu", "v25.0", "00000000-0000-4000-8000-000000000000"}, breakouts...) {
		f.Add(v)
	}
	d := valid()
	d.AuthorizeURL = "https://{shop}.acme.example/{version}/authorize"
	d.IntrospectURL = "https://{labels}.acme.example/introspect"
	d.Placeholders["labels"] = Placeholder{Form: FormLabels, Default: "x"}
	if err := d.Validate(); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, value string) {
		for _, name := range []string{"shop", "version", "labels"} {
			values := map[string]string{"shop": "acme", name: value}
			placed, err := d.At(values)
			if err != nil {
				if len(value) > 20 && strings.Contains(err.Error(), value) {
					t.Errorf("the error shows the value: %v", err)
				}
				continue
			}
			for _, raw := range []string{placed.AuthorizeURL, placed.IntrospectURL} {
				u, err := url.Parse(raw)
				if err != nil {
					t.Fatalf("%q: %v", value, err)
				}
				if !strings.HasSuffix(u.Host, ".acme.example") || u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Contains(u.Path, "/.") {
					t.Errorf("%q leads to %s", value, raw)
				}
				if strings.HasSuffix(u.Path, "/authorize") && strings.Count(u.Path, "/") != 2 {
					t.Errorf("%q makes the path %s", value, u.Path)
				}
			}
		}
	})
}

func TestBreakoutsAreRefused(t *testing.T) {
	t.Parallel()
	for _, form := range []Form{FormLabel, FormLabels, FormSegment} {
		for _, v := range breakouts {
			switch {
			case form == FormSegment && (v == "a..b" || v == "a." || v == "a-" || v == strings.Repeat("a", 64)): // nothing but odd names
				continue
			case (Placeholder{Form: form}).Admits(v):
				t.Errorf("%s admits %q", form, v)
			}
		}
	}
	if (Placeholder{}).Admits("a") || (Placeholder{Form: "any"}).Admits("a") {
		t.Error("a placeholder without a form admits anything")
	}
}
