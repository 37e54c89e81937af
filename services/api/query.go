package api

import (
	"slices"
	"time"
	"unique"

	"github.com/rekindle-dev/rekindle/pkg/secret"
)

// SecretQuery chooses a part of a list of secrets, newest first unless an order
// says otherwise. Unlike a [Query] it names what it asks about, so that no record
// is unpacked to be looked at: there may be a hundred thousand of them.
type SecretQuery struct {
	Filter SecretFilter
	// Order has what secrets are ordered by, the first first.
	Order []SecretOrder
	// Now is the time that statuses are of.
	Now time.Time
	// Number is the page, counted from 1, and Size how many secrets it has.
	Number, Size int
}

// SecretFilter has a condition on each attribute, nil for none. A secret is chosen
// when all hold. Those on what many secrets have in common are not asked once for
// each secret; the others are, and should be quick.
type SecretFilter struct {
	Environment func(id string) bool // "" for none
	Kind        func(secret.Kind) bool
	Status      func(secret.Status) bool
	Name        func(string) bool
	// In Unix milliseconds, 0 for none.
	CreatedAt, UpdatedAt func(int64) bool
}

// SecretAttribute is what secrets can be ordered by.
type SecretAttribute int

// The attributes of an order. A secret without an environment, or without a time,
// comes before those that have one; aliases of a kind are equal.
const (
	SecretEnvironment SecretAttribute = iota
	SecretKind
	SecretStatus
	SecretName
	SecretCreatedAt
	SecretUpdatedAt
)

// SecretOrder is an order of secrets by an attribute.
type SecretOrder struct {
	By         SecretAttribute
	Descending bool
}

// of returns the page of a list that is given oldest first.
func (q *SecretQuery) of(oldestFirst runs[*row], rooms *rooms) Page[*secret.Secret] {
	switch sieve := newSieve(q); {
	case len(q.Order) > 0:
		return q.ordered(oldestFirst, sieve, rooms)
	case sieve != nil:
		return q.filtered(oldestFirst, sieve)
	}
	page := Page[*secret.Secret]{Items: []*secret.Secret{}, Total: oldestFirst.len()}
	for r := range oldestFirst.cut(bounds(q.Number, q.Size, page.Total)) {
		page.Items = append(page.Items, r.secret())
	}
	return page
}

// filtered counts all that are chosen, and unpacks those of the page.
func (q *SecretQuery) filtered(oldestFirst runs[*row], chosen *sieve) Page[*secret.Secret] {
	page := Page[*secret.Secret]{Items: []*secret.Secret{}}
	from, to := bounds(q.Number, q.Size, oldestFirst.len())
	for _, run := range slices.Backward(oldestFirst) {
		chosen.prepare(run)
		for _, r := range slices.Backward(run) {
			if !chosen.holds(r) {
				continue
			}
			if from <= page.Total && page.Total < to {
				page.Items = append(page.Items, r.secret())
			}
			page.Total++
		}
	}
	return page
}

// ordered collects all that are chosen, puts those of the page in order, and
// unpacks them.
func (q *SecretQuery) ordered(oldestFirst runs[*row], chosen *sieve, rooms *rooms) Page[*secret.Secret] {
	room := rooms.take()
	defer rooms.give(room)
	places := (*room)[:0]
	for n, run := range slices.Backward(oldestFirst) {
		chosen.prepare(run)
		for i, r := range slices.Backward(run) {
			if chosen == nil || chosen.holds(r) {
				places = append(places, place{run: uint32(n), nth: uint32(i)})
			}
		}
	}
	*room = places
	page := Page[*secret.Secret]{Items: []*secret.Secret{}, Total: len(places)}
	from, to := bounds(q.Number, q.Size, len(places))
	sorter := sorter{list: oldestFirst, columns: q.columns()}
	sorter.sort(places, from, to, 0, 0)
	for _, p := range places[from:to] {
		page.Items = append(page.Items, sorter.row(p).secret())
	}
	return page
}

// sieve is a filter at work. What it found out about a facet it keeps.
type sieve struct {
	SecretFilter
	now      time.Time
	verdicts [2]map[unique.Handle[facet]]bool // of facets as they are, and of pending ones
	touch    touch
}

// prepare makes the next rows quick to be looked at. A nil sieve looks at none.
func (s *sieve) prepare(rows []*row) {
	if s == nil {
		return
	}
	s.touch.rows(rows)
	if s.Name != nil {
		s.touch.names(rows)
	}
}

// newSieve returns nil when all secrets are chosen.
func newSieve(q *SecretQuery) *sieve {
	f := &q.Filter
	s := &sieve{SecretFilter: *f, now: q.Now}
	if f.Environment != nil || f.Kind != nil || f.Status != nil {
		s.verdicts = [2]map[unique.Handle[facet]]bool{{}, {}}
	} else if f.Name == nil && f.CreatedAt == nil && f.UpdatedAt == nil {
		return nil
	}
	return s
}

func (s *sieve) holds(r *row) bool {
	return (s.CreatedAt == nil || s.CreatedAt(r.created)) &&
		(s.UpdatedAt == nil || s.UpdatedAt(r.updated)) &&
		(s.verdicts[0] == nil || s.holdsFacet(r)) &&
		(s.Name == nil || s.Name(r.name))
}

func (s *sieve) holdsFacet(r *row) bool {
	known := s.verdicts[0]
	awaited := s.Status != nil && r.awaited(s.now)
	if awaited {
		known = s.verdicts[1]
	}
	verdict, ok := known[r.facet]
	if !ok {
		f := r.facet.Value()
		if awaited {
			f.status = secret.Pending
		}
		verdict = (s.Environment == nil || s.Environment(f.environment)) &&
			(s.Kind == nil || s.Kind(f.kind)) &&
			(s.Status == nil || s.Status(f.status))
		known[r.facet] = verdict
	}
	return verdict
}

// touch reads a little of many rows one right after another. They lie anywhere in
// memory, and a processor waits for many places at once when nothing else is to be
// done with each; looked at in turn they take several times as long. What was read
// is kept, so that no compiler leaves it out.
type touch int64

func (t *touch) rows(rows []*row) {
	var sum int64
	for _, r := range rows {
		sum += r.created
	}
	*t += touch(sum)
}

// names is for rows that have been touched.
func (t *touch) names(rows []*row) {
	var sum byte
	for _, r := range rows {
		if r.name != "" {
			sum += r.name[0]
		}
	}
	*t += touch(sum)
}
