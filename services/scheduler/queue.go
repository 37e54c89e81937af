package scheduler

// queued is one place in the queue: the slot of an entry, and when to take it.
// The time is repeated here so that finding a place reads the queue alone.
type queued struct {
	at   int64
	slot uint32
}

// The queue is a binary heap: each place is not later than the two below it,
// and every entry knows its place.

// enqueue puts the entry of a slot into the queue, or moves it within.
func (x *index) enqueue(slot uint32, at int64) {
	q := queued{at, slot}
	if place := x.entry(slot).place; place >= 0 {
		x.sift(int(place), q)
		return
	}
	x.queue = append(x.queue, q)
	x.up(len(x.queue)-1, q)
}

// dequeue takes the entry of a slot off the queue, if it is there.
func (x *index) dequeue(slot uint32) {
	e := x.entry(slot)
	if e.place < 0 {
		return
	}
	hole, end := int(e.place), len(x.queue)-1
	e.place = idle
	last := x.queue[end]
	x.queue = x.queue[:end]
	if hole < end {
		x.sift(hole, last)
	}
}

// sift finds the place of q, up or down from the hole at i.
func (x *index) sift(i int, q queued) {
	if i > 0 && q.at < x.queue[(i-1)/2].at {
		x.up(i, q)
	} else {
		x.down(i, q)
	}
}

func (x *index) up(i int, q queued) {
	for i > 0 {
		above := (i - 1) / 2
		if x.queue[above].at <= q.at {
			break
		}
		x.put(i, x.queue[above])
		i = above
	}
	x.put(i, q)
}

func (x *index) down(i int, q queued) {
	for {
		below := 2*i + 1
		if below >= len(x.queue) {
			break
		}
		if right := below + 1; right < len(x.queue) && x.queue[right].at < x.queue[below].at {
			below = right
		}
		if q.at <= x.queue[below].at {
			break
		}
		x.put(i, x.queue[below])
		i = below
	}
	x.put(i, q)
}

func (x *index) put(i int, q queued) {
	x.queue[i] = q
	x.entry(q.slot).place = int32(i)
}
