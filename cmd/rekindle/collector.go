package main

import (
	"context"
	"math"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// How the collector is set. Left to itself, Go lets the heap double before it
// collects, so half of what a large fleet has resident would be garbage.
const (
	mostGrowth  = 100 // percent by which the heap may grow between collections: Go's default
	leastGrowth = 25

	// The share of all processors that collecting may take: below cheap the heap
	// is made to grow less, above dear it may grow more.
	cheap = 0.10
	dear  = 0.15

	// smallHeap is what is in use of a heap that is not worth the trouble, in
	// bytes.
	smallHeap = 256 << 20

	// collectorPeriod is how often the setting is thought over: long enough to
	// hold some collections of a large heap.
	collectorPeriod = 10 * time.Second
)

// collector keeps the heap as small as collecting can at a bounded price.
type collector struct {
	growth  int // percent
	spent   float64
	at      time.Time
	samples []metrics.Sample
}

// tuneCollector sets the garbage collector until ctx ends, and leaves it as it
// was. An operator's own GOGC is left alone by not calling it.
func tuneCollector(ctx context.Context) {
	defer debug.SetGCPercent(debug.SetGCPercent(mostGrowth))
	c := newCollector(time.Now())
	tick := time.NewTicker(collectorPeriod)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			if growth := c.next(now); growth != c.growth {
				c.growth = growth
				debug.SetGCPercent(growth)
			}
		}
	}
}

func newCollector(now time.Time) *collector {
	c := &collector{growth: mostGrowth, samples: []metrics.Sample{
		{Name: "/cpu/classes/gc/total:cpu-seconds"},
		{Name: "/cpu/classes/gc/mark/idle:cpu-seconds"},
		{Name: "/gc/heap/live:bytes"},
	}}
	c.share(now)
	return c
}

// next is what the growth ought to be, by what was measured since the last call.
func (c *collector) next(now time.Time) int {
	share := c.share(now)
	return nextGrowth(c.growth, share, c.samples[2].Value.Uint64())
}

// share is the part of all processors that collecting took since the last call,
// but for what would have been idle. The runtime counts it up when a collection
// ends.
func (c *collector) share(now time.Time) float64 {
	metrics.Read(c.samples)
	spent := c.samples[0].Value.Float64() - c.samples[1].Value.Float64()
	share := (spent - c.spent) / (now.Sub(c.at).Seconds() * float64(runtime.GOMAXPROCS(0)))
	c.spent, c.at = spent, now
	return share
}

// nextGrowth moves the growth by a fifth towards the price that is meant.
func nextGrowth(growth int, share float64, live uint64) int {
	switch {
	case live < smallHeap:
		return mostGrowth
	case share < cheap:
		return max(leastGrowth, growth*4/5)
	case share > dear:
		return min(mostGrowth, int(math.Ceil(float64(growth)*5/4)))
	default:
		return growth
	}
}
