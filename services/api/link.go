package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/rekindle-dev/rekindle/pkg/audit"
	"github.com/rekindle-dev/rekindle/pkg/state"
)

// maxHeld bounds the data elements of a library, and maxRevised those that one
// request has revised.
const (
	maxHeld    = 200
	maxRevised = 100
)

// Linking is what a request does with what a library is linked to.
type Linking int

// What can be done.
const (
	Link Linking = iota
	Replace
	Unlink
)

// LinkElements changes which data elements are in a library that is in development
// (contract A15.7). A revision takes the place of another of the same data element.
// One that is to be revised is revised first, and the revision linked. It returns
// ErrNotFound, a RefusedError, ErrChanged or ErrUnavailable.
func (s *Service) LinkElements(ctx context.Context, who Caller, id string, how Linking, named *Linkage) (*Library, error) {
	l, err := s.Library(ctx, who, id)
	if err != nil {
		return nil, err
	}
	named.once()
	if how == Unlink {
		return s.amendResources(ctx, who, id, named.report, func(l *Library) ([]put, error) {
			l.Elements = slices.DeleteFunc(l.Elements, func(h Held) bool { return named.names(h.ID) })
			return nil, nil
		})
	}
	found, err := s.findLinked(ctx, who, l.Property, named)
	if err != nil {
		return nil, err
	}
	revised := 0
	for _, r := range named.refs {
		if r.revise {
			revised++
		}
	}
	if revised > maxRevised {
		return nil, refuse(TooMany, "/data", fmt.Sprintf("at most %d data elements can be revised at once", maxRevised))
	}
	if err := s.makeRoom(ctx, l.Property, revised); err != nil {
		return nil, err
	}
	return s.amendResources(ctx, who, id, named.report, func(l *Library) ([]put, error) {
		if how == Replace {
			l.Elements = nil
		}
		return s.link(ctx, l, named, found)
	})
}

// amendResources changes what is in a library. What is noted meanwhile refuses it.
func (s *Service) amendResources(ctx context.Context, who Caller, id string, noted *report, change func(*Library) ([]put, error)) (*Library, error) {
	before := len(noted.problems)
	return s.amendLibrary(ctx, did(who, audit.Updated, nil), id, func(l *Library) ([]put, error) {
		noted.problems = noted.problems[:before] // of an earlier run
		if l.State != InDevelopment {
			return nil, refuse(ReadOnly, "/data", fmt.Sprintf("only a library in development can be given resources or lose them, and this one is %s", l.State))
		}
		puts, err := change(l)
		if err != nil {
			return nil, err
		}
		return puts, noted.err()
	})
}

// names reports whether a resource is among those that are named.
func (l *Linkage) names(id string) bool {
	return slices.ContainsFunc(l.refs, func(r ref) bool { return r.id == id })
}

// findLinked returns the data elements that are named, in the same order. What
// cannot be linked is noted.
func (s *Service) findLinked(ctx context.Context, who Caller, property string, named *Linkage) ([]*DataElement, error) {
	found := make([]*DataElement, len(named.refs))
	origins := make(map[string]bool)
	for i, r := range named.refs {
		e, err := s.DataElement(ctx, who, r.id)
		switch {
		case errors.Is(err, ErrNotFound), err == nil && e.Property != property:
			r.refuse(NotFound, "the property has no such data element")
			continue
		case err != nil:
			return nil, err
		case !e.DeletedAt.IsZero():
			r.refuse(DeletedResources, "the data element is deleted")
		case r.revise && !e.Head():
			r.refuse(ReadOnly, "a revision cannot be revised: name "+e.Origin+", which it is a revision of")
		case origins[e.Origin]:
			r.refuse(MultipleRevisions, "another revision of the same data element is named, too: a library has one")
		}
		origins[e.Origin], found[i] = true, e
	}
	return found, named.report.err()
}

// link puts the data elements into the library, and returns the writes that revise
// those that are to be revised.
func (s *Service) link(ctx context.Context, l *Library, named *Linkage, found []*DataElement) (puts []put, err error) {
	for i, e := range found {
		if named.refs[i].revise {
			head, rev, err := read[DataElement](ctx, s, state.DataElementKey(e.ID))
			if err != nil {
				return nil, err
			}
			if !head.DeletedAt.IsZero() { // since it was found
				named.refs[i].refuse(DeletedResources, "the data element is deleted")
				continue
			}
			e = head.revise(s.now())
			puts = append(puts,
				put{key: state.DataElementKey(head.ID), record: head, over: rev},
				put{key: state.DataElementKey(e.ID), record: e})
		}
		held := Held{ID: e.ID, Origin: e.Origin}
		if at := slices.IndexFunc(l.Elements, func(h Held) bool { return h.Origin == e.Origin }); at >= 0 {
			l.Elements[at] = held
			continue
		}
		l.Elements = append(l.Elements, held)
	}
	if len(l.Elements) > maxHeld {
		return nil, refuse(TooMany, "/data", fmt.Sprintf("a library has at most %d data elements", maxHeld))
	}
	return puts, nil
}

// LinkExtension changes whether the property's extension is in a library that is in
// development. It returns ErrNotFound, a RefusedError, ErrChanged or ErrUnavailable.
func (s *Service) LinkExtension(ctx context.Context, who Caller, id string, how Linking, named *Linkage) (*Library, error) {
	l, err := s.Library(ctx, who, id)
	if err != nil {
		return nil, err
	}
	own := extensionOf(l.Property)
	named.once()
	for _, r := range named.refs {
		if r.id != own && how != Unlink {
			r.refuse(NotFound, "the property has no such extension; its own is "+own)
		}
	}
	return s.amendResources(ctx, who, id, named.report, func(l *Library) ([]put, error) {
		switch {
		case how == Replace:
			l.Extension = named.names(own)
		case named.names(own):
			l.Extension = how == Link
		}
		return nil, nil
	})
}

// LinkRules refuses rules, of which there are none; to link or to unlink none is
// not refused. It returns ErrNotFound, a RefusedError, ErrChanged or ErrUnavailable.
func (s *Service) LinkRules(ctx context.Context, who Caller, id string, how Linking, named *Linkage) (*Library, error) {
	for _, r := range named.refs {
		if how != Unlink {
			r.refuse(NotFound, "there are no rules here")
		}
	}
	if _, err := s.Library(ctx, who, id); err != nil {
		return nil, err
	}
	return s.amendResources(ctx, who, id, named.report, func(*Library) ([]put, error) {
		return nil, cmp.Or(named.report.err(), errUnchanged)
	})
}

// PlaceLibrary puts a library into an environment, out of the one it is in; an empty
// id only takes it out. An environment holds one library, and its stage must be that
// of the library's state (contract A15.7). It returns ErrNotFound, a RefusedError,
// ErrChanged or ErrUnavailable.
func (s *Service) PlaceLibrary(ctx context.Context, who Caller, id, environment string) (*Library, error) {
	l, err := s.Library(ctx, who, id)
	if err != nil {
		return nil, err
	}
	var to *Environment
	if environment != "" {
		to, err = s.Environment(ctx, who, environment)
		switch {
		case errors.Is(err, ErrNotFound):
			return nil, refuse(NotFound, "/data/id", "there is no such environment")
		case err != nil:
			return nil, err
		case to.Property != l.Property:
			return nil, refuse(EnvironmentRequired, "/data/id", "the environment belongs to another property")
		}
	}
	return s.amendLibrary(ctx, did(who, audit.Updated, nil), id, func(l *Library) ([]put, error) {
		if l.Environment == environment {
			return nil, errUnchanged
		}
		if l.State == Published {
			return nil, refuse(ReadOnly, "/data", "a published library stays where it is until another takes its place")
		}
		return s.place(ctx, l, to, "/data/id")
	})
}

// place puts a library into an environment, nil for none, and returns the writes
// that go with that of the library. What is wrong with the environment is told with
// the pointer.
func (s *Service) place(ctx context.Context, l *Library, to *Environment, pointer string) ([]put, error) {
	puts, err := s.leave(ctx, l)
	if err != nil || to == nil {
		return puts, err
	}
	if to.Stage != l.State.stage() {
		return nil, refuse(InvalidLibrary, pointer, fmt.Sprintf("the environment is for %s, and a library in the state %s belongs into one for %s",
			to.Stage, l.State, l.State.stage()))
	}
	holder, rev, err := s.holder(ctx, to.ID)
	if err != nil {
		return nil, err
	}
	if holder != "" && holder != l.ID {
		given, err := s.giveUp(ctx, holder, pointer)
		if err != nil {
			return nil, err
		}
		puts = append(puts, given...)
	}
	l.Environment = to.ID
	return append(puts, put{key: state.HoldKey(to.ID), record: l.ID, over: rev}), nil
}

// leave takes a library out of the environment it is in.
func (s *Service) leave(ctx context.Context, l *Library) ([]put, error) {
	from := l.Environment
	l.Environment = ""
	if from == "" {
		return nil, nil
	}
	holder, rev, err := s.holder(ctx, from)
	if err != nil || holder != l.ID {
		return nil, err
	}
	return []put{{key: state.HoldKey(from), over: rev}}, nil
}

// giveUp takes a library out of an environment that another is to have: one that is
// published has done its part there, and one that is gone leaves nothing behind.
func (s *Service) giveUp(ctx context.Context, holder, pointer string) ([]put, error) {
	other, rev, err := read[Library](ctx, s, state.LibraryKey(holder))
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if other.State != Published {
		return nil, refuse(Conflict, pointer, "the environment holds the library "+holder+" already: an environment has one")
	}
	other.Environment = ""
	return []put{{key: state.LibraryKey(holder), record: other, over: rev}}, nil
}
