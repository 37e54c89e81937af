package courier

import (
	"testing"
	"time"

	"github.com/rekindle-dev/rekindle/pkg/webhook"
)

// TestWhatCouldNotBeTriedGoesFirst has the first of two deliveries about one entity rest
// for a moment: the second waits for it. After a try, it would not.
func TestWhatCouldNotBeTriedGoesFirst(t *testing.T) {
	t.Parallel()
	now := time.Date(2025, time.November, 3, 8, 0, 0, 0, time.UTC)
	for _, tried := range []bool{false, true} {
		l := newLine("me", "CB1", nil)
		first := &webhook.Delivery{ID: "1", Callback: "CB1", Entity: "SE1", Position: 1, At: now}
		second := &webhook.Delivery{ID: "2", Callback: "CB1", Entity: "SE1", Position: 2, At: now}
		l.put(first, 1)
		l.put(second, 2)
		it, _ := l.next(now, rules{seen: 9, upTo: 9})
		if it == nil || it.id != "1" {
			t.Fatalf("the first is not %+v", it)
		}
		if tried {
			first.Tries, first.NextAt = 1, now.Add(time.Minute)
			l.put(first, 3)
		}
		l.landed(it, now.Add(time.Second))
		if it, _ = l.next(now, rules{seen: 9, upTo: 9}); (it != nil) != tried {
			t.Errorf("tried: %t: next is %v", tried, it)
		}
	}
}

// TestMissedOnce keeps what a single read has not found.
func TestMissedOnce(t *testing.T) {
	t.Parallel()
	now := time.Date(2025, time.November, 3, 8, 0, 0, 0, time.UTC)
	l, it := newLine("me", "CB1", nil), new(item)
	if l.missed(it, now) || l.missed(it, now.Add(missedFor-1)) {
		t.Error("gone too soon")
	}
	if !l.missed(it, now.Add(missedFor)) {
		t.Error("it is never gone")
	}
}
