package exchanger

import (
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/provider"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/services/sandbox"
)

// requestQuirks are about what is sent, and where to.
func requestQuirks() []quirk {
	return []quirk{
		{"15_basic_required", func(t *testing.T) {
			// Each byte of these needs the encoding of RFC 6749 section 2.3.1.
			styled(t, sandbox.Client{ID: "id:1 é", Secret: "s:+% &é", AuthStyle: sandbox.AuthBasic}, provider.AuthHeader)
		}},
		{"16_body_required", func(t *testing.T) {
			styled(t, sandbox.Client{ID: "id:1 é", Secret: "s:+% &é", AuthStyle: sandbox.AuthPost}, provider.AuthParams)
		}},
		{"17_style_is_not_probed", styleIsNotProbed},
		{"18_style_is_not_learned", func(t *testing.T) {
			// The sandbox takes either style, as some do of a refresh only.
			styled(t, sandbox.Client{}, provider.AuthHeader)
			styled(t, sandbox.Client{}, provider.AuthParams)
		}},
		{"19_private_key_jwt_and_mtls", func(t *testing.T) {
			assertedClient(t)
			certifiedClient(t)
		}},
		{"53_scope_separators", scopeSeparators},
		{"54_fewer_scopes_granted", fewerScopes},
		{"55_json_and_query_requests", requestFormats},
		{"56_refresh_url", refreshURL},
		{"57_templated_token_url", templatedURL},
		{"60_other_grant_type", otherGrantType},
		{"61_renamed_parameters", renamedParameters},
		{"62_redirected_token_request", redirected},
		{"63_giant_or_slow_answer", giantOrSlow},
		{"64_token_that_no_header_may_hold", unspeakableTokens},
		{"65_error_that_echoes_tokens", echoedTokens},
	}
}

// styled fails the test unless code and refresh token both are exchanged in the
// style of the descriptor, and with one request each.
func styled(t *testing.T, client sandbox.Client, style provider.AuthStyle) {
	t.Helper()
	q := newWire(t, client, func(d *provider.Descriptor) { d.AuthStyle = style })
	token := q.granted().Refresh
	if _, err := q.refresh(token); err != nil {
		t.Error(err)
	}
	want := sandbox.AuthPost
	if style == provider.AuthHeader {
		want = sandbox.AuthBasic
	}
	for _, r := range q.requests() {
		inBody := slices.Contains(r.Fields, "client_secret")
		if r.Auth != want || inBody != (want == sandbox.AuthPost) {
			t.Errorf("sent by %s, with %q", r.Auth, r.Fields)
		}
	}
	q.counts(2)
}

// A refusal does not lead to a try in another style, which could cost the code.
func styleIsNotProbed(t *testing.T) {
	q := newWire(t, sandbox.Client{AuthStyle: sandbox.AuthBasic})
	_, err := q.code()
	wantRefused(t, err, events.ReasonAppRefused, "invalid_client")
	q.counts(1)
	grants, err := q.Grants(q.client.ID)
	if err != nil || grants[0].CodePresented != 0 {
		t.Errorf("the code was used up: %+v, %v", grants, err)
	}
}

// Separators are the provider's when asking; an answer may have others, and the
// order says nothing.
func scopeSeparators(t *testing.T) {
	for separator, asked := range map[provider.Separator]string{
		"": "b a", provider.SeparatorSpace: "b a", provider.SeparatorComma: "b,a", provider.SeparatorPlus: "b+a",
	} {
		d := newApp(t, "http://127.0.0.1", func(d *provider.Descriptor) { d.Scopes.Separator = separator }).Provider
		to, err := d.AuthorizationURL(provider.Dialog{ClientID: "c", RedirectURI: testRedirect, Scopes: []string{"b", "a"}, State: "s"})
		if err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(to)
		if got := u.Query().Get("scope"); err != nil || got != asked {
			t.Errorf("%s: asked for %q, want %q", separator, got, asked)
		}
		answers := []string{`"a b"`, `"a,b"`, `["a","b"]`}
		if separator == provider.SeparatorPlus {
			answers = append(answers, `"a+b"`)
		}
		for _, answer := range answers {
			tokens, err := refreshedBy(t, sandbox.Step{Fields: fields("scope", answer)}, func(d *provider.Descriptor) { d.Scopes.Separator = separator })
			if diff := cmp.Diff([]string{"a", "b"}, tokens.Scopes); err != nil || diff != "" {
				t.Errorf("%s: %s: %v %s", separator, answer, err, diff)
			}
		}
	}
}

// What is stored is what was granted, and what is missing is said: of what the
// secret asks for, not of what the provider always wants.
func fewerScopes(t *testing.T) {
	w := newWorld(t)
	x := w.exchanger()
	s := w.consented(x, sandbox.CodeFlow{Consents: []sandbox.Consent{{Scopes: []string{"openid"}}, {Scopes: []string{"openid", plantedScope}}}})
	w.checkScopes(s.ID, []string{"openid"})
	w.warns(s.ID, events.WarningFewerScopes)
	w.runDue(x, s.ID)
	w.checkScopes(s.ID, []string{"openid"})
	w.warns(s.ID, events.WarningFewerScopes)
	if detail := w.secret(s.ID).Warnings[0].Detail; !strings.HasSuffix(detail, "without "+plantedScope) {
		t.Errorf("it is said: %s", detail)
	}
	w.consent(s.ID)
	w.run(x, w.job(s.ID))
	w.checkScopes(s.ID, []string{"openid", plantedScope})
	w.warns(s.ID)

	var many got
	asked := strings.Fields("a b c d e f g h i j k")
	many.warnOfScopes(asked, nil)
	if detail := many.warnings[0].Detail; !strings.HasSuffix(detail, "a, b, c, d, e, f, g, h and 3 more") {
		t.Errorf("of many it is said: %s", detail)
	}
	many.warnOfScopes(asked, append([]string{"z"}, asked...))
	if len(many.warnings) != 1 {
		t.Errorf("more than was asked for: %q", many.warnings)
	}
}

func requestFormats(t *testing.T) {
	for format, theirs := range map[provider.Format]sandbox.RequestFormat{
		provider.FormatForm: sandbox.FormatForm, provider.FormatJSON: sandbox.FormatJSON, provider.FormatQuery: sandbox.FormatQuery,
	} {
		q := newWire(t, sandbox.Client{Secret: `"\&=+ é`, Requests: &sandbox.Requests{Format: theirs}}, func(d *provider.Descriptor) {
			d.RequestFormat, d.PKCE = format, ""
		})
		if _, err := q.refresh(q.granted().Refresh); err != nil {
			t.Errorf("%s: %v", format, err)
		}
		q.counts(2)
	}
}

func refreshURL(t *testing.T) {
	q := newWire(t, sandbox.Client{}, func(d *provider.Descriptor) { d.RefreshURL = d.TokenURL + "?renew=1" })
	if _, err := q.refresh(q.granted().Refresh); err != nil {
		t.Fatal(err)
	}
	all := q.requests()
	if all[0].Query != nil || !slices.Equal(all[1].Query, []string{"renew"}) {
		t.Errorf("requests: %+v", all)
	}
}

// What stands in the host of a template is labels, before a domain that no value
// can change; and where it leads, private addresses are refused.
func templatedURL(t *testing.T) {
	d := shipped(t, "shopify")
	at, err := d.At(map[string]string{"shop": "acme"})
	if err != nil || at.TokenURL != "https://acme.myshopify.com/admin/oauth/access_token" {
		t.Errorf("%s: %v", at.TokenURL, err)
	}
	for _, evil := range []string{"", "evil.test/", "evil.test#", "a@evil.test", "evil.test:443", "evil.test?x=", "..", "a b", "127.0.0.1/x"} {
		if at, err := d.At(map[string]string{"shop": evil}); err == nil {
			t.Errorf("%q leads to %s", evil, at.TokenURL)
		}
	}
	c := newClientFor(t, EgressConfig{})
	for _, private := range []string{"https://127.0.0.1", "https://10.0.0.1", "https://169.254.169.254", "https://[::1]", "https://[fd00::1]"} {
		_, err := c.refresh(t, newApp(t, private))
		wantRefused(t, err, events.ReasonAddressRefused)
	}
}

func otherGrantType(t *testing.T) {
	w := newWorld(t)
	s := w.create(secret.OAuth2, func(s *secret.Secret) {
		s.Credentials.Options = map[string]string{"grant_type": "account_credentials", "account_id": "A1"}
	})
	if err := w.provider.Put(sandbox.Client{ID: s.ID, Requests: &sandbox.Requests{Grants: []string{"account_credentials"}}}); err != nil {
		t.Fatal(err)
	}
	w.run(w.exchanger(), w.job(s.ID))
	if got := w.secret(s.ID); got.Status != secret.Succeeded {
		t.Errorf("record: %s", show(got))
	}
	all := w.provider.AllRequests()
	if len(all) != 1 || all[0].Grant != "account_credentials" || !slices.Contains(all[0].Fields, "account_id") {
		t.Errorf("requests: %+v", all)
	}
}

func renamedParameters(t *testing.T) {
	names := map[string]string{"client_id": "client_key", "client_secret": "app_secret", "code": "auth_code", "refresh_token": "renewal", "grant_type": ""}
	q := newWire(t, sandbox.Client{Requests: &sandbox.Requests{Names: names}}, func(d *provider.Descriptor) { d.Rename.Token = names })
	if _, err := q.refresh(q.granted().Refresh); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"app_secret", "client_key", "renewal"}, q.requests()[1].Fields); diff != "" {
		t.Errorf("fields (-want +got):\n%s", diff)
	}
	q.counts(2)
}

// Secrets do not go where a redirect leads, be it to the same server.
func redirected(t *testing.T) {
	for _, status := range []int{301, 302, 303, 307, 308} {
		_, err := refreshedBy(t, sandbox.Step{Times: 1, Fault: sandbox.FaultRedirect, Status: status})
		wantRefused(t, err, events.ReasonRedirected)
	}
}

// An answer is bounded in bytes and in time, whatever comes.
func giantOrSlow(t *testing.T) {
	for _, size := range []int{maxAnswerBytes, 8 << 20} {
		_, err := refreshedBy(t, sandbox.Step{Fault: sandbox.FaultHugeBody, Size: size})
		wantRefused(t, err, events.ReasonTooLarge)
	}
	q := newWire(t, sandbox.Client{})
	token := q.granted().Refresh
	q.script(sandbox.Step{Fault: sandbox.FaultSlowDrip})
	hasty := newClientFor(t, EgressConfig{Allow: loopback, Timeout: 200 * time.Millisecond})
	_, err := hasty.Refresh(t.Context(), q.app, token, nil)
	wantRefused(t, err, events.ReasonTimeout)
	q.counts(2)
}

func unspeakableTokens(t *testing.T) {
	for _, bad := range []string{`"a\r\nX-Evil: 1"`, `"a\nb"`, `"\u0000"`, `"é"`, `"\u007f"`} {
		for _, member := range []string{"access_token", "refresh_token"} {
			_, err := refreshedBy(t, sandbox.Step{Fields: fields(member, bad)})
			wantRefused(t, err, events.ReasonMalformed)
		}
		_, err := exchangedBy(t, sandbox.Step{Fields: fields("access_token", bad)})
		wantRefused(t, err, events.ReasonMalformed)
	}
}

// Whatever a provider says with a token in it, no sink tells.
func echoedTokens(t *testing.T) {
	w := newWorld(t)
	x := w.exchanger()
	s := w.consented(x, sandbox.CodeFlow{})
	echo := `{"error":"{{refresh_token}}","error_description":"{{access_token}} ` + plantedSecret + `","error_uri":"{{access_token}}"}`
	for _, status := range []int{400, 401, 403, 500} {
		w.script(s, sandbox.Step{Times: 1, Status: status, Body: &echo}, sandbox.Step{})
		w.runDue(x, s.ID)
		w.runDue(x, s.ID)
	}
	for sink, text := range map[string]string{
		"state": w.store.written.String(), "log": w.logs.String(), "metrics": scrape(t, w.metrics),
		"spans": w.shownSpans(), "events": w.shownEvents(), "record": show(w.secret(s.ID)),
	} {
		for _, planted := range []string{plantedSecret, plantedPrefix} {
			for form, sought := range forms(planted) {
				if strings.Contains(text, sought) {
					t.Errorf("%s is in the %s, %s", planted, sink, form)
				}
			}
		}
	}
}

// asLoopback is a client that finds the host of a provider on this machine.
func asLoopback(t testing.TB, host string) *Client {
	t.Helper()
	return newClientFor(t, EgressConfig{
		Allow: loopback, resolver: newResolver(t, map[string]netip.Addr{host + ".": netip.MustParseAddr("127.0.0.1")}),
	})
}
