package api_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/audit"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state/statetest"
	"github.com/rekindle-dev/rekindle/services/api"
	"github.com/rekindle-dev/rekindle/services/api/apitest"
)

// heard hands over what it is given, and tells what came of it.
type heard struct {
	parts chan []events.Entry
	ended chan error
}

func (h *heard) Hear(ctx context.Context, handle func(context.Context, []events.Entry) error) error {
	for {
		select {
		case part := <-h.parts:
			h.ended <- handle(ctx, part)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// TestWhatTheFleetDoes is written down by what it announces; what is no news, nobody's or
// unreadable is passed over, and holds up nothing.
func TestWhatTheFleetDoes(t *testing.T) {
	t.Parallel()
	st := statetest.New()
	apitest.PublishKeyset(t, st)
	h := &heard{make(chan []events.Entry), make(chan error)}
	w := &world{Process: apitest.StartWith(t, api.Config{}, api.Deps{State: st, Heard: h})}
	w.company = w.Service.Companies(apitest.Caller(), everything[*api.Company]()).Items[0]
	w.property = w.newProperty(t, "edge")
	made := must[*secret.Secret](t)(newToken(t, w.Service, w.property.ID, "", "crm"))
	outboxOf(t, st, empty)
	before := len(w.Audit.Pages(api.DefaultOrg))
	var part []events.Entry
	say := func(org, source string, data events.Data) {
		e := events.Event{ID: fmt.Sprint(len(part)), Source: source, Org: org, Time: time.Now(), Data: data}
		part = append(part, events.Entry{Sequence: uint64(len(part) + 1), Type: data.Type(), Event: e})
	}
	const x = "/rekindle/exchanger"
	id, in := made.ID, w.property.ID
	say(api.DefaultOrg, x, events.ExchangeSucceeded{Secret: id, Property: in, Action: "refresh"})
	say(api.DefaultOrg, x, events.ExchangeFailed{Secret: id, Property: in, Action: "refresh", Reason: events.ReasonThrottled, Detail: "not told"})
	say(api.DefaultOrg, x, events.ExchangeInterrupted{Secret: id, Property: in, Action: "exchange"})
	say(api.DefaultOrg, x, events.JobParked{Secret: id, Property: in, Action: "refresh"})
	say(api.DefaultOrg, x, events.ConsentHeld{Secret: id, Property: in})
	say(api.DefaultOrg, "/rekindle/export", events.SecretExported{Secret: id, Property: in, By: "somebody"})
	say(api.DefaultOrg, x, events.ReauthorizationDue{Secret: id, Property: in})
	say(api.DefaultOrg, x, events.ReauthorizationDue{Secret: id, Property: in, Ended: true})
	say(api.DefaultOrg, x, events.CredentialExpiring{Secret: id, Property: in, Reason: events.ReasonThrottled})
	say(api.DefaultOrg, x, events.CredentialExpired{Secret: id, Property: in})
	say(api.DefaultOrg, "/rekindle/api", events.ExchangeFailed{Secret: id, Property: in, Action: "authorize"}) // is in the outbox
	say(api.DefaultOrg, x, events.SecretTested{Secret: id, Property: in})
	say("NOBODY@Here", x, events.ExchangeSucceeded{Secret: id, Property: in})
	part = append(part, events.Entry{Sequence: 99, Type: "Unknown", Err: events.ErrUnknownType})

	down := errors.New("the log is down")
	w.Audit.Break(down)
	h.parts <- part
	if err := <-h.ended; !errors.Is(err, down) {
		t.Errorf("what could not be written ended with %v", err)
	}
	w.Audit.Break(nil)
	for range 2 { // the second time it is known
		h.parts <- part
		if err := <-h.ended; err != nil {
			t.Error(err)
		}
	}
	pages := w.Audit.Pages(api.DefaultOrg)[before:]
	if len(pages) != 1 || len(w.Audit.Pages("NOBODY@Here")) > 0 {
		t.Fatalf("%d pages, want 1; %d of nobody's", len(pages), len(w.Audit.Pages("NOBODY@Here")))
	}
	p, err := audit.ReadPage(pages[0].Body)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range p.Entries {
		got = append(got, fmt.Sprintf("%s %s %s%s by %s", e.Type(), e.Action, e.Outcome, e.Reason, e.Name))
		if e.Entity.ID != id || e.Entity.Name != "crm" || e.Entity.Property != in || e.Entity.PropertyName != w.property.Name {
			t.Errorf("%s is of %+v", e.Type(), e.Entity)
		}
	}
	if want := []string{
		"secret.refreshed refresh succeeded by ", "secret.refreshed refresh failedthrottled by ", "secret.refreshed exchange interrupted by ",
		"secret.refreshed refresh parked by ", "secret.reauthorized  held by ", "secret.read export  by somebody",
		"secret.reauthorization_due   by ", "secret.reauthorization_due  ended by ", "secret.expiring  throttled by ", "secret.expired   by ",
	}; !slices.Equal(got, want) {
		t.Errorf("written down %q, want %q", got, want)
	}
}
