package api

import (
	"slices"
	"strings"
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
func list[T any](p *projection, q Query[T], find func() (runs[T], error)) (Page[T], error) {
	found, err := seen(p, find)
	if err != nil {
		return Page[T]{}, err
	}
	return q.of(found), nil
}

// among narrows a query to the records of which something else is true, too.
func (q Query[T]) among(also func(T) bool) Query[T] {
	match := q.Match
	q.Match = func(v T) bool { return also(v) && (match == nil || match(v)) }
	return q
}

// of returns the page of a list that is given oldest first.
func (q Query[T]) of(oldestFirst runs[T]) Page[T] {
	if q.Match == nil && len(q.Order) == 0 {
		total := oldestFirst.len()
		from, to := bounds(q.Number, q.Size, total)
		return Page[T]{Items: slices.AppendSeq([]T{}, oldestFirst.cut(from, to)), Total: total}
	}
	var chosen []T
	for v := range oldestFirst.backward() {
		if q.Match == nil || q.Match(v) {
			chosen = append(chosen, v)
		}
	}
	page := Page[T]{Items: []T{}, Total: len(chosen)}
	from, to := bounds(q.Number, q.Size, len(chosen))
	for _, i := range q.ordered(chosen)[from:to] {
		page.Items = append(page.Items, chosen[i])
	}
	return page
}

// ordered returns the numbers of records, in the order that is asked for.
func (q Query[T]) ordered(records []T) []int {
	keys := make([]string, 0, len(records)*len(q.Order)) // one for each order of each
	numbers := make([]int, len(records))
	for i, v := range records {
		numbers[i] = i
		for _, o := range q.Order {
			keys = append(keys, o.By(v))
		}
	}
	slices.SortFunc(numbers, func(a, b int) int {
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
	})
	return numbers
}

// bounds returns from where to before where a page is in a list of total records:
// nowhere if it is beyond the end. Pages count from 1.
func bounds(number, size, total int) (from, to int) {
	if number < 1 || size < 1 || number-1 > total/size { // the product might overflow
		return 0, 0
	}
	from = min((number-1)*size, total)
	return from, from + min(size, total-from)
}
