package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	watermill "github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/events/intake"
	"github.com/rekindle-dev/rekindle/pkg/work"
)

// Where upstream systems publish, by organisation, type and key; and where it lies then,
// with a partition before it that the organisation and the key decide. What is of one key
// is in one partition, and a partition is handed over one message at a time, so the order
// of a key holds over all processes, and one key holds up only what shares its partition.
const (
	partitions      = 16
	publishedIntake = intake.AllIntake
	prefixQueued    = events.Root + ".queued."
)

// queuedIntake is where the server puts what is published.
func queuedIntake() string {
	return fmt.Sprintf("%s{{partition(%d,1,3)}}.{{wildcard(1)}}.{{wildcard(2)}}.{{wildcard(3)}}", prefixQueued, partitions)
}

// groupIntake is who shares what upstream systems publish: all api processes.
const groupIntake = "intake"

// intakePause is how long a message waits that could not be dealt with, and with it what is
// behind it in its partition, by the number of times it was delivered.
func intakePause(deliveries uint64) time.Duration {
	return min(250*time.Millisecond<<min(deliveries, 8), 15*time.Second)
}

// Intake is the queue of what upstream systems publish.
type Intake struct {
	b      *Bus
	stream jetstream.Stream
}

// Intake returns the queue.
func (b *Bus) Intake(ctx context.Context) (*Intake, error) {
	s, err := b.js.Stream(ctx, streamIntake)
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", streamIntake, translate(err))
	}
	return &Intake{b, s}, nil
}

// Take hands over what is in the queue, shared with all who do the same, until ctx ends; it
// then returns ctx's error. What handle returns no error for is taken out of the queue. What
// it returns an error for, or panics at, is handed over again before anything behind it of
// the same key, and so may be what it has dealt with. It calls ready when the queue answers.
func (i *Intake) Take(ctx context.Context, ready func(), handle func(ctx context.Context, l work.Letter) error) error {
	router, err := watermill.NewRouter(watermill.RouterConfig{}, routerLog{i.b.log, streamIntake})
	if err != nil {
		return err
	}
	for p := range partitions {
		topic := strconv.Itoa(p)
		router.AddConsumerHandler(groupIntake+"-"+topic, topic+".>", i.b.Subscriber(Topics{
			Stream: streamIntake, Prefix: prefixQueued, Group: groupIntake, Pause: intakePause,
		}), recovering(func(m *watermill.Message) error {
			l, err := letter(delivery(m))
			if err != nil {
				return err
			}
			return handle(m.Context(), l)
		}))
	}
	go func() {
		select {
		case <-router.Running():
			ready()
		case <-ctx.Done():
		}
	}()
	if err := router.Run(ctx); ctx.Err() == nil {
		return err
	}
	return ctx.Err()
}

var (
	errNoDelivery = errors.New("a message without its place in the stream")
	errNotErased  = errors.New("the server did not erase a message")
	errNoReply    = errors.New("no subject for replies to the organisation")
)

// letter is the message as it was published.
func letter(m *nats.Msg) (work.Letter, error) {
	if m == nil {
		return work.Letter{}, errNoDelivery
	}
	meta, err := m.Metadata()
	if err != nil {
		return work.Letter{}, errNoDelivery
	}
	_, subject, _ := strings.Cut(strings.TrimPrefix(m.Subject, prefixQueued), ".")
	return work.Letter{
		Subject: strings.TrimSuffix(intake.AllIntake, "*.*.*") + subject, Header: m.Header, Body: m.Data,
		Place: meta.Sequence.Stream, At: meta.Timestamp,
	}, nil
}

// Erase overwrites a message in the queue with noise. It is no error when it is not there any
// more. On a cluster the servers' logs keep what they have copied until they compact them.
func (i *Intake) Erase(ctx context.Context, place uint64) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	m := nats.NewMsg("$JS.API.STREAM.MSG.DELETE." + streamIntake) // with nothing said, it is erased
	m.Data = fmt.Appendf(nil, `{"seq":%d}`, place)
	answer, err := i.b.request(ctx, m)
	if err != nil {
		return translate(err)
	}
	failed := erased(answer.Data)
	if failed == nil {
		return nil
	}
	if _, err := i.stream.GetMsg(ctx, place); errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil
	}
	return translate(failed)
}

// erased reads what the server answers to who wants a message erased.
func erased(body []byte) error {
	var answer struct {
		Success bool                `json:"success"`
		Error   *jetstream.APIError `json:"error"`
	}
	switch err := json.Unmarshal(body, &answer); {
	case err != nil:
		return fmt.Errorf("answer of a stream: %w", err)
	case answer.Success:
		return nil
	case answer.Error != nil:
		return answer.Error
	default:
		return errNotErased
	}
}

// Reply sends an answer to whoever waits for it, and returns when the server has it. It goes
// nowhere but to replies of the organisation that the answer is of, whatever is asked for.
func (i *Intake) Reply(ctx context.Context, to string, answer events.Event) error {
	if !intake.IsReplySubject(answer.Org, to) {
		return errNoReply
	}
	m, err := message(ctx, answer)
	if err != nil {
		return err
	}
	m.Subject = to
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	if err := i.b.nc.PublishMsg(m); err != nil {
		return translate(err)
	}
	return translate(i.b.nc.FlushWithContext(ctx))
}
