package sandbox

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Limits of a code flow.
const (
	maxRedirects = 32
	maxScopes    = 64
	maxConsents  = 1_000
	maxText      = 1024 // bytes of an account, an error code, a scope or a parameter
	maxLifetime  = Duration(10 * 366 * 24 * time.Hour)
)

const (
	defaultAccount      = "account-1"
	defaultCodeLifetime = time.Minute // at most ten, says RFC 6749 §4.1.2
)

// CodeFlow is how a client may send people to the authorization endpoint, and
// what comes of it (RFC 6749 §4.1). Its zero value with one redirect URI is a
// well-behaved provider whose refresh tokens neither change nor end.
type CodeFlow struct {
	// RedirectURIs are those that may be asked for, letter by letter.
	RedirectURIs []string `json:"redirect_uris,omitzero"`
	// AnyRedirect admits every http or https redirect URI, as it is for open
	// clients.
	AnyRedirect bool `json:"any_redirect,omitzero"`
	// Scopes are those that may be asked for; empty is any.
	Scopes []string `json:"scopes,omitzero"`
	// ScopeSeparator stands between the granted scopes of an answer; empty is a
	// space. Requests may have spaces or commas.
	ScopeSeparator string `json:"scope_separator,omitzero"`
	// RequirePKCE refuses authorization requests without a code challenge. One
	// that is given is always held against the verifier (RFC 7636 §4.6).
	RequirePKCE bool `json:"require_pkce,omitzero"`
	// Dialog is who decides about consent; empty is the script alone.
	Dialog Dialog `json:"dialog,omitzero"`
	// Consents are played one per authorization request that is in order; the
	// last repeats for ever. Without any, the account "account-1" consents.
	Consents []Consent `json:"consents,omitzero"`
	// CodeLifetime of authorization codes. Zero is a minute.
	CodeLifetime Duration `json:"code_lifetime,omitzero"`
	// Lifetime of access tokens; a step's comes before it. Zero is
	// Config.Lifetime.
	Lifetime      Duration      `json:"lifetime,omitzero"`
	RefreshTokens RefreshTokens `json:"refresh_tokens,omitzero"`
	// Issuer puts iss into the redirects (RFC 9207 §2).
	Issuer bool `json:"issuer,omitzero"`
}

// Dialog is a way to decide about consent.
type Dialog string

// DialogPage shows a page with two buttons and the account in a field. What the
// page says comes before the account of the consent that is next.
const DialogPage Dialog = "page"

// Consent is the end of one dialog. Its zero value gives what was asked for.
type Consent struct {
	// Account is who consents: the sub of id tokens, and what /userinfo says.
	// Empty is "account-1".
	Account string `json:"account,omitzero"`
	// Error refuses with this code, "access_denied" or any other.
	Error string `json:"error,omitzero"`
	// Scopes are granted in place of those asked for.
	Scopes []string `json:"scopes,omitzero"`
	// Params are set last among the parameters of the redirect: what a provider
	// adds (realmId), or spoils (state).
	Params map[string]string `json:"params,omitzero"`
}

// RefreshTokens say what refresh tokens do. The zero value gives one with every
// code that lives until it is revoked.
type RefreshTokens struct {
	Issue    Issue    `json:"issue,omitzero"`
	Rotation Rotation `json:"rotation,omitzero"`
	// Grace is for how long a replaced token may be used again, as long as what
	// replaced it was not used itself.
	Grace Duration `json:"grace,omitzero"`
	// Replay answers a token that is used again within its grace with the
	// refresh token that replaced it, in place of yet another.
	Replay bool `json:"replay,omitzero"`
	// DetectReuse ends the whole grant when a replaced token is used outside of
	// its grace (RFC 9700 §4.14.2). Otherwise just that token is refused.
	DetectReuse bool `json:"detect_reuse,omitzero"`
	// Lifetime counts from the exchange of the code, and answers have what is
	// left of it in refresh_token_expires_in. Zero is without end, and unsaid.
	Lifetime Duration `json:"lifetime,omitzero"`
	// Sliding has each use start Lifetime anew.
	Sliding bool `json:"sliding,omitzero"`
	// EndsAccess has no access token outlive the refresh token, except those
	// whose step has a Lifetime.
	EndsAccess bool `json:"ends_access,omitzero"`
	// Early is how long before its end an access token may be refreshed; what
	// comes sooner is refused. Zero is any time.
	Early Duration `json:"early,omitzero"`
	// PerAccount is how many grants an account may have with the client before
	// the oldest ends, unannounced. Zero is any number.
	PerAccount int `json:"per_account,omitzero"`
}

// Issue says which consents bring a refresh token.
type Issue string

// The ways.
const (
	IssueAlways Issue = ""
	// IssueOffline is for authorization requests with access_type=offline, and of
	// an account with a grant that stands only when they force consent
	// (prompt=consent or approval_prompt=force), as Google does it.
	IssueOffline Issue = "offline"
	IssueNever   Issue = "never"
)

// Rotation says which refresh token is in the answer to one.
type Rotation string

// The ways.
const (
	RotationNone   Rotation = ""       // none; the old one stays
	RotationRepeat Rotation = "repeat" // the old one again
	RotationRotate Rotation = "rotate" // another one; the old one ends
)

// validate returns every broken rule, each beginning with the member at fault.
func (f *CodeFlow) validate() []error {
	if f == nil {
		return nil
	}
	var errs []error
	refuse := func(broken bool, format string, args ...any) {
		if broken {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	refuse(len(f.RedirectURIs) == 0 && !f.AnyRedirect, "redirect_uris: want at least one")
	refuse(len(f.RedirectURIs) > maxRedirects, "redirect_uris: want at most %d", maxRedirects)
	for i, uri := range f.RedirectURIs {
		refuse(!redirectable(uri), "redirect_uris[%d]: want an http or https URL without a fragment", i)
	}
	refuse(!shortTexts(f.Scopes, maxScopes), "scopes: want at most %d, none empty", maxScopes)
	refuse(len(f.ScopeSeparator) > 1, "scope_separator: want one character")
	refuse(f.Dialog != "" && f.Dialog != DialogPage, "dialog: want %q or none", DialogPage)
	refuse(len(f.Consents) > maxConsents, "consents: want at most %d", maxConsents)
	for i, c := range f.Consents {
		refuse(!c.bounded(), "consents[%d]: want texts of at most %d bytes", i, maxText)
	}
	refuse(!positive(f.CodeLifetime), "code_lifetime: want 0 to 10 years")
	refuse(!positive(f.Lifetime), "lifetime: want 0 to 10 years")
	return append(errs, within("refresh_tokens", f.RefreshTokens.validate())...)
}

func (r RefreshTokens) validate() []error {
	var errs []error
	if !slices.Contains([]Issue{IssueAlways, IssueOffline, IssueNever}, r.Issue) {
		errs = append(errs, fmt.Errorf("issue: want %q, %q or none", IssueOffline, IssueNever))
	}
	if !slices.Contains([]Rotation{RotationNone, RotationRepeat, RotationRotate}, r.Rotation) {
		errs = append(errs, fmt.Errorf("rotation: want %q, %q or none", RotationRepeat, RotationRotate))
	}
	if !positive(r.Grace) || !positive(r.Lifetime) || !positive(r.Early) {
		errs = append(errs, errors.New("grace, lifetime, early: want 0 to 10 years"))
	}
	if r.PerAccount < 0 {
		errs = append(errs, errors.New("per_account: want 0 or more"))
	}
	if r.Rotation != RotationRotate && (r.Grace != 0 || r.DetectReuse || r.Replay) {
		errs = append(errs, fmt.Errorf("grace, replay, detect_reuse: only with the rotation %q", RotationRotate))
	}
	return errs
}

func positive(d Duration) bool { return d >= 0 && d <= maxLifetime }

func (c Consent) bounded() bool {
	if len(c.Account) > maxText || len(c.Error) > maxText || len(c.Params) > maxMembers {
		return false
	}
	for name, value := range c.Params {
		if len(name) > maxText || len(value) > maxText {
			return false
		}
	}
	return shortTexts(c.Scopes, maxScopes)
}

// shortTexts reports whether list is at most n texts, none empty or long.
func shortTexts(list []string, n int) bool {
	return len(list) <= n && !slices.ContainsFunc(list, func(s string) bool { return s == "" || len(s) > maxText })
}

// redirectable reports whether a browser may be sent to uri (RFC 6749 §3.1.2).
func redirectable(uri string) bool {
	u, err := url.Parse(uri)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.User == nil &&
		!strings.Contains(uri, "#") && len(uri) <= 2*maxText
}

// admits reports whether uri is registered for the client.
func (f *CodeFlow) admits(uri string) bool {
	return slices.Contains(f.RedirectURIs, uri) || f.AnyRedirect && redirectable(uri)
}

// clone copies f deeply.
func (f *CodeFlow) clone() *CodeFlow {
	if f == nil {
		return nil
	}
	g := *f
	g.RedirectURIs = slices.Clone(f.RedirectURIs)
	g.Scopes = slices.Clone(f.Scopes)
	g.Consents = slices.Clone(f.Consents)
	for i, c := range g.Consents {
		g.Consents[i].Scopes = slices.Clone(c.Scopes)
		g.Consents[i].Params = maps.Clone(c.Params)
	}
	return &g
}

// splitScopes reads scopes as they are asked for: providers differ about spaces
// and commas, and no scope has either in it.
func splitScopes(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == ',' })
}
