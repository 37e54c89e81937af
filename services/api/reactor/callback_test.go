package reactor_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/services/api/apitest"
)

type callbackDoc struct {
	Data struct {
		Meta struct {
			Redelivery struct{ Outcome string }
			Replay     struct {
				Status                  string
				From, Position, Until   uint64
				Messages                int
				Since, EndedAt, AskedAt string
			}
		}
	}
}

type deliveriesDoc struct {
	Data []struct {
		Attributes struct {
			TypeOf    string `json:"type_of"`
			MessageID string `json:"message_id"`
			EntityID  string `json:"entity_id"`
			Outcome   string
		}
	}
	Meta struct{ Waiting int }
}

// TestCallbacksAreToldAgain what is in the trail, by a replay and message by message, and the log
// of that can be searched.
func TestCallbacksAreToldAgain(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	tr := s.plant(t)
	for i := range 3 {
		s.make(t, "/properties/"+tr.edge+"/secrets", attributes(fmt.Sprintf(`"name":"n%d","type_of":"token","credentials":{"token":"hidden-canary"}`, i)))
	}
	s.told(t)
	id := s.make(t, "/properties/"+tr.edge+"/callbacks", attributes(`"url":"https://hook.test/","subscriptions":["secret.created"],"ordering":"strict"`))
	patch := func(meta string) callbackDoc {
		t.Helper()
		a := s.call(t, http.MethodPatch, "/callbacks/"+id, `{"data":{"meta":{`+meta+`}}}`)
		if a.status != http.StatusOK {
			t.Fatalf("status %d: %s", a.status, a.body)
		}
		return decode[callbackDoc](t, a)
	}
	deliveries := func(query string) deliveriesDoc {
		t.Helper()
		a := s.call(t, http.MethodGet, "/callbacks/"+id+"/deliveries?"+query, "")
		if strings.Contains(string(a.body), "hidden-canary") {
			t.Error("the log tells what is hidden")
		}
		return decode[deliveriesDoc](t, a)
	}

	if r := patch(`"action":"replay","from":1`).Data.Meta.Replay; r.Status != "pending" || r.From != 1 {
		t.Errorf("a replay that was asked for is shown as %+v", r)
	}
	apitest.Watch(t, s.State, state.TryKey(id, "*"), func(records map[string][]byte) bool { return len(records) == 3 })
	all := deliveries("sort=created_at").Data
	for len(all) < 3 { // what is stored this process is told soon
		all = deliveries("sort=created_at").Data
	}
	r := decode[callbackDoc](t, s.call(t, http.MethodGet, "/callbacks/"+id, "")).Data.Meta.Replay
	if r.Messages != 3 || r.Status == "pending" {
		t.Errorf("the replay is shown as %+v", r)
	}
	if len(all) != 3 || all[0].Attributes.Outcome != "delivered" {
		t.Fatalf("the log has %+v", all)
	}
	one := all[1].Attributes
	for _, query := range []string{"filter[message_id]=EQ " + one.MessageID, "filter[entity_id]=EQ " + one.EntityID} {
		name, value, _ := strings.Cut(query, "=")
		found := deliveries(url.Values{name: {value}}.Encode()).Data
		if len(found) != 1 || found[0].Attributes.MessageID != one.MessageID {
			t.Errorf("%s has found %+v", query, found)
		}
	}
	if found := deliveries("filter%5Boutcome%5D=EQ%20failed").Data; len(found) != 0 {
		t.Errorf("failed are %+v", found)
	}

	if got := patch(`"action":"redeliver","message_id":"` + one.MessageID + `"`).Data.Meta.Redelivery.Outcome; got != "delivered" {
		t.Errorf("sent again: %s", got)
	}
	s.Receiver.Answer(http.StatusTeapot)
	if got := patch(`"action":"redeliver","message_id":"` + one.MessageID + `"`).Data.Meta.Redelivery.Outcome; got != "dropped" {
		t.Errorf("sent again: %s", got)
	}
	if since := patch(`"action":"replay","from":"2025-11-03T00:00:00Z"`).Data.Meta.Replay; since.From != 0 || since.Since == "" {
		t.Errorf("a replay from a time is shown as %+v", since)
	}
}
