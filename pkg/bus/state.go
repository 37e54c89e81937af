package bus

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/rekindle-dev/rekindle/pkg/state"
)

// State is the buckets of the state. They are KV buckets to other clients of NATS;
// here they are used as the streams that they are, because an atomic commit and a
// marker with a lifetime have no call in the KV interface.
type State struct {
	b       *Bus
	streams map[state.Bucket]stream
}

var _ state.Store = (*State)(nil)

// State returns the fleet's state, as far as the client's role has to do with it.
func (b *Bus) State(ctx context.Context) (*State, error) {
	s := &State{b, map[state.Bucket]stream{}}
	for _, bucket := range b.role.buckets() {
		var err error
		if s.streams[bucket], err = b.keeper(streamOf(bucket)).open(ctx, streamOf(bucket), prefixOf(bucket)); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// of returns where what is under the key, or the pattern, is.
func (s *State) of(key string) (stream, error) {
	bucket := state.BucketOf(key)
	found, ok := s.streams[bucket]
	if !ok {
		return stream{}, fmt.Errorf("the bucket %s is not for the role %s", bucket, s.b.role)
	}
	return found, nil
}

// Get implements state.Store.
func (s *State) Get(ctx context.Context, key string) ([]byte, state.Revision, error) {
	if err := state.CheckKey(key); err != nil {
		return nil, 0, err
	}
	kept, err := s.of(key)
	if err != nil {
		return nil, 0, err
	}
	began := time.Now()
	m, sequence, err := kept.last(ctx, key)
	s.b.steady.asked(began, err)
	if err != nil {
		return nil, 0, err
	}
	if removed(m.Header) {
		return nil, 0, state.ErrNotFound
	}
	return m.Data, state.Revision(sequence), nil
}

// Commit implements state.Store. A single write is one publish; more are an
// atomic batch.
func (s *State) Commit(ctx context.Context, writes ...state.Write) (state.Revision, error) {
	if err := state.CheckWrites(writes); err != nil {
		return 0, err
	}
	kept, err := s.of(writes[0].Key) // and so are the others
	if err != nil {
		return 0, err
	}
	msgs := make([]*nats.Msg, len(writes))
	for i, w := range writes {
		msgs[i] = kept.write(w)
	}
	for {
		rev, err := s.publish(ctx, kept, msgs)
		if !errors.Is(err, state.ErrConflict) {
			return rev, err
		}
		if changed, err := kept.expectMarkers(ctx, writes, msgs); err != nil {
			return 0, err
		} else if !changed {
			return 0, state.ErrConflict
		}
	}
}

func (s *State) publish(ctx context.Context, kept stream, msgs []*nats.Msg) (rev state.Revision, err error) {
	began := time.Now()
	defer func() { s.b.steady.asked(began, err) }()
	if len(msgs) == 1 {
		return kept.put(ctx, msgs[0])
	}
	return kept.b.commitBatch(ctx, msgs)
}

// markerTTL is how long the marker of a removed record stays, so that whoever
// follows learns of it, after an interruption too.
const markerTTL = time.Hour

// passingTTL is how long the marker of a record stays that nobody asks after: the
// least the server has.
const passingTTL = time.Second

func (s stream) write(w state.Write) *nats.Msg {
	m := s.message(w.Key, w.Value, uint64(w.Expect))
	if w.Life > 0 {
		m.Header.Set(jetstream.MsgTTLHeader, w.Life.String())
	}
	if w.Value == nil {
		m.Header.Set(headerOperation, operationDelete)
		life := markerTTL
		if state.Passing(w.Key) {
			life = passingTTL
		}
		m.Header.Set(jetstream.MsgTTLHeader, life.String())
	}
	return m
}

// expectMarkers makes the messages of new records expect the marker that an
// earlier record left under their key, because to the server that is what is
// there. It reports whether anything changed, so that another attempt is worth
// making.
func (s stream) expectMarkers(ctx context.Context, writes []state.Write, msgs []*nats.Msg) (changed bool, err error) {
	for i, w := range writes {
		if w.Expect != 0 {
			continue
		}
		expect := "0"
		last, sequence, err := s.last(ctx, w.Key)
		switch {
		case errors.Is(err, state.ErrNotFound):
		case err != nil:
			return false, err
		case !removed(last.Header):
			return false, nil
		default:
			expect = strconv.FormatUint(sequence, 10)
		}
		if expect != msgs[i].Header.Get(jetstream.ExpectedLastSubjSeqHeader) {
			msgs[i].Header.Set(jetstream.ExpectedLastSubjSeqHeader, expect)
			changed = true
		}
	}
	return changed, nil
}
