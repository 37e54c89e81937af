package bus

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// What a refresh asks of JetStream is asked here and not by the client's own calls,
// which say the same: they decode every acknowledgement by reflection, wrap every
// context, and write requests that they do not send.

// request sends a message and returns the answer, within requestTimeout unless ctx
// has an end of its own.
func (b *Bus) request(ctx context.Context, m *nats.Msg) (*nats.Msg, error) {
	if ctx.Done() == nil {
		return b.nc.RequestMsg(m, requestTimeout)
	}
	if _, ends := ctx.Deadline(); !ends {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, requestTimeout)
		defer cancel()
	}
	return b.nc.RequestMsgWithContext(ctx, m)
}

// store publishes a message and returns its sequence, once a stream has stored it.
func (b *Bus) store(ctx context.Context, m *nats.Msg) (uint64, error) {
	answer, err := b.request(ctx, m)
	if err != nil {
		return 0, err
	}
	return stored(answer.Data)
}

// stored reads what the server answers to a message, or a batch of them, that was to
// be stored. Its refusals are [*jetstream.APIError].
func stored(body []byte) (sequence uint64, err error) {
	if sequence, ok := plainAck(body); ok {
		return sequence, nil
	}
	var ack struct {
		Error  *jetstream.APIError `json:"error"`
		Stream string              `json:"stream"`
		Seq    uint64              `json:"seq"`
	}
	switch err := json.Unmarshal(body, &ack); {
	case err != nil:
		return 0, fmt.Errorf("answer of a stream: %w", err)
	case ack.Error != nil:
		return 0, ack.Error
	case ack.Stream == "":
		return 0, jetstream.ErrInvalidJSAck
	}
	return ack.Seq, nil
}

// plainAck reads what stored does, if it is letter by letter what a server says that
// has stored one message: {"stream":"KV_state","seq":12}.
func plainAck(body []byte) (sequence uint64, ok bool) {
	rest, begins := bytes.CutPrefix(body, []byte(`{"stream":"`))
	name, rest, goesOn := bytes.Cut(rest, []byte(`","seq":`))
	digits, ends := bytes.CutSuffix(rest, []byte("}"))
	if !begins || !goesOn || !ends || !isStreamName(name) || len(digits) == 0 || digits[0] == '0' {
		return 0, false
	}
	sequence, err := strconv.ParseUint(string(digits), 10, 64)
	return sequence, err == nil
}

func isStreamName(name []byte) bool {
	for _, c := range name {
		if c != '_' && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return len(name) > 0
}

// found reads what the server answers to who asks for a stored message: the message,
// which is the answer itself, and its sequence.
func found(m *nats.Msg) (sequence uint64, err error) {
	if code := m.Header.Get("Status"); code != "" && len(m.Data) == 0 {
		if code == "404" {
			return 0, jetstream.ErrMsgNotFound
		}
		return 0, fmt.Errorf("answer of a stream: %.3s %.80q", code, m.Header.Get("Description"))
	}
	sequence, err = strconv.ParseUint(m.Header.Get(jetstream.SequenceHeader), 10, 64)
	if err != nil {
		return 0, errors.New("a stored message has no sequence")
	}
	return sequence, nil
}
