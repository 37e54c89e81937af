package scheduler_test

import (
	"strings"
	"testing"
	"time"

	"github.com/rekindle-dev/rekindle/pkg/endpoint"
	"github.com/rekindle-dev/rekindle/pkg/secret"
)

// inUse has a new secret's value used since the beginning. It ends an hour after its
// refresh is due, and the last alarm before that is half an hour before its end.
func (w *world) inUse(s *secret.Secret) { s.ActivatedAt = w.began }

// rest has nothing sent to acme.example for three hours.
func (w *world) rest() {
	w.t.Helper()
	_, _, err := endpoint.Store{State: w.state}.Update(w.t.Context(), "acme.example", time.Now(), func(h *endpoint.Health) bool {
		h.Wait(0, time.Now(), 3*time.Hour)
		return true
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// alarmed does what an exchanger does with the job of an alarm.
func (w *world) alarmed(id string) {
	w.t.Helper()
	w.update(id, func(s *secret.Secret) {
		at, _ := s.DueAlarm(time.Now())
		s.Alarmed(s.Generation, at)
	})
	w.jobs.done(id)
}

// An alarm is due like anything else when nothing is due before it.
func TestAlarmIsDue(t *testing.T) {
	for name, test := range map[string]struct {
		edit func(w *world, s *secret.Secret)
		want string
	}{
		"given up":                  {func(_ *world, s *secret.Secret) { s.NextAttemptAt = time.Time{} }, "alarm@30m0s alarm@1h0m0s"},
		"the next attempt is later": {func(w *world, s *secret.Secret) { s.NextAttemptAt = s.ExpiresAt }, "alarm@30m0s refresh@1h0m0s"},
		"set aside": {func(w *world, s *secret.Secret) {
			s.Parked = &secret.Parked{Decision: s.Decision, Action: secret.Refresh, At: w.at(time.Minute)}
		}, "alarm@1m0s alarm@30m0s alarm@1h0m0s"},
		"refreshed in time": {func(w *world, s *secret.Secret) {
			s.RefreshAt, s.NextAttemptAt, s.ExpiresAt = w.at(9*time.Hour), w.at(9*time.Hour), w.at(10*time.Hour)
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				id := w.create(0, w.inUse, func(s *secret.Secret) { test.edit(w, s) })
				w.start()
				for _, at := range []time.Duration{time.Minute, 30 * time.Minute, time.Hour} {
					w.until(at)
					if n := w.jobs.all(id); len(n) > 0 && n[len(n)-1].due().Action == "alarm" {
						w.alarmed(id)
					}
				}
				w.until(time.Hour + 2*time.Second)
				w.expect(id, test.want)
			})
		})
	}
}

// While a provider is not to be asked, it is said all the same that values end, with a
// job for that alone; and the refresh is made when it may be.
func TestAlarmWhileAHostRests(t *testing.T) {
	inWorld(t, func(w *world) {
		id := w.create(time.Second, w.inUse, at("acme.example"))
		w.rest()
		w.start()
		w.until(31 * time.Minute)
		w.expect(id, "")
		w.until(33 * time.Minute)
		w.expect(id, "alarm@32m0s")
		w.until(34*time.Minute + 30*time.Second)
		if got := w.offered(id); !strings.HasPrefix(got, "alarm@32m0s alarm@33m0") || !strings.HasSuffix(got, "?") {
			t.Errorf("offers of what is not done: %s", got)
		}
		w.alarmed(id)
		said := w.offered(id)
		w.until(61 * time.Minute)
		w.expect(id, said)
		w.until(63 * time.Minute)
		if got := strings.TrimPrefix(w.offered(id), said); strings.Count(got, "alarm") != 1 || strings.Contains(got, "refresh") {
			t.Errorf("offers at its end: %s", got)
		}
		w.alarmed(id)
		said = w.offered(id)
		w.until(3*time.Hour + time.Minute)
		if got := strings.TrimPrefix(w.offered(id), said); !strings.HasPrefix(got, " refresh@3h0m0s") || strings.Contains(got, "alarm") {
			t.Errorf("offers when the host may be asked: %s", got)
		}
	})
}

// One of several schedulers has the alarm of a secret given, and it is that of its host.
func TestAlarmIsOnes(t *testing.T) {
	inWorld(t, func(w *world) {
		id := w.create(time.Second, w.inUse, at("acme.example"))
		w.rest()
		for range 3 {
			w.start()
		}
		w.until(33 * time.Minute)
		w.expect(id, "alarm@32m0s")
	})
}

// Refreshes go before alarms: those of many that wait are spread.
func TestAlarmsAreSpread(t *testing.T) {
	inWorld(t, func(w *world) {
		const secrets = 500
		for range secrets {
			w.create(time.Second, w.inUse, at("acme.example"))
		}
		w.rest()
		w.start()
		w.until(32*time.Minute + time.Second)
		if n := len(w.jobs.all()); n == 0 || n > 101 {
			t.Errorf("%d alarms in a second", n)
		}
		w.until(33 * time.Minute)
		if n := len(w.jobs.all()); n != secrets {
			t.Errorf("%d alarms, want %d", n, secrets)
		}
	})
}

// When no job can be offered, alarms wait, too.
func TestAlarmCannotBeOffered(t *testing.T) {
	inWorld(t, func(w *world) {
		id := w.create(time.Second, w.inUse, at("acme.example"))
		w.rest()
		r := w.start()
		w.jobs.behave(errBroken, 0)
		w.until(33 * time.Minute)
		w.jobs.behave(nil, 0)
		w.until(34 * time.Minute)
		w.expect(id, "alarm@32m0s! alarm@33m0.01s")
		if n := r.metric(t, "rekindle_jobs_offered_total", "error"); n != 1 {
			t.Errorf("%v errors are counted", n)
		}
	})
}
