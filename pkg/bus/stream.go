package bus

import (
	"context"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/rekindle-dev/rekindle/pkg/state"
)

// The headers of KV buckets: which messages stand for a removal.
const (
	headerOperation = "KV-Operation"
	operationDelete = "DEL"
	operationPurge  = "PURGE"
)

// stream is a stream that keeps the last message of each subject.
type stream struct {
	b      *Bus
	s      jetstream.Stream
	name   string
	prefix string
	direct string // where the last message of a subject is asked for
}

func (b *Bus) open(ctx context.Context, name, prefix string) (s stream, err error) {
	s = b.named(name, prefix)
	s.s, err = b.js.Stream(ctx, name)
	return s, translate(err)
}

// named is a stream that is only read and written by key.
func (b *Bus) named(name, prefix string) stream {
	return stream{b: b, name: name, prefix: prefix, direct: "$JS.API.DIRECT.GET." + name + "." + prefix}
}

// last reads the last message of a key, as any replica has it: the stream has to
// allow that.
func (s stream) last(ctx context.Context, key string) (m *nats.Msg, sequence uint64, err error) {
	m, err = s.b.request(ctx, &nats.Msg{Subject: s.direct + key})
	if err != nil {
		return nil, 0, translate(err)
	}
	sequence, err = found(m)
	return m, sequence, translate(err)
}

// message is a write that expects the last message of its subject to have the
// sequence expect, 0 for none.
func (s stream) message(key string, value []byte, expect uint64) *nats.Msg {
	m := nats.NewMsg(s.prefix + key)
	m.Data = value
	m.Header.Set(jetstream.ExpectedLastSubjSeqHeader, strconv.FormatUint(expect, 10))
	return m
}

func (s stream) put(ctx context.Context, m *nats.Msg) (state.Revision, error) {
	sequence, err := s.b.store(ctx, m)
	return state.Revision(sequence), translate(err)
}

// removed reports whether a message stands for a removal: by us, by another
// client of the bucket, or by the end of its lifetime.
func removed(h nats.Header) bool {
	op := h.Get(headerOperation)
	return op == operationDelete || op == operationPurge || h.Get(jetstream.MarkerReasonHeader) != ""
}
