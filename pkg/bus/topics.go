package bus

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	watermill "github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/rekindle-dev/rekindle/events"
)

// Topics says how Watermill sees the subjects of one stream. A message's
// metadata are its headers. By its UUID the server knows a message that is
// published to the same topic again, for as long as the stream is declared to.
type Topics struct {
	// Stream holds the topics; it is there already.
	Stream string
	// Prefix stands before a topic's name in its subject. Publishers take names,
	// subscribers patterns as well.
	Prefix string
	// Group is who shares the messages of a topic: each goes to one of a group,
	// and a group that comes back goes on where it was. A new group begins at the
	// oldest message that is kept, or, with FromNow, at what is published from then on.
	Group   string
	FromNow bool
	// InFlight is how many messages of a subscription may wait for their ack at
	// once. 0 is for one message at a time in the whole group, which keeps their
	// order also when one comes again.
	InFlight int
	// Pause is how long a message that was refused waits before it comes again,
	// by the number of times it was delivered. Nil means not at all.
	Pause func(deliveries uint64) time.Duration
}

// groupInFlight bounds the messages that a group has in flight, unless they are
// ordered.
const groupInFlight = 10_000

// prefixServer begins the headers by which clients and the server talk about a
// message. They are never taken from metadata.
const prefixServer = "Nats-"

// headerUUID holds the UUID of a message that is no event of ours.
const headerUUID = "Rekindle-Message-Id"

// publishPatience is how long a publisher tries to reach the server, unless the
// message's context ends earlier.
const publishPatience = 30 * time.Second

// Errors of a publisher that publishing again does not cure.
var (
	errClosed = errors.New("closed")
	errTopic  = errors.New("the topic must be a subject without wildcards")
	errHeader = errors.New("metadata must be header lines, of no name that begins with " + prefixServer)
)

// Publisher returns a publisher to the topics. It publishes one message after the
// other and returns when the server has stored them, or with the first that it
// has not.
func (b *Bus) Publisher(t Topics) watermill.Publisher { return &publisher{b: b, topics: t} }

type publisher struct {
	b      *Bus
	topics Topics
	closed atomic.Bool
}

// Publish implements watermill.Publisher. What it could not publish may be stored all
// the same when the error is ErrUnavailable: publishing it again does no harm.
func (p *publisher) Publish(topic string, messages ...*watermill.Message) error {
	for _, m := range messages {
		if p.closed.Load() {
			return errClosed
		}
		if err := p.publish(topic, m); err != nil {
			return fmt.Errorf("publish to %q: %w", topic, err)
		}
	}
	return nil
}

func (p *publisher) publish(topic string, m *watermill.Message) error {
	out := nats.NewMsg(p.topics.Prefix + topic)
	if !isSubject(out.Subject) {
		return errTopic
	}
	for name, value := range m.Metadata {
		if !isHeader(name, value) {
			return errHeader
		}
		out.Header.Set(name, value)
	}
	if m.UUID != "" {
		if !isHeader(headerUUID, m.UUID) {
			return errHeader
		}
		out.Header.Set(headerUUID, m.UUID)
		out.Header.Set(jetstream.MsgIDHeader, out.Subject+"/"+m.UUID)
	}
	out.Data = m.Payload
	ctx, cancel := context.WithTimeout(m.Context(), publishPatience)
	defer cancel()
	return p.store(ctx, out)
}

// store publishes a message until the server has stored it. One without an id
// might be stored twice then.
func (p *publisher) store(ctx context.Context, m *nats.Msg) error {
	for {
		once, cancel := context.WithTimeout(ctx, requestTimeout)
		_, err := p.b.js.PublishMsg(once, m)
		cancel()
		if err = translate(err); !errors.Is(err, ErrUnavailable) || p.b.closed() != nil || p.closed.Load() {
			return err
		}
		if pause(ctx, retryPause) != nil {
			return err
		}
	}
}

// isSubject reports whether a message can be published to a subject.
func isSubject(s string) bool {
	if strings.ContainsAny(s, "*> \t\r\n") {
		return false
	}
	for token := range strings.SplitSeq(s, ".") {
		if token == "" {
			return false
		}
	}
	return true
}

// isHeader reports whether a metadatum can be a header, and ours.
func isHeader(name, value string) bool {
	ours := name != "" && (len(name) < len(prefixServer) || !strings.EqualFold(name[:len(prefixServer)], prefixServer))
	return ours && !strings.ContainsAny(name, ": \t\r\n") && !strings.ContainsAny(value, "\r\n") &&
		strings.TrimSpace(value) == value
}

// Close implements watermill.Publisher.
func (p *publisher) Close() error {
	p.closed.Store(true)
	return nil
}

// Subscriber returns a subscriber of the topics. Messages are delivered at least
// once. One that waits for its ack is kept from others for as long as this
// process lives.
func (b *Bus) Subscriber(t Topics) watermill.Subscriber {
	ctx, stop := context.WithCancel(context.Background())
	return &subscriber{b: b, topics: t, ctx: ctx, stop: stop}
}

type subscriber struct {
	b       *Bus
	topics  Topics
	ctx     context.Context //nolint:containedctx // it ends when the subscriber is closed
	stop    context.CancelFunc
	running sync.WaitGroup
}

// SubscribeInitialize makes the group known to the server: what is published from
// then on is kept for it, also in a stream that keeps only what is waited for.
func (s *subscriber) SubscribeInitialize(topic string) error {
	ctx, cancel := context.WithTimeout(s.ctx, requestTimeout)
	defer cancel()
	_, err := s.consumer(ctx, topic)
	return err
}

// Subscribe implements watermill.Subscriber.
func (s *subscriber) Subscribe(ctx context.Context, topic string) (<-chan *watermill.Message, error) {
	if s.ctx.Err() != nil {
		return nil, errClosed
	}
	consumer, err := s.consumer(ctx, topic)
	if err != nil {
		return nil, err
	}
	p, err := newPuller(s.b.nc, s.topics.Stream, consumer)
	if err != nil {
		return nil, fmt.Errorf("subscribe to %q: %w", topic, translate(err))
	}
	ctx, cancel := context.WithCancel(ctx)
	context.AfterFunc(s.ctx, cancel)
	sub := &subscription{
		b: s.b, topics: s.topics, topic: topic, puller: p,
		slots: make(chan struct{}, max(1, s.topics.InFlight)), out: make(chan *watermill.Message),
	}
	s.running.Go(func() {
		defer cancel()
		sub.run(ctx)
	})
	return sub.out, nil
}

// Close implements watermill.Subscriber. Messages that nobody has acked go to others.
func (s *subscriber) Close() error {
	s.stop()
	s.running.Wait()
	return nil
}

// consumer declares the group's durable consumer of a topic and returns its name.
func (s *subscriber) consumer(ctx context.Context, topic string) (string, error) {
	inFlight := groupInFlight
	if s.topics.InFlight == 0 {
		inFlight = 1
	}
	sum := sha256.Sum256([]byte(topic)) // a name has no dots, a topic has
	name := s.topics.Group + "-" + hex.EncodeToString(sum[:8])
	from := jetstream.DeliverAllPolicy
	if s.topics.FromNow {
		from = jetstream.DeliverNewPolicy
	}
	_, err := s.b.js.CreateOrUpdateConsumer(ctx, s.topics.Stream, jetstream.ConsumerConfig{
		Durable: name, Description: topic, FilterSubject: s.topics.Prefix + topic,
		DeliverPolicy: from, AckPolicy: jetstream.AckExplicitPolicy, AckWait: s.b.lane.ackWait, MaxAckPending: inFlight, MaxDeliver: -1,
	})
	if err != nil {
		return "", fmt.Errorf("subscribe to %q: %w", topic, translate(err))
	}
	return name, nil
}

// subscription delivers the messages of a topic into a channel.
type subscription struct {
	b       *Bus
	topics  Topics
	topic   string
	puller  *puller
	slots   chan struct{} // one for each message that waits for its ack
	out     chan *watermill.Message
	waiting sync.WaitGroup
}

// run delivers until ctx ends, and goes on after interruptions of the connection.
func (s *subscription) run(ctx context.Context) {
	defer close(s.out)
	defer s.puller.stop()
	defer s.waiting.Wait()
	for ctx.Err() == nil {
		err := s.take(ctx)
		if errors.Is(err, errEnded) || ctx.Err() != nil {
			continue
		}
		if s.b.closed() != nil {
			return
		}
		if s.b.Connected() {
			s.b.log.WarnContext(ctx, "messages cannot be taken for the moment", "subject", s.topics.Prefix+s.topic, "error", translate(err))
		}
		_ = pause(ctx, retryPause) //nolint:errcheck // the loop looks
	}
	s.giveBack()
}

// take asks for as many messages as may wait, again and again, until an error.
func (s *subscription) take(ctx context.Context) error {
	for {
		select {
		case s.slots <- struct{}{}:
			<-s.slots // nobody else takes it
		case <-ctx.Done():
			return ctx.Err()
		}
		free := cap(s.slots) - len(s.slots)
		if err := s.puller.ask(free); err != nil {
			return err
		}
		for free > 0 {
			m, err := s.puller.next()
			switch {
			case ctx.Err() != nil:
				if err == nil {
					s.refuse(m, 0)
				}
				return ctx.Err()
			case errors.Is(err, errIdle):
			case err != nil:
				return err
			default:
				s.deliver(ctx, m)
				free--
			}
		}
	}
}

// giveBack refuses what was on its way when the subscription ended, for others to
// have it at once.
func (s *subscription) giveBack() {
	s.puller.drain()
	for {
		m, err := s.puller.next()
		switch {
		case errors.Is(err, errIdle):
		case err != nil:
			return
		default:
			s.refuse(m, 0)
		}
	}
}

// deliver waits until somebody takes a message, and has another goroutine wait for
// the ack.
func (s *subscription) deliver(ctx context.Context, m *nats.Msg) {
	s.slots <- struct{}{}
	given := unwrap(m)
	ctx, cancel := context.WithCancel(context.WithValue(traced(ctx, m.Header), deliveryKey{}, m))
	given.SetContext(ctx)
	s.waiting.Go(func() {
		defer func() { <-s.slots }()
		defer cancel()
		s.await(ctx, m, given)
	})
	select {
	case s.out <- given:
	case <-ctx.Done():
	}
}

// deliveryKey is the key of the delivery in the context of a Watermill message.
type deliveryKey struct{}

// delivery returns what the server has delivered as m: all of its header, and where it
// lies. It is nil for a message that no [Bus.Subscriber] has made.
func delivery(m *watermill.Message) *nats.Msg {
	if d, ok := m.Context().Value(deliveryKey{}).(*nats.Msg); ok {
		return d
	}
	return nil
}

// await keeps a message from others until it is acked or refused, or ctx ends.
func (s *subscription) await(ctx context.Context, m *nats.Msg, given *watermill.Message) {
	beat := time.NewTicker(s.b.lane.heartbeat)
	defer beat.Stop()
	for {
		select {
		case <-given.Acked():
			s.ack(m)
			return
		case <-given.Nacked():
			s.refuse(m, s.pause(m))
			return
		case <-ctx.Done():
			s.end(m, given)
			return
		case <-beat.C:
			_ = m.InProgress() //nolint:errcheck // the next beat is soon
		}
	}
}

// end settles a message whose subscription has ended: an ack that came in the same
// moment counts.
func (s *subscription) end(m *nats.Msg, given *watermill.Message) {
	select {
	case <-given.Acked():
		s.ack(m)
	default:
		s.refuse(m, 0)
	}
}

func (s *subscription) ack(m *nats.Msg) {
	_ = m.Ack() //nolint:errcheck // it comes again, which whoever acks has to bear
}

func (s *subscription) refuse(m *nats.Msg, after time.Duration) {
	_ = m.NakWithDelay(after) //nolint:errcheck // it comes back after AckWait in any case
}

func (s *subscription) pause(m *nats.Msg) time.Duration {
	meta, err := m.Metadata()
	if err != nil || s.topics.Pause == nil {
		return 0
	}
	return s.topics.Pause(meta.NumDelivered)
}

// unwrap makes a Watermill message of a delivery. Whoever published it may be
// anybody: what has no id gets its place in the stream.
func unwrap(m *nats.Msg) *watermill.Message {
	id := cmp.Or(m.Header.Get(headerUUID), m.Header.Get(events.HeaderID))
	if meta, err := m.Metadata(); err == nil && id == "" {
		id = meta.Stream + "." + strconv.FormatUint(meta.Sequence.Stream, 10)
	}
	given := watermill.NewMessage(id, m.Data)
	for name := range m.Header {
		if !strings.HasPrefix(name, prefixServer) && name != headerUUID {
			given.Metadata.Set(name, m.Header.Get(name))
		}
	}
	return given
}
