package status

import (
	"bytes"
	"encoding/binary"
	"slices"
	"time"

	"github.com/rekindle-dev/rekindle/pkg/rendezvous"
	"github.com/rekindle-dev/rekindle/pkg/state"
)

// entry is what is known of one secret. It holds no pointers, so that the garbage
// collector does not look at a million of them.
type entry struct {
	id uid
	// record is the revision of the record, 0 when no record was seen; gone tells that
	// the secret is not shown any more.
	record state.Revision
	// stamp is the revision that the status in the bucket was made of, 0 when there is
	// none, and slot the bucket's own of whatever is there.
	stamp, slot state.Revision
	place       uint32 // where the status is
	gone        bool
}

// standing is how an entry's status compares with its record.
type standing int

const (
	settled standing = iota
	// behind: the status is to be written, or removed.
	behind
	// ahead: the status was made of a record that was not seen here. Either it will be, or
	// the records are not those that they were: a backup was restored.
	ahead
)

func (e *entry) standing() standing {
	switch {
	case e.gone && e.stamp != 0:
		return behind
	case e.gone, e.record == e.stamp:
		return settled
	case e.record > e.stamp:
		return behind
	default:
		return ahead
	}
}

// parts is in how many parts the entries are: so many that going through one, or moving what
// is behind a new one, takes no time that anybody notices.
const parts = 1 << 12

func partOf(id uid) int { return int(id[0])<<4 | int(id[1])>>4 }

// index is what is known of all secrets, and which of them wait. It is pure memory: not
// safe for concurrent use, and never asking for the time.
type index struct {
	// entries are in order of their ids, which takes half of what maps do.
	entries [][]entry
	places  places
	share   rendezvous.Share
	known   bool // whether the stamps are those of the bucket
	epoch   int  // how often that was forgotten

	// waiting is since when those of our share wait that are behind, and queue in which
	// order; those that are being written wait, too, but not in the queue.
	waiting map[uid]time.Time
	queue   []uid
	wake    chan struct{} // holds a token when the queue is not empty
	// later is since when those wait that are ahead, or could not be written.
	later map[uid]time.Time
}

func newIndex() index {
	return index{
		entries: make([][]entry, parts), places: places{numbers: map[place]uint32{}},
		waiting: map[uid]time.Time{}, wake: make(chan struct{}, 1), later: map[uid]time.Time{},
	}
}

// find returns in which part an entry is, or belongs, and where in it.
func (l *index) find(id uid) (part *[]entry, at int, ok bool) {
	part = &l.entries[partOf(id)]
	at, ok = slices.BinarySearchFunc(*part, id, func(e entry, id uid) int { return bytes.Compare(e.id[:], id[:]) })
	return part, at, ok
}

// entry returns what is known of a secret.
func (l *index) entry(id uid) (entry, bool) {
	part, at, ok := l.find(id)
	if !ok {
		return entry{id: id}, false
	}
	return (*part)[at], true
}

// set keeps an entry, unless it is of a secret that is gone for good.
func (l *index) set(e entry, now time.Time) {
	part, at, known := l.find(e.id)
	switch keep := e.stamp != 0 || !e.gone && e.record != 0; {
	case keep && known:
		(*part)[at] = e
	case keep:
		*part = slices.Insert(*part, at, e)
	case known:
		*part = slices.Delete(*part, at, at+1)
	}
	l.consider(&e, now)
}

// want notes a change of the record.
func (l *index) want(id uid, revision state.Revision, shown bool, now time.Time) {
	e, _ := l.entry(id)
	e.record, e.gone = revision, !shown
	l.set(e, now)
}

// have notes a change of the bucket, unless a later one is noted.
func (l *index) have(id uid, at place, stamp, slot state.Revision, now time.Time) {
	e, _ := l.entry(id)
	if slot <= e.slot {
		return
	}
	e.stamp, e.slot, e.place = stamp, slot, l.places.number(at)
	l.set(e, now)
}

// lost notes that there is no trace of a status in the bucket.
func (l *index) lost(id uid, now time.Time) {
	e, _ := l.entry(id)
	e.stamp, e.slot = 0, 0
	l.set(e, now)
}

// distrust notes that a status that is ahead was made of a record that never was, and
// whether there is none at all.
func (l *index) distrust(id uid, gone bool, now time.Time) {
	e, ok := l.entry(id)
	switch {
	case !ok || e.standing() != ahead:
		return
	case gone:
		e.gone = true
	default:
		e.stamp = 0
	}
	l.set(e, now)
}

// forget forgets what is in the bucket.
func (l *index) forget() {
	l.known = false
	l.epoch++
	for i, part := range l.entries {
		for at := range part {
			part[at].stamp, part[at].slot = 0, 0
		}
		l.entries[i] = slices.DeleteFunc(part, func(e entry) bool { return e.gone || e.record == 0 })
	}
}

// reshare notes what this process's share is.
func (l *index) reshare(me string, all []string) { l.share = rendezvous.Of(me, all) }

// look goes through one part of the entries.
func (l *index) look(part int, now time.Time) {
	for at := range l.entries[part] {
		l.consider(&l.entries[part][at], now)
	}
}

// ours reports whether a status is this process's to write, as far as it can tell now.
func (l *index) ours(id uid) bool { return l.known && l.share.Has(binary.BigEndian.Uint64(id[:])) }

// consider puts into the queue what is to be written.
func (l *index) consider(e *entry, now time.Time) {
	switch s := e.standing(); {
	case s == settled, !l.ours(e.id):
	case s == ahead:
		l.putOff(e.id, now)
	default:
		l.enqueue(e.id, now)
	}
}

func (l *index) enqueue(id uid, since time.Time) {
	if _, waits := l.waiting[id]; waits {
		return
	}
	l.waiting[id] = since
	l.queue = append(l.queue, id)
	l.stir()
}

func (l *index) stir() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// take takes the first out of the queue that is still to be written.
func (l *index) take() (e entry, ok bool) {
	for len(l.queue) > 0 {
		id := l.queue[0]
		l.queue = l.queue[1:]
		if len(l.queue) > 0 {
			l.stir()
		} else {
			l.queue = nil // and what it took at its longest
		}
		if e, _ = l.entry(id); l.ours(id) && e.standing() == behind {
			return e, true
		}
		l.drop(id)
	}
	return entry{}, false
}

// drop ends the wait of a status.
func (l *index) drop(id uid) {
	delete(l.waiting, id)
	if len(l.waiting) == 0 {
		l.waiting = map[uid]time.Time{} // a map keeps what it took at its largest
	}
}

// done ends the wait of a status that was taken, and begins another if it has fallen behind
// meanwhile; or, when it could not be written, puts it off.
func (l *index) done(id uid, written bool, now time.Time) {
	since := l.waiting[id]
	l.drop(id)
	if !written {
		l.putOff(id, since)
	} else if e, ok := l.entry(id); ok {
		l.consider(&e, now)
	}
}

func (l *index) putOff(id uid, since time.Time) {
	if earlier, waits := l.later[id]; !waits || since.Before(earlier) {
		l.later[id] = since
	}
}

// resume puts back into the queue what could not be written, and returns what is ahead.
func (l *index) resume() (doubtful []uid) {
	for id, since := range l.later {
		switch e, _ := l.entry(id); {
		case !l.ours(id) || e.standing() == settled:
		case e.standing() == behind:
			l.enqueue(id, since)
		default:
			doubtful = append(doubtful, id)
			continue
		}
		delete(l.later, id)
	}
	return doubtful
}

// wait returns how many statuses wait, and since when the first does.
func (l *index) wait() (n int, since time.Time) {
	if len(l.queue) > 0 {
		since = l.waiting[l.queue[0]]
	}
	for _, t := range l.later {
		if since.IsZero() || t.Before(since) {
			since = t
		}
	}
	return len(l.waiting) + len(l.later), since
}
