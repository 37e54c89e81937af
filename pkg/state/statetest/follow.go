package statetest

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/rekindle-dev/rekindle/pkg/state"
)

// told is one call of apply, or of caughtUp when ready is set.
type told struct {
	change state.Change
	ready  bool
}

// following is one running Follow and what it has told.
type following struct {
	ctx  context.Context
	stop context.CancelFunc
	told chan told
	err  chan error // holds what Follow returned
}

// follow starts a follower, which ends with the test.
func follow(t *testing.T, st state.Store, patterns ...string) *following {
	t.Helper()
	ctx, stop := context.WithCancel(patient(t))
	f := &following{ctx: ctx, stop: stop, told: make(chan told), err: make(chan error, 1)}
	say := func(c told) {
		select {
		case f.told <- c:
		case <-ctx.Done():
		}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		f.err <- st.Follow(ctx, patterns,
			func(c state.Change) { say(told{change: c}) },
			func() { say(told{ready: true}) })
	}()
	t.Cleanup(func() {
		stop()
		<-done
	})
	return f
}

func (f *following) wait(t *testing.T) told {
	t.Helper()
	select {
	case c := <-f.told:
		return c
	case err := <-f.err:
		t.Fatalf("follow ended: %v", err)
	case <-f.ctx.Done():
		t.Fatal("follow told nothing")
	}
	panic("unreachable")
}

// next returns the change that must be told now.
func (f *following) next(t *testing.T) state.Change {
	t.Helper()
	c := f.wait(t)
	if c.ready {
		t.Fatal("caughtUp was called, but a change was due")
	}
	return c.change
}

// caughtUp fails the test unless caughtUp is called now.
func (f *following) caughtUp(t *testing.T) {
	t.Helper()
	if c := f.wait(t); !c.ready {
		t.Fatalf("%s at revision %d was told, but caughtUp was due", c.change.Key, c.change.Revision)
	}
}

// expect fails the test unless the next change is this one. The value "" stands
// for a removal.
func (f *following) expect(t *testing.T, key, value string, revision state.Revision) {
	t.Helper()
	c := f.next(t)
	if c.Key != key || string(c.Value) != value || (c.Value == nil) != (value == "") || c.Revision != revision {
		t.Fatalf("told %s = %q at revision %d, want %s = %q at %d", c.Key, c.Value, c.Revision, key, value, revision)
	}
}

func testFollowEmpty(t *testing.T, st state.Store) {
	f := follow(t, st, "a.*")
	f.caughtUp(t)
	f.expect(t, "a.1", "one", commit(t, st, put("a.1", "one", 0)))
}

func testFollowReplay(t *testing.T, st state.Store) {
	first := commit(t, st, put("a.1", "one", 0))
	second := commit(t, st, put("a.2", "two", 0))
	gone := commit(t, st, put("a.3", "gone", 0))
	third := commit(t, st, put("a.1", "three", first)) // told at its new place
	commit(t, st, remove("a.3", gone))
	fourth := commit(t, st, put("a.4", "four", 0), put("a.5", "five", 0))
	f := follow(t, st, "a.*")
	f.expect(t, "a.2", "two", second)
	f.expect(t, "a.1", "three", third)
	f.expect(t, "a.4", "four", expect(t, st, "a.4", "four"))
	f.expect(t, "a.5", "five", fourth)
	f.caughtUp(t)
}

// testFollowLive shows also that caughtUp is called once only: any further
// call would stand between the changes.
func testFollowLive(t *testing.T, st state.Store) {
	commit(t, st, put("a.0", "zero", 0))
	f := follow(t, st, "a.*")
	f.next(t)
	f.caughtUp(t)
	var rev state.Revision
	for i := range 30 {
		value := fmt.Sprint(i)
		rev = commit(t, st, put("a.1", value, rev))
		f.expect(t, "a.1", value, rev)
	}
	// The writer does not wait for its follower.
	for i := range 30 {
		commit(t, st, put(fmt.Sprintf("a.x%d", i), "v", 0))
	}
	for i := range 30 {
		if c := f.next(t); c.Key != fmt.Sprintf("a.x%d", i) {
			t.Fatalf("told %s, want a.x%d", c.Key, i)
		}
	}
}

func testFollowRemovals(t *testing.T, st state.Store) {
	before := commit(t, st, put("a.1", "one", 0))
	f := follow(t, st, "a.*")
	f.expect(t, "a.1", "one", before)
	f.caughtUp(t)
	// Each change is awaited before the next is made, because a store need not
	// tell what was overtaken.
	gone := commit(t, st, remove("a.1", before))
	f.expect(t, "a.1", "", gone)
	again := commit(t, st, put("a.1", "again", 0))
	f.expect(t, "a.1", "again", again)
	f.expect(t, "a.1", "", commit(t, st, remove("a.1", again)))
	// Whoever comes later is not told of what is gone.
	late := follow(t, st, "a.*")
	late.caughtUp(t)
	late.expect(t, "a.2", "two", commit(t, st, put("a.2", "two", 0)))
}

func testFollowPatterns(t *testing.T, st state.Store) {
	keys := []string{"a", "a.1", "a.2", "a.1.x", "a.2.x", "a.1.y", "b.1", "b.1.x", "b.1.x.y", "ab.1", "c.1"}
	cases := []struct {
		patterns []string
		want     map[string]bool
	}{
		{[]string{">"}, set(keys...)},
		{[]string{"a"}, set("a")},
		{[]string{"a.*"}, set("a.1", "a.2")},
		{[]string{"a.>"}, set("a.1", "a.2", "a.1.x", "a.2.x", "a.1.y")},
		{[]string{"a.*.x"}, set("a.1.x", "a.2.x")},
		{[]string{"*.1"}, set("a.1", "b.1", "ab.1", "c.1")},
		{[]string{"b.1.>"}, set("b.1.x", "b.1.x.y")},
		{[]string{"a.1"}, set("a.1")},
		{[]string{"a.*", "b.*", "c.1"}, set("a.1", "a.2", "b.1", "c.1")},
		{[]string{"a", "b.>"}, set("a", "b.1", "b.1.x", "b.1.x.y")},
		{[]string{"nothing.*"}, set()},
	}
	// Half of the followers are there before the writes.
	early := make([]*following, len(cases))
	for i, c := range cases {
		early[i] = follow(t, st, c.patterns...)
		early[i].caughtUp(t)
	}
	revisions := make(map[string]state.Revision, len(keys))
	for _, key := range keys {
		revisions[key] = commit(t, st, put(key, "v", 0))
	}
	for i, c := range cases {
		late := follow(t, st, c.patterns...)
		for _, key := range keys {
			if c.want[key] {
				early[i].expect(t, key, "v", revisions[key])
				late.expect(t, key, "v", revisions[key])
			}
		}
		late.caughtUp(t)
		late.stop()
	}
	// Nothing else was on its way to the early ones.
	last := commit(t, st, put("a.1", "last", revisions["a.1"]))
	for i, c := range cases {
		if c.want["a.1"] {
			early[i].expect(t, "a.1", "last", last)
		}
	}
}

func set(keys ...string) map[string]bool {
	m := make(map[string]bool, len(keys))
	for _, key := range keys {
		m[key] = true
	}
	return m
}

// testFollowCommit follows commits of several writes, refused ones between.
func testFollowCommit(t *testing.T, st state.Store) {
	f := follow(t, st, "a.*")
	f.caughtUp(t)
	commit(t, st, put("a.1", "one", 0), put("b.1", "unseen", 0), put("a.2", "two", 0))
	r1, r2 := expect(t, st, "a.1", "one"), expect(t, st, "a.2", "two")
	f.expect(t, "a.1", "one", r1)
	f.expect(t, "a.2", "two", r2)
	refuse(t, st, state.ErrConflict, put("a.3", "torn", 0), put("a.1", "torn", 0))
	refuse(t, st, state.ErrConflict, put("a.1", "torn", 0))
	last := commit(t, st, put("a.1", "ONE", r1), remove("a.2", r2))
	f.expect(t, "a.1", "ONE", expect(t, st, "a.1", "ONE"))
	f.expect(t, "a.2", "", last)
}

func testFollowTwo(t *testing.T, st state.Store) {
	first := commit(t, st, put("a.1", "one", 0))
	slow := follow(t, st, "a.*")
	fast := follow(t, st, "a.*")
	fast.expect(t, "a.1", "one", first)
	fast.caughtUp(t)
	rev := first
	var revisions []state.Revision
	for i := range 50 {
		rev = commit(t, st, put("a.1", fmt.Sprint(i), rev))
		revisions = append(revisions, rev)
		fast.expect(t, "a.1", fmt.Sprint(i), rev)
	}
	fast.stop()
	if err := <-fast.err; !errors.Is(err, context.Canceled) {
		t.Errorf("follow returned %v, want context.Canceled", err)
	}
	// The slow one began somewhere among the writes and may skip some, but
	// comes to the last.
	at := state.Revision(0)
	for at != revisions[len(revisions)-1] {
		c := slow.wait(t)
		if c.ready {
			continue
		}
		if c.change.Revision <= at {
			t.Fatalf("revision %d was told after %d", c.change.Revision, at)
		}
		at = c.change.Revision
	}
}

// testFollowBusy starts followers while records are written, and holds what
// they were told against what is there in the end.
func testFollowBusy(t *testing.T, st state.Store) {
	const keys = 20
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		together(t, func(ctx context.Context) error { return churn(ctx, st, keys) })
	}()
	views := make([]*following, 3)
	for i := range views {
		views[i] = follow(t, st, "a.*", "end")
	}
	<-finished
	commit(t, st, put("end", "end", 0))
	for _, f := range views {
		view, caughtUp := f.collect(t, "end")
		switch caughtUp {
		case 0:
			f.caughtUp(t)
		case 1:
		default:
			t.Errorf("caughtUp was called %d times", caughtUp)
		}
		for i := range keys {
			key := fmt.Sprintf("a.%d", i)
			body, rev, err := st.Get(patient(t), key)
			if got := view[key]; err == nil && (got.Revision != rev || string(got.Value) != string(body)) {
				t.Errorf("%s is %q at revision %d, told %q at %d", key, body, rev, got.Value, got.Revision)
			} else if errors.Is(err, state.ErrNotFound) && got.Value != nil {
				t.Errorf("%s is gone, told %q at %d", key, got.Value, got.Revision)
			} else if err != nil && !errors.Is(err, state.ErrNotFound) {
				t.Error(err)
			}
		}
	}
}

// churn writes and removes records without regard to other writers.
func churn(ctx context.Context, st state.Store, keys int) error {
	for i := range rounds {
		key := fmt.Sprintf("a.%d", i*7%keys)
		_, rev, err := st.Get(ctx, key)
		if err != nil && !errors.Is(err, state.ErrNotFound) {
			return err
		}
		w := put(key, fmt.Sprint(i), rev)
		if rev != 0 && i%3 == 0 {
			w = remove(key, rev)
		}
		if _, err := st.Commit(ctx, w); err != nil && !errors.Is(err, state.ErrConflict) {
			return err
		}
	}
	return nil
}

// collect returns the last change of every key, up to the first change of the
// key last, and how often caughtUp was called.
func (f *following) collect(t *testing.T, last string) (view map[string]state.Change, caughtUp int) {
	t.Helper()
	view = make(map[string]state.Change)
	for at := state.Revision(0); ; {
		c := f.wait(t)
		if c.ready {
			caughtUp++
			continue
		}
		if c.change.Revision <= at {
			t.Fatalf("revision %d was told after %d", c.change.Revision, at)
		}
		at = c.change.Revision
		view[c.change.Key] = c.change
		if c.change.Key == last {
			return view, caughtUp
		}
	}
}

func testFollowStop(t *testing.T, st state.Store) {
	commit(t, st, put("a.1", "one", 0), put("a.2", "two", 0), put("a.3", "three", 0))
	idle := follow(t, st, "a.*")
	for range 3 {
		idle.next(t)
	}
	idle.caughtUp(t)
	replaying := follow(t, st, "a.*")
	replaying.next(t)
	for _, f := range []*following{idle, replaying} {
		f.stop()
		select {
		case err := <-f.err:
			if !errors.Is(err, context.Canceled) {
				t.Errorf("follow returned %v, want context.Canceled", err)
			}
		case <-patient(t).Done():
			t.Fatal("follow did not return after its context ended")
		}
	}
	// A follower that is gone is in nobody's way.
	commit(t, st, put("a.4", "four", 0))
}

func testFollowMalformed(t *testing.T, st state.Store) {
	for _, patterns := range [][]string{
		nil, {""}, {"a."}, {".a"}, {"a..b"}, {"a.>.b"}, {">.a"}, {"a*"}, {"a.b>"}, {"a.**"}, {"a b"}, {"a.*", ""},
	} {
		err := st.Follow(patient(t), patterns,
			func(state.Change) { t.Errorf("patterns %q: apply was called", patterns) },
			func() { t.Errorf("patterns %q: caughtUp was called", patterns) })
		if !errors.Is(err, state.ErrMalformed) {
			t.Errorf("patterns %q: got error %v, want ErrMalformed", patterns, err)
		}
	}
}
