package secret_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/rekindle-dev/rekindle/pkg/secret"
)

// When a refresh begins, for one secret whose draw is known.
func TestNextAt(t *testing.T) {
	t.Parallel()
	const id = "SE0123456789abcdef0123456789abcdef"
	oauth2, got := secret.DefaultPolicy().Window("oauth2"), noon()
	for name, tt := range map[string]struct {
		window     secret.Window
		generation uint64
		gap, want  time.Duration // from got
	}{
		"none by default":           {oauth2, 7, 20 * time.Hour, 20 * time.Hour},
		"a part of it":              {jittered(oauth2, time.Hour), 7, 20 * time.Hour, 19*time.Hour + 51*time.Minute + 54105*time.Millisecond},
		"another of another value":  {jittered(oauth2, time.Hour), 8, 20 * time.Hour, 19*time.Hour + 46*time.Minute + 48016*time.Millisecond},
		"no room":                   {jittered(oauth2, time.Hour), 7, 4 * time.Hour, 4 * time.Hour},
		"less than no room":         {jittered(oauth2, time.Hour), 7, time.Hour, time.Hour},
		"little room":               {jittered(oauth2, 100*time.Hour), 7, 4*time.Hour + time.Second, 4*time.Hour + 866*time.Millisecond},
		"without a window":          {secret.Window{}, 7, time.Hour, time.Hour},
		"longer than the whole gap": {secret.Window{Jitter: secret.MaxLifetime}, 7, time.Hour, 51*time.Minute + 54105*time.Millisecond},
	} {
		if at := tt.window.NextAt(id, tt.generation, got, got.Add(tt.gap)); at.Sub(got) != tt.want {
			t.Errorf("%s: after %v, want %v", name, at.Sub(got), tt.want)
		}
	}
	if at := jittered(oauth2, time.Hour).NextAt(id, 7, got, time.Time{}); !at.IsZero() {
		t.Errorf("what is not refreshed is refreshed at %v", at)
	}
}

func jittered(w secret.Window, by time.Duration) secret.Window {
	w.Jitter = by
	return w
}

// Whatever the jitter, a refresh is never late for it, never sooner than the window
// allows, and the same whenever it is asked for.
func TestNextAtIsBounded(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		span := rapid.Int64Range(0, int64(secret.MaxLifetime))
		w := secret.Window{MinInterval: time.Duration(span.Draw(t, "interval")), Jitter: time.Duration(span.Draw(t, "jitter"))}
		gap := time.Duration(span.Draw(t, "gap")).Truncate(time.Second)
		id, generation := rapid.String().Draw(t, "id"), rapid.Uint64().Draw(t, "generation")
		refreshAt := noon().Add(gap)
		at := w.NextAt(id, generation, noon(), refreshAt)
		switch early := refreshAt.Sub(at); {
		case early < 0 || early > w.Jitter:
			t.Fatalf("%v early, with a jitter of %v", early, w.Jitter)
		case early > 0 && at.Sub(noon()) < w.MinInterval:
			t.Fatalf("%v after the one before, want at least %v", at.Sub(noon()), w.MinInterval)
		case !at.Equal(w.NextAt(id, generation, noon(), refreshAt)):
			t.Fatal("it is another when it is asked for again")
		}
	})
}

// What was exchanged at once is refreshed evenly over the jitter: secrets among each
// other, and the values of one secret.
func TestNextAtIsEven(t *testing.T) {
	t.Parallel()
	const draws, parts = 20_000, 20
	w := secret.Window{Jitter: parts * time.Minute}
	for name, at := range map[string]func(i uint64) time.Time{
		"secrets": func(i uint64) time.Time {
			return w.NextAt(secret.NewID(secret.PrefixSecret), 2, noon(), noon().Add(time.Hour))
		},
		"values": func(i uint64) time.Time { return w.NextAt("SE1", i, noon(), noon().Add(time.Hour)) },
	} {
		var counts [parts]int
		for i := range uint64(draws) {
			early := noon().Add(time.Hour).Sub(at(i))
			counts[min(int(early/time.Minute), parts-1)]++
		}
		for part, n := range counts { // five deviations on either side
			if even := draws / parts; n < even-155 || n > even+155 {
				t.Errorf("%s: %d of %d in part %d, want about %d", name, n, draws, part, even)
			}
		}
	}
}

// A record shows the contract's refresh_at, is due earlier, and keeps its other attempts
// where they were.
func TestJitterMovesTheFirstAttemptAlone(t *testing.T) {
	t.Parallel()
	s := asked(env)
	o := good(s.Decision, env, noon())
	o.NextAt = o.RefreshAt.Add(-3 * time.Hour)
	if !s.Apply(o, noon()) {
		t.Fatal("the outcome is not of the decision")
	}
	want := o.RefreshAt
	if !s.RefreshAt.Equal(want) || !s.NextAttemptAt.Equal(o.NextAt) || s.Plan() != (secret.Next{Action: secret.Refresh, At: o.NextAt}) {
		t.Fatalf("refresh at %v, next attempt at %v, planned %+v", s.RefreshAt, s.NextAttemptAt, s.Plan())
	}
	if got := s.RefreshState(o.NextAt); got != "" {
		t.Errorf("it shows as %q before the refresh_at that it shows", got)
	}
	plain := *s
	plain.NextAttemptAt = want
	begun := want.Add(30 * time.Minute) // later than planned by a place, but not after one
	for _, of := range []*secret.Secret{s, &plain} {
		of.Apply(bad(of.Decision, env, begun), begun)
	}
	if !s.NextAttemptAt.Equal(plain.NextAttemptAt) || s.RefreshLate != plain.RefreshLate {
		t.Errorf("after a failure next at %v, late %t; want %v, %t", s.NextAttemptAt, s.RefreshLate, plain.NextAttemptAt, plain.RefreshLate)
	}
}
