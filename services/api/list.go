package api

import "slices"

// Query chooses a part of a list. The zero Query is the first page of nothing.
type Query[T any] struct {
	// Match selects records; nil selects all.
	Match func(T) bool
	// Compare orders them; nil, and records it finds equal, mean newest first.
	Compare func(a, b T) int
	// Number is the page, counted from 1, and Size how many records it has.
	Number, Size int
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
	p.mu.RLock()
	oldestFirst, err := find()
	if err == nil && q.plain() {
		defer p.mu.RUnlock()
		return q.of(oldestFirst), nil
	}
	oldestFirst = slices.Clone(oldestFirst)
	p.mu.RUnlock()
	if err != nil {
		return Page[T]{}, err
	}
	return q.of(oldestFirst), nil
}

// plain reports whether the query asks for all records in their own order.
func (q Query[T]) plain() bool { return q.Match == nil && q.Compare == nil }

// of returns the page of a list that is given oldest first. A plain query costs
// no more than the page itself.
func (q Query[T]) of(oldestFirst []T) Page[T] {
	if q.plain() {
		return q.cut(len(oldestFirst), func(i int) T { return oldestFirst[len(oldestFirst)-1-i] })
	}
	var chosen []T
	for _, v := range slices.Backward(oldestFirst) {
		if q.Match == nil || q.Match(v) {
			chosen = append(chosen, v)
		}
	}
	if q.Compare != nil {
		slices.SortStableFunc(chosen, q.Compare)
	}
	return q.cut(len(chosen), func(i int) T { return chosen[i] })
}

// cut returns the page of a list of total records.
func (q Query[T]) cut(total int, record func(int) T) Page[T] {
	page := Page[T]{Items: []T{}, Total: total}
	if q.Number < 1 || q.Size < 1 || q.Number-1 > total/q.Size {
		return page // beyond the end, or so far that the product might overflow
	}
	from := (q.Number - 1) * q.Size
	for i := from; i < min(from+q.Size, total); i++ {
		page.Items = append(page.Items, record(i))
	}
	return page
}
