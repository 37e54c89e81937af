package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// npmInstall installs what a directory asks for in a copy of it, by the lock file, and
// returns the copy. No script of a package runs.
func npmInstall(t *testing.T, from string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute) // a slow registry's
	defer cancel()
	npm := exec.CommandContext(ctx, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	npm.Dir = dir
	if err := output(npm); err != nil {
		t.Fatalf("what %s asks for is not installed: %v", from, err)
	}
	return dir
}

// installOIDC installs oidc-provider and returns what starts the server.
func installOIDC(t *testing.T) (command []string) {
	t.Helper()
	dir := npmInstall(t, "oidc")
	node := "node" // the machine's, where package.json has none for it
	for _, installed := range must(filepath.Glob(filepath.Join(dir, "node_modules", "node-*", "bin", "node")))(t) {
		node = installed
	}
	return []string{node, filepath.Join(dir, "server.mjs")}
}

// authorizationServer is a running oidc/server.mjs, by its discovery document.
type authorizationServer struct {
	Issuer       string `json:"issuer"`
	AuthorizeURL string `json:"authorization_endpoint"`
	TokenURL     string `json:"token_endpoint"`
}

// oidcClient is a client as OpenID Connect registers it.
type oidcClient struct {
	ID           string   `json:"client_id"`
	Secret       string   `json:"client_secret"`
	AuthMethod   string   `json:"token_endpoint_auth_method"`
	RedirectURIs []string `json:"redirect_uris"`
	GrantTypes   []string `json:"grant_types"`
	// Application is "native" for a redirect to any port of this machine (RFC
	// 8252 section 7.3): the server starts before who is to be redirected to.
	Application string `json:"application_type"`
}

func newOIDCClient(id, authMethod string) oidcClient {
	return oidcClient{
		ID: id, Secret: "e2e-secret-of-" + id, AuthMethod: authMethod,
		RedirectURIs: []string{"http://127.0.0.1/oauth2/callback"},
		GrantTypes:   []string{"authorization_code", "refresh_token"}, Application: "native",
	}
}

// startOIDC starts a server whose access tokens live for a number of seconds.
func startOIDC(t *testing.T, command []string, c oidcClient, lifetime int) *authorizationServer {
	t.Helper()
	cmd := exec.Command(command[0], append(command[1:len(command):len(command)],
		"--client", string(must(json.Marshal(c))(t)), "--lifetime", fmt.Sprint(lifetime))...)
	must(cmd.StdinPipe())(t) // it ends when this process does, however that ends
	p := startProcess(t, c.ID, cmd)
	document := must(p.await(t.Context(), "its discovery document", func(line string) string {
		if !strings.HasPrefix(line, "{") {
			return ""
		}
		return line
	}))(t)
	s := new(authorizationServer)
	if err := json.Unmarshal([]byte(document), s); err != nil {
		t.Fatal(err)
	}
	return s
}

// asked is what the token endpoint was asked for, and what came of it.
type asked struct {
	GrantType string `json:"grant_type"`
	Account   string `json:"account"`   // whose grant it is
	Rotations int    `json:"rotations"` // how many refresh tokens its present one has followed
	Error     string `json:"error"`     // of RFC 6749 section 5.2
	Detail    string `json:"detail"`    // which the client was not told
}

// asked returns what the token endpoint was asked for until now, in order.
func (s *authorizationServer) asked(t *testing.T) (all []asked) {
	t.Helper()
	if err := json.Unmarshal(s.do(t, http.MethodGet, "/grants", ""), &all); err != nil {
		t.Fatal(err)
	}
	return all
}

// seat says who sits at the browser from now on, and whether they consent.
func (s *authorizationServer) seat(t *testing.T, account string, consents bool) {
	t.Helper()
	s.do(t, http.MethodPut, "/person", fmt.Sprintf(`{"account": %q, "consents": %t}`, account, consents))
}

// endGrants ends every grant, unannounced.
func (s *authorizationServer) endGrants(t *testing.T) {
	t.Helper()
	s.do(t, http.MethodDelete, "/grants", "")
}

func (s *authorizationServer) do(t *testing.T, method, path, body string) []byte {
	t.Helper()
	req := must(http.NewRequestWithContext(t.Context(), method, s.Issuer+path, strings.NewReader(body)))(t)
	resp := must(http.DefaultClient.Do(req))(t)
	defer resp.Body.Close()
	answer := must(io.ReadAll(resp.Body))(t)
	if resp.StatusCode >= http.StatusBadRequest {
		t.Fatalf("%s %s: %s\n%s", method, path, resp.Status, answer)
	}
	return answer
}

// browse opens a URL as a browser without a past would, follows the redirects to
// their end, and returns the page found there.
func browse(t *testing.T, url string) (*http.Response, string) {
	t.Helper()
	jar := must(cookiejar.New(nil))(t)
	browser := &http.Client{Jar: jar, Timeout: patience}
	req := must(http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody))(t)
	resp := must(browser.Do(req))(t)
	defer resp.Body.Close()
	return resp, string(must(io.ReadAll(resp.Body))(t))
}
