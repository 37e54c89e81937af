package provider

import (
	"fmt"
	"io"
	"log/slog"
	"time"
)

// Fields are what an answer of a token endpoint says. The tokens are secret: a
// Fields cannot be printed, logged or marshalled. Nor, being texts, can they be
// overwritten: let go of them when they are sealed.
type Fields struct {
	AccessToken string
	// RefreshToken is empty when the answer has none. Where the provider does
	// not rotate, the old one then stays.
	RefreshToken string
	IDToken      string
	TokenType    string // as written
	// Lifetime and ExpiresAt say when the access token ends, the earlier of
	// them; zero is not said. ExpiresAt is by the provider's clock, and also
	// from the exp of an access token that is a JWT. With neither, ask
	// [Descriptor.IntrospectURL], then take [Expiry.Default].
	Lifetime  time.Duration
	ExpiresAt time.Time
	// Endless says that there is no end to find: the answer names none, and the
	// descriptor says what that means.
	Endless bool
	// RefreshLifetime is of the refresh token; 0 is not said.
	RefreshLifetime time.Duration
	// Scopes are the granted ones; nil is not said, which is as asked (RFC 6749
	// section 5.1).
	Scopes []string
	// Subject is whose grant it is, where the answer tells.
	Subject string
	// Issuer is at which server the account is, where the answer tells.
	Issuer string
	// Extra are the members to keep, by path.
	Extra map[string]string
}

const redacted = "provider.Fields(redacted)"

// String does not show the fields.
func (f Fields) String() string { return redacted }

// GoString does not show the fields.
func (f Fields) GoString() string { return redacted }

// Format does not show the fields, whatever the verb.
func (f Fields) Format(s fmt.State, _ rune) { io.WriteString(s, redacted) }

// LogValue does not show the fields.
func (f Fields) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON does not show the fields.
func (f Fields) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }
