package exchanger

import (
	"fmt"
	"testing"
	"time"

	"github.com/rekindle-dev/rekindle/pkg/provider"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/services/sandbox"
)

// A refusal for good is put to the test once, and may turn out to be wrong.
func TestFirstStrikeIsWrong(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ left, next time.Duration }{
		{30 * time.Minute, time.Minute},
		{2 * time.Minute, time.Minute},
		{40 * time.Second, 20 * time.Second},
		{time.Second, time.Second},
		{-time.Hour, time.Second},
	} {
		t.Run(tt.left.String(), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			s := w.rotating(sandbox.RefreshTokens{})
			w.clock.Store(w.secret(s.ID).ExpiresAt.Add(-tt.left).UnixMilli())
			w.script(s, sandbox.Step{Times: 1, Error: "invalid_grant"}, sandbox.Step{})
			w.run(w.exchanger(), w.job(s.ID))
			w.checkStruck(s.ID)
			if got := w.secret(s.ID); !got.NextAttemptAt.Equal(w.now().Add(tt.next)) {
				t.Errorf("next in %v, want %v", got.NextAttemptAt.Sub(w.now()), tt.next)
			}
			w.runDue(w.exchanger(), s.ID)
			if a := w.secret(s.ID).Authorization; a.Strikes != 0 || a.Required || len(w.ends(s.ID)) != 0 {
				t.Errorf("said at %v, authorization: %s", w.ends(s.ID), show(a))
			}
			w.checkServes(s.ID)
			w.wantRequests(s.ID, 3)
		})
	}
}

// An end that was foreseen needs no second strike.
func TestForeseenEndIsBelieved(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	x := w.exchanger()
	s := w.consented(x, sandbox.CodeFlow{Lifetime: sandbox.Duration(time.Hour)}, func(d *provider.Descriptor) { d.Consent.ReauthorizeAfter = day })
	if err := w.provider.Revoke(s.ID, 0); err != nil {
		t.Fatal(err)
	}
	w.clock.Store(w.secret(s.ID).Authorization.ReauthorizeBy.UnixMilli())
	for w.secret(s.ID).Plan().Action != secret.Rest {
		w.runDue(x, s.ID)
	}
	if a := w.secret(s.ID).Authorization; a.Strikes != 1 || a.EndedAt.IsZero() || len(w.ends(s.ID)) != 1 {
		t.Errorf("said at %v, authorization: %s", w.ends(s.ID), show(a))
	}
	w.wantRequests(s.ID, 2)
}

// A provider that asks for patience is given it, and not given up while the value
// in use lives.
func TestPatience(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		headers map[string]string
		next    time.Duration // after the attempt
	}{
		"seconds":             {map[string]string{"Retry-After": "600"}, 10 * time.Minute},
		"no time":             {map[string]string{"Retry-After": "0"}, 40 * time.Minute}, // the schedule's
		"date":                {map[string]string{"Retry-After": "Mon, 06 Jul 2026 10:05:00 GMT", "Date": "Mon, 06 Jul 2026 10:00:00 GMT"}, 5 * time.Minute},
		"past the last place": {map[string]string{"Retry-After": "10800"}, 3 * time.Hour},
	} {
		for _, status := range []int{429, 503} {
			t.Run(fmt.Sprintf("%s, %d", name, status), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				x := w.exchanger()
				s := w.create(secret.OAuth2)
				w.run(x, w.job(s.ID))
				w.script(s, sandbox.Step{Times: 1, Status: status, Headers: tt.headers}, sandbox.Step{})
				w.runDue(x, s.ID)
				got := w.secret(s.ID)
				if next := got.NextAttemptAt.Sub(w.now()); next != tt.next || got.RefreshStatus != secret.Pending || got.Attempts != 1 {
					t.Errorf("next in %v, want %v: %s", next, tt.next, show(got))
				}
				w.checkKept(got)
				w.runDue(x, s.ID)
				w.checkRest(s.ID)
				w.wantRequests(s.ID, 3)
			})
		}
	}
}

// What somebody asked for is not tried again by itself: for how long the provider
// asked to be left alone is kept, for whoever reads why it failed.
func TestPatienceIsTold(t *testing.T) {
	t.Parallel()
	for retryAfter, want := range map[string]time.Duration{"": 0, "0": 0, "600": 10 * time.Minute} {
		t.Run(retryAfter, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			s := w.create(secret.OAuth2)
			w.script(s, sandbox.Step{Status: 429, Headers: map[string]string{"Retry-After": retryAfter}})
			w.run(w.exchanger(), w.job(s.ID))
			got := w.secret(s.ID)
			if f := got.StatusDetails; f == nil || want == 0 != f.RetryAt.IsZero() || want > 0 && f.RetryAt.Sub(f.At) != want || got.Plan().Action != secret.Rest {
				t.Errorf("want patience of %v: %s", want, show(got))
			}
		})
	}
}

// slow_down is a word for patience whatever the status it comes with.
func TestSlowDownWithSuccess(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	x := w.exchanger()
	s := w.create(secret.OAuth2)
	w.run(x, w.job(s.ID))
	w.script(s, sandbox.Step{Times: 1, Status: 200, Error: "slow_down", Headers: map[string]string{"Retry-After": "7200"}}, sandbox.Step{})
	w.runDue(x, s.ID)
	if got := w.secret(s.ID); got.NextAttemptAt.Sub(w.now()) != 2*time.Hour {
		t.Errorf("next in %v", got.NextAttemptAt.Sub(w.now()))
	}
	w.runDue(x, s.ID)
	w.checkRest(s.ID)
}

// Patience ends with the value in use, and is no licence to ask more often than
// the schedule would.
func TestPatienceEnds(t *testing.T) {
	t.Parallel()
	for _, retryAfter := range []string{"1", "3600", "86400"} {
		t.Run(retryAfter, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			x := w.exchanger()
			s := w.create(secret.OAuth2)
			w.run(x, w.job(s.ID))
			w.script(s, sandbox.Step{Status: 429, Headers: map[string]string{"Retry-After": retryAfter}})
			var last time.Time
			for n := 1; w.secret(s.ID).Plan().Action != secret.Rest; n++ {
				w.runDue(x, s.ID)
				got := w.secret(s.ID)
				if n > secret.MaxAttempts && !w.now().Before(got.ExpiresAt) {
					t.Fatalf("attempt %d was at %v: %s", n, w.now(), show(got))
				}
				left := got.ExpiresAt.Sub(w.now())
				if pause := got.NextAttemptAt.Sub(w.now()); n >= secret.MaxAttempts && !got.NextAttemptAt.IsZero() && pause < min(left/2, 40*time.Minute).Truncate(time.Millisecond) {
					t.Errorf("after attempt %d the next is in %v, with %v left", n, pause, left)
				}
				if n > 40 {
					t.Fatal("it does not end")
				}
				last = w.now()
			}
			got := w.secret(s.ID)
			if got.RefreshStatus != secret.Failed || got.Attempts < secret.MaxAttempts {
				t.Errorf("at %v: %s", last, show(got))
			}
		})
	}
}

// A credential that is refused is not tried more often for a Retry-After: that is for
// what passes.
func TestNoPatienceWithTheDead(t *testing.T) {
	t.Parallel()
	for _, retryAfter := range []string{"1", "60", "3600"} {
		for kind, create := range map[string]func(w *world, x *Exchanger) *secret.Secret{
			"client credentials": func(w *world, x *Exchanger) *secret.Secret {
				s := w.create(secret.OAuth2)
				w.run(x, w.job(s.ID))
				return s
			},
			"consent": func(w *world, x *Exchanger) *secret.Secret { return w.consented(x, sandbox.CodeFlow{}) },
		} {
			t.Run(kind+", "+retryAfter, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				x := w.exchanger()
				s := create(w, x)
				w.script(s, sandbox.Step{Error: "invalid_client", Headers: map[string]string{"Retry-After": retryAfter}})
				w.runDue(x, s.ID)
				if got := w.secret(s.ID); got.NextAttemptAt.Sub(w.now()) < 5*time.Minute {
					t.Errorf("next in %v", got.NextAttemptAt.Sub(w.now()))
				}
				w.untilDead(x, s.ID)
				w.wantRequests(s.ID, 1+secret.MaxAttempts)
			})
		}
	}
}
