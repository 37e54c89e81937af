package apitest

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/ledger"
)

// silence is how long nothing has to come for tell to be called with nothing.
const silence = 50 * time.Millisecond

// wake lets go on whoever waits for an event. The lock is held.
func (e *Events) wake() {
	if e.more != nil {
		close(e.more)
		e.more = nil
	}
}

// Tail implements api.Log: the n-th event has the sequence n, and none is ever gone.
func (e *Events) Tail(ctx context.Context, which ledger.Selection, from ledger.Start, tell func(ledger.Part) error) error {
	position, started := e.begin(from)
	for first := true; ; first = false {
		part, more, err := e.behind(position, which)
		if err != nil {
			return err
		}
		if first && from.After != nil && *from.After > started {
			part.Gap = &ledger.Gap{SetBack: true}
		}
		position = part.Position
		part.Present = position >= started
		if err := tell(part); err != nil {
			return err
		}
		select {
		case <-more:
		case <-time.After(silence):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// begin is behind which event a start is, and how many there are.
func (e *Events) begin(from ledger.Start) (position, started uint64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	started = uint64(len(e.published))
	switch {
	case from.After != nil && *from.After <= started:
		return *from.After, started
	case from.After != nil:
		return 0, started
	case from.Since.IsZero():
		return started, started
	}
	for i, event := range e.published {
		if !event.Time.Before(from.Since) {
			return uint64(i), started
		}
	}
	return started, started
}

// behind is what is selected behind a place, and what is closed when there is more.
func (e *Events) behind(position uint64, which ledger.Selection) (part ledger.Part, more <-chan struct{}, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.broken != nil {
		return part, nil, e.broken
	}
	part.Position = uint64(len(e.published))
	for i, event := range e.published[position:] {
		t, about := event.Data.Type(), event.Data.About()
		if event.Org != which.Org || len(which.Types) > 0 && !slices.Contains(which.Types, t) || len(which.Secrets) > 0 && !slices.Contains(which.Secrets, about) {
			continue
		}
		body, err := json.Marshal(event.Data)
		if err != nil {
			return part, nil, fmt.Errorf("encode %s: %w", t, err)
		}
		part.Entries = append(part.Entries, events.Entry{Sequence: position + uint64(i) + 1, Stored: event.Time, Type: t, Event: event, Body: body})
	}
	if e.more == nil {
		e.more = make(chan struct{})
	}
	return part, e.more, nil
}
