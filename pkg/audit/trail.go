package audit

import (
	"context"
	"encoding/hex"
	"errors"
	"math"
	"slices"
	"time"
)

const (
	// maxLookPages and maxLookEntries bound what one question looks through that names more
	// than a time: a second's work.
	maxLookPages   = 2000
	maxLookEntries = 100_000
	// lateness is by how much a page may be older than an entry of it says, since clocks
	// differ.
	lateness = time.Minute
	// maxDelay is how long after it happened an entry is still looked for by its time.
	maxDelay = time.Hour
)

// Trail reads what was written down. It keeps nothing: a question costs the pages that it
// looks at, each a request to the log of well under a millisecond and some hundred
// microseconds to read, and to find the first of them some twenty more.
type Trail struct{ Log Log }

// Noted is an entry, with when it was written down.
type Noted struct {
	Entry
	NotedAt time.Time
}

// Query asks for entries of an organisation, the last that were written down first.
type Query struct {
	// From and To bound when they were written down; zero for no bound.
	From, To time.Time
	// Match selects among those; nil selects all.
	Match func(Noted) bool
	// Number is the page of the answer, counted from 1, and Size how many entries it
	// has.
	Number, Size int
}

// Result answers a query.
type Result struct {
	Items []Noted
	// Total is how many entries there are, or that were found until the looking ended.
	Total int
	// Until is how far back was looked, if there may be more behind it; zero if that
	// was all.
	Until time.Time
}

// List answers a query. Without bounds and Match it counts without looking.
func (t Trail) List(ctx context.Context, org string, q Query) (Result, error) {
	first, err := t.Log.Next(ctx, org, 1)
	if errors.Is(err, ErrNone) {
		return Result{}, nil
	}
	if err != nil {
		return Result{}, err
	}
	last, err := t.Log.Last(ctx, org)
	if err != nil {
		return Result{}, err
	}
	w := &walk{log: t.Log, org: org, first: first.Sequence}
	if q.Match == nil && q.From.IsZero() && q.To.IsZero() {
		if r, whole, err := w.whole(ctx, first, last, q); whole || err != nil {
			return r, err
		}
	}
	if !q.To.IsZero() {
		if last, err = w.before(ctx, last, func(p *Page) bool { return p.At.After(q.To) }); errors.Is(err, ErrNone) {
			return Result{}, nil
		}
		if err != nil {
			return Result{}, err
		}
	}
	return w.look(ctx, last, q)
}

// walk reads pages of an organisation. The first of them has the sequence first.
type walk struct {
	log   Log
	org   string
	first uint64
}

// whole answers a query for everything by the counts that pages have. It reports false when
// they are of no use, because a page cannot be read.
func (w *walk) whole(ctx context.Context, first, last Stored, q Query) (Result, bool, error) {
	a, errA := ReadPage(first.Body)
	b, errB := ReadPage(last.Body)
	if errA != nil || errB != nil || b.Total < a.Total {
		return Result{}, false, nil
	}
	end := b.Total + uint64(len(b.Entries))
	if b.Total-a.Total > math.MaxInt32 { // or somebody says so
		return Result{}, false, nil
	}
	r := Result{Total: int(end - a.Total)}
	skip := q.skip()
	if skip >= r.Total {
		return r, true, nil
	}
	wanted := end - uint64(skip) // the newest of the answer is the one before
	s, err := w.before(ctx, last, func(p *Page) bool { return p.Total >= wanted })
	for err == nil && len(r.Items) < q.Size {
		p, unread := ReadPage(s.Body)
		if unread != nil {
			return Result{}, false, nil
		}
		for i, e := range slices.Backward(p.Entries) {
			if p.Total+uint64(i) < wanted && len(r.Items) < q.Size {
				r.Items = append(r.Items, Noted{e, p.At})
			}
		}
		s, err = w.previous(ctx, s, p)
	}
	if errors.Is(err, ErrNone) {
		err = nil
	}
	return r, true, err
}

// skip is how many entries are ahead of the answer.
func (q Query) skip() int {
	if q.Size < 1 || q.Number > maxLookEntries*maxLookPages/q.Size {
		return maxLookEntries * maxLookPages
	}
	return (max(q.Number, 1) - 1) * q.Size
}

// look answers a query by looking at each entry, from the page s backward.
func (w *walk) look(ctx context.Context, s Stored, q Query) (r Result, err error) {
	looked := 0
	for pages := 1; ; pages++ {
		p, unread := ReadPage(s.Body)
		if unread != nil {
			p = nil
		} else {
			if p.At.Before(q.From) {
				r.Until = time.Time{}
				return r, nil
			}
			for _, e := range slices.Backward(p.Entries) {
				r.take(Noted{e, p.At}, q)
			}
			looked += len(p.Entries)
			r.Until = p.At
		}
		s, err = w.previous(ctx, s, p)
		if errors.Is(err, ErrNone) {
			r.Until = time.Time{}
			return r, nil
		}
		if err != nil || pages == maxLookPages || looked >= maxLookEntries {
			return r, err
		}
	}
}

// take counts an entry, if it is asked for, and keeps it if it is part of the answer.
func (r *Result) take(n Noted, q Query) {
	if q.Match != nil && !q.Match(n) {
		return
	}
	if skip := q.skip(); r.Total >= skip && len(r.Items) < q.Size {
		r.Items = append(r.Items, n)
	}
	r.Total++
}

// previous returns the page before s, which reads as p, nil if it cannot be read.
func (w *walk) previous(ctx context.Context, s Stored, p *Page) (Stored, error) {
	if p != nil && p.Before.Sequence >= w.first && p.Before.Sequence < s.Sequence {
		before, err := w.log.Next(ctx, w.org, p.Before.Sequence)
		if err != nil || before.Sequence == p.Before.Sequence {
			return before, err
		}
	}
	// The chain is broken here. What is before the break is shown all the same.
	return w.search(ctx, s.Sequence, func(Stored) bool { return false })
}

// before returns the last page up to s of which later is not true, which must be false of
// all pages up to some and true of all behind. It returns ErrNone when there is none.
func (w *walk) before(ctx context.Context, s Stored, later func(*Page) bool) (Stored, error) {
	beyond := func(s Stored) bool {
		p, err := ReadPage(s.Body)
		return err == nil && later(p)
	}
	if !beyond(s) {
		return s, nil
	}
	return w.search(ctx, s.Sequence, beyond)
}

// search returns the last page in front of the sequence end of which beyond is not true, or
// ErrNone. It halves the sequences that are left with every page that it reads.
func (w *walk) search(ctx context.Context, end uint64, beyond func(Stored) bool) (found Stored, err error) {
	for low, high := w.first, end; low < high; {
		middle := low + (high-low)/2
		s, err := w.log.Next(ctx, w.org, middle)
		switch {
		case err != nil && !errors.Is(err, ErrNone):
			return Stored{}, err
		case err != nil || s.Sequence >= high || beyond(s):
			high = middle
		default:
			found, low = s, s.Sequence+1
		}
	}
	if found.Sequence == 0 {
		return found, ErrNone
	}
	return found, nil
}

// Entry returns the entry with an id, or ErrNone. The id says when it was: it is looked for
// from there.
func (t Trail) Entry(ctx context.Context, org, id string) (Noted, error) {
	at, ok := timeOf(id)
	if !ok {
		return Noted{}, ErrNone
	}
	s, err := t.Begin(ctx, org, func(p *Page) bool { return !p.At.Before(at.Add(-lateness)) })
	for range maxLookPages {
		if err != nil {
			return Noted{}, err
		}
		if p, err := ReadPage(s.Body); err == nil {
			if i := slices.IndexFunc(p.Entries, func(e Entry) bool { return e.ID == id }); i >= 0 {
				return Noted{p.Entries[i], p.At}, nil
			}
			if p.At.After(at.Add(maxDelay)) {
				break
			}
		}
		s, err = t.Log.Next(ctx, org, s.Sequence+1)
	}
	return Noted{}, ErrNone
}

// Begin returns the first page of an organisation of which reached is true, which must be
// false of all pages up to some and true of all behind; or ErrNone.
func (t Trail) Begin(ctx context.Context, org string, reached func(*Page) bool) (Stored, error) {
	first, err := t.Log.Next(ctx, org, 1)
	if err != nil {
		return Stored{}, err
	}
	last, err := t.Log.Last(ctx, org)
	if err != nil {
		return Stored{}, err
	}
	w := &walk{log: t.Log, org: org, first: first.Sequence}
	ahead, err := w.before(ctx, last, reached)
	if errors.Is(err, ErrNone) {
		return first, nil
	}
	if err != nil {
		return Stored{}, err
	}
	return t.Log.Next(ctx, org, ahead.Sequence+1)
}

// timeOf returns the time that an id says, or reports false for what is no id.
func timeOf(id string) (time.Time, bool) {
	if len(id) != len(prefix)+32 || id[:len(prefix)] != prefix {
		return time.Time{}, false
	}
	raw, err := hex.DecodeString(id[len(prefix):])
	if err != nil {
		return time.Time{}, false
	}
	var ms int64
	for _, b := range raw[:6] {
		ms = ms<<8 | int64(b)
	}
	return time.UnixMilli(ms), hex.EncodeToString(raw) == id[len(prefix):]
}
