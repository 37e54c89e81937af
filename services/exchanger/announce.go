package exchanger

import (
	"context"
	"fmt"
	"time"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/secret"
)

// announce tells everyone how an exchange ended, once its outcome is in the
// record s. The id follows from the decision, so that an announcement that is
// made again is known as the same.
func (x *Exchanger) announce(ctx context.Context, s *secret.Secret, o *secret.Outcome) error {
	inUse := o.Ended && o.Action != secret.Authorize // what is held ends in silence
	// A grant that had ended before is not said to end again.
	if a := s.Authorization; inUse && a != nil && !a.EndedAt.Add(maxSkew).Before(o.At) {
		if err := x.announceEnd(ctx, s, o); err != nil {
			return err
		}
	}
	if o.Foreign && o.Action != secret.Authorize && s.Attempts <= 1 {
		if err := x.announceForeign(ctx, s, o); err != nil {
			return err
		}
	}
	e := events.Event{Source: Source, Org: s.Org, Time: o.At}
	if o.Held {
		e.ID = fmt.Sprintf("%s.%d.held", s.ID, o.Decision)
		e.Data = events.ConsentHeld{Secret: s.ID, Property: s.Property, Environment: s.Environment, Kind: string(s.Kind)}
	} else if f := o.Failure; f != nil {
		e.ID = fmt.Sprintf("%s.%d.failed", s.ID, o.Decision)
		e.Data = events.ExchangeFailed{
			Secret: s.ID, Property: s.Property, Environment: s.Environment, Kind: string(s.Kind), Action: string(action(s, o)),
			Reason: events.Reason(f.Reason), Verdict: events.Reason(f.Reason).Verdict(), Detail: f.Detail,
			Attempts: s.Attempts, NextAttemptAt: s.NextAttemptAt, WorksUntil: s.ExpiresAt,
		}
	} else {
		e.ID = fmt.Sprintf("%s.%d.succeeded", s.ID, o.Decision)
		e.Data = events.ExchangeSucceeded{
			Secret: s.ID, Property: s.Property, Environment: o.Environment, Kind: string(s.Kind), Action: string(action(s, o)),
			Generation: o.Decision, ExpiresAt: o.ExpiresAt, RefreshAt: o.RefreshAt, NextAttemptAt: o.NextAt,
			Warnings: announcedWarnings(o.Warnings),
		}
	}
	return x.Events.Publish(ctx, e)
}

// interruptedIn is how long the announcement of an interruption may take: the
// exchange that was interrupted is to be made.
const interruptedIn = time.Second

// announceInterrupted tells everyone that the decision e.Generation comes to no end
// that counts; e says what the record s does not. It is said before the record says
// so, because afterwards nobody would come to it again; that it cannot be said is
// logged and holds nothing up.
func (x *Exchanger) announceInterrupted(ctx context.Context, s *secret.Secret, e events.ExchangeInterrupted) {
	ctx, cancel := context.WithTimeout(ctx, interruptedIn)
	defer cancel()
	e.Secret, e.Property, e.Environment, e.Kind = s.ID, s.Property, s.Environment, string(s.Kind)
	e.WorksUntil = s.ExpiresAt
	err := x.Events.Publish(ctx, events.Event{
		ID: fmt.Sprintf("%s.%d.interrupted", s.ID, e.Generation), Source: Source, Org: s.Org, Time: x.now(), Data: e,
	})
	if err != nil {
		x.Logger.WarnContext(ctx, "an event could not be published",
			"event", string(events.TypeExchangeInterrupted), "secret", s.ID, "error", err)
	}
}

// announceAgain makes up for an announcement that a crash may have prevented:
// the job came again, although the outcome of the decision it is about, or of
// the one that took its place, is in the record.
func (x *Exchanger) announceAgain(ctx context.Context, s *secret.Secret, o *secret.Outcome, order events.RefreshDue) error {
	if o == nil || o.Decision < order.Decision || !applied(s, o) {
		return nil
	}
	return x.announce(ctx, s, o)
}

// applied reports whether the outcome is in the record. A void one is not.
func applied(s *secret.Secret, o *secret.Outcome) bool {
	a := s.Authorization
	switch {
	case o.Held:
		return a != nil && !a.HeldAt.IsZero()
	case o.Failure == nil:
		return s.Generation == o.Decision
	default:
		return is(s.StatusDetails, o.Failure) || is(s.RefreshStatusDetails, o.Failure) || a != nil && is(a.Failure, o.Failure)
	}
}

// action says what an applied outcome was the outcome of. A job cannot say it:
// what it ordered may not be what was done.
func action(s *secret.Secret, o *secret.Outcome) secret.Action {
	if o.Action != "" {
		return o.Action
	}
	if f := o.Failure; f != nil && is(s.RefreshStatusDetails, f) || f == nil && s.RefreshStatus == secret.Succeeded {
		return secret.Refresh
	}
	return secret.Exchange
}

// is reports whether a and b are the same occurrence.
func is(a, b *secret.Failure) bool { return a != nil && a.ID == b.ID }
