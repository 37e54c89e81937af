package exchanger

import (
	"cmp"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/provider"
	"github.com/rekindle-dev/rekindle/pkg/seal"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/services/sandbox"
)

// quirk is one row of docs/quirks.md: something that a provider does, and what
// an exchanger makes of it.
type quirk struct {
	name string // begins with the number of the row
	test func(*testing.T)
}

func quirks() []quirk {
	return slices.Concat(
		lifetimeQuirks(), answerQuirks(), requestQuirks(), rotationQuirks(), lossQuirks(),
		refusalQuirks(), providerQuirks(), timingQuirks(), consentQuirks(),
	)
}

const lastQuirk = 70

// Every row has a test by its name.
func TestQuirks(t *testing.T) {
	t.Parallel()
	for _, q := range quirks() {
		t.Run(q.name, func(t *testing.T) {
			t.Parallel()
			q.test(t)
		})
	}
}

// number is the row that a test is of.
func (q quirk) number(t *testing.T) int {
	t.Helper()
	digits, _, _ := strings.Cut(q.name, "_")
	n, err := strconv.Atoi(digits)
	if err != nil {
		t.Fatalf("%s does not begin with a number", q.name)
	}
	return n
}

func TestNoQuirkIsMissing(t *testing.T) {
	t.Parallel()
	rows := map[int]int{}
	for _, q := range quirks() {
		rows[q.number(t)]++
	}
	for n := 1; n <= lastQuirk; n++ {
		if rows[n] != 1 {
			t.Errorf("row %d has %d tests, want 1", n, rows[n])
		}
		delete(rows, n)
	}
	if len(rows) > 0 {
		t.Errorf("tests of rows that are not there: %v", rows)
	}
}

// docs/quirks.md names the test of each row.
func TestQuirksAreDocumented(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/quirks.md")
	if err != nil {
		t.Fatal(err)
	}
	var documented []quirk
	for _, row := range regexp.MustCompile("(?m)^\\| (\\d+) \\|.*\\| `([0-9a-z_]+)` \\|$").FindAllStringSubmatch(string(page), -1) {
		if number, _, _ := strings.Cut(row[2], "_"); number != row[1] {
			t.Errorf("row %s names the test %s", row[1], row[2])
		}
		documented = append(documented, quirk{name: row[2]})
	}
	names := func(list []quirk) (sorted []string) {
		slices.SortFunc(list, func(a, b quirk) int { return cmp.Compare(a.number(t), b.number(t)) })
		for _, q := range list {
			sorted = append(sorted, q.name)
		}
		return sorted
	}
	if diff := gocmp.Diff(names(quirks()), names(documented)); diff != "" {
		t.Errorf("docs/quirks.md (-tests +documented):\n%s", diff)
	}
}

// wire is a client and one app at a sandbox, without anything that is stored.
type wire struct {
	*tokenServer
	t      testing.TB
	app    App
	client sandbox.Client
}

const wireClient = "wire-client"

// newWire registers an app at a new sandbox. What client leaves out is as a
// well-behaved provider has it.
func newWire(t testing.TB, client sandbox.Client, edits ...func(*provider.Descriptor)) *wire {
	t.Helper()
	p := newProvider(t, time.Now)
	client.ID = cmp.Or(client.ID, wireClient)
	client.Secret = cmp.Or(client.Secret, plantedSecret)
	if client.CodeFlow == nil {
		client.CodeFlow = new(sandbox.CodeFlow)
	}
	client.CodeFlow.RedirectURIs = []string{testRedirect}
	q := &wire{tokenServer: p, t: t, client: client}
	q.describe(edits...)
	q.script(client.Script...)
	return q
}

// describe has the client take the provider for what the edits make of it.
func (q *wire) describe(edits ...func(*provider.Descriptor)) {
	q.t.Helper()
	q.app = newApp(q.t, q.url, edits...)
	q.app.ClientID, q.app.Secret = q.client.ID, seal.NewPlaintext(string(q.client.Secret))
}

// script makes the sandbox answer the requests that follow so.
func (q *wire) script(steps ...sandbox.Step) {
	q.t.Helper()
	q.client.Script = steps
	if err := q.Put(q.client); err != nil {
		q.t.Fatal(err)
	}
}

// code has a person consent, and exchanges the code that comes back.
func (q *wire) code() (Tokens, error) {
	q.t.Helper()
	d := q.app.Provider
	d.PKCE = ""
	back := q.browse(provider.Dialog{ClientID: q.app.ClientID, RedirectURI: testRedirect, Scopes: []string{plantedScope}, State: "s"})
	app := q.app
	app.Provider = d
	tokens, err := q.tokenServer.client.Code(q.t.Context(), app, seal.NewPlaintext(back.Get("code")), seal.Plaintext{}, testRedirect)
	return q.tokenServer.client.completed(q.t.Context(), app, tokens, err, true)
}

// browse goes where a dialog leads, and returns what the redirect brings.
func (q *wire) browse(dialog provider.Dialog) url.Values {
	q.t.Helper()
	d := q.app.Provider
	d.PKCE = ""
	to, err := d.AuthorizationURL(dialog)
	if err != nil {
		q.t.Fatal(err)
	}
	rec := httptest.NewRecorder()
	q.Handler().ServeHTTP(rec, httptest.NewRequest(http.MethodGet, to, nil))
	back, err := url.Parse(rec.Header().Get("Location"))
	if err != nil || back.Query().Get("code") == "" {
		q.t.Fatalf("%d: no code came back: %v", rec.Code, err)
	}
	return back.Query()
}

func (q *wire) refresh(token seal.Plaintext) (Tokens, error) {
	tokens, err := q.tokenServer.client.Refresh(q.t.Context(), q.app, token, nil)
	return q.tokenServer.client.completed(q.t.Context(), q.app, tokens, err, false)
}

// granted is code for when it has to go well.
func (q *wire) granted() Tokens {
	q.t.Helper()
	tokens, err := q.code()
	if err != nil {
		q.t.Fatal(err)
	}
	return tokens
}

// requests are those the sandbox has had.
func (q *wire) requests() []sandbox.Request {
	q.t.Helper()
	list, err := q.Requests(q.client.ID)
	if err != nil {
		q.t.Fatal(err)
	}
	return list
}

// counts fails the test unless the sandbox has had n requests.
func (q *wire) counts(n int) {
	q.t.Helper()
	if got := len(q.AllRequests()); got != n {
		q.t.Errorf("%d requests, want %d", got, n)
	}
}

// refreshedBy is what a refresh comes to that the provider answers by step.
func refreshedBy(t testing.TB, step sandbox.Step, edits ...func(*provider.Descriptor)) (Tokens, error) {
	t.Helper()
	q := newWire(t, sandbox.Client{})
	token := q.granted().Refresh // by the RFC, whatever the edits
	q.describe(edits...)
	q.script(step)
	tokens, err := q.refresh(token)
	q.counts(2)
	return tokens, err
}

// exchangedBy is what client credentials come to that the provider answers by step.
func exchangedBy(t testing.TB, step sandbox.Step) (Answer, error) {
	t.Helper()
	q := newWire(t, sandbox.Client{Script: []sandbox.Step{step}})
	return q.tokenServer.client.Exchange(t.Context(), TokenRequest{
		URL: q.url + "/token", Grant: grantClientCredentials, ClientID: wireClient, ClientSecret: seal.NewPlaintext(plantedSecret),
	})
}

// wantRefused fails the test unless err is of that reason and says these words.
func wantRefused(t testing.TB, err error, reason events.Reason, words ...string) {
	t.Helper()
	failure := wantReason(t, err, reason)
	for _, word := range words {
		if !strings.Contains(failure.Detail, word) {
			t.Errorf("%q is not in: %s", word, failure.Detail)
		}
	}
}

// fields are members of an answer, as JSON.
func fields(pairs ...string) map[string]json.RawMessage {
	m := map[string]json.RawMessage{}
	for i := 0; i+1 < len(pairs); i += 2 {
		m[pairs[i]] = json.RawMessage(pairs[i+1])
	}
	return m
}

// like makes a descriptor that of a provider that is shipped, at the endpoints
// that it has.
func like(t testing.TB, name string, edits ...func(*provider.Descriptor)) func(*provider.Descriptor) {
	return func(d *provider.Descriptor) {
		t.Helper()
		s, ok := provider.Defaults().Get(name)
		if !ok {
			t.Fatalf("no provider %s is shipped", name)
		}
		base := strings.TrimSuffix(d.AuthorizeURL, "/authorize")
		s.Name, s.Kind, s.Placeholders, s.RequestFormat = d.Name, "", nil, ""
		s.AuthorizeURL, s.TokenURL, s.RefreshURL, s.RevokeURL = d.AuthorizeURL, d.TokenURL, "", ""
		if s.IntrospectURL != "" {
			s.IntrospectURL = base + "/introspect"
		}
		if s.Subject.From == provider.PlaceUserinfo {
			s.Subject.URL, s.Subject.Field = base+"/userinfo", "sub"
		}
		*d = s
		for _, edit := range edits {
			edit(d)
		}
	}
}

// shipped is the descriptor of a provider, as it is.
func shipped(t testing.TB, name string) provider.Descriptor {
	t.Helper()
	d, ok := provider.Defaults().Get(name)
	if !ok {
		t.Fatalf("no provider %s is shipped", name)
	}
	return d
}

// untilDead lets time pass until the secret waits for a person, or nothing more
// is planned.
func (w *world) untilDead(x *Exchanger, id string) *secret.Secret {
	w.t.Helper()
	for range 2 * secret.MaxAttempts {
		s := w.secret(id)
		if a := s.Authorization; s.Plan().Action == secret.Rest || a != nil && a.Required {
			return s
		}
		w.runDue(x, id)
	}
	w.t.Fatalf("it does not come to an end: %s", show(w.secret(id)))
	return nil
}
