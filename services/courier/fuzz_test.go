package courier

import (
	"log/slog"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/pkg/state/statetest"
	"github.com/rekindle-dev/rekindle/pkg/webhook"
)

// FuzzRecords: no record, and no page, makes a courier panic.
func FuzzRecords(f *testing.F) {
	f.Add("callback.CB1", []byte(`{"id":"CB1","org":"O","property":"PR1","url":"https://a.test/","subscriptions":["*"],"generation":1}`))
	f.Add("delivery.CB1.a", []byte(`{"id":"a","callback":"CB1","tries":9,"holder":"x","held_until":"9999-12-31T00:00:00Z"}`))
	f.Add("try.CB1.0", []byte(`{"number":18446744073709551615,"callback":"CB1"}`))
	f.Add("replay.CB1", []byte(`{"callback":"CB1","number":1,"sequence":7,"position":18446744073709551615}`))
	f.Add("page", []byte(`{"org":"O","number":1,"total":0,"entries":[{"id":"AE1","resource":"secret","verb":"created","entity":{"id":"SE1","property":"PR1","public":{}}}]}`))
	f.Fuzz(func(t *testing.T, key string, body []byte) {
		c := New(Deps{State: statetest.New(), Logger: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(), Key: webhook.NewKey()})
		c.callbacks["CB1"] = &webhook.Callback{ID: "CB1", Org: "O", Property: "PR1", Subscriptions: []string{webhook.Everything}}
		c.lines["CB1"] = newLine("", "CB1", nil) // which nobody serves
		switch change := (state.Change{Key: key, Value: body, Revision: 1}); key {
		case "callback.CB1":
			c.applyCallback(change)
		case "delivery.CB1.a", "try.CB1.0", "replay.CB1":
			c.applyDelivery(change)
		default:
			if err := c.takePage(t.Context(), body); err != nil {
				t.Error(err)
			}
		}
		for _, strict := range []bool{false, true} {
			c.lines["CB1"].next(c.deps.Now(), rules{strict, 1, 1})
		}
		c.Log("CB1")
	})
}
