package api

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestPaceOfASecret(t *testing.T) {
	t.Parallel()
	start := time.Date(2025, 11, 3, 8, 15, 0, 0, time.UTC)
	var p pace
	for i, row := range []struct{ at, want int }{ // in seconds
		{0, 0},
		{0, 0},
		{0, 0},
		{0, 20},
		{0, 20}, // to wait reserves nothing
		{5, 15},
		{19, 1},
		{20, 0},
		{20, 20},
		{45, 0},
		{45, 15},
		{60, 0},
		{60, 20},
		{200, 0}, // a long rest makes it whole, no more
		{200, 0},
		{200, 0},
		{200, 20},
		{199, 20}, // a clock put back gives nothing away
	} {
		got := p.admit("org", "SE1", start.Add(time.Duration(row.at)*time.Second))
		if want := time.Duration(row.want) * time.Second; got != want {
			t.Errorf("row %d, at %d s: wait %v, want %v", i, row.at, got, want)
		}
	}
	if wait := p.admit("org", "SE2", start); wait != 0 {
		t.Errorf("another secret waits %v", wait)
	}
}

// TestPaceRoundsUp: who waits as long as told is admitted.
func TestPaceRoundsUp(t *testing.T) {
	t.Parallel()
	for ms := range 2000 {
		var p pace
		now := time.Date(2025, 11, 3, 8, 15, 0, 0, time.UTC)
		for range secretTests {
			p.admit("org", "SE1", now)
		}
		now = now.Add(time.Duration(ms) * 7 * time.Millisecond)
		wait := p.admit("org", "SE1", now)
		if wait <= 0 || wait%time.Second != 0 {
			t.Fatalf("after %d ms: wait %v", ms*7, wait)
		}
		if again := p.admit("org", "SE1", now.Add(wait)); again != 0 {
			t.Fatalf("after %d ms: told to wait %v, then %v more", ms*7, wait, again)
		}
	}
}

func TestPaceOfAnOrganisation(t *testing.T) {
	t.Parallel()
	start := time.Date(2025, 11, 3, 8, 15, 0, 0, time.UTC)
	var p pace
	for i := range orgTests {
		if wait := p.admit("org", fmt.Sprint(i), start); wait != 0 {
			t.Fatalf("test %d waits %v", i, wait)
		}
	}
	if wait := p.admit("org", "more", start); wait != time.Second {
		t.Errorf("wait %v", wait)
	}
	if wait := p.admit("else", "theirs", start); wait != 0 {
		t.Errorf("another organisation waits %v", wait)
	}
	// What one of the two refuses counts at neither.
	for range secretTests {
		if wait := p.admit("org", "more", start.Add(3*time.Second)); wait != 0 {
			t.Errorf("wait %v", wait)
		}
	}
	if wait := p.admit("org", "more", start.Add(4*time.Second)); wait != 19*time.Second {
		t.Errorf("the secret waits %v", wait)
	}
	if wait := p.admit("org", "other", start.Add(4*time.Second)); wait != 0 {
		t.Errorf("the organisation waits %v", wait)
	}
}

func TestPaceForgets(t *testing.T) {
	t.Parallel()
	var p pace
	now := time.Date(2025, 11, 3, 8, 15, 0, 0, time.UTC)
	kept := 0
	for i := range 10_000 { // a hundred a second, each for a secret of its own
		now = now.Add(10 * time.Millisecond)
		p.admit("org", fmt.Sprint(i), now)
		kept = max(kept, len(p.secrets))
	}
	if kept > orgTests+2*60 {
		t.Errorf("kept %d limits", kept)
	}
	p.admit("else", "SE", now.Add(time.Hour))
	if len(p.secrets) != 1 || len(p.orgs) != 1 {
		t.Errorf("after an hour %d and %d are kept", len(p.secrets), len(p.orgs))
	}
}

func TestPaceOfMany(t *testing.T) {
	t.Parallel()
	var p pace
	var admitted atomic.Int64
	var callers sync.WaitGroup
	now := time.Date(2025, 11, 3, 8, 15, 0, 0, time.UTC)
	for range 50 {
		callers.Go(func() {
			if p.admit("org", "SE1", now) == 0 {
				admitted.Add(1)
			}
		})
	}
	callers.Wait()
	if n := admitted.Load(); n != secretTests {
		t.Errorf("%d were admitted", n)
	}
}
