package exchanger

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/provider"
	"github.com/rekindle-dev/rekindle/pkg/seal"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/services/sandbox"
)

// refusalQuirks are about what a refusal means.
func refusalQuirks() []quirk {
	return []quirk{
		{"29_google_invalid_rapt", invalidRAPT},
		{"30_google_testing_mode", func(t *testing.T) {
			_, err := refreshedBy(t, sandbox.Step{Error: "invalid_grant"}, like(t, "google"))
			wantRefused(t, err, events.ReasonGrantEnded, "every 7 days", "Testing")
		}},
		{"31_google_cap_per_account", capPerAccount},
		{"39_client_secret_ended", clientSecretEnded},
		{"40_amazon_invalid_grant", func(t *testing.T) {
			_, err := refreshedBy(t, sandbox.Step{
				Error: "invalid_grant", Fields: fields("error_description", `"The request has an invalid grant parameter : refresh_token"`),
			}, like(t, "amazon"))
			wantRefused(t, err, events.ReasonGrantEnded, "authorize again")
		}},
		{"41_microsoft_secret_expired", func(t *testing.T) {
			_, err := refreshedBy(t, sandbox.Step{Error: "invalid_client", Fields: fields("error_codes", `[7000222]`)}, like(t, "microsoft"))
			wantRefused(t, err, events.ReasonAppRefused, "AADSTS7000222", "make a new one")
		}},
		{"42_microsoft_token_inactive", func(t *testing.T) {
			_, err := refreshedBy(t, sandbox.Step{Error: "invalid_grant", Fields: fields("error_codes", `[700082]`)}, like(t, "microsoft"))
			wantRefused(t, err, events.ReasonGrantEnded, "AADSTS700082", "not used for 90 days")
		}},
		{"49_forbidden_by_a_firewall", forbiddenByFirewall},
		{"50_forbidden_by_the_provider", forbiddenByProvider},
	}
}

// The session policy of an organisation ends a grant like any other end of one, but
// whom it takes to mend that is another. At a code it is no end of the grant in use.
func invalidRAPT(t *testing.T) {
	rapt := sandbox.Step{Error: "invalid_grant", Fields: fields("error_subtype", `"invalid_rapt"`)}
	_, err := refreshedBy(t, rapt, like(t, "google"))
	wantRefused(t, err, events.ReasonAdminPolicy, "invalid_rapt", "administrator", "trust the app")
	w := newWorld(t)
	x := w.exchanger()
	s := w.consented(x, sandbox.CodeFlow{Lifetime: sandbox.Duration(time.Hour)}, like(t, "google"))
	w.script(s, rapt)
	w.consent(s.ID)
	w.run(x, w.job(s.ID))
	if a := w.secret(s.ID).Authorization; a.Failure == nil || a.Failure.Reason != string(events.ReasonAdminPolicy) || w.grant(s.ID).Outcome.Ended {
		t.Errorf("at a code: %s", show(a))
	}
	got := w.untilDead(x, s.ID)
	a, f := got.Authorization, got.RefreshStatusDetails
	if !a.Required || a.EndedAt.IsZero() || got.Plan().Action != secret.Rest || f.Reason != string(events.ReasonAdminPolicy) {
		t.Errorf("record: %s", show(got))
	}
	if len(w.ends(s.ID)) != 1 {
		t.Errorf("said at %v", w.ends(s.ID))
	}
	w.wantRequests(s.ID, 4)
}

// The oldest grant ends unannounced. Who is hit hears that the grant has ended, and
// the others go on. The api, which sees all secrets, counts them by what the record
// says of the account (services/api, TestAccountLimit).
func capPerAccount(t *testing.T) {
	if n := shipped(t, "google").Refresh.PerAccount; n != 100 {
		t.Errorf("Google is said to allow %d", n)
	}
	w := newWorld(t)
	x := w.exchanger()
	s := w.consented(x, sandbox.CodeFlow{Lifetime: sandbox.Duration(time.Hour)}, like(t, "google"))
	for range 2 {
		w.runDue(x, s.ID)
		if a := w.secret(s.ID).Authorization; a.Account == "" || a.Account != w.grant(s.ID).Consent.Account {
			t.Errorf("authorization: %s", show(a))
		}
	}
	q := newWire(t, sandbox.Client{CodeFlow: &sandbox.CodeFlow{RefreshTokens: sandbox.RefreshTokens{PerAccount: 2}}})
	var tokens []seal.Plaintext
	for range 3 {
		tokens = append(tokens, q.granted().Refresh)
	}
	_, err := q.refresh(tokens[0])
	wantRefused(t, err, events.ReasonGrantEnded)
	for _, token := range tokens[1:] {
		if _, err := q.refresh(token); err != nil {
			t.Error(err)
		}
	}
}

// That is about the app, and not about what people consented to.
func clientSecretEnded(t *testing.T) {
	_, err := refreshedBy(t, sandbox.Step{Error: "invalid_client"}, like(t, "amazon"))
	wantRefused(t, err, events.ReasonAppRefused, "180 days")
	if life := shipped(t, "amazon-seller").SecretLife; life != 180*day {
		t.Errorf("it is said to live for %v", life)
	}
	// Many secrets, one app: its end is announced once.
	synctest.Test(t, func(t *testing.T) {
		d := newDeployment(t)
		for range 3 {
			defer d.start(registered("client-1", date(2000, 1, 2)))()
		}
		until(date(2000, 1, 3))
		if said := d.said(); len(said) != 1 {
			t.Errorf("announced: %q", said)
		}
	})
	w := newWorld(t)
	x := w.exchanger()
	s := w.consented(x, sandbox.CodeFlow{}, like(t, "amazon"))
	w.script(s, sandbox.Step{Times: 2, Error: "invalid_client"}, sandbox.Step{})
	w.runDue(x, s.ID)
	if got := w.secret(s.ID); got.RefreshStatusDetails.Reason != string(events.ReasonAppRefused) || got.Authorization.Required {
		t.Errorf("record: %s", show(got))
	}
}

// A page with 403 is no word of the OAuth server.
func forbiddenByFirewall(t *testing.T) {
	page := sandbox.Step{Fault: sandbox.FaultHTML, Status: 403}
	_, err := refreshedBy(t, page)
	wantRefused(t, err, events.ReasonProviderError)
	_, err = exchangedBy(t, page)
	wantRefused(t, err, events.ReasonProviderError)
	w := newWorld(t)
	x := w.exchanger()
	s := w.consented(x, sandbox.CodeFlow{})
	page.Times = 3
	w.script(s, page, sandbox.Step{})
	for range 3 {
		w.runDue(x, s.ID)
		if got := w.secret(s.ID); got.Authorization.Required || got.RefreshStatus != secret.Pending {
			t.Fatalf("record: %s", show(got))
		}
	}
	w.refreshes(x, s.ID, 1)
}

func forbiddenByProvider(t *testing.T) {
	for _, status := range []int{400, 401, 403} {
		w := newWorld(t)
		x := w.exchanger()
		s := w.consented(x, sandbox.CodeFlow{})
		w.script(s, sandbox.Step{Status: status, Error: "invalid_grant"})
		got := w.untilDead(x, s.ID)
		if a := got.Authorization; !a.Required || a.EndedAt.IsZero() || got.Plan().Action != secret.Rest || got.RefreshStatusDetails.Reason != string(events.ReasonGrantEnded) {
			t.Errorf("%d: %s", status, show(got))
		}
	}
}

// providerQuirks are about what single providers do.
func providerQuirks() []quirk {
	return []quirk{
		{"32_jwt_bearer_clock_skew", clockSkewed},
		{"33_jwt_without_token_url", func(t *testing.T) {
			w := newWorld(t)
			s := w.create(secret.OAuth2JWT)
			w.run(w.exchanger(), w.job(s.ID))
			got := w.secret(s.ID)
			if want := w.now().Add(-clockSkew).Truncate(time.Second).Add(tokenLifetime); !got.ExpiresAt.Equal(want) {
				t.Errorf("it ends at %v, want %v", got.ExpiresAt, want)
			}
			verifyJWT(t, seal.NewPlaintext(w.value(w.artifacts(s.ID)[0])))
			w.wantRequests(s.ID, 0)
		}},
		{"34_linkedin_without_refresh_token", func(t *testing.T) {
			w := newWorld(t)
			x := w.exchanger()
			s := w.consented(x, sandbox.CodeFlow{Lifetime: sandbox.Duration(60 * day), RefreshTokens: sandbox.RefreshTokens{Issue: sandbox.IssueNever}}, like(t, "linkedin"))
			ends := w.now().Add(60 * day)
			got := w.untilDead(x, s.ID)
			if a := got.Authorization; !a.ReauthorizeBy.Equal(ends) || !a.Required || got.Status != secret.Succeeded || !w.now().Before(ends) {
				t.Errorf("record: %s", show(got))
			}
			w.wantRequests(s.ID, 1)
		}},
		{"35_linkedin_with_refresh_token", linkedInYear},
		{"36_amazon_code_at_once", func(t *testing.T) {
			w := newWorld(t)
			s := w.consenting(*sandbox.LikeAmazon("x", testRedirect).CodeFlow, like(t, "amazon"))
			w.consent(s.ID)
			if due := w.secret(s.ID).Plan(); due != (secret.Next{Action: secret.Authorize, At: w.now()}) {
				t.Errorf("planned is %v", due)
			}
			w.advance(5*time.Minute - time.Second)
			w.run(w.exchanger(), w.job(s.ID))
			if got := w.secret(s.ID); got.Status != secret.Succeeded {
				t.Errorf("record: %s", show(got))
			}
		}},
		{"37_amazon_regional_host", regionalHost},
		{"38_seller_code_parameter", sellerCode},
		{"43_salesforce", salesforce},
		{"58_fields_that_are_kept", keptFields},
		{"70_region_of_the_issuer", func(t *testing.T) {
			regionIsKept(t)
			regionInRedirect(t)
			regionInAnswer(t)
		}},
	}
}

// The end of the consent does not move, and near it the tokens are cut to it.
func linkedInYear(t *testing.T) {
	w := newWorld(t)
	x := w.exchanger()
	s := w.consented(x, *sandbox.LikeLinkedIn("x", testRedirect).CodeFlow, like(t, "linkedin"))
	ends := w.now().Add(365 * day)
	requests := 0
	for w.now().Before(ends.Add(-time.Hour)) {
		got := w.secret(s.ID)
		if by := got.Authorization.ReauthorizeBy; !near(by, ends) || got.ExpiresAt.After(by.Add(rounding)) {
			t.Fatalf("a year ends at %v: %s", ends, show(got))
		}
		if due := got.Plan(); due.Action == secret.Rest || !due.At.Before(ends.Add(-time.Hour)) {
			break
		} else if due.Action == secret.Refresh {
			requests++
		}
		w.runDue(x, s.ID)
	}
	if got := w.secret(s.ID); !near(got.ExpiresAt, ends) || !got.Authorization.Required || got.RefreshStatus != secret.Succeeded {
		t.Errorf("in the end: %s", show(got))
	}
	if requests < 6 || requests > 9 {
		t.Errorf("%d refreshes in a year", requests)
	}
	w.wantRequests(s.ID, requests+1)
}

// The host of the token endpoint is that of the region.
func regionalHost(t *testing.T) {
	for _, tld := range []string{"com", "co.uk", "co.jp"} {
		d, err := shipped(t, "amazon").At(map[string]string{"tld": tld})
		if err != nil {
			t.Fatal(err)
		}
		host := ""
		e := newEndpoint(t, func(w http.ResponseWriter, r *http.Request) { host = r.Host; _, _ = io.WriteString(w, grantAnswer) })
		e.Start()
		_, port, _ := strings.Cut(strings.TrimPrefix(e.URL, "http://"), ":")
		u, err := url.Parse(d.TokenURL)
		if err != nil {
			t.Fatal(err)
		}
		u.Scheme, u.Host = "http", u.Host+":"+port // as there is no certificate
		d.TokenURL = u.String()
		if _, err := asLoopback(t, "api.amazon."+tld).refresh(t, App{Provider: d, ClientID: "c", Secret: seal.NewPlaintext("s")}); err != nil {
			t.Error(err)
		}
		if want := "api.amazon." + tld + ":" + port; host != want {
			t.Errorf("sent to %s, want %s", host, want)
		}
	}
	if _, err := shipped(t, "amazon").At(map[string]string{"tld": "evil.test"}); err == nil {
		t.Error("any domain is a region")
	}
}

// The seller's id comes with the redirect, under names of its own, and says
// whose consent it is.
func sellerCode(t *testing.T) {
	if name := (provider.Apps{"amazon-seller": {Provider: shipped(t, "amazon-seller")}}).CallbackNames()["spapi_oauth_code"]; name != "code" {
		t.Errorf("spapi_oauth_code is read as %q", name)
	}
	w := newWorld(t)
	x := w.exchanger()
	s := w.consenting(sandbox.CodeFlow{}, func(d *provider.Descriptor) {
		d.Subject, d.Answer.KeepCallback = provider.Subject{From: provider.PlaceCallback, Field: "selling_partner_id"}, []string{"selling_partner_id"}
	})
	from := func(seller string) {
		w.consent(s.ID)
		w.edit(s.ID, func(d *secret.Draft) {
			d.Consent = d.Consent.Clone()
			d.Consent.Callback = map[string]string{"selling_partner_id": seller}
		})
		w.run(x, w.job(s.ID))
	}
	from("A1SELLER")
	if g := w.grant(s.ID).Consent; g.Extra["selling_partner_id"] != "A1SELLER" || g.Account != secret.Account(acme, "A1SELLER") {
		t.Errorf("grant: %s", show(g))
	}
	from("A2OTHER")
	if a := w.secret(s.ID).Authorization; a.HeldAt.IsZero() {
		t.Errorf("another seller's is not held: %s", show(a))
	}
}

// Introspection tells the lifetime, and a refresh names no scope.
func salesforce(t *testing.T) {
	q := newWire(t, sandbox.Client{}, like(t, "salesforce"))
	life := sandbox.Duration(3 * time.Hour)
	q.script(sandbox.Step{Lifetime: &life, Omit: []string{"expires_in"}, Fields: fields("instance_url", `"https://a.test"`, "id", `"https://login/id/1"`)})
	tokens := q.granted()
	if tokens.Lifetime > 3*time.Hour || tokens.Lifetime <= 2*time.Hour || tokens.Subject == "" || tokens.Extra["instance_url"] == "" {
		t.Errorf("lifetime %v, extra %v", tokens.Lifetime, tokens.Extra)
	}
	if _, err := q.refresh(tokens.Refresh); err != nil {
		t.Error(err)
	}
	for _, r := range q.requests() {
		if slices.Contains(r.Fields, "scope") {
			t.Errorf("a scope was sent: %q", r.Fields)
		}
	}
}

// What belongs to the grant changes with the token, in one write.
func keptFields(t *testing.T) {
	w := newWorld(t)
	x := w.exchanger()
	s := w.consenting(sandbox.CodeFlow{RefreshTokens: strict()}, func(d *provider.Descriptor) { d.Answer.Keep = []string{"instance_url", "gone"} })
	at := func(host string) sandbox.Step {
		return sandbox.Step{Times: 1, Fields: fields("instance_url", `"`+host+`"`)}
	}
	w.script(s, at("one"), at("two"), sandbox.Step{Times: 1, Status: 500}, sandbox.Step{})
	w.consent(s.ID)
	w.run(x, w.job(s.ID))
	for _, want := range []string{"one", "two", "two", "two"} {
		g := w.grant(s.ID)
		if diff := cmp.Diff(map[string]string{"instance_url": want}, g.Consent.Extra); diff != "" {
			t.Errorf("kept (-want +got):\n%s", diff)
		}
		if g.Outcome.Failure == nil && g.Consent.Generation != g.Outcome.Decision {
			t.Errorf("of %d, with the token of %d", g.Consent.Generation, g.Outcome.Decision)
		}
		w.runDue(x, s.ID)
	}
}

// What names the region of an account is kept with its grant.
func regionIsKept(t *testing.T) {
	w := newWorld(t)
	x := w.exchanger()
	s := w.consenting(sandbox.CodeFlow{}, func(d *provider.Descriptor) { d.Answer.Keep = []string{"api_domain"} })
	w.script(s, sandbox.Step{Fields: fields("api_domain", `"api.eu.acme.test"`)})
	w.consent(s.ID)
	w.run(x, w.job(s.ID))
	w.script(s, sandbox.Step{})
	w.runDue(x, s.ID)
	if got := w.grant(s.ID).Consent.Extra["api_domain"]; got != "api.eu.acme.test" {
		t.Errorf("the region is %q", got)
	}
}

// A code of another region is not sent where nobody knows it, and it is said what
// is wrong: the registration, not the consent.
func regionInRedirect(t *testing.T) {
	for server, requests := range map[string]int{"https://accounts.eu.acme.test": 0, "accounts.eu.acme.test": 0, "": 1, "HERE": 1} {
		w := newWorld(t)
		s := w.consenting(sandbox.CodeFlow{}, func(d *provider.Descriptor) {
			d.Issuer = provider.Issuer{From: provider.PlaceCallback, Field: "accounts-server"}
		})
		w.consent(s.ID)
		w.edit(s.ID, func(d *secret.Draft) {
			d.Consent = d.Consent.Clone()
			d.Consent.Callback = map[string]string{"accounts-server": strings.Replace(server, "HERE", w.provider.url, 1)}
		})
		w.run(w.exchanger(), w.job(s.ID))
		w.wantRequests(s.ID, requests)
		f := w.secret(s.ID).Authorization.Failure
		if (f == nil) != (requests > 0) || f != nil && (f.Reason != string(events.ReasonAppRefused) || !strings.Contains(f.Detail, "another region")) {
			t.Errorf("%q: %s", server, show(f))
		}
	}
}

// An answer that names another region is a fault of the settings. The refresh token
// that came with it is kept: the one that was sent may be spent.
func regionInAnswer(t *testing.T) {
	w := newWorld(t)
	x := w.exchanger()
	s := w.consented(x, sandbox.CodeFlow{RefreshTokens: strict()}, declared(strict()), func(d *provider.Descriptor) {
		d.Issuer = provider.Issuer{From: provider.PlaceAnswer, Field: "region.server"}
	})
	here := strings.TrimPrefix(w.provider.url, "http://")
	w.script(s, sandbox.Step{Times: 1, Fields: fields("region", `{"server":"eu.acme.test"}`)}, sandbox.Step{Fields: fields("region", `{"server":"`+here+`"}`)})
	w.runDue(x, s.ID)
	got := w.secret(s.ID)
	if f := got.RefreshStatusDetails; f == nil || f.Reason != string(events.ReasonAppRefused) || !strings.Contains(f.Detail, "another region") || got.Authorization.Required {
		t.Errorf("record: %s", show(got))
	}
	w.refreshes(x, s.ID, 2)
}

// timingQuirks are about when to refresh, and when not to.
func timingQuirks() []quirk {
	early := func(within time.Duration) sandbox.CodeFlow {
		return sandbox.CodeFlow{Lifetime: sandbox.Duration(10 * time.Minute), RefreshTokens: sandbox.RefreshTokens{Early: sandbox.Duration(within)}}
	}
	return []quirk{
		{"44_early_refresh_refused", func(t *testing.T) {
			paced(t, 570*time.Second, early(30*time.Second), func(d *provider.Descriptor) { d.Refresh.MaxOffset = 30 * time.Second })
		}},
		{"45_offset_as_long_as_the_life", func(t *testing.T) {
			paced(t, 30*time.Minute, sandbox.CodeFlow{Lifetime: sandbox.Duration(time.Hour)}, func(d *provider.Descriptor) { d.Refresh.Offset = time.Hour })
			w := newWorld(t)
			s := w.create(secret.OAuth2, func(s *secret.Secret) { s.Credentials.RefreshOffset = new(int64(tokenLifetime / time.Second)) })
			w.run(w.exchanger(), w.job(s.ID))
			if got := w.secret(s.ID); got.StatusDetails.Reason != string(events.ReasonWindow) || got.Plan().Action != secret.Rest {
				t.Errorf("record: %s", show(got))
			}
			w.wantRequests(s.ID, 1)
		}},
		{"46_life_of_a_minute", func(t *testing.T) {
			for _, life := range []time.Duration{time.Minute, 5 * time.Minute} {
				paced(t, life/2, sandbox.CodeFlow{Lifetime: sandbox.Duration(life)}).warned(events.WarningShortLife)
			}
			paced(t, 45*time.Second, sandbox.CodeFlow{Lifetime: sandbox.Duration(time.Minute)}, func(d *provider.Descriptor) { d.Refresh.MinGap = 45 * time.Second }).
				warned(events.WarningShortLife)
			paced(t, 6*time.Minute, sandbox.CodeFlow{Lifetime: sandbox.Duration(6 * time.Minute)}, func(d *provider.Descriptor) { d.Refresh.MinGap = 7 * time.Minute }).
				warned(events.WarningShortLife)
			paced(t, 3*time.Minute, sandbox.CodeFlow{Lifetime: sandbox.Duration(6 * time.Minute)}).warned()
		}},
		{"47_retry_after", retryIsWaitedFor},
		{"48_throttled_without_a_time", throttledWithoutTime},
	}
}

// paced fails the test unless refreshes come every gap, each with one request.
func paced(t *testing.T, gap time.Duration, flow sandbox.CodeFlow, edits ...func(*provider.Descriptor)) *pacing {
	t.Helper()
	w := newWorld(t)
	x := w.exchanger()
	s := w.consented(x, flow, edits...)
	for range 5 {
		before := w.now()
		w.runDue(x, s.ID)
		if got := w.secret(s.ID); w.now().Sub(before) != gap || got.RefreshStatus != secret.Succeeded {
			t.Fatalf("after %v, want %v: %s", w.now().Sub(before), gap, show(got))
		}
	}
	w.wantRequests(s.ID, 6)
	return &pacing{w, s.ID}
}

// pacing is a secret that was refreshed for a while.
type pacing struct {
	w  *world
	id string
}

func (p *pacing) warned(want ...events.WarningCode) { p.w.warns(p.id, want...) }

// Both forms are read, and nothing is sent before.
func retryIsWaitedFor(t *testing.T) {
	for _, step := range []sandbox.Step{
		{Status: 429, Headers: map[string]string{"Retry-After": "120"}},
		{Status: 503, Headers: map[string]string{"Retry-After": "120"}},
		{Status: 429, Headers: map[string]string{"Date": "Sun, 06 Jul 2031 10:00:00 GMT", "Retry-After": "Sun, 06 Jul 2031 10:02:00 GMT"}},
	} {
		for _, by := range []func() error{
			func() error { _, err := refreshedBy(t, step); return err },
			func() error { _, err := exchangedBy(t, step); return err },
		} {
			if failure := wantAnyReason(t, by()); failure.RetryAfter != 2*time.Minute {
				t.Errorf("again after %v: %v", failure.RetryAfter, failure)
			}
		}
		w := newWorld(t)
		x := w.exchanger()
		s := w.consented(x, sandbox.CodeFlow{})
		step.Times = 1
		w.script(s, step, sandbox.Step{})
		w.runDue(x, s.ID)
		if got := w.secret(s.ID); got.RefreshStatus != secret.Pending || got.NextAttemptAt.Before(w.now().Add(2*time.Minute)) {
			t.Errorf("record: %s", show(got))
		}
		w.refreshes(x, s.ID, 1)
	}
}

func throttledWithoutTime(t *testing.T) {
	w := newWorld(t)
	x := w.exchanger()
	s := w.consented(x, sandbox.CodeFlow{})
	w.script(s, sandbox.Step{Times: 3, Status: 429}, sandbox.Step{})
	for range 3 {
		w.runDue(x, s.ID)
		got := w.secret(s.ID)
		if got.RefreshStatusDetails.Reason != string(events.ReasonThrottled) || got.NextAttemptAt.Before(w.now().Add(time.Minute)) {
			t.Fatalf("record: %s", show(got))
		}
	}
	w.refreshes(x, s.ID, 1)
}

// consentQuirks are about what a person is asked for.
func consentQuirks() []quirk {
	return []quirk{
		{"59_offline_access_not_asked", func(t *testing.T) {
			w := newWorld(t)
			s := w.consenting(sandbox.CodeFlow{RefreshTokens: sandbox.RefreshTokens{Issue: sandbox.IssueOffline}})
			w.consent(s.ID)
			w.run(w.exchanger(), w.job(s.ID))
			f := w.secret(s.ID).Authorization.Failure
			if f == nil || f.Reason != string(events.ReasonNoRefreshToken) || !strings.Contains(f.Detail, "gave no refresh token") {
				t.Errorf("failure: %s", show(f))
			}
		}},
		{"67_another_account", func(t *testing.T) {
			w := newWorld(t)
			x := w.exchanger()
			s := w.heldBack(x)
			w.runDue(x, s.ID)
			if who := w.whose(s.ID); who != alice {
				t.Errorf("it is %s's", who)
			}
			w.update(s.ID, func(s *secret.Secret) { s.AcceptHeld(w.now()) })
			if err := x.Handle(context.Background(), w.job(s.ID)); err != nil {
				t.Fatal(err)
			}
			if who := w.whose(s.ID); who != bob {
				t.Errorf("it is %s's", who)
			}
		}},
	}
}
