package secret_test

import (
	"testing"
	"time"

	"github.com/rekindle-dev/rekindle/pkg/secret"
)

// TestPutOff: an exchange that was asked for waits until its turn, never longer
// than a day; what nobody asked for is not brought about by it.
func TestPutOff(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		asked bool
		by    time.Duration
		want  time.Duration // from noon; negative for never
	}{
		"its turn":      {true, 10 * time.Minute, 10 * time.Minute},
		"at once":       {true, 0, 0},
		"in the past":   {true, -time.Hour, 0},
		"too long":      {true, 48 * time.Hour, secret.MaxPutOff},
		"nobody asked":  {false, 10 * time.Minute, -1},
		"parts of a ms": {true, 1500*time.Microsecond + 1, time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &secret.Secret{Kind: secret.Token, Status: secret.Pending}
			if tt.asked {
				s.Ask(noon())
			}
			s.PutOff(noon(), noon().Add(tt.by))
			if want := noon().Add(tt.want); tt.want < 0 && !s.NextAttemptAt.IsZero() || tt.want >= 0 && !s.NextAttemptAt.Equal(want) {
				t.Errorf("due at %v", s.NextAttemptAt)
			}
		})
	}
}

// TestLeave: an exchange on its way is void, asking brings none about, and a
// second hand-over moves nothing.
func TestLeave(t *testing.T) {
	t.Parallel()
	s := &secret.Secret{Kind: secret.OAuth2, Status: secret.Pending, Environment: env, Deployed: env}
	s.Ask(noon())
	claimed := s.Decision
	s.Leave(noon())
	s.Leave(noon().Add(time.Hour))
	s.Ask(noon().Add(time.Hour))
	if s.Apply(&secret.Outcome{Decision: claimed, At: noon()}, noon()) || !s.Elsewhere.Equal(noon()) ||
		s.Plan().Action != secret.Rest || !s.NextAttemptAt.IsZero() {
		t.Errorf("left at %v, planned: %v", s.Elsewhere, s.Plan())
	}
	s.TakeOver(noon().Add(2 * time.Hour))
	if due := s.Plan(); due.Action != secret.Exchange || !due.At.Equal(noon().Add(2*time.Hour)) {
		t.Errorf("taken over, planned: %v", due)
	}
}
