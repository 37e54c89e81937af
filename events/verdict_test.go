package events_test

import (
	"slices"
	"testing"

	"github.com/rekindle-dev/rekindle/events"
)

// Every reason has a verdict, and every verdict a reason.
func TestVerdicts(t *testing.T) {
	t.Parallel()
	seen := map[events.Verdict]bool{}
	for _, r := range events.Reasons() {
		if !slices.Contains(events.Verdicts(), r.Verdict()) {
			t.Errorf("%s: %q is no verdict", r, r.Verdict())
		}
		seen[r.Verdict()] = true
	}
	if len(seen) != len(events.Verdicts()) {
		t.Errorf("verdicts in use: %v", seen)
	}
	if events.Reason("of tomorrow").Verdict() != events.NeedsConfiguration {
		t.Error("nobody looks at a reason of a newer version")
	}
}
