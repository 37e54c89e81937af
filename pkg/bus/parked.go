package bus

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/pkg/work"
)

// laneJob is the lane of jobs, in the subjects of what is parked.
const laneJob = "job"

// headerSize is how many bytes the server has left out of a message of which only
// the header was asked for.
const headerSize = "Nats-Msg-Size"

// parkedBatch is how many parked messages are asked for at a time.
const parkedBatch = 500

// Parked tells of the messages that are parked when it is called, oldest first: of
// those about one secret, by its id, or of all as "". The server sends no bodies. An error, ErrUnavailable among them, is the last it
// tells. It may be left at any message.
func (b *Bus) Parked(ctx context.Context, about string) iter.Seq2[*work.Parked, error] {
	return func(yield func(*work.Parked, error) bool) {
		if err := b.eachParked(ctx, about, func(m *work.Parked) bool { return yield(m, nil) }); err != nil {
			yield(nil, translate(err))
		}
	}
}

// eachParked reads the stream with a consumer of its own until yield has had
// enough. What is deleted meanwhile may be told or not.
func (b *Bus) eachParked(ctx context.Context, about string, yield func(*work.Parked) bool) error {
	subjects := events.AllParked
	if about != "" {
		subjects = events.Root + ".parked.*." + events.Token(about)
	}
	c, err := b.js.CreateConsumer(ctx, streamParked, jetstream.ConsumerConfig{
		AckPolicy: jetstream.AckNonePolicy, HeadersOnly: true, FilterSubject: subjects,
		MemoryStorage: true, Replicas: 1, InactiveThreshold: followIdle,
	})
	if err != nil {
		return err
	}
	defer b.forget(ctx, c.CachedInfo().Name)
	left := c.CachedInfo().NumPending
	if left == 0 {
		return nil
	}
	p, err := newPuller(b.nc, streamParked, c.CachedInfo().Name)
	if err != nil {
		return err
	}
	defer p.stop()
	defer context.AfterFunc(ctx, p.stop)()
	err = pullParked(p, left, yield)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// pullParked takes the messages of a consumer that has left of them to deliver.
func pullParked(p *puller, left uint64, yield func(*work.Parked) bool) error {
	delivered := uint64(0)
	for delivered < left {
		if err := p.ask(parkedBatch); err != nil {
			return err
		}
		for asked := parkedBatch; asked > 0 && delivered < left; asked-- {
			m, err := p.next()
			if errors.Is(err, errEnded) {
				break
			}
			if errors.Is(err, errIdle) { // the rest was deleted meanwhile
				return complete(m, delivered)
			}
			if err != nil {
				return err
			}
			delivered++
			told, err := read(m, delivered)
			if err != nil || !yield(told) {
				return err
			}
		}
	}
	return nil
}

// complete checks that what the server says it delivered has arrived.
func complete(m *nats.Msg, arrived uint64) error {
	if delivered, _ := heartbeat(m); delivered != arrived {
		return errGap
	}
	return nil
}

// read describes a message of which the server has sent the header. It is the
// consumer's message number delivered.
func read(m *nats.Msg, delivered uint64) (*work.Parked, error) {
	meta, err := m.Metadata()
	if err != nil {
		return nil, err
	}
	if meta.Sequence.Consumer != delivered {
		return nil, errGap
	}
	size := 0
	if said := m.Header[headerSize]; len(said) > 0 { // the last is the server's
		size, _ = strconv.Atoi(said[len(said)-1]) //nolint:errcheck // 0, as good as not said
	}
	return describe(m.Subject, m.Header, meta.Sequence.Stream, meta.Timestamp, size), nil
}

// forget deletes a consumer that is of no use any more. The server would, too, in
// time.
func (b *Bus) forget(ctx context.Context, consumer string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestTimeout)
	defer cancel()
	_ = b.js.DeleteConsumer(ctx, streamParked, consumer) //nolint:errcheck // see above
}

// ParkedMessage returns the parked message of the number, with what may be told of
// its body, or state.ErrNotFound.
func (b *Bus) ParkedMessage(ctx context.Context, id uint64) (*work.Parked, error) {
	s, err := b.js.Stream(ctx, streamParked)
	if err != nil {
		return nil, translate(err)
	}
	if id == 0 { // which the server takes for any
		return nil, state.ErrNotFound
	}
	m, err := s.GetMsg(ctx, id)
	if err != nil {
		return nil, translate(err)
	}
	found := describe(m.Subject, m.Header, m.Sequence, m.Time, len(m.Data))
	found.Members = members(m.Data)
	return found, nil
}

// Discard deletes the parked message of the number. It returns state.ErrNotFound
// when there is none, as for the second of two who discard the same.
func (b *Bus) Discard(ctx context.Context, id uint64) error {
	s, err := b.js.Stream(ctx, streamParked)
	if err != nil {
		return translate(err)
	}
	err = translate(s.DeleteMsg(ctx, id))
	if err == nil || errors.Is(err, ErrUnavailable) {
		return err
	}
	// The server has one code for all that may be wrong.
	if _, there := b.ParkedMessage(ctx, id); errors.Is(there, state.ErrNotFound) {
		return there
	}
	return err
}

// describe returns what may be told of a parked message without its body. Any
// client of the server may have written it.
func describe(subject string, h nats.Header, id uint64, at time.Time, size int) *work.Parked {
	tokens := strings.Split(strings.TrimPrefix(subject, events.Root+"."), ".")
	m := &work.Parked{
		ID: id, At: at, Reason: oneLine(h.Get(headerReason)), Size: size,
		Secret:  word(tokens[len(tokens)-1]),
		Source:  attribute(h, events.HeaderSource),
		Message: attribute(h, events.HeaderID),
		Type:    strings.TrimPrefix(attribute(h, events.HeaderType), events.TypePrefix),
		Org:     attribute(h, events.HeaderOrg),
		Trace:   word(h.Get(events.HeaderTrace)),
	}
	if len(tokens) == 3 { // parked.<lane>.<secret>
		m.Lane = word(tokens[1])
	}
	if n, err := strconv.Atoi(h.Get(headerDeliveries)); err == nil {
		m.Deliveries = max(0, n)
	}
	// What is in a year of four digits here may not be in UTC.
	if t, err := time.Parse(time.RFC3339Nano, h.Get(events.HeaderTime)); err == nil && t.UTC().Year() >= 0 && t.UTC().Year() <= 9999 {
		m.Time = t
	}
	return m
}

// attribute returns an attribute of an event that is a word, else "".
func attribute(h nats.Header, name string) string {
	text, err := url.PathUnescape(h.Get(name))
	if err != nil {
		return ""
	}
	return word(text)
}

// word returns s if it is a word of printable ASCII and not too long, else "".
func word(s string) string {
	const most = 128
	if len(s) > most || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return ""
	}
	return s
}

// speaking reports whether members of our bodies are called like that. What is
// called otherwise may be somebody's secret in the wrong place.
func speaking(name string) bool {
	return name != "" && len(name) <= 32 && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz_") == ""
}

// members returns the kinds of a body's members by name, nil when it is no JSON
// object. Those with names that are none of ours are counted under "?".
func members(body []byte) map[string]string {
	var all map[string]json.RawMessage
	if json.Unmarshal(body, &all) != nil || all == nil {
		return nil
	}
	kinds := make(map[string]string)
	others := 0
	for name, value := range all {
		if speaking(name) {
			kinds[name] = kindOf(value)
		} else {
			others++
		}
	}
	if others > 0 {
		kinds["?"] = strconv.Itoa(others)
	}
	return kinds
}

// kindOf names the kind of a JSON value.
func kindOf(value json.RawMessage) string {
	switch value[0] {
	case '"':
		return "string"
	case '{':
		return "object"
	case '[':
		return "array"
	case 't', 'f':
		return "boolean"
	case 'n':
		return "null"
	default:
		return "number"
	}
}
