package secret_test

import (
	"testing"
	"time"

	"github.com/rekindle-dev/rekindle/pkg/secret"
)

// A job that is set aside keeps others from being offered for the same, and for
// nothing else.
func TestPark(t *testing.T) {
	t.Parallel()
	now := noon()
	due := secret.Secret{
		Kind: secret.OAuth2, Environment: env, Deployed: env, Status: secret.Succeeded, Decision: 7,
		ExpiresAt: now.Add(time.Hour), RefreshAt: now, NextAttemptAt: now,
	}
	for _, tt := range []struct {
		name     string
		decision uint64
		at       time.Time
		parks    bool
	}{
		{"due", 7, now, true}, {"of an earlier decision", 6, now, false}, {"not due yet", 7, now.Add(-time.Second), false},
	} {
		if s := due; s.Park(tt.decision, tt.at) != tt.parks || s.SetAside() != tt.parks {
			t.Errorf("%s: %t, set aside: %t", tt.name, !tt.parks, s.SetAside())
		}
	}
	for name, change := range map[string]func(s *secret.Secret){
		"retry":   func(s *secret.Secret) { s.Ask(now) },
		"delete":  func(s *secret.Secret) { s.Delete(now) },
		"detach":  func(s *secret.Secret) { s.Detach(now) },
		"requeue": func(s *secret.Secret) { s.Parked = nil },
		"outcome": func(s *secret.Secret) { s.Apply(&secret.Outcome{Decision: 7, At: now, Environment: env}, now) },
	} {
		s := due
		s.Park(7, now)
		if change(&s); s.SetAside() {
			t.Errorf("%s: still set aside", name)
		}
	}
}
