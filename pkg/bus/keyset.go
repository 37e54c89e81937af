package bus

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/rekindle-dev/rekindle/events"
)

// The headers by which a service says that it has no answer, as those of NATS' own
// micro services do (ADR 32 of NATS).
const (
	headerServiceError = "Nats-Service-Error"
	headerServiceCode  = "Nats-Service-Error-Code"
)

// maxAsking is how many requests may wait for an answer. It takes moments to answer
// one; what does not fit is not answered, and asked again.
const maxAsking = 1000

// AnswerKeyset answers the requests for the fleet's public keyset, one after the other,
// until ctx ends; the api processes share them. Without a keyset the answer has the
// header Nats-Service-Error-Code 503.
//
// The answer goes where the request asks for it, which is only done if that is where
// answers go: whoever may ask for the keyset must not make this process publish
// elsewhere.
func (b *Bus) AnswerKeyset(ctx context.Context, keyset func() (body []byte, err error)) error {
	sub, err := b.nc.QueueSubscribeSync(events.KeysetSubject, "api")
	if err != nil {
		return translate(err)
	}
	defer sub.Unsubscribe() //nolint:errcheck // fails only when the connection is closed, and the subscription with it
	if err := sub.SetPendingLimits(maxAsking, -1); err != nil {
		return translate(err)
	}
	for {
		m, err := sub.NextMsgWithContext(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, nats.ErrSlowConsumer):
			continue // some were dropped, and the connection has reported it
		case err != nil:
			return fmt.Errorf("requests for the keyset: %w", translate(err))
		case !isInbox(m.Reply):
			continue
		}
		if err := m.RespondMsg(keysetAnswer(keyset())); err != nil {
			b.log.WarnContext(ctx, "a request for the keyset could not be answered", "error", err)
			if err := pause(ctx, retryPause); err != nil {
				return nil
			}
		}
	}
}

func keysetAnswer(body []byte, err error) *nats.Msg {
	m := nats.NewMsg("")
	m.Data = body
	if err != nil {
		m.Header.Set(headerServiceCode, "503")
		m.Header.Set(headerServiceError, err.Error())
	}
	return m
}

// isInbox reports whether a subject is one of those where clients, and servers on their
// behalf, await answers. All of them begin with an underscore, and no stream has one
// that does.
func isInbox(reply string) bool { return strings.HasPrefix(reply, "_") }
