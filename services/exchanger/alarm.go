package exchanger

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/pkg/work"
)

// lapse is for how long a value may have ended before its refresh begins and nobody is
// told. A refresh without an offset begins when the value ends, each time.
const lapse = time.Minute

// alarm announces that the value of a secret in use is about to end, or has, and notes
// that it was: in this order, so that a crash in between says it twice and never not
// at all. What is next for the secret is not asked: the provider may be asked or not.
func (x *Exchanger) alarm(ctx context.Context, id string) (result string, err error) {
	s, _, err := x.secrets.Get(ctx, id)
	if errors.Is(err, state.ErrNotFound) {
		return jobStale, nil
	}
	if err != nil {
		return "", err
	}
	next := s.PlanAlarm()
	switch early := next.At.Sub(x.now()); {
	case next.Action == secret.Rest || early > maxSkew:
		return jobStale, nil
	case early > 0:
		return "", work.RetryAfter(early, errEarly)
	}
	at, ended := s.DueAlarm(x.now())
	if err := x.sayAlarm(ctx, s, at, ended); err != nil {
		return "", err
	}
	return jobDone, x.noteAlarm(ctx, s, at)
}

// alarmLapsed announces that the value of a secret has ended, if that is so since a
// lapse and nobody could say it, before another takes its place. To note it is left to
// whoever notes the other. That it cannot be said holds no exchange up.
func (x *Exchanger) alarmLapsed(ctx context.Context, s *secret.Secret) {
	at, ended := s.DueAlarm(x.now().Add(-lapse))
	if at.IsZero() || !ended {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, interruptedIn)
	defer cancel()
	if err := x.sayAlarm(ctx, s, at, ended); err != nil {
		x.Logger.WarnContext(ctx, "an event could not be published",
			"event", string(events.TypeCredentialExpired), "secret", s.ID, "error", err)
	}
}

// sayAlarm publishes the alarm of a place. Its id follows from the value and the place,
// so that one that is given again is known as the same.
func (x *Exchanger) sayAlarm(ctx context.Context, s *secret.Secret, at time.Time, ended bool) error {
	now := x.now()
	e := events.Event{Source: Source, Org: s.Org, Time: now}
	var reason events.Reason
	if f := s.LastFailure(); f != nil {
		reason = events.Reason(f.Reason)
	}
	if ended {
		e.ID = fmt.Sprintf("%s.%d.expired", s.ID, s.Generation)
		e.Data = events.CredentialExpired{
			Secret: s.ID, Property: s.Property, Environment: s.Environment, Kind: string(s.Kind),
			ExpiredAt: s.ExpiresAt, Reason: reason, NextAttemptAt: s.NextAttempt(now),
		}
	} else {
		e.ID = fmt.Sprintf("%s.%d.expiring.%d", s.ID, s.Generation, at.UnixMilli())
		e.Data = events.CredentialExpiring{
			Secret: s.ID, Property: s.Property, Environment: s.Environment, Kind: string(s.Kind),
			ExpiresAt: s.ExpiresAt, HoursLeft: int(max(0, s.ExpiresAt.Sub(now)).Round(time.Hour) / time.Hour),
			FailingSince: s.FailingSince, Reason: reason, NextAttemptAt: s.NextAttempt(now),
		}
	}
	if err := x.Events.Publish(ctx, e); err != nil {
		return err
	}
	x.metrics.alarms.WithLabelValues(string(e.Data.Type())).Inc()
	return nil
}

// noteAlarm notes that the alarms up to a place were given for the value in use.
func (x *Exchanger) noteAlarm(ctx context.Context, s *secret.Secret, at time.Time) error {
	_, _, err := x.secrets.Update(ctx, s.ID, func(now *secret.Secret) error {
		if !now.Alarmed(s.Generation, at) {
			return errVoid
		}
		return nil
	})
	if errors.Is(err, errVoid) || errors.Is(err, state.ErrNotFound) {
		return nil // there is another value, or no secret
	}
	return err
}

// muteAlarm notes of an alarm whose job was set aside that it is not tried again.
func (x *Exchanger) muteAlarm(ctx context.Context, id string) error {
	s, _, err := x.secrets.Get(ctx, id)
	if errors.Is(err, state.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if at, _ := s.DueAlarm(x.now()); !at.IsZero() {
		return x.noteAlarm(ctx, s, at)
	}
	return nil
}
