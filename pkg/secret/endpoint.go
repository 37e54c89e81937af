package secret

import (
	"net/url"
	"strings"
)

// Endpoint is whom the exchanges of a secret ask, as far as a provider limits
// how often it is asked: it counts requests by client, and is up or down as a
// whole.
type Endpoint struct {
	// Host is the host of the token endpoint in lower case, with its port where
	// that is not the scheme's own. Of an interactive kind it is the provider's
	// name. It is empty where nobody is asked.
	Host string
	// Client is the client id, or the issuer of a JWT. It is empty for an
	// interactive kind, since a deployment has one app with each provider.
	Client string
}

// Endpoint returns whom the exchanges of s ask.
func (s *Secret) Endpoint() Endpoint {
	if name := s.Kind.Provider(); name != "" {
		return Endpoint{Host: name}
	}
	switch c := s.Credentials; s.Kind.Canonical() {
	case OAuth2:
		return endpoint(c.TokenURL, c.ClientID)
	case OAuth2JWT:
		return endpoint(c.TokenURL, c.Iss)
	default:
		return Endpoint{}
	}
}

func endpoint(tokenURL, client string) Endpoint {
	u, err := url.Parse(tokenURL)
	if err != nil || u.Host == "" {
		return Endpoint{}
	}
	host := strings.ToLower(u.Host)
	switch u.Scheme {
	case "https":
		host = strings.TrimSuffix(host, ":443")
	case "http":
		host = strings.TrimSuffix(host, ":80")
	}
	return Endpoint{Host: host, Client: client}
}
