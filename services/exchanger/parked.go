package exchanger

import (
	"context"
	"errors"
	"fmt"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/pkg/work"
)

// Parked notes in the record that the job m, for what is due, was set aside, and
// announces it: no other is offered for the same until a person requeues it. A note
// that is lost costs no more than one more job that is parked. Of what this
// exchanger cannot read it notes nothing: a later version may be able to.
func (x *Exchanger) Parked(ctx context.Context, m work.Message) error {
	order, err := decodeOrder(m)
	if err != nil {
		return nil //nolint:nilerr // see above
	}
	if order.Action == string(secret.Alarm) {
		return x.muteAlarm(ctx, order.Secret)
	}
	s, _, err := x.secrets.Update(ctx, order.Secret, func(s *secret.Secret) error {
		if !s.Park(order.Decision, x.now()) {
			return errVoid
		}
		return nil
	})
	if errors.Is(err, errVoid) || errors.Is(err, state.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return x.Events.Publish(ctx, events.Event{
		ID: fmt.Sprintf("%s.%d.parked.%s", s.ID, s.Parked.Decision, m.ID), Source: Source, Org: s.Org, Time: s.Parked.At,
		Data: events.JobParked{
			Secret: s.ID, Property: s.Property, Environment: s.Environment, Kind: string(s.Kind),
			Action: string(s.Parked.Action), Generation: s.Parked.Decision, WorksUntil: s.ExpiresAt,
		},
	})
}
