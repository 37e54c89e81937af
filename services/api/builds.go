package api

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/rekindle-dev/rekindle/pkg/audit"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/services/api/auth"
)

// keptBuilds is how many builds of a library are kept: the last ones.
const keptBuilds = 10

// BuildsOfLibrary lists the builds of a library.
func (s *Service) BuildsOfLibrary(ctx context.Context, who Caller, id string, q Query[*Build]) (Page[*Build], error) {
	if _, err := s.Library(ctx, who, id); err != nil {
		return Page[*Build]{}, err
	}
	return list(s.view, q, func() (runs[*Build], error) {
		_, err := s.view.library(who, id)
		return s.view.builds.by(buildsOfLibrary, id), err
	})
}

// BuildsOfEnvironment lists the builds for an environment.
func (s *Service) BuildsOfEnvironment(ctx context.Context, who Caller, id string, q Query[*Build]) (Page[*Build], error) {
	if _, err := s.Environment(ctx, who, id); err != nil {
		return Page[*Build]{}, err
	}
	living := func(b *Build) bool { _, err := s.Library(ctx, who, b.Library); return err == nil }
	return list(s.view, q.among(living), func() (runs[*Build], error) { return s.view.builds.by(buildsOfEnvironment, id), nil })
}

// Build returns a build, ErrNotFound or ErrUnavailable.
func (s *Service) Build(ctx context.Context, who Caller, id string) (*Build, error) {
	return find(ctx, s, keyOf(secret.PrefixBuild, id, state.BuildKey), func() (*Build, error) {
		found, ok := s.view.builds.get(id)
		if !ok {
			return nil, ErrNotFound
		}
		_, err := s.view.library(who, found.Library)
		return found, err
	})
}

// CreateBuild begins a build of a library in the environment it is in, which takes
// the right to publish if that is one for production. Any api process ends it. It
// returns ErrNotFound, ErrNoRight, a RefusedError or ErrUnavailable.
func (s *Service) CreateBuild(ctx context.Context, who Caller, library string) (*Build, error) {
	if _, err := s.Library(ctx, who, library); err != nil {
		return nil, err
	}
	// Another process may have put it where it is now just before.
	l, _, err := read[Library](ctx, s, state.LibraryKey(library))
	if err != nil {
		return nil, err
	}
	var e *Environment
	if l.Environment != "" {
		e, err = s.Environment(ctx, who, l.Environment)
	}
	switch {
	case e == nil && (err == nil || errors.Is(err, ErrNotFound)):
		return nil, cmp.Or(mayBuild(who, l.State.stage()), refuse(EnvironmentRequired, "/data",
			"the library is in no environment: PATCH /libraries/{id}/relationships/environment puts it into one"))
	case err != nil:
		return nil, err
	}
	if err := mayBuild(who, e.Stage); err != nil {
		return nil, err
	}
	b := &Build{
		ID: secret.NewID(secret.PrefixBuild), Org: l.Org, Property: l.Property, Library: l.ID, Environment: e.ID, Stage: e.Stage,
		Archive: e.Archive, Status: secret.Pending, Token: newToken(), Request: secret.NewRequestID(), CreatedAt: s.now(),
	}
	b.UpdatedAt = b.CreatedAt
	rev, err := s.commit(ctx, did(who, audit.Created, b), put{key: state.BuildKey(b.ID), record: b})
	if err != nil {
		return nil, err
	}
	s.see(ctx, rev)
	s.dropBuilds(ctx, l.ID)
	return b, nil
}

// mayBuild returns ErrNoRight unless the caller may have builds for a stage.
func mayBuild(who Caller, stage Stage) error {
	right := auth.Develop
	if stage == Production {
		right = auth.Publish
	}
	if !who.Rights.Have(right) {
		return ErrNoRight
	}
	return nil
}

// dropBuilds drops the oldest builds of a library when it has more than are kept.
// What cannot be dropped now is dropped after the next build.
func (s *Service) dropBuilds(ctx context.Context, library string) {
	s.view.mu.RLock()
	all := slices.Collect(s.view.builds.by(buildsOfLibrary, library).all())
	s.view.mu.RUnlock()
	for _, b := range all[:max(0, len(all)-keptBuilds)] {
		rev, err := remove(ctx, s, Caller{}, state.BuildKey(b.ID), alone[Build])
		if err != nil && !errors.Is(err, ErrNotFound) {
			s.deps.Logger.WarnContext(ctx, "an old build could not be dropped", "key", b.ID, "error", err)
			return
		}
		s.see(ctx, rev)
	}
}

// ChangeBuild has a build made again (contract A15.7: republish). It returns
// ErrNotFound, ErrNoRight, a RefusedError or ErrUnavailable.
func (s *Service) ChangeBuild(ctx context.Context, who Caller, id string, data *Object) (*Build, error) {
	current, err := s.Build(ctx, who, id)
	if err != nil {
		return nil, err
	}
	if err := mayBuild(who, current.Stage); err != nil {
		return nil, err
	}
	action, err := readChange(data, "builds", InvalidBuild, id, Republish)
	if err != nil {
		return nil, err
	}
	if action != Republish {
		return nil, refuse(InvalidAction, "/data/meta/action", "action must be republish: nothing else can be done to a build")
	}
	b, rev, err := amendWith(ctx, s, deed{who: who, verb: audit.Updated, action: action}, state.BuildKey(id), func(b *Build) ([]put, error) {
		if b.Status == secret.Pending {
			return nil, errUnchanged
		}
		b.Status, b.Faults, b.UpdatedAt = secret.Pending, nil, s.now()
		return nil, nil
	})
	if err != nil {
		return nil, err
	}
	s.see(ctx, rev)
	return b, nil
}

// mendBuild ends a build that is pending, and removes one whose library is gone.
func (s *Service) mendBuild(ctx context.Context, id string) error {
	s.view.mu.RLock()
	b, known := s.view.builds.get(id)
	s.view.mu.RUnlock()
	if !known {
		return nil
	}
	cared, err := s.exists(ctx, state.LibraryKey(b.Library))
	var rev state.Revision
	switch {
	case err != nil:
	case !cared:
		rev, err = remove(ctx, s, Caller{}, state.BuildKey(id), alone[Build])
	case b.Status != secret.Pending:
		err = errCared
	default:
		rev, err = s.conclude(ctx, id)
	}
	if err == nil && rev == 0 {
		err = ErrNotFound // somebody else has ended it, and the projection does not know yet
	}
	if err != nil {
		return err
	}
	return s.view.wait(ctx, rev)
}

// conclude ends a build. One that succeeds for production publishes its library, in
// the same commit.
func (s *Service) conclude(ctx context.Context, id string) (state.Revision, error) {
	_, rev, err := amendWith(ctx, s, did(Caller{}, audit.Updated, nil), state.BuildKey(id), func(b *Build) ([]put, error) {
		if b.Status != secret.Pending {
			return nil, errUnchanged
		}
		l, at, err := read[Library](ctx, s, state.LibraryKey(b.Library))
		if err != nil {
			return nil, err
		}
		// What the library holds by now, the projection may not have heard of yet.
		if err := s.view.wait(ctx, at); err != nil {
			return nil, unavailable(err)
		}
		now := s.now()
		s.view.mu.RLock()
		b.conclude(s.view.inspect(b, l, now), now)
		s.view.mu.RUnlock()
		if b.Status != secret.Succeeded || l.State != Approved {
			return nil, nil
		}
		l.State, l.PublishedAt, l.UpdatedAt = Published, now, now
		return []put{{key: state.LibraryKey(l.ID), record: l, over: at}}, nil
	})
	return rev, err
}
