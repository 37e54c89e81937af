package main

import (
	"context"
	"runtime"
	"runtime/debug"
	"testing"
	"time"
)

func TestNextGrowth(t *testing.T) {
	t.Parallel()
	const large = smallHeap
	tests := []struct {
		name   string
		growth int
		share  float64
		live   uint64
		want   int
	}{
		{"a small heap is Go's business", 25, 0, smallHeap - 1, 100},
		{"cheap", 100, 0.099, large, 80},
		{"cheap, and as small as it gets", 26, 0, large, 25},
		{"between", 50, 0.12, large, 50},
		{"dear", 50, 0.151, large, 63},
		{"dear, and as Go has it", 99, 1, large, 100},
		{"dear, from the least", 25, 1, large, 32},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := nextGrowth(tt.growth, tt.share, tt.live); got != tt.want {
				t.Errorf("%d %%, want %d %%", got, tt.want)
			}
		})
	}
}

// TestCollectorMeasures makes the runtime collect and wants that seen.
func TestCollectorMeasures(t *testing.T) {
	t.Parallel()
	at := time.Now()
	c := newCollector(at)
	garbage := make([][]byte, 1000)
	for range 10 {
		for i := range garbage {
			garbage[i] = make([]byte, 1<<10)
		}
		runtime.GC()
	}
	if share := c.share(at.Add(time.Second)); share <= 0 {
		t.Errorf("ten collections took %g of the processors", share)
	}
	if live := c.samples[2].Value.Uint64(); live == 0 {
		t.Error("nothing is in use")
	}
	runtime.KeepAlive(garbage)
}

// TestTuneCollectorLeavesNoTrace is not parallel: the setting is the process's.
func TestTuneCollectorLeavesNoTrace(t *testing.T) {
	before := debug.SetGCPercent(77)
	defer debug.SetGCPercent(before)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	tuneCollector(ctx)
	if after := debug.SetGCPercent(77); after != 77 {
		t.Errorf("%d %% afterwards, want the 77 %% of before", after)
	}
}
