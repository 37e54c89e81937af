package scheduler

import (
	"encoding/binary"
	"math"

	"github.com/rekindle-dev/rekindle/pkg/rendezvous"
)

// index keeps what every secret has to do next, and finds what is due first. It
// is pure memory: not safe for concurrent use, and never asking for the time.
// Times are Unix milliseconds.
//
// A secret takes about 165 bytes. Entries live in pages that never move, and
// nothing in a page or in the queue is a pointer: growing copies no entries, and
// the garbage collector does not look into them.
type index struct {
	slots map[uid]uint32
	pages []*[pageSize]entry
	used  uint32   // how many slots of the pages were ever in use
	free  []uint32 // slots to use again
	queue heap[uint32]
	orgs  names
	hosts names
	// share is what of it is ours to do. What is not rests idle.
	share share
	// left is told when an entry that a lane has to do with is about to change
	// or to go.
	left func(slot uint32)
}

const pageSize = 1024

// uid is a secret's id in binary, without its prefix.
type uid [16]byte

// plan is what the index keeps of a record.
type plan struct {
	id     uid
	trace  origin
	action uint8  // what is next, as an ordinal of actions
	class  class  // how the secret stands, for metrics
	human  bool   // whether somebody has to consent again
	org    uint32 // as a number of index.orgs
	host   uint32 // who is asked, as a number of index.hosts; 0 is nobody
	// due is when action is to happen; it has no meaning for rest.
	due      int64
	decision uint64
	// expires is when the value in use ends; 0 when there is none, or no end.
	expires int64
	// alarm is when it is to be said next that it ends, or has ended; 0 for never.
	alarm int64
	// client is who asks the host; see endpoint.Client.
	client uint32
}

// same reports whether p and o ask for the same thing at the same time.
func (p *plan) same(o *plan) bool {
	return p.due == o.due && p.decision == o.decision && p.action == o.action &&
		p.host == o.host && p.client == o.client
}

// entry is a plan and what became of it.
type entry struct {
	plan
	place    int32 // in the queue, or in that of a lane, or idle, or vacant
	offers   uint8 // how often a job was offered, as far as the pauses care
	accepted bool  // whether one of them was accepted
	stage          // how far it has come in its lane
	paid     bool  // whether this offer was taken off the budget
}

// vacant is the place of a slot that holds no secret. One that is idle has
// nothing to do, or somebody has taken it to do it.
const vacant = -2

func newIndex() *index {
	x := &index{
		slots: make(map[uid]uint32),
		orgs:  names{numbers: make(map[string]uint32)},
		hosts: names{numbers: map[string]uint32{"": 0}, names: []string{""}},
	}
	x.queue.moved = x.moved
	x.share = shareOf("alone", []string{"alone"})
	return x
}

// moved notes where the entry of a slot is in the heap that it is in.
func (x *index) moved(slot uint32, place int) { x.entry(slot).place = int32(place) }

// set adds or replaces the plan of a secret. What the plan asks for is queued
// for the time it is due. A plan that asks for the same as before keeps its
// place, so that a record that changes in other ways is not offered again early.
func (x *index) set(p *plan) {
	slot, known := x.slots[p.id]
	if !known {
		slot = x.vacant()
		x.slots[p.id] = slot
	}
	e := x.entry(slot)
	if known && e.same(p) {
		e.plan = *p
		return
	}
	x.leave(slot)
	e.plan, e.offers, e.accepted, e.paid = *p, 0, false, false
	if p.action == rest || !x.ours(p) {
		x.dequeue(slot)
	} else {
		x.enqueue(slot, p.due)
	}
}

// ours reports whether a plan is ours to carry out. All of a host's are one
// scheduler's, because the host's budget is kept in memory.
func (x *index) ours(p *plan) bool {
	if p.host == 0 {
		return x.share.Has(binary.BigEndian.Uint64(p.id[:]))
	}
	for n := len(x.share.hosts); n <= int(p.host); n++ {
		x.share.hosts = append(x.share.hosts, x.share.Has(rendezvous.Hash(x.hosts.names[n])))
	}
	return x.share.hosts[p.host]
}

// remove forgets a secret, if it is known.
func (x *index) remove(id uid) {
	slot, known := x.slots[id]
	if !known {
		return
	}
	x.leave(slot)
	x.dequeue(slot)
	delete(x.slots, id)
	*x.entry(slot) = entry{place: vacant}
	x.free = append(x.free, slot)
}

// leave takes the entry of a slot out of its lane, if it is in one.
func (x *index) leave(slot uint32) {
	if x.entry(slot).stage != loose {
		x.left(slot)
	}
}

// earliest is when the first of the queue is to be taken, or never.
func (x *index) earliest() int64 { return x.queue.first() }

const never = math.MaxInt64

// take returns the entry whose time came first, if its time has come, and takes
// it off the queue. It comes back by enqueue, or when its plan changes.
func (x *index) take(now int64) (slot uint32, due bool) {
	if x.earliest() > now {
		return 0, false
	}
	slot = x.queue.places[0].item
	x.dequeue(slot)
	return slot, true
}

// find returns the slot of what was taken, unless the plan has changed since.
func (x *index) find(e *entry) (slot uint32, unchanged bool) {
	slot, known := x.slots[e.id]
	if !known {
		return 0, false
	}
	now := x.entry(slot)
	return slot, now.place == idle && now.same(&e.plan)
}

// enqueue puts the entry of a slot into the queue, or moves it within.
func (x *index) enqueue(slot uint32, at int64) { x.queue.put(slot, int(x.entry(slot).place), at) }

// dequeue takes the entry of a slot off the queue, if it is there.
func (x *index) dequeue(slot uint32) { x.queue.remove(int(x.entry(slot).place)) }

func (x *index) entry(slot uint32) *entry { return &x.pages[slot/pageSize][slot%pageSize] }

// vacant returns a slot to fill.
func (x *index) vacant() uint32 {
	slot := x.used
	if n := len(x.free); n > 0 {
		slot, x.free = x.free[n-1], x.free[:n-1]
	} else {
		if slot%pageSize == 0 {
			x.pages = append(x.pages, new([pageSize]entry))
		}
		x.used++
	}
	x.entry(slot).place = idle
	return slot
}

// page calls visit for every entry of a page. The pages are numbered from 0; a
// secret stays on its page.
func (x *index) page(n int, visit func(*entry)) {
	for i := range min(int(x.used)-n*pageSize, pageSize) {
		if e := &x.pages[n][i]; e.place != vacant {
			visit(e)
		}
	}
}

// names numbers strings that many entries share. It forgets none: there are far
// fewer organisations than secrets.
type names struct {
	numbers map[string]uint32
	names   []string
}

func (n *names) number(name string) uint32 {
	number, known := n.numbers[name]
	if !known {
		number = uint32(len(n.names))
		n.numbers[name] = number
		n.names = append(n.names, name)
	}
	return number
}
