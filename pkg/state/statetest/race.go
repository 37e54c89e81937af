package statetest

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"

	"github.com/rekindle-dev/rekindle/pkg/state"
)

const (
	writers = 8
	rounds  = 25
	// commits is the rounds of commits of several writes, which are dear where
	// they are real.
	commits = 5
)

// testCounter counts by compare-and-swap from many goroutines.
func testCounter(t *testing.T, st state.Store) {
	commit(t, st, put("n.1", "0", 0))
	together(t, func(ctx context.Context) error {
		for done := 0; done < rounds; {
			body, rev, err := st.Get(ctx, "n.1")
			if err != nil {
				return err
			}
			n, err := strconv.Atoi(string(body))
			if err != nil {
				return err
			}
			_, err = st.Commit(ctx, put("n.1", strconv.Itoa(n+1), rev))
			if err == nil {
				done++
			} else if !errors.Is(err, state.ErrConflict) {
				return err
			}
		}
		return nil
	})
	expect(t, st, "n.1", strconv.Itoa(writers*rounds))
}

// testPair moves two counters together.
func testPair(t *testing.T, st state.Store) {
	commit(t, st, put("n.1", "0", 0), put("n.2", "0", 0))
	together(t, func(ctx context.Context) error {
		for done := 0; done < commits; {
			left, r1, err1 := st.Get(ctx, "n.1")
			right, r2, err2 := st.Get(ctx, "n.2")
			if err := errors.Join(err1, err2); err != nil {
				return err
			}
			if string(left) != string(right) {
				continue // another commit came between the two reads
			}
			n, err := strconv.Atoi(string(left))
			if err != nil {
				return err
			}
			next := strconv.Itoa(n + 1)
			_, err = st.Commit(ctx, put("n.1", next, r1), put("n.2", next, r2))
			if err == nil {
				done++
			} else if !errors.Is(err, state.ErrConflict) {
				return err
			}
		}
		return nil
	})
	expect(t, st, "n.1", strconv.Itoa(writers*commits))
	expect(t, st, "n.2", strconv.Itoa(writers*commits))
}

// testCreators lets many goroutines create the same records.
func testCreators(t *testing.T, st state.Store) {
	var mu sync.Mutex
	won := 0
	together(t, func(ctx context.Context) error {
		for i := range commits {
			_, err := st.Commit(ctx, put(fmt.Sprintf("name.%d", i), "held", 0), put(fmt.Sprintf("thing.%d", i), "made", 0))
			if err == nil {
				mu.Lock()
				won++
				mu.Unlock()
			} else if !errors.Is(err, state.ErrConflict) {
				return err
			}
		}
		return nil
	})
	if won != commits {
		t.Errorf("%d of %d creations succeeded, want one for each of %d records", won, writers*commits, commits)
	}
}

// together runs several writers at the same time and waits for them.
func together(t *testing.T, write func(ctx context.Context) error) {
	t.Helper()
	ctx := patient(t)
	var group sync.WaitGroup
	for range writers {
		group.Go(func() {
			if err := write(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
}
