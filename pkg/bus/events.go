package bus

import (
	"context"
	"errors"
	"maps"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/propagation"

	"github.com/rekindle-dev/rekindle/events"
)

// publishAgain is how often an event is offered again while its stream has no leader.
const publishAgain = 2

// Publish announces an event and returns when the server has stored it. An
// event that is published again within two minutes is stored once.
func (b *Bus) Publish(ctx context.Context, e events.Event) error {
	m, err := message(ctx, e)
	if err != nil {
		return err
	}
	m.Subject = events.EventSubject(e.Org, e.Data.Type(), e.Data.About())
	return b.publish(ctx, m, e.ID)
}

// Forward is Publish for an event that is written already. It goes out as it is,
// with what this version of the program does not know of it.
func (b *Bus) Forward(ctx context.Context, h events.Header, body []byte) error {
	a, problems := events.ReadAttributes(h)
	if err := errors.Join(problems...); err != nil {
		return err
	}
	subject, err := a.EventSubject()
	if err != nil {
		return err
	}
	return b.publish(ctx, &nats.Msg{Subject: subject, Header: nats.Header(maps.Clone(h)), Data: body}, a.ID)
}

func (b *Bus) publish(ctx context.Context, m *nats.Msg, id string) (err error) {
	m.Header.Set(jetstream.MsgIDHeader, id)
	for again := publishAgain; ; again-- {
		_, err = b.store(ctx, m)
		if again == 0 || !errors.Is(err, nats.ErrNoResponders) || pause(ctx, retryPause) != nil {
			return translate(err)
		}
	}
}

// Offer puts a job into its secret's lane. It reports false when a job for the
// secret is queued or being worked on. That one may be for something else: what
// is due is to be offered again.
func (b *Bus) Offer(ctx context.Context, e events.Event) (accepted bool, err error) {
	m, err := job(ctx, e)
	if err != nil {
		return false, err
	}
	return b.offer(ctx, m)
}

func (b *Bus) offer(ctx context.Context, m *nats.Msg) (accepted bool, err error) {
	_, err = b.store(ctx, m)
	if queued(err) {
		return false, nil
	}
	return err == nil, translate(err)
}

// job wraps an event to go into its secret's lane.
func job(ctx context.Context, e events.Event) (*nats.Msg, error) {
	m, err := message(ctx, e)
	if err != nil {
		return nil, err
	}
	m.Subject = events.JobSubject(e.Data.About())
	return m, nil
}

// message wraps an event, to go anywhere. The trace is that of the event or
// else of ctx.
func message(ctx context.Context, e events.Event) (*nats.Msg, error) {
	if e.Trace == "" {
		carrier := propagation.MapCarrier{}
		propagation.TraceContext{}.Inject(ctx, carrier)
		e.Trace = carrier[events.HeaderTrace]
	}
	h, body, err := events.Encode(e)
	if err != nil {
		return nil, err
	}
	return &nats.Msg{Header: nats.Header(h), Data: body}, nil
}

// traced returns ctx with the trace that a message carries.
func traced(ctx context.Context, h nats.Header) context.Context {
	carrier := propagation.MapCarrier{events.HeaderTrace: events.Header(h).Get(events.HeaderTrace)}
	return propagation.TraceContext{}.Extract(ctx, carrier)
}
