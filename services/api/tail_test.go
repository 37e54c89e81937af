package api

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/ledger"
)

// FuzzWants: whatever an event holds, it is one of a property's only if it says so.
func FuzzWants(f *testing.F) {
	f.Add([]byte(`{"secret":"SE1","property":"PR1"}`))
	f.Add([]byte(`{"property":["PR1"]}`))
	f.Add([]byte(`null`))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, body []byte) {
		e := events.Entry{Body: body}
		if !(EventQuery{}).wants(e) {
			t.Error("without a property all is wanted")
		}
		if (EventQuery{Properties: []string{"PR1"}}).wants(e) && (EventQuery{Properties: []string{"PR2"}}).wants(e) {
			t.Error("it is of two properties")
		}
	})
}

// TestFollowEventsTrustsNobody: what a log hands over that is another organisation's, or that
// cannot be read, is not told.
func TestFollowEventsTrustsNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		entry := func(n uint64, org string) events.Entry {
			return events.Entry{
				Sequence: n, Type: events.TypeRetryRequested, Body: []byte(`{"secret":"SE1","property":"PR1","new":{"member":1}}`),
				Event: events.Event{ID: "e", Source: "/x", Org: org, Time: time.Now(), Data: events.RetryRequested{Secret: "SE1"}},
			}
		}
		unreadable := entry(3, "mine")
		unreadable.Err = events.ErrUnknownType
		log := logOf{ledger.Part{Entries: []events.Entry{entry(1, "mine"), entry(2, "other"), unreadable, entry(4, "")}, Position: 4}}
		s := &Service{deps: Deps{Log: log}}
		var told []EventPart
		err := s.FollowEvents(t.Context(), Caller{Org: "mine"}, EventQuery{}, func(p EventPart) error {
			told = append(told, p)
			return nil
		})
		if err != nil || len(told) != 1 || len(told[0].Events) != 1 || told[0].Events[0].Sequence != 1 || told[0].Position != 4 {
			t.Fatalf("told %+v, %v", told, err)
		}
		want := `{"specversion":"1.0","id":"e","source":"/x","type":"dev.rekindle.v1.RetryRequested","subject":"SE1","time":"2000-01-01T00:00:00Z",` +
			`"datacontenttype":"application/json","org":"mine","data":{"secret":"SE1","property":"PR1","new":{"member":1}}}`
		if got := string(told[0].Events[0].Document); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		if err := s.FollowEvents(t.Context(), Caller{}, EventQuery{}, nil); err == nil {
			t.Error("whoever is of no organisation follows something")
		}
	})
}

// logOf hands over what it is made of.
type logOf []ledger.Part

// Tail implements Log.
func (l logOf) Tail(_ context.Context, _ ledger.Selection, _ ledger.Start, tell func(ledger.Part) error) error {
	for _, p := range l {
		if err := tell(p); err != nil {
			return err
		}
	}
	return nil
}
