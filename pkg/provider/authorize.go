package provider

import (
	"cmp"
	"net/url"
	"slices"
)

// Dialog is what one authorization request says besides what its provider's
// descriptor does.
type Dialog struct {
	ClientID    string
	RedirectURI string
	// Scopes are the secret's own.
	Scopes []string
	// State and Challenge are fresh for each request (RFC 6749 section 10.12,
	// RFC 7636 section 4.2).
	State, Challenge string
}

// AuthorizationURL is where a person's browser has to go to consent (RFC 6749
// section 4.1.1). What the descriptor sets comes first, so that nothing of it
// can stand in for the parameters that the flow hangs on.
func (d Descriptor) AuthorizationURL(r Dialog) (string, error) {
	to, err := url.Parse(d.AuthorizeURL)
	if err != nil {
		return "", err
	}
	query := to.Query()
	for name, value := range d.AuthorizeParams {
		query.Set(name, value)
	}
	set := func(name, value string) {
		if own, renamed := d.Rename.Authorize[name]; renamed {
			name = own
		}
		if name != "" && value != "" {
			query.Set(name, value)
		}
	}
	set("response_type", cmp.Or(d.AuthorizeParams["response_type"], "code"))
	set("client_id", r.ClientID)
	set("redirect_uri", r.RedirectURI)
	set("scope", d.Scopes.Separator.Join(d.Requested(r.Scopes)))
	set("state", r.State)
	if d.PKCE != "" {
		set("code_challenge", r.Challenge)
		set("code_challenge_method", string(d.PKCE))
	}
	to.RawQuery = query.Encode()
	return to.String(), nil
}

// Requested are the scopes that are asked for when a secret names these.
func (d Descriptor) Requested(own []string) []string {
	if len(own) == 0 {
		own = d.Scopes.Default
	}
	all := slices.Clone(own)
	for _, scope := range d.Scopes.Always {
		if !slices.Contains(all, scope) {
			all = append(all, scope)
		}
	}
	return all
}
