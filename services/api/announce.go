package api

import (
	"cmp"
	"context"
	"time"

	"go.opentelemetry.io/otel/propagation"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/secret"
)

// source is where the events of this package come from.
const source = "/rekindle/api"

// saying is an event that announces a change of a secret.
type saying struct {
	about *secret.Secret
	// what tells it from the other events about the secret; with that of the change,
	// unless once is set, because there is but one of its kind.
	what string
	once bool
	at   time.Time
	data events.Data
}

// event is the saying as it is published. Its id is the same whoever says it, so
// saying it again does no harm.
func (s saying) event(change, trace string) events.Event {
	id := s.about.ID + "." + s.what
	if !s.once {
		id += "." + change
	}
	return events.Event{ID: id, Source: source, Org: s.about.Org, Time: s.at, Trace: trace, Data: s.data}
}

// nameOf is how an event says who asked for something.
func nameOf(a secret.Actor) string { return cmp.Or(a.Email, a.DisplayName) }

func sayCreated(n *secret.Secret, imported bool) saying {
	return saying{n, "created", true, n.CreatedAt, events.SecretCreated{
		Secret: n.ID, Property: n.Property, Environment: n.Environment, Name: n.Name, Kind: string(n.Kind),
		Imported: imported, By: nameOf(n.CreatedBy),
	}}
}

func sayTakenOver(t *secret.Secret) saying {
	return saying{t, "taken_over", false, t.UpdatedAt, events.SecretTakenOver{
		Secret: t.ID, Property: t.Property, Environment: t.Environment, Kind: string(t.Kind),
		NextAttemptAt: t.NextAttemptAt, By: nameOf(t.UpdatedBy),
	}}
}

func sayDeleted(d *secret.Secret) saying {
	return saying{d, "deleted", true, d.DeletedAt, events.SecretDeleted{
		Secret: d.ID, Property: d.Property, Environment: d.Environment, Name: d.Name, Kind: string(d.Kind),
		By: nameOf(d.UpdatedBy),
	}}
}

func sayUpdated(u *secret.Secret, by secret.Actor, changed []string) saying {
	return saying{u, "updated", false, u.UpdatedAt, events.SecretUpdated{
		Secret: u.ID, Property: u.Property, Environment: u.Environment, Name: u.Name, Kind: string(u.Kind),
		Changed: changed, By: nameOf(by),
	}}
}

func sayRetry(r *secret.Secret) saying {
	return saying{r, "retry", false, r.UpdatedAt, events.RetryRequested{
		Secret: r.ID, Property: r.Property, Environment: r.Environment, Kind: string(r.Kind), By: nameOf(r.UpdatedBy),
	}}
}

func sayReauthorize(r *secret.Secret, until time.Time) saying {
	return saying{r, "reauthorize", false, r.UpdatedAt, events.ReauthorizeRequested{
		Secret: r.ID, Property: r.Property, Environment: r.Environment, Kind: string(r.Kind), Until: until,
		By: nameOf(r.UpdatedBy),
	}}
}

// sayConsent says that a consent waits for its exchange: one that came, or one that
// was held and that somebody has accepted.
func sayConsent(c *secret.Secret, by secret.Actor) saying {
	return saying{c, "consent", false, c.UpdatedAt, events.ConsentReceived{
		Secret: c.ID, Property: c.Property, Environment: c.Environment, Kind: string(c.Kind), By: nameOf(by),
	}}
}

func sayTested(t *secret.Secret, at time.Time, by secret.Actor, outcome events.TestOutcome) saying {
	return saying{t, "tested", false, at, events.SecretTested{
		Secret: t.ID, Property: t.Property, Environment: t.Environment, Kind: string(t.Kind),
		Outcome: outcome, By: nameOf(by),
	}}
}

// sayRefused says that a dialog brought no consent, as an exchange that has failed
// before it began.
func sayRefused(r *secret.Secret, f *secret.Failure) saying {
	return saying{r, "refused", false, f.At, events.ExchangeFailed{
		Secret: r.ID, Property: r.Property, Environment: r.Environment, Kind: string(r.Kind), Action: string(secret.Authorize),
		Reason: events.Reason(f.Reason), Verdict: events.Reason(f.Reason).Verdict(), Detail: f.Detail, NextAttemptAt: r.NextAttemptAt, WorksUntil: r.ExpiresAt,
	}}
}

// traceparent returns the trace that ctx is part of (W3C Trace Context), "" for
// none.
func traceparent(ctx context.Context) string {
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	return carrier.Get("traceparent")
}
