package secret_test

import (
	"cmp"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/rekindle-dev/rekindle/pkg/secret"
)

const (
	env      = "EN00000000000040008000000000000001"
	otherEnv = "EN00000000000040008000000000000002"
)

func at(s string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		panic(err)
	}
	return t.UTC()
}

// noon is the present of most tests.
func noon() time.Time { return at("2024-05-01T12:00:00.000Z") }

func TestPlan(t *testing.T) {
	t.Parallel()
	updated, attempt, deleted := noon().Add(-time.Hour), noon(), noon().Add(time.Hour)
	consented := &secret.Authorization{ConsentedAt: deleted, Notices: []time.Time{updated}}
	noticed := func(at time.Time) *secret.Authorization {
		return &secret.Authorization{AuthorizedAt: updated, Notices: []time.Time{at, at.Add(time.Hour)}}
	}
	rest := secret.Next{Action: secret.Rest}
	tests := []struct {
		name string
		give secret.Secret
		want secret.Next
	}{
		{
			"pending",
			secret.Secret{Status: secret.Pending, NextAttemptAt: attempt},
			secret.Next{Action: secret.Exchange, At: attempt},
		},
		{
			"pending with environment",
			secret.Secret{Status: secret.Pending, Environment: env, NextAttemptAt: attempt},
			secret.Next{Action: secret.Exchange, At: attempt},
		},
		{"pending, waits for a person", secret.Secret{Status: secret.Pending}, rest},
		{
			"succeeded",
			secret.Secret{Status: secret.Succeeded, Environment: env, Deployed: env, NextAttemptAt: attempt},
			secret.Next{Action: secret.Refresh, At: attempt},
		},
		{"kept fresh elsewhere", secret.Secret{Status: secret.Succeeded, Environment: env, Deployed: env, NextAttemptAt: attempt, Elsewhere: updated}, rest},
		{"kept fresh elsewhere, and a consent waits", secret.Secret{Status: secret.Pending, Authorization: consented, Elsewhere: updated}, rest},
		{
			"kept fresh elsewhere, deleted",
			secret.Secret{Status: secret.Pending, Elsewhere: updated, DeletedAt: deleted},
			secret.Next{Action: secret.Erase, At: deleted},
		},
		{"succeeded for good", secret.Secret{Status: secret.Succeeded, Environment: env, Deployed: env}, rest},
		{"succeeded without environment", secret.Secret{Status: secret.Succeeded, NextAttemptAt: attempt}, rest},
		{"failed", secret.Secret{Status: secret.Failed, Environment: env, NextAttemptAt: attempt}, rest},
		{"refresh given up", secret.Secret{Status: secret.Succeeded, RefreshStatus: secret.Failed, Environment: env, Deployed: env}, rest},
		{"no status", secret.Secret{NextAttemptAt: attempt}, rest},

		// Withdrawing comes before any exchange, so that no exchange starts for
		// one environment while another still holds the value.
		{
			"environment gone",
			secret.Secret{Status: secret.Succeeded, Deployed: env, UpdatedAt: updated},
			secret.Next{Action: secret.Withdraw, At: updated},
		},
		{
			"environment gone, exchange due",
			secret.Secret{Status: secret.Pending, Deployed: env, NextAttemptAt: attempt, UpdatedAt: updated},
			secret.Next{Action: secret.Withdraw, At: updated},
		},
		{
			"another environment",
			secret.Secret{Status: secret.Pending, Environment: otherEnv, Deployed: env, NextAttemptAt: attempt, UpdatedAt: updated},
			secret.Next{Action: secret.Withdraw, At: updated},
		},
		{
			"environment gone, failed",
			secret.Secret{Status: secret.Failed, Deployed: env, UpdatedAt: updated},
			secret.Next{Action: secret.Withdraw, At: updated},
		},

		// The code of a consent comes before what was decided earlier: it does not
		// keep.
		{"a code waits", secret.Secret{Status: secret.Pending, Authorization: consented}, secret.Next{Action: secret.Authorize, At: deleted}},
		{
			"a code waits, exchange due",
			secret.Secret{Status: secret.Pending, NextAttemptAt: attempt, Authorization: consented},
			secret.Next{Action: secret.Authorize, At: deleted},
		},
		{
			"a code waits, refresh due",
			secret.Secret{Status: secret.Succeeded, Environment: env, Deployed: env, NextAttemptAt: attempt, Authorization: consented},
			secret.Next{Action: secret.Authorize, At: deleted},
		},
		{"a code waits, failed", secret.Secret{Status: secret.Failed, Authorization: consented}, secret.Next{Action: secret.Authorize, At: deleted}},
		{
			"a code waits, environment gone",
			secret.Secret{Status: secret.Succeeded, Deployed: env, UpdatedAt: updated, Authorization: consented},
			secret.Next{Action: secret.Withdraw, At: updated},
		},

		// A notice waits for an exchange that is due before it, or with it.
		{
			"notice before refresh",
			secret.Secret{Status: secret.Succeeded, Environment: env, Deployed: env, NextAttemptAt: attempt, Authorization: noticed(attempt.Add(-1))},
			secret.Next{Action: secret.Remind, At: attempt.Add(-1)},
		},
		{
			"notice with refresh",
			secret.Secret{Status: secret.Succeeded, Environment: env, Deployed: env, NextAttemptAt: attempt, Authorization: noticed(attempt)},
			secret.Next{Action: secret.Refresh, At: attempt},
		},
		{
			"notice after exchange",
			secret.Secret{Status: secret.Pending, NextAttemptAt: attempt, Authorization: noticed(attempt.Add(1))},
			secret.Next{Action: secret.Exchange, At: attempt},
		},
		{"notice without refresh", secret.Secret{Status: secret.Succeeded, Authorization: noticed(deleted)}, secret.Next{Action: secret.Remind, At: deleted}},
		{"notice, failed", secret.Secret{Status: secret.Failed, NextAttemptAt: attempt, Authorization: noticed(deleted)}, secret.Next{Action: secret.Remind, At: deleted}},
		{"nobody has consented", secret.Secret{Status: secret.Pending, Authorization: new(secret.Authorization)}, rest},

		// Erasing comes before all.
		{
			"deleted, a code waits",
			secret.Secret{Status: secret.Pending, Authorization: consented, DeletedAt: deleted},
			secret.Next{Action: secret.Erase, At: deleted},
		},
		{
			"deleted",
			secret.Secret{Status: secret.Succeeded, Environment: env, Deployed: env, NextAttemptAt: attempt, UpdatedAt: updated, DeletedAt: deleted},
			secret.Next{Action: secret.Erase, At: deleted},
		},
		{
			"deleted, to be withdrawn",
			secret.Secret{Status: secret.Pending, Deployed: env, NextAttemptAt: attempt, UpdatedAt: updated, DeletedAt: deleted},
			secret.Next{Action: secret.Erase, At: deleted},
		},
	}
	for _, test := range tests {
		before := test.give
		if got := test.give.Plan(); got != test.want {
			t.Errorf("%s: plan is %v at %v, want %v at %v", test.name, got.Action, got.At, test.want.Action, test.want.At)
		}
		if diff := gocmp.Diff(before, test.give); diff != "" {
			t.Errorf("%s: planning changed the record:\n%s", test.name, diff)
		}
	}
}

func TestDue(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		next secret.Next
		want bool
	}{
		{secret.Next{Action: secret.Exchange, At: noon()}, true},
		{secret.Next{Action: secret.Exchange, At: noon().Add(-time.Hour)}, true},
		{secret.Next{Action: secret.Exchange, At: noon().Add(time.Millisecond)}, false},
		{secret.Next{Action: secret.Rest}, false},
	} {
		if got := test.next.Due(noon()); got != test.want {
			t.Errorf("%s at %v is due at noon: %v, want %v", test.next.Action, test.next.At, got, test.want)
		}
	}
}

func TestRefreshState(t *testing.T) {
	t.Parallel()
	before, now, after := noon().Add(-time.Millisecond), noon(), noon().Add(time.Hour)
	base := secret.Secret{Status: secret.Succeeded, Environment: env, Deployed: env, RefreshAt: now, NextAttemptAt: now, ExpiresAt: now.Add(4 * time.Hour)}
	tests := []struct {
		name   string
		change func(*secret.Secret)
		now    time.Time
		want   secret.Status
	}{
		{"not due yet", func(*secret.Secret) {}, before, ""},
		{"due", func(*secret.Secret) {}, now, secret.Pending},
		{"overdue", func(*secret.Secret) {}, after, secret.Pending},
		{"refreshed before, not due", func(s *secret.Secret) { s.RefreshStatus = secret.Succeeded }, before, secret.Succeeded},
		{"refreshed before, due again", func(s *secret.Secret) { s.RefreshStatus = secret.Succeeded }, now, secret.Pending},
		{"between two attempts", func(s *secret.Secret) { s.RefreshStatus, s.NextAttemptAt = secret.Pending, after }, now, secret.Pending},
		{"given up", func(s *secret.Secret) { s.RefreshStatus, s.NextAttemptAt = secret.Failed, time.Time{} }, after, secret.Failed},
		{"no environment", func(s *secret.Secret) { s.Environment, s.Deployed = "", "" }, after, ""},
		{"pending", func(s *secret.Secret) { s.Status = secret.Pending }, after, ""},
		{"failed", func(s *secret.Secret) { s.Status = secret.Failed }, after, ""},
		{"deleted", func(s *secret.Secret) { s.DeletedAt = now }, after, ""},
		{"due, a code waits", func(s *secret.Secret) { s.Authorization = &secret.Authorization{ConsentedAt: before} }, now, secret.Pending},
		{"due, a notice comes first", func(s *secret.Secret) { s.Authorization = &secret.Authorization{Notices: []time.Time{before}} }, now, secret.Pending},
		{"not due, a code waits", func(s *secret.Secret) { s.Authorization = &secret.Authorization{ConsentedAt: before} }, before, ""},
	}
	for _, test := range tests {
		s := base
		test.change(&s)
		if got := s.RefreshState(test.now); got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}

// TestAttempts runs refreshes that fail every time and notes when the attempts
// are made, before expiry. Each attempt takes a second unless the row says
// otherwise, which must not move the next one. The rows marked A12 are the contract's.
func TestAttempts(t *testing.T) {
	t.Parallel()
	minutes := func(m ...float64) (ds []time.Duration) {
		for _, m := range m {
			ds = append(ds, time.Duration(m*float64(time.Minute)))
		}
		return ds
	}
	tests := []struct {
		name   string
		offset time.Duration
		late   time.Duration // how late the first attempt starts
		takes  time.Duration // how long attempts take, 0 for a second
		want   []time.Duration
	}{
		{"A12: default", 4 * time.Hour, 0, 0, minutes(240, 200, 160, 120)},
		{"A12: half an hour", 30 * time.Minute, 0, 0, minutes(30, 25, 20, 15)},
		{"A12: none", 0, 0, 0, minutes(0)},
		{"long", 25 * time.Hour, 0, 0, minutes(1500, 1040, 580, 120)},
		{"two hours", 2 * time.Hour, 0, 0, minutes(120, 100, 80, 60)},
		{"one minute", time.Minute, 0, 0, minutes(1, 5./6, 4./6, 0.5)},

		{"late, before the second place", 4 * time.Hour, 10 * time.Minute, 0, minutes(230, 200, 160, 120)},
		{"late, beyond the second place", 4 * time.Hour, 50 * time.Minute, 0, minutes(190, 160, 120, 120-40-1./60)},
		{"late, beyond the third place", 4 * time.Hour, 90 * time.Minute, 0, minutes(150, 120, 80-1./60, 40-1./60)},
		{"late, beyond the last place", 4 * time.Hour, 3 * time.Hour, 0, minutes(60, 30-1./120, 15-3./240, 7.5-7./480)},
		{"a day late", 4 * time.Hour, 24 * time.Hour, 0, minutes(-1200, -1240-1./60, -1280-2./60, -1320-3./60)},
		{"late, a second before the end", 4 * time.Hour, 4*time.Hour - time.Second, 0, minutes(1./60, -40, -80-1./60, -120-2./60)},
		{"none, late", 0, time.Hour, 0, minutes(-60)},

		{"slow, beyond the next place", 7800 * time.Millisecond, 0, 2600 * time.Millisecond, minutes(7.8/60, 3.9/60)},
		{"slow, beyond the deadline", 4 * time.Hour, 0, 3 * time.Hour, minutes(240)},
		{"slow, beyond expiry", 6 * time.Second, 0, 10 * time.Second, minutes(0.1)},
		{"slow and late", 4 * time.Hour, 50 * time.Minute, 50 * time.Minute, minutes(190, 120, 35, -55)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := refreshable(test.offset)
			now := s.NextAttemptAt.Add(test.late)
			var got []time.Duration
			for s.Plan().Action == secret.Refresh {
				if now.Before(s.NextAttemptAt) {
					now = s.NextAttemptAt
				}
				got = append(got, s.ExpiresAt.Sub(now))
				o := &secret.Outcome{Decision: s.Decision, StartedAt: now, Failure: failure()}
				now = now.Add(cmp.Or(test.takes, time.Second))
				if !s.Apply(o, now) {
					t.Fatal("the outcome was not taken")
				}
				if len(got) > secret.MaxAttempts {
					t.Fatalf("more than %d attempts: %v", secret.MaxAttempts, got)
				}
			}
			if diff := gocmp.Diff(test.want, got); diff != "" {
				t.Errorf("attempts before expiry (-want +got):\n%s", diff)
			}
			if s.RefreshStatus != secret.Failed || s.Status != secret.Succeeded || s.Attempts != len(got) {
				t.Errorf("in the end: status %s, refresh status %s, %d attempts", s.Status, s.RefreshStatus, s.Attempts)
			}
		})
	}
}

// Attempts that do not divide into milliseconds keep their number and order,
// each at a time of its own.
func TestAttemptsInMilliseconds(t *testing.T) {
	t.Parallel()
	s := refreshable(time.Second)
	now := s.NextAttemptAt.Add(400 * time.Microsecond)
	var got []time.Duration
	for s.Plan().Action == secret.Refresh {
		got = append(got, s.NextAttemptAt.Sub(s.RefreshAt))
		s.Apply(bad(s.Decision, env, now), now)
		now = s.NextAttemptAt
	}
	want := []time.Duration{0, 166 * time.Millisecond, 333 * time.Millisecond, 499 * time.Millisecond}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("attempts (-want +got):\n%s", diff)
	}

	// Late by one place: no place is used twice.
	s = refreshable(time.Second)
	now = s.RefreshAt.Add(200 * time.Millisecond)
	got = nil
	for s.Plan().Action == secret.Refresh {
		s.Apply(bad(s.Decision, env, now), now)
		got = append(got, now.Sub(s.RefreshAt))
		now = s.NextAttemptAt
	}
	want = []time.Duration{200 * time.Millisecond, 333 * time.Millisecond, 499 * time.Millisecond, 665 * time.Millisecond}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("late attempts (-want +got):\n%s", diff)
	}
}

// refreshable returns a secret whose value expires at noon and whose first
// refresh is planned this long before.
func refreshable(offset time.Duration) *secret.Secret {
	expiresAt, refreshAt := secret.Dates(noon().Add(-48*time.Hour), 48*time.Hour, offset)
	return &secret.Secret{
		Status: secret.Succeeded, Environment: env, Deployed: env, Generation: 6, Decision: 7,
		ActivatedAt: noon().Add(-48 * time.Hour), ExpiresAt: expiresAt, RefreshAt: refreshAt, NextAttemptAt: refreshAt,
	}
}

func failure() *secret.Failure {
	return &secret.Failure{
		ID: "0b7f3a52-6f0e-4b58-9a5c-2f2f6d0c8f11", Reason: "rejected", Detail: "the provider refused the credentials",
		RequestID: "00112233445566778899aabbccddeeff", At: noon(), RetryAt: noon().Add(time.Minute),
	}
}

// TestNextAttempt: what is planned by itself, and not what a refresh was to be.
func TestNextAttempt(t *testing.T) {
	t.Parallel()
	now, soon := noon(), noon().Add(time.Minute)
	for name, tt := range map[string]struct {
		status secret.Status
		env    string
		at     time.Time
		want   time.Time
	}{
		"refreshed soon":         {secret.Succeeded, env, soon, soon},
		"refresh overdue":        {secret.Succeeded, env, now.Add(-time.Hour), now.Add(-time.Hour)},
		"given up":               {secret.Succeeded, env, time.Time{}, time.Time{}},
		"without an environment": {secret.Succeeded, "", soon, time.Time{}},
		"a retry failed":         {secret.Failed, env, time.Time{}, time.Time{}},
		"being exchanged":        {secret.Pending, env, now, time.Time{}},
		"exchanged again soon":   {secret.Pending, env, soon, soon},
	} {
		s := secret.Secret{Kind: secret.OAuth2, Status: tt.status, Environment: tt.env, RefreshAt: soon.Add(time.Second), NextAttemptAt: tt.at}
		if got := s.NextAttempt(now); !got.Equal(tt.want) {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
}
