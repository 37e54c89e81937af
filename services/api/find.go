package api

import (
	"context"
	"errors"

	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state"
)

// keyOf returns the key of the record of an id, "" for what has not the form of
// one and must not come near a key.
func keyOf(prefix secret.Prefix, id string, key func(string) string) string {
	if !secret.ValidID(prefix, id) {
		return ""
	}
	return key(id)
}

// find returns what look finds in the projection, which is locked for it. When
// that is nothing, another process may just have made the record: find waits
// until the projection has come to what the state holds, and looks again. The
// error is look's or ErrUnavailable.
func find[T any](ctx context.Context, s *Service, key string, look func() (T, error)) (T, error) {
	locked := func() (T, error) {
		s.view.mu.RLock()
		defer s.view.mu.RUnlock()
		return look()
	}
	found, err := locked()
	if !errors.Is(err, ErrNotFound) || key == "" {
		return found, err
	}
	_, rev, stateErr := s.deps.State.Get(ctx, key)
	switch {
	case errors.Is(stateErr, state.ErrNotFound):
		return found, err
	case stateErr != nil:
		return found, unavailable(stateErr)
	}
	if err := s.view.wait(ctx, rev); err != nil {
		return found, unavailable(err)
	}
	return locked()
}
