package status

import (
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state"
)

// desk is a board that nobody runs, whose share is everything.
func desk(t *testing.T) (b *Board, clock *time.Time) {
	t.Helper()
	now := at(0)
	b = New(Deps{Logger: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(), Now: func() time.Time { return now }})
	b.complete()
	b.shared("me", []string{"me"})
	return b, &now
}

// What was acknowledged by a bucket that is gone says nothing about the next.
func TestLateAcknowledgement(t *testing.T) {
	t.Parallel()
	b, _ := desk(t)
	id := mustID(t, secret.NewID(secret.PrefixSecret))
	b.Changed(id.String(), 5, true)
	e, ok := b.take()
	if !ok {
		t.Fatal("nothing waits")
	}
	epoch := b.epoch
	b.begin()
	b.finish(e, epoch, "a.b.c", 100, nil)
	b.complete()
	if again, ok := b.take(); !ok || again.id != id || again.slot != 0 {
		t.Errorf("%+v %v, want it to be written again", again, ok)
	}
}

// Nothing is kept of what is gone, and nothing waits of what is another's.
func TestNothingStays(t *testing.T) {
	t.Parallel()
	b, _ := desk(t)
	for n := range state.Revision(1000) {
		id := mustID(t, secret.NewID(secret.PrefixSecret))
		key := place("a.b.c").key(id)
		put := func(slot state.Revision, stamp string) {
			b.posted(state.Change{Key: key, Value: []byte(stamp), Revision: slot})
		}
		b.Changed(id.String(), 3*n+10, true)
		switch n % 4 {
		case 0: // deleted before anything was written
			b.Changed(id.String(), 3*n+11, false)
		case 1: // written and removed by another
			put(3*n+1, stamp(3*n+10))
			b.Changed(id.String(), 3*n+11, false)
			b.posted(state.Change{Key: key, Revision: 3*n + 2})
		case 2: // the other way round
			put(3*n+1, stamp(3*n+10))
			b.posted(state.Change{Key: key, Revision: 3*n + 2})
			b.Changed(id.String(), 3*n+11, false)
		case 3: // the bucket's news come late
			b.Changed(id.String(), 3*n+11, false)
			put(3*n+1, stamp(3*n+10))
			b.posted(state.Change{Key: key, Revision: 3*n + 2})
		}
	}
	for _, ok := b.take(); ok; _, ok = b.take() {
		t.Error("something is to be written")
	}
	b.resume()
	kept := 0
	for _, part := range b.entries {
		kept += len(part)
	}
	if n, since := b.wait(); kept != 0 || n != 0 || !since.IsZero() {
		t.Errorf("%d entries stay, and %d wait since %v", kept, n, since)
	}
	b.Changed(secret.NewID(secret.PrefixSecret), 9000, true)
	b.shared("me", []string{"you"})
	if _, ok := b.take(); ok || len(b.waiting) != 0 {
		t.Errorf("another's is to be written, %d wait", len(b.waiting))
	}
	b.Changed("SE1", 9001, true) // no id
	b.Changed("", 9001, true)
}

// Waiting counts from when a change was seen, however often writing has failed.
func TestWait(t *testing.T) {
	t.Parallel()
	b, now := desk(t)
	id := secret.NewID(secret.PrefixSecret)
	b.Changed(id, 5, true)
	*now = at(1)
	b.Changed(secret.NewID(secret.PrefixSecret), 6, true)
	for range 3 {
		e, ok := b.take()
		if !ok || e.id.String() != id {
			t.Fatalf("%v is first, want %s", e.id, id)
		}
		b.finish(e, b.epoch, "", 0, errors.New("no room"))
		if n, oldest := b.delay(); n != 2 || oldest != time.Minute {
			t.Fatalf("%d wait, the oldest for %v", n, oldest)
		}
		other, _ := b.take()
		b.resume()
		b.finish(other, b.epoch, "", 0, errors.New("no room"))
		b.resume()
	}
}
