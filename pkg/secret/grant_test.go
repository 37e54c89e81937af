package secret_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rekindle-dev/rekindle/pkg/secret"
)

func TestDates(t *testing.T) {
	t.Parallel()
	zone := time.FixedZone("", 2*60*60)
	tests := []struct {
		name               string
		requestedAt        time.Time
		lifetime, offset   time.Duration
		expires, refreshes string
	}{
		{"contract A11", noon(), 24 * time.Hour, 4 * time.Hour, "2024-05-02T12:00:00Z", "2024-05-02T08:00:00Z"},
		{"rounded down", noon().Add(999 * time.Microsecond), time.Hour, 0, "2024-05-01T13:00:00Z", "2024-05-01T13:00:00Z"},
		{"another zone", noon().Add(1500 * time.Microsecond).In(zone), time.Hour, 30 * time.Minute, "2024-05-01T13:00:00.001Z", "2024-05-01T12:30:00.001Z"},
		{"a hundred years", noon(), secret.MaxLifetime, 4 * time.Hour, "2124-04-07T12:00:00Z", "2124-04-07T08:00:00Z"},
		{"across a leap day", at("2024-02-28T12:00:00Z"), 48 * time.Hour, time.Hour, "2024-03-01T12:00:00Z", "2024-03-01T11:00:00Z"},
	}
	for _, test := range tests {
		expiresAt, refreshAt := secret.Dates(test.requestedAt, test.lifetime, test.offset)
		if got := expiresAt.Format(time.RFC3339Nano); got != test.expires {
			t.Errorf("%s: expires at %s, want %s", test.name, got, test.expires)
		}
		if got := refreshAt.Format(time.RFC3339Nano); got != test.refreshes {
			t.Errorf("%s: refresh at %s, want %s", test.name, got, test.refreshes)
		}
	}
}

func TestClaimIsLive(t *testing.T) {
	t.Parallel()
	c := secret.Claim{StartedAt: noon(), Until: noon().Add(time.Minute)}
	for d, want := range map[time.Duration]bool{
		-time.Hour: true, 0: true, time.Minute - 1: true, time.Minute: false, time.Hour: false,
	} {
		if got := c.Live(noon().Add(d)); got != want {
			t.Errorf("%v after the start: live %v, want %v", d, got, want)
		}
	}
}

func TestGrantAnswers(t *testing.T) {
	t.Parallel()
	g := secret.Grant{Claim: &secret.Claim{Decision: 8}}
	if g.Answers(0) || g.Answers(8) {
		t.Error("a claim counts as an answer")
	}
	g.Outcome = &secret.Outcome{Decision: 7}
	if g.Answers(6) || !g.Answers(7) || g.Answers(8) {
		t.Error("the outcome of 7 answers another decision, or does not answer 7")
	}
}

// A claim that is made or closed leaves the rest of the grant alone.
func TestGrantWith(t *testing.T) {
	t.Parallel()
	g, want := fullGrant(), fullGrant()
	claim, outcome := &secret.Claim{Decision: 9}, &secret.Outcome{Decision: 8}
	want.Claim, want.Outcome = claim, outcome
	if diff := cmp.Diff(want, g.With(claim, outcome)); diff != "" {
		t.Errorf("grant (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(fullGrant(), g); diff != "" {
		t.Errorf("the grant that was read has changed:\n%s", diff)
	}
}

// lifetime of what good yields.
const lifetime = 24 * time.Hour

// good returns an outcome for decision d, of a token requested a second ago.
func good(d uint64, environment string, now time.Time) *secret.Outcome {
	o := &secret.Outcome{Decision: d, At: now, Environment: environment}
	o.ExpiresAt, o.RefreshAt = secret.Dates(now.Add(-time.Second), lifetime, 4*time.Hour)
	if environment != "" {
		o.Sealed = []byte("sealed")
	}
	return o
}

func bad(d uint64, environment string, now time.Time) *secret.Outcome {
	return &secret.Outcome{Decision: d, At: now, Environment: environment, Failure: failure()}
}

// asked returns a new secret that waits for its first exchange.
func asked(environment string) *secret.Secret {
	s := &secret.Secret{CreatedAt: noon()}
	if environment != "" {
		s.Attach(environment, "production")
	}
	s.Ask(noon())
	return s
}

// A person's exchange ends the refresh that was under way, whichever way it
// goes: nothing is left that says otherwise.
func TestPersonEndsRefresh(t *testing.T) {
	t.Parallel()
	for name, outcome := range map[string]*secret.Outcome{"ok": good(8, env, noon()), "failed": bad(8, env, noon())} {
		s := refreshable(4 * time.Hour)
		s.Apply(bad(7, env, s.RefreshAt), s.RefreshAt)
		s.Status, s.NextAttemptAt = secret.Pending, noon() // asked by a program that knows no Ask
		s.Apply(outcome, noon())
		if s.RefreshStatus != "" || s.RefreshStatusDetails != nil || s.Attempts != 0 {
			t.Errorf("%s: refresh status %q, %d attempts", name, s.RefreshStatus, s.Attempts)
		}
	}
}

func TestApplyRefuses(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		change func(*secret.Secret)
		d      uint64
	}{
		{"older decision", func(*secret.Secret) {}, 6},
		{"newer decision", func(*secret.Secret) {}, 8},
		{"asked meanwhile", func(s *secret.Secret) { s.Ask(noon()) }, 7},
		{"interrupted meanwhile", func(s *secret.Secret) { s.Interrupt(7, nil, time.Time{}) }, 7},
		{"deleted meanwhile", func(s *secret.Secret) { s.Delete(noon()) }, 7},
		{"refresh called off", func(s *secret.Secret) { s.Detach(noon()) }, 7},
	} {
		for _, o := range []*secret.Outcome{good(test.d, env, noon()), bad(test.d, env, noon())} {
			s := refreshable(4 * time.Hour)
			test.change(s)
			before := *s
			if s.Apply(o, noon().Add(time.Hour)) {
				t.Errorf("%s: the outcome was taken", test.name)
			}
			if diff := cmp.Diff(before, *s); diff != "" {
				t.Errorf("%s: the record changed:\n%s", test.name, diff)
			}
		}
	}
}

// An outcome is applied once.
func TestApplyTwice(t *testing.T) {
	t.Parallel()
	for _, o := range []*secret.Outcome{good(1, env, noon()), bad(1, env, noon())} {
		s := asked(env)
		if !s.Apply(o, noon()) || s.Apply(o, noon()) {
			t.Error("the outcome was not taken once")
		}
	}
}

// The environment is taken away while the first exchange runs: the value is
// not in use, and what is in the environment will be withdrawn, whether the
// record said so before or not.
func TestApplyAfterDetach(t *testing.T) {
	t.Parallel()
	for _, deployed := range []string{env, ""} {
		s := asked(env)
		s.Deployed = deployed
		s.Detach(noon())
		if !s.Apply(good(1, env, noon()), noon()) {
			t.Fatal("the outcome was not taken")
		}
		if s.Status != secret.Succeeded || !s.ActivatedAt.IsZero() || !s.NextAttemptAt.IsZero() || s.ExpiresAt.IsZero() {
			t.Errorf("status %s, activated %v, next attempt %v", s.Status, s.ActivatedAt, s.NextAttemptAt)
		}
		if next := s.Plan(); next.Action != secret.Withdraw || s.Deployed != env {
			t.Errorf("plan is %s from %q, want to withdraw from %s", next.Action, s.Deployed, env)
		}
		s.Withdrawn()
		if next := s.Plan(); next.Action != secret.Rest || s.Deployed != "" {
			t.Errorf("plan is %s, deployed %q, want rest", next.Action, s.Deployed)
		}
	}
}

// A refresh that fails after the environment went is not tried again.
func TestFailureWithoutEnvironment(t *testing.T) {
	t.Parallel()
	s := refreshable(4 * time.Hour)
	s.Environment, s.NextAttemptAt = "", time.Time{} // by a program that knows no Detach
	if !s.Apply(bad(7, env, s.RefreshAt), s.RefreshAt) {
		t.Fatal("the outcome was not taken")
	}
	if s.RefreshStatus != secret.Failed || !s.NextAttemptAt.IsZero() {
		t.Errorf("refresh status %s, next attempt %v; want failed and none", s.RefreshStatus, s.NextAttemptAt)
	}
}

// A secret moves to another environment: the old artifact goes first, and it is
// known where it is until then.
func TestMoveToAnotherEnvironment(t *testing.T) {
	t.Parallel()
	s := asked(env)
	s.Detach(noon())
	s.Attach(otherEnv, "staging")
	s.Ask(noon())
	if s.Apply(good(1, env, noon()), noon()) {
		t.Fatal("the outcome of a decision that is void was taken")
	}
	if next := s.Plan(); next.Action != secret.Withdraw || s.Deployed != env {
		t.Fatalf("plan is %s from %q, want to withdraw from %s", next.Action, s.Deployed, env)
	}
	s.Withdrawn()
	if next := s.Plan(); next.Action != secret.Exchange || s.Deployed != otherEnv {
		t.Fatalf("plan is %s, deployed %q, want to exchange for %s", next.Action, s.Deployed, otherEnv)
	}
}

func TestInterrupt(t *testing.T) {
	t.Parallel()
	s := refreshable(4 * time.Hour)
	s.Attempts, s.RefreshStatus = 2, secret.Pending
	before := *s
	if s.Interrupt(6, nil, time.Time{}) || s.Interrupt(8, nil, time.Time{}) {
		t.Error("another decision than the current one was interrupted")
	}
	if diff := cmp.Diff(before, *s); diff != "" {
		t.Errorf("the record changed:\n%s", diff)
	}
	if !s.Interrupt(7, nil, time.Time{}) || s.Interrupt(7, nil, time.Time{}) {
		t.Error("decision 7 was not interrupted once")
	}
	before.Decision = 8
	if diff := cmp.Diff(before, *s); diff != "" {
		t.Errorf("more than the decision changed (-want +got):\n%s", diff)
	}
	if !s.Plan().Due(s.RefreshAt) {
		t.Error("the next decision is not due at once")
	}
	s.Delete(noon())
	if s.Interrupt(8, nil, time.Time{}) {
		t.Error("a deleted secret was interrupted")
	}
}

// A value that was made for another environment is not in use.
func TestApplyForAnotherEnvironment(t *testing.T) {
	t.Parallel()
	s := asked("")
	s.Environment = otherEnv // by a program that asked for no exchange
	if !s.Apply(good(1, env, noon()), noon()) {
		t.Fatal("the outcome was not taken")
	}
	if !s.ActivatedAt.IsZero() || !s.NextAttemptAt.IsZero() || s.Plan().Action != secret.Withdraw {
		t.Errorf("activated %v, next attempt %v, plan %s", s.ActivatedAt, s.NextAttemptAt, s.Plan().Action)
	}
}
