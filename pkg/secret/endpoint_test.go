package secret_test

import (
	"testing"

	"github.com/rekindle-dev/rekindle/pkg/secret"
)

func TestEndpoint(t *testing.T) {
	t.Parallel()
	at := func(url string) secret.Credentials {
		return secret.Credentials{TokenURL: url, ClientID: "client", Iss: "issuer"}
	}
	for name, tt := range map[string]struct {
		kind        secret.Kind
		credentials secret.Credentials
		want        secret.Endpoint
	}{
		"client credentials":    {secret.OAuth2, at("https://Auth.Example.com/token?x=1"), secret.Endpoint{Host: "auth.example.com", Client: "client"}},
		"by the other name":     {secret.OAuth2ClientCredentials, at("https://a.test:8443/t"), secret.Endpoint{Host: "a.test:8443", Client: "client"}},
		"the port of https":     {secret.OAuth2, at("https://a.test:443/t"), secret.Endpoint{Host: "a.test", Client: "client"}},
		"the port of http":      {secret.OAuth2, at("http://a.test:80/t"), secret.Endpoint{Host: "a.test", Client: "client"}},
		"another's port":        {secret.OAuth2, at("http://a.test:443/t"), secret.Endpoint{Host: "a.test:443", Client: "client"}},
		"an address":            {secret.OAuth2, at("https://[2001:DB8::1]:443/t"), secret.Endpoint{Host: "[2001:db8::1]", Client: "client"}},
		"JWT":                   {secret.OAuth2JWT, at("https://a.test/t"), secret.Endpoint{Host: "a.test", Client: "issuer"}},
		"JWT handed out":        {secret.OAuth2JWT, at(""), secret.Endpoint{}},
		"a person's consent":    {secret.OAuth2Google, at("https://a.test/t"), secret.Endpoint{Host: "google"}},
		"a provider of our own": {secret.ProviderKind("acme"), at(""), secret.Endpoint{Host: "acme"}},
		"nobody is asked":       {secret.Token, at("https://a.test/t"), secret.Endpoint{}},
		"nor here":              {secret.SimpleHTTP, at(""), secret.Endpoint{}},
		"not a URL":             {secret.OAuth2, at("http://[::1/t"), secret.Endpoint{}},
		"no host":               {secret.OAuth2, at("token"), secret.Endpoint{}},
		"a kind of tomorrow":    {"carrier-pigeon", at("https://a.test/t"), secret.Endpoint{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := secret.Secret{Kind: tt.kind, Credentials: tt.credentials}
			if got := s.Endpoint(); got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}
