package secret

import (
	"cmp"
	"time"
)

// Grant is the journal of a secret's exchanges. It is written by exchangers
// only, and every write expects the revision that was read, so that a writer
// who was thought dead and comes back too late is refused.
type Grant struct {
	// Claim is the open claim: somebody may have sent a request for it.
	Claim *Claim `json:"claim,omitempty"`
	// Outcome is the result of the last closed claim.
	Outcome *Outcome `json:"outcome,omitempty"`
	// Consent is what the consent in use yielded; nil for kinds that need none,
	// and until there is one.
	Consent *ConsentGrant `json:"consent,omitempty"`
	// Held is what a consent of another account yielded; it is not used until
	// somebody says so.
	Held *ConsentGrant `json:"held,omitempty"`
	// Lost is the last claim of which nobody knows whether the provider carried
	// out its request, as long as the refresh token that it sent is the one there
	// is: the provider may have put another in its place.
	Lost *Claim `json:"lost,omitempty"`
	// Credential is a copy of the Credential record that is quicker to open. It is
	// good as long as its generation is the one that the secret names; nil until
	// there is one.
	Credential *Credential `json:"credential,omitempty"`
}

// ConsentGrant is what a person's consent yielded, as the last exchange left it.
type ConsentGrant struct {
	// Generation is the decision whose exchange yielded the refresh token: it is
	// part of what the ciphertext is bound to.
	Generation uint64 `json:"generation"`
	// Sealed is the refresh token; empty when the provider gave none, and then
	// the consent ends with the access token.
	Sealed []byte `json:"sealed,omitempty"`
	// ClientID is the app that the consent is for. No other can use it.
	ClientID string `json:"client_id"`
	// Account is a fingerprint of the account that consented; empty when the
	// provider does not say which it was.
	Account string `json:"account,omitempty"`
	// AuthorizedAt is when the consent was given.
	AuthorizedAt time.Time `json:"authorized_at"`
	// EndsAt is when it ends, however often it is refreshed; zero when not known.
	EndsAt time.Time `json:"ends_at,omitzero"`
	// Scopes are those that were granted, as far as the provider says.
	Scopes []string `json:"scopes,omitempty"`
	// Rotated tells that a refresh was seen to bring another refresh token.
	Rotated bool `json:"rotated,omitempty"`
	// Extra is what else belongs to the grant (provider.Answer.Keep).
	Extra map[string]string `json:"extra,omitempty"`
}

// With returns a copy of the grant with another claim and outcome. All else in
// it stays: whoever writes a grant must not lose what it does not know.
func (g *Grant) With(c *Claim, o *Outcome) *Grant {
	next := *g
	next.Claim, next.Outcome = c, o
	return &next
}

// Claim is the right to exchange a secret once, for one decision.
type Claim struct {
	Decision uint64 `json:"decision"`
	// Holder names the exchanger, for logs.
	Holder    string    `json:"holder"`
	StartedAt time.Time `json:"started_at"`
	// Token is the generation of the refresh token that the request sends, and
	// Fingerprint tells it from all others; both are empty when it sends none.
	Token       uint64 `json:"token,omitempty"`
	Fingerprint string `json:"fingerprint,omitempty"`
	// Attempt counts the attempts of the refresh, from 1.
	Attempt int `json:"attempt,omitempty"`
	// LostAt is, of a claim that is lost, when that was known; zero when that was not
	// noted.
	LostAt time.Time `json:"lost_at,omitzero"`
	// Replays counts, of a claim that is lost, the attempts since to send its token
	// again that were in vain.
	Replays int `json:"replays,omitempty"`
	// Until is when others may think the holder dead. Safety does not hang on
	// it: a holder that is late finds its revision gone.
	Until time.Time `json:"until"`
	// Last is, in the claim of a test, the last decision that was claimed before
	// it: however the test ends, that is not to be forgotten.
	Last uint64 `json:"last,omitempty"`
}

// Live reports whether the holder may still be at work at the time now.
func (c *Claim) Live(now time.Time) bool { return now.Before(c.Until) }

// LeftBy reports whether c is what is left of the claim o, and nobody has claimed
// since: a decision is claimed once.
func (c *Claim) LeftBy(o *Claim) bool {
	return c != nil && c.Until.IsZero() && c.Decision == o.Decision
}

// Answers reports whether the grant holds the outcome of decision d.
func (g *Grant) Answers(d uint64) bool { return g.Outcome != nil && g.Outcome.Decision == d }

// Outcome is how an exchange ended, complete enough to bring the secret's
// record and its artifact up to date without another exchange.
type Outcome struct {
	Decision uint64 `json:"decision"`
	// Action is what it was the outcome of: exchange, refresh or authorize.
	Action Action `json:"action,omitempty"`
	// StartedAt is when the exchange began, zero when that is not known.
	StartedAt time.Time `json:"started_at,omitzero"`
	At        time.Time `json:"at"`
	// Failure is nil when the exchange succeeded.
	Failure *Failure `json:"failure,omitempty"`
	// Answered tells that the failure is what the provider said, and not that it
	// could not be asked.
	Answered bool `json:"answered,omitempty"`
	// Ended tells that the provider refused the grant for good.
	Ended bool `json:"ended,omitempty"`
	// Foreign tells that the grant was given to another app than the one that is
	// registered now. Somebody has to consent to that one, unless the other is
	// registered again.
	Foreign bool `json:"foreign,omitempty"`
	// RetryAt is when the next attempt is to be, where that does not follow from
	// the schedule: the provider asked for patience, or what was sent may have
	// been replaced. Zero otherwise.
	RetryAt time.Time `json:"retry_at,omitzero"`
	// Replay tells that at RetryAt the provider still takes what was sent, and not
	// for long: the next attempt is then, whatever else there is to wait for.
	Replay bool `json:"replay,omitempty"`
	// Down tells that the failure was the host's, which fails for all who ask it.
	// It is asked again at RetryAt, and that takes no attempt away.
	Down bool `json:"down,omitempty"`
	// Held tells that the consent was another account's: what it yielded is
	// kept apart, and the grant in use serves on.
	Held bool `json:"held,omitempty"`
	// Authorized is what is known of the grant that was used; nil for kinds that
	// have none.
	Authorized *Authorized `json:"authorized,omitempty"`
	// Warnings are what it noticed besides; a failure has none.
	Warnings []Warning `json:"warnings,omitempty"`
	// ForceConsent tells that a consent brought no refresh token although there
	// is one to be had: the next dialog must not go by a consent of before.
	ForceConsent bool `json:"force_consent,omitempty"`
	// Environment is where the value goes; empty when the secret had none, and
	// then there is no Sealed either: the value is thrown away (contract A10).
	Environment string `json:"environment,omitempty"`
	// Sealed is the value until the next decision is claimed: by then it has been
	// deployed, or never will be.
	Sealed []byte `json:"sealed,omitempty"`
	// ExpiresAt and RefreshAt are zero for values that do not end.
	ExpiresAt time.Time `json:"expires_at,omitzero"`
	RefreshAt time.Time `json:"refresh_at,omitzero"`
	// NextAt is when the next refresh begins, if before RefreshAt; zero otherwise.
	NextAt time.Time `json:"next_at,omitzero"`
}

// Next is when the value is refreshed, zero for one that is not.
func (o *Outcome) Next() time.Time { return cmp.Or(o.NextAt, o.RefreshAt) }

// Dates computes expires_at and refresh_at, once, from the moment the request
// was about to be sent: counted from there, a token never dies before its
// expires_at, however long the answer took.
func Dates(requestedAt time.Time, lifetime, offset time.Duration) (expiresAt, refreshAt time.Time) {
	expiresAt = moment(requestedAt.Add(lifetime))
	return expiresAt, moment(expiresAt.Add(-offset))
}

// Apply brings the record up to date with the outcome of its current decision.
// It reports false, and changes nothing, when the outcome belongs to another
// decision: something newer was decided while the exchange ran.
func (s *Secret) Apply(o *Outcome, now time.Time) bool {
	if o.Decision != s.Decision || !s.DeletedAt.IsZero() {
		return false
	}
	now = moment(now)
	s.UpdatedAt = now
	if o.Action == Authorize && (o.Failure == nil || o.ForceConsent) {
		s.authorization().ForceConsent = o.ForceConsent
	}
	switch {
	case o.Failure != nil && o.Action == Authorize:
		s.failConsent(o, now)
	case o.Failure != nil:
		s.fail(o, now)
	case o.Held:
		s.consentSpent()
		s.Authorization.HeldAt = now
	default:
		s.succeed(o, now)
	}
	if o.Replay {
		s.ReplayAt = later(o.RetryAt, now)
	}
	s.Decision++
	if o.Action == Authorize && !s.ConsentWaits() {
		s.deployAttached(now)
	}
	return true
}

func (s *Secret) succeed(o *Outcome, now time.Time) {
	s.authorized(o)
	if s.Status == Succeeded && o.Action != Authorize {
		s.RefreshStatus = Succeeded
	} else {
		s.RefreshStatus = ""
	}
	s.Status, s.StatusDetails, s.RefreshStatusDetails = Succeeded, nil, nil
	s.Warnings = o.Warnings
	s.Generation, s.Attempts, s.RefreshLate = o.Decision, 0, false
	s.FailingSince, s.AlarmedAt = time.Time{}, time.Time{}
	s.ExpiresAt, s.RefreshAt, s.NextAttemptAt = o.ExpiresAt, o.RefreshAt, time.Time{}
	if o.Environment != "" {
		// Also when it is the secret's no longer: then it has to be withdrawn.
		s.Deployed = o.Environment
	}
	if s.Environment == "" || s.Environment != o.Environment {
		return // the value was thrown away: not active, not refreshed
	}
	// Without a moment to refresh at there is nothing to refresh with.
	s.ActivatedAt, s.NextAttemptAt = now, o.Next()
}

// failConsent is fail for the exchange of what a consent brought.
func (s *Secret) failConsent(o *Outcome, now time.Time) {
	a := s.authorization()
	if o.Replay && a.Accept {
		a.ConsentedAt, a.Failure = later(o.RetryAt, now), o.Failure // it still waits
		return
	}
	if o.Ended && a.Accept {
		a.HeldAt = time.Time{} // what was held is good for nothing
	}
	s.consentSpent()
	s.unauthorized(o.Failure)
}

// consentSpent notes that what a consent brought was used, for better or worse.
func (s *Secret) consentSpent() {
	a := s.authorization()
	a.ConsentedAt, a.Accept = time.Time{}, false
}

// begun is when the exchange began, as far as it is known.
func (o *Outcome) begun() time.Time {
	if o.StartedAt.IsZero() {
		return o.At
	}
	return o.StartedAt
}

func (s *Secret) fail(o *Outcome, now time.Time) {
	planned := s.NextAttemptAt
	s.NextAttemptAt = time.Time{}
	if o.Foreign {
		s.authorization().Required = true
	}
	over := s.struck(o, now)
	if over {
		s.ended(o.Failure, now) // it is of no use to call any more
	}
	if s.Status != Succeeded {
		s.failAsked(o, over, now)
		return
	}
	if !o.Down {
		s.Attempts++
	}
	s.RefreshStatus, s.RefreshStatusDetails = Failed, o.Failure
	if s.FailingSince.IsZero() {
		s.FailingSince = moment(o.At)
	}
	if over || s.Environment == "" { // that was taken away meanwhile: not refreshed any more
		return
	}
	s.RefreshLate = s.RefreshLate || late(later(planned, s.RefreshAt), o.begun(), s.ExpiresAt.Sub(s.RefreshAt))
	if at, again := s.retry(o, now); again {
		s.RefreshStatus, s.NextAttemptAt = Pending, at
	}
}

// failAsked is about an exchange that a person waits for. It is tried again only
// where it is not known yet what became of it, and then the person waits on.
func (s *Secret) failAsked(o *Outcome, over bool, now time.Time) {
	s.Status, s.StatusDetails = Failed, o.Failure
	s.endRefresh()
	switch {
	case o.Replay:
		s.Status, s.NextAttemptAt = Pending, later(o.RetryAt, now)
	case o.Ended && !over:
		s.Status, s.NextAttemptAt = Pending, moment(now.Add(confirmAsked))
	}
}

// A refusal for good is put to the test, once, since providers are known to take
// one back: in confirmIn, or confirmAsked when a person waits for it.
const (
	confirmIn    = time.Minute
	confirmAsked = time.Second
)

// struck counts the refusals for good that come one after the other, and reports
// whether this is the second, or was foreseen.
func (s *Secret) struck(o *Outcome, now time.Time) bool {
	a := s.Authorization
	switch {
	case o.Ended:
		a = s.authorization()
		a.Strikes++
		return a.Strikes > 1 || s.foreseen(now)
	case o.Answered && a != nil:
		a.Strikes = 0
	}
	return false
}

// retry returns when to try again after the failed attempt, or false when the
// refresh is given up. A provider that asks for patience is not given up before
// the value in use has ended; but from the last attempt on it is asked no more
// often than the schedule would.
func (s *Secret) retry(o *Outcome, now time.Time) (time.Time, bool) {
	at, again := s.nextAttempt(now)
	left := s.ExpiresAt.Sub(now)
	switch {
	case o.Ended:
		return moment(now.Add(min(confirmIn, max(left/2, time.Second)))), true
	case o.Replay:
		s.RefreshLate = true // the places that pass meanwhile are not lost
		return later(o.RetryAt, now), true
	case o.RetryAt.IsZero():
		return at, again
	case o.Down: // also when the value has ended: nobody but the host can mend it
		s.RefreshLate = true
		return later(o.RetryAt, now.Add(time.Second)), true
	case s.Attempts < attempts(s.ExpiresAt.Sub(s.RefreshAt)):
		s.RefreshLate = true // the places that pass meanwhile are not lost
		return later(o.RetryAt, now.Add(time.Second)), true
	default:
		at = later(o.RetryAt, now.Add(lateStep(s.ExpiresAt.Sub(s.RefreshAt), left)))
		return at, at.Before(s.ExpiresAt)
	}
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		a = b
	}
	return moment(a)
}

// LastAttempt is the last moment at which a refresh is tried unless it was held
// up: after it, little of the value in use can be lost.
func (s *Secret) LastAttempt() time.Time {
	return place(s.RefreshAt, s.ExpiresAt.Sub(s.RefreshAt), MaxAttempts-1)
}

// Interrupt gives up a decision whose claim was left open: nobody knows whether
// its request was answered, as the failure unknown says. The next decision is due
// at once, or not before replayAt, also when somebody waits for it, and takes no
// attempt away, because an interruption is not a failure; but a code is not sent a second time (RFC 6749
// section 4.1.2), so of a consent the failure is what remains. It reports false,
// and changes nothing, when d is no longer the current decision.
func (s *Secret) Interrupt(d uint64, unknown *Failure, replayAt time.Time) bool {
	if s.Decision != d || !s.DeletedAt.IsZero() {
		return false
	}
	s.Decision++
	switch {
	case s.ConsentWaits() && !s.Authorization.Accept:
		s.consentSpent()
		s.unauthorized(unknown)
		s.deployAttached(unknown.At)
	case s.Status == Succeeded && replayAt.After(s.NextAttemptAt) && !s.NextAttemptAt.IsZero():
		s.NextAttemptAt, s.RefreshLate = moment(replayAt), true
		s.RefreshStatus, s.RefreshStatusDetails = Pending, unknown
	case s.Status == Pending && replayAt.After(s.NextAttemptAt) && !s.NextAttemptAt.IsZero():
		s.NextAttemptAt, s.StatusDetails = moment(replayAt), unknown
	}
	return true
}

// Saved decides that an exchange that somebody waits for, and that was kept back when
// decision d was interrupted, is made at once: its answer has come, too late, but with
// what there was to lose. It reports false, and changes nothing, when there is none.
func (s *Secret) Saved(d uint64, now time.Time) bool {
	if s.Decision != d+1 || s.Status != Pending || !s.NextAttemptAt.After(now) {
		return false
	}
	s.Decision++
	s.NextAttemptAt, s.StatusDetails = moment(now), nil
	return true
}

// deployAttached asks for the exchange that the secret needs to be deployed in an
// environment that it was given while a consent waited.
func (s *Secret) deployAttached(now time.Time) {
	if s.Status == Succeeded && s.Environment != "" && s.ActivatedAt.IsZero() {
		s.Ask(now)
	}
}
