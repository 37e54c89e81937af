package api

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/ledger"
)

// Log is the log of events, as those follow it who want to know what happens.
type Log interface {
	// Tail hands over the events that are selected, from the start on, in their order, until
	// ctx ends or tell returns an error, and returns that. It goes on after interruptions.
	// While nothing comes tell is called with nothing, every two seconds at least.
	Tail(ctx context.Context, which ledger.Selection, from ledger.Start, tell func(ledger.Part) error) error
}

// EventQuery says which events of an organisation are wanted, and from where on.
type EventQuery struct {
	Types   []events.Type
	Secrets []string
	// Properties are the ids of those whose events are wanted, none for all.
	Properties []string
	From       ledger.Start
}

// EventPart is a part of what happens, oldest first.
type EventPart struct {
	Gap    *ledger.Gap
	Events []Announced
	// Position and Present are as in [ledger.Part].
	Position uint64
	Present  bool
}

// Announced is an event as it is shown.
type Announced struct {
	// Sequence is its place in the log: it only grows.
	Sequence uint64
	Type     events.Type
	// Document is the event as a CloudEvent in JSON, on one line.
	Document []byte
}

// FollowEvents tells what happens in the caller's organisation until ctx ends or tell
// returns an error, and returns that. Events that this version of Rekindle cannot read are
// left out. It returns ErrNotReady where there is no log.
func (s *Service) FollowEvents(ctx context.Context, who Caller, q EventQuery, tell func(EventPart) error) error {
	if s.deps.Log == nil || who.Org == "" {
		return fmt.Errorf("%w: there is no event log here", ErrNotReady)
	}
	which := ledger.Selection{Org: who.Org, Types: q.Types, Secrets: q.Secrets}
	return s.deps.Log.Tail(ctx, which, q.From, func(p ledger.Part) error {
		part := EventPart{Gap: p.Gap, Position: p.Position, Present: p.Present}
		for _, e := range p.Entries {
			// Which organisation's it is says its subject, by which the log has selected it; that
			// the event says the same was looked at when it was read.
			if e.Err != nil || e.Event.Org != who.Org || !q.wants(e) {
				continue
			}
			document, err := events.Structured(e)
			if err != nil {
				continue
			}
			part.Events = append(part.Events, Announced{e.Sequence, e.Type, document})
		}
		return tell(part)
	})
}

// wants looks at what no subject tells.
func (q EventQuery) wants(e events.Entry) bool {
	if len(q.Properties) == 0 {
		return true
	}
	var data struct {
		Property string `json:"property"`
	}
	return json.Unmarshal(e.Body, &data) == nil && slices.Contains(q.Properties, data.Property)
}
