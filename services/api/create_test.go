package api_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rekindle-dev/rekindle/pkg/seal"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/services/api"
	"github.com/rekindle-dev/rekindle/services/api/apitest"
)

func TestCreateSealsAndAsks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	environment := must[*api.Environment](t)(newEnvironment(t, w.Service, w.property.ID, "development"))
	made := must[*api.Changed](t)(w.Service.CreateSecret(t.Context(), apitest.Caller(), w.property.ID, document(t, `{
		"data":{"type":"secrets","attributes":{"name":"crm","type_of":"oauth2","credentials":{
			"client_id":"c1","client_secret":"a-client-secret-of-some-length","token_url":"https://idp.test/t?tenant=7",
			"options":{"scope":"read"}}},
		"relationships":{"environment":{"data":{"id":%q,"type":"environments"}}}}}`, environment.ID)))

	stored, _, err := secret.Store{State: w.State}.Get(t.Context(), made.ID)
	if err != nil {
		t.Fatal(err)
	}
	offset := int64(14400)
	want := &secret.Secret{
		ID: made.ID, Org: api.DefaultOrg, Property: w.property.ID, Environment: environment.ID,
		Stage: "development", Deployed: environment.ID, Name: "crm", Kind: secret.OAuth2,
		Credentials: secret.Credentials{
			ClientID: "c1", TokenURL: "https://idp.test/t?tenant=7",
			RefreshOffset: &offset, Options: map[string]string{"scope": "read"},
		},
		CredentialGeneration: 1, Status: secret.Pending, Decision: 1,
		CreatedAt: made.CreatedAt, UpdatedAt: made.CreatedAt, NextAttemptAt: made.CreatedAt, AskedAt: made.CreatedAt,
		CreatedBy: apitest.Caller().Actor, UpdatedBy: apitest.Caller().Actor,
	}
	if diff := cmp.Diff(want, stored); diff != "" {
		t.Errorf("the record (-want +got):\n%s", diff)
	}
	if next := stored.Plan(); next.Action != secret.Exchange || !next.At.Equal(made.CreatedAt) {
		t.Errorf("the plan is %v, want an exchange at once", next)
	}

	credential, err := secret.Vault{State: w.State}.Credential(t.Context(), made.ID)
	if err != nil {
		t.Fatal(err)
	}
	field := credential.Fields["client_secret"]
	opened, err := w.opener.Open(seal.Binding{Secret: made.ID, Field: made.Credentials.SealedAs("client_secret"), Generation: 1}, field.Sealed)
	if err != nil || !opened.Equal(seal.NewPlaintext("a-client-secret-of-some-length")) {
		t.Errorf("the sealed field does not open to the client secret: %v", err)
	}
	if field.Generation != 1 || credential.Generation != 1 || len(credential.Fields) != 1 {
		t.Errorf("the credential is of generation %d with %d fields", credential.Generation, len(credential.Fields))
	}
}

func TestSecretsAreReadAsWritten(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tests := []struct {
		name, kind, credentials string
		public                  secret.Credentials
		hidden                  []string
	}{
		{"token", "token", `{"token":"x","username":"ignored"}`, secret.Credentials{}, []string{"token"}},
		{"multi-line token", "token", `{"token":"-----BEGIN\nEND-----"}`, secret.Credentials{}, []string{"token"}},
		{"simple-http", "simple-http", `{"username":"u","password":"p:w"}`, secret.Credentials{Username: "u"}, []string{"password"}},
		{
			"offset of its own", "oauth2", `{"client_id":"c","client_secret":"s","token_url":"http://h/t","refresh_offset":0}`,
			secret.Credentials{ClientID: "c", TokenURL: "http://h/t", RefreshOffset: new(int64(0))},
			[]string{"client_secret"},
		},
		{
			"offset with decimals", "oauth2", `{"client_id":"c","client_secret":"s","token_url":"http://h/t","refresh_offset":14401.0}`,
			secret.Credentials{ClientID: "c", TokenURL: "http://h/t", RefreshOffset: new(int64(14401))},
			[]string{"client_secret"},
		},
		{
			"offset null", "oauth2-client_credentials", `{"client_id":"c","client_secret":"s","token_url":"http://h/t","refresh_offset":null}`,
			secret.Credentials{ClientID: "c", TokenURL: "http://h/t", RefreshOffset: new(int64(14400))},
			[]string{"client_secret"},
		},
		{
			"URL by its old name", "oauth2", `{"client_id":"c","client_secret":"s","authorization_url":"https://h:8443/t?a=b&c=d"}`,
			secret.Credentials{ClientID: "c", TokenURL: "https://h:8443/t?a=b&c=d", RefreshOffset: new(int64(14400))},
			[]string{"client_secret"},
		},
		{
			"URL by both names", "oauth2", `{"client_id":"c","client_secret":"s","token_url":"https://h/t","authorization_url":"https://h/t"}`,
			secret.Credentials{ClientID: "c", TokenURL: "https://h/t", RefreshOffset: new(int64(14400))},
			[]string{"client_secret"},
		},
		{
			"options", "oauth2", `{"client_id":"c","client_secret":"s","token_url":"https://[::1]:1/","options":{"grant_type":"x","empty":"","none":null}}`,
			secret.Credentials{
				ClientID: "c", TokenURL: "https://[::1]:1/", RefreshOffset: new(int64(14400)),
				Options: map[string]string{"grant_type": "x", "empty": ""},
			},
			[]string{"client_secret"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			made := must[*api.Changed](t)(w.Service.CreateSecret(t.Context(), apitest.Caller(), w.property.ID,
				document(t, `{"data":{"attributes":{"name":%q,"type_of":%q,"credentials":%s}}}`, tt.name, tt.kind, tt.credentials)))
			if diff := cmp.Diff(tt.public, made.Credentials); diff != "" {
				t.Errorf("public credentials (-want +got):\n%s", diff)
			}
			if string(made.Kind) != tt.kind {
				t.Errorf("the kind is %s, want it as it was sent: %s", made.Kind, tt.kind)
			}
			credential, err := secret.Vault{State: w.State}.Credential(t.Context(), made.ID)
			if err != nil {
				t.Fatal(err)
			}
			var hidden []string
			for name := range credential.Fields {
				hidden = append(hidden, name)
			}
			if !slices.Equal(hidden, tt.hidden) {
				t.Errorf("sealed fields %v, want %v", hidden, tt.hidden)
			}
		})
	}
}
