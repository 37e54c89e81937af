package bus

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/audit"
	"github.com/rekindle-dev/rekindle/pkg/state"
)

// AuditLog keeps the pages of the audit trail: one message each, the pages of an
// organisation under one subject.
type AuditLog struct {
	js jetstream.JetStream
	s  jetstream.Stream
}

var _ audit.Log = (*AuditLog)(nil)

// Audit returns the fleet's audit trail.
func (b *Bus) Audit(ctx context.Context) (*AuditLog, error) {
	s, err := b.js.Stream(ctx, streamAudit)
	return &AuditLog{b.js, s}, translate(err)
}

// Append implements audit.Log.
func (l *AuditLog) Append(ctx context.Context, org string, page []byte, last uint64) (uint64, error) {
	m := nats.NewMsg(events.AuditSubject(org))
	m.Data = page
	m.Header.Set(jetstream.ExpectedLastSubjSeqHeader, strconv.FormatUint(last, 10))
	ack, err := l.js.PublishMsg(ctx, m, jetstream.WithRetryAttempts(0))
	if err = translate(err); errors.Is(err, state.ErrConflict) {
		return 0, audit.ErrMoved
	}
	if err != nil {
		return 0, err
	}
	return ack.Sequence, nil
}

// Next implements audit.Log.
func (l *AuditLog) Next(ctx context.Context, org string, from uint64) (audit.Stored, error) {
	m, err := l.s.GetMsg(ctx, from, jetstream.WithGetMsgSubject(events.AuditSubject(org)))
	return storedPage(m, err)
}

// Last implements audit.Log.
func (l *AuditLog) Last(ctx context.Context, org string) (audit.Stored, error) {
	m, err := l.s.GetLastMsgForSubject(ctx, events.AuditSubject(org))
	return storedPage(m, err)
}

func storedPage(m *jetstream.RawStreamMsg, err error) (audit.Stored, error) {
	if err = translate(err); errors.Is(err, state.ErrNotFound) {
		return audit.Stored{}, audit.ErrNone
	}
	if err != nil {
		return audit.Stored{}, err
	}
	return audit.Stored{Sequence: m.Sequence, Body: m.Data}, nil
}

const (
	// hearAtOnce bounds what is handed over at a time, which is what came within
	// pullExpires.
	hearAtOnce = audit.MaxEntries
	// hearWait is after how long events are given to another process when the one that
	// has them has not said that they are dealt with.
	hearWait = 30 * time.Second
	// maxHeard bounds the events that all processes have together.
	maxHeard = 20 * hearAtOnce
)

// heardTypes are the events that the audit trail is told of: what the fleet does by itself.
func heardTypes() []events.Type {
	return []events.Type{
		events.TypeExchangeSucceeded, events.TypeExchangeFailed, events.TypeExchangeInterrupted, events.TypeJobParked,
		events.TypeConsentHeld, events.TypeSecretExported,
		events.TypeReauthorizationDue, events.TypeCredentialExpiring, events.TypeCredentialExpired,
	}
}

// Hear hands over what the fleet has announced, in parts of some hundred events or two seconds,
// until ctx ends; it then returns ctx's error. All processes that hear share the
// events. What handle returns an error for is handed over again, to this process or
// another, and so may be what it has dealt with.
func (b *Bus) Hear(ctx context.Context, handle func(context.Context, []events.Entry) error) error {
	for {
		err := translate(b.hear(ctx, handle))
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case b.closed() != nil:
			return b.closed()
		case b.Connected():
			b.log.WarnContext(ctx, "hearing events was interrupted and goes on", "error", err)
		}
		if err := pause(ctx, retryPause); err != nil {
			return err
		}
	}
}

// hear is Hear until an error.
func (b *Bus) hear(ctx context.Context, handle func(context.Context, []events.Entry) error) error {
	p, err := newPuller(b.nc, streamEvents, consumerAudit)
	if err != nil {
		return err
	}
	defer p.stop()
	defer context.AfterFunc(ctx, p.stop)()
	for {
		part, err := p.part()
		if err != nil {
			return err
		}
		if len(part) == 0 {
			continue
		}
		entries := make([]events.Entry, len(part))
		for i, m := range part {
			meta, err := m.Metadata()
			if err != nil {
				return err
			}
			entries[i] = events.ReadEntry(meta.Sequence.Stream, meta.Timestamp, m.Subject, events.Header(m.Header), m.Data)
		}
		if err := handle(ctx, entries); err != nil {
			for _, m := range part {
				_ = m.Nak() //nolint:errcheck // it comes again in any case
			}
			return err
		}
		for _, m := range part {
			if err := m.Ack(); err != nil {
				return err
			}
		}
	}
}

// part takes what comes for one request: until it is filled or over, or has gone on for
// long enough.
func (p *puller) part() (part []*nats.Msg, err error) {
	if err := p.ask(hearAtOnce); err != nil {
		return nil, err
	}
	for len(part) < hearAtOnce {
		m, err := p.next()
		switch {
		case errors.Is(err, errSilent) && len(part) == 0:
			return nil, err
		case errors.Is(err, errEnded):
			return part, nil
		case errors.Is(err, errIdle):
			continue
		case err != nil:
			return part, err
		}
		part = append(part, m)
	}
	return part, nil
}
