package events_test

import (
	"slices"
	"testing"

	"github.com/rekindle-dev/rekindle/events"
)

// Every reason has a verdict, and every verdict a reason.
func TestVerdicts(t *testing.T) {
	t.Parallel()
	verdicts := []events.Verdict{events.Retry, events.Wait, events.NeedsConfiguration, events.NeedsHuman, events.Unknown}
	seen := map[events.Verdict]bool{}
	for _, r := range events.Reasons() {
		if !slices.Contains(verdicts, r.Verdict()) {
			t.Errorf("%s: %q is no verdict", r, r.Verdict())
		}
		seen[r.Verdict()] = true
	}
	if len(seen) != len(verdicts) {
		t.Errorf("verdicts in use: %v", seen)
	}
	if events.Reason("of tomorrow").Verdict() != events.NeedsConfiguration {
		t.Error("nobody looks at a reason of a newer version")
	}
}
