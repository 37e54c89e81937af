package secret

import (
	"slices"
	"time"
)

// Authorization is how matters stand with the person whose consent a secret of
// an interactive kind needs (contract A13). It has a clock of its own: apart from
// when the token has to be refreshed, when somebody has to consent again.
type Authorization struct {
	// AskedUntil is until when the dialog is open that was asked for last. As
	// long as it is, the secret shows as pending, while the grant in use, if
	// there is one, goes on being refreshed.
	AskedUntil time.Time `json:"asked_until,omitzero"`
	// ConsentedAt is when a consent came whose code waits to be exchanged, or when
	// the held grant was accepted, or is to be tried again; zero when none waits.
	ConsentedAt time.Time `json:"consented_at,omitzero"`
	// Accept tells that what waits is not a code but the held grant.
	Accept bool `json:"accept,omitempty"`
	// HeldAt is when a consent came that was another account's than the grant
	// in use; zero when none is held. It takes a decision to use it.
	HeldAt time.Time `json:"held_at,omitzero"`
	// Failure is why the last dialog brought no grant; nil when it did.
	Failure *Failure `json:"failure,omitempty"`
	// ForceConsent tells that the next dialog has to ask for consent even of an
	// account that has given it: the last one brought no refresh token.
	ForceConsent bool `json:"force_consent,omitempty"`

	// AuthorizedAt is when the grant in use was given; zero when there is none.
	AuthorizedAt time.Time `json:"authorized_at,omitzero"`
	// Scopes are those that were granted with it, as far as is known.
	Scopes []string `json:"scopes,omitempty"`
	// Account is the fingerprint of the account that it is of, as in ConsentGrant.
	Account string `json:"account,omitempty"`
	// AliveAt is when it was last good for a refresh; AuthorizedAt until it was.
	AliveAt time.Time `json:"alive_at,omitzero"`
	// Strikes counts how often in a row the provider refused it for good.
	Strikes int `json:"strikes,omitempty"`
	// EndedAt is when the provider said that it has ended; zero when it did not.
	EndedAt time.Time `json:"ended_at,omitzero"`
	// ReauthorizeBy is when it ends, however often it is refreshed; zero when
	// no such end is known.
	ReauthorizeBy time.Time `json:"reauthorize_by,omitzero"`
	// Notices are the moments at which it is still to be said that somebody has
	// to consent by then, in order.
	Notices []time.Time `json:"notices,omitempty"`
	// Required tells that somebody has to consent again: the first notice has
	// been given, or the grant has ended.
	Required bool `json:"required,omitempty"`

	// Imported is the generation of the refresh token that came with an import, as
	// long as no exchange with it has succeeded; 0 otherwise.
	Imported uint64 `json:"imported,omitempty"`

	// Lived is for how long the grant before was good, when it ended unforeseen.
	// Two that lived about as long make a rule: Observed.
	Lived    time.Duration `json:"lived,omitempty"`
	Observed time.Duration `json:"observed,omitempty"`
}

// Authorized is what an exchange found out about the grant it used.
type Authorized struct {
	// At is when the grant was given.
	At time.Time `json:"at"`
	// ReauthorizeBy is when it ends, by the provider's answer or rule; zero when
	// neither says.
	ReauthorizeBy time.Time `json:"reauthorize_by,omitzero"`
	Reminders     Reminders `json:"warnings"`
	// Scopes are those that were granted, as far as is known.
	Scopes []string `json:"scopes,omitempty"`
	// Account is the fingerprint of the account, empty when it is not known.
	Account string `json:"account,omitempty"`
}

// Reminders say how long before the end of a grant it is announced.
type Reminders struct {
	// Months is how many calendar months before the first notice is.
	Months int `json:"months,omitempty"`
	// Before is how long before each further notice is, longest first.
	Before []time.Duration `json:"before,omitempty"`
}

// DefaultReminders are three months, 30, 14, 7 and 1 days.
func DefaultReminders() Reminders {
	const day = 24 * time.Hour
	return Reminders{Months: 3, Before: []time.Duration{30 * day, 14 * day, 7 * day, day}}
}

// Notices returns when the end, at by, of what began at from is announced, in
// order. None is in the first half of its life: what lives for a week would be
// announced from its first moment on.
func (r Reminders) Notices(from, by time.Time) []time.Time {
	if by.IsZero() {
		return nil
	}
	var at []time.Time
	if r.Months > 0 {
		at = append(at, monthsBefore(by, r.Months))
	}
	for _, before := range r.Before {
		at = append(at, by.Add(-before))
	}
	half := moment(from.Add(by.Sub(from) / 2))
	for i, t := range at {
		if at[i] = moment(t); t.Before(half) {
			at[i] = half
		}
	}
	slices.SortFunc(at, time.Time.Compare)
	return slices.Compact(at)
}

// monthsBefore goes n calendar months back. Where the month is too short for
// the day, its last day is meant.
func monthsBefore(t time.Time, n int) time.Time {
	back := t.AddDate(0, -n, 0)
	if back.Day() != t.Day() {
		back = back.AddDate(0, 0, -back.Day())
	}
	return back
}

// StatusAt is the status to show at the time now: a secret whose dialog is open,
// or whose code is being exchanged, shows as pending, and as what it was when
// nobody comes (contract A13).
func (s *Secret) StatusAt(now time.Time) Status {
	if s.Authorization.Awaited(now) {
		return Pending
	}
	return s.Status
}

// Awaited reports whether a person, or what came of a consent, is waited for at
// the time now. Nothing is for nil.
func (a *Authorization) Awaited(now time.Time) bool {
	return a != nil && (a.AskedUntil.After(now) || !a.ConsentedAt.IsZero())
}

// ReauthorizationRequired reports whether somebody has to consent again.
func (s *Secret) ReauthorizationRequired(now time.Time) bool {
	a := s.Authorization
	return a != nil && (a.Required || len(a.Due(now)) > 0)
}

// OpenDialog notes that a person was asked to consent, and may until then.
func (s *Secret) OpenDialog(now, until time.Time) {
	s.UpdatedAt = moment(now)
	s.authorization().AskedUntil = moment(until)
}

// Consented decides the exchange of the code that a consent brought. It is due
// at once and before anything else; what was decided before stays decided and
// is done when the new grant is not to be had.
func (s *Secret) Consented(now time.Time) { s.await(now, false) }

// AcceptHeld decides that the held grant, another account's, is to take the
// place of the one in use.
func (s *Secret) AcceptHeld(now time.Time) { s.await(now, true) }

func (s *Secret) await(now time.Time, accept bool) {
	a := s.authorization()
	s.UpdatedAt = moment(now)
	a.AskedUntil, a.ConsentedAt, a.Accept, a.Failure = time.Time{}, s.UpdatedAt, accept, nil
	s.Decision++
}

// Refused notes that a dialog ended without a consent; another one may be open
// until askedUntil. A secret that has a grant is what it was.
func (s *Secret) Refused(f *Failure, now, askedUntil time.Time) {
	s.UpdatedAt = moment(now)
	s.authorization().AskedUntil = askedUntil
	s.unauthorized(f)
}

// unauthorized notes why there is no new grant.
func (s *Secret) unauthorized(f *Failure) {
	s.Authorization.Failure = f
	if !s.withoutGrant() || s.ConsentWaits() {
		return // the grant in use serves on
	}
	s.Status, s.StatusDetails = Failed, f
}

// Asked reports whether an exchange that a person waits for has been decided, and
// is being made or will be in a moment: asking again would change nothing. One that is
// kept back for longer is made at once for whoever asks again.
func (s *Secret) Asked(now time.Time) bool {
	soon := !s.NextAttemptAt.IsZero() && !s.NextAttemptAt.After(now.Add(confirmAsked))
	return s.Status == Pending && soon || s.ConsentWaits()
}

// ConsentWaits reports whether a consent is still to be exchanged. Until it is,
// there must not be another: the first would be forgotten.
func (s *Secret) ConsentWaits() bool {
	return s.Authorization != nil && !s.Authorization.ConsentedAt.IsZero()
}

// Due are those of the notices that are to be given by the time now.
func (a *Authorization) Due(now time.Time) []time.Time { return a.Notices[:passed(a.Notices, now)] }

// Reminded notes that the notices up to the time now have been given.
func (s *Secret) Reminded(now time.Time) {
	a := s.authorization()
	if n := len(a.Due(now)); n > 0 {
		a.Required, a.Notices = true, slices.Clone(a.Notices[n:])
	}
}

// authorization is s.Authorization, made when there is none: a record that a
// caller has made without it is of an interactive kind all the same.
func (s *Secret) authorization() *Authorization {
	if s.Authorization == nil {
		s.Authorization = new(Authorization)
	}
	return s.Authorization
}

// withoutGrant reports whether there is nothing to exchange until a person has
// consented.
func (s *Secret) withoutGrant() bool {
	return s.Kind.Interactive() && (s.Authorization == nil || s.Authorization.AuthorizedAt.IsZero())
}

// authorized brings the second clock up to date with an exchange that went well.
func (s *Secret) authorized(o *Outcome) {
	found := o.Authorized
	if found == nil {
		return
	}
	a := s.authorization()
	alive := o.At
	if o.Action == Authorize {
		a.ConsentedAt, a.Accept, a.HeldAt, a.Failure = time.Time{}, false, time.Time{}, nil
		alive = found.At
	}
	if age := o.At.Sub(found.At); age > a.Observed && !alike(age, a.Observed) {
		a.Observed = 0 // this one has outlived the rule
	}
	by := found.ReauthorizeBy
	if end := found.At.Add(a.Observed); a.Observed > 0 && (by.IsZero() || end.Before(by)) {
		by = end
	}
	known := found.At.Equal(a.AuthorizedAt) && by.Equal(a.ReauthorizeBy)
	same := known && a.EndedAt.IsZero()
	a.AuthorizedAt, a.AliveAt, a.EndedAt, a.Scopes = found.At, alive, time.Time{}, found.Scopes
	a.Account = found.Account
	a.Strikes, a.Imported = 0, 0
	notices := found.Reminders.Notices(found.At, by)
	gone := passed(notices, o.At)
	a.Required = gone > 0
	if same {
		return // what was announced is not announced again
	}
	a.ReauthorizeBy = by
	if gone > 0 && !known {
		gone-- // an end that is near when it becomes known is announced at once
	}
	a.Notices = slices.Clone(notices[gone:])
}

// passed is how many of the times, in order, have come by t.
func passed(times []time.Time, t time.Time) int {
	if i := slices.IndexFunc(times, func(at time.Time) bool { return at.After(t) }); i >= 0 {
		return i
	}
	return len(times)
}

// ended notes that the provider refused the grant for good. When grants of this
// secret live about as long each time, that is a rule of the provider or of the
// account's organisation that nobody told us (a session policy): the next one is
// expected to end like that. One that was never good for a refresh tells nothing, and
// neither does one that may have been lost with an answer.
func (s *Secret) ended(why *Failure, now time.Time) {
	a := s.authorization()
	a.Required = true
	if !a.EndedAt.IsZero() {
		return
	}
	a.EndedAt, a.Notices = moment(now), nil
	if s.foreseen(now) || why.unknown() {
		return // that is no rule to learn
	}
	lived := a.AliveAt.Sub(a.AuthorizedAt)
	if lived <= 0 || a.AuthorizedAt.IsZero() {
		return
	}
	a.Observed = 0
	if alike(lived, a.Lived) {
		a.Observed = min(lived, a.Lived)
	}
	a.Lived = lived
}

// foreseen reports whether the grant was to end by now.
func (s *Secret) foreseen(now time.Time) bool {
	by := s.Authorization.ReauthorizeBy
	return !by.IsZero() && !now.Before(by.Add(-time.Minute))
}

// alike reports whether two lives are about as long.
func alike(a, b time.Duration) bool { return min(a, b) > max(a, b)*3/4 }
