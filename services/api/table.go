package api

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// index holds the records of each parent in order of age, oldest first: what is
// new usually belongs at the end, where it costs least.
type index[T any] struct {
	parent   func(T) string // "" for none
	compare  func(a, b T) int
	children map[string]runs[T]
}

func (x *index[T]) add(v T) {
	if parent := x.parent(v); parent != "" {
		x.children[parent] = x.children[parent].insert(v, x.compare)
	}
}

// drop removes a record that was added.
func (x *index[T]) drop(v T) {
	parent := x.parent(v)
	list := x.children[parent]
	run, at, found := list.find(v, x.compare)
	switch {
	case !found:
	case len(list) == 1 && len(list[0]) == 1:
		delete(x.children, parent)
	default:
		x.children[parent] = list.remove(run, at)
	}
}

// swap puts a record in the place of its earlier version.
func (x *index[T]) swap(old, v T) {
	list := x.children[x.parent(old)]
	run, at, found := list.find(old, x.compare)
	if found && x.parent(old) == x.parent(v) && x.compare(old, v) == 0 {
		list.set(run, at, v)
		return
	}
	x.drop(old)
	x.add(v)
}

// fill adds many records at once to an empty index.
func (x *index[T]) fill(records map[string]T) {
	lists := make(map[string][]T)
	for _, v := range records {
		if parent := x.parent(v); parent != "" {
			lists[parent] = append(lists[parent], v)
		}
	}
	for parent, list := range lists {
		slices.SortFunc(list, x.compare)
		x.children[parent] = newRuns(list)
	}
}

// table holds all records of a kind, by id and by parent. While it is loaded,
// records come in any order, and there are no indexes; index makes them.
type table[T any] struct {
	id      func(T) string
	byID    map[string]T
	indexes []*index[T]
	indexed bool
}

// newTable returns a table that is indexed by each of the parents.
func newTable[T any](age func(T) (time.Time, string), parents ...func(T) string) *table[T] {
	t := &table[T]{
		id:   func(v T) string { _, id := age(v); return id },
		byID: make(map[string]T),
	}
	for _, parent := range parents {
		t.indexes = append(t.indexes, &index[T]{
			parent:   parent,
			compare:  func(a, b T) int { return compareAge(age, a, b) },
			children: make(map[string]runs[T]),
		})
	}
	return t
}

// compareAge orders by created_at, and the greater id first among equals: read
// backwards it is "newest first, then by id" (contract A4).
func compareAge[T any](age func(T) (time.Time, string), a, b T) int {
	createdA, idA := age(a)
	createdB, idB := age(b)
	return cmp.Or(createdA.Compare(createdB), cmp.Compare(idB, idA))
}

func (t *table[T]) index() {
	for _, x := range t.indexes {
		x.fill(t.byID)
	}
	t.indexed = true
}

func (t *table[T]) get(id string) (T, bool) {
	v, ok := t.byID[id]
	return v, ok
}

func (t *table[T]) has(id string) bool {
	_, ok := t.byID[id]
	return ok
}

// by returns the records of a parent, oldest first, in the i-th index. They
// belong to the table: a copy is the reader's.
func (t *table[T]) by(i int, parent string) runs[T] { return t.indexes[i].children[parent] }

func (t *table[T]) put(v T) {
	id := t.id(v)
	old, known := t.byID[id]
	t.byID[id] = v
	if !t.indexed {
		return
	}
	for _, x := range t.indexes {
		if known {
			x.swap(old, v)
		} else {
			x.add(v)
		}
	}
}

func (t *table[T]) remove(id string) {
	old, known := t.byID[id]
	if !known {
		return
	}
	delete(t.byID, id)
	if t.indexed {
		for _, x := range t.indexes {
			x.drop(old)
		}
	}
}

// all returns a copy of everything.
func (t *table[T]) all() []T { return slices.Collect(maps.Values(t.byID)) }

func ageOfCompany(c *Company) (time.Time, string)         { return c.CreatedAt, c.ID }
func ageOfProperty(p *Property) (time.Time, string)       { return p.CreatedAt, p.ID }
func ageOfEnvironment(e *Environment) (time.Time, string) { return e.CreatedAt, e.ID }
func ageOfHost(h *Host) (time.Time, string)               { return h.CreatedAt, h.ID }
func ageOfToken(t *Token) (time.Time, string)             { return t.CreatedAt, t.ID }
func ageOfElement(e *DataElement) (time.Time, string)     { return e.CreatedAt, e.ID }
func ageOfLibrary(l *Library) (time.Time, string)         { return l.CreatedAt, l.ID }
func ageOfBuild(b *Build) (time.Time, string)             { return b.CreatedAt, b.ID }
func ageOfCallback(c *Callback) (time.Time, string)       { return c.CreatedAt, c.ID }
func ageOfRow(r *row) (time.Time, string)                 { return moment(r.created), r.id }
