package scheduler

// lane is what waits to be asked for by one client of a host, or by all that have
// no lane of their own. It is no longer than the secrets are many.
type lane struct {
	host   *host
	client uint32
	// living are those for which something is still to be saved, by when it
	// ends; lost are those whose value has ended, or that have none.
	living, lost heap[uint32]
	bucket       bucket
	paused       int64 // until when the provider wants to be left alone

	place int // in host.ready
	timer int // in lanes.timed
}

// Urgency is in one order: first what somebody waits for, then by the ends of the
// values in use, then what is lost already.
const (
	someoneWaits = -1 << 61
	lostAlready  = 1 << 61
)

// urgency is how urgent an entry is, as a time, and whether it is still to be
// saved.
func (e *entry) urgency(now int64) (at int64, living bool) {
	switch {
	case e.action == exchange:
		return someoneWaits + e.due, true
	case e.expires == 0:
		return lostAlready + e.due, false
	case e.expires <= now:
		return lostAlready + e.expires, false
	default:
		return e.expires, true
	}
}

func (n *lane) add(slot uint32, e *entry, now int64) {
	at, living := e.urgency(now)
	if living {
		n.living.put(slot, idle, at)
	} else {
		n.lost.put(slot, idle, at)
	}
}

// remove takes an entry out of the lane it is in.
func (n *lane) remove(slot uint32, e *entry) { n.queueOf(slot, e).remove(int(e.place)) }

// queueOf is the queue of the lane that the entry of a slot is in, or nil.
func (n *lane) queueOf(slot uint32, e *entry) *heap[uint32] {
	for _, q := range []*heap[uint32]{&n.living, &n.lost} {
		if int(e.place) < len(q.places) && q.places[e.place].item == slot {
			return q
		}
	}
	return nil
}

func (n *lane) waiting() int { return len(n.living.places) + len(n.lost.places) }

// bury moves what has ended while it waited to what is lost.
func (n *lane) bury(now int64) {
	for end := n.living.first(); end > someoneWaits/2 && end <= now; end = n.living.first() {
		slot := n.living.places[0].item
		n.living.remove(0)
		n.lost.put(slot, idle, lostAlready+end)
	}
}

// queue is the queue whose first comes next; nil when nothing waits. What can
// still be saved goes before what is lost, which an order by ends alone would
// put first, and lose more for it. But if all of the lane is done before the
// first end, what is lost goes first, because whoever uses it is cut off.
func (n *lane) queue(now int64) *heap[uint32] {
	n.bury(now)
	switch end := n.living.first(); {
	case n.waiting() == 0:
		return nil
	case end == never:
		return &n.lost
	case len(n.lost.places) == 0 || end < someoneWaits/2:
		return &n.living
	default:
		rate := n.bucket.perSecond(now)
		if rate > 0 && float64(end-now) > 1000*float64(n.waiting())/rate {
			return &n.lost
		}
		return &n.living
	}
}

// urgency is that of what comes next, if anything waits.
func (n *lane) urgency(now int64) (at int64, some bool) {
	q := n.queue(now)
	if q == nil {
		return never, false
	}
	return q.first(), true
}

// pick returns what comes next; something must wait.
func (n *lane) pick(now int64) uint32 { return n.queue(now).places[0].item }
