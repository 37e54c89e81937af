package statetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rekindle-dev/rekindle/pkg/state"
)

// patience bounds every wait of the suite, so that a store which never answers
// fails a test instead of holding it up. No test measures time.
const patience = time.Minute

// Suite is what package state promises, as tests. Every implementation passes
// it. Open returns an empty store and leaves its closing to t.Cleanup; it is
// called once for each test, and the tests run in parallel.
func Suite(t *testing.T, open func(t *testing.T) state.Store) {
	for _, test := range []struct {
		name string
		run  func(t *testing.T, st state.Store)
	}{
		{"get what was committed", testGet},
		{"expect", testExpect},
		{"remove and create again", testRemove},
		{"revisions", testRevisions},
		{"all or nothing", testAtomic},
		{"mixed commit", testMixed},
		{"largest", testLargest},
		{"life", testLife},
		{"buckets", testBuckets},
		{"malformed", testMalformed},
		{"ended context", testEndedContext},
		{"bytes are not shared", testOwnership},
		{"no update is lost", testCounter},
		{"no commit is torn", testPair},
		{"one creator", testCreators},
		{"follow nothing", testFollowEmpty},
		{"follow replay", testFollowReplay},
		{"follow live", testFollowLive},
		{"follow removals", testFollowRemovals},
		{"follow patterns", testFollowPatterns},
		{"follow a commit", testFollowCommit},
		{"two followers", testFollowTwo},
		{"follow while writing", testFollowBusy},
		{"follow and stop", testFollowStop},
		{"follow malformed", testFollowMalformed},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.run(t, open(t))
		})
	}
}

func patient(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func put(key, value string, expect state.Revision) state.Write {
	return state.Write{Key: key, Value: []byte(value), Expect: expect}
}

func remove(key string, expect state.Revision) state.Write {
	return state.Write{Key: key, Expect: expect}
}

func commit(t *testing.T, st state.Store, writes ...state.Write) state.Revision {
	t.Helper()
	rev, err := st.Commit(patient(t), writes...)
	if err != nil {
		t.Fatalf("commit of %s: %v", keysOf(writes), err)
	}
	if rev == 0 {
		t.Fatalf("commit of %s returned revision 0", keysOf(writes))
	}
	return rev
}

func refuse(t *testing.T, st state.Store, want error, writes ...state.Write) {
	t.Helper()
	if _, err := st.Commit(patient(t), writes...); !errors.Is(err, want) {
		t.Errorf("commit of %s: got error %v, want %v", keysOf(writes), err, want)
	}
}

func keysOf(writes []state.Write) string {
	var keys []string
	for _, w := range writes[:min(len(writes), 5)] {
		keys = append(keys, fmt.Sprintf("%.40q", w.Key))
	}
	return fmt.Sprintf("%d writes %s", len(writes), strings.Join(keys, " "))
}

// expect fails the test unless the record is there with the value, and returns
// its revision. The value "" stands for no record.
func expect(t *testing.T, st state.Store, key, value string) state.Revision {
	t.Helper()
	got, rev, err := st.Get(patient(t), key)
	switch {
	case value == "" && (!errors.Is(err, state.ErrNotFound) || rev != 0):
		t.Errorf("get %s: got %q, revision %d, error %v; want ErrNotFound", key, got, rev, err)
	case value != "" && (err != nil || string(got) != value || rev == 0):
		t.Errorf("get %s: got %q, revision %d, error %v; want %q", key, got, rev, err, value)
	}
	return rev
}

func testGet(t *testing.T, st state.Store) {
	expect(t, st, "a.1", "")
	first := commit(t, st, put("a.1", "one", 0))
	if rev := expect(t, st, "a.1", "one"); rev != first {
		t.Errorf("get returned revision %d, commit %d", rev, first)
	}
	second := commit(t, st, put("a.1", "two", first))
	if rev := expect(t, st, "a.1", "two"); rev != second {
		t.Errorf("get returned revision %d, commit %d", rev, second)
	}
	expect(t, st, "a", "")
	expect(t, st, "a.2", "")
	expect(t, st, "a.1.x", "")
	expect(t, st, "A.1", "") // keys differ by case
}

func testExpect(t *testing.T, st state.Store) {
	first := commit(t, st, put("a.1", "one", 0))
	refuse(t, st, state.ErrConflict, put("a.1", "again", 0))
	refuse(t, st, state.ErrConflict, put("a.2", "absent", first))
	refuse(t, st, state.ErrConflict, put("a.1", "ahead", first+100))
	second := commit(t, st, put("a.1", "two", first))
	refuse(t, st, state.ErrConflict, put("a.1", "late", first))
	refuse(t, st, state.ErrConflict, remove("a.1", first))
	refuse(t, st, state.ErrConflict, remove("a.2", second))
	// A revision is of the record, not of the store: writes elsewhere do not
	// make it stale.
	commit(t, st, put("b.1", "other", 0))
	commit(t, st, put("a.1", "three", second))
	expect(t, st, "a.1", "three")
	expect(t, st, "a.2", "")
}

func testRemove(t *testing.T, st state.Store) {
	first := commit(t, st, put("a.1", "one", 0))
	gone := commit(t, st, remove("a.1", first))
	if gone <= first {
		t.Errorf("the removal has revision %d, the record had %d", gone, first)
	}
	expect(t, st, "a.1", "")
	refuse(t, st, state.ErrConflict, put("a.1", "late", first))
	refuse(t, st, state.ErrConflict, remove("a.1", first))
	again := commit(t, st, put("a.1", "again", 0))
	if again <= gone {
		t.Errorf("created again at revision %d, after %d", again, gone)
	}
	refuse(t, st, state.ErrConflict, put("a.1", "late", first))
	refuse(t, st, state.ErrConflict, put("a.1", "twice", 0))
	expect(t, st, "a.1", "again")

	// The same within commits of several writes.
	both := commit(t, st, remove("a.1", again), put("a.2", "x", 0))
	commit(t, st, put("a.1", "third", 0), remove("a.2", both))
	expect(t, st, "a.1", "third")
	expect(t, st, "a.2", "")
	refuse(t, st, state.ErrConflict, put("a.1", "twice", 0), put("a.3", "y", 0))
	commit(t, st, put("a.2", "z", 0), put("a.3", "y", 0))
}

func testRevisions(t *testing.T, st state.Store) {
	var last state.Revision
	for i := range 20 {
		writes := []state.Write{put(fmt.Sprintf("a.%d", i), "a", 0), put(fmt.Sprintf("b.%d", i), "b", 0), put(fmt.Sprintf("c.%d", i), "c", 0)}
		rev := commit(t, st, writes[:i%3+1]...)
		before := last
		for _, w := range writes[:i%3+1] {
			got := expect(t, st, w.Key, string(w.Value))
			if got <= before {
				t.Fatalf("%s has revision %d, the write before it %d", w.Key, got, before)
			}
			before = got
		}
		if before != rev {
			t.Fatalf("commit %d returned %d, its last write has %d", i, rev, before)
		}
		last = rev
	}
}

// testAtomic puts every kind of unmet expectation at every place of a commit.
func testAtomic(t *testing.T, st state.Store) {
	stale := commit(t, st, put("old.1", "one", 0))
	held := commit(t, st, put("old.1", "two", stale))
	gone := commit(t, st, put("gone.1", "one", 0))
	commit(t, st, remove("gone.1", gone))
	for name, bad := range map[string]state.Write{
		"exists":        put("old.1", "new", 0),
		"stale":         put("old.1", "new", stale),
		"stale removal": remove("old.1", stale),
		"absent":        put("absent.1", "new", held),
		"gone":          put("gone.1", "new", gone),
		"gone removal":  remove("gone.1", gone),
	} {
		for place := range 4 {
			writes := []state.Write{put("new.1", "n", 0), put("new.2", "n", 0), put("new.3", "n", 0)}
			writes = append(writes[:place:place], append([]state.Write{bad}, writes[place:]...)...)
			refuse(t, st, state.ErrConflict, writes...)
			for _, key := range []string{"new.1", "new.2", "new.3", "absent.1", "gone.1"} {
				expect(t, st, key, "")
			}
			if rev := expect(t, st, "old.1", "two"); rev != held {
				t.Errorf("%s at %d: old.1 has revision %d, was %d", name, place, rev, held)
			}
			if t.Failed() {
				t.Fatalf("with %q at place %d", name, place)
			}
		}
	}
}

func testMixed(t *testing.T, st state.Store) {
	commit(t, st, put("a.1", "one", 0), put("a.2", "two", 0))
	r1, r2 := expect(t, st, "a.1", "one"), expect(t, st, "a.2", "two")
	commit(t, st, remove("a.1", r1), put("a.2", "TWO", r2), put("a.3", "three", 0))
	expect(t, st, "a.1", "")
	expect(t, st, "a.2", "TWO")
	expect(t, st, "a.3", "three")
}

// testLife holds that a record goes when its life is over, not before, and that its place is
// free then; a write without a life gives it none.
func testLife(t *testing.T, st state.Store) {
	const life = 2 * time.Second
	born := time.Now()
	passing := put("a.1", "passing", 0)
	passing.Life = life
	kept := put("a.2", "short", 0)
	kept.Life = life
	commit(t, st, put("a.3", "kept", 0), passing, kept)
	commit(t, st, put("a.2", "kept", expect(t, st, "a.2", "short")))
	for ctx := patient(t); ; {
		_, err := st.Commit(ctx, put("a.1", "again", 0))
		if err == nil {
			break
		}
		if !errors.Is(err, state.ErrConflict) {
			t.Fatal(err)
		}
	}
	if lived := time.Since(born); lived < life/2 {
		t.Errorf("the record was gone after %v", lived)
	}
	expect(t, st, "a.1", "again")
	expect(t, st, "a.2", "kept")
	expect(t, st, "a.3", "kept")
	for _, wrong := range []time.Duration{-time.Second, time.Millisecond} {
		w := put("a.4", "v", 0)
		w.Life = wrong
		refuse(t, st, state.ErrMalformed, w)
	}
	gone := remove("a.3", expect(t, st, "a.3", "kept"))
	gone.Life = life
	refuse(t, st, state.ErrMalformed, gone)
}

func testLargest(t *testing.T, st state.Store) {
	writes := make([]state.Write, state.MaxCommit)
	for i := range writes {
		writes[i] = put(fmt.Sprintf("a.%d", i), strconv.Itoa(i), 0)
	}
	rev := commit(t, st, writes...)
	if got := expect(t, st, writes[state.MaxCommit-1].Key, strconv.Itoa(state.MaxCommit-1)); got != rev {
		t.Errorf("the last write has revision %d, commit returned %d", got, rev)
	}
	expect(t, st, "a.0", "0")

	key := "k." + strings.Repeat("x", state.MaxKey-2)
	value := strings.Repeat("v", state.MaxValue)
	first := commit(t, st, put(key, value, 0))
	if got, _, err := st.Get(patient(t), key); err != nil || string(got) != value {
		t.Errorf("the largest record came back as %d bytes, error %v", len(got), err)
	}
	commit(t, st, remove(key, first), put("k.other", value, 0))
	expect(t, st, key, "")
}

func testMalformed(t *testing.T, st state.Store) {
	for _, key := range []string{
		"", ".", "a.", ".a", "a..b", "a b", "a.b c", " a", "a\n", "*", "a.*", "a.*.b", ">", "a.>",
		"a/b", "a$b", "ä.1", "a.\x00", "a." + strings.Repeat("x", state.MaxKey),
	} {
		refuse(t, st, state.ErrMalformed, put(key, "v", 0))
		refuse(t, st, state.ErrMalformed, put("good.1", "v", 0), put(key, "v", 0))
		if _, _, err := st.Get(patient(t), key); !errors.Is(err, state.ErrMalformed) {
			t.Errorf("get %.40q: got error %v, want ErrMalformed", key, err)
		}
	}
	refuse(t, st, state.ErrMalformed)
	refuse(t, st, state.ErrMalformed, put("good.1", "", 0))
	refuse(t, st, state.ErrMalformed, remove("good.1", 0))
	refuse(t, st, state.ErrMalformed, put("good.1", "a", 0), put("good.1", "b", 0))
	refuse(t, st, state.ErrMalformed, put("good.1", strings.Repeat("v", state.MaxValue+1), 0))
	many := make([]state.Write, state.MaxCommit+1)
	for i := range many {
		many[i] = put(fmt.Sprintf("good.%d", i), "v", 0)
	}
	refuse(t, st, state.ErrMalformed, many...)
	expect(t, st, "good.0", "")
	expect(t, st, "good.1", "")
	// Every letter a key may have.
	commit(t, st, put("aZ09-_=.x=2E_-", "v", 0))
	expect(t, st, "aZ09-_=.x=2E_-", "v")
}

// testBuckets holds that no commit and no follower spans two buckets, and that each
// is a store.
func testBuckets(t *testing.T, st state.Store) {
	secret, grant, artifact := state.SecretKey("SE1"), state.GrantKey("SE1"), state.ArtifactKey("EN1", "SE1")
	refuse(t, st, state.ErrMalformed, put(secret, "v", 0), put(grant, "v", 0))
	refuse(t, st, state.ErrMalformed, put(artifact, "v", 0), put(secret, "v", 0))
	host := state.EndpointKey("h")
	refuse(t, st, state.ErrMalformed, put(secret, "v", 0), put(host, "v", 0))
	for _, key := range []string{secret, grant, artifact, host} {
		expect(t, st, key, "")
	}
	for _, patterns := range [][]string{{">", "grant.*"}, {"secret.*", "artifact.>"}, {"grant.*", "*.a"}, {"grant.*", "endpoint.*"}} {
		if err := st.Follow(patient(t), patterns, nil, nil); !errors.Is(err, state.ErrMalformed) {
			t.Errorf("patterns %q: got error %v, want ErrMalformed", patterns, err)
		}
	}
	rest, vault, hosts := follow(t, st, ">"), follow(t, st, "grant.*", "artifact.*.*"), follow(t, st, state.EndpointKeys)
	rest.caughtUp(t)
	vault.caughtUp(t)
	hosts.caughtUp(t)
	hosts.expect(t, host, "h", commit(t, st, put(host, "h", 0)))
	first := commit(t, st, put(grant, "one", 0))
	vault.expect(t, grant, "one", first)
	rest.expect(t, secret, "v", commit(t, st, put(secret, "v", 0)))
	last := commit(t, st, put(grant, "two", first), put(artifact, "a", 0))
	vault.expect(t, grant, "two", last-1)
	vault.expect(t, artifact, "a", last)
	refuse(t, st, state.ErrConflict, put(grant, "late", first))
	refuse(t, st, state.ErrConflict, remove(grant, last), put(artifact, "late", last))
	removed := commit(t, st, remove(grant, last-1))
	vault.expect(t, grant, "", removed)
	expect(t, st, grant, "")
	expect(t, st, secret, "v")
	commit(t, st, put(grant, "again", 0))
	expect(t, st, grant, "again")

	late := follow(t, st, ">")
	late.expect(t, secret, "v", expect(t, st, secret, "v"))
	late.caughtUp(t)
}

func testEndedContext(t *testing.T, st state.Store) {
	rev := commit(t, st, put("a.1", "one", 0))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := st.Get(ctx, "a.1"); !errors.Is(err, context.Canceled) {
		t.Errorf("get: got error %v, want context.Canceled", err)
	}
	if _, err := st.Commit(ctx, put("a.1", "two", rev)); !errors.Is(err, context.Canceled) {
		t.Errorf("commit: got error %v, want context.Canceled", err)
	}
	if _, err := st.Commit(ctx, put("a.1", "two", rev), put("a.2", "two", 0)); !errors.Is(err, context.Canceled) {
		t.Errorf("commit of two: got error %v, want context.Canceled", err)
	}
	expect(t, st, "a.1", "one")
}

func testOwnership(t *testing.T, st state.Store) {
	one, two := []byte("one"), []byte("two")
	commit(t, st, state.Write{Key: "a.1", Value: one}, state.Write{Key: "a.2", Value: two})
	clear(one)
	clear(two)
	got, _, err := st.Get(patient(t), "a.1")
	if err != nil {
		t.Fatal(err)
	}
	clear(got)
	expect(t, st, "a.1", "one")

	a, b := follow(t, st, ">"), follow(t, st, "a.*")
	for _, f := range []*following{a, b} {
		for _, want := range []string{"one", "two"} {
			if c := f.next(t); string(c.Value) != want {
				t.Errorf("told %q, want %q", c.Value, want)
			} else {
				clear(c.Value)
			}
		}
		f.caughtUp(t)
	}
	rev := expect(t, st, "a.2", "two")
	three := []byte("three")
	commit(t, st, state.Write{Key: "a.2", Value: three, Expect: rev})
	clear(three)
	for _, f := range []*following{a, b} {
		c := f.next(t)
		if !bytes.Equal(c.Value, []byte("three")) {
			t.Errorf("told %q, want %q", c.Value, "three")
		}
		clear(c.Value)
	}
	expect(t, st, "a.2", "three")
}
