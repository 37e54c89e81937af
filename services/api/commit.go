package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/rekindle-dev/rekindle/pkg/audit"
	"github.com/rekindle-dev/rekindle/pkg/state"
)

// put is a record to be made, or to be written over one of a revision. Nil in
// place of a record removes that one.
type put struct {
	key    string
	record any
	over   state.Revision
}

// commit makes the writes, all or none, tells them as the deed, and returns the revision
// of the last. It returns state.ErrConflict when there is a record already that was to be made, or
// one is not of the revision any more.
func (s *Service) commit(ctx context.Context, d deed, puts ...put) (state.Revision, error) {
	writes, err := encode(puts...)
	if err != nil {
		return 0, err
	}
	rev, err := s.write(ctx, d, writes...)
	if errors.Is(err, state.ErrConflict) {
		return 0, err
	}
	return rev, unavailable(err)
}

// encode returns the writes.
func encode(puts ...put) ([]state.Write, error) {
	writes := make([]state.Write, len(puts))
	for i, p := range puts {
		writes[i] = state.Write{Key: p.key, Expect: p.over}
		if p.record == nil {
			continue
		}
		body, err := json.Marshal(p.record)
		if err != nil {
			return nil, fmt.Errorf("encode %s: %w", p.key, err)
		}
		writes[i].Value = body
	}
	return writes, nil
}

// toldRecord is the pointer to a record that can be told of.
type toldRecord[T any] interface {
	*T
	told
}

// amend is amendWith for a change that no other writes go with.
func amend[T any, P toldRecord[T]](ctx context.Context, s *Service, d deed, key string, change func(*T) error) (*T, state.Revision, error) {
	return amendWith[T, P](ctx, s, d, key, func(record *T) ([]put, error) { return nil, change(record) })
}

// amendWith changes a record by compare-and-swap, tells it as the deed, which is of the
// record, and returns it with its revision:
// of two who change different members, both have their way. Change returns the
// further writes, which come first. It is called again whenever another writer was
// first: whatever it leaves elsewhere it must overwrite; its error ends the attempt,
// with nothing written, and is returned as it is. When it is errUnchanged, nothing is
// written, and amendWith returns the record and no revision. It returns ErrNotFound
// when there is no record, and ErrUnavailable.
func amendWith[T any, P toldRecord[T]](ctx context.Context, s *Service, d deed, key string, change func(*T) ([]put, error)) (*T, state.Revision, error) {
	return amendBy(ctx, s, key, change, func(record *T, puts []put) (state.Revision, error) {
		d.of = P(record)
		return s.commit(ctx, d, puts...)
	})
}

// amendQuietly is amend for what is nobody's doing and is not told.
func amendQuietly[T any](ctx context.Context, s *Service, key string, change func(*T) error) (*T, state.Revision, error) {
	return amendBy(ctx, s, key, func(record *T) ([]put, error) { return nil, change(record) }, func(_ *T, puts []put) (state.Revision, error) {
		writes, err := encode(puts...)
		if err != nil {
			return 0, err
		}
		rev, err := s.quietly(ctx, writes...)
		if errors.Is(err, state.ErrConflict) {
			return 0, err
		}
		return rev, unavailable(err)
	})
}

func amendBy[T any](ctx context.Context, s *Service, key string, change func(*T) ([]put, error), commit func(*T, []put) (state.Revision, error)) (*T, state.Revision, error) {
	for {
		record, rev, err := read[T](ctx, s, key)
		if err != nil {
			return nil, 0, err
		}
		puts, err := change(record)
		if errors.Is(err, errUnchanged) {
			return record, 0, nil
		}
		if err != nil {
			return nil, 0, err
		}
		rev, err = commit(record, append(puts, put{key, record, rev}))
		switch {
		case err == nil:
			return record, rev, nil
		case !errors.Is(err, state.ErrConflict):
			return nil, 0, err
		case ctx.Err() != nil:
			return nil, 0, unavailable(ctx.Err())
		}
	}
}

// read returns a record as the state holds it, ErrNotFound or ErrUnavailable.
func read[T any](ctx context.Context, s *Service, key string) (*T, state.Revision, error) {
	body, rev, err := s.deps.State.Get(ctx, key)
	if errors.Is(err, state.ErrNotFound) {
		return nil, 0, ErrNotFound
	}
	if err != nil {
		return nil, 0, unavailable(err)
	}
	record := new(T)
	if err := json.Unmarshal(body, record); err != nil {
		return nil, 0, fmt.Errorf("record %s: %w", key, err)
	}
	return record, rev, nil
}

// remove removes a record and whatever goes with it, and tells it: companions is given the record
// and returns the further writes, which come first; its error ends the attempt and
// is returned as it is. It returns ErrNotFound when the record is not there any more.
func remove[T any, P toldRecord[T]](ctx context.Context, s *Service, who Caller, key string, companions func(*T, state.Revision) ([]state.Write, error)) (state.Revision, error) {
	for {
		record, rev, err := read[T](ctx, s, key)
		if err != nil {
			return 0, err
		}
		writes, err := companions(record, rev)
		if err != nil {
			return 0, err
		}
		rev, err = s.write(ctx, did(who, audit.Deleted, P(record)), append(writes, state.Write{Key: key, Expect: rev})...)
		if errors.Is(err, state.ErrConflict) && ctx.Err() == nil {
			continue
		}
		return rev, unavailable(err)
	}
}

// erase removes a record that goes with another, of which is told. It returns ErrNotFound
// when it is not there any more.
func (s *Service) erase(ctx context.Context, key string) (state.Revision, error) {
	for {
		_, rev, err := s.deps.State.Get(ctx, key)
		if errors.Is(err, state.ErrNotFound) {
			return 0, ErrNotFound
		}
		if err != nil {
			return 0, unavailable(err)
		}
		rev, err = s.quietly(ctx, state.Write{Key: key, Expect: rev})
		if !errors.Is(err, state.ErrConflict) || ctx.Err() != nil {
			return rev, unavailable(err)
		}
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

// alone is what remove is given when nothing goes with the record.
func alone[T any](*T, state.Revision) ([]state.Write, error) { return nil, nil }

func ignoreNotFound(err error) error {
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}
