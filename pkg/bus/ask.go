package bus

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/rekindle-dev/rekindle/events"
)

// headerAnswerTo says on a job where its answer is awaited.
const headerAnswerTo = "Rekindle-Answer-To"

// The pauses between attempts at a lane whose place is taken. They are short
// because somebody waits: an exchange takes moments.
const (
	firstAsk = 20 * time.Millisecond
	lastAsk  = 500 * time.Millisecond
)

// Ask puts a job into its secret's lane and returns the answer of its handler.
// While the place in the lane is taken it waits and offers the job again.
//
// The answer travels outside the streams and is kept nowhere: it is lost when
// the connection breaks at the wrong moment, or the handler never gives one. So
// ctx must end some time; Ask then returns its error, and a job that was
// accepted stays in the lane. Ask returns [ErrUnavailable] when the job could
// not be handed to the server; as with every write, it may have been.
func (b *Bus) Ask(ctx context.Context, e events.Event) ([]byte, error) {
	m, err := job(ctx, e)
	if err != nil {
		return nil, err
	}
	inbox := events.NewAnswerSubject()
	sub, err := b.nc.SubscribeSync(inbox)
	if err != nil {
		return nil, translate(err)
	}
	defer sub.Unsubscribe() //nolint:errcheck // fails only when the connection is closed, and the subscription with it
	m.Header.Set(headerAnswerTo, inbox)
	if err := b.insist(ctx, m); err != nil {
		return nil, ended(ctx, err)
	}
	answer, err := sub.NextMsgWithContext(ctx)
	if err != nil {
		return nil, ended(ctx, err)
	}
	return answer.Data, nil
}

// insist offers a job until it is accepted. It gives each attempt its time, so
// that a server that went away is told from a lane that is busy.
func (b *Bus) insist(ctx context.Context, m *nats.Msg) error {
	for wait := firstAsk; ; wait = min(2*wait, lastAsk) {
		attempt, cancel := context.WithTimeout(ctx, requestTimeout)
		accepted, err := b.offer(attempt, m)
		cancel()
		if accepted || err != nil {
			return err
		}
		if err := pause(ctx, wait); err != nil {
			return err
		}
	}
}

// ended prefers the end of ctx, which the caller knows, to what came of it.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return translate(err)
}

// answerTo returns what sends the answer to a job, or nil when nobody waits for
// one. What a header asks for is done only if it is where answers go: whoever
// may put a job into the lane must not make its worker publish elsewhere.
func (b *Bus) answerTo(m *nats.Msg) func(context.Context, []byte) error {
	to := m.Header.Get(headerAnswerTo)
	if !events.IsAnswerSubject(to) {
		return nil
	}
	return func(ctx context.Context, body []byte) error {
		if err := b.answer(ctx, to, body); err != nil {
			return fmt.Errorf("answer: %w", ended(ctx, err))
		}
		return nil
	}
}

// answer returns when the server has the answer.
func (b *Bus) answer(ctx context.Context, to string, body []byte) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	if err := b.nc.Publish(to, body); err != nil {
		return err
	}
	return b.nc.FlushWithContext(ctx)
}
