package api

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/rekindle-dev/rekindle/pkg/audit"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state"
)

// healPause is how long a healer waits at most for the projection to move after
// it could do nothing.
const healPause = time.Second

// heal puts right what deletes have left, or ends what is pending, as next has it
// and wake tells, until ctx ends, and returns ctx's error. Every process that runs
// does so; when two come to the same, the second finds that it is done.
func (s *Service) heal(ctx context.Context, next func() (orphan, bool), wake <-chan struct{}) error {
	for ctx.Err() == nil {
		o, found := next()
		if !found {
			select {
			case <-wake:
			case <-ctx.Done():
			}
			continue
		}
		seen := s.view.at()
		err := s.mend(ctx, o)
		if err == nil {
			continue
		}
		if !errors.Is(err, ErrNotFound) && ctx.Err() == nil {
			s.deps.Logger.WarnContext(ctx, "what is half done could not be put right", "key", o.id, "error", err)
		}
		s.view.move(ctx, seen, healPause)
	}
	return ctx.Err()
}

// errCared ends the healing of what the state does not show to be an orphan.
var errCared = errors.New("the state and the projection do not agree")

// mend puts one orphan right, and returns when the projection shows it. That
// its parent is gone it asks the state again, because a mistake here would
// delete what somebody needs.
func (s *Service) mend(ctx context.Context, o orphan) error {
	switch o.prefix {
	case secret.PrefixEnvironment:
		return s.mendEnvironment(ctx, o.id)
	case secret.PrefixHost:
		return s.mendHost(ctx, o.id)
	case secret.PrefixCallback:
		return s.mendCallback(ctx, o.id)
	case secret.PrefixNote:
		return s.mendNotes(ctx, o.id)
	case secret.PrefixDataElement:
		return s.mendElement(ctx, o.id)
	case secret.PrefixLibrary:
		return s.mendLibrary(ctx, o.id)
	case secret.PrefixBuild:
		return s.mendBuild(ctx, o.id)
	default:
		return s.mendSecret(ctx, o.id)
	}
}

// mendElement removes a data element whose property is gone.
func (s *Service) mendElement(ctx context.Context, id string) error {
	e, _, err := read[DataElement](ctx, s, state.DataElementKey(id))
	if err != nil {
		return err
	}
	if cared, err := s.exists(ctx, state.PropertyKey(e.Property)); err != nil || cared {
		return cmp.Or(err, errCared)
	}
	rev, err := remove(ctx, s, Caller{}, state.DataElementKey(id), alone[DataElement])
	if err != nil {
		return err
	}
	return s.view.wait(ctx, rev)
}

// mendLibrary removes a library whose property is gone, and takes one out of an
// environment that is.
func (s *Service) mendLibrary(ctx context.Context, id string) error {
	l, rev, err := read[Library](ctx, s, state.LibraryKey(id))
	if err != nil {
		return err
	}
	cared, err := s.exists(ctx, state.PropertyKey(l.Property))
	switch {
	case err != nil:
		return err
	case !cared:
		rev, err = s.removeLibrary(ctx, Caller{}, id, func(*Library) error { return nil })
	case l.Environment != "":
		if cared, err = s.exists(ctx, state.EnvironmentKey(l.Environment)); err != nil || cared {
			return cmp.Or(err, errCared)
		}
		gone := l.Environment
		_, rev, err = amendWith(ctx, s, did(Caller{}, audit.Updated, nil), state.LibraryKey(id), func(l *Library) ([]put, error) {
			if l.Environment != gone {
				return nil, errUnchanged
			}
			return s.leave(ctx, l)
		})
		if err == nil && rev == 0 {
			err = ErrNotFound // as it was seen it is no more
		}
	}
	if err != nil {
		return err
	}
	return s.view.wait(ctx, rev)
}

// mendEnvironment removes an environment whose property is gone.
func (s *Service) mendEnvironment(ctx context.Context, id string) error {
	s.view.mu.RLock()
	e, known := s.view.environments.get(id)
	s.view.mu.RUnlock()
	if !known {
		return nil
	}
	if cared, err := s.exists(ctx, state.PropertyKey(e.Property)); err != nil || cared {
		return cmp.Or(err, errCared)
	}
	rev, err := s.removeEnvironment(ctx, Caller{}, id)
	if err != nil {
		return err
	}
	return s.view.wait(ctx, rev)
}

// mendHost removes a host whose property is gone.
func (s *Service) mendHost(ctx context.Context, id string) error {
	rev, err := remove(ctx, s, Caller{}, state.HostKey(id), func(h *Host, _ state.Revision) ([]state.Write, error) {
		cared, err := s.exists(ctx, state.PropertyKey(h.Property))
		if err == nil && cared {
			err = errCared
		}
		return nil, err
	})
	if err != nil {
		return err
	}
	return s.view.wait(ctx, rev)
}

// mendNotes removes the notes on something that is gone. What says that there are
// some, note by note, goes last, so that whoever is interrupted knows what is left.
func (s *Service) mendNotes(ctx context.Context, owner string) error {
	if cared, err := s.lives(ctx, owner); err != nil || cared {
		return cmp.Or(err, errCared)
	}
	rev, err := s.removeNotes(ctx, owner)
	if err != nil {
		return err
	}
	return s.view.wait(ctx, rev)
}

// mendSecret deletes a secret whose property is gone, and detaches one whose
// environment is.
func (s *Service) mendSecret(ctx context.Context, id string) error {
	orphaned, rev, err := s.secrets.Get(ctx, id)
	if errors.Is(err, state.ErrNotFound) {
		return ErrNotFound
	}
	if err != nil {
		return unavailable(err)
	}
	if !orphaned.DeletedAt.IsZero() {
		return s.view.wait(ctx, rev)
	}
	cared, err := s.exists(ctx, state.PropertyKey(orphaned.Property))
	if err != nil {
		return err
	}
	if !cared {
		return s.deleteSecret(ctx, Caller{}, id)
	}
	if orphaned.Environment == "" {
		return s.view.wait(ctx, rev)
	}
	if cared, err = s.exists(ctx, state.EnvironmentKey(orphaned.Environment)); err != nil || cared {
		return cmp.Or(err, errCared)
	}
	return s.detach(ctx, id, orphaned.Environment)
}

// detach takes a secret out of an environment that is gone.
func (s *Service) detach(ctx context.Context, id, environment string) error {
	now := s.now()
	var detached *secret.Secret
	_, rev, err := s.telling(func() deed {
		return deed{verb: audit.Updated, of: tellSecret{detached}, says: []saying{sayUpdated(detached, secret.Actor{}, []string{"environment"})}}
	}).Update(ctx, id, func(d *secret.Secret) error {
		detached = d
		if !d.DeletedAt.IsZero() || d.Environment != environment {
			return errGone
		}
		d.Detach(now)
		return nil
	})
	switch {
	case errors.Is(err, errGone), errors.Is(err, state.ErrNotFound):
		return ErrNotFound
	case err != nil:
		return unavailable(err)
	}
	return s.view.wait(ctx, rev)
}
