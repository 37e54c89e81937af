package api

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/propagation"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state"
)

// source is where the events of this package come from.
const source = "/rekindle/api"

// announceIn is how long an announcement may take.
const announceIn = 2 * time.Second

// announce says that something has happened to a secret. Its id is the same
// whoever says it, so saying it again does no harm; that it could not be said is
// logged and counted, and changes nothing about what has happened.
func (s *Service) announce(ctx context.Context, about *secret.Secret, id string, at time.Time, data events.Data) {
	// What is done is announced, also when whoever asked for it has gone.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), announceIn)
	defer cancel()
	err := s.deps.Events.Publish(ctx, events.Event{
		ID: id, Source: source, Org: about.Org, Time: at, Trace: traceparent(ctx), Data: data,
	})
	if err != nil {
		s.unsaid.WithLabelValues(string(data.Type())).Inc()
		s.deps.Logger.WarnContext(ctx, "an event could not be published",
			"event", string(data.Type()), "secret", about.ID, "error", err)
	}
}

// nameOf is how an event says who asked for something.
func nameOf(a secret.Actor) string { return cmp.Or(a.Email, a.DisplayName) }

func (s *Service) announceCreated(ctx context.Context, n *secret.Secret, imported bool) {
	s.announce(ctx, n, n.ID+".created", n.CreatedAt, events.SecretCreated{
		Secret: n.ID, Property: n.Property, Environment: n.Environment, Name: n.Name, Kind: string(n.Kind),
		Imported: imported, By: nameOf(n.CreatedBy),
	})
}

func (s *Service) announceTakenOver(ctx context.Context, t *secret.Secret, rev state.Revision) {
	s.announce(ctx, t, idOf(t, "taken_over", rev), t.UpdatedAt, events.SecretTakenOver{
		Secret: t.ID, Property: t.Property, Environment: t.Environment, Kind: string(t.Kind),
		NextAttemptAt: t.NextAttemptAt, By: nameOf(t.UpdatedBy),
	})
}

func (s *Service) announceDeleted(ctx context.Context, d *secret.Secret) {
	s.announce(ctx, d, d.ID+".deleted", d.DeletedAt, events.SecretDeleted{
		Secret: d.ID, Property: d.Property, Environment: d.Environment, Name: d.Name, Kind: string(d.Kind),
		By: nameOf(d.UpdatedBy),
	})
}

// idOf names an event about a change of which there can be many: by the revision
// that the change has in the state.
func idOf(s *secret.Secret, what string, rev state.Revision) string {
	return fmt.Sprintf("%s.%s.%d", s.ID, what, rev)
}

func (s *Service) announceUpdated(ctx context.Context, u *secret.Secret, rev state.Revision, by secret.Actor, changed []string) {
	s.announce(ctx, u, idOf(u, "updated", rev), u.UpdatedAt, events.SecretUpdated{
		Secret: u.ID, Property: u.Property, Environment: u.Environment, Name: u.Name, Kind: string(u.Kind),
		Changed: changed, By: nameOf(by),
	})
}

func (s *Service) announceRetry(ctx context.Context, r *secret.Secret, rev state.Revision) {
	s.announce(ctx, r, idOf(r, "retry", rev), r.UpdatedAt, events.RetryRequested{
		Secret: r.ID, Property: r.Property, Environment: r.Environment, Kind: string(r.Kind), By: nameOf(r.UpdatedBy),
	})
}

func (s *Service) announceReauthorize(ctx context.Context, r *secret.Secret, rev state.Revision, until time.Time) {
	s.announce(ctx, r, idOf(r, "reauthorize", rev), r.UpdatedAt, events.ReauthorizeRequested{
		Secret: r.ID, Property: r.Property, Environment: r.Environment, Kind: string(r.Kind), Until: until,
		By: nameOf(r.UpdatedBy),
	})
}

// announceConsent says that a consent waits for its exchange: one that came, or
// one that was held and that somebody has accepted.
func (s *Service) announceConsent(ctx context.Context, c *secret.Secret, rev state.Revision, by secret.Actor) {
	s.announce(ctx, c, idOf(c, "consent", rev), c.UpdatedAt, events.ConsentReceived{
		Secret: c.ID, Property: c.Property, Environment: c.Environment, Kind: string(c.Kind), By: nameOf(by),
	})
}

func (s *Service) announceTested(ctx context.Context, t *secret.Secret, test string, by secret.Actor, outcome events.TestOutcome) {
	s.announce(ctx, t, t.ID+".tested."+test, s.now(), events.SecretTested{
		Secret: t.ID, Property: t.Property, Environment: t.Environment, Kind: string(t.Kind),
		Outcome: outcome, By: nameOf(by),
	})
}

// announceRefused says that a dialog brought no consent, as an exchange that has
// failed before it began.
func (s *Service) announceRefused(ctx context.Context, r *secret.Secret, rev state.Revision, f *secret.Failure) {
	s.announce(ctx, r, idOf(r, "refused", rev), f.At, events.ExchangeFailed{
		Secret: r.ID, Property: r.Property, Environment: r.Environment, Kind: string(r.Kind), Action: string(secret.Authorize),
		Reason: events.Reason(f.Reason), Verdict: events.Reason(f.Reason).Verdict(), Detail: f.Detail, NextAttemptAt: r.NextAttemptAt, WorksUntil: r.ExpiresAt,
	})
}

// traceparent returns the trace that ctx is part of (W3C Trace Context), "" for
// none.
func traceparent(ctx context.Context) string {
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	return carrier.Get("traceparent")
}
