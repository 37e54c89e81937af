package statetest_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/pkg/state/statetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestStore(t *testing.T) {
	t.Parallel()
	statetest.Suite(t, func(*testing.T) state.Store { return statetest.New() })
}

// A Faulty that is told nothing is a store like any other.
func TestFaultyWithoutFault(t *testing.T) {
	t.Parallel()
	statetest.Suite(t, func(*testing.T) state.Store { return statetest.NewFaulty(statetest.New()) })
}

func TestFailCommit(t *testing.T) {
	t.Parallel()
	for _, when := range []statetest.When{statetest.Before, statetest.After} {
		t.Run(when.String(), func(t *testing.T) {
			t.Parallel()
			inner := statetest.New()
			f := statetest.NewFaulty(inner)
			f.FailCommit(2, when)
			for i, key := range []string{"a.1", "a.2", "a.3"} {
				_, err := f.Commit(t.Context(), state.Write{Key: key, Value: []byte("v")})
				if failed := errors.Is(err, statetest.ErrFault); failed != (i == 1) {
					t.Errorf("commit %d: error %v", i+1, err)
				}
				_, _, err = inner.Get(t.Context(), key)
				if lost := errors.Is(err, state.ErrNotFound); lost != (i == 1 && when == statetest.Before) {
					t.Errorf("record %d: error %v", i+1, err)
				}
			}
			want := [][]string{{"a.1"}, {"a.2"}, {"a.3"}}
			if diff := cmp.Diff(want, f.Commits()); diff != "" {
				t.Errorf("log of commits (-want +got):\n%s", diff)
			}
			if f.Crashed() {
				t.Error("a single fault counts as a crash")
			}
		})
	}
}

func TestFailCommitAfterConflict(t *testing.T) {
	t.Parallel()
	f := statetest.NewFaulty(statetest.New())
	f.FailCommit(1, statetest.After)
	_, err := f.Commit(t.Context(), state.Write{Key: "a.1", Value: []byte("v"), Expect: 7})
	if !errors.Is(err, state.ErrConflict) {
		t.Errorf("got error %v, want ErrConflict", err)
	}
}

func TestHang(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := statetest.NewFaulty(statetest.New())
		f.FailCommit(1, statetest.Hang)
		ctx, cancel := context.WithCancel(t.Context())
		answer := make(chan error, 1)
		go func() {
			_, err := f.Commit(ctx, state.Write{Key: "a.1", Value: []byte("v")})
			answer <- err
		}()
		synctest.Wait()
		select {
		case err := <-answer:
			t.Fatalf("the commit returned: %v", err)
		default:
		}
		cancel()
		if err := <-answer; !errors.Is(err, context.Canceled) {
			t.Errorf("got error %v, want context.Canceled", err)
		}
	})
}

func TestCrash(t *testing.T) {
	t.Parallel()
	inner := statetest.New()
	f := statetest.NewFaulty(inner)
	f.Crash(2, statetest.After)
	write := func(st state.Store, key string) error {
		_, err := st.Commit(t.Context(), state.Write{Key: key, Value: []byte("v")})
		return err
	}
	if err := write(f, "a.1"); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"a.2", "a.3"} {
		if err := write(f, key); !errors.Is(err, statetest.ErrFault) {
			t.Errorf("commit of %s: got error %v, want ErrFault", key, err)
		}
	}
	_, _, get := f.Get(t.Context(), "a.1")
	follow := f.Follow(t.Context(), []string{">"}, func(state.Change) {}, func() {})
	if !errors.Is(get, statetest.ErrFault) || !errors.Is(follow, statetest.ErrFault) || !f.Crashed() {
		t.Errorf("after the crash: get %v, follow %v", get, follow)
	}
	// The program starts again.
	again := statetest.NewFaulty(inner)
	if _, _, err := again.Get(t.Context(), "a.2"); err != nil {
		t.Errorf("the write before the crash is lost: %v", err)
	}
	if _, _, err := again.Get(t.Context(), "a.3"); !errors.Is(err, state.ErrNotFound) {
		t.Errorf("a write after the crash: got error %v, want ErrNotFound", err)
	}
	if err := write(again, "a.3"); err != nil {
		t.Error(err)
	}
}
