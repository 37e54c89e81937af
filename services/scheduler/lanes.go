package scheduler

import (
	"time"

	"github.com/rekindle-dev/rekindle/pkg/endpoint"
)

// lanes holds back what is due until its provider may be asked. It is pure
// memory over an index: not safe for concurrent use, and never asking for the
// time. Times are Unix milliseconds.
//
//	index ──due──► lane of a client ──pause, rate──┐
//	index ──due──► lane of the host ───────rate────┴─► host ──breaker, concurrency──► take
//	index ──due, asks nobody─────────────────────────────────────────────────────────► take
//
// What waits is taken in the order in which the values in use end, over all
// lanes and hosts; see [lane.pick]. A lane that waits holds up no other.
//
// Whatever was taken and accepted holds one of its host's places until its record
// changes. When its host opens its breaker, or its client is paused, it goes back
// to wait: an exchanger drops its job.
//
// Hosts and lanes are made when something is due, and dropped when there is
// nothing left to remember.
type lanes struct {
	x       *index
	budgets Budgets
	hosts   map[uint32]*host // by number
	// ready are the hosts of which something may be taken, by how urgent it is,
	// and timed the lanes that have to wait, by until when.
	ready heap[*host]
	timed heap[*lane]
	now   int64 // the last time that anybody has told
}

// stage is how far an entry has come.
type stage uint8

const (
	loose    stage = iota // in the index, or in the hands of who has taken it
	waiting               // in a lane
	released              // taken out of its lane: it holds a place of its host
)

// host is what is asked of one host.
type host struct {
	number   uint32
	budget   Budget
	lanes    map[uint32]*lane // by client; 0 is for all that have none of their own
	ready    heap[*lane]      // those that may release something, by how urgent it is
	released map[uint32]bool  // slots
	done     meter            // of what was released and has changed

	// open tells that the breaker is; until openUntil nothing is released, then
	// one entry at a time, probe, of this slot plus one. What nobody knows more
	// about at the time forgotten is over.
	open      bool
	openUntil int64
	forgotten int64
	probe     uint32
	// paused is until when the provider wants to be left alone by all clients.
	paused int64

	place int // in lanes.ready
}

// newLanes returns lanes over an empty index.
func newLanes(b Budgets) *lanes {
	l := &lanes{x: newIndex(), budgets: b, hosts: map[uint32]*host{}}
	l.x.left = l.leave
	l.ready.moved = func(h *host, place int) { h.place = place }
	l.timed.moved = func(n *lane, place int) { n.timer = place }
	return l
}

// atOnce is how many entries are moved into lanes before one is taken out of
// them. It bounds how long a call takes when a million are due.
const atOnce = 1000

// take returns what is to be offered now. It comes back by offered, or when its
// plan changes.
func (l *lanes) take(now int64) (entry, bool) {
	l.now = now
	for l.timed.first() <= now {
		l.arrange(l.timed.places[0].item)
	}
	for range atOnce {
		slot, due := l.x.take(now)
		if !due {
			break
		}
		switch e := l.x.entry(slot); {
		case e.host == 0 || !e.waits() && l.paused(e) <= now:
			return *e, true
		case !e.waits():
			l.x.enqueue(slot, l.paused(e))
			continue
		case e.stage == released && !l.held(e):
			return *e, true // again, in its place
		case e.stage == released:
			l.vacate(slot)
		}
		l.enter(slot)
	}
	return l.release()
}

// waits reports whether a plan is for an exchange that can wait for its turn. The
// code of a consent cannot: it is good for minutes. What else there is to do asks
// no provider.
func (p *plan) waits() bool { return p.action == exchange || p.action == refresh }

// paused is until when the provider wants to be left alone by the client of e.
func (l *lanes) paused(e *entry) int64 {
	h := l.hosts[e.host]
	if h == nil || e.action != authorize {
		return 0
	}
	if n := h.lanes[e.client]; n != nil {
		return max(h.paused, n.paused)
	}
	return h.paused
}

// held reports whether no exchanger would ask for e now.
func (l *lanes) held(e *entry) bool {
	h := l.hosts[e.host]
	if h == nil {
		return false
	}
	n := h.lanes[e.client]
	return h.blocked(l.now) > l.now || n != nil && n.paused > l.now
}

// release takes the most urgent entry that may be taken out of its lane.
func (l *lanes) release() (entry, bool) {
	for range atOnce {
		if l.ready.first() == never {
			break
		}
		h := l.ready.places[0].item
		n := h.ready.places[0].item
		slot := n.pick(l.now)
		n.remove(slot, l.x.entry(slot))
		if e := l.x.entry(slot); n.client == 0 && e.client != 0 && h.lanes[e.client] != nil {
			l.arrange(n)
			l.enter(slot) // its client has a lane by now
			continue
		}
		e := l.x.entry(slot)
		n.bucket.take()
		e.stage, e.paid = released, true
		h.released[slot] = true
		if h.isOpen(l.now) {
			h.probe = slot + 1
		}
		l.arrange(n)
		return *e, true
	}
	return entry{}, false
}

// earliest is when something may be taken: at once, at some time, or never.
func (l *lanes) earliest() int64 {
	if l.ready.first() != never {
		return l.now
	}
	return min(l.x.earliest(), l.timed.first())
}

// What became of an offer.
type offerResult int

const (
	offerFailed offerResult = iota
	offerQueued             // refused: a job for the secret is queued or in work
	offerAccepted
)

// offered says what became of what take returned: it is to be taken again at the
// time at, unless its plan changes.
func (l *lanes) offered(e *entry, r offerResult, at int64) {
	l.settle(e, r)
	slot, unchanged := l.x.find(e)
	if !unchanged || !l.x.ours(&e.plan) {
		return
	}
	if r == offerFailed && l.x.entry(slot).stage == released {
		l.vacate(slot)
	}
	now := l.x.entry(slot)
	now.offers, now.accepted, now.paid = e.offers, e.accepted, false
	l.x.enqueue(slot, at)
}

// settle takes an offer off its lane's budget if it was accepted, and no other.
func (l *lanes) settle(e *entry, r offerResult) {
	h := l.hosts[e.host]
	if e.stage != released || h == nil || e.paid == (r == offerAccepted) {
		return
	}
	n := h.lanes[e.client]
	if n == nil {
		n = h.lanes[0]
	}
	if n == nil {
		return
	}
	if e.paid {
		n.bucket.back()
	} else {
		n.bucket.take()
	}
	l.arrange(n)
}

// enter puts the entry of a slot into its lane.
func (l *lanes) enter(slot uint32) {
	e := l.x.entry(slot)
	h := l.host(e.host)
	n := h.lanes[e.client]
	if n == nil {
		client := e.client
		if h.budget.Rate == 0 || h.budget.Shared {
			client = 0
		}
		n = l.lane(h, client)
	}
	e.stage = waiting
	n.add(slot, e, l.now)
	l.arrange(n)
}

// leave takes the entry of a slot out of its lane, or frees its place.
func (l *lanes) leave(slot uint32) {
	e := l.x.entry(slot)
	h := l.hosts[e.host]
	if e.stage == released {
		h.done.add(l.now)
		l.vacate(slot)
		return
	}
	n := h.laneOf(slot, e)
	n.remove(slot, e)
	e.stage = loose
	l.arrange(n)
}

// vacate frees the place that the entry of a slot holds.
func (l *lanes) vacate(slot uint32) {
	e := l.x.entry(slot)
	h := l.hosts[e.host]
	e.stage = loose
	delete(h.released, slot)
	if h.probe == slot+1 {
		h.probe = 0
	}
	l.admit(h)
}

// withdraw has what was released wait again, of one client or, as 0, of all.
func (l *lanes) withdraw(h *host, client uint32) {
	for slot := range h.released {
		if e := l.x.entry(slot); client == 0 || e.client == client {
			l.vacate(slot)
			l.x.dequeue(slot)
			l.enter(slot)
		}
	}
}

// follow brings a host up to date with what is known of it: nil is nothing.
func (l *lanes) follow(name string, known *endpoint.Health, now time.Time) {
	l.now = max(l.now, now.UnixMilli())
	if known == nil {
		known = &endpoint.Health{}
	}
	h := l.host(l.x.hosts.number(name))
	was := h.open
	h.open, h.openUntil = known.Open(now), ceil(known.OpenUntil)
	h.forgotten = h.openUntil + endpoint.Forgotten.Milliseconds()
	h.paused = ceil(known.Pauses[0].Until)
	for client, p := range known.Pauses {
		if h.budget.Shared {
			client, h.paused = 0, max(h.paused, ceil(p.Until))
		}
		l.pause(h, client, p)
	}
	if h.open && !was {
		l.withdraw(h, 0)
	}
	for client, n := range h.lanes {
		n.paused = ceil(known.Pauses[client].Until)
		l.arrange(n)
	}
	l.forget(h)
}

// pause has a client wait in a lane of its own, or all of them as client 0.
func (l *lanes) pause(h *host, client uint32, p endpoint.Pause) {
	until := ceil(p.Until)
	if n := h.lanes[client]; until <= l.now || n != nil && n.paused >= until {
		return
	}
	n := l.lane(h, client)
	n.paused = until
	if p.Row > 0 {
		n.bucket.cut(l.now, h.done.perSecond(l.now))
	}
	l.withdraw(h, client)
}

// host returns the host of a number.
func (l *lanes) host(number uint32) *host {
	h := l.hosts[number]
	if h == nil {
		h = &host{
			number: number, budget: l.budgets.of(l.x.hosts.names[number]), place: idle,
			lanes: map[uint32]*lane{}, released: map[uint32]bool{},
		}
		h.ready.moved = func(n *lane, place int) { n.place = place }
		l.hosts[number] = h
	}
	return h
}

// lane returns the lane of a client.
func (l *lanes) lane(h *host, client uint32) *lane {
	n := h.lanes[client]
	if n == nil {
		n = &lane{host: h, client: client, bucket: newBucket(h.budget, l.now), place: idle, timer: idle}
		n.living.moved, n.lost.moved = l.x.moved, l.x.moved
		h.lanes[client] = n
	}
	return n
}

// arrange puts a lane where it belongs after whatever has changed, or drops it.
func (l *lanes) arrange(n *lane) {
	h := n.host
	at, some := n.urgency(l.now)
	wake := max(n.paused, n.bucket.ready(l.now))
	if some {
		wake = max(wake, h.blocked(l.now))
	} else {
		wake = max(wake, n.bucket.full(l.now))
	}
	switch {
	case wake > l.now:
		h.ready.remove(n.place)
		l.timed.put(n, n.timer, wake)
	case some:
		l.timed.remove(n.timer)
		h.ready.put(n, n.place, at)
	default:
		h.ready.remove(n.place)
		l.timed.remove(n.timer)
		delete(h.lanes, n.client)
	}
	l.admit(h)
}

// admit puts a host where it belongs after whatever has changed.
func (l *lanes) admit(h *host) {
	if h.free(l.now) {
		if at := h.ready.first(); at != never {
			l.ready.put(h, h.place, at)
			return
		}
	}
	l.ready.remove(h.place)
	l.forget(h)
}

// forget drops a host of which there is nothing to remember.
func (l *lanes) forget(h *host) {
	if len(h.lanes) == 0 && len(h.released) == 0 && !h.isOpen(l.now) && h.paused <= l.now {
		l.ready.remove(h.place)
		delete(l.hosts, h.number)
	}
}

// isOpen reports whether the breaker is open or half-open.
func (h *host) isOpen(now int64) bool { return h.open && now < h.forgotten }

// blocked is until when nothing of the host is released.
func (h *host) blocked(now int64) int64 {
	if h.isOpen(now) {
		return max(h.paused, h.openUntil)
	}
	return h.paused
}

// free reports whether one more entry may be released.
func (h *host) free(now int64) bool {
	if h.isOpen(now) {
		return h.probe == 0
	}
	return len(h.released) < h.budget.Concurrency
}

// laneOf is the lane in which the entry of a slot waits.
func (h *host) laneOf(slot uint32, e *entry) *lane {
	if n := h.lanes[e.client]; n != nil && n.queueOf(slot, e) != nil {
		return n
	}
	return h.lanes[0]
}

// ceil is a time in Unix milliseconds, never too early; 0 for none.
func ceil(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Add(time.Millisecond - 1).UnixMilli()
}
