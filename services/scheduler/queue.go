package scheduler

// heap keeps items by the time at which they come, the first in front. It is a
// binary heap: each place is not later than the two below it. Items are told
// where they are, so that they can be moved and removed.
type heap[T any] struct {
	places []queued[T]
	// moved tells an item its place: a number, or idle when it is in none.
	moved func(item T, place int)
}

// queued is one place: an item, and when it comes. The time is repeated here so
// that finding a place reads the heap alone.
type queued[T any] struct {
	at   int64
	item T
}

// idle is the place of an item that is in no heap.
const idle = -1

// first is when the first item comes, or never.
func (h *heap[T]) first() int64 {
	if len(h.places) == 0 {
		return never
	}
	return h.places[0].at
}

// put adds an item, which is at the place of idle, or moves it.
func (h *heap[T]) put(item T, place int, at int64) {
	q := queued[T]{at, item}
	if place >= 0 {
		h.sift(place, q)
		return
	}
	h.places = append(h.places, q)
	h.up(len(h.places)-1, q)
}

// remove takes off the item at a place, if that is one.
func (h *heap[T]) remove(place int) {
	if place < 0 {
		return
	}
	end := len(h.places) - 1
	gone, last := h.places[place].item, h.places[end]
	clear(h.places[end:])
	h.places = h.places[:end]
	if place < end {
		h.sift(place, last)
	}
	h.moved(gone, idle)
}

// sift finds the place of q, up or down from the hole at i.
func (h *heap[T]) sift(i int, q queued[T]) {
	if i > 0 && q.at < h.places[(i-1)/2].at {
		h.up(i, q)
	} else {
		h.down(i, q)
	}
}

func (h *heap[T]) up(i int, q queued[T]) {
	for i > 0 {
		above := (i - 1) / 2
		if h.places[above].at <= q.at {
			break
		}
		h.set(i, h.places[above])
		i = above
	}
	h.set(i, q)
}

func (h *heap[T]) down(i int, q queued[T]) {
	for {
		below := 2*i + 1
		if below >= len(h.places) {
			break
		}
		if right := below + 1; right < len(h.places) && h.places[right].at < h.places[below].at {
			below = right
		}
		if q.at <= h.places[below].at {
			break
		}
		h.set(i, h.places[below])
		i = below
	}
	h.set(i, q)
}

func (h *heap[T]) set(i int, q queued[T]) {
	h.places[i] = q
	h.moved(q.item, i)
}
