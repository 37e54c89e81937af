package secret_test

import (
	"testing"
	"time"

	"github.com/rekindle-dev/rekindle/pkg/secret"
)

// When a failed refresh is tried again, where that does not follow from the
// schedule. The scale of this secret: 08:00, 08:40, 09:20, 10:00, expiry at noon.
func TestRetryAt(t *testing.T) {
	t.Parallel()
	due := refreshable(4 * time.Hour).RefreshAt
	for _, tt := range []struct {
		name     string
		attempts int // before this one
		retryAt  time.Duration
		want     time.Duration // after due; negative: given up
	}{
		{"patience within the scale", 0, 5 * time.Minute, 5 * time.Minute},
		{"patience beyond the scale", 0, 3 * time.Hour, 3 * time.Hour},
		{"patience beyond the expiry", 1, 5 * time.Hour, 5 * time.Hour},
		{"no patience asked for", 0, -time.Hour, time.Second},
		{"after the last attempt no more often than the schedule", 3, time.Second, 40 * time.Minute},
		{"after the last attempt, later", 3, 2 * time.Hour, 2 * time.Hour},
		{"after the last attempt, too late", 3, 5 * time.Hour, -1},
	} {
		s := refreshable(4 * time.Hour)
		s.Attempts = tt.attempts
		s.Apply(&secret.Outcome{
			Decision: s.Decision, Action: secret.Refresh, StartedAt: due, At: due, Failure: failure(), RetryAt: due.Add(tt.retryAt),
		}, due)
		want := due.Add(tt.want)
		if tt.want < 0 {
			want = time.Time{}
		}
		if !s.NextAttemptAt.Equal(want) || (s.RefreshStatus == secret.Failed) != want.IsZero() {
			t.Errorf("%s: next attempt at %v with refresh status %s, want %v", tt.name, s.NextAttemptAt, s.RefreshStatus, want)
		}
	}
}

// A host that is down takes no attempt away, and no refresh is given up for it,
// not even when the value has ended.
func TestRetryWhileDown(t *testing.T) {
	t.Parallel()
	s := refreshable(4 * time.Hour)
	for now := s.RefreshAt; now.Before(s.ExpiresAt.Add(time.Hour)); now = s.NextAttemptAt {
		next := now.Add(2 * time.Minute)
		s.Apply(&secret.Outcome{
			Decision: s.Decision, Action: secret.Refresh, StartedAt: now, At: now, Failure: failure(), RetryAt: next, Down: true,
		}, now)
		if !s.NextAttemptAt.Equal(next) || s.Attempts != 0 || s.RefreshStatus != secret.Pending {
			t.Fatalf("at %v: next at %v, %d attempts, %s", now, s.NextAttemptAt, s.Attempts, s.RefreshStatus)
		}
	}
}

// What was sent may have been replaced: it is not sent again while the value in use
// has long to live, and all attempts are still to come.
func TestInterruptUntil(t *testing.T) {
	t.Parallel()
	s := refreshable(4 * time.Hour)
	last := s.LastAttempt()
	if want := s.ExpiresAt.Add(-2 * time.Hour); !last.Equal(want) {
		t.Fatalf("the last attempt is at %v, want %v", last, want)
	}
	if !s.Interrupt(s.Decision, failure(), last) {
		t.Fatal("not interrupted")
	}
	if next := s.Plan(); next != (secret.Next{Action: secret.Refresh, At: last}) || s.RefreshState(s.RefreshAt) != secret.Pending {
		t.Errorf("planned is %v, refresh status %s", next, s.RefreshState(s.RefreshAt))
	}
	if s.RefreshStatusDetails == nil || s.Attempts != 0 || s.Status != secret.Succeeded {
		t.Errorf("details %v, attempts %d, status %s", s.RefreshStatusDetails, s.Attempts, s.Status)
	}
	for n := range secret.MaxAttempts {
		at := s.NextAttemptAt
		if at.IsZero() || !at.Before(s.ExpiresAt) {
			t.Fatalf("attempt %d is at %v", n+1, at)
		}
		s.Apply(&secret.Outcome{Decision: s.Decision, Action: secret.Refresh, StartedAt: at, At: at, Failure: failure()}, at)
	}
	if !s.NextAttemptAt.IsZero() {
		t.Errorf("another attempt at %v", s.NextAttemptAt)
	}
}

// So is what somebody asked for, who waits for it; it is made at once when what there
// was to lose has been found.
func TestInterruptAsked(t *testing.T) {
	t.Parallel()
	s := refreshable(4 * time.Hour)
	last := s.LastAttempt()
	s.Ask(last.Add(-time.Hour))
	d := s.Decision
	if !s.Interrupt(d, failure(), last) {
		t.Fatal("not interrupted")
	}
	if next := s.Plan(); next != (secret.Next{Action: secret.Exchange, At: last}) || s.StatusDetails == nil || s.Status != secret.Pending {
		t.Errorf("planned is %v, status %s, details %v", next, s.Status, s.StatusDetails)
	}
	later := last.Add(-time.Minute)
	if s.Saved(d-1, later) || s.Saved(d+1, later) || s.Saved(d, last) {
		t.Error("of another decision, or due already")
	}
	if !s.Saved(d, later) || s.Saved(d, later) || s.Decision != d+2 || s.StatusDetails != nil {
		t.Errorf("decision %d, details %v", s.Decision, s.StatusDetails)
	}
	if next := s.Plan(); next != (secret.Next{Action: secret.Exchange, At: later}) {
		t.Errorf("planned is %v", next)
	}
	refresh := refreshable(4 * time.Hour)
	refresh.Interrupt(refresh.Decision, failure(), last)
	if refresh.Saved(refresh.Decision-1, later) {
		t.Error("nobody waits for a refresh")
	}
}

// A refusal for good that was taken back leaves no trace.
func TestAStrikeIsForgotten(t *testing.T) {
	t.Parallel()
	s := authorized(env)
	for range 3 {
		at := s.NextAttemptAt
		s.Apply(&secret.Outcome{Decision: s.Decision, Action: secret.Refresh, At: at, Ended: true, Failure: failure()}, at)
		if s.Authorization.Required || !s.Authorization.EndedAt.IsZero() {
			t.Fatal("a first refusal was taken for the end")
		}
		at = s.NextAttemptAt
		good := with(good(s.Decision, env, at), secret.Refresh)
		s.Apply(good, at)
		if s.Authorization.Strikes != 0 || s.RefreshStatus != secret.Succeeded {
			t.Fatalf("%d strikes, refresh status %s", s.Authorization.Strikes, s.RefreshStatus)
		}
	}
}
