// Package statetest is for tests of what is built on package state: a store in
// memory, a store that fails on demand, and the suite that every store has to
// pass.
package statetest

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rekindle-dev/rekindle/pkg/state"
)

// Store is a state.Store in memory. It passes [Suite], keeps nothing when the
// program ends and never fails of itself; it works inside testing/synctest.
type Store struct {
	mu        sync.Mutex
	revisions map[state.Bucket]state.Revision // of the last write to each
	records   map[string]record
	followers map[*follower]bool
}

var _ state.Store = (*Store)(nil)

type record struct {
	value    []byte
	revision state.Revision
	end      time.Time // zero for none
}

// New returns an empty store.
func New() *Store {
	return &Store{revisions: make(map[state.Bucket]state.Revision), records: make(map[string]record), followers: make(map[*follower]bool)}
}

// Get implements state.Store.
func (s *Store) Get(ctx context.Context, key string) ([]byte, state.Revision, error) {
	if err := cmp.Or(ctx.Err(), state.CheckKey(key)); err != nil {
		return nil, 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire(key)
	r, ok := s.records[key]
	if !ok {
		return nil, 0, state.ErrNotFound
	}
	return bytes.Clone(r.value), r.revision, nil
}

// Commit implements state.Store.
func (s *Store) Commit(ctx context.Context, writes ...state.Write) (state.Revision, error) {
	if err := cmp.Or(ctx.Err(), state.CheckWrites(writes)); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range writes {
		s.expire(w.Key)
		if s.records[w.Key].revision != w.Expect {
			return 0, state.ErrConflict
		}
	}
	for _, w := range writes {
		s.write(w)
	}
	return s.revisions[state.BucketOf(writes[0].Key)], nil
}

// write makes one write whose expectation holds. The caller holds mu.
func (s *Store) write(w state.Write) {
	revision := s.revisions[state.BucketOf(w.Key)] + 1
	s.revisions[state.BucketOf(w.Key)] = revision
	switch {
	case w.Value == nil:
		delete(s.records, w.Key)
	case w.Life > 0:
		s.records[w.Key] = record{bytes.Clone(w.Value), revision, time.Now().Add(w.Life)}
	default:
		s.records[w.Key] = record{value: bytes.Clone(w.Value), revision: revision}
	}
	for f := range s.followers {
		f.tell(w.Key, w.Value, revision)
	}
}

// expire removes a record whose life is over. The caller holds mu.
func (s *Store) expire(key string) {
	if end := s.records[key].end; !end.IsZero() && !time.Now().Before(end) {
		delete(s.records, key)
	}
}

// Follow implements state.Store. A follower that is slow is waited for by
// nobody: what it has not been told yet is kept for it.
func (s *Store) Follow(ctx context.Context, patterns []string, apply func(state.Change), caughtUp func()) error {
	if err := state.CheckPatterns(patterns); err != nil {
		return err
	}
	f := s.join(patterns)
	defer s.leave(f)
	if err := s.deliver(ctx, f, apply); err != nil {
		return err
	}
	caughtUp()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-f.wake:
		}
		if err := s.deliver(ctx, f, apply); err != nil {
			return err
		}
	}
}

// join adds a follower whose queue holds every record there is.
func (s *Store) join(patterns []string) *follower {
	f := &follower{bucket: state.BucketOf(patterns[0]), wake: make(chan struct{}, 1)}
	for _, p := range patterns {
		f.patterns = append(f.patterns, strings.Split(p, "."))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for key := range s.records {
		s.expire(key)
	}
	for key, r := range s.records {
		f.tell(key, r.value, r.revision)
	}
	slices.SortFunc(f.queue, func(a, b state.Change) int { return cmp.Compare(a.Revision, b.Revision) })
	s.followers[f] = true
	return f
}

func (s *Store) leave(f *follower) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.followers, f)
}

// deliver applies what is in f's queue now.
func (s *Store) deliver(ctx context.Context, f *follower, apply func(state.Change)) error {
	s.mu.Lock()
	queue := f.queue
	f.queue = nil
	s.mu.Unlock()
	for _, c := range queue {
		if err := ctx.Err(); err != nil {
			return err
		}
		apply(c)
	}
	return ctx.Err()
}

// follower is one call of Follow. Its queue is guarded by the store's mutex.
type follower struct {
	patterns [][]string
	bucket   state.Bucket // of all of them
	queue    []state.Change
	wake     chan struct{} // holds a token when the queue may not be empty
}

// tell queues a change if f follows the key. The caller holds the store's mu.
func (f *follower) tell(key string, value []byte, revision state.Revision) {
	parts := strings.Split(key, ".")
	if state.BucketOf(key) != f.bucket || !slices.ContainsFunc(f.patterns, func(p []string) bool { return match(p, parts) }) {
		return
	}
	f.queue = append(f.queue, state.Change{Key: key, Value: bytes.Clone(value), Revision: revision})
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// match reports whether the parts of a key fit the parts of a pattern.
func match(pattern, key []string) bool {
	for i, p := range pattern {
		switch {
		case i == len(key):
			return false
		case p == ">":
			return true
		case p != "*" && p != key[i]:
			return false
		}
	}
	return len(pattern) == len(key)
}
