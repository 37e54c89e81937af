package secret_test

import (
	"fmt"
	"time"

	"pgregory.net/rapid"

	"github.com/rekindle-dev/rekindle/pkg/secret"
)

// alarms are what was said of values that end, by generation and place.
type alarms struct {
	said map[string]bool
}

// Alarm gives the alarm that is due. The exchanger may die before it has noted that.
func (f *fleet) Alarm(t *rapid.T) {
	if !f.s.PlanAlarm().Due(f.now) {
		t.Skip("nothing to say")
	}
	at, ended := f.s.DueAlarm(f.now)
	if at.IsZero() || at.After(f.now) || ended != !f.now.Before(f.s.ExpiresAt) {
		t.Fatalf("the alarm of %v, ended %t, is due:\n%s", at, ended, show(f))
	}
	if f.said == nil {
		f.said = map[string]bool{}
	}
	what := fmt.Sprint(f.s.Generation, at)
	if f.said[what] {
		t.Fatalf("the alarm of %v was given before:\n%s", at, show(f))
	}
	if rapid.Bool().Draw(t, "dies before it is noted") {
		return
	}
	f.said[what] = true
	if !f.s.Alarmed(f.s.Generation, at) || f.s.PlanAlarm().Due(f.now) {
		t.Fatalf("the alarm of %v is not noted:\n%s", at, show(f))
	}
}

// checkAlarms is what holds of alarms after every step: no value in use ends in
// silence, and of no other is anything said.
func (f *fleet) checkAlarms(check func(bool, string)) {
	s, next := f.s, f.s.PlanAlarm()
	used := f.alive() && s.Environment != "" && s.Deployed == s.Environment && !s.ActivatedAt.IsZero()
	check(used || next.Action == secret.Rest, "an alarm about a value that nobody uses")
	check(next.Action == secret.Rest || next.At.After(s.AlarmedAt) && !next.At.After(s.ExpiresAt), "an alarm that was given, or is about another value")
	check(s.AlarmedAt.IsZero() || !s.AlarmedAt.After(s.ExpiresAt), "an alarm of before is remembered")
	ended := used && !s.ExpiresAt.IsZero() && !f.now.Before(s.ExpiresAt)
	check(!ended || next.Due(f.now) || f.said[fmt.Sprint(s.Generation, s.ExpiresAt)], "a value has ended in silence")
	healthy := s.Status == secret.Succeeded && s.Attempts == 0 && !s.NextAttemptAt.IsZero()
	check(!healthy || next.Action == secret.Rest || !next.At.Before(s.NextAttemptAt), "an alarm before the refresh is due")
	none := time.Time{}
	at, _ := s.DueAlarm(none)
	check(at.IsZero(), "an alarm at no time")
}
