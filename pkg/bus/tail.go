package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/ledger"
)

const (
	// tailBatch and tailBytes bound what is on its way to one who follows the events, and
	// so what a reader that takes nothing holds in memory.
	tailBatch = 200
	tailBytes = 256 << 10
	// tailPause is how soon after a part the next is handed over at the soonest: where
	// events come by the thousand, they come in parts.
	tailPause = 50 * time.Millisecond
	// tailOld is how long ago an event was stored when more might have gone between it and the
	// one before it than those that are not selected: nothing is removed from the log so soon.
	tailOld = time.Minute
)

// Tail hands over the events that are selected, from the start on, in the order of the log,
// until ctx ends or tell returns an error: it then returns that. It goes on after
// interruptions, behind what was handed over last, so that no event is missed and none comes
// twice from one place in the log. It fails when the connection is closed for good, or the
// log is gone.
//
// Tell is called from one goroutine; while nothing comes it is called with nothing, at
// least every two seconds. What it has not taken waits in the log: at most a few hundred events
// or 256 KiB wait in memory.
func (b *Bus) Tail(ctx context.Context, which ledger.Selection, from ledger.Start, tell func(ledger.Part) error) error {
	t := &tail{b: b, subjects: which.Subjects(), from: from, tell: tell}
	for {
		err := translate(t.session(ctx))
		switch {
		case t.refused != nil:
			return t.refused
		case ctx.Err() != nil:
			return ctx.Err()
		case b.closed() != nil:
			return b.closed()
		case !errors.Is(err, ErrUnavailable):
			return fmt.Errorf("follow the events: %w", err)
		case b.Connected(): // else the connection has been reported
			b.log.WarnContext(ctx, "following the events was interrupted and goes on", "error", err)
		}
		if err := t.hand(ledger.Part{}); err != nil {
			return err
		}
		if err := pause(ctx, retryPause); err != nil {
			return err
		}
	}
}

// tail is one call of Tail, over all interruptions.
type tail struct {
	b        *Bus
	s        jetstream.Stream
	subjects []string
	from     ledger.Start
	tell     func(ledger.Part) error

	// position is up to where all was handed over, once that is known: the start may be a time.
	position uint64
	known    bool
	// target is the last sequence of the log when following began; what is up to it is
	// history, and what comes behind it is present.
	target  uint64
	present bool
	told    time.Time // when a part with events was handed over last
	refused error     // what tell has returned
}

// hand hands over a part.
func (t *tail) hand(p ledger.Part) error {
	t.present = t.present || t.known && t.position >= t.target
	p.Position, p.Present = t.position, t.present
	if len(p.Entries) > 0 {
		t.told = time.Now()
	}
	t.refused = t.tell(p)
	return t.refused
}

// session follows with a consumer of its own until an error.
func (t *tail) session(ctx context.Context) error {
	p, gap, err := t.open(ctx)
	if err != nil {
		return err
	}
	defer p.stop()
	defer context.AfterFunc(ctx, p.stop)()
	if err := t.hand(ledger.Part{Gap: gap}); err != nil {
		return err
	}
	var delivered uint64 // by this consumer
	for {
		if err := p.askFor(tailBatch, tailBytes); err != nil {
			return err
		}
		for left := tailBatch; left > 0; {
			n, over, err := t.take(ctx, p, left, delivered)
			if err != nil {
				return err
			}
			delivered += uint64(n)
			left -= n
			if over {
				break
			}
		}
	}
}

// open makes a consumer that begins behind what was handed over, and says what is missing
// there.
func (t *tail) open(ctx context.Context) (*puller, *ledger.Gap, error) {
	var err error
	if t.s == nil {
		if t.s, err = t.b.js.Stream(ctx, streamEvents); err != nil {
			return nil, nil, err
		}
	}
	info, err := t.s.Info(ctx)
	if err != nil {
		return nil, nil, err
	}
	begin, gap := t.begin(info.State)
	begin.FilterSubjects, begin.AckPolicy = t.subjects, jetstream.AckNonePolicy
	begin.MemoryStorage, begin.Replicas, begin.InactiveThreshold = true, 1, followIdle
	c, err := t.b.js.CreateConsumer(ctx, streamEvents, begin)
	if err != nil {
		return nil, nil, err
	}
	if !t.known {
		t.target = info.State.LastSeq
	}
	// The consumer knows which place in the log a time is: from now on that counts.
	t.position, t.known = c.CachedInfo().Delivered.Stream, true
	if c.CachedInfo().NumPending == 0 {
		t.position = max(t.position, t.target)
	}
	p, err := newPuller(t.b.nc, streamEvents, c.CachedInfo().Name)
	return p, gap, err
}

// begin says where a consumer begins, and what is missing there.
func (t *tail) begin(log jetstream.StreamState) (jetstream.ConsumerConfig, *ledger.Gap) {
	after := t.from.After
	if t.known {
		after = &t.position
	}
	gap := &ledger.Gap{OldestAt: log.FirstTime}
	if log.Msgs == 0 {
		gap.OldestAt = time.Time{}
	}
	switch {
	case after != nil && *after > log.LastSeq:
		gap.SetBack = true
		t.target = log.LastSeq
		return fromSequence(log.FirstSeq), gap
	case after != nil && *after+1 < log.FirstSeq:
		gap.AtMost = log.FirstSeq - 1 - *after
		return fromSequence(log.FirstSeq), gap
	case after != nil:
		return fromSequence(*after + 1), nil
	case t.from.Since.IsZero():
		return fromSequence(log.LastSeq + 1), nil
	}
	begin := jetstream.ConsumerConfig{DeliverPolicy: jetstream.DeliverByStartTimePolicy, OptStartTime: &t.from.Since}
	// What is gone was stored before the oldest that is kept; of an empty log, no later than
	// the last there was.
	oldest := log.FirstTime
	if log.Msgs == 0 {
		oldest = log.LastTime
	}
	if log.FirstSeq > 1 && t.from.Since.Before(oldest) {
		return begin, gap
	}
	return begin, nil
}

// fromSequence begins with the message of that sequence, or the first behind it.
func fromSequence(seq uint64) jetstream.ConsumerConfig {
	return jetstream.ConsumerConfig{DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: max(1, seq)}
}

// take waits for events, and hands over what has come, no more than most of them: n. Over
// tells that the request is over. The consumer has delivered that many before.
func (t *tail) take(ctx context.Context, p *puller, most int, delivered uint64) (n int, over bool, err error) {
	m, err := p.next()
	switch {
	case err == nil:
	case errors.Is(err, errIdle):
		return 0, false, t.idle(m, delivered)
	case errors.Is(err, errEnded):
		return 0, true, t.hand(ledger.Part{})
	default:
		return 0, false, err
	}
	if wait := tailPause - time.Since(t.told); wait > 0 {
		if err := pause(ctx, wait); err != nil {
			return 0, false, err
		}
	}
	var part ledger.Part
	var pending uint64
	for {
		var entry events.Entry
		if entry, pending, err = numbered(m, delivered+uint64(len(part.Entries))+1); err != nil {
			return 0, false, err
		}
		part.Entries = append(part.Entries, entry)
		if len(part.Entries) == most || p.arrived() == 0 {
			break
		}
		if m, err = p.next(); err != nil {
			over = errors.Is(err, errEnded)
			if !over && !errors.Is(err, errIdle) {
				return 0, false, err
			}
			break
		}
	}
	last := part.Entries[len(part.Entries)-1]
	if part.Gap, err = t.lost(ctx, last); err != nil {
		return 0, false, err
	}
	// Only now: what was read before an error is read again.
	t.position, t.present = last.Sequence, t.present || pending == 0
	return len(part.Entries), over, t.hand(part)
}

// numbered reads a message, the consumer's number delivered, and how many were there behind it.
func numbered(m *nats.Msg, delivered uint64) (e events.Entry, pending uint64, err error) {
	meta, err := m.Metadata()
	if err != nil {
		return e, 0, err
	}
	if meta.Sequence.Consumer != delivered {
		return e, 0, errGap
	}
	return events.ReadEntry(meta.Sequence.Stream, meta.Timestamp, m.Subject, events.Header(m.Header), m.Data), meta.NumPending, nil
}

// idle checks that what the server says it delivered has arrived, and notes how far it has
// looked: what is not selected moves the position on, too.
func (t *tail) idle(m *nats.Msg, arrived uint64) error {
	delivered, position := heartbeat(m)
	if delivered != arrived {
		return errGap
	}
	t.position = max(t.position, position)
	return t.hand(ledger.Part{})
}

// lost says what may be missing behind what was handed over: where old events are read, the
// log may have removed some that were not read yet.
func (t *tail) lost(ctx context.Context, last events.Entry) (*ledger.Gap, error) {
	if t.b.Now().Sub(last.Stored) < tailOld {
		return nil, nil
	}
	info, err := t.s.Info(ctx)
	if err != nil {
		return nil, fmt.Errorf("look whether an event was removed: %w", err)
	}
	if log := info.State; log.FirstSeq > t.position+1 {
		return &ledger.Gap{AtMost: log.FirstSeq - 1 - t.position, OldestAt: log.FirstTime}, nil
	}
	return nil, nil
}
