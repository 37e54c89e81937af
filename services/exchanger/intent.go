package exchanger

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"time"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/secret"
)

// A claim is the durable intent of a request: it says which refresh token is about
// to be sent, and is acknowledged before it leaves. When nobody knows how the
// request ended, at a provider that replaces refresh tokens, the token that is
// stored may have been replaced by one that nobody has. Sent again within the
// provider's grace it is answered as it was before. After that it may end the
// grant, and with it the value in use, at a provider that takes it for stolen
// (RFC 9700 section 4.14.2); so it is kept until that value has little left to lose.

// uses is the grant whose refresh token the claimed exchange sends, nil for none.
func (c *claim) uses() *secret.ConsentGrant {
	switch a := c.secret.Authorization; {
	case !c.secret.Kind.Interactive():
		return nil
	case c.secret.Plan().Action != secret.Authorize:
		return c.grant.Consent
	case a.Accept:
		return c.grant.Held
	default:
		return nil // a code
	}
}

// intend completes a claim with what it is about to send: in a renewal what it has
// sent, whatever has come in its place since.
func (c *claim) intend(claim *secret.Claim) *secret.Claim {
	claim.Attempt = c.secret.Attempts + 1
	if own := c.grant.Claim; own != nil && own.Decision == claim.Decision {
		claim.Token, claim.Fingerprint = own.Token, own.Fingerprint
		return claim
	}
	if token := c.uses(); token != nil && len(token.Sealed) > 0 {
		sum := sha256.Sum256(token.Sealed)
		claim.Token, claim.Fingerprint = token.Generation, hex.EncodeToString(sum[:8])
	}
	return claim
}

// maxReplays is how often what was lost is sent again within a grace. Whoever asks
// is not kept waiting for longer, and of the schedule's attempts some are left for
// when little can be lost.
const maxReplays = 2

// guessedGrace is what is made of a provider whose descriptor does not say that it
// replaces refresh tokens, and that was seen to: most have a grace, of which 10 s
// are the shortest and 30 s are common. It is a guess, so it is tried once.
const guessedGrace = 30 * time.Second

// rotates reports whether the provider replaces refresh tokens, by its descriptor
// or because it did so with the one that is sent; for how long it then takes the one
// before, and how often at most that is sent again within that time.
func (c *claim) rotates() (grace time.Duration, replays int, yes bool) {
	r := c.x.Apps[c.secret.Kind.Provider()].Provider.Refresh
	switch token := c.uses(); {
	case r.Rotates:
		return r.Grace, maxReplays, true
	case token != nil && token.Rotated:
		return guessedGrace, 1, true
	default:
		return 0, 0, false
	}
}

// replayPause is for how long is waited within a grace before a request is
// repeated that was sent and not answered, and how long before the end of a grace
// it counts as over: the request has still to get there.
const replayPause = time.Second

// inGrace reports whether the provider would take what was lost a second time.
func (c *claim) inGrace(lost *secret.Claim, at time.Time) bool {
	return at.Before(c.graceEnds(lost))
}

// replays reports whether the exchange sends again what was lost, within the grace:
// because that was decided, or because whoever sent it has died.
func (c *claim) replays() bool {
	lost := c.lostBefore()
	_, most, _ := c.rotates()
	return c.secret.Replays() || lost != nil && lost.Replays < most && c.inGrace(lost, c.x.now())
}

// graceEnds is when the grace counts as over for what was lost.
func (c *claim) graceEnds(lost *secret.Claim) time.Time {
	grace, _, _ := c.rotates()
	return lost.StartedAt.Add(grace - replayPause)
}

// keptUntil is until when a refresh token that was lost is not sent; zero when there
// is little left to lose, or somebody has asked for it since that was known: for
// whoever asked before, the one that sent it may yet come back with the answer.
func (c *claim) keptUntil(lost *secret.Claim, now time.Time) time.Time {
	last, action := c.secret.LastAttempt(), c.secret.Plan().Action
	insists := c.secret.AskedAt.After(cmp.Or(lost.LostAt, lost.StartedAt))
	if last.After(now) && (action == secret.Refresh || action == secret.Exchange && !insists) {
		return last
	}
	return time.Time{}
}

// replayAt is when a refresh token of which nobody knows whether it was replaced
// is to be sent again; zero for at once.
func (c *claim) replayAt(lost *secret.Claim, now time.Time) time.Time {
	if _, _, rotates := c.rotates(); lost == nil || !rotates || c.inGrace(lost, now) {
		return time.Time{}
	}
	return c.keptUntil(lost, now)
}

// late reports whether what was claimed as a replay within a grace would come after
// it. It is asked once more when the request is about to leave.
func (c *claim) late() bool {
	lost := c.lostBefore()
	return lost != nil && c.inGrace(lost, c.grant.Claim.StartedAt) && !c.replayAt(lost, c.x.now()).IsZero()
}

// refused reports whether the last thing that is known of the grant in use is that
// the provider refused it: there is nothing to lose by asking whether that is so.
func (c *claim) refused() bool {
	o := c.grant.Outcome
	return o != nil && o.Ended && o.Action != secret.Authorize && o.Decision == c.latest()
}

// retryAt is when to try again after a failure, and whether that is a replay within
// a grace; zero where it follows from the schedule.
func (c *claim) retryAt(why *ExchangeError, lost *secret.Claim, now time.Time) (at time.Time, replay bool) {
	if _, replays, rotates := c.rotates(); lost != nil && rotates {
		if at := c.replayIn(why, lost, now); lost.Replays < replays && c.inGrace(lost, at) {
			return at, true
		}
		if last := c.keptUntil(lost, now.Add(max(why.RetryAfter, replayPause))); !last.IsZero() {
			return last, false
		}
	}
	if why.RetryAfter > 0 {
		return now.Add(why.RetryAfter), false
	}
	return time.Time{}, false
}

// replaced is the grant with what came in place of what the claimed exchange sent.
func (c *claim) replaced(by *secret.ConsentGrant) *secret.Grant {
	next := *c.grant
	switch c.uses() {
	case nil: // a code
	case c.grant.Held:
		next.Held = by
	default:
		next.Consent = by
	}
	return &next
}

// replayIn is when to send again what was lost: after a pause, or the one that the
// provider asks for. But when it asks for more than its grace, with an answer that
// may have been the last to the refresh token, a person's consent is worth more than
// one request too early: that is made once, as late as it can be. Answers that say that
// nothing was done (429) lose nothing, and are obeyed.
func (c *claim) replayIn(why *ExchangeError, lost *secret.Claim, now time.Time) time.Time {
	soon, at := now.Add(replayPause), now.Add(max(why.RetryAfter, replayPause))
	if last := c.graceEnds(lost).Add(-replayPause); at.After(last) && last.After(soon) && lost.Replays == 0 {
		return last
	}
	return at
}

// lost is the claim of which nobody knows what became of the refresh token it sent,
// after this one has failed: this one, or the one before, which was in vain sent again.
func (c *claim) lost(why *ExchangeError, now time.Time) *secret.Claim {
	if before := c.lostBefore(); before != nil {
		again := *before
		again.Replays++
		return &again
	}
	if _, _, rotates := c.rotates(); !rotates || c.grant.Claim == nil || c.grant.Claim.Token == 0 || !why.uncertain() {
		return nil
	}
	if c.uses().Generation != c.grant.Claim.Token {
		return nil // it was replaced, and what has replaced it is here
	}
	own := *c.grant.Claim
	own.LostAt = now
	return &own
}

// lostBefore is the claim of which nobody knows whether its request replaced the
// refresh token that this one sends; nil when there is none.
func (c *claim) lostBefore() *secret.Claim {
	token, lost := c.uses(), c.grant.Lost
	if token == nil || lost == nil || lost.Token != token.Generation {
		return nil
	}
	return lost
}

// lose notes that nobody knows what became of the refresh token that a claim
// sent. It counts from when the token was sent first: a grace does so, too.
func lose(g *secret.Grant, sent secret.Claim, now time.Time) {
	if sent.Token != 0 && (g.Lost == nil || g.Lost.Token != sent.Token) {
		sent.LostAt = now
		g.Lost = &sent
	}
	g.Lost = stillLost(g)
}

// stillLost is the claim of which nobody knows, if what it sent is what there is.
func stillLost(g *secret.Grant) *secret.Claim {
	for _, there := range []*secret.ConsentGrant{g.Consent, g.Held} {
		if g.Lost != nil && there != nil && there.Generation == g.Lost.Token {
			return g.Lost
		}
	}
	return nil
}

// salvage puts the refresh token that an overtaken exchange brings, and that is
// nowhere else, in the place of the one it sent, as long as nobody can have sent
// that again: the claim that was given up is still the last one. The decision is made
// anew all the same, and the next exchange sends what was saved: at once, if somebody
// waits for it. After an error it is to be tried again.
func (c *claim) salvage(ctx context.Context, brought *secret.ConsentGrant) error {
	own := c.grant.Claim // nil once its outcome is stored
	if brought == nil || own == nil || own.Token == 0 {
		return nil
	}
	g, rev, err := c.look(ctx)
	switch {
	case err != nil:
		return err
	case c.holds(g):
		return errBehind // it was overtaken
	case !g.Claim.LeftBy(own):
		return nil
	}
	next := *g
	for _, place := range []**secret.ConsentGrant{&next.Consent, &next.Held} {
		if old := *place; old != nil && old.Generation == own.Token {
			*place, next.Lost = brought, nil
		}
	}
	if _, err := c.x.vault.PutGrant(ctx, c.secret.ID, &next, rev); err != nil {
		return err
	}
	c.x.Logger.WarnContext(ctx, "the refresh token that an overtaken exchange brought was saved",
		"secret", c.secret.ID, "generation", c.secret.Decision)
	_, _, err = c.x.secrets.Update(ctx, c.secret.ID, func(s *secret.Secret) error {
		if !s.Saved(c.secret.Decision, c.x.now()) {
			return errVoid
		}
		return nil
	})
	if err != nil && !errors.Is(err, errVoid) {
		c.x.Logger.WarnContext(ctx, "an exchange that was kept back stays so", "secret", c.secret.ID, "error", err)
	}
	return nil
}

// postpone decides anew when a refresh token is to be sent that was lost, because
// the grace is over that it was to be sent in. It returns errVoid.
func (c *claim) postpone(ctx context.Context, at time.Time) error {
	c.x.Logger.InfoContext(ctx, "a refresh waits: the provider may have replaced the refresh token",
		"secret", c.secret.ID, "generation", c.secret.Decision, "due", at)
	c.x.announceInterrupted(ctx, c.secret, events.ExchangeInterrupted{
		Action: string(c.secret.Plan().Action), Generation: c.secret.Decision, Cause: events.CauseKeptBack, NextAttemptAt: at,
	})
	why := c.x.failure(ctx, failed(events.ReasonUnknown, "the answer to a refresh was lost: %s", keptBack), c.x.now())
	return cmp.Or(c.interrupt(ctx, why, at), errVoid)
}

// keptBack is for people, of a refresh that waits.
const keptBack = "the provider may have replaced the refresh token, so it is not sent again while the value in use has long to live"

// neverRevoked makes of the refusal of a token, whose earlier answer was lost, what
// is known of it: nothing.
func (c *claim) neverRevoked(why *ExchangeError) *ExchangeError {
	lost := c.lostBefore()
	if _, _, rotates := c.rotates(); !rotates || why.Reason != events.ReasonGrantEnded || lost == nil {
		return why
	}
	return failed(events.ReasonUnknown, "the answer to the refresh of %s was lost, and the provider does not take what was sent then: "+
		"whether it has replaced it or ended the grant, nobody knows; authorize again", lost.StartedAt.UTC().Format(time.RFC3339))
}
