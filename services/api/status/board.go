// Package status shows how secrets stand to whoever may watch: it keeps a public status of
// each secret ([events.Status]) in a bucket, derived from the records. Nothing in the fleet
// reads it or waits for it.
//
// It promises
//   - that the bucket comes to be what the records say, whatever has happened to either:
//     it compares the two, at the start, after a take-over, and whenever one changes, and
//     writes what differs. A status nobody has is removed, a bucket that is gone is made
//     and filled again;
//   - that a status never makes way for an older one. Each has a stamp with the revision of
//     the record that it was made of, and is written by compare-and-swap upon the stamp
//     that was seen. So any two processes that write the same agree on the newest;
//   - that it is bounded: a secret takes some 70 bytes of memory, and no more than
//     [writers] statuses are written at a time, however many wait.
//
// Each process writes its share (package rendezvous) and knows the stamps of all, so that
// it can take over at once.
//
// It refuses to say anything that is hidden, or who has done what: see [statusOf].
package status

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state"
)

// Bucket is where statuses are kept, by key.
type Bucket interface {
	// Follow tells of every status and every change of one, removals included, until ctx
	// ends. The value of a change is the stamp, nil of what is removed. After another
	// error than that of ctx, what was told is void.
	Follow(ctx context.Context, apply func(state.Change), caughtUp func()) error
	// Last returns a stamp and the revision it has in the bucket, or state.ErrNotFound.
	// The stamp of what is removed is nil.
	Last(ctx context.Context, key string) (stamp []byte, rev state.Revision, err error)
	// Put writes or removes a status if it has the expected revision still, or else
	// returns state.ErrConflict.
	Put(ctx context.Context, w state.Write, stamp string) (state.Revision, error)
}

// Members knows who shares the work, as the scheduler's do.
type Members interface {
	Join(ctx context.Context, group string, able <-chan struct{}, tell func(me string, all []string)) error
}

// Records are the records that statuses are made of.
type Records interface {
	// Get returns a record and its revision, or state.ErrNotFound.
	Get(ctx context.Context, key string) ([]byte, state.Revision, error)
}

// Deps is what a Board stands on.
type Deps struct {
	Bucket  Bucket
	Members Members
	Records Records
	Logger  *slog.Logger
	Metrics prometheus.Registerer
	// Now is the clock. Default time.Now.
	Now func() time.Time
}

const (
	// group is who shares the work.
	group = "status"
	// writers is how many statuses are written at a time: enough for thousands a second,
	// and few enough that nobody notices when all are written.
	writers = 4
	// again is after how long something is looked at again that could not be settled.
	again = time.Second
)

// Board keeps the statuses. It is safe for concurrent use.
type Board struct {
	deps    Deps
	metrics *metrics

	mu sync.Mutex
	index
}

// New returns a Board that writes nothing until Run.
func New(deps Deps) *Board {
	if deps.Now == nil {
		deps.Now = time.Now
	}
	b := &Board{deps: deps, index: newIndex()}
	b.metrics = newMetrics(deps.Metrics, b)
	return b
}

// Changed notes that the record of a secret has changed, and whether the secret is shown
// since. It is called in the order of the revisions, before Run, too.
func (b *Board) Changed(id string, revision state.Revision, shown bool) {
	u, ok := parseID(id)
	if !ok {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.want(u, revision, shown, b.deps.Now())
}

// Run keeps the bucket in line with what read returns, until ctx ends: how a secret stands
// that [Board.Changed] was told of. The secrets that there are have been told before.
func (b *Board) Run(ctx context.Context, read func(id string) (*secret.Secret, bool)) {
	var working sync.WaitGroup
	defer working.Wait()
	known := make(chan struct{}) // closed when it is known what is in the bucket
	working.Go(func() { b.follow(ctx, sync.OnceFunc(func() { close(known) })) })
	working.Go(func() { b.join(ctx, known) })
	working.Go(func() { b.lookAgain(ctx) })
	for range writers {
		working.Go(func() { b.write(ctx, read) })
	}
}

// follow keeps up with the bucket, and begins anew when it has lost it.
func (b *Board) follow(ctx context.Context, known func()) {
	for {
		b.begin()
		err := b.deps.Bucket.Follow(ctx, b.posted, func() {
			b.complete()
			known()
		})
		if ctx.Err() != nil {
			return
		}
		b.deps.Logger.WarnContext(ctx, "the bucket of statuses is read anew", "error", err)
		if !pause(ctx) {
			return
		}
	}
}

// begin forgets what is in the bucket. Until it is known again nothing is written.
func (b *Board) begin() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.forget()
}

// complete goes through all statuses once it is known what is in the bucket.
func (b *Board) complete() {
	b.mu.Lock()
	b.known = true
	b.mu.Unlock()
	b.sweep()
}

// posted takes in a change of the bucket.
func (b *Board) posted(c state.Change) {
	at, id, ok := parseKey(c.Key)
	if !ok {
		return // nobody's: it is not ours to judge
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.have(id, at, stampOf(c.Value), c.Revision, b.deps.Now())
}

// join shares the work with other processes.
func (b *Board) join(ctx context.Context, known <-chan struct{}) {
	for {
		err := b.deps.Members.Join(ctx, group, known, b.shared)
		if ctx.Err() != nil || !pause(ctx) {
			return
		}
		b.deps.Logger.WarnContext(ctx, "who shares the work cannot be told", "group", group, "error", err)
	}
}

// shared takes over what has become this process's.
func (b *Board) shared(me string, all []string) {
	b.mu.Lock()
	b.reshare(me, all)
	b.mu.Unlock()
	b.metrics.members.Set(float64(len(all)))
	b.sweep()
}

// sweep looks at all secrets, a part at a time, so that nobody waits for it.
func (b *Board) sweep() {
	for part := range parts {
		b.mu.Lock()
		b.look(part, b.deps.Now())
		b.mu.Unlock()
	}
}

// pause waits for a while, and reports false when ctx has ended.
func pause(ctx context.Context) bool {
	t := time.NewTimer(again)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
