package secret

import "slices"

// Kind selects how a secret is exchanged. Its values are the wire names of
// contract A9 (type_of).
type Kind string

// The kinds this fleet exchanges.
const (
	Token      Kind = "token"
	SimpleHTTP Kind = "simple-http"
	// OAuth2 is the name of 2021 for OAuth2ClientCredentials. Both are kept as
	// sent and are equal everywhere else (contract A9, alias rule).
	OAuth2                  Kind = "oauth2"
	OAuth2ClientCredentials Kind = "oauth2-client_credentials"
	// OAuth2JWT signs a JWT and exchanges it, or hands it out as it is when
	// there is no token endpoint (contract A10).
	OAuth2JWT Kind = "oauth2-jwt"
)

// Kinds lists every accepted name, in the order people are shown.
func Kinds() []Kind {
	return []Kind{Token, SimpleHTTP, OAuth2, OAuth2ClientCredentials, OAuth2JWT}
}

// Known reports whether k is a kind this fleet exchanges.
func (k Kind) Known() bool { return slices.Contains(Kinds(), k) }

// Canonical folds aliases: kinds are the same when their canonical names are.
func (k Kind) Canonical() Kind {
	if k == OAuth2ClientCredentials {
		return OAuth2
	}
	return k
}

// Expires reports whether what the exchange yields has an end, and so whether
// the secret has dates and is refreshed.
func (k Kind) Expires() bool {
	c := k.Canonical()
	return c == OAuth2 || c == OAuth2JWT
}
