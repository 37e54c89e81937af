package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// world is a clock that jumps from event to event, and the dice. Events of the
// same moment happen in the order in which they were planned.
type world struct {
	*rand.Rand
	now     time.Duration
	planned agenda
	count   uint64
}

func newWorld(seed uint64) *world { return &world{Rand: rand.New(rand.NewPCG(seed, 0))} }

// at plans do for the time t, or for now if that has passed.
func (w *world) at(t time.Duration, do func()) {
	w.count++
	w.planned = append(w.planned, event{max(t, w.now), w.count, do})
	w.planned.up(len(w.planned) - 1)
}

func (w *world) after(d time.Duration, do func()) { w.at(w.now+d, do) }

// run lets happen what is planned before the end.
func (w *world) run(end time.Duration) {
	for len(w.planned) > 0 && w.planned[0].at < end {
		e := w.planned.first()
		w.now = e.at
		e.do()
	}
	w.now = end
}

// exp draws a time between events that come at random, mean apart.
func (w *world) exp(mean time.Duration) time.Duration {
	return time.Duration(w.ExpFloat64() * float64(mean))
}

// between draws a time evenly.
func (w *world) between(from, to time.Duration) time.Duration {
	return from + time.Duration(w.Int64N(int64(to-from)))
}

// poisson calls do at random times, so many a second, until the end.
func (w *world) poisson(rate float64, end time.Duration, do func()) {
	var next func()
	next = func() {
		w.after(w.exp(time.Duration(float64(time.Second)/rate)), func() {
			if w.now < end {
				do()
				next()
			}
		})
	}
	next()
}

type event struct {
	at    time.Duration
	order uint64
	do    func()
}

func (e *event) before(o *event) bool {
	return e.at < o.at || e.at == o.at && e.order < o.order
}

// agenda is a binary heap: no event is before the one above it. (container/heap
// would allocate each.)
type agenda []event

func (a agenda) up(i int) {
	for above := (i - 1) / 2; i > 0 && a[i].before(&a[above]); above = (i - 1) / 2 {
		a[i], a[above] = a[above], a[i]
		i = above
	}
}

// first takes the first event.
func (a *agenda) first() event {
	h, last := *a, len(*a)-1
	e := h[0]
	h[0], h[last] = h[last], event{} // let go of what it holds
	h = h[:last]
	for i := 0; ; {
		least := i
		for below := 2*i + 1; below <= 2*i+2 && below < last; below++ {
			if h[below].before(&h[least]) {
				least = below
			}
		}
		if least == i {
			break
		}
		h[i], h[least] = h[least], h[i]
		i = least
	}
	*a = h
	return e
}

// times is a sample of durations.
type times []time.Duration

// quantile returns the value below which the share q of the sample lies.
func (t times) quantile(q float64) time.Duration {
	if len(t) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(t))
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

// The forms in which figures are shown.

func short(d time.Duration) string {
	switch {
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.1f ms", d.Seconds()*1000)
	case d < time.Second:
		return fmt.Sprintf("%.0f ms", d.Seconds()*1000)
	case d < 10*time.Minute:
		return fmt.Sprintf("%.1f s", d.Seconds())
	default:
		return fmt.Sprintf("%d h %02d min", int(d.Hours()), int(d.Minutes())%60)
	}
}

// count writes a number with commas.
func count[N int | float64](n N) string {
	s := fmt.Sprintf("%.0f", float64(n))
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
