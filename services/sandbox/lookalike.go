package sandbox

import (
	"encoding/json"
	"time"
)

const day = Duration(24 * time.Hour)

// LikeGoogle is a client of a server that answers as Google does: refresh tokens
// for offline access only, which neither change nor come again, and access
// tokens of an hour. Like the other lookalikes it accepts any secret, and any
// scope; change what it returns at will.
func LikeGoogle(id string, redirectURIs ...string) Client {
	return Client{ID: id, CodeFlow: &CodeFlow{
		RedirectURIs:  redirectURIs,
		Lifetime:      Duration(time.Hour),
		RefreshTokens: RefreshTokens{Issue: IssueOffline},
	}}
}

// LikeLinkedIn is a client of a server that answers as LinkedIn does: a refresh
// token that lives for 365 days, whatever it is used for, and comes with every
// answer, and access tokens of 60 days that do not outlive it.
func LikeLinkedIn(id string, redirectURIs ...string) Client {
	return Client{ID: id, CodeFlow: &CodeFlow{
		RedirectURIs:   redirectURIs,
		ScopeSeparator: ",",
		Lifetime:       60 * day,
		RefreshTokens:  RefreshTokens{Rotation: RotationRepeat, Lifetime: 365 * day, EndsAccess: true},
	}}
}

// LikeAmazon is a client of a server that answers as Login with Amazon does: a
// refresh token without end that comes with every answer, access tokens of an
// hour, and an account that only /userinfo tells.
func LikeAmazon(id string, redirectURIs ...string) Client {
	return Client{
		ID: id,
		Default: Step{
			Fields: map[string]json.RawMessage{"token_type": quote("bearer")},
			Omit:   []string{"scope"},
		},
		CodeFlow: &CodeFlow{
			RedirectURIs:  redirectURIs,
			CodeLifetime:  Duration(5 * time.Minute),
			Lifetime:      Duration(time.Hour),
			RefreshTokens: RefreshTokens{Rotation: RotationRepeat},
		},
	}
}
