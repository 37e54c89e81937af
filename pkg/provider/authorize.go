package provider

import (
	"cmp"
	"net/url"
	"slices"
	"strings"
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
	// Force asks for consent even of an account that has given it, because without
	// that a provider may give no refresh token.
	Force bool
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
	if r.Force {
		force(query)
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

// force has the query ask for consent: by the parameter of OpenID Connect Core
// section 3.1.2.1, which servers that do not know it ignore (RFC 6749 section
// 3.1), or by Google's older one where that is in use, for it takes just one.
func force(query url.Values) {
	if query.Has("approval_prompt") {
		query.Set("approval_prompt", "force")
		return
	}
	prompts := strings.Fields(query.Get("prompt"))
	prompts = slices.DeleteFunc(prompts, func(p string) bool { return p == "none" || p == "consent" })
	query.Set("prompt", strings.Join(append(prompts, "consent"), " "))
}

// Requested are the scopes that are asked for when a secret names these.
func (d Descriptor) Requested(own []string) []string {
	all := slices.Clone(d.Asked(own))
	for _, scope := range d.Scopes.Always {
		if !slices.Contains(all, scope) {
			all = append(all, scope)
		}
	}
	return all
}

// Asked are those of them that the secret wants for itself: its own, or the
// default.
func (d Descriptor) Asked(own []string) []string {
	if len(own) == 0 {
		return d.Scopes.Default
	}
	return own
}
