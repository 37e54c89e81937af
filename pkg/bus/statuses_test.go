package bus

import (
	"errors"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/state"
)

// Statuses are written by compare-and-swap, told by their stamps, and a KV bucket to others.
func TestStatuses(t *testing.T) {
	t.Parallel()
	b := open(t)
	s, ctx := b.Statuses(), patient(t)
	put := func(key, value, stamp string, expect state.Revision) state.Revision {
		t.Helper()
		w := state.Write{Key: key, Expect: expect}
		if value != "" {
			w.Value = []byte(value)
		}
		rev, err := s.Put(ctx, w, stamp)
		if err != nil {
			t.Fatal(err)
		}
		return rev
	}
	if _, _, err := s.Last(ctx, "a.b"); !errors.Is(err, state.ErrNotFound) {
		t.Errorf("nothing there: %v", err)
	}
	first := put("a.b", "one", "1.1", 0)
	for _, expect := range []state.Revision{0, first + 1} {
		if _, err := s.Put(ctx, state.Write{Key: "a.b", Value: []byte("x"), Expect: expect}, "9.1"); !errors.Is(err, state.ErrConflict) {
			t.Errorf("expecting %d: %v, want a conflict", expect, err)
		}
	}
	for _, key := range []string{"", "a.*", ">", "a b"} {
		if _, err := s.Put(ctx, state.Write{Key: key, Value: []byte("x")}, "9.1"); !errors.Is(err, state.ErrMalformed) {
			t.Errorf("under %q: %v", key, err)
		}
		if _, _, err := s.Last(ctx, key); !errors.Is(err, state.ErrMalformed) {
			t.Errorf("last of %q: %v", key, err)
		}
	}
	gone := put("a.c", "", "", put("a.c", "two", "2.1", 0))

	changes, caughtUp := make(chan state.Change, 100), make(chan struct{}, 1)
	go func() { _ = s.Follow(ctx, func(c state.Change) { changes <- c }, func() { caughtUp <- struct{}{} }) }()
	expect := func(key, stamp string, there bool, rev state.Revision) {
		t.Helper()
		c := next(t, changes)
		if c.Key != key || string(c.Value) != stamp || (c.Value != nil) != there || c.Revision != rev {
			t.Errorf("told of %s, %q, %d, want %s, %q, %d", c.Key, c.Value, c.Revision, key, stamp, rev)
		}
	}
	expect("a.b", "1.1", true, first)
	expect("a.c", "", false, gone) // also what was removed before
	next(t, caughtUp)
	second := put("a.b", "three", "3.1", first)
	expect("a.b", "3.1", true, second)

	kv, err := b.js.KeyValue(ctx, events.StatusBucket)
	if err != nil {
		t.Fatal(err)
	}
	e, err := kv.Get(ctx, "a.b")
	if err != nil || string(e.Value()) != "three" || e.Revision() != uint64(second) {
		t.Errorf("%v, %v", e, err)
	}
	if _, err := kv.Get(ctx, "a.c"); !errors.Is(err, jetstream.ErrKeyNotFound) {
		t.Errorf("a removed one: %v", err)
	}
	if _, err := kv.PutString(ctx, "a.d", "of somebody else's"); err != nil {
		t.Fatal(err)
	}
	expect("a.d", "", true, second+1)
	stamp, rev, err := s.Last(ctx, "a.b")
	if err != nil || string(stamp) != "3.1" || rev != second {
		t.Errorf("%q %d %v", stamp, rev, err)
	}
	stamp, rev, err = s.Last(ctx, "a.c")
	if err != nil || stamp != nil || rev != gone {
		t.Errorf("of a removed one: %q %d %v", stamp, rev, err)
	}
}

// A bucket that was deleted is made again by whoever follows next. Who followed the other
// learns of it, also when there is more in the new one than in the old.
func TestStatusesMadeAnew(t *testing.T) {
	t.Parallel()
	b := open(t)
	s, ctx := b.Statuses(), patient(t)
	before, err := b.open(ctx, s.name, s.prefix)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Put(ctx, state.Write{Key: "a.b", Value: []byte("one")}, "1.1"); err != nil {
		t.Fatal(err)
	}
	f := &follower{stream: before, subjects: []string{s.prefix + ">"}, stamps: true}
	_, p, err := f.open(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer p.stop()
	if err := p.ask(1); err != nil {
		t.Fatal(err)
	}
	if m, err := p.next(); err != nil || len(m.Data) != 0 || string(stampOf(m.Header)) != "1.1" {
		t.Errorf("a follower of stamps is sent %q with %q, %v", m.Data, m.Header, err)
	}
	f.last = 1
	ended, caughtUp := make(chan error, 1), make(chan struct{}, 1)
	go func() { ended <- s.Follow(ctx, func(state.Change) {}, func() { caughtUp <- struct{}{} }) }()
	next(t, caughtUp)
	if err := b.js.DeleteStream(ctx, s.name); err != nil {
		t.Fatal(err)
	}
	if err := next(t, ended); err == nil || ctx.Err() != nil {
		t.Fatalf("following ended with %v", err)
	}
	go func() { ended <- s.Follow(ctx, func(state.Change) {}, func() { caughtUp <- struct{}{} }) }()
	next(t, caughtUp)
	for _, key := range []string{"a.b", "a.c"} {
		if _, err := s.Put(ctx, state.Write{Key: key, Value: []byte("one")}, "1.1"); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := f.open(ctx); !errors.Is(err, errRewind) {
		t.Errorf("who followed the old one goes on with %v", err)
	}
}
