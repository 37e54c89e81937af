package exchanger

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/provider"
	"github.com/rekindle-dev/rekindle/pkg/seal"
)

const (
	canaryCode     = "canary-code-8e31"
	canaryVerifier = "canary-verifier-40aa"
	canaryRefresh  = "canary-refresh-token-6d5b"
	testRedirect   = "https://rekindle.test/oauth2/callback"
)

// grantAnswer is what RFC 6749 section 5.1 has.
const grantAnswer = `{"access_token":"` + canaryToken + `","refresh_token":"` + canaryRefresh + `","expires_in":3600,"token_type":"Bearer"}`

// newApp is a valid descriptor by the RFC at an endpoint, with edits.
func newApp(t testing.TB, url string, edits ...func(*provider.Descriptor)) App {
	t.Helper()
	d := provider.Descriptor{
		Name: "acme", Label: "Acme", AuthorizeURL: url + "/authorize", TokenURL: url + "/token",
		AuthStyle: provider.AuthParams, PKCE: provider.S256,
	}
	for _, edit := range edits {
		edit(&d)
	}
	if err := d.Validate(); err != nil {
		t.Fatal(err)
	}
	return App{Provider: d, ClientID: "c 1", Secret: seal.NewPlaintext(canarySecret)}
}

func (c *Client) code(t testing.TB, app App) (Tokens, error) {
	tokens, err := c.Code(t.Context(), app, seal.NewPlaintext(canaryCode), seal.NewPlaintext(canaryVerifier), testRedirect)
	return c.completed(t.Context(), app, tokens, err, true)
}

func (c *Client) refresh(t testing.TB, app App) (Tokens, error) {
	tokens, err := c.Refresh(t.Context(), app, seal.NewPlaintext(canaryRefresh), nil)
	return c.completed(t.Context(), app, tokens, err, false)
}

// completed asks what the answer to a refresh, or a code, does not tell.
func (c *Client) completed(ctx context.Context, app App, tokens Tokens, err error, code bool) (Tokens, error) {
	if err == nil {
		tokens, err = c.Complete(ctx, app, tokens)
	}
	if err == nil && code {
		tokens = c.Identify(ctx, app, tokens)
	}
	return tokens, err
}

// arrival is a request as it arrives.
type arrival struct{ Line, Type, Authorization, Body string }

// recorder keeps what arrives, and answers.
type recorder struct {
	mu       sync.Mutex
	arrivals []arrival
	header   http.Header // of the last
}

func (c *recorder) answering(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		got, _ := io.ReadAll(r.Body)
		c.mu.Lock()
		c.arrivals = append(c.arrivals, arrival{r.Method + " " + r.RequestURI, r.Header.Get("Content-Type"), r.Header.Get("Authorization"), string(got)})
		c.header = r.Header
		c.mu.Unlock()
		_, _ = io.WriteString(w, body)
	}
}

// What is sent for a descriptor.
func TestGrantRequests(t *testing.T) {
	t.Parallel()
	const (
		form   = "application/x-www-form-urlencoded"
		client = "&client_id=c+1&client_secret=" + canarySecret
		code   = "&code=" + canaryCode + "&redirect_uri=https%3A%2F%2Frekindle.test%2Foauth2%2Fcallback"
	)
	tests := []struct {
		name          string
		edit          func(*provider.Descriptor)
		code, refresh arrival
	}{
		{
			"by the RFC", func(*provider.Descriptor) {},
			arrival{"POST /token", form, "", "grant_type=authorization_code" + client + code + "&code_verifier=" + canaryVerifier},
			arrival{"POST /token", form, "", "grant_type=refresh_token" + client + "&refresh_token=" + canaryRefresh},
		},
		{
			"in the header, without PKCE", func(d *provider.Descriptor) { d.AuthStyle, d.PKCE = provider.AuthHeader, "" },
			arrival{"POST /token", form, "Basic YysxOmNhbmFyeS1jbGllbnQtc2VjcmV0LTdmM2E=", "grant_type=authorization_code" + code},
			arrival{"POST /token", form, "Basic YysxOmNhbmFyeS1jbGllbnQtc2VjcmV0LTdmM2E=", "grant_type=refresh_token&refresh_token=" + canaryRefresh},
		},
		{
			"endpoint and parameters of its own", func(d *provider.Descriptor) {
				d.PKCE = ""
				d.RefreshURL = strings.TrimSuffix(d.TokenURL, "/token") + "/refresh?v=2"
				d.TokenParams = map[string]string{"expiring": "1", "audience": "a b"}
				d.RefreshParams = map[string]string{"grant_type": "renew", "z": ""}
			},
			arrival{"POST /token", form, "", "grant_type=authorization_code" + client + code + "&audience=a+b&expiring=1"},
			arrival{"POST /refresh?v=2", form, "", "grant_type=renew" + client + "&refresh_token=" + canaryRefresh + "&z="},
		},
		{
			"other names", func(d *provider.Descriptor) {
				d.PKCE = ""
				d.Rename.Token = map[string]string{"client_id": "client_key", "grant_type": "", "redirect_uri": "", "code": "auth_code", "refresh_token": "renewal"}
			},
			arrival{"POST /token", form, "", "client_key=c+1&client_secret=" + canarySecret + "&auth_code=" + canaryCode},
			arrival{"POST /token", form, "", "client_key=c+1&client_secret=" + canarySecret + "&renewal=" + canaryRefresh},
		},
		{
			"in the query", func(d *provider.Descriptor) {
				d.PKCE, d.RequestFormat = "", provider.FormatQuery
				d.RefreshURL = d.TokenURL + "?v=2"
			},
			arrival{"POST /token?grant_type=authorization_code" + client + code, "", "", ""},
			arrival{"POST /token?v=2&grant_type=refresh_token" + client + "&refresh_token=" + canaryRefresh, "", "", ""},
		},
		{
			"as JSON", func(d *provider.Descriptor) { d.RequestFormat = provider.FormatJSON },
			arrival{
				"POST /token", "application/json", "",
				`{"grant_type":"authorization_code","client_id":"c 1","client_secret":"` + canarySecret + `","code":"` + canaryCode +
					`","redirect_uri":"` + testRedirect + `","code_verifier":"` + canaryVerifier + `"}`,
			},
			arrival{
				"POST /token", "application/json", "",
				`{"grant_type":"refresh_token","client_id":"c 1","client_secret":"` + canarySecret + `","refresh_token":"` + canaryRefresh + `"}`,
			},
		},
	}
	c := newClientFor(t, EgressConfig{Allow: loopback})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var rec recorder
			e := newEndpoint(t, rec.answering(grantAnswer))
			e.Start()
			app := newApp(t, e.URL, tt.edit)
			if _, err := c.code(t, app); err != nil {
				t.Fatal(err)
			}
			if _, err := c.refresh(t, app); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]arrival{tt.code, tt.refresh}, rec.arrivals); diff != "" {
				t.Errorf("requests (-want +got):\n%s", diff)
			}
			if got := rec.header.Get("Accept"); got != "application/json" {
				t.Errorf("Accept is %q", got)
			}
			if app.Secret.IsZero() {
				t.Error("the caller's client secret was wiped")
			}
		})
	}
}

func TestUnsupportedAuthStyle(t *testing.T) {
	t.Parallel()
	e := newEndpoint(t, succeed)
	e.Start()
	c := newClientFor(t, EgressConfig{Allow: loopback})
	app := newApp(t, e.URL)
	app.Provider.AuthStyle = "of tomorrow"
	_, err := c.refresh(t, app)
	if got := wantReason(t, err, events.ReasonUnsupported); !strings.Contains(got.Detail, "of tomorrow") {
		t.Errorf("%s", got.Detail)
	}
	e.wants(t, 0)
}

// Whatever is shipped can be spoken to.
func TestShippedProvidersAreSupported(t *testing.T) {
	t.Parallel()
	all := provider.Defaults()
	for _, name := range all.Names() {
		d, _ := all.Get(name)
		if _, err := (App{Provider: d}).sign(TokenRequest{}, time.Now()); err != nil {
			t.Error(err)
		}
	}
}

func TestPlainHTTPIsForAllowedAddresses(t *testing.T) {
	t.Parallel()
	e := newEndpoint(t, succeed)
	e.Start()
	app := newApp(t, e.URL)
	c := newClientFor(t, EgressConfig{})
	_, err := c.refresh(t, app)
	wantReason(t, err, events.ReasonAddressRefused)
	app.Provider.Subject = provider.Subject{From: provider.PlaceUserinfo, Field: "id", URL: e.URL}
	if got := c.account(t.Context(), app.Provider.Subject, seal.NewPlaintext(canaryToken)); got != "" {
		t.Errorf("account %q", got)
	}
	e.wants(t, 0)
}

// However a request is written, no outgrown copy of it stays behind.
func TestNoFormatGrows(t *testing.T) {
	t.Parallel()
	for _, format := range []provider.Format{"", provider.FormatForm, provider.FormatJSON, provider.FormatQuery} {
		r := TokenRequest{
			Grant: "\x01", Format: format, ClientID: "ü\x02", ClientSecret: seal.NewPlaintext("\x00\x1f\"\\%&="),
			Fields: []Field{{"\x03", seal.NewPlaintext("\x04")}}, Options: map[string]string{"\x05": "\x06"},
		}
		if form := r.form(); cap(form) != cap(make([]byte, 0, r.room(r.parameters()))) {
			t.Errorf("%q: %d bytes in %d: it was copied as it grew", format, len(form), cap(form))
		}
	}
}

func FuzzAppendQuoted(f *testing.F) {
	f.Add("plain")
	f.Add("\x00\x1f\x7f \"\\/<>&\u2028é")
	f.Fuzz(func(t *testing.T, text string) {
		text = strings.ToValidUTF8(text, "")
		var back string
		if err := json.Unmarshal(appendQuoted(nil, text), &back); err != nil || back != text {
			t.Errorf("%q came back as %q: %v", text, back, err)
		}
	})
}
