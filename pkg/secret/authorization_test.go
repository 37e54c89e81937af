package secret_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/secret"
)

const day = 24 * time.Hour

func TestNotices(t *testing.T) {
	t.Parallel()
	standard := secret.DefaultReminders()
	tests := []struct {
		name      string
		reminders secret.Reminders
		from, by  string
		want      []string
	}{
		{
			"LinkedIn, a leap year", standard, "2023-06-15T08:30:00.123Z", "2024-06-14T08:30:00.123Z",
			[]string{"2024-03-14T08:30:00.123Z", "2024-05-15T08:30:00.123Z", "2024-05-31T08:30:00.123Z", "2024-06-07T08:30:00.123Z", "2024-06-13T08:30:00.123Z"},
		},
		{"to the end of February", secret.Reminders{Months: 3}, "2024-05-31T12:00:00Z", "2025-05-31T12:00:00Z", []string{"2025-02-28T12:00:00Z"}},
		{"to the end of a leap February", secret.Reminders{Months: 3}, "2023-05-31T12:00:00Z", "2024-05-30T12:00:00Z", []string{"2024-02-29T12:00:00Z"}},
		{"from February", secret.Reminders{Months: 3}, "2023-02-28T12:00:00Z", "2024-02-29T12:00:00Z", []string{"2023-11-29T12:00:00Z"}},
		{"over the new year", secret.Reminders{Months: 3}, "2024-01-31T12:00:00Z", "2025-01-31T12:00:00Z", []string{"2024-10-31T12:00:00Z"}},
		{"a month of 30 days", secret.Reminders{Months: 1}, "2024-01-01T12:00:00Z", "2024-12-31T12:00:00Z", []string{"2024-11-30T12:00:00Z"}},
		{
			"half a year", standard, "2024-01-01T00:00:00Z", "2024-06-29T00:00:00Z", // the first is not before half of it
			[]string{"2024-03-31T00:00:00Z", "2024-05-30T00:00:00Z", "2024-06-15T00:00:00Z", "2024-06-22T00:00:00Z", "2024-06-28T00:00:00Z"},
		},
		{"a week", standard, "2024-01-01T00:00:00Z", "2024-01-08T00:00:00Z", []string{"2024-01-04T12:00:00Z", "2024-01-07T00:00:00Z"}},
		{"16 hours", standard, "2024-01-01T00:00:00Z", "2024-01-01T16:00:00Z", []string{"2024-01-01T08:00:00Z"}},
		{"shortest first", secret.Reminders{Before: []time.Duration{day, 7 * day}}, "2024-01-01T00:00:00Z", "2024-03-01T00:00:00Z", []string{"2024-02-23T00:00:00Z", "2024-02-29T00:00:00Z"}},
		{"no reminders", secret.Reminders{}, "2024-01-01T00:00:00Z", "2025-01-01T00:00:00Z", nil},
	}
	for _, test := range tests {
		var want []time.Time
		for _, s := range test.want {
			want = append(want, at(s))
		}
		if diff := cmp.Diff(want, test.reminders.Notices(at(test.from), at(test.by))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
	}
	if got := standard.Notices(noon(), time.Time{}); got != nil {
		t.Errorf("what does not end is announced at %v", got)
	}
}

// However long a grant lives, it is announced in order, at least once, and in
// the second half of its life.
func TestNoticesInTheSecondHalf(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		life := time.Duration(rapid.Int64Range(1, int64(3*year/time.Millisecond)).Draw(t, "life")) * time.Millisecond
		from := noon().Add(time.Duration(rapid.Int64Range(0, int64(4*year/time.Millisecond)).Draw(t, "from")) * time.Millisecond)
		got := secret.DefaultReminders().Notices(from, from.Add(life))
		last := from.Add(life / 2).Truncate(time.Millisecond).Add(-1)
		for _, at := range got {
			if !at.After(last) || !at.Equal(at.Truncate(time.Millisecond)) || at.Location() != time.UTC {
				t.Fatalf("%v comes after %v", at, last)
			}
			last = at
		}
		if len(got) == 0 || last.After(from.Add(life)) {
			t.Fatalf("%d notices, the last at %v", len(got), last)
		}
	})
}

func TestStatusAt(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		give *secret.Authorization
		want secret.Status
	}{
		{"not interactive", nil, secret.Failed},
		{"no dialog", &secret.Authorization{}, secret.Failed},
		{"a dialog is open", &secret.Authorization{AskedUntil: noon().Add(time.Millisecond)}, secret.Pending},
		{"the dialog is over", &secret.Authorization{AskedUntil: noon()}, secret.Failed},
		{"a code waits", &secret.Authorization{ConsentedAt: noon().Add(-day)}, secret.Pending},
		{"another account's is held", &secret.Authorization{HeldAt: noon()}, secret.Failed},
	} {
		s := secret.Secret{Status: secret.Failed, Authorization: test.give}
		if got := s.StatusAt(noon()); got != test.want {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
	}
}

func TestAsked(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		give *secret.Secret
		want bool
	}{
		{"asked", asked(env), true},
		{"failed", failed(), false},
		{"refresh planned", working(env), false},
		{"nobody has consented", waiting(env), false},
		{"a code waits", consented(env), true},
		{"a code was exchanged", authorized(env), false},
		{"soon", keptBack(time.Second), true},
		{"kept back", keptBack(time.Second + time.Millisecond), false},
	} {
		if got := test.give.Asked(noon()); got != test.want {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
	}
}

// keptBack is a secret whose exchange somebody waits for, and that is to be made in a
// while.
func keptBack(in time.Duration) *secret.Secret {
	s := asked(env)
	s.NextAttemptAt = noon().Add(in)
	return s
}

// Notices are struck off when they have been given; of those that were missed,
// one is given for all.
func TestReminded(t *testing.T) {
	t.Parallel()
	s := authorized(env)
	s.NextAttemptAt = time.Time{}
	stored := s.Authorization.Notices
	for _, step := range []struct {
		now      time.Time
		due      bool // before it is given
		left     int
		required bool
	}{
		{notices()[0].Add(-time.Millisecond), false, 5, false},
		{notices()[0], true, 4, true},
		{notices()[0], false, 4, true},
		{notices()[2].Add(time.Hour), true, 2, true},
		{notices()[4].Add(year), true, 0, true},
		{notices()[4].Add(year), false, 0, true},
	} {
		next := s.Plan()
		if got := next.Due(step.now); got != step.due || got && next.Action != secret.Remind {
			t.Errorf("at %v: %s is due: %v, want %v", step.now, next.Action, got, step.due)
		}
		if got := s.ReauthorizationRequired(step.now); got != step.required {
			t.Errorf("at %v: required %v, want %v", step.now, got, step.required)
		}
		s.Reminded(step.now)
		if got := s.Authorization; len(got.Notices) != step.left || got.Required != step.required {
			t.Errorf("at %v: %d left, required %v; want %d, %v", step.now, len(got.Notices), got.Required, step.left, step.required)
		}
	}
	if diff := cmp.Diff(notices(), stored); diff != "" {
		t.Errorf("the notices that were read before have changed:\n%s", diff)
	}
}

// TestSecondClock is what an exchange changes about when somebody has to consent
// again. Each row begins with a grant of 365 days from noon, whose first notice,
// three months before the end, has been given.
func TestSecondClock(t *testing.T) {
	t.Parallel()
	now := notices()[0].Add(day)
	found := func(given time.Time, life time.Duration) *secret.Authorized {
		a := &secret.Authorized{At: given, Reminders: secret.DefaultReminders()}
		if life > 0 {
			a.ReauthorizeBy = given.Add(life)
		}
		return a
	}
	tests := []struct {
		name     string
		before   func(*secret.Secret)
		action   secret.Action
		found    *secret.Authorized
		by       time.Time
		notices  []time.Time
		required bool
	}{
		{"refreshed", nil, secret.Refresh, found(noon(), year), noon().Add(year), notices()[1:], true},
		{"nothing found out", nil, secret.Refresh, nil, noon().Add(year), notices()[1:], true},
		{"consented again", nil, secret.Authorize, found(now, year), now.Add(year), secret.DefaultReminders().Notices(now, now.Add(year)), false},
		{"consented to what does not end", nil, secret.Authorize, found(now, 0), time.Time{}, nil, false},
		{"consented again until the same day", nil, secret.Authorize, found(now, noon().Add(year).Sub(now)), noon().Add(year), secret.DefaultReminders().Notices(now, noon().Add(year)), false},
		{"the end was put off", nil, secret.Refresh, found(noon(), 2*year), noon().Add(2 * year), secret.DefaultReminders().Notices(noon(), noon().Add(2*year)), false},
		{
			// In ten days, as is now known. What would have been said before is said at once.
			"the end has come near", nil, secret.Refresh, found(noon(), now.Add(10*day).Sub(noon())), now.Add(10 * day),
			[]time.Time{now.Add(-4 * day), now.Add(3 * day), now.Add(9 * day)},
			true,
		},
		{
			"accepted, and near its end", nil, secret.Authorize, found(now.Add(-360*day), year), now.Add(5 * day),
			[]time.Time{now.Add(-2 * day), now.Add(4 * day)},
			true,
		},
		{
			"honoured again after an end", func(s *secret.Secret) {
				s.Apply(&secret.Outcome{Decision: s.Decision, Action: secret.Refresh, Ended: true, Failure: failure()}, now)
			}, secret.Refresh, found(noon(), year), noon().Add(year), notices()[1:], true,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := authorized(env)
			s.Reminded(notices()[0])
			if test.before != nil {
				test.before(s)
			}
			o := good(s.Decision, env, now)
			o.Action, o.Authorized = test.action, test.found
			if !s.Apply(o, now) {
				t.Fatal("the outcome was not taken")
			}
			a := s.Authorization
			if !a.ReauthorizeBy.Equal(test.by) || a.Required != test.required || !a.EndedAt.IsZero() {
				t.Errorf("until %v, required %v, ended %v; want %v, %v, not ended", a.ReauthorizeBy, a.Required, a.EndedAt, test.by, test.required)
			}
			if diff := cmp.Diff(test.notices, a.Notices); len(a.Notices)+len(test.notices) > 0 && diff != "" {
				t.Errorf("notices (-want +got):\n%s", diff)
			}
		})
	}
}

// TestObserved lets grants of one secret end, one after the other, without
// anybody having said that they would. When two live about as long, the third is
// expected to.
func TestObserved(t *testing.T) {
	t.Parallel()
	const hour = time.Hour
	tests := []struct {
		name  string
		lives []time.Duration // until the last refresh that went well; 0: none did
		alive time.Duration   // for how long the last one has been good
		rule  time.Duration   // for how long it is by the provider's word
		by    time.Duration   // when it is expected to end, 0: not known
	}{
		{"one", []time.Duration{16 * hour}, 0, 0, 0},
		{"two alike", []time.Duration{16 * hour, 15 * hour}, 0, 0, 15 * hour},
		{"two just alike", []time.Duration{16 * hour, 12*hour + time.Millisecond}, 0, 0, 12*hour + time.Millisecond},
		{"two not alike", []time.Duration{16 * hour, 12 * hour}, 0, 0, 0},
		{"the last two", []time.Duration{2 * hour, 16 * hour, 16 * hour}, 0, 0, 16 * hour},
		{"no rule any more", []time.Duration{16 * hour, 16 * hour, hour}, 0, 0, 0},
		{"ended before its first refresh", []time.Duration{0, 0}, 0, 0, 0},
		{"one of them did", []time.Duration{16 * hour, 0, 16 * hour}, 0, 0, 16 * hour},
		{"outlived by little", []time.Duration{16 * hour, 16 * hour}, 21 * hour, 0, 16 * hour},
		{"outlived", []time.Duration{16 * hour, 16 * hour}, 22 * hour, 0, 0},
		{"earlier than the provider says", []time.Duration{100 * day, 90 * day}, 0, year, 90 * day},
		{"later than the provider says", []time.Duration{100 * day, 90 * day}, 0, 60 * day, 60 * day},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := waiting(env)
			given, rule := noon(), time.Duration(0)
			use := func(action secret.Action, now time.Time) {
				o := &secret.Outcome{Decision: s.Decision, Action: action, At: now, Environment: env}
				o.Authorized = &secret.Authorized{At: given, Reminders: secret.DefaultReminders()}
				if rule > 0 {
					o.Authorized.ReauthorizeBy = given.Add(rule)
				}
				s.Apply(o, now)
			}
			consent := func() {
				s.Consented(given)
				use(secret.Authorize, given.Add(2*time.Second))
			}
			for _, life := range test.lives {
				consent()
				if life > 0 {
					use(secret.Refresh, given.Add(life))
				}
				over := given.Add(life + hour/2)
				for range 2 { // the second says nothing new
					s.Apply(&secret.Outcome{Decision: s.Decision, Action: secret.Refresh, Ended: true, Failure: failure()}, over)
				}
				if a := s.Authorization; !a.EndedAt.Equal(over) || !a.Required || len(a.Notices) > 0 {
					t.Fatalf("ended at %v, required %v, notices %v", a.EndedAt, a.Required, a.Notices)
				}
				given = over.Add(day)
			}
			rule = test.rule
			consent()
			if test.alive > 0 {
				use(secret.Refresh, given.Add(test.alive))
			}
			want := time.Time{}
			if test.by > 0 {
				want = given.Add(test.by)
			}
			a := s.Authorization
			if !a.ReauthorizeBy.Equal(want) || want.IsZero() && a.Required {
				t.Errorf("expected to end at %v, want %v; required %v", a.ReauthorizeBy, want, a.Required)
			}
		})
	}
}

// Whatever an outcome says, a code is good for one request.
func TestCodeIsNotReplayed(t *testing.T) {
	t.Parallel()
	s := waiting(env)
	s.Consented(noon())
	s.Apply(&secret.Outcome{Decision: s.Decision, Action: secret.Authorize, Replay: true, RetryAt: noon().Add(time.Second), Failure: failure()}, noon())
	if s.ConsentWaits() || s.Status != secret.Failed {
		t.Errorf("status %s, still waits: %t", s.Status, s.ConsentWaits())
	}
}

// That a grant was lost with an answer is no rule of the provider's.
func TestLostAnswersTeachNothing(t *testing.T) {
	t.Parallel()
	s, given := waiting(env), noon()
	for range 3 {
		s.Consented(given)
		for _, action := range []secret.Action{secret.Authorize, secret.Refresh} {
			now := given
			if action == secret.Refresh {
				now = given.Add(16 * time.Hour)
			}
			s.Apply(&secret.Outcome{
				Decision: s.Decision, Action: action, At: now, Environment: env,
				Authorized: &secret.Authorized{At: given, Reminders: secret.DefaultReminders()},
			}, now)
		}
		over := given.Add(17 * time.Hour)
		lost := failure()
		lost.Reason = string(events.ReasonUnknown)
		for range 2 {
			s.Apply(&secret.Outcome{Decision: s.Decision, Action: secret.Refresh, Ended: true, Failure: lost}, over)
		}
		if a := s.Authorization; !a.EndedAt.Equal(over) || !a.Required || a.Lived != 0 || !a.ReauthorizeBy.IsZero() {
			t.Fatalf("ended at %v, required %v, lived %v, expected to end at %v", a.EndedAt, a.Required, a.Lived, a.ReauthorizeBy)
		}
		given = over.Add(day)
	}
}

// TestForeseenEnds has nobody come in time, twice. The last refresh of either
// grant was a week before its end, which is no reason to expect the third to end
// a week earlier than the provider says.
func TestForeseenEnds(t *testing.T) {
	t.Parallel()
	s, given := waiting(env), noon()
	use := func(action secret.Action, now time.Time) {
		s.Apply(&secret.Outcome{Decision: s.Decision, Action: action, At: now, Environment: env, Authorized: &secret.Authorized{
			At: given, ReauthorizeBy: given.Add(365 * day), Reminders: secret.DefaultReminders(),
		}}, now)
	}
	for range 3 {
		s.Consented(given)
		use(secret.Authorize, given)
		if want := given.Add(365 * day); !s.Authorization.ReauthorizeBy.Equal(want) {
			t.Errorf("expected to end at %v, want %v", s.Authorization.ReauthorizeBy, want)
		}
		use(secret.Refresh, given.Add(358*day))
		over := given.Add(365 * day)
		s.Apply(&secret.Outcome{Decision: s.Decision, Action: secret.Refresh, Ended: true, Failure: failure()}, over)
		if !s.Authorization.EndedAt.Equal(over) {
			t.Fatalf("ended at %v, want %v", s.Authorization.EndedAt, over)
		}
		given = over.Add(day)
	}
}

// An end that was known is no rule to learn. It may come a little early: what the
// provider says is in whole seconds, and takes its time.
func TestForeseenEnd(t *testing.T) {
	t.Parallel()
	for before, learnt := range map[time.Duration]bool{-day: false, time.Minute: false, time.Minute + time.Millisecond: true} {
		s := authorized(env)
		refreshed := with(good(s.Decision, env, noon().Add(300*day)), secret.Refresh)
		s.Apply(refreshed, refreshed.At)
		for range 2 {
			s.Apply(&secret.Outcome{Decision: s.Decision, Ended: true, Failure: failure()}, noon().Add(year-before))
		}
		if got := s.Authorization.Lived > 0; got != learnt {
			t.Errorf("ended %v before its time: learnt %v, want %v", before, got, learnt)
		}
	}
}
