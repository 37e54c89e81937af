package secret

import (
	"slices"
	"strings"

	"github.com/rekindle-dev/rekindle/events/sealing"
)

// Kind selects how a secret is exchanged. Its values are the wire names of
// contract A9 (type_of).
type Kind string

// The kinds of contract A9.
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
	// The interactive kinds: a person consents at the provider (contract A13).
	OAuth2Google   Kind = "oauth2-google"
	OAuth2LinkedIn Kind = "oauth2-linkedin"
	OAuth2Amazon   Kind = "oauth2-amazon"
)

// Kinds lists the names of contract A9, in the order people are shown. There
// are further interactive kinds, see [ProviderKind].
func Kinds() []Kind {
	return []Kind{
		Token, SimpleHTTP, OAuth2, OAuth2ClientCredentials, OAuth2JWT,
		OAuth2Google, OAuth2LinkedIn, OAuth2Amazon,
	}
}

const providerPrefix = "oauth2-"

// ProviderKind is the kind of the secrets that persons consent to at the
// provider. It is interactive unless the name is one that contract A9 gives to
// another kind.
func ProviderKind(provider string) Kind { return Kind(providerPrefix + provider) }

// Provider is the name of the provider at which a person has to consent to a
// secret of the kind, "" for the kinds that need nobody.
func (k Kind) Provider() string {
	if k == OAuth2ClientCredentials || k == OAuth2JWT {
		return ""
	}
	name, _ := strings.CutPrefix(string(k), providerPrefix)
	if name == string(k) {
		return ""
	}
	return name
}

// Interactive reports whether a person has to consent at a provider, and again
// when that consent ends (contract A13).
func (k Kind) Interactive() bool { return k.Provider() != "" }

// Known reports whether k is one of [Kinds].
func (k Kind) Known() bool { return slices.Contains(Kinds(), k) }

// Canonical folds aliases: kinds are the same when their canonical names are.
func (k Kind) Canonical() Kind {
	if k == OAuth2ClientCredentials {
		return OAuth2
	}
	return k
}

// Hidden is the name of the hidden credential of the kind, "" for the kinds that
// have none. No kind has two (contract A9).
func (k Kind) Hidden() string {
	switch k.Canonical() {
	case Token:
		return sealing.FieldToken
	case SimpleHTTP:
		return sealing.FieldPassword
	case OAuth2:
		return sealing.FieldClientSecret
	case OAuth2JWT:
		return sealing.FieldPrivateKey
	default:
		return ""
	}
}

// Expires reports whether what the exchange yields has an end, and so whether
// the secret has dates and is refreshed.
func (k Kind) Expires() bool {
	c := k.Canonical()
	return c == OAuth2 || c == OAuth2JWT || k.Interactive()
}
