package e2e

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/rekindle-dev/rekindle/services/api/client"
)

// tokenLife and refreshOffset, in seconds, have a token refreshed every other
// second.
const (
	tokenLife     = 4
	refreshOffset = 2
)

// TestConsent has people consent at an authorization server that others wrote
// and had certified, and the program keep their grants alive there.
func TestConsent(t *testing.T) {
	command := installOIDC(t)
	dialogs := []*dialog{
		{provider: "google", authMethod: "client_secret_post", authStyle: "params", scopes: []string{"https://www.googleapis.com/auth/adwords"}},
		{provider: "linkedin", authMethod: "client_secret_basic", authStyle: "header"},
		{provider: "amazon", authMethod: "client_secret_post", authStyle: "params"},
		{provider: "house", authMethod: "client_secret_basic", authStyle: "header"}, // known by the configuration alone
	}
	config := "providers:\n"
	for _, d := range dialogs {
		app := newOIDCClient(d.provider+"-app", d.authMethod)
		d.server = startOIDC(t, command, app, tokenLife)
		config += d.settings(t, app)
	}
	c := serve(t, config)
	companies := must(c.Companies(t.Context()))(t)
	property := must(c.CreateProperty(t.Context(), companies[0].ID.ID, "shop"))(t)
	env := must(c.CreateEnvironment(t.Context(), property.ID.ID, "production", "production"))(t)
	for _, d := range dialogs {
		t.Run(d.provider, func(t *testing.T) {
			t.Parallel()
			d.client = c
			d.create(t, property.ID.ID, env.ID.ID)
			d.live(t)
		})
	}
}

// dialog is a secret and the provider that a person consents to it at.
type dialog struct {
	provider   string
	authMethod string   // by OpenID Connect's name
	authStyle  string   // by ours
	scopes     []string // that the secret names
	server     *authorizationServer
	client     *client.Client
	id, typeOf string
	url        string // of the dialog that is open
}

// settings is the provider in the configuration: the server's endpoints and ways,
// whatever those of the real provider are.
func (d *dialog) settings(t *testing.T, app oidcClient) string {
	t.Helper()
	secretFile := filepath.Join(t.TempDir(), "client-secret")
	if err := os.WriteFile(secretFile, []byte(app.Secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf(`
  %s:
    label: %[1]s of the test
    client_id: %s
    client_secret_file: %s
    authorize_url: %s
    token_url: %s
    auth_style: %s
    pkce: S256
    authorize_params: {prompt: consent}
    scopes: {always: [openid, offline_access]}
    expiry: {fixed: 0s}
    refresh: {issued: always, rotates: true, offset: %ds}
    subject: {from: id_token, field: sub, url: ""}
`, d.provider, app.ID, secretFile, d.server.AuthorizeURL, d.server.TokenURL, d.authStyle, refreshOffset)
}

// serve runs the whole fleet in one process.
func serve(t *testing.T, config string) *client.Client {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "rekindle.yaml")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(rekindle.program(), "serve", "--config", path, "--data-dir", filepath.Join(dir, "data"),
		"--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0", "--egress-allow", "127.0.0.0/8", "--log-format", "json")
	cmd.Env = []string{"REKINDLE_BOOTSTRAP_TOKEN=" + bootstrapToken}
	p := startProcess(t, "rekindle", cmd)
	address := func(message string) string {
		return must(p.await(t.Context(), message, func(line string) string { return logged(line, message) }))(t)
	}
	awaitOK(t, "http://"+address("ops listener is up")+"/readyz")
	return client.New("http://"+address("serving the API"), bootstrapToken)
}

func (d *dialog) create(t *testing.T, property, environment string) {
	t.Helper()
	credentials := map[string]any{}
	if d.scopes != nil {
		credentials["scopes"] = d.scopes
	}
	made := must(d.client.CreateSecret(t.Context(), property, client.NewSecret{
		Name: d.provider, TypeOf: "oauth2-" + d.provider, Environment: environment, Credentials: credentials,
	}))(t)
	d.id, d.typeOf, d.url = made.ID.ID, made.Attributes.TypeOf, made.Meta.AuthorizationURL
}

// live takes a secret through all that people do to it: refusal, consent, the
// consent of another account, the end of the grant, and consent again.
func (d *dialog) live(t *testing.T) {
	d.visit(t, "alice", false)
	d.await(t, "a refused secret", func(now client.Secret) bool { return now.Attributes.Status == "failed" })

	d.act(t, client.ActionReauthorize)
	d.visit(t, "alice", true)
	d.await(t, "a consented secret", func(now client.Secret) bool { return now.Attributes.Status == "succeeded" })
	d.awaitRotations(t, "alice", 2)

	d.act(t, client.ActionReauthorize)
	d.visit(t, "bob", true)
	d.await(t, "another account's consent", func(now client.Secret) bool { return now.Meta.AuthorizationHeldAt != nil })
	d.awaitRotations(t, "alice", d.rotations(t, "alice")+1)
	if n := d.rotations(t, "bob"); n != 0 {
		t.Errorf("the grant of another account was refreshed %d times, want it held", n)
	}

	d.act(t, client.ActionAccept)
	d.awaitRotations(t, "bob", 1)
	before := d.rotations(t, "alice")
	d.awaitRotations(t, "bob", 2)
	if after := d.rotations(t, "alice"); after != before {
		t.Errorf("the grant that was replaced is still refreshed, %d times", after-before)
	}
	d.checkRefused(t)

	d.server.endGrants(t)
	d.await(t, "the end of the grant", func(now client.Secret) bool { return now.Meta.AuthorizationRequired })
	d.act(t, client.ActionReauthorize)
	d.visit(t, "bob", true)
	d.await(t, "a secret consented to again", func(now client.Secret) bool {
		return now.Attributes.Status == "succeeded" && !now.Meta.AuthorizationRequired
	})
	d.awaitRotations(t, "bob", 1)
	refusal := asked{GrantType: "refresh_token", Error: "invalid_grant", Detail: "grant not found"}
	d.checkRefused(t, refusal, refusal) // the second confirms it, and then never again
}

// visit follows the dialog that is open to its end.
func (d *dialog) visit(t *testing.T, account string, consents bool) {
	t.Helper()
	d.server.seat(t, account, consents)
	resp, page := browse(t, d.url)
	at := resp.Request.URL
	if resp.StatusCode != http.StatusOK || at.Path != "/oauth2/callback" {
		t.Fatalf("the dialog ended at %s%s with %s:\n%s", at.Host, at.Path, resp.Status, page)
	}
}

// act asks for an action, and opens the dialog if it leads to one.
func (d *dialog) act(t *testing.T, action client.Action) {
	t.Helper()
	d.url = must(d.client.Act(t.Context(), d.id, d.typeOf, action))(t).Meta.AuthorizationURL
}

func (d *dialog) await(t *testing.T, what string, reached func(now client.Secret) bool) {
	t.Helper()
	awaitState(t, d.client, d.id, what, reached)
}

// awaitRotations waits until the latest grant of an account had its refresh token
// replaced so often, one by one.
func (d *dialog) awaitRotations(t *testing.T, account string, n int) {
	t.Helper()
	eventually(t, "refreshes of "+account+"'s grant", func(context.Context) (bool, string) {
		have := d.rotations(t, account)
		return have >= n, fmt.Sprintf("the refresh token was replaced %d times, want %d", have, n)
	})
}

// rotations returns how often the refresh token of the latest grant of an account
// was replaced. It fails the test where one was skipped.
func (d *dialog) rotations(t *testing.T, account string) (n int) {
	t.Helper()
	for _, a := range d.server.asked(t) {
		switch {
		case a.Account != account || a.Error != "":
			continue
		case a.GrantType == "refresh_token" && a.Rotations != n+1:
			t.Fatalf("rotation %d of the refresh token of %s came after %d", a.Rotations, account, n)
		}
		n = a.Rotations
	}
	return n
}

// checkRefused checks what the provider has refused until now, which is every
// fault of a request.
func (d *dialog) checkRefused(t *testing.T, want ...asked) {
	t.Helper()
	refused := slices.DeleteFunc(d.server.asked(t), func(a asked) bool { return a.Error == "" })
	if diff := cmp.Diff(want, refused, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("refused by the provider (-want +got):\n%s", diff)
	}
}
