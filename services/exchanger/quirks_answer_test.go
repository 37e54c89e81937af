package exchanger

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/provider"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/services/sandbox"
)

// lifetimeQuirks are about when a token ends.
func lifetimeQuirks() []quirk {
	return []quirk{
		{"1_expires_in_string", func(t *testing.T) { livesEitherWay(t, `"3600"`, time.Hour) }},
		{"2_expires_in_float", func(t *testing.T) {
			for _, written := range []string{"3599.0", "3599.9", "3.5990e3", `"3599.5"`} {
				livesEitherWay(t, written, 3599*time.Second)
			}
		}},
		{"3_milliseconds", func(t *testing.T) {
			milliseconds := func(d *provider.Descriptor) { d.Expiry.Unit = provider.UnitMilliseconds }
			lives(t, sandbox.Step{Fields: fields("expires_in", "3600000")}, time.Hour, milliseconds)
			// Somebody has mistaken the unit: it is not believed.
			lives(t, sandbox.Step{Fields: fields("expires_in", "1e13")}, 10*365*day)
		}},
		{"4_no_lifetime", noLifetimeAtAll},
		{"5_lifetime_zero", zeroLifetime},
		{"6_lifetime_by_another_name", func(t *testing.T) {
			lives(t, sandbox.Step{Omit: []string{"expires_in"}, Fields: fields("expires", "7200")}, 2*time.Hour,
				func(d *provider.Descriptor) { d.Expiry.Field = "expires" })
		}},
		{"7_moment_of_expiry", momentOfExpiry},
		{"8_duration_text", func(t *testing.T) {
			lives(t, sandbox.Step{Fields: fields("expires_in", `"1h30m"`)}, 90*time.Minute,
				func(d *provider.Descriptor) { d.Expiry.Unit = provider.UnitText })
		}},
		{"9_jwt_access_token", earlierInTheToken},
	}
}

// lives fails the test unless the token that a step answers with lives so long.
func lives(t *testing.T, step sandbox.Step, want time.Duration, edits ...func(*provider.Descriptor)) {
	t.Helper()
	tokens, err := refreshedBy(t, step, edits...)
	if err != nil || tokens.Lifetime != want {
		t.Errorf("lifetime %v, want %v: %v", tokens.Lifetime, want, err)
	}
}

// livesEitherWay is lives for an expires_in, and for client credentials, too.
func livesEitherWay(t *testing.T, expiresIn string, want time.Duration) {
	t.Helper()
	step := sandbox.Step{Fields: fields("expires_in", expiresIn)}
	lives(t, step, want)
	answer, err := exchangedBy(t, step)
	if err != nil || answer.Lifetime != want {
		t.Errorf("client credentials: lifetime %v, want %v: %v", answer.Lifetime, want, err)
	}
}

// What an answer does not say, introspection does, and then the descriptor. With
// neither there is no way to keep a token fresh (contract A10).
func noLifetimeAtAll(t *testing.T) {
	unsaid := sandbox.Step{Omit: []string{"expires_in"}}
	lives(t, unsaid, 2*time.Hour, func(d *provider.Descriptor) { d.Expiry.Default = 2 * time.Hour })
	_, err := refreshedBy(t, unsaid)
	wantRefused(t, err, events.ReasonNoLifetime)
	_, err = exchangedBy(t, unsaid)
	wantRefused(t, err, events.ReasonNoLifetime)

	tokens, err := refreshedBy(t, unsaid, func(d *provider.Descriptor) {
		d.IntrospectURL, d.Expiry.Default = d.AuthorizeURL[:len(d.AuthorizeURL)-len("authorize")]+"introspect", time.Minute
	})
	// The sandbox says when it ends, to the second.
	if err != nil || tokens.Lifetime > tokenLifetime || tokens.Lifetime < tokenLifetime-time.Hour {
		t.Errorf("by introspection: lifetime %v: %v", tokens.Lifetime, err)
	}
}

// What is no lifetime is not taken for one that is over, and makes no loop.
func zeroLifetime(t *testing.T) {
	for _, nothing := range []string{"0", "-5", "null", `""`} {
		step := sandbox.Step{Fields: fields("expires_in", nothing)}
		lives(t, step, time.Hour, func(d *provider.Descriptor) { d.Expiry.Default = time.Hour })
		_, err := exchangedBy(t, step)
		wantRefused(t, err, events.ReasonNoLifetime)
	}
	w := newWorld(t)
	s := w.create(secret.OAuth2)
	w.script(s, sandbox.Step{Fields: fields("expires_in", "0")})
	w.run(w.exchanger(), w.job(s.ID))
	if got := w.secret(s.ID); got.Status != secret.Failed || got.Plan().Action != secret.Rest {
		t.Errorf("record: %s", show(got))
	}
	w.wantRequests(s.ID, 1)
}

// A moment is by the provider's clock, which need not be ours.
func momentOfExpiry(t *testing.T) {
	theirs := time.Date(2031, 7, 6, 10, 0, 0, 0, time.UTC)
	end := theirs.Add(time.Hour)
	for _, written := range []string{
		fmt.Sprint(end.Unix()), fmt.Sprint(end.UnixMilli()), fmt.Sprintf("%q", end.Format(time.RFC3339)), fmt.Sprintf("%q", fmt.Sprint(end.Unix())),
	} {
		lives(t, sandbox.Step{
			Omit: []string{"expires_in"}, Fields: fields("expires_at", written),
			Headers: map[string]string{"Date": "Sun, 06 Jul 2031 10:00:00 GMT"},
		}, time.Hour, func(d *provider.Descriptor) { d.Expiry.At = "expires_at" })
	}
}

func earlierInTheToken(t *testing.T) {
	theirs := time.Date(2031, 7, 6, 10, 0, 0, 0, time.UTC)
	part := base64.RawURLEncoding.EncodeToString
	ending := func(in time.Duration) sandbox.Step {
		jwt := part([]byte(`{}`)) + "." + part(fmt.Appendf(nil, `{"exp":%d}`, theirs.Add(in).Unix())) + ".x"
		return sandbox.Step{
			Fields:  fields("access_token", fmt.Sprintf("%q", jwt), "expires_in", "3600"),
			Headers: map[string]string{"Date": "Sun, 06 Jul 2031 10:00:00 GMT"},
		}
	}
	lives(t, ending(30*time.Minute), 30*time.Minute)
	lives(t, ending(2*time.Hour), time.Hour)
}

// answerQuirks are about what else an answer looks like.
func answerQuirks() []quirk {
	const form = "application/x-www-form-urlencoded; charset=utf-8"
	return []quirk{
		{"10_form_answer", func(t *testing.T) {
			body := "access_token={{access_token}}&refresh_token=another&expires_in=3600&scope=a%20b"
			tokens, err := refreshedBy(t, sandbox.Step{Body: &body, ContentType: form})
			if err != nil || tokens.Lifetime != time.Hour || string(tokens.Refresh.Reveal()) != "another" || len(tokens.Scopes) != 2 {
				t.Errorf("lifetime %v, scopes %q, %v", tokens.Lifetime, tokens.Scopes, err)
			}
		}},
		{"11_html_200", pageInPlaceOfTokens},
		{"12_error_with_200", func(t *testing.T) {
			_, err := refreshedBy(t, sandbox.Step{Fault: sandbox.FaultOKWithError, Error: "bad_verification_code"}, like(t, "github"))
			wantRefused(t, err, events.ReasonGrantEnded, "bad_verification_code", "authorize again")
			_, err = exchangedBy(t, sandbox.Step{Fault: sandbox.FaultOKWithError, Error: "invalid_client"})
			wantRefused(t, err, events.ReasonRejected, "invalid_client")
		}},
		{"13_not_ok_with_200", func(t *testing.T) {
			body := `{"ok":false,"error":"invalid_refresh_token"}`
			_, err := refreshedBy(t, sandbox.Step{Body: &body}, like(t, "slack"))
			wantRefused(t, err, events.ReasonGrantEnded, "invalid_refresh_token")
		}},
		{"14_nested_tokens", nestedTokens},
	}
}

// A page, or nothing, passes: the secret is tried again, and of the page is told
// what it can be known by, and no credential.
func pageInPlaceOfTokens(t *testing.T) {
	empty, echo := "", "<html><title>Log in, "+plantedSecret+" wire-client</title>{{access_token}}"
	for _, tt := range []struct {
		step  sandbox.Step
		words []string
	}{
		{sandbox.Step{Fault: sandbox.FaultHTML}, []string{"text/html, 108 bytes, sha256 ", `titled "Log in"`}},
		{sandbox.Step{Body: &echo, ContentType: "text/html"}, []string{"text/html, ", `titled "Log in, …"`}},
		{sandbox.Step{Body: &empty}, nil},
	} {
		_, err := refreshedBy(t, tt.step)
		wantRefused(t, err, events.ReasonMalformed, tt.words...)
		_, again := exchangedBy(t, tt.step)
		wantRefused(t, again, events.ReasonMalformed, tt.words...)
		if told := err.Error() + again.Error(); strings.Contains(told, "planted") || strings.Contains(told, wireClient) {
			t.Errorf("it is told: %s", told)
		}
	}
	w := newWorld(t)
	x := w.exchanger()
	s := w.consented(x, sandbox.CodeFlow{})
	w.script(s, sandbox.Step{Times: 1, Fault: sandbox.FaultHTML}, sandbox.Step{})
	w.runDue(x, s.ID)
	if got := w.secret(s.ID); got.RefreshStatus != secret.Pending || got.Authorization.Required {
		t.Errorf("after the page: %s", show(got))
	}
	w.runDue(x, s.ID)
	if got := w.secret(s.ID); got.RefreshStatus != secret.Succeeded {
		t.Errorf("in the end: %s", show(got))
	}
	w.wantRequests(s.ID, 3)
}

// Refresh token and lifetime are from where the access token is.
func nestedTokens(t *testing.T) {
	body := `{"ok":true,"access_token":"of-the-bot","refresh_token":"of-the-bot","expires_in":43200,` +
		`"authed_user":{"id":"U1","access_token":"{{access_token}}","refresh_token":"of-the-user","expires_in":3600}}`
	tokens, err := refreshedBy(t, sandbox.Step{Body: &body}, like(t, "slack-user"))
	if err != nil || tokens.Lifetime != time.Hour || string(tokens.Refresh.Reveal()) != "of-the-user" ||
		string(tokens.Access.Reveal()) == "of-the-bot" || tokens.Subject != "U1" {
		t.Errorf("lifetime %v, subject %s: %v", tokens.Lifetime, tokens.Subject, err)
	}
	flat := `{"data":{"token":{"access_token":"{{access_token}}","refresh_token":"deep","expires_in":60}},"expires_in":7}`
	tokens, err = refreshedBy(t, sandbox.Step{Body: &flat}, func(d *provider.Descriptor) { d.Answer.Token = "data.token" })
	if err != nil || tokens.Lifetime != time.Minute || string(tokens.Refresh.Reveal()) != "deep" {
		t.Errorf("lifetime %v: %v", tokens.Lifetime, err)
	}
}
