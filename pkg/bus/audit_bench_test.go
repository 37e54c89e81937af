package bus

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/audit"
)

// BenchmarkAudit is the way of what the fleet did from the event log to the audit trail: heard,
// made an entry of, written on a page, acknowledged.
func BenchmarkAudit(b *testing.B) {
	bus := open(b)
	for i := range b.N {
		e := events.Event{
			ID: fmt.Sprint(i), Source: "/rekindle/bench", Org: "acme", Time: time.Now(),
			Data: events.ExchangeSucceeded{Secret: fmt.Sprintf("SE%032x", i), Property: fmt.Sprintf("PR%032x", 1), Generation: 1, Action: "refresh"},
		}
		if err := bus.Publish(b.Context(), e); err != nil {
			b.Fatal(err)
		}
	}
	log := openAudit(b, bus)
	keeper := audit.NewKeeper(log, time.Now)
	ctx, stop := context.WithCancel(b.Context())
	b.ResetTimer()
	left, parts := b.N, 0
	bus.Hear(ctx, func(ctx context.Context, list []events.Entry) error {
		entries := make([]audit.Entry, len(list))
		for i, e := range list {
			entries[i] = audit.Entry{
				ID: audit.NewID("acme", e.Event.ID, e.Event.Time), At: e.Event.Time, Resource: "secret", Verb: audit.Refreshed,
				Action: "refresh", Outcome: "succeeded", Entity: audit.Entity{ID: e.Event.Data.About(), Name: "crm", Property: "PR1", PropertyName: "edge"},
			}
		}
		if _, err := keeper.Keep(ctx, "acme", entries); err != nil {
			return err
		}
		parts++
		if left -= len(list); left <= 0 {
			stop()
		}
		return nil
	})
	stop()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "entries/s")
	b.ReportMetric(float64(b.N)/float64(parts), "entries/page")
}
