package secret_test

import (
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/rekindle-dev/rekindle/pkg/secret"
)

// consents are what the model knows of people's consents beside the record. A
// code is a number, from 1.
type consents struct {
	code     int          // the last one that somebody consented to
	sent     int          // the one in the open claim; 0: none, or the held grant
	answered map[int]bool // those that the provider has answered
	given    time.Time    // when the grant in use was given, by the grant
	held     time.Time    // and the one that is held
	was      time.Time    // Authorization.AuthorizedAt as it was last seen
}

func (f *fleet) interactive() bool { return f.s.Kind.Interactive() }

func (f *fleet) mayConsent(t *rapid.T) {
	if !f.alive() || !f.interactive() {
		t.Skip("deleted or not interactive")
	}
}

// What people do.

func (f *fleet) OpenDialog(t *rapid.T) {
	f.mayConsent(t)
	f.s.OpenDialog(f.now, f.now.Add(time.Hour))
}

func (f *fleet) Consent(t *rapid.T) {
	f.mayConsent(t)
	f.code++
	f.s.Consented(f.now)
}

func (f *fleet) Refuse(t *rapid.T) {
	f.mayConsent(t)
	before := f.s.Status
	f.s.Refused(failure(), f.now, time.Time{})
	if before == secret.Succeeded && f.s.Status != before {
		t.Fatalf("a refused dialog made %s of %s", f.s.Status, before)
	}
}

// Accept does nothing where nothing can be accepted, in place of being drawn again:
// it is the first action by name, which shrinking and poor luck draw without end.
func (f *fleet) Accept(*rapid.T) {
	a := f.s.Authorization
	if !f.alive() || !f.interactive() || a.HeldAt.IsZero() || !a.ConsentedAt.IsZero() {
		return
	}
	f.s.AcceptHeld(f.now)
}

// What the exchanger does.

// send notes what goes to the provider with the claim that was just made.
func (f *fleet) send(t *rapid.T) {
	f.sent = 0
	switch {
	case f.doing == secret.Authorize && !f.s.Authorization.Accept:
		if f.answered[f.code] {
			t.Fatalf("code %d is sent again after it was answered", f.code)
		}
		f.sent = f.code
	case f.doing == secret.Authorize:
		if f.held.IsZero() && f.given.IsZero() {
			t.Fatal("what is to be accepted is not there")
		}
	case f.interactive() && f.given.IsZero():
		t.Fatalf("%s without a grant", f.doing)
	}
}

// answer completes the outcome of an interactive kind, and brings the grant up to
// date with it.
func (f *fleet) answer(o *secret.Outcome) {
	if !f.interactive() {
		return
	}
	o.Action = f.doing
	if f.sent > 0 {
		if f.answered == nil {
			f.answered = make(map[int]bool)
		}
		f.answered[f.sent] = true
	}
	if o.Failure != nil {
		return
	}
	now := f.now.Truncate(time.Millisecond)
	switch {
	case o.Held:
		f.held = now
		return
	case f.sent > 0:
		f.given, f.held = now, time.Time{}
	case f.doing == secret.Authorize && !f.held.IsZero():
		f.given, f.held = f.held, time.Time{}
	}
	o.Authorized = &secret.Authorized{At: f.given, ReauthorizeBy: f.given.Add(3 * day), Reminders: secret.DefaultReminders()}
}

// Hold closes the claim of a code that was another account's.
func (f *fleet) Hold(t *rapid.T) {
	if f.sent == 0 || f.given.IsZero() {
		t.Skip("no code was sent, or there is no grant to compare with")
	}
	f.close(t, func(d uint64, _ string, now time.Time) *secret.Outcome {
		return &secret.Outcome{Decision: d, At: now, Held: true}
	})
}

// End closes the claim of a grant that the provider has ended.
func (f *fleet) End(t *rapid.T) {
	if !f.interactive() || f.doing == secret.Authorize {
		t.Skip("not for codes")
	}
	f.close(t, func(d uint64, environment string, now time.Time) *secret.Outcome {
		o := bad(d, environment, now)
		o.Ended = true
		return o
	})
}

// Lose closes the claim of a refresh token that is to be sent again soon, which
// happens twice in a row at most.
func (f *fleet) Lose(t *rapid.T) {
	if f.grant.Claim == nil || !f.interactive() || f.sent > 0 || f.replays == 2 {
		t.Skip("no refresh token was sent, or too often")
	}
	f.replays++
	f.close(t, func(d uint64, environment string, now time.Time) *secret.Outcome {
		o := bad(d, environment, now)
		o.Replay, o.RetryAt = true, now.Add(time.Second)
		return o
	})
}

// What holds after every step.

// exchangeNext is what is planned apart from notices, which come in between.
func (f *fleet) exchangeNext() secret.Action {
	next := f.s.Plan()
	if next.Action != secret.Remind {
		return next.Action
	}
	quiet := *f.s
	authorization := *f.s.Authorization
	authorization.Notices, quiet.Authorization = nil, &authorization
	return quiet.Plan().Action
}

// unauthorized reports whether there is nothing to exchange until somebody
// consents.
func (f *fleet) unauthorized() bool {
	a := f.s.Authorization
	return f.interactive() && a.AuthorizedAt.IsZero() && a.ConsentedAt.IsZero()
}

func (f *fleet) times() []time.Time {
	a := f.s.Authorization
	if a == nil {
		return nil
	}
	return append(slices.Clone(a.Notices), a.AskedUntil, a.ConsentedAt, a.HeldAt, a.AuthorizedAt, a.EndedAt, a.ReauthorizeBy)
}

func (f *fleet) checkConsents(check func(bool, string)) {
	a := f.s.Authorization
	check((a != nil) == f.interactive(), "an interactive kind without its authorization, or another kind with one")
	if a == nil {
		return
	}
	check(f.was.IsZero() || !a.AuthorizedAt.IsZero(), "a grant was forgotten")
	f.was = a.AuthorizedAt
	check(a.AuthorizedAt.IsZero() || !f.given.IsZero(), "the record has a grant that is not there")
	check(a.HeldAt.IsZero() || !f.held.IsZero() || !f.given.IsZero(), "what is held is not there")
	check(!a.Accept || !a.ConsentedAt.IsZero(), "something is accepted that does not wait")

	next := f.exchangeNext()
	check(a.ConsentedAt.IsZero() || next == secret.Authorize || next == secret.Withdraw || !f.alive(), "a code waits, and nothing is planned")
	if f.unauthorized() {
		check(next == secret.Rest || next == secret.Withdraw || !f.alive(), "planned, with nothing to exchange")
		check(f.s.Status != secret.Succeeded, "succeeded without a grant")
	}
	check(slices.IsSortedFunc(a.Notices, time.Time.Compare), "notices are not in order")
	check(len(a.Notices) == 0 || !a.ReauthorizeBy.IsZero(), "an end is announced that is not known")
	check(a.EndedAt.IsZero() || a.Required && len(a.Notices) == 0, "a grant has ended, and nobody is called")
	check(f.s.StatusAt(f.now) == secret.Pending || a.ConsentedAt.IsZero(), "a code is exchanged, and it does not show")
}
