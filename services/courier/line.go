package courier

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/pkg/webhook"
)

// atOnce is how many deliveries are sent to one callback at a time while it takes them.
// One that does not is sent one at a time.
const atOnce = 8

// line is what waits for one callback, without the bodies.
type line struct {
	me, callback string
	wake         chan struct{} // holds a token when something may have become due
	freed        chan struct{} // holds a token when something does not wait any more
	stop         context.CancelFunc

	mu    sync.Mutex
	items map[string]*item
	about map[string][]*item // by entity, in the order of the trail
	bytes int                // of what waits
	// replayed of what waits, and replayedBytes, were made by a replay.
	replayed, replayedBytes int
	flying                  int
	busy                    map[string]bool // entities about which something is being sent here
	failing                 bool            // the last try has failed
}

// rules say which deliveries of a line may be sent.
type rules struct {
	// strict is for none about an entity before those ahead of it are over.
	strict bool
	// seen is up to which revision this process has been told what waits: of what is newer
	// it does not know yet what is ahead of it.
	seen state.Revision
	// upTo is the last position of the trail of which something may be sent.
	upTo uint64
}

// item is a delivery that waits.
type item struct {
	id, entity string
	position   uint64
	size       int // of the body
	due        time.Time
	again      bool // a try was made before
	replayed   bool
	holder     string
	until      time.Time
	revision   state.Revision
	// before this time it is not looked at again.
	notBefore time.Time
	flying    bool
	missing   time.Time // since when it could not be found
}

// missedFor is how long a delivery must have been missing to be gone.
const missedFor = 5 * time.Second

// newLine returns an empty line; stop ends the serving of it.
func newLine(me, callback string, stop context.CancelFunc) *line {
	return &line{me: me, callback: callback, stop: stop, wake: make(chan struct{}, 1), freed: make(chan struct{}, 1), items: map[string]*item{}, about: map[string][]*item{}, busy: map[string]bool{}}
}

// put takes in a delivery as it is stored.
func (l *line) put(d *webhook.Delivery, rev state.Revision) {
	l.mu.Lock()
	defer l.mu.Unlock()
	it, ok := l.items[d.ID]
	if !ok {
		it = &item{id: d.ID, entity: d.Entity, position: d.Position, size: len(d.Body)}
		l.join(it)
	}
	if rev < it.revision {
		return
	}
	l.count(it, d.Replayed)
	it.due, it.again = d.DueAt(), d.Tries > 0
	it.holder, it.until, it.revision, it.missing = d.Holder, d.HeldUntil, rev, time.Time{}
	l.stir()
}

// remove forgets a delivery.
func (l *line) remove(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if it, ok := l.items[id]; ok {
		l.leave(it)
	}
	l.stir()
}

// join takes in what is not there yet. The caller holds mu.
func (l *line) join(it *item) {
	l.items[it.id] = it
	l.bytes += it.size
	queue := l.about[it.entity]
	at, _ := slices.BinarySearchFunc(queue, it, byPosition)
	l.about[it.entity] = slices.Insert(queue, at, it)
}

// leave is the contrary. The caller holds mu.
func (l *line) leave(it *item) {
	delete(l.items, it.id)
	l.count(it, false)
	l.bytes -= it.size
	queue := slices.DeleteFunc(l.about[it.entity], func(other *item) bool { return other == it })
	if l.about[it.entity] = queue; len(queue) == 0 {
		delete(l.about, it.entity)
	}
	l.free()
}

// count notes whether a replay has made what waits. The caller holds mu.
func (l *line) count(it *item, replayed bool) {
	switch {
	case replayed && !it.replayed:
		l.replayed++
		l.replayedBytes += it.size
	case !replayed && it.replayed:
		l.replayed--
		l.replayedBytes -= it.size
	}
	it.replayed = replayed
}

// roomFor reports whether less than so many wait that a replay has made. Unless order is strict,
// in which what waits may wait for the replay, there must be room for one more among all.
func (l *line) roomFor(replayed int, strict bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	full := len(l.items) >= webhook.MaxWaiting || l.bytes >= webhook.MaxWaitingBytes
	return l.replayed < replayed && (strict || !full)
}

func byPosition(a, b *item) int {
	return cmp.Or(cmp.Compare(a.position, b.position), cmp.Compare(a.id, b.id))
}

// missed reports whether a delivery that could not be found has been missing for so long
// that it is gone: a read may be answered by who has not heard of it yet.
func (l *line) missed(it *item, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if it.missing.IsZero() {
		it.missing = now
	}
	return now.Sub(it.missing) >= missedFor
}

// stir has the line looked at. The caller holds mu.
func (l *line) stir() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// free has a replay look whether there is room.
func (l *line) free() {
	select {
	case l.freed <- struct{}{}:
	default:
	}
}

func (l *line) len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.items)
}

// soonest returns when the next try may be made of what waits for nothing else, zero when there
// is none.
func (l *line) soonest(r rules) (at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, it := range l.items {
		if !l.held(it, r) && (at.IsZero() || it.due.Before(at)) {
			at = it.due
		}
	}
	return at
}

// full reports whether more waits than may. What a replay has made does not count, for there is
// little of it, and what waits in strict order waits for it.
func (l *line) full() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.items)-l.replayed > webhook.MaxWaiting || l.bytes-l.replayedBytes > webhook.MaxWaitingBytes
}

// oldest returns the first delivery in the order of the trail that nobody is sending, and that
// no replay has made unless those may be taken, too.
func (l *line) oldest(replayed bool) (id string, rev state.Revision, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var first *item
	for _, it := range l.items {
		if !it.flying && (replayed || !it.replayed) && (first == nil || it.position < first.position) {
			first = it
		}
	}
	if first == nil {
		return "", 0, false
	}
	return first.id, first.revision, true
}

// dueHere is when this process may try.
func (it *item) dueHere(me string) time.Time {
	due := it.due
	if it.holder != me {
		if it.again && it.holder != "" {
			due = due.Add(othersAfter)
		}
		due = later(due, it.until)
	}
	return later(due, it.notBefore)
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// next returns what is to be sent now, nil for nothing, and when that may change by
// itself, zero for never.
func (l *line) next(now time.Time, r rules) (found *item, soonest time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.flying >= atOnce || l.failing && l.flying > 0 {
		return nil, soonest
	}
	elsewhere := l.elsewhere(now)
	for _, it := range l.items {
		due := it.dueHere(l.me)
		switch {
		case it.flying:
		case due.After(now):
			if soonest.IsZero() || due.Before(soonest) {
				soonest = due
			}
		case it.revision > r.seen || l.held(it, r) || l.busy[it.entity] || elsewhere[it.entity].before(it):
		case found == nil || it.before(found):
			found = it
		}
	}
	if found != nil {
		found.flying = true
		l.flying++
		l.busy[found.entity] = true
	}
	return found, soonest
}

// held reports whether an item waits for what is ahead of it. The caller holds mu.
func (l *line) held(it *item, r rules) bool {
	return it.position > r.upTo || r.strict && l.about[it.entity][0] != it
}

// before reports whether an item, nil for none, goes before another.
func (it *item) before(other *item) bool {
	switch {
	case it == nil:
		return false
	case !it.due.Equal(other.due):
		return it.due.Before(other.due)
	default:
		return it.position < other.position
	}
}

// elsewhere is what has to be waited for, the first about each entity: what other
// processes hold, and what this one will try for the first time in a moment.
func (l *line) elsewhere(now time.Time) (first map[string]*item) {
	for _, it := range l.items {
		rests := !it.again && it.notBefore.After(now) // its first try could not be made yet
		if !rests && (it.holder == l.me || !it.until.After(now)) {
			continue
		}
		if first == nil {
			first = map[string]*item{}
		}
		if known := first[it.entity]; known == nil || it.before(known) {
			first[it.entity] = it
		}
	}
	return first
}

// landed ends what next began. The item is looked at again at notBefore.
func (l *line) landed(it *item, notBefore time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	it.flying, it.notBefore = false, notBefore
	l.flying--
	delete(l.busy, it.entity)
	l.stir()
}

// fared notes how the last try ended.
func (l *line) fared(taken bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failing = !taken
}

// stirred has all of the line looked at, for what is known of the callback has changed.
func (l *line) stirred() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stir()
	l.free()
}
