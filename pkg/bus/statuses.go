package bus

import (
	"context"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/state"
)

// bucketStatus is derived from the state and not part of it.
const bucketStatus state.Bucket = events.StatusBucket

// headerStamp tells of a status what it was made of. Who keeps statuses reads it
// rather than the status.
const headerStamp = "Rekindle-Stamp"

// Statuses is the bucket in which others watch how secrets stand. To them it is a KV
// bucket. Nothing in it cannot be made again.
type Statuses struct{ stream }

// Statuses returns the fleet's statuses.
func (b *Bus) Statuses() *Statuses {
	return &Statuses{b.named(streamStatus, prefixStatus)}
}

func (b *Bus) statusStream() jetstream.StreamConfig {
	cfg := keep(bucketStatus)
	cfg.Description = "how secrets stand, for whoever watches"
	cfg.MaxBytes, cfg.MaxMsgSize, cfg.AllowAtomicPublish = maxStatuses, events.MaxBody, false
	return cfg
}

// Follow calls apply for every status, then caughtUp once, then apply for every change,
// until ctx ends; it then returns ctx's error. The value of a change is the stamp of the
// status and its revision the bucket's. Removals are told that were before, too, as long
// as there are traces of them. It makes the bucket if it is gone, and this process may. Another error means that
// what was told may not be so any more: whoever follows has to begin anew.
func (s *Statuses) Follow(ctx context.Context, apply func(state.Change), caughtUp func()) error {
	if s.b.role.declares() {
		if err := s.b.declareOne(ctx, s.b.statusStream()); err != nil {
			return translate(err)
		}
	}
	in, err := s.b.open(ctx, s.name, s.prefix)
	if err != nil {
		return err
	}
	f := &follower{stream: in, subjects: []string{in.prefix + ">"}, stamps: true, apply: apply, caughtUp: caughtUp}
	return f.run(ctx)
}

// Last returns the stamp of a status and its revision, or ErrNotFound when there is no
// trace of one. A removed status has no stamp.
func (s *Statuses) Last(ctx context.Context, key string) (stamp []byte, rev state.Revision, err error) {
	if err := state.CheckKey(key); err != nil {
		return nil, 0, err
	}
	m, sequence, err := s.last(ctx, key)
	if err != nil {
		return nil, 0, err
	}
	return stampOf(m.Header), state.Revision(sequence), nil
}

// stampOf is the stamp of a status, nil of one that was removed.
func stampOf(h nats.Header) []byte {
	if removed(h) {
		return nil
	}
	return []byte(h.Get(headerStamp))
}

// Put writes a status with its stamp, or removes it, by compare-and-swap as the state
// does; but a removed status is there with the revision of its removal.
func (s *Statuses) Put(ctx context.Context, w state.Write, stamp string) (state.Revision, error) {
	if err := state.CheckKey(w.Key); err != nil {
		return 0, err
	}
	m := s.message(w.Key, w.Value, uint64(w.Expect))
	if w.Value == nil {
		m.Header.Set(headerOperation, operationDelete)
		m.Header.Set(jetstream.MsgTTLHeader, markerTTL.String())
	} else {
		m.Header.Set(headerStamp, stamp)
	}
	return s.put(ctx, m)
}
