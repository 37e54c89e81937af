package api

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/rekindle-dev/rekindle/pkg/state"
)

// TestABacklogIsReadOnce: what a batch has no room for is not looked at, and a backlog
// that an outage has left costs each message once.
func TestABacklogIsReadOnce(t *testing.T) {
	t.Parallel()
	o := newOutbox(slog.New(slog.DiscardHandler))
	now := time.Now()
	const left = 10
	for i := range left {
		body := "{}"
		if i == left-1 {
			body = "{" // is seen when it is read
		}
		id := fmt.Sprint(i)
		o.apply(id, state.Change{Key: state.OutboxKey(id), Value: []byte(body), Revision: state.Revision(i + 1)}, now)
	}
	due := o.due(now.Add(relayAfter), left/2)
	for i, p := range due {
		if p.revision != state.Revision(i+1) {
			t.Errorf("the message of revision %d is at place %d", p.revision, i)
		}
	}
	if len(due) != left/2 || len(o.waiting) != left {
		t.Errorf("%d are due, %d wait: want %d and all %d", len(due), len(o.waiting), left/2, left)
	}
	if due := o.due(now.Add(relayAfter), left); len(due) != left-1 || len(o.waiting) != left-1 {
		t.Errorf("%d are due, %d wait: want all but the one that cannot be read", len(due), len(o.waiting))
	}
}
