package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/rekindle-dev/rekindle/pkg/state"
)

// put is a record to be made.
type put struct {
	key    string
	record any
}

// commit makes new records, all or none, and returns the revision of the last.
// It returns state.ErrConflict when there is one of them already.
func (s *Service) commit(ctx context.Context, puts ...put) (state.Revision, error) {
	writes := make([]state.Write, len(puts))
	for i, p := range puts {
		body, err := json.Marshal(p.record)
		if err != nil {
			return 0, fmt.Errorf("encode %s: %w", p.key, err)
		}
		writes[i] = state.Write{Key: p.key, Value: body}
	}
	rev, err := s.deps.State.Commit(ctx, writes...)
	if errors.Is(err, state.ErrConflict) {
		return 0, err
	}
	return rev, unavailable(err)
}

// remove removes a record and whatever goes with it: companions returns the
// further writes, which come first. It returns ErrNotFound when the record is
// not there any more.
func (s *Service) remove(ctx context.Context, key string, companions func() ([]state.Write, error)) (state.Revision, error) {
	for {
		_, rev, err := s.deps.State.Get(ctx, key)
		if errors.Is(err, state.ErrNotFound) {
			return 0, ErrNotFound
		}
		if err != nil {
			return 0, unavailable(err)
		}
		writes, err := companions()
		if err != nil {
			return 0, unavailable(err)
		}
		rev, err = s.deps.State.Commit(ctx, append(writes, state.Write{Key: key, Expect: rev})...)
		if errors.Is(err, state.ErrConflict) && ctx.Err() == nil {
			continue
		}
		return rev, unavailable(err)
	}
}

// exists reports whether the state holds a record: the state itself, because
// what hangs on the answer cannot be undone.
func (s *Service) exists(ctx context.Context, key string) (bool, error) {
	_, _, err := s.deps.State.Get(ctx, key)
	if errors.Is(err, state.ErrNotFound) {
		return false, nil
	}
	return err == nil, unavailable(err)
}
