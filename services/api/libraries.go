package api

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/rekindle-dev/rekindle/pkg/audit"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/services/api/auth"
)

// maxLibraries bounds the libraries of a property. Several processes may go beyond
// it by a few.
const maxLibraries = 500

// Libraries lists the libraries of a property.
func (s *Service) Libraries(ctx context.Context, who Caller, property string, q Query[*Library]) (Page[*Library], error) {
	if _, err := s.Property(ctx, who, property); err != nil {
		return Page[*Library]{}, err
	}
	return list(s.view, q, func() (runs[*Library], error) {
		_, err := s.view.property(who, property)
		return s.view.libraries.by(librariesOfProperty, property), err
	})
}

// LibrariesOfDataElement lists the libraries that have a data element, or a revision
// of it.
func (s *Service) LibrariesOfDataElement(ctx context.Context, who Caller, id string, q Query[*Library]) (Page[*Library], error) {
	e, err := s.DataElement(ctx, who, id)
	if err != nil {
		return Page[*Library]{}, err
	}
	return s.Libraries(ctx, who, e.Property, q.among(func(l *Library) bool { return l.has(e) }))
}

// LibrariesOfExtension lists the libraries that have an extension.
func (s *Service) LibrariesOfExtension(ctx context.Context, who Caller, id string, q Query[*Library]) (Page[*Library], error) {
	e, err := s.Extension(ctx, who, id)
	if err != nil {
		return Page[*Library]{}, err
	}
	return s.Libraries(ctx, who, e.Property, q.among(func(l *Library) bool { return l.Extension }))
}

// Library returns a library, ErrNotFound or ErrUnavailable.
func (s *Service) Library(ctx context.Context, who Caller, id string) (*Library, error) {
	return find(ctx, s, keyOf(secret.PrefixLibrary, id, state.LibraryKey), func() (*Library, error) {
		return s.view.library(who, id)
	})
}

// library is Library for those who hold the lock.
func (p *projection) library(who Caller, id string) (*Library, error) {
	found, ok := p.libraries.get(id)
	if !ok {
		return nil, ErrNotFound
	}
	if _, err := p.property(who, found.Property); err != nil {
		return nil, err
	}
	return found, nil
}

// LibraryIn returns the id of the library that an environment holds, "" for none.
func (s *Service) LibraryIn(environment string) string {
	s.view.mu.RLock()
	defer s.view.mu.RUnlock()
	for l := range s.view.libraries.by(byHolder, environment).all() {
		return l.ID
	}
	return ""
}

// CreateLibrary makes a library of the resource data within a property. It returns
// ErrNotFound, a RefusedError or ErrUnavailable.
func (s *Service) CreateLibrary(ctx context.Context, who Caller, property string, data *Object) (*Library, error) {
	parent, err := s.Property(ctx, who, property)
	if err != nil {
		return nil, err
	}
	if err := openResource(data, "libraries", InvalidLibrary); err != nil {
		return nil, err
	}
	l := &Library{ID: secret.NewID(secret.PrefixLibrary), Org: parent.Org, Property: parent.ID, State: InDevelopment, CreatedAt: s.now()}
	l.UpdatedAt = l.CreatedAt
	a, _ := data.object("attributes")
	a.require("name")
	l.Name, _ = a.text("name", maxName)
	e, err := s.target(ctx, who, parent, data)
	if err != nil {
		return nil, err
	}
	if err := data.report.err(); err != nil {
		return nil, err
	}
	s.view.mu.RLock()
	n := s.view.libraries.by(librariesOfProperty, parent.ID).len()
	s.view.mu.RUnlock()
	if n >= maxLibraries {
		return nil, refuse(TooMany, "/data", fmt.Sprintf("a property has at most %d libraries: delete those that are not needed", maxLibraries))
	}
	return s.makeLibrary(ctx, who, l, e)
}

// makeLibrary stores a new library, in an environment if there is one.
func (s *Service) makeLibrary(ctx context.Context, who Caller, l *Library, e *Environment) (*Library, error) {
	for {
		var puts []put
		if e != nil {
			var err error
			if puts, err = s.place(ctx, l, e, "/data/relationships/environment"); err != nil {
				return nil, err
			}
		}
		rev, err := s.commit(ctx, did(who, audit.Created, l), append(puts, put{key: state.LibraryKey(l.ID), record: l})...)
		if errors.Is(err, state.ErrConflict) && ctx.Err() == nil {
			l.Environment = ""
			continue // somebody else was first to the environment
		}
		if err != nil {
			return nil, err
		}
		s.see(ctx, rev)
		return l, nil
	}
}

// ChangeLibrary renames a library, or carries out an action on it, for which the
// caller needs the right. Whoever is moved on leaves an environment of another stage
// (contract A15.7). It returns ErrNotFound, ErrNoRight, a RefusedError, ErrChanged or
// ErrUnavailable.
func (s *Service) ChangeLibrary(ctx context.Context, who Caller, id string, data *Object) (*Library, error) {
	if _, err := s.Library(ctx, who, id); err != nil {
		return nil, err
	}
	action, err := readChange(data, "libraries", InvalidLibrary, id, Submit, Approve, Reject, Develop)
	if !who.Rights.Have(rightFor(action)) {
		return nil, ErrNoRight
	}
	if err != nil {
		return nil, err
	}
	a, _ := data.object("attributes")
	a.keep("name")
	name, sent := a.text("name", maxName)
	if sent && !who.Rights.Have(auth.Develop) {
		return nil, ErrNoRight
	}
	if relationships, _ := data.object("relationships"); len(relationships.members) > 0 {
		relationships.fault("environment", "is changed by PATCH /libraries/{id}/relationships/environment, and resources likewise")
	}
	if err := data.report.err(); err != nil {
		return nil, err
	}
	return s.amendLibrary(ctx, deed{who: who, verb: audit.Updated, action: action}, id, func(l *Library) ([]put, error) {
		if name != "" {
			l.Name = name
		}
		if action == Update {
			return nil, nil
		}
		next, err := l.State.next(action)
		if err != nil {
			return nil, err
		}
		stage := l.State.stage()
		l.State = next
		if next.stage() == stage {
			return nil, nil
		}
		return s.place(ctx, l, nil, "")
	})
}

// amendLibrary changes a library. When change leaves it as it is, nothing is written.
func (s *Service) amendLibrary(ctx context.Context, d deed, id string, change func(*Library) ([]put, error)) (*Library, error) {
	l, rev, err := amendWith(ctx, s, d, state.LibraryKey(id), func(l *Library) ([]put, error) {
		before := l.Tag()
		if err := d.who.IfMatch.admit(before); err != nil {
			return nil, err
		}
		puts, err := change(l)
		if err != nil {
			return nil, err
		}
		if l.Tag() == before {
			return nil, errUnchanged
		}
		l.UpdatedAt = s.now()
		return puts, nil
	})
	if err != nil {
		return nil, err
	}
	s.see(ctx, rev)
	return l, nil
}

// DeleteLibrary deletes a library and, from that moment, its builds; its data
// elements stay. One that is published is kept: it says what is live. It returns
// ErrNotFound, a RefusedError, ErrChanged or ErrUnavailable.
func (s *Service) DeleteLibrary(ctx context.Context, who Caller, id string) error {
	if _, err := s.Library(ctx, who, id); err != nil {
		return err
	}
	rev, err := s.removeLibrary(ctx, who, id, func(l *Library) error {
		if l.State == Published {
			return refuse(ReadOnly, "/data/id", "a published library cannot be deleted")
		}
		return who.IfMatch.admit(l.Tag())
	})
	if err != nil {
		return err
	}
	s.see(ctx, rev)
	return nil
}

// removeLibrary removes a library's record and frees the environment it is in, unless
// may has an error for what is stored, which is returned.
func (s *Service) removeLibrary(ctx context.Context, who Caller, id string, may func(*Library) error) (state.Revision, error) {
	return remove(ctx, s, who, state.LibraryKey(id), func(l *Library, _ state.Revision) ([]state.Write, error) {
		if err := may(l); err != nil || l.Environment == "" {
			return nil, err
		}
		holder, rev, err := s.holder(ctx, l.Environment)
		if err != nil || holder != id {
			return nil, err
		}
		return []state.Write{{Key: state.HoldKey(l.Environment), Expect: rev}}, nil
	})
}

// holder returns which library an environment holds, "" for none, and the revision
// of the record that says so.
func (s *Service) holder(ctx context.Context, environment string) (string, state.Revision, error) {
	id, rev, err := read[string](ctx, s, state.HoldKey(environment))
	if err != nil {
		return "", 0, ignoreNotFound(err)
	}
	return *id, rev, nil
}

// LinkedElements are the data elements of a library, those that are there.
func (s *Service) LinkedElements(ctx context.Context, who Caller, id string, q Query[*DataElement]) (Page[*DataElement], error) {
	l, err := s.Library(ctx, who, id)
	if err != nil {
		return Page[*DataElement]{}, err
	}
	return list(s.view, q, func() (runs[*DataElement], error) {
		var found []*DataElement
		for _, held := range l.Elements {
			if e, ok := s.view.elements.get(held.ID); ok {
				found = append(found, e)
			}
		}
		slices.SortFunc(found, func(a, b *DataElement) int { return compareAge(ageOfElement, a, b) })
		return newRuns(found), nil
	})
}
