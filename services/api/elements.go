package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/rekindle-dev/rekindle/pkg/audit"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state"
)

// maxElements bounds the data elements of a property, their revisions and the
// deleted ones included. Several processes may go beyond it by a few.
const maxElements = 2000

// DataElements lists the data elements of a property, without revisions and without
// what is deleted.
func (s *Service) DataElements(ctx context.Context, who Caller, property string, q Query[*DataElement]) (Page[*DataElement], error) {
	if _, err := s.Property(ctx, who, property); err != nil {
		return Page[*DataElement]{}, err
	}
	return list(s.view, q.among(alive), func() (runs[*DataElement], error) {
		_, err := s.view.property(who, property)
		return s.view.elements.by(elementsOfProperty, property), err
	})
}

// DataElementsOfSecret lists the data elements that name a secret, for whichever
// stage; revisions and deleted ones do not count (contract A6, row 14).
func (s *Service) DataElementsOfSecret(ctx context.Context, who Caller, id string, q Query[*DataElement]) (Page[*DataElement], error) {
	of, err := s.Secret(ctx, who, id)
	if err != nil {
		return Page[*DataElement]{}, err
	}
	same := func(e *DataElement) bool { return alive(e) && e.Property == of.Property }
	return list(s.view, q.among(same), func() (runs[*DataElement], error) { return s.view.elementsOfSecret(id), nil })
}

// alive reports whether it is a data element that can be changed.
func alive(e *DataElement) bool { return e.Head() && e.DeletedAt.IsZero() }

// elementsOfSecret returns what names a secret, oldest first. The view is locked.
func (p *projection) elementsOfSecret(id string) runs[*DataElement] {
	var all []*DataElement
	for _, index := range []int{byDevelopment, byStaging, byProduction} {
		all = slices.AppendSeq(all, p.elements.by(index, id).all())
	}
	slices.SortFunc(all, func(a, b *DataElement) int { return compareAge(ageOfElement, a, b) })
	return newRuns(slices.Compact(all))
}

// Revisions lists the revisions of a data element, and the element itself, which
// has number 0.
func (s *Service) Revisions(ctx context.Context, who Caller, id string, q Query[*DataElement]) (Page[*DataElement], error) {
	e, err := s.DataElement(ctx, who, id)
	if err != nil {
		return Page[*DataElement]{}, err
	}
	return list(s.view, q, func() (runs[*DataElement], error) { return s.view.elements.by(byOrigin, e.Origin), nil })
}

// DataElement returns a data element or a revision of one, also when it is deleted;
// ErrNotFound or ErrUnavailable.
func (s *Service) DataElement(ctx context.Context, who Caller, id string) (*DataElement, error) {
	return find(ctx, s, keyOf(secret.PrefixDataElement, id, state.DataElementKey), func() (*DataElement, error) {
		found, ok := s.view.elements.get(id)
		if !ok {
			return nil, ErrNotFound
		}
		_, err := s.view.property(who, found.Property)
		return found, err
	})
}

// CreateDataElement makes a data element of the resource data within a property. It
// returns ErrNotFound, a RefusedError or ErrUnavailable.
func (s *Service) CreateDataElement(ctx context.Context, who Caller, property string, data *Object) (*DataElement, error) {
	parent, err := s.Property(ctx, who, property)
	if err != nil {
		return nil, err
	}
	if err := openResource(data, "data_elements", InvalidDataElement); err != nil {
		return nil, err
	}
	e := &DataElement{ID: secret.NewID(secret.PrefixDataElement), Org: parent.Org, Property: parent.ID, CreatedAt: s.now()}
	e.Origin, e.UpdatedAt = e.ID, e.CreatedAt
	data.attributes().require("name", "delegate_descriptor_id")
	if named := e.read(data, parent); named == "" && !data.faulty("relationships") {
		relationships, _ := data.object("relationships")
		relationships.fault("extension", "is required")
	}
	if err := data.report.err(); err != nil {
		return nil, err
	}
	if err := s.makeRoom(ctx, parent.ID, 1); err != nil {
		return nil, err
	}
	rev, err := s.commit(ctx, did(who, audit.Created, e), put{key: state.DataElementKey(e.ID), record: e})
	if err != nil {
		return nil, err
	}
	s.see(ctx, rev)
	return e, nil
}

// ChangeDataElement updates a data element, or revises it: then the answer is the
// revision (contract A15.6). It returns ErrNotFound, a RefusedError, ErrChanged or
// ErrUnavailable.
func (s *Service) ChangeDataElement(ctx context.Context, who Caller, id string, data *Object) (*DataElement, error) {
	current, err := s.DataElement(ctx, who, id)
	if err != nil {
		return nil, err
	}
	parent, err := s.Property(ctx, who, current.Property)
	if err != nil {
		return nil, err
	}
	action, err := readChange(data, "data_elements", InvalidDataElement, id, Revise)
	if err != nil {
		return nil, err
	}
	if action == Revise {
		return s.reviseDataElement(ctx, who, current)
	}
	noted := len(data.report.problems)
	changed, rev, err := amendWith(ctx, s, did(who, audit.Updated, nil), state.DataElementKey(id), func(e *DataElement) ([]put, error) {
		data.report.problems = data.report.problems[:noted] // of an earlier run
		before := e.Tag()
		if err := cmp.Or(who.IfMatch.admit(before), e.changeable()); err != nil {
			return nil, err
		}
		data.attributes().keep("name", "delegate_descriptor_id")
		e.read(data, parent)
		if err := data.report.err(); err != nil {
			return nil, err
		}
		if e.Tag() == before {
			return nil, errUnchanged
		}
		e.UpdatedAt, e.Revised = s.now(), false
		return nil, nil
	})
	if err != nil {
		return nil, err
	}
	s.see(ctx, rev)
	return changed, nil
}

// changeable refuses what is no head, or deleted.
func (e *DataElement) changeable() error {
	switch {
	case !e.DeletedAt.IsZero():
		return refuse(DeletedResources, "/data/id", "the data element is deleted")
	case !e.Head():
		return refuse(ReadOnly, "/data/id", "a revision cannot be changed: change "+e.Origin+", which it is a revision of, and revise that")
	}
	return nil
}

func (s *Service) reviseDataElement(ctx context.Context, who Caller, current *DataElement) (*DataElement, error) {
	if err := current.changeable(); err != nil {
		return nil, err
	}
	if err := s.makeRoom(ctx, current.Property, 1); err != nil {
		return nil, err
	}
	var revision *DataElement
	_, rev, err := amendWith(ctx, s, deed{who: who, verb: audit.Updated, action: Revise}, state.DataElementKey(current.ID), func(e *DataElement) ([]put, error) {
		if err := cmp.Or(who.IfMatch.admit(e.Tag()), e.changeable()); err != nil {
			return nil, err
		}
		revision = e.revise(s.now())
		return []put{{key: state.DataElementKey(revision.ID), record: revision}}, nil
	})
	if err != nil {
		return nil, err
	}
	s.see(ctx, rev)
	return revision, nil
}

// DeleteDataElement deletes a data element or a revision of one. It can still be
// looked at (contract A15.6), and libraries that have it keep it. It returns
// ErrNotFound, ErrChanged or ErrUnavailable.
func (s *Service) DeleteDataElement(ctx context.Context, who Caller, id string) error {
	if _, err := s.DataElement(ctx, who, id); err != nil {
		return err
	}
	_, rev, err := amendWith(ctx, s, did(who, audit.Deleted, nil), state.DataElementKey(id), func(e *DataElement) ([]put, error) {
		if err := who.IfMatch.admit(e.Tag()); err != nil {
			return nil, err
		}
		if !e.DeletedAt.IsZero() {
			return nil, errUnchanged
		}
		e.DeletedAt = s.now()
		return nil, nil
	})
	if err != nil {
		return err
	}
	s.see(ctx, rev)
	return nil
}

// makeRoom refuses to make n more data elements than a property can have. The oldest
// deleted ones go for good before that, unless something still leads to them.
func (s *Service) makeRoom(ctx context.Context, property string, n int) error {
	s.view.mu.RLock()
	all := slices.Collect(s.view.elements.by(elementsOfProperty, property).all())
	var libraries []*Library
	if len(all)+n > maxElements {
		libraries = slices.Collect(s.view.libraries.by(librariesOfProperty, property).all())
	}
	s.view.mu.RUnlock()
	excess := len(all) + n - maxElements
	if excess <= 0 {
		return nil
	}
	spare := spareElements(all, libraries)
	if len(spare) < excess {
		return refuse(TooMany, "/data", fmt.Sprintf("a property has at most %d data elements, revisions included: "+
			"delete what is not needed and in no library", maxElements))
	}
	for _, e := range spare[:excess] {
		if _, err := remove(ctx, s, Caller{}, state.DataElementKey(e.ID), alone[DataElement]); err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
	}
	return nil
}

// spareElements are those that nobody can miss, oldest first: deleted, in no
// library, and the origin of nothing.
func spareElements(all []*DataElement, libraries []*Library) []*DataElement {
	needed := make(map[string]bool)
	for _, l := range libraries {
		for _, held := range l.Elements {
			needed[held.ID], needed[held.Origin] = true, true
		}
	}
	for _, e := range all {
		if !e.Head() {
			needed[e.Origin] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(all), func(e *DataElement) bool { return e.DeletedAt.IsZero() || needed[e.ID] })
}
