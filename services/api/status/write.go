package status

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state"
)

// write writes what waits, one status at a time, until ctx ends.
func (b *Board) write(ctx context.Context, read func(id string) (*secret.Secret, bool)) {
	for {
		b.mu.Lock()
		e, ok := b.take()
		epoch := b.epoch
		b.mu.Unlock()
		if !ok {
			select {
			case <-b.wake:
				continue
			case <-ctx.Done():
				return
			}
		}
		slot, at, err := b.put(ctx, e, read)
		b.finish(e, epoch, at, slot, err)
		if err != nil {
			b.failed(ctx, e, at, err)
		}
		if ctx.Err() != nil {
			return
		}
	}
}

// errUnseen: a secret is not shown, and that has yet to be told. It will be.
var errUnseen = errors.New("the secret is not shown any more")

// put writes or removes a status and returns what the bucket has now, and where; or where it
// could not be done.
func (b *Board) put(ctx context.Context, e entry, read func(id string) (*secret.Secret, bool)) (state.Revision, place, error) {
	was := b.place(e.place)
	if e.gone {
		slot, err := b.deps.Bucket.Put(ctx, state.Write{Key: was.key(e.id), Expect: e.slot}, "")
		return slot, was, err
	}
	s, shown := read(e.id.String())
	if !shown {
		return 0, "", errUnseen
	}
	at := placeOf(s)
	if e.slot != 0 && was != at {
		// An earlier version of the program had another place for it, or somebody else has.
		if e.stamp != 0 {
			if _, err := b.deps.Bucket.Put(ctx, state.Write{Key: was.key(e.id), Expect: e.slot}, ""); err != nil {
				return 0, was, err
			}
		}
		var err error
		if _, e.slot, err = b.deps.Bucket.Last(ctx, at.key(e.id)); err != nil && !errors.Is(err, state.ErrNotFound) {
			return 0, at, err
		}
	}
	body, err := json.Marshal(statusOf(s, e.record))
	if err != nil {
		return 0, at, err
	}
	slot, err := b.deps.Bucket.Put(ctx, state.Write{Key: at.key(e.id), Value: body, Expect: e.slot}, stamp(e.record))
	return slot, at, err
}

func (b *Board) place(n uint32) place {
	b.mu.Lock()
	defer b.mu.Unlock()
	if int(n) >= len(b.places.names) {
		return ""
	}
	return b.places.names[n]
}

// finish notes what came of a write, unless the bucket is another by now.
func (b *Board) finish(e entry, epoch int, at place, slot state.Revision, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.deps.Now()
	if err == nil && epoch == b.epoch {
		written := e.record
		if e.gone {
			written = 0
		}
		b.have(e.id, at, written, slot, now)
		b.metrics.wrote(e.gone, now.Sub(b.waiting[e.id]))
	}
	b.done(e.id, err == nil, now)
}

// failed looks why a status could not be written.
func (b *Board) failed(ctx context.Context, e entry, at place, err error) {
	switch {
	case ctx.Err() != nil, errors.Is(err, errUnseen):
	case errors.Is(err, state.ErrConflict):
		b.reread(ctx, e.id, at)
	default:
		b.metrics.failures.Inc()
		b.deps.Logger.WarnContext(ctx, "a status could not be written and is tried again", "secret", e.id.String(), "error", err)
		pause(ctx) // it is the server's fault, not this status's
	}
}

// reread looks what is in the bucket under the key of a secret, when that is not what was
// thought. As long as nothing tells of it, it is found out here.
func (b *Board) reread(ctx context.Context, id uid, at place) {
	found, slot, err := b.deps.Bucket.Last(ctx, at.key(id))
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case errors.Is(err, state.ErrNotFound):
		b.lost(id, b.deps.Now())
	case err == nil:
		b.have(id, at, stampOf(found), slot, b.deps.Now())
	}
}

// lookAgain comes back to what was put off, until ctx ends.
func (b *Board) lookAgain(ctx context.Context) {
	for pause(ctx) {
		b.mu.Lock()
		doubtful := b.resume()
		b.mu.Unlock()
		for _, id := range doubtful {
			b.verify(ctx, id)
		}
	}
}

// verify asks whether a status is ahead because what was seen of the records is behind, or
// because the records are others.
func (b *Board) verify(ctx context.Context, id uid) {
	b.mu.Lock()
	e, _ := b.entry(id)
	b.mu.Unlock()
	_, record, err := b.deps.Records.Get(ctx, state.SecretKey(id.String()))
	gone := errors.Is(err, state.ErrNotFound)
	if err != nil && !gone || record != e.record {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if now, _ := b.entry(id); now == e {
		b.distrust(id, gone, b.deps.Now())
	}
}

// delay is how long statuses wait, for whoever asks.
func (b *Board) delay() (n int, oldest time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n, since := b.wait()
	if since.IsZero() {
		return n, 0
	}
	return n, b.deps.Now().Sub(since)
}
