package api

import (
	"slices"
	"strings"

	"github.com/rekindle-dev/rekindle/pkg/secret"
)

// Query chooses a part of a list. The zero Query is the first page of nothing.
type Query[T any] struct {
	// Match selects records; nil selects all. It must not keep what it is given.
	Match func(T) bool
	// Order has what records are ordered by, the first first. Those that it finds
	// equal, and all if there is none, are ordered newest first.
	Order []Order[T]
	// Number is the page, counted from 1, and Size how many records it has.
	Number, Size int
}

// Order is an order of records by a text that is made of each.
type Order[T any] struct {
	// By is called once for each record. It must not keep what it is given.
	By         func(T) string
	Descending bool
}

// Page is a part of a list. Its records must not be changed.
type Page[T any] struct {
	Items []T
	// Total is how many records all pages have together.
	Total int
}

// list answers a query about the records that find returns, oldest first. Find
// is called with the projection locked for reading; a filter or an order, which
// may take its time, runs when the lock is gone.
func list[T any](p *projection, q Query[T], find func() ([]T, error)) (Page[T], error) {
	return listed(p, q, seen[T, T]{itself[T], itself[T]}, find)
}

// listRows is list for secrets. Each record is unpacked in the same place for the
// filter and the order, and only those of the page in places of their own.
func listRows(p *projection, q Query[*secret.Secret], find func() ([]*row, error)) (Page[*secret.Secret], error) {
	place := new(secret.Secret)
	glance := func(r *row) *secret.Secret { r.fill(place); return place }
	return listed(p, q, seen[*row, *secret.Secret]{glance, (*row).secret}, find)
}

func listed[R, T any](p *projection, q Query[T], s seen[R, T], find func() ([]R, error)) (Page[T], error) {
	p.mu.RLock()
	oldestFirst, err := find()
	if err == nil && q.plain() {
		defer p.mu.RUnlock()
		return s.page(q, oldestFirst), nil
	}
	oldestFirst = slices.Clone(oldestFirst)
	p.mu.RUnlock()
	if err != nil {
		return Page[T]{}, err
	}
	return s.page(q, oldestFirst), nil
}

// seen is how what is kept as R is seen as T: at a glance, until the next one, or
// to keep.
type seen[R, T any] struct{ glance, keep func(R) T }

func itself[T any](v T) T { return v }

// plain reports whether the query asks for all records in their own order.
func (q Query[T]) plain() bool { return q.Match == nil && len(q.Order) == 0 }

// of returns the page of a list that is given oldest first.
func (q Query[T]) of(oldestFirst []T) Page[T] {
	return seen[T, T]{itself[T], itself[T]}.page(q, oldestFirst)
}

// page returns the page of a list that is given oldest first. A plain query costs
// no more than the page itself.
func (s seen[R, T]) page(q Query[T], oldestFirst []R) Page[T] {
	if q.plain() {
		return q.cut(len(oldestFirst), func(i int) T { return s.keep(oldestFirst[len(oldestFirst)-1-i]) })
	}
	var chosen []R
	var keys []string // of each that is chosen, one for each order
	for _, r := range slices.Backward(oldestFirst) {
		v := s.glance(r)
		if q.Match != nil && !q.Match(v) {
			continue
		}
		chosen = append(chosen, r)
		for _, o := range q.Order {
			keys = append(keys, o.By(v))
		}
	}
	if len(q.Order) == 0 {
		return q.cut(len(chosen), func(i int) T { return s.keep(chosen[i]) })
	}
	first := q.first(len(chosen), keys)
	return q.cut(len(chosen), func(i int) T { return s.keep(chosen[first[i]]) })
}

// first returns, in order, the numbers of the records up to the end of the page,
// of n that have these keys. What lies far behind the page is dropped as it comes.
func (q Query[T]) first(n int, keys []string) []int {
	compare := func(a, b int) int {
		for k, o := range q.Order {
			c := strings.Compare(keys[a*len(q.Order)+k], keys[b*len(q.Order)+k])
			if o.Descending {
				c = -c
			}
			if c != 0 {
				return c
			}
		}
		return a - b
	}
	end := q.end(n)
	if end == 0 {
		return nil
	}
	var best []int
	bounded := false // whether nothing behind best[end-1] matters any more
	for i := range n {
		if bounded && compare(i, best[end-1]) > 0 {
			continue
		}
		best = append(best, i)
		if len(best) == 2*end {
			slices.SortFunc(best, compare)
			best, bounded = best[:end], true
		}
	}
	slices.SortFunc(best, compare)
	return best
}

// end is where the page ends in a list of total records, 0 when it is beyond it.
func (q Query[T]) end(total int) int {
	if q.Number < 1 || q.Size < 1 || q.Number-1 > total/q.Size { // the product might overflow
		return 0
	}
	return min(q.Number*q.Size, total)
}

// cut returns the page of a list of total records.
func (q Query[T]) cut(total int, record func(int) T) Page[T] {
	page := Page[T]{Items: []T{}, Total: total}
	end := q.end(total)
	for i := max(0, (q.Number-1)*q.Size); i < end; i++ {
		page.Items = append(page.Items, record(i))
	}
	return page
}
