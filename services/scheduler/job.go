package scheduler

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/secret"
)

// source is the ce-source of this package's jobs.
const source = "/rekindle/scheduler"

// publish offers the job for e, made at the time now, within a span of its own.
func (s *Scheduler) publish(ctx context.Context, e *entry, now time.Time) (accepted bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	ctx, span := s.startSpan(ctx, e)
	defer span.End()
	accepted, err = s.deps.Jobs.Offer(ctx, s.job(ctx, e, now))
	if err != nil {
		span.SetStatus(codes.Error, "the job could not be offered")
	}
	span.SetAttributes(attribute.Bool("rekindle.accepted", accepted))
	return accepted, err
}

// startSpan starts the span under which everything happens that the job brings
// about. An exchange that somebody asked for continues the trace of the request;
// what comes hours later, or on its own, has a trace of its own with a link to it.
func (s *Scheduler) startSpan(ctx context.Context, e *entry) (context.Context, trace.Span) {
	options := []trace.SpanStartOption{
		trace.WithSpanKind(trace.SpanKindProducer),
		trace.WithAttributes(
			attribute.String("rekindle.secret", e.id.String()),
			attribute.Int64("rekindle.decision", int64(e.decision)),
		),
	}
	asked := e.trace.spanContext()
	switch {
	case e.action == exchange || e.action == authorize:
		ctx = trace.ContextWithRemoteSpanContext(ctx, asked)
	case asked.IsValid():
		options = append(options, trace.WithNewRoot(), trace.WithLinks(trace.Link{SpanContext: asked}))
	default:
		options = append(options, trace.WithNewRoot())
	}
	return s.deps.Tracer.Start(ctx, string(e.actionName())+" due", options...)
}

// job is the order to look at the secret of e. Each has an id of its own, also
// when it asks for the same as an earlier one: that one may be lost, and
// whatever drops messages by their ids must not drop this one for it. That a
// decision is carried out once is settled where it is claimed.
func (s *Scheduler) job(ctx context.Context, e *entry, now time.Time) events.Event {
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	return events.Event{
		ID:     secret.NewUUID(),
		Source: source,
		Org:    s.org(e),
		Time:   now,
		Trace:  carrier[events.HeaderTrace],
		Data: events.RefreshDue{
			Secret: e.id.String(), Action: string(e.actionName()), Decision: e.decision, DueAt: e.dueAt(),
		},
	}
}

func (s *Scheduler) org(e *entry) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lanes.x.orgs.names[e.org]
}

// actionName is the action of a plan that does not rest.
func (p *plan) actionName() secret.Action { return actions()[p.action-1] }
