package secret_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/rekindle-dev/rekindle/pkg/secret"
)

// fleet is a model of everything that happens to one secret: people who ask,
// attach, detach, consent and delete at any moment, a clock that moves as it
// likes, and one exchanger at a time, which follows the plan step by step and may
// die between any two steps. What there is to consents is in model_consent_test.go.
type fleet struct {
	now    time.Time
	s      *secret.Secret
	offset time.Duration
	envs   int // environments made so far

	// The exchanger's own records.
	grant     secret.Grant
	artifacts map[string]uint64 // generation by environment
	claimed   map[uint64]bool   // every decision that was ever claimed
	claimEnv  string            // the environment of the open claim
	doing     secret.Action     // what it was made for
	erased    bool

	consents     // of a secret of an interactive kind
	replays  int // in a row
	more     int // attempts that are not the schedule's: replays and confirmations
	alarms       // given

	decision, generation uint64 // as they were last seen
}

func newFleet(t *rapid.T) *fleet {
	offsets := []time.Duration{0, time.Second, 7 * time.Second, time.Minute, 30 * time.Minute, 4 * time.Hour, 23 * time.Hour}
	s := asked("")
	if rapid.Bool().Draw(t, "interactive") {
		s = waiting("")
	}
	f := &fleet{
		now: noon(), s: s, offset: rapid.SampledFrom(offsets).Draw(t, "offset"),
		artifacts: make(map[string]uint64), claimed: make(map[uint64]bool),
	}
	if rapid.Bool().Draw(t, "attached") {
		f.attach()
	}
	return f
}

func (f *fleet) attach() {
	f.envs++
	f.s.Attach(fmt.Sprintf("EN%032d", f.envs), "staging")
	f.s.Ask(f.now)
}

func (f *fleet) alive() bool { return f.s.DeletedAt.IsZero() }

// What people do, when they may.

func (f *fleet) Ask(t *rapid.T) {
	if !f.alive() {
		t.Skip("deleted")
	}
	f.s.Ask(f.now)
}

func (f *fleet) Attach(t *rapid.T) {
	if !f.alive() || f.s.Environment != "" {
		t.Skip("deleted or attached")
	}
	f.attach()
}

func (f *fleet) Detach(t *rapid.T) {
	if !f.alive() || f.s.Environment == "" {
		t.Skip("deleted or not attached")
	}
	f.s.Detach(f.now)
}

func (f *fleet) Delete(t *rapid.T) {
	if rapid.IntRange(0, 9).Draw(t, "seldom") != 0 {
		t.Skip("not now")
	}
	f.s.Delete(f.now)
}

// What time does.

func (f *fleet) Wait(t *rapid.T) {
	d := rapid.Int64Range(0, int64(30*time.Hour)).Draw(t, "wait")
	f.now = f.now.Add(time.Duration(d))
}

func (f *fleet) WaitUntilDue(t *rapid.T) {
	next := f.s.Plan()
	if next.Action == secret.Rest || !next.At.After(f.now) {
		t.Skip("nothing to wait for")
	}
	f.now = next.At
}

// ClockBack is what another machine's clock looks like.
func (f *fleet) ClockBack(t *rapid.T) {
	f.now = f.now.Add(-time.Duration(rapid.Int64Range(0, int64(time.Minute)).Draw(t, "back")))
}

// What the exchanger does.

// Claim begins what is due.
func (f *fleet) Claim(t *rapid.T) {
	next := f.s.Plan()
	if f.grant.Claim != nil || f.erased || !next.Due(f.now) {
		t.Skip("nothing to do, or at it")
	}
	switch next.Action {
	case secret.Erase:
		for _, en := range []string{f.s.Deployed, f.s.Environment} {
			delete(f.artifacts, en)
		}
		f.erased = true
	case secret.Withdraw:
		delete(f.artifacts, f.s.Deployed)
		f.s.Withdrawn()
	case secret.Remind:
		f.s.Reminded(f.now)
	case secret.Exchange, secret.Refresh, secret.Authorize:
		d := f.s.Decision
		if f.grant.Answers(d) {
			f.settle() // a crash came between grant and record
			return
		}
		if f.claimed[d] {
			t.Fatalf("decision %d is claimed twice", d)
		}
		f.claimed[d] = true
		f.grant.Claim, f.claimEnv, f.doing = &secret.Claim{Decision: d, StartedAt: f.now}, f.s.Environment, next.Action
		f.send(t)
	case secret.Rest:
		t.Fatal("rest is due")
	}
}

// Succeed and Fail close the claim with an outcome in the grant.

func (f *fleet) Succeed(t *rapid.T) { f.close(t, good) }

func (f *fleet) Fail(t *rapid.T) { f.close(t, bad) }

func (f *fleet) close(t *rapid.T, outcome func(uint64, string, time.Time) *secret.Outcome) {
	if f.grant.Claim == nil {
		t.Skip("no claim")
	}
	o := outcome(f.grant.Claim.Decision, f.claimEnv, f.now)
	if o.Failure == nil {
		o.ExpiresAt, o.RefreshAt = secret.Dates(f.now, lifetime, f.offset)
		if w := (secret.Window{Jitter: 2 * time.Hour}); rapid.Bool().Draw(t, "jitter") {
			o.NextAt = w.NextAt(f.s.ID, o.Decision, f.now, o.RefreshAt)
		}
	}
	if o.Failure != nil {
		o.Answered = o.Ended || rapid.Bool().Draw(t, "answered")
	}
	if o.Replay || o.Ended {
		f.more++
	}
	if !o.Replay {
		f.replays = 0
	}
	f.answer(o)
	f.grant = secret.Grant{Outcome: o}
	if rapid.Bool().Draw(t, "dies before the record") {
		f.deploy()
		return
	}
	f.settle()
}

// settle brings artifact and record up to date with the outcome.
func (f *fleet) settle() {
	f.deploy()
	f.s.Apply(f.grant.Outcome, f.now)
}

func (f *fleet) deploy() {
	if o := f.grant.Outcome; o.Failure == nil && o.Environment != "" && !f.erased {
		f.artifacts[o.Environment] = max(f.artifacts[o.Environment], o.Decision)
	}
}

// Die leaves the claim open; the next exchanger gives it up.
func (f *fleet) Die(t *rapid.T) {
	if f.grant.Claim == nil {
		t.Skip("no claim")
	}
	f.s.Interrupt(f.grant.Claim.Decision, failure(), time.Time{})
	f.grant.Claim = nil
}

// Check is what holds after every step.
func (f *fleet) Check(t *rapid.T) {
	s := f.s
	check := func(ok bool, what string) {
		t.Helper()
		if !ok {
			t.Fatalf("%s:\n%s", what, show(f))
		}
	}
	check(s.Decision >= f.decision && s.Generation >= f.generation, "a number went back")
	f.decision, f.generation = s.Decision, s.Generation
	check(s.Generation == 0 || s.Generation < s.Decision, "the value is of a decision that was not made")

	check(s.ExpiresAt.IsZero() == s.RefreshAt.IsZero(), "one date without the other")
	check(s.ExpiresAt.IsZero() || s.ExpiresAt.Sub(s.RefreshAt) == f.offset, "the dates are not the offset apart")
	for _, when := range append(f.times(), s.UpdatedAt, s.ActivatedAt, s.ExpiresAt, s.RefreshAt, s.NextAttemptAt, s.DeletedAt, s.FailingSince, s.AlarmedAt) {
		check(when.Equal(when.Truncate(time.Millisecond)) && when.Location() == time.UTC, "a time is not in UTC milliseconds")
	}
	check(s.Plan().Action != secret.Refresh || s.Attempts > 0 || f.more > 0 || !s.NextAttemptAt.After(s.RefreshAt), "a first attempt after refresh_at")
	check(!s.RefreshLate || s.Attempts > 0, "a refresh is late that has not begun")
	check(s.FailingSince.IsZero() == (s.Attempts == 0), "failing without an attempt, or an attempt that failed at no time")
	if s.Attempts == 0 {
		f.more = 0
	}
	check(s.Attempts >= 0 && s.Attempts <= secret.MaxAttempts+f.more, "too many attempts")
	check(f.offset > 0 || s.Attempts <= 1+f.more, "more than one attempt without an offset")

	// The words fit each other.
	check(s.Status != secret.Failed || s.StatusDetails != nil, "failed without details")
	check(s.Status != secret.Succeeded || s.StatusDetails == nil, "details without failure")
	check((s.Attempts > 0) == (s.RefreshStatusDetails != nil), "attempts without details, or details without attempts")
	check(s.RefreshStatus != secret.Pending || !s.NextAttemptAt.IsZero() && s.Attempts > 0, "a refresh is pending, but not planned")
	check(s.ActivatedAt.IsZero() || s.Environment != "", "active without an environment")

	// Nothing is forgotten.
	next := f.exchangeNext()
	if f.alive() && s.Status == secret.Pending && !f.unauthorized() {
		check(next == secret.Exchange || next == secret.Authorize || next == secret.Withdraw, "pending, but no exchange is planned")
	}
	if f.alive() && s.Status == secret.Succeeded && s.Environment != "" {
		check(next == secret.Refresh || next == secret.Authorize || next == secret.Withdraw || s.RefreshStatus == secret.Failed, "in use, but neither planned nor given up")
	}
	f.checkConsents(check)
	f.checkAlarms(check)
	if s.Status == secret.Succeeded && s.Environment == "" {
		check(s.NextAttemptAt.IsZero(), "a next attempt without an environment")
	}
	check(f.alive() || next == secret.Erase, "deleted, but not erased")
	for en := range f.artifacts {
		check(!f.erased, "an artifact outlived its secret")
		check(en == s.Deployed, "an artifact is where nobody looks")
	}
	if s.Status == secret.Succeeded && s.Environment != "" && f.alive() && next != secret.Authorize && next != secret.Withdraw {
		check(f.artifacts[s.Environment] >= s.Generation, "in use, but without its value")
	}
}

func show(f *fleet) string {
	body, err := json.MarshalIndent(f.s, "", "\t")
	return fmt.Sprintf("now %s, artifacts %v, claim %v\n%s\n%v", f.now.Format(time.RFC3339Nano),
		slices.Sorted(maps.Keys(f.artifacts)), f.grant.Claim, body, err)
}

func TestModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		t.Repeat(rapid.StateMachineActions(newFleet(t)))
	})
}

// Whoever starts the attempts of a refresh when they are due makes the last one
// no later than the deadline of contract A12, however long they take; and all
// of them, if each needs less than a step.
func TestAttemptsKeepTheDeadline(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		offset := time.Duration(rapid.Int64Range(0, int64(secret.MaxLifetime/time.Second)/2).Draw(t, "offset")) * time.Second
		s := refreshable(0)
		s.RefreshAt, s.NextAttemptAt = s.ExpiresAt.Add(-offset), s.ExpiresAt.Add(-offset)
		deadline := s.ExpiresAt.Add(-min(2*time.Hour, offset/2))
		step := deadline.Sub(s.RefreshAt) / 3
		last, made, slow := time.Time{}, 0, rapid.Bool().Draw(t, "slow")
		longest := max(0, int64(step-2*time.Millisecond))
		if slow {
			longest = int64(2*offset + time.Second)
		}
		for ; s.Plan().Action == secret.Refresh; made++ {
			if !s.NextAttemptAt.After(last) || s.NextAttemptAt.After(deadline) {
				t.Fatalf("attempt %d at %v, after %v; the deadline is %v", made+1, s.NextAttemptAt, last, deadline)
			}
			last = s.NextAttemptAt
			takes := time.Duration(rapid.Int64Range(0, longest).Draw(t, "takes"))
			o := bad(s.Decision, env, last.Add(takes))
			o.StartedAt = last
			s.Apply(o, o.At)
		}
		want := secret.MaxAttempts
		if offset == 0 {
			want = 1
		}
		if made > want || made < want && !slow {
			t.Fatalf("%d attempts, want %d", made, want)
		}
		if offset > 0 && s.RefreshLate || s.RefreshStatus != secret.Failed {
			t.Fatalf("late %v, refresh status %s", s.RefreshLate, s.RefreshStatus)
		}
		if offset > 0 && !slow && deadline.Sub(last) > 3*time.Millisecond {
			t.Fatalf("the last attempt at %v, long before the deadline %v", last, deadline)
		}
	})
}

// A refresh that is never tried in time still ends: after its attempts, with
// the next one always in the future.
func TestAttemptsEnd(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		offset := time.Duration(rapid.Int64Range(1, 1_000_000).Draw(t, "offset")) * time.Second
		s := refreshable(0)
		s.RefreshAt, s.NextAttemptAt = s.ExpiresAt.Add(-offset), s.ExpiresAt.Add(-offset)
		var now time.Time
		made := 0
		for ; s.Plan().Action == secret.Refresh; made++ {
			late := rapid.Int64Range(0, int64(2*offset)).Draw(t, "late")
			now = s.NextAttemptAt.Add(time.Duration(late))
			s.Apply(bad(s.Decision, env, now), now)
			if next := s.NextAttemptAt; !next.IsZero() && !next.After(now.Truncate(time.Millisecond)) {
				t.Fatalf("after attempt %d at %v, the next is at %v", made+1, now, next)
			}
		}
		if made != secret.MaxAttempts {
			t.Fatalf("%d attempts, want %d", made, secret.MaxAttempts)
		}
	})
}

// What is stored and read again is the same.
func TestRecordRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		f := newFleet(t)
		actions := rapid.StateMachineActions(f)
		t.Repeat(actions)
		body, err := json.Marshal(f.s)
		if err != nil {
			t.Fatal(err)
		}
		var got secret.Secret
		if err := json.Unmarshal(body, &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(*f.s, got); diff != "" {
			t.Fatalf("record (-stored +read):\n%s", diff)
		}
		if f.s.Plan() != got.Plan() {
			t.Fatal("the plan changed")
		}
	})
}
