package statetest

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/rekindle-dev/rekindle/pkg/state"
)

// ErrFault is what a Faulty store answers when it fails.
var ErrFault = errors.New("the store failed")

// When says where in a commit a fault strikes.
type When int

// The moments of a fault.
const (
	// Before: nothing was written, and the caller is told of an error.
	Before When = iota
	// After: everything was written, and the caller is told of an error.
	After
	// Hang: nothing was written, and the caller is told nothing until its
	// context ends.
	Hang
)

func (w When) String() string { return [...]string{"before", "after", "hang"}[w] }

// Faulty is a store that fails on demand, for tests of what a crash or a lost
// answer leaves behind: run once without a fault to learn the commits, then
// once for each of them and each moment. The removal of what is passing is no commit
// to learn or to let fail. It is safe for concurrent use.
type Faulty struct {
	inner state.Store

	mu      sync.Mutex
	log     [][]string
	faults  map[int]fault
	crashed bool
}

type fault struct {
	when  When
	crash bool
}

var _ state.Store = (*Faulty)(nil)

// NewFaulty returns a store that does what inner does until it is told to
// fail. A second one over the same inner store is the program started again.
func NewFaulty(inner state.Store) *Faulty {
	return &Faulty{inner: inner, faults: make(map[int]fault)}
}

// FailCommit lets the n-th commit from the beginning fail, counted from 1, and
// no other.
func (f *Faulty) FailCommit(n int, when When) { f.set(n, fault{when: when}) }

// Crash lets the n-th commit from the beginning fail, counted from 1, and with
// it every later call: for the program that uses the store, the world ends.
func (f *Faulty) Crash(n int, when When) { f.set(n, fault{when, true}) }

// Commits returns the keys of every commit so far, those that failed included.
func (f *Faulty) Commits() [][]string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([][]string(nil), f.log...)
}

// Crashed reports whether the fault set by Crash has struck.
func (f *Faulty) Crashed() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.crashed
}

// Get implements state.Store.
func (f *Faulty) Get(ctx context.Context, key string) ([]byte, state.Revision, error) {
	if f.Crashed() {
		return nil, 0, ErrFault
	}
	return f.inner.Get(ctx, key)
}

// Follow implements state.Store. A crash is noticed only at the next call.
func (f *Faulty) Follow(ctx context.Context, patterns []string, apply func(state.Change), caughtUp func()) error {
	if f.Crashed() {
		return ErrFault
	}
	return f.inner.Follow(ctx, patterns, apply, caughtUp)
}

// Commit implements state.Store.
func (f *Faulty) Commit(ctx context.Context, writes ...state.Write) (state.Revision, error) {
	now, struck := f.enter(writes)
	if !struck {
		return f.inner.Commit(ctx, writes...)
	}
	switch now.when {
	case After:
		if rev, err := f.inner.Commit(ctx, writes...); err != nil {
			return rev, err // a conflict, say: there was nothing to lose an answer to
		}
	case Hang:
		<-ctx.Done()
		return 0, ctx.Err()
	}
	return 0, ErrFault
}

// enter notes the commit and returns the fault that strikes it, if any.
func (f *Faulty) enter(writes []state.Write) (fault, bool) {
	keys := make([]string, len(writes))
	for i, w := range writes {
		keys[i] = w.Key
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	counts := slices.ContainsFunc(writes, lasting)
	if counts {
		f.log = append(f.log, keys)
	}
	switch {
	case f.crashed:
		return fault{when: Before}, true
	case !counts:
		return fault{}, false
	}
	now, struck := f.faults[len(f.log)]
	f.crashed = now.crash
	return now, struck
}

// lasting tells a write from the removal of what was passing, which comes some time
// after the commit that is to be tried.
func lasting(w state.Write) bool { return w.Value != nil || !state.Passing(w.Key) }

func (f *Faulty) set(n int, now fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults[n] = now
}
