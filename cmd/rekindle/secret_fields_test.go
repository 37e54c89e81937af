package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/services/api/client"
)

func TestCredentialFlags(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "claims.json")
	if err := os.WriteFile(file, []byte(`{"role":"reader"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		kind   secret.Kind
		args   []string
		before string
		want   string // the credentials, or what the error begins with
	}{
		"token":  {kind: secret.Token, want: `{}`},
		"login":  {kind: secret.SimpleHTTP, args: []string{"--username=anna"}, want: `{"username":"anna"}`},
		"client": {kind: secret.OAuth2, args: []string{"--client-id=c1", "--token-url=https://idp.test/t", "--refresh-offset=4h"}, want: `{"client_id":"c1","refresh_offset":14400,"token_url":"https://idp.test/t"}`},
		"client, other name": {
			kind: secret.OAuth2ClientCredentials, args: []string{"--client-id=c1", "--option=audience=a,b=c", "--scope=x", "--scope=y"},
			want: `{"client_id":"c1","options":{"audience":"a,b=c","scope":"x y"}}`,
		},
		"jwt": {
			kind: secret.OAuth2JWT, args: []string{"--iss=i", "--aud=a", "--sub=s", "--ttl=3600", "--private-key-id=k", "--custom-claims=@" + file},
			want: `{"alg":"RS256","aud":"a","custom_claims":{"role":"reader"},"iss":"i","private_key_id":"k","sub":"s","ttl":3600}`,
		},
		"consent":          {kind: secret.OAuth2Google, args: []string{"--scope=x", "--scope=y"}, want: `{"scopes":["x","y"]}`},
		"other provider":   {kind: secret.ProviderKind("acme"), args: []string{"--scope=x"}, want: `{"scopes":["x"]}`},
		"over what is set": {kind: secret.OAuth2, args: []string{"--option=b=2", "--refresh-offset=0"}, before: `{"client_id":"c1","refresh_offset":1,"options":{"a":"1","b":"1"}}`, want: `{"client_id":"c1","options":{"a":"1","b":"2"},"refresh_offset":0}`},

		"of another kind":   {kind: secret.Token, args: []string{"--username=canary", "--iss=canary"}, want: "--username: not a credential of token\n--iss: not a credential of token"},
		"options elsewhere": {kind: secret.Token, args: []string{"--option=canary=1"}, want: "--option: not a credential of token"},
		"scopes elsewhere":  {kind: secret.SimpleHTTP, args: []string{"--scope=canary"}, want: "--scope: not a credential of simple-http"},
		"bad option":        {kind: secret.OAuth2, args: []string{"--option=canary"}, want: "--option: number 1 is not like name=value"},
		"bad duration":      {kind: secret.OAuth2JWT, args: []string{"--ttl=canary"}, want: "--ttl: not a valid duration"},
		"half a second":     {kind: secret.OAuth2JWT, args: []string{"--ttl=500ms"}, want: "--ttl: not a valid duration"},
		"bad claims":        {kind: secret.OAuth2JWT, args: []string{`--custom-claims=["canary"]`}, want: "--custom-claims: not a valid JSON object"},
		"no claims":         {kind: secret.OAuth2JWT, args: []string{`--custom-claims=null`}, want: "--custom-claims: not a valid JSON object"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := credentialsOf(t, tt.kind, tt.before, tt.args)
			if err != nil {
				got = err.Error()
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if err != nil && strings.Contains(got, "canary") {
				t.Errorf("the error shows a value: %s", got)
			}
		})
	}
}

func credentialsOf(t *testing.T, kind secret.Kind, before string, args []string) (string, error) {
	t.Helper()
	var c credentialFlags
	set := pflag.NewFlagSet("test", pflag.ContinueOnError)
	c.bind(set)
	if err := set.Parse(args); err != nil {
		return "", flagProblem(err)
	}
	credentials := map[string]any{}
	if before != "" {
		if err := json.Unmarshal([]byte(before), &credentials); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.into(credentials, kind); err != nil {
		return "", err
	}
	encoded, err := json.Marshal(credentials)
	return string(encoded), err
}

func TestExitCodesOfAnswers(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]int{
		400: exitRefused, 401: exitNoServer, 403: exitNoServer, 404: exitNotFound, 409: exitRefused,
		422: exitRefused, 429: exitRefused, 500: exitFailed, 503: exitNoServer,
	} {
		if got := exitCode(&client.Error{Status: status}); got != want {
			t.Errorf("an answer of %d ends with %d, want %d", status, got, want)
		}
	}
}
