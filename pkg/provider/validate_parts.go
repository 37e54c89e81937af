package provider

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// The parameters of RFC 6749 and 7636 that a descriptor may rename, and may not
// set itself.
var (
	authorizeParams = []string{"client_id", "redirect_uri", "response_type", "scope", "state"}
	tokenParams     = []string{"client_id", "client_secret", "code", "code_verifier", "grant_type", "redirect_uri", "refresh_token"}
	callbackParams  = []string{"code", "state", "error", "error_description"}
	challengeParams = []string{"code_challenge", "code_challenge_method", "client_secret"}
)

func (d Descriptor) checkRequests(c *checker) {
	c.check(d.AuthStyle != "", "auth_style", "is empty", "write params or header: it is never found out by trying")
	member(c, "auth_style", d.AuthStyle, AuthParams, AuthHeader, AuthPrivateKeyJWT, AuthTLS)
	member(c, "request_format", d.RequestFormat, FormatForm, FormatJSON, FormatQuery)
	member(c, "pkce", d.PKCE, S256)
	grant := func(name string) bool { return name == "grant_type" }
	d.checkParams(c, "authorize_params", d.AuthorizeParams, slices.Concat(authorizeParams, challengeParams))
	d.checkParams(c, "token_params", d.TokenParams, slices.DeleteFunc(slices.Clone(tokenParams), grant))
	d.checkParams(c, "refresh_params", d.RefreshParams, slices.DeleteFunc(slices.Clone(tokenParams), grant))
	c.renames("rename.authorize", d.Rename.Authorize, authorizeParams, "state")
	c.renames("rename.token", d.Rename.Token, tokenParams, "code", "refresh_token")
	c.renames("rename.callback", d.Rename.Callback, callbackParams, callbackParams...)
}

func (d Descriptor) checkParams(c *checker, field string, params map[string]string, ours []string) {
	c.check(len(params) <= maxEntries, field, "has too many entries", fmt.Sprintf("keep to %d", maxEntries))
	for _, name := range slices.Sorted(maps.Keys(params)) {
		at := field + "." + name
		c.check(parameterName.MatchString(name), at, "is not the name of a parameter", "write letters, digits, and . _ -")
		c.check(!slices.Contains(ours, name), at, "is set by the flow itself", "leave it out, or use rename")
		c.texts(map[string]string{at: params[name]})
		for _, n := range placeholderName.FindAllStringSubmatch(params[name], -1) {
			_, known := d.Placeholders[n[1]]
			c.check(known, at, "has the unknown placeholder {"+n[1]+"}", "describe it in placeholders")
		}
	}
}

// renames checks a map of names; those in needed must not be left out.
func (c *checker) renames(field string, names map[string]string, known []string, needed ...string) {
	taken := map[string]bool{}
	for _, name := range known {
		if _, renamed := names[name]; !renamed {
			taken[name] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		at, to := field+"."+name, names[name]
		c.check(slices.Contains(known, name), at, "is not a parameter of this request", oneOf(known))
		if to == "" {
			c.check(!slices.Contains(needed, name), at, "cannot be left out", "write the provider's name for it")
			continue
		}
		c.check(parameterName.MatchString(to), at, "is not the name of a parameter", "write letters, digits, and . _ -")
		c.check(!taken[to], at, "takes a name that is in use", "write another")
		taken[to] = true
	}
}

func (d Descriptor) checkScopes(c *checker) {
	member(c, "scopes.separator", d.Scopes.Separator, SeparatorSpace, SeparatorComma, SeparatorPlus)
	for field, scopes := range map[string][]string{
		"scopes.default": d.Scopes.Default, "scopes.always": d.Scopes.Always, "scopes.allowed": d.Scopes.Allowed,
	} {
		c.check(len(scopes) <= maxEntries, field, "has too many entries", fmt.Sprintf("keep to %d", maxEntries))
		for i, s := range scopes {
			ok := scopeToken.MatchString(s) && !strings.Contains(s, d.Scopes.Separator.String())
			c.check(ok, fmt.Sprintf("%s[%d]", field, i), "is not one scope", "write one visible word per entry")
		}
	}
	if len(d.Scopes.Allowed) == 0 {
		return
	}
	for i, s := range d.Scopes.Default {
		c.check(slices.Contains(d.Scopes.Allowed, s), fmt.Sprintf("scopes.default[%d]", i), "is not allowed", oneOf(d.Scopes.Allowed))
	}
}

func (c *checker) path(field, path string) {
	c.check(path == "" || memberPath.MatchString(path), field, "is not the path of a member", "write names with dots between them: data.token")
}

func (d Descriptor) checkAnswer(c *checker) {
	c.path("answer.token", d.Answer.Token)
	c.path("answer.ok", d.Answer.OK)
	c.path("answer.scopes", d.Answer.Scopes)
	c.check(len(d.Answer.Keep) <= maxEntries && len(d.Answer.KeepCallback) <= maxEntries, "answer.keep", "has too many entries", fmt.Sprintf("keep to %d", maxEntries))
	for i, path := range d.Answer.Keep {
		field := fmt.Sprintf("answer.keep[%d]", i)
		c.check(memberPath.MatchString(path), field, "is not the path of a member", "write names with dots between them: team.id")
		last := path[strings.LastIndexByte(path, '.')+1:]
		c.check(last != "access_token" && last != "refresh_token" && last != "id_token", field, "is a token", "keep what is not secret")
	}
	for i, name := range d.Answer.KeepCallback {
		field := fmt.Sprintf("answer.keep_callback[%d]", i)
		c.check(parameterName.MatchString(name) && name != "code" && name != "state", field, "is not a parameter to keep", "name one that says more about the grant")
	}
	d.checkSubject(c)
	d.checkIssuer(c)
}

func (d Descriptor) checkSubject(c *checker) {
	s := d.Subject
	member(c, "subject.from", s.From, PlaceIDToken, PlaceAnswer, PlaceCallback, PlaceUserinfo)
	c.path("subject.field", s.Field)
	c.check((s.From == "") == (s.Field == ""), "subject.field", "and subject.from go together", "write both or neither")
	c.check((s.From == PlaceUserinfo) == (s.URL != ""), "subject.url", "is for userinfo, which needs it", "write it with from: userinfo only")
}

func (d Descriptor) checkIssuer(c *checker) {
	member(c, "issuer.from", d.Issuer.From, PlaceIDToken, PlaceAnswer, PlaceCallback)
	c.path("issuer.field", d.Issuer.Field)
	c.check((d.Issuer.From == "") == (d.Issuer.Field == ""), "issuer.field", "and issuer.from go together", "write both or neither")
}

func (d Descriptor) checkExpiry(c *checker) {
	e := d.Expiry
	c.path("expiry.field", e.Field)
	c.path("expiry.at", e.At)
	member(c, "expiry.unit", e.Unit, UnitSeconds, UnitMilliseconds, UnitText)
	c.duration("expiry.fixed", e.Fixed)
	c.duration("expiry.default", e.Default)
	c.check(e.Fixed == 0 || e.Default == 0 && !e.Endless && e.At == "" && e.Field == "" && e.Unit == "", "expiry.fixed",
		"is the lifetime whatever an answer says", "leave out the other fields of expiry")
	c.check(!e.Endless || e.Default == 0, "expiry.default", "contradicts endless", "keep one of the two")
}

func (d Descriptor) checkRefresh(c *checker) {
	r := d.Refresh
	member(c, "refresh.issued", r.Issued, IssuedAlways, IssuedSometimes, IssuedNever)
	c.duration("refresh.grace", r.Grace)
	c.duration("refresh.life", r.Life)
	c.duration("refresh.offset", r.Offset)
	c.duration("refresh.max_offset", r.MaxOffset)
	c.duration("refresh.min_gap", r.MinGap)
	c.path("refresh.expires_field", r.ExpiresField)
	c.check(r.Rotates || r.Grace == 0, "refresh.grace", "is for refresh tokens that rotate", "set rotates, or leave it out")
	c.check(r.GraceGenerations >= 0, "refresh.grace_generations", "is negative", "write 0 or more")
	c.check(r.PerAccount >= 0, "refresh.per_account", "is negative", "write 0 or more")
	c.check(!r.Slides || r.Life > 0, "refresh.slides", "is about a life, which is not given", "set life")
	c.check(r.Life == 0 || r.Grace <= r.Life, "refresh.grace", "is longer than the life of the token", "write at most life")
	if r.Issued == IssuedNever {
		none := Refresh{Issued: IssuedNever}
		c.check(r == none, "refresh.issued", "is never, so there is nothing to say about refreshing", "leave out the other fields of refresh")
	}
	lifetime := max(d.Expiry.Fixed, d.Expiry.Default)
	c.check(lifetime == 0 || r.Offset < lifetime, "refresh.offset", "is not shorter than the life of the access token", "write less")
	c.check(r.MaxOffset <= 0 || r.Offset <= r.MaxOffset, "refresh.offset", "is longer than max_offset, when a refresh is of no use yet", "write at most max_offset")
	c.check(lifetime == 0 || r.MinGap <= lifetime-r.Offset, "refresh.min_gap", "leaves no time for a refresh", "write at most lifetime less offset")
}

func (d Descriptor) checkConsent(c *checker) {
	c.duration("consent.reauthorize_after", d.Consent.ReauthorizeAfter)
	c.check(d.Consent.WarnMonths >= 0 && d.Consent.WarnMonths <= 12, "consent.warn_months", "is out of range", "write 0 to 12")
	c.check(len(d.Consent.Reminders) <= maxEntries, "consent.reminders", "has too many entries", fmt.Sprintf("keep to %d", maxEntries))
	for i, r := range d.Consent.Reminders {
		field := fmt.Sprintf("consent.reminders[%d]", i)
		c.duration(field, r)
		c.check(r != 0, field, "is zero", "write how long before the end")
		c.check(i == 0 || r < d.Consent.Reminders[i-1], field, "is not shorter than the one before", "write the longest first")
	}
}

func (d Descriptor) checkErrors(c *checker) {
	c.check(len(d.Errors) <= maxEntries, "errors", "has too many entries", fmt.Sprintf("keep to %d", maxEntries))
	for i, r := range d.Errors {
		field := fmt.Sprintf("errors[%d]", i)
		c.path(field+".field", r.Field)
		c.check(r.Value != "", field+".value", "is empty", "write what the provider answers")
		c.check(r.Meaning != "", field+".meaning", "is empty", "write what follows from the error")
		member(c, field+".meaning", r.Meaning, NeedsHuman, NeedsConfig, AdminPolicy, Retry, Wait)
		c.texts(map[string]string{field + ".value": r.Value, field + ".hint": r.Hint})
	}
}
