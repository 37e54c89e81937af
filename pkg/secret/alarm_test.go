package secret_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rekindle-dev/rekindle/pkg/secret"
)

// serving returns a secret whose value has been in use since noon, ends after a
// lifetime, and is refreshed so long before that.
func serving(lifetime, offset time.Duration) *secret.Secret {
	s := asked(env)
	o := good(1, env, noon())
	o.ExpiresAt, o.RefreshAt = secret.Dates(noon(), lifetime, offset)
	s.Apply(o, noon())
	return s
}

// given runs a secret's alarms, each when it is due, and returns how long before its
// end that is.
func given(s *secret.Secret) (before []time.Duration) {
	for next := s.PlanAlarm(); next.Action != secret.Rest; next = s.PlanAlarm() {
		at, _ := s.DueAlarm(next.At)
		before = append(before, s.ExpiresAt.Sub(at))
		s.Alarmed(s.Generation, at)
	}
	return before
}

func TestAlarms(t *testing.T) {
	t.Parallel()
	const hour, day = time.Hour, 24 * time.Hour
	fail := func(s *secret.Secret, n int) {
		for range n {
			o := bad(s.Decision, env, s.NextAttemptAt)
			o.Failure = &secret.Failure{At: o.At}
			s.Apply(o, o.At)
		}
	}
	for _, tt := range []struct {
		name             string
		lifetime, offset time.Duration
		happens          func(*secret.Secret)
		want             []time.Duration // before its end
	}{
		{"nothing happens", day, 4 * hour, nil, []time.Duration{2 * hour, 0}},
		{"an hour", hour, 30 * time.Minute, nil, []time.Duration{15 * time.Minute, 0}},
		{"a long offset", 60 * day, 7 * day, nil, []time.Duration{day, 2 * hour, 0}},
		{"an offset of a day", 4 * day, day, nil, []time.Duration{2 * hour, 0}},
		{"no offset", day, 0, nil, []time.Duration{0}},
		{"attempts are left", day, 4 * hour, func(s *secret.Secret) { fail(s, 3) }, []time.Duration{2 * hour, 0}},
		{"given up in time", day, 4 * hour, func(s *secret.Secret) { fail(s, 4) }, []time.Duration{2 * hour, 0}},
		{"given up early", 60 * day, 7 * day, func(s *secret.Secret) {
			s.RefreshStatus, s.RefreshStatusDetails, s.NextAttemptAt = secret.Failed, &secret.Failure{At: s.RefreshAt.Add(hour)}, time.Time{}
		}, []time.Duration{7*day - hour, day, 2 * hour, 0}},
		{"given up after its end", day, 4 * hour, func(s *secret.Secret) {
			s.RefreshStatus, s.RefreshStatusDetails, s.NextAttemptAt = secret.Failed, &secret.Failure{At: s.ExpiresAt.Add(hour)}, time.Time{}
		}, []time.Duration{2 * hour, 0}},
		{"asked for in vain", day, 4 * hour, func(s *secret.Secret) {
			s.Ask(noon().Add(hour))
			fail(s, 1)
		}, []time.Duration{2 * hour, 0}},
		{"set aside", day, 4 * hour, func(s *secret.Secret) { s.Park(s.Decision, s.RefreshAt) }, []time.Duration{4 * hour, 2 * hour, 0}},
		{"cannot be refreshed", day, 4 * hour, func(s *secret.Secret) {
			s.RefreshAt, s.NextAttemptAt = time.Time{}, time.Time{}
		}, []time.Duration{2 * hour, 0}},
		{"cannot be refreshed and is short", hour, 0, func(s *secret.Secret) {
			s.RefreshAt, s.NextAttemptAt = time.Time{}, time.Time{}
		}, []time.Duration{15 * time.Minute, 0}},
		{"asked for", day, 4 * hour, func(s *secret.Secret) { s.Ask(noon().Add(hour)) }, []time.Duration{2 * hour, 0}},

		{"does not end", day, 4 * hour, func(s *secret.Secret) {
			s.ExpiresAt, s.RefreshAt, s.NextAttemptAt = time.Time{}, time.Time{}, time.Time{}
		}, nil},
		{"deleted", day, 4 * hour, func(s *secret.Secret) { s.Delete(noon()) }, nil},
		{"detached", day, 4 * hour, func(s *secret.Secret) { s.Detach(noon()) }, nil},
		{"in another environment", day, 4 * hour, func(s *secret.Secret) { s.Detach(noon()); s.Attach(otherEnv, "staging"); s.Ask(noon()) }, nil},
		{"handed over", day, 4 * hour, func(s *secret.Secret) { s.Leave(noon()) }, nil},
	} {
		s := serving(tt.lifetime, tt.offset)
		if tt.happens != nil {
			tt.happens(s)
		}
		if diff := cmp.Diff(tt.want, given(s)); diff != "" {
			t.Errorf("%s: alarms before the end (-want +got):\n%s", tt.name, diff)
		}
	}
}

// Of alarms that nobody was there to give, the last is given for all.
func TestMissedAlarms(t *testing.T) {
	t.Parallel()
	for after, want := range map[time.Duration]time.Duration{-3 * time.Hour: 24 * time.Hour, -time.Hour: 2 * time.Hour, time.Hour: 0} {
		s := serving(60*24*time.Hour, 7*24*time.Hour)
		now := s.ExpiresAt.Add(after)
		at, ended := s.DueAlarm(now)
		if s.ExpiresAt.Sub(at) != want || ended != (after > 0) {
			t.Errorf("%v after its end: the alarm of %v before it is given, ended %t", after, s.ExpiresAt.Sub(at), ended)
		}
		if s.Alarmed(s.Generation, at); s.PlanAlarm().Due(now) {
			t.Errorf("%v after its end: another is due", after)
		}
	}
}

// Another value begins anew, and what was to be said of the one before is void.
func TestAlarmsOfAnotherValue(t *testing.T) {
	t.Parallel()
	s := serving(24*time.Hour, 4*time.Hour)
	at, _ := s.DueAlarm(s.ExpiresAt)
	if !s.Alarmed(s.Generation, at) || s.PlanAlarm().Action != secret.Rest {
		t.Fatalf("not noted: %v", s.PlanAlarm())
	}
	before := s.Generation
	s.Apply(good(s.Decision, env, s.ExpiresAt), s.ExpiresAt)
	if s.Alarmed(before, at) || !s.AlarmedAt.IsZero() {
		t.Error("noted for another value")
	}
	if got := given(s); len(got) != 2 {
		t.Errorf("alarms of the next value: %v", got)
	}
	s.Delete(noon())
	if s.Alarmed(s.Generation, at) {
		t.Error("noted for a secret that is deleted")
	}
}

// An alarm that is not due before an exchange leaves it alone.
func TestAlarmsComeBesideThePlan(t *testing.T) {
	t.Parallel()
	s := serving(24*time.Hour, 4*time.Hour)
	plan := s.Plan()
	for now := s.RefreshAt; !now.After(s.ExpiresAt); now = now.Add(time.Hour) {
		if at, _ := s.DueAlarm(now); !at.IsZero() {
			s.Alarmed(s.Generation, at)
		}
		if s.Plan() != plan || s.NextAttempt(now) != plan.At {
			t.Errorf("planned is %v", s.Plan())
		}
	}
}
