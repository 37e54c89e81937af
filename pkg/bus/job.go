package bus

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/nats-io/nats.go"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/work"
)

// ackTimeout bounds the confirmation of an ack.
const ackTimeout = 3 * time.Second

var (
	errPanic      = errors.New("the handler panicked")
	errUnanswered = errors.New("delivered too often without an answer: it may bring down who works on it")
)

// job deals with one delivery of a job.
func (l *lane) job(m *nats.Msg) {
	meta, err := m.Metadata()
	if err != nil {
		l.park(m, 1, err)
		return
	}
	deliveries := int(meta.NumDelivered)
	e, err := events.Decode(events.Header(m.Header), m.Data)
	switch {
	case err != nil:
		l.park(m, deliveries, err)
		return
	case deliveries > l.b.lane.maxDeliveries:
		l.park(m, deliveries, errUnanswered)
		return
	}
	given := shown(e, m, deliveries)
	given.Answer = l.b.answerTo(m)
	err = l.call(traced(l.hard, m.Header), l.handle, given)
	l.settle(m, deliveries, err)
}

// shown is what a handler sees of a job.
func shown(e events.Event, m *nats.Msg, deliveries int) work.Message {
	return work.Message{ID: e.ID, Type: string(e.Data.Type()), Subject: e.Data.About(), Data: m.Data, Delivery: deliveries}
}

// call makes an error of a panic: one bad job must not end the process that
// works on hundreds of others. What was thrown may hold anything; its type and
// the stack do not.
func (l *lane) call(ctx context.Context, handle work.Handler, m work.Message) (err error) {
	defer func() {
		if p := recover(); p != nil {
			l.b.log.ErrorContext(ctx, "a job's handler panicked", "secret", m.Subject, "error", fmt.Errorf("panic with a %T\n%s", p, debug.Stack()))
			err = errPanic
		}
	}()
	return handle(ctx, m)
}

// settle tells the server what became of a job.
func (l *lane) settle(m *nats.Msg, deliveries int, err error) {
	asked, retry := work.Retry(err)
	switch {
	case err == nil:
		l.ack(m)
	case l.hard.Err() != nil: // interrupted: nobody's fault, and no pause
		l.again(m, 0)
	case deliveries >= l.b.lane.maxDeliveries && (retry || errors.Is(err, ErrUnavailable)):
		// Not the job's fault: what is still due then is offered again.
		l.b.log.Warn("a job is dropped, because what it waits for does not come", "subject", m.Subject, "attempt", deliveries, "error", err)
		l.ack(m)
	case work.Rejected(err), deliveries >= l.b.lane.maxDeliveries:
		l.park(m, deliveries, err)
	case retry:
		l.again(m, asked)
	default:
		l.b.log.Warn("a job failed and comes again", "subject", m.Subject, "attempt", deliveries, "error", err)
		l.again(m, min(l.b.lane.maxPause, l.b.lane.firstPause<<min(deliveries-1, 20)))
	}
}

// ack waits for the server's word that the job is gone: until then its
// secret's place is taken, and the next job would be refused.
func (l *lane) ack(m *nats.Msg) {
	if err := m.AckSync(nats.AckWait(ackTimeout)); err != nil {
		l.b.log.Warn("the ack of a job was not confirmed; it may come again", "subject", m.Subject, "error", err)
	}
}

func (l *lane) again(m *nats.Msg, after time.Duration) {
	_ = m.NakWithDelay(after) //nolint:errcheck // it comes back after AckWait in any case
}

// What is said on a parked message besides its own header: why it was parked, and
// after how many deliveries.
const (
	headerReason     = "Rekindle-Parked-Reason"
	headerDeliveries = "Rekindle-Parked-Deliveries"
)

// park sets a job aside and frees its secret's place in the stream. If it
// cannot be set aside it stays, and is tried again.
func (l *lane) park(m *nats.Msg, deliveries int, reason error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(l.hard), requestTimeout)
	defer cancel()
	l.b.log.ErrorContext(ctx, "a job was parked", "subject", m.Subject, "attempt", deliveries, "error", reason)
	if _, err := l.b.js.PublishMsg(ctx, parked(m, deliveries, reason)); err != nil {
		l.b.log.ErrorContext(ctx, "a job could not be parked; it comes again", "subject", m.Subject, "error", err)
		l.again(m, l.b.lane.maxPause)
		return
	}
	l.tell(ctx, m, deliveries)
	_ = m.Term() //nolint:errcheck // delivered again it is parked again
}

// tell says that a job was parked, if anybody can read what it is about.
func (l *lane) tell(ctx context.Context, m *nats.Msg, deliveries int) {
	e, err := events.Decode(events.Header(m.Header), m.Data)
	if err != nil || l.parked == nil {
		return
	}
	if err := l.call(traced(ctx, m.Header), l.parked, shown(e, m, deliveries)); err != nil {
		l.b.log.WarnContext(ctx, "that a job was parked could not be noted: another may be offered", "subject", m.Subject, "error", err)
	}
}

// parked returns a message for a person to look at: the job's body and what is
// known of its header, and none of the headers that mean something to the
// server.
func parked(m *nats.Msg, deliveries int, reason error) *nats.Msg {
	p := nats.NewMsg(events.ParkedSubject(laneJob, m.Subject[strings.LastIndexByte(m.Subject, '.')+1:]))
	for _, name := range []string{
		events.HeaderSpecVersion, events.HeaderID, events.HeaderSource, events.HeaderType, events.HeaderSubject,
		events.HeaderTime, events.HeaderOrg, events.HeaderContentType, events.HeaderTrace,
	} {
		if v := m.Header.Get(name); v != "" {
			p.Header.Set(name, v)
		}
	}
	p.Header.Set(headerReason, oneLine(reason.Error()))
	p.Header.Set(headerDeliveries, strconv.Itoa(deliveries))
	p.Data = m.Data
	return p
}

// oneLine makes text fit for a header and for people: valid, without what is not
// printed, bounded.
func oneLine(s string) string {
	const most = 512
	s = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, s)
	return strings.ToValidUTF8(s[:min(len(s), most)], "")
}
