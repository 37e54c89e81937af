package exchanger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/work"
	"github.com/rekindle-dev/rekindle/services/sandbox"
)

// checkAlarm reports whether an event is an alarm, and holds it to be true.
func (w *world) checkAlarm(e events.Event) bool {
	w.t.Helper()
	switch d := e.Data.(type) {
	case events.CredentialExpired:
		if e.Time.Before(d.ExpiredAt) {
			w.t.Errorf("%s was said at %v, before %v", e.ID, e.Time, d.ExpiredAt)
		}
	case events.CredentialExpiring:
		if !e.Time.Before(d.ExpiresAt) {
			w.t.Errorf("%s was said at %v, not before %v", e.ID, e.Time, d.ExpiresAt)
		}
	default:
		return false
	}
	return true
}

// alarms are those about a secret, each as its type and how long before the end of the
// value it was said.
func (w *world) alarms(id string) (list []string) {
	w.t.Helper()
	for _, e := range w.events.about(id) {
		switch d := e.Data.(type) {
		case events.CredentialExpiring:
			list = append(list, fmt.Sprint("expiring ", d.ExpiresAt.Sub(e.Time)))
		case events.CredentialExpired:
			list = append(list, fmt.Sprint("expired ", d.ExpiredAt.Sub(e.Time)))
		}
	}
	return list
}

// alarmJob is what the scheduler orders when an alarm is due.
func (w *world) alarmJob(id string) work.Message {
	w.t.Helper()
	s := w.secret(id)
	body, err := json.Marshal(events.RefreshDue{Secret: id, Action: string(secret.Alarm), Decision: s.Decision, DueAt: s.PlanAlarm().At})
	if err != nil {
		w.t.Fatal(err)
	}
	return work.Message{ID: secret.NewUUID(), Type: string(events.TypeRefreshDue), Subject: id, Data: body, Delivery: 1}
}

// pass lets time pass until then, and does what falls due for a secret in its order.
func (w *world) pass(x *Exchanger, id string, until time.Time) {
	w.t.Helper()
	for {
		s := w.secret(id)
		next, say := s.Plan(), s.PlanAlarm()
		m := w.job
		if say.Action != secret.Rest && (next.Action == secret.Rest || say.At.Before(next.At)) {
			next, m = say, w.alarmJob
		}
		if next.Action == secret.Rest || next.At.After(until) {
			w.clock.Store(max(w.clock.Load(), until.UnixMilli()))
			return
		}
		w.clock.Store(max(w.clock.Load(), next.At.UnixMilli()))
		if err := x.Handle(context.Background(), m(id)); err != nil {
			w.t.Fatal(err)
		}
	}
}

// refreshable is a secret that has a value.
func (w *world) refreshable(x *Exchanger) *secret.Secret {
	w.t.Helper()
	s := w.create(secret.OAuth2)
	w.run(x, w.job(s.ID))
	return w.secret(s.ID)
}

// A value that is refreshed in time is said nothing about, and costs what it did: the
// exchange, with no commit and no announcement more.
func TestNoAlarmInTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	x := w.exchanger()
	s := w.refreshable(x)
	w.pass(x, s.ID, s.ExpiresAt.Add(48*time.Hour))
	if got := w.alarms(s.ID); len(got) != 0 {
		t.Errorf("said: %v", got)
	}
	if n := len(w.events.list); n != int(w.secret(s.ID).Generation) {
		t.Errorf("%d announcements of %d values", n, w.secret(s.ID).Generation)
	}
	if got := w.secret(s.ID); !got.AlarmedAt.IsZero() || !got.FailingSince.IsZero() {
		t.Errorf("record: %s", show(got))
	}
}

// A value that is not renewed is said to end, and to have ended, once each, with why;
// the next one begins anew.
func TestAlarmsOfAFailingSecret(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	x := w.exchanger()
	s := w.refreshable(x)
	w.script(s, sandbox.Step{Error: "unauthorized_client"})
	w.pass(x, s.ID, s.ExpiresAt.Add(100*time.Hour))
	want := []string{"expiring 2h0m0s", "expired 0s"}
	if diff := cmp.Diff(want, w.alarms(s.ID)); diff != "" {
		t.Fatalf("alarms (-want +got):\n%s", diff)
	}
	var said []events.Data
	for _, e := range w.events.about(s.ID) {
		if w.checkAlarm(e) {
			said = append(said, e.Data)
		}
	}
	reason := events.Reason(w.secret(s.ID).RefreshStatusDetails.Reason)
	if diff := cmp.Diff([]events.Data{
		events.CredentialExpiring{
			Secret: s.ID, Property: s.Property, Environment: s.Environment, Kind: "oauth2",
			ExpiresAt: s.ExpiresAt, HoursLeft: 2, FailingSince: s.RefreshAt, Reason: reason,
		},
		events.CredentialExpired{
			Secret: s.ID, Property: s.Property, Environment: s.Environment, Kind: "oauth2", ExpiredAt: s.ExpiresAt, Reason: reason,
		},
	}, said); diff != "" {
		t.Errorf("said (-want +got):\n%s", diff)
	}

	w.script(s, sandbox.Step{})
	w.update(s.ID, func(s *secret.Secret) { s.Ask(w.now()) })
	w.run(x, w.job(s.ID))
	next := w.secret(s.ID)
	w.script(s, sandbox.Step{Error: "unauthorized_client"})
	w.pass(x, s.ID, next.ExpiresAt.Add(time.Hour))
	if diff := cmp.Diff(append(want, want...), w.alarms(s.ID)); diff != "" {
		t.Errorf("alarms of two values (-want +got):\n%s", diff)
	}
}

// An exchange that is due and may not be made does not keep an alarm back, and an alarm
// makes no exchange.
func TestAlarmWhileARefreshWaits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	x := w.exchanger()
	s := w.refreshable(x)
	for _, at := range []time.Time{s.ExpiresAt.Add(-time.Hour), s.ExpiresAt.Add(5 * time.Minute)} {
		w.clock.Store(at.UnixMilli())
		if err := x.Handle(t.Context(), w.alarmJob(s.ID)); err != nil {
			t.Fatal(err)
		}
		if err := x.Handle(t.Context(), w.alarmJob(s.ID)); err != nil { // it comes twice
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]string{"expiring 1h0m0s", "expired -5m0s"}, w.alarms(s.ID)); diff != "" {
		t.Errorf("alarms (-want +got):\n%s", diff)
	}
	w.wantRequests(s.ID, 1)
	if got := w.secret(s.ID); got.Plan() != s.Plan() || got.Decision != s.Decision {
		t.Errorf("planned is %v, want %v", got.Plan(), s.Plan())
	}
}

// Who comes after an outage says first what has ended meanwhile, and renews it. What
// ended within a minute, or has not ended yet, is renewed in silence.
func TestAlarmAfterAnOutage(t *testing.T) {
	t.Parallel()
	for after, want := range map[time.Duration][]string{
		-time.Hour: nil, 30 * time.Second: nil, time.Hour: {"expired -1h0m0s"},
	} {
		w := newWorld(t)
		x := w.exchanger()
		s := w.refreshable(x)
		w.clock.Store(s.ExpiresAt.Add(after).UnixMilli())
		w.run(x, w.job(s.ID))
		if diff := cmp.Diff(want, w.alarms(s.ID)); diff != "" {
			t.Errorf("%v after its end (-want +got):\n%s", after, diff)
		}
		w.checkRest(s.ID)
		w.wantRequests(s.ID, 2)
	}
}

// That it cannot be said that a value has ended does not keep it from being renewed.
func TestAlarmHoldsNothingUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.refreshable(w.exchanger())
	w.clock.Store(s.ExpiresAt.Add(time.Hour).UnixMilli())
	mute := &saboteur{inner: w.store, events: w.events, named: "announce", mode: fails}
	w.run(w.exchanger(mute.sabotaged), w.job(s.ID))
	if got := w.alarms(s.ID); len(got) != 0 {
		t.Errorf("said: %v", got)
	}
	w.checkRest(s.ID)
	w.wantRequests(s.ID, 2)
}

// Whatever happens while an alarm is given, it is given, under one id, and noted.
func TestAlarmCrashes(t *testing.T) {
	t.Parallel()
	for _, mode := range []mode{fails, answerLost, diesBefore, diesAfter} {
		for _, effect := range []string{"announce", "commit secret"} {
			w := newWorld(t)
			s := w.refreshable(w.exchanger())
			w.clock.Store(s.ExpiresAt.Add(-time.Hour).UnixMilli())
			m := w.alarmJob(s.ID)
			sab := &saboteur{inner: w.store, events: w.events, named: effect, mode: mode}
			process(w.exchanger(sab.sabotaged), m)
			if sab.named != "" {
				t.Fatalf("%s %s did not happen: %v", mode, effect, sab.effects)
			}
			w.advance(time.Minute)
			m.Delivery++
			if err := w.exchanger().Handle(t.Context(), m); err != nil {
				t.Errorf("%s %s: %v", mode, effect, err)
			}
			if n := len(w.alarms(s.ID)); n != 1 { // of one id each
				t.Errorf("%s %s: %d alarms", mode, effect, n)
			}
			if got := w.secret(s.ID); !got.PlanAlarm().At.Equal(s.ExpiresAt) {
				t.Errorf("%s %s: next is %v", mode, effect, got.PlanAlarm())
			}
		}
	}
}

// A job for an alarm that is of no use any more does nothing, and one that is early
// waits.
func TestAlarmForNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	x := w.exchanger()
	s := w.refreshable(x)
	m := w.alarmJob(s.ID)
	at := s.PlanAlarm().At
	for early, waits := range map[time.Duration]bool{time.Hour: false, time.Second: true} {
		w.clock.Store(at.Add(-early).UnixMilli())
		err := x.Handle(t.Context(), m)
		if pause, ok := work.Retry(err); ok != waits || waits && pause != early || err != nil && !errors.Is(err, errEarly) {
			t.Errorf("%v early: %v", early, err)
		}
	}
	w.clock.Store(at.UnixMilli())
	meanwhile := &saboteur{inner: w.store, events: w.events, named: "commit secret", meanwhile: func() {
		w.update(s.ID, func(s *secret.Secret) { s.Generation++; s.Decision += 2 })
	}}
	if err := w.exchanger(meanwhile.sabotaged).Handle(t.Context(), m); err != nil {
		t.Error(err)
	}
	if got := w.secret(s.ID); !got.AlarmedAt.IsZero() {
		t.Error("noted for a value that came meanwhile")
	}
	w.update(s.ID, func(s *secret.Secret) { s.Delete(w.now()) })
	said := len(w.alarms(s.ID))
	if err := x.Handle(t.Context(), m); err != nil || len(w.alarms(s.ID)) != said {
		t.Errorf("of a deleted secret: %v, %v", err, w.alarms(s.ID))
	}
	w.run(x, w.job(s.ID)) // it is erased
	if err := x.Handle(t.Context(), m); err != nil {
		t.Errorf("of a secret that is gone: %v", err)
	}
}

// An alarm whose job was set aside is not tried again, and what is due for the secret
// is not set aside with it.
func TestAlarmSetAside(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	x := w.exchanger()
	s := w.refreshable(x)
	w.clock.Store(s.ExpiresAt.Add(-time.Hour).UnixMilli())
	for range 2 {
		if err := x.Parked(t.Context(), w.alarmJob(s.ID)); err != nil {
			t.Fatal(err)
		}
	}
	got := w.secret(s.ID)
	if got.Parked != nil || !got.PlanAlarm().At.Equal(s.ExpiresAt) {
		t.Errorf("next is %v: %s", got.PlanAlarm(), show(got))
	}
	if n := len(w.alarms(s.ID)); n != 0 {
		t.Errorf("%d alarms", n)
	}
}
