package provider

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// valid is a descriptor with every part that a rule is about.
func valid() Descriptor {
	return Descriptor{
		Name: "acme", Label: "Acme",
		AuthorizeURL: "https://{shop}.acme.example/{version}/authorize",
		TokenURL:     "https://api.acme.{tld}/token?v=1",
		Placeholders: map[string]Placeholder{
			"shop":    {Form: FormLabel},
			"version": {Form: FormSegment, Default: "v1"},
			"tld":     {OneOf: []string{"example", "co.example"}, Default: "example"},
		},
		AuthStyle:       AuthParams,
		AuthorizeParams: map[string]string{"audience": "{shop}"},
		Scopes:          Scopes{Default: []string{"read"}, Allowed: []string{"read", "write"}},
		Refresh:         Refresh{Rotates: true, Grace: time.Minute, Life: time.Hour},
		Consent:         Consent{Reminders: []time.Duration{2 * day, day}},
		Subject:         Subject{From: PlaceAnswer, Field: "user.id"},
		Errors:          []ErrorRule{{Value: "dead", Meaning: NeedsHuman}},
	}
}

// fields returns the fields at fault.
func fields(err error) (found []string) {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return nil
	}
	for _, e := range joined.Unwrap() {
		if f, ok := errors.AsType[*FieldError](e); ok {
			found = append(found, f.Field)
		}
	}
	return found
}

func TestValidate(t *testing.T) {
	t.Parallel()
	if err := valid().Validate(); err != nil {
		t.Fatal(err)
	}
	many := make([]string, maxEntries+1)
	for i := range many {
		many[i] = fmt.Sprint("s", i)
	}
	tests := []struct {
		field string // the one at fault
		wrong func(d *Descriptor)
	}{
		{"name", func(d *Descriptor) { d.Name = "" }},
		{"name", func(d *Descriptor) { d.Name = "Acme" }},
		{"name", func(d *Descriptor) { d.Name = "a--b" }},
		{"name", func(d *Descriptor) { d.Name = strings.Repeat("a", 65) }},
		{"label", func(d *Descriptor) { d.Label = "" }},
		{"label", func(d *Descriptor) { d.Label = "a\nb" }},
		{"notes", func(d *Descriptor) { d.Notes = strings.Repeat("a", maxText+1) }},

		{"authorize_url", func(d *Descriptor) {
			d.AuthorizeURL = ""
			delete(d.Placeholders, "version")
		}},
		{"token_url", func(d *Descriptor) {
			d.TokenURL = ""
			delete(d.Placeholders, "tld")
		}},
		{"refresh_url", func(d *Descriptor) { d.RefreshURL = "http://acme.example/token" }},
		{"refresh_url", func(d *Descriptor) { d.RefreshURL = "http://8.8.8.8/token" }},
		{"refresh_url", func(d *Descriptor) { d.RefreshURL = "ftp://localhost/token" }},
		{"refresh_url", func(d *Descriptor) { d.RefreshURL = "/token" }},
		{"refresh_url", func(d *Descriptor) { d.RefreshURL = "https:token" }},
		{"refresh_url", func(d *Descriptor) { d.RefreshURL = "https://acme.example:port/" }},
		{"refresh_url", func(d *Descriptor) { d.RefreshURL = "https://user:password@acme.example/token" }},
		{"revoke_url", func(d *Descriptor) { d.RevokeURL = "https://acme.example/#fragment" }},
		{"introspect_url", func(d *Descriptor) { d.IntrospectURL = "https://acme.example/{nowhere}" }},
		{"introspect_url", func(d *Descriptor) { d.IntrospectURL = "https://acme.example/{Shop}" }},
		{"introspect_url", func(d *Descriptor) { d.IntrospectURL = "https://acme.example/}" }},
		{"introspect_url", func(d *Descriptor) { d.IntrospectURL = "https://acme.example/?shop={shop}" }},
		{"introspect_url", func(d *Descriptor) { d.IntrospectURL = "https://acme.example:{shop}/" }},
		{"introspect_url", func(d *Descriptor) { d.IntrospectURL = "{shop}://acme.example/" }},
		// A value must not choose the domain, nor be more than labels of it.
		{"introspect_url", func(d *Descriptor) { d.IntrospectURL = "https://{shop}/" }},
		{"introspect_url", func(d *Descriptor) { d.IntrospectURL = "https://{shop}.example/" }},
		{"introspect_url", func(d *Descriptor) { d.IntrospectURL = "https://acme.{shop}/" }},
		{"introspect_url", func(d *Descriptor) { d.IntrospectURL = "https://{shop}acme.example/" }},
		{"introspect_url", func(d *Descriptor) { d.IntrospectURL = "https://{version}.acme.example/" }},
		{"subject.url", func(d *Descriptor) { d.Subject = Subject{PlaceUserinfo, "id", "http://acme.example/me"} }},
		{"subject.url", func(d *Descriptor) { d.Subject.URL = "https://acme.example/me" }},
		{"subject.url", func(d *Descriptor) { d.Subject = Subject{From: PlaceUserinfo, Field: "id"} }},

		{"placeholders.Shop", func(d *Descriptor) {
			d.Placeholders["Shop"] = Placeholder{Form: FormLabel}
			d.AuthorizeParams["shop"] = "{Shop}"
		}},
		{"placeholders.unused", func(d *Descriptor) { d.Placeholders["unused"] = Placeholder{Form: FormLabel} }},
		{"placeholders.tld.form", func(d *Descriptor) { d.Placeholders["tld"] = Placeholder{OneOf: []string{"a"}, Form: FormLabel} }},
		{"placeholders.x.one_of[1]", func(d *Descriptor) {
			d.AuthorizeParams["x"], d.Placeholders["x"] = "{x}", Placeholder{OneOf: []string{"a", "a/b"}}
		}},
		{"placeholders.tld.default", func(d *Descriptor) { d.Placeholders["tld"] = Placeholder{OneOf: []string{"a"}, Default: "b"} }},
		{"placeholders.version.default", func(d *Descriptor) { d.Placeholders["version"] = Placeholder{Form: FormSegment, Default: "../x"} }},
		{"placeholders.version.form", func(d *Descriptor) { d.Placeholders["version"] = Placeholder{Form: "regexp"} }},
		{"placeholders.version.form", func(d *Descriptor) { d.Placeholders["version"] = Placeholder{} }},

		{"auth_style", func(d *Descriptor) { d.AuthStyle = "" }},
		{"auth_style", func(d *Descriptor) { d.AuthStyle = "both" }},
		{"request_format", func(d *Descriptor) { d.RequestFormat = "xml" }},
		{"pkce", func(d *Descriptor) { d.PKCE = "plain" }},
		{"authorize_params.state", func(d *Descriptor) { d.AuthorizeParams["state"] = "x" }},
		{"authorize_params.code_challenge", func(d *Descriptor) { d.AuthorizeParams["code_challenge"] = "x" }},
		{"authorize_params.x", func(d *Descriptor) { d.AuthorizeParams["x"] = "{nowhere}" }},
		{"authorize_params.x", func(d *Descriptor) { d.AuthorizeParams["x"] = "\r\n" }},
		{"token_params.client_secret", func(d *Descriptor) { d.TokenParams = map[string]string{"client_secret": "x"} }},
		{"refresh_params.refresh_token", func(d *Descriptor) { d.RefreshParams = map[string]string{"refresh_token": "x"} }},
		{"refresh_params.a b", func(d *Descriptor) { d.RefreshParams = map[string]string{"a b": "x"} }},
		{"rename.authorize.nonce", func(d *Descriptor) { d.Rename.Authorize = map[string]string{"nonce": "n"} }},
		{"rename.authorize.state", func(d *Descriptor) { d.Rename.Authorize = map[string]string{"state": ""} }},
		{"rename.authorize.scope", func(d *Descriptor) { d.Rename.Authorize = map[string]string{"scope": "state"} }},
		{"rename.token.client_id", func(d *Descriptor) { d.Rename.Token = map[string]string{"client_id": "a&b"} }},
		{"rename.token.refresh_token", func(d *Descriptor) { d.Rename.Token = map[string]string{"refresh_token": ""} }},
		{"rename.callback.code", func(d *Descriptor) { d.Rename.Callback = map[string]string{"code": ""} }},

		{"scopes.separator", func(d *Descriptor) { d.Scopes.Separator = ";" }},
		{"scopes.default[0]", func(d *Descriptor) { d.Scopes.Default = []string{"delete"} }},
		{"scopes.always[1]", func(d *Descriptor) { d.Scopes.Always = []string{"a", "b c"} }},
		{"scopes.always[0]", func(d *Descriptor) { d.Scopes.Separator, d.Scopes.Always = SeparatorComma, []string{"a,b"} }},
		{"scopes.allowed[2]", func(d *Descriptor) { d.Scopes.Allowed = []string{"read", "write", ""} }},
		{"scopes.always", func(d *Descriptor) { d.Scopes.Always = many }},

		{"answer.token", func(d *Descriptor) { d.Answer.Token = "data." }},
		{"answer.ok", func(d *Descriptor) { d.Answer.OK = "a b" }},
		{"answer.scopes", func(d *Descriptor) { d.Answer.Scopes = "." }},
		{"answer.keep[0]", func(d *Descriptor) { d.Answer.Keep = []string{""} }},
		{"answer.keep[1]", func(d *Descriptor) { d.Answer.Keep = []string{"x", "data.refresh_token"} }},
		{"answer.keep_callback[0]", func(d *Descriptor) { d.Answer.KeepCallback = []string{"code"} }},
		{"issuer.from", func(d *Descriptor) { d.Issuer = Issuer{From: PlaceUserinfo, Field: "a"} }},
		{"issuer.field", func(d *Descriptor) { d.Issuer.From = PlaceAnswer }},
		{"issuer.field", func(d *Descriptor) { d.Issuer = Issuer{From: PlaceAnswer, Field: "a b"} }},
		{"subject.from", func(d *Descriptor) { d.Subject.From = "guess" }},
		{"subject.field", func(d *Descriptor) { d.Subject.Field = "" }},

		{"expiry.field", func(d *Descriptor) { d.Expiry.Field = "a b" }},
		{"expiry.unit", func(d *Descriptor) { d.Expiry.Unit = "minutes" }},
		{"expiry.fixed", func(d *Descriptor) { d.Expiry.Fixed = -1 }},
		{"expiry.fixed", func(d *Descriptor) { d.Expiry.Fixed, d.Expiry.At = time.Hour, "expires_at" }},
		{"expiry.default", func(d *Descriptor) { d.Expiry.Default = 11 * 365 * day }},
		{"expiry.default", func(d *Descriptor) { d.Expiry.Default, d.Expiry.Endless = time.Hour, true }},

		{"refresh.issued", func(d *Descriptor) { d.Refresh.Issued = "maybe" }},
		{"refresh.issued", func(d *Descriptor) { d.Refresh.Issued = IssuedNever }},
		{"refresh.grace", func(d *Descriptor) { d.Refresh.Grace = -time.Second }},
		{"refresh.grace", func(d *Descriptor) { d.Refresh.Rotates = false }},
		{"refresh.grace", func(d *Descriptor) { d.Refresh.Grace = 2 * time.Hour }},
		{"refresh.grace_generations", func(d *Descriptor) { d.Refresh.GraceGenerations = -1 }},
		{"refresh.per_account", func(d *Descriptor) { d.Refresh.PerAccount = -1 }},
		{"refresh.slides", func(d *Descriptor) { d.Refresh.Slides, d.Refresh.Life = true, 0 }},
		{"refresh.expires_field", func(d *Descriptor) { d.Refresh.ExpiresField = "a b" }},
		{"refresh.offset", func(d *Descriptor) { d.Expiry.Fixed, d.Refresh.Offset = time.Hour, time.Hour }},
		{"refresh.offset", func(d *Descriptor) { d.Refresh.Offset, d.Refresh.MaxOffset = time.Hour, time.Minute }},
		{"refresh.max_offset", func(d *Descriptor) { d.Refresh.MaxOffset = -1 }},
		{"refresh.min_gap", func(d *Descriptor) { d.Refresh.MinGap = -1 }},
		{"refresh.min_gap", func(d *Descriptor) {
			d.Expiry.Fixed, d.Refresh.Offset, d.Refresh.MinGap = time.Hour, 50*time.Minute, 11*time.Minute
		}},
		{"secret_life", func(d *Descriptor) { d.SecretLife = -1 }},

		{"consent.reauthorize_after", func(d *Descriptor) { d.Consent.ReauthorizeAfter = -1 }},
		{"consent.warn_months", func(d *Descriptor) { d.Consent.WarnMonths = 13 }},
		{"consent.reminders[1]", func(d *Descriptor) { d.Consent.Reminders = []time.Duration{day, day} }},
		{"consent.reminders[0]", func(d *Descriptor) { d.Consent.Reminders = []time.Duration{0} }},

		{"errors[0].field", func(d *Descriptor) { d.Errors[0].Field = "a b" }},
		{"errors[0].value", func(d *Descriptor) { d.Errors[0].Value = "" }},
		{"errors[0].meaning", func(d *Descriptor) { d.Errors[0].Meaning = "" }},
		{"errors[0].meaning", func(d *Descriptor) { d.Errors[0].Meaning = Unknown }},
		{"errors[0].hint", func(d *Descriptor) { d.Errors[0].Hint = "\x00" }},
	}
	for i, tt := range tests {
		d := valid()
		tt.wrong(&d)
		err := d.Validate()
		want := []string{tt.field}
		if got := slices.Compact(slices.Sorted(slices.Values(fields(err)))); !slices.Equal(got, want) {
			t.Errorf("%d: %v is at fault, want %v:\n%v", i, got, want, err)
		}
	}
}

func TestValidateFindsAll(t *testing.T) {
	t.Parallel()
	got := fields(Descriptor{}.Validate())
	if diff := cmp.Diff([]string{"name", "label", "authorize_url", "token_url", "auth_style"}, got); diff != "" {
		t.Error(diff)
	}
}

// TestPrivateEndpoints are those of a sandbox.
func TestPrivateEndpoints(t *testing.T) {
	t.Parallel()
	for _, u := range []string{
		"http://127.0.0.1:8089/token", "http://[::1]:8089/token", "http://localhost/token", "http://sandbox:8089/token",
		"http://a.localhost/", "http://10.1.2.3/", "https://acme.example/",
	} {
		d := valid()
		d.RefreshURL = u
		if err := d.Validate(); err != nil {
			t.Errorf("%s: %v", u, err)
		}
	}
}

func TestFieldErrorSaysHowToMend(t *testing.T) {
	t.Parallel()
	d := valid()
	d.AuthStyle, d.Refresh.Grace = "basic", -time.Second
	want := "auth_style: is not known; write one of params, header, private_key_jwt, tls\n" +
		"refresh.grace: is negative; write 0 or more"
	if got := d.Validate(); got == nil || got.Error() != want {
		t.Errorf("got %v, want %s", got, want)
	}
}
