package exchanger

import (
	"cmp"
	"context"
	"maps"
	"time"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/provider"
	"github.com/rekindle-dev/rekindle/pkg/seal"
	"github.com/rekindle-dev/rekindle/pkg/secret"
)

// fieldRefreshToken is what a refresh token is bound to when it is sealed.
const fieldRefreshToken = secret.FieldRefreshToken

// defaultOffset is how long before its end a token is refreshed whose provider's
// descriptor does not say (contract A11, Google).
const defaultOffset = 30 * time.Minute

// consented gets the value of a secret that a person consents to: with the code
// that a consent brought, or with what the exchange before left (contract A13).
func (x *Exchanger) consented(ctx context.Context, c *claim, action secret.Action, now time.Time) (got, error) {
	name := c.secret.Kind.Provider()
	app, ok := x.Apps[name]
	if !ok {
		return got{}, failed(events.ReasonNotRegistered, "no app is registered here for the provider %s: set providers.%s.client_id in the configuration of the exchangers", name, name)
	}
	switch {
	case action != secret.Authorize:
		return x.renew(ctx, c, app, c.grant.Consent, now)
	case c.secret.Authorization.Accept:
		return x.renew(ctx, c, app, c.grant.Held, now)
	default:
		return x.redeem(ctx, c, app, now)
	}
}

// redeem exchanges the code of a consent (RFC 6749 section 4.1.3).
func (x *Exchanger) redeem(ctx context.Context, c *claim, app App, now time.Time) (got, error) {
	given := c.consent
	if given.Answered.ClientID != app.ClientID {
		return got{}, appChanged(app)
	}
	if i := app.Provider.Issuer; i.From == provider.PlaceCallback && app.Provider.Elsewhere(given.Callback[i.Field]) {
		return got{}, elsewhere(app) // where it is sent, the code is not known
	}
	tokens, err := x.sendCode(ctx, c.secret.ID, app, given)
	defer tokens.Refresh.Wipe()
	if err != nil {
		tokens.Access.Wipe()
		return got{}, err
	}
	authorizedAt := c.secret.Authorization.ConsentedAt
	fresh := &secret.ConsentGrant{
		ClientID: app.ClientID, AuthorizedAt: authorizedAt,
		Account: secret.Account(app.Provider.Name, cmp.Or(tokens.Subject, given.Callback[app.Provider.Subject.Field])),
		Scopes:  scopes(app, c.secret, tokens), Extra: merge(given.Callback, tokens.Extra),
		// The provider is the same.
		Rotated: c.grant.Consent != nil && c.grant.Consent.Rotated,
	}
	missing := tokens.Refresh.IsZero() && (app.Provider.Refresh.Issued == "" || app.Provider.Refresh.Issued == provider.IssuedAlways)
	if missing {
		fresh = c.kept(fresh)
	}
	if fresh == nil {
		tokens.Access.Wipe()
		return got{}, failed(events.ReasonNoRefreshToken, "%s gave no refresh token: check that the app may have one, and authorize again", app.label())
	}
	if err := x.seal(c, fresh, tokens.Refresh); err != nil {
		tokens.Access.Wipe()
		return got{}, err
	}
	g := x.granted(c, app, fresh, tokens, now)
	g.held = another(c.grant.Consent, fresh)
	if g.force = missing; missing {
		g.warn(events.WarningRefreshTokenKept, "%s gave no refresh token with the last consent: that of the consent before is kept, and the next dialog will force consent", app.label())
	}
	return g, err
}

// kept is the consent in use with what a fresh one says that brought no refresh
// token, because the account had consented to the app before. It is nil unless it
// is surely the same account's, and there is no sign that it has ended.
func (c *claim) kept(fresh *secret.ConsentGrant) *secret.ConsentGrant {
	old, a := c.grant.Consent, c.secret.Authorization
	if old == nil || len(old.Sealed) == 0 || old.ClientID != fresh.ClientID ||
		old.Account == "" || old.Account != fresh.Account || !a.EndedAt.IsZero() || a.Strikes > 0 {
		return nil
	}
	kept := *old
	kept.Scopes, kept.Extra = fresh.Scopes, merge(old.Extra, fresh.Extra)
	return &kept
}

// scopes are those that a consent granted: as asked for, unless the answer says
// otherwise (RFC 6749 section 5.1).
func scopes(app App, s *secret.Secret, tokens Tokens) []string {
	if len(tokens.Scopes) > 0 {
		return tokens.Scopes
	}
	return app.Provider.Requested(s.Credentials.Scopes)
}

// sendCode opens the code, sends it, and asks what its answer does not tell. Where
// its refresh token belongs follows from whose it is, so nothing is saved meanwhile:
// who dies now has spent the code.
func (x *Exchanger) sendCode(ctx context.Context, id string, app App, given *secret.Consent) (Tokens, error) {
	d := given.Answered
	code, err := x.unseal(ctx, id, secret.FieldCode, d.Number, given.Code)
	if err != nil {
		return Tokens{}, err
	}
	defer code.Wipe()
	verifier, err := x.unseal(ctx, id, secret.FieldVerifier, d.Number, d.Verifier)
	if err != nil {
		return Tokens{}, err
	}
	defer verifier.Wipe()
	tokens, err := x.Client.Code(ctx, app, code, verifier, d.RedirectURI)
	if err != nil {
		return tokens, err
	}
	if tokens, err = x.Client.Complete(ctx, app, tokens); err == nil {
		tokens = x.Client.Identify(ctx, app, tokens)
	}
	return tokens, err
}

// renew uses a refresh token (RFC 6749 section 6).
func (x *Exchanger) renew(ctx context.Context, c *claim, app App, use *secret.ConsentGrant, now time.Time) (got, error) {
	switch {
	case use == nil:
		return got{}, failed(events.ReasonGrantEnded, "nobody has consented yet: authorize the secret")
	case len(use.Sealed) == 0:
		return got{}, failed(events.ReasonGrantEnded, "%s gave no refresh token with the consent: authorize again", app.label())
	case use.ClientID != app.ClientID:
		return got{}, appChanged(app)
	}
	token, err := x.unseal(ctx, c.secret.ID, fieldRefreshToken, use.Generation, use.Sealed)
	if err != nil {
		return got{}, err
	}
	defer token.Wipe()
	tokens, failure := x.Client.Refresh(ctx, app, token, c.late)
	defer tokens.Refresh.Wipe()
	next := *use
	next.Rotated = use.Rotated || !tokens.Refresh.IsZero() && !tokens.Refresh.Equal(token)
	next.Extra = merge(use.Extra, tokens.Extra)
	if len(tokens.Scopes) > 0 {
		next.Scopes = tokens.Scopes
	}
	if err := x.seal(c, &next, tokens.Refresh); err != nil {
		tokens.Access.Wipe()
		return got{}, err
	}
	if failure == nil {
		tokens, failure = x.complete(ctx, c, app, next, tokens)
	}
	if failure != nil && tokens.Refresh.IsZero() {
		tokens.Access.Wipe()
		return got{}, failure
	}
	g := x.granted(c, app, &next, tokens, now)
	if app.Provider.Refresh.Rotates && tokens.Refresh.IsZero() {
		g.warn(events.WarningRotationLeftOut, "%s replaces refresh tokens, but its answer had none: the one that was sent is kept, and may be good no longer", app.label())
	}
	if failure != nil {
		// What came is of no use, but the refresh token with it: the one that was
		// sent may be spent.
		g.value.Wipe()
		return got{consent: g.consent}, failure
	}
	return g, nil
}

// complete asks what the answer to a refresh does not tell. What it brought in place
// of the refresh token is saved by then: who dies now has lost no more than a value.
func (x *Exchanger) complete(ctx context.Context, c *claim, app App, next secret.ConsentGrant, tokens Tokens) (Tokens, error) {
	if !tokens.Refresh.IsZero() && app.introspects(tokens) {
		c.save(ctx, &next)
	}
	return x.Client.Complete(ctx, app, tokens)
}

// seal puts a refresh token into a consent, if there is one.
func (x *Exchanger) seal(c *claim, consent *secret.ConsentGrant, token seal.Plaintext) error {
	if token.IsZero() {
		return nil
	}
	sealed, err := x.opener.Seal(seal.Binding{
		Secret: c.secret.ID, Field: fieldRefreshToken, Generation: c.secret.Decision,
	}, token)
	if err == nil {
		consent.Sealed, consent.Generation = sealed, c.secret.Decision
	}
	return err
}

// granted is what an answer comes to. Consent, which has its refresh token, is
// completed with what else is new.
func (x *Exchanger) granted(c *claim, app App, consent *secret.ConsentGrant, tokens Tokens, now time.Time) got {
	g := got{
		value: tokens.Access, consent: consent,
		lifetime: tokens.Lifetime, offset: app.offset(tokens.Lifetime), last: len(consent.Sealed) == 0,
	}
	consent.EndsAt = app.endsAt(consent, tokens, now)
	if end := now.Add(tokens.Lifetime); near(end, consent.EndsAt) && near(end, c.secret.ExpiresAt) {
		// It is cut to the end of the consent, as was the one before: a refresh
		// gains nothing any more, until at the end it tells that this has come.
		g.offset = 0
	}
	g.authorized = &secret.Authorized{
		At: consent.AuthorizedAt, ReauthorizeBy: consent.EndsAt, Reminders: app.reminders(), Scopes: consent.Scopes,
		Account: consent.Account,
	}
	g.warnOfScopes(app.Provider.Asked(c.secret.Credentials.Scopes), consent.Scopes)
	return g
}

// unseal opens what was sealed for a dialog, or a refresh token.
func (x *Exchanger) unseal(ctx context.Context, id, field string, generation uint64, sealed []byte) (seal.Plaintext, error) {
	p, err := x.opener.Open(seal.Binding{Secret: id, Field: field, Generation: generation}, sealed)
	if err != nil {
		return seal.Plaintext{}, x.cannotOpen(ctx, id, field, "authorize again", err)
	}
	return p, nil
}

// appChanged is for a consent that was given to an app that is no longer used.
func appChanged(app App) error {
	e := failed(events.ReasonAppRefused, "the consent was given to another app than the one that is registered here with %s now: authorize again", app.label())
	e.Foreign = true
	return e
}

// elsewhere is for an account that is in another region than the app is registered
// for here.
func elsewhere(app App) error {
	return failed(events.ReasonAppRefused, "the account is in another region of %s than the one that token_url goes to: set the endpoints, or the values, of the account's region, and authorize again", app.label())
}

// another reports whether a consent may be another account's: it is where the
// account of the grant in use is known, and that of the consent is not the same,
// be it because the provider did not tell it this time.
func another(old, fresh *secret.ConsentGrant) bool {
	return old != nil && old.Account != "" && old.Account != fresh.Account
}

// merge returns a with what b says anew.
func merge(a, b map[string]string) map[string]string {
	if len(b) == 0 {
		return a
	}
	all := make(map[string]string, len(a)+len(b))
	maps.Copy(all, a)
	maps.Copy(all, b)
	return all
}

// label is the provider's name for people.
func (a App) label() string { return cmp.Or(a.Provider.Label, a.Provider.Name) }

// offset is how long before its end a token of this lifetime is refreshed. No
// person chose it for the secret, so it gives way: to what the provider allows,
// and to the first half of a life that is shorter than foreseen.
func (a App) offset(lifetime time.Duration) time.Duration {
	r := a.Provider.Refresh
	offset := cmp.Or(r.Offset, defaultOffset)
	if r.MaxOffset > 0 {
		offset = min(offset, r.MaxOffset)
	}
	if r.MinGap > 0 {
		offset = min(offset, max(0, lifetime-r.MinGap))
	}
	return min(offset, lifetime/2)
}

// rounding is by how much an end may move without having moved: answers give
// what is left in whole seconds, and are under way for a while.
const rounding = time.Minute

// endsAt is when a consent ends, however often it is refreshed: the earliest of
// what the answer, the provider's rules and the exchanges before say. An end
// that each use puts off is none: the refreshes see to it.
func (a App) endsAt(consent *secret.ConsentGrant, tokens Tokens, now time.Time) time.Time {
	end := consent.EndsAt
	earlier := func(by time.Time) {
		if end.IsZero() || by.Before(end.Add(-rounding)) {
			end = by
		}
	}
	if r := a.Provider.Consent.ReauthorizeAfter; r > 0 {
		earlier(consent.AuthorizedAt.Add(r))
	}
	if !a.Provider.Refresh.Slides {
		if life := a.Provider.Refresh.Life; life > 0 {
			earlier(consent.AuthorizedAt.Add(life))
		}
		if tokens.RefreshLifetime > 0 {
			earlier(now.Add(tokens.RefreshLifetime))
		}
	}
	if len(consent.Sealed) == 0 && tokens.Lifetime > 0 {
		earlier(now.Add(tokens.Lifetime))
	}
	return end
}

// near reports whether two moments are the same but for rounding.
func near(a, b time.Time) bool { return a.Sub(b).Abs() <= rounding }

// reminders say when the end of a consent is announced.
func (a App) reminders() secret.Reminders {
	c := a.Provider.Consent
	if c.WarnMonths == 0 && len(c.Reminders) == 0 {
		return secret.DefaultReminders()
	}
	return secret.Reminders{Months: c.WarnMonths, Before: c.Reminders}
}
