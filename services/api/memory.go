package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state"
)

// What an upstream system asks for in an event is done once, however often the event
// comes, and so is what a request asks for that has a key: what came of it is written in
// the same commit, under a key that is the errand's. Whoever comes second fails that commit.
//
// A refusal is written there too, for a moment and by itself. It is no answer to whoever
// asks again, only a fence: to find nothing remembered may be to read a replica that is
// behind, and nothing may be refused on that alone.

const (
	// remember is for how long it is known that an errand was carried out: as long as an
	// event may lie in the queue.
	remember = 7 * 24 * time.Hour
	// rememberRefused outlives what any replica is behind.
	rememberRefused = time.Minute
)

// ErrRepeated is returned when what is remembered of an errand is not what was found: most
// likely it was done, or refused, already. Ask again what is remembered of it.
var ErrRepeated = errors.New("the same was asked before, and is being dealt with or just was: ask again")

// Errand is what a use case is carried out for once: an event of an upstream system, or an
// HTTP request with a key. It is for one attempt.
type Errand struct {
	// Source and ID tell it from all others of its organisation.
	Source, ID string
	// Type is the CloudEvents type of an event, "" for a request: of that no answer is
	// published.
	Type string

	asks  string         // what tells a request from another with the same key
	known state.Revision // of what is remembered of it
}

// Accepted says that the event was carried out, and what of it can be seen.
func (e *Errand) Accepted(n *secret.Secret) events.Accepted {
	return events.Accepted{
		Event: e.ID, EventSource: e.Source, EventType: e.Type,
		Secret: n.ID, Property: n.Property, Environment: n.Environment, Name: n.Name, Kind: string(n.Kind),
	}
}

// Answer is the answer to the event as it is published. Its id is the same whoever answers,
// so answering again does no harm. Place is where the event lay that is refused, as the
// same event may be refused more than once.
func (e *Errand) Answer(org string, data events.Data, at time.Time, trace string, place uint64) events.Event {
	_, id := state.Split(state.IntakeKey(org, e.Source, e.ID))
	if data.Type() == events.TypeRejected {
		id += ".rejected." + strconv.FormatUint(place, 10)
	} else {
		id += ".accepted"
	}
	return events.Event{ID: id, Source: source, Org: org, Time: at, Trace: trace, Data: data}
}

// memory is what is remembered of an errand.
type memory struct {
	At time.Time `json:"at"`
	// Asks is that of a request.
	Asks string `json:"asks,omitempty"`
	// Accepted is nil for one that was refused.
	Accepted *events.Accepted `json:"accepted,omitempty"`
}

// Recall returns how an errand was answered that was carried out, nil for one that was not,
// ErrKeyReused, ErrUnavailable, or secret.ErrDamaged.
func (s *Service) Recall(ctx context.Context, org string, e *Errand) (*events.Accepted, error) {
	body, rev, err := s.deps.State.Get(ctx, state.IntakeKey(org, e.Source, e.ID))
	e.known = rev
	if errors.Is(err, state.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, unavailable(err)
	}
	var found memory
	if json.Unmarshal(body, &found) != nil {
		return nil, fmt.Errorf("what is remembered of an errand: %w", secret.ErrDamaged)
	}
	if found.Accepted != nil && found.Asks != e.asks {
		return nil, ErrKeyReused
	}
	return found.Accepted, nil
}

// Refuse notes that an errand is refused. It returns ErrRepeated if what is remembered of it is
// not what the last Recall has found, or the last Refuse has noted, and ErrUnavailable.
func (s *Service) Refuse(ctx context.Context, org string, e *Errand) error {
	w, err := e.remembered(org, memory{At: s.now()}, rememberRefused)
	if err != nil {
		return err
	}
	rev, err := s.quietly(ctx, w)
	switch {
	case errors.Is(err, state.ErrConflict):
		return ErrRepeated
	case err != nil:
		return unavailable(err)
	}
	e.known = rev
	return nil
}

// remembered is the write that remembers the errand.
func (e *Errand) remembered(org string, m memory, life time.Duration) (state.Write, error) {
	body, err := json.Marshal(m)
	if err != nil {
		return state.Write{}, fmt.Errorf("encode what is remembered: %w", err)
	}
	return state.Write{Key: state.IntakeKey(org, e.Source, e.ID), Value: body, Expect: e.known, Life: life}, nil
}

// settle remembers, and announces, the caller's errand that there was nothing to do for: what
// it asked for stood already. It comes again as one that was carried out, whatever has
// become of the secret meanwhile. For a caller without one it does nothing. It returns
// ErrRepeated and ErrUnavailable.
func (s *Service) settle(ctx context.Context, who Caller, of *secret.Secret) error {
	p := &parcel{Org: who.Org, id: secret.NewRequestID()}
	memory, err := s.answered(ctx, deed{who: who, of: tellSecret{of}}, p)
	if err != nil || len(memory) == 0 {
		return err
	}
	w, err := p.write()
	if err != nil {
		return err
	}
	switch _, err := s.quietly(ctx, append(memory, w)...); {
	case errors.Is(err, state.ErrConflict):
		return ErrRepeated
	case err != nil:
		return unavailable(err)
	}
	s.tell(ctx, p)
	return nil
}

// answered puts the answer to the event that is the caller's errand into the parcel of what
// was done for it, and returns the write that remembers the errand; none for a caller
// without one.
func (s *Service) answered(ctx context.Context, d deed, p *parcel) ([]state.Write, error) {
	e := d.who.Errand
	if e == nil {
		return nil, nil
	}
	of, ok := d.of.(tellSecret)
	if !ok {
		return nil, errUntold
	}
	accepted, now := e.Accepted(of.Secret), s.now()
	if e.Type != "" {
		header, body, err := events.Encode(e.Answer(d.who.Org, accepted, now, traceparent(ctx), 0))
		if err != nil {
			return nil, err
		}
		p.Events = append(p.Events, letter{header, body})
	}
	w, err := e.remembered(d.who.Org, memory{now, e.asks, &accepted}, remember)
	return []state.Write{w}, err
}

// repeated tells a commit that failed because what is remembered of the caller's errand is not
// what was found any more from one that failed for its own sake, which is tried again.
func (s *Service) repeated(ctx context.Context, who Caller) bool {
	e := who.Errand
	if e == nil {
		return false
	}
	_, rev, err := s.deps.State.Get(ctx, state.IntakeKey(who.Org, e.Source, e.ID))
	if errors.Is(err, state.ErrNotFound) {
		rev, err = 0, nil // a refusal that was found may be gone by now
	}
	return err == nil && rev != e.known
}
