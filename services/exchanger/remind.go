package exchanger

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state"
)

// remind announces that somebody has to consent to the secret again, and notes
// that it has: in this order, so that a crash in between says it twice and never
// not at all. Of notices that were missed, the last is given for all.
func (x *Exchanger) remind(ctx context.Context, s *secret.Secret) error {
	now := x.now()
	due := s.Authorization.Due(now)
	if len(due) == 0 {
		return errVoid // the clock was set back since this was planned
	}
	by := s.Authorization.ReauthorizeBy
	id := fmt.Sprintf("%s.reauthorize.%d.%d", s.ID, by.Unix(), due[len(due)-1].Unix())
	err := x.Events.Publish(ctx, events.Event{
		ID: id, Source: Source, Org: s.Org, Time: now, Data: reauthorizationDue(s, now, false),
	})
	if err != nil {
		return err
	}
	_, _, err = x.secrets.Update(ctx, s.ID, func(s *secret.Secret) error {
		if s.Authorization == nil {
			return errVoid
		}
		s.Reminded(now)
		return nil
	})
	if errors.Is(err, state.ErrNotFound) {
		return errVoid
	}
	return err
}

// announceEnd says that the provider refuses the grant for good; where nobody knows
// whether it has ended, that a person has to consent again, and no more.
func (x *Exchanger) announceEnd(ctx context.Context, s *secret.Secret, o *secret.Outcome) error {
	due := reauthorizationDue(s, o.At, true)
	if o.Failure.Reason == string(events.ReasonUnknown) {
		due.Ended, due.ReauthorizeBy, due.DaysLeft = false, time.Time{}, 0
	}
	return x.Events.Publish(ctx, events.Event{
		ID: fmt.Sprintf("%s.%d.ended", s.ID, o.Decision), Source: Source, Org: s.Org, Time: o.At, Data: due,
	})
}

// announceForeign says that the grant is another app's.
func (x *Exchanger) announceForeign(ctx context.Context, s *secret.Secret, o *secret.Outcome) error {
	return x.Events.Publish(ctx, events.Event{
		ID: fmt.Sprintf("%s.%d.foreign", s.ID, o.Decision), Source: Source, Org: s.Org, Time: o.At,
		Data: reauthorizationDue(s, o.At, false),
	})
}

func reauthorizationDue(s *secret.Secret, now time.Time, ended bool) events.ReauthorizationDue {
	e := events.ReauthorizationDue{
		Secret: s.ID, Property: s.Property, Environment: s.Environment, Kind: string(s.Kind), Ended: ended,
	}
	if a := s.Authorization; a != nil && !a.ReauthorizeBy.IsZero() {
		e.ReauthorizeBy = a.ReauthorizeBy
		e.DaysLeft = daysLeft(a.ReauthorizeBy, now)
	}
	return e
}

// daysLeft is how many days are left, to the nearest: what is due seven days
// before an end says so, although it is said a moment later.
func daysLeft(end, now time.Time) int { return int(max(0, end.Sub(now)).Round(day) / day) }
