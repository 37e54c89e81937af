package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/audit"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state"
)

// No change is made without a word. What is to be told of it is written in the same
// commit, as a message in the outbox. The process that made the change tells it at
// once and removes the message; what a crash leaves there, another process tells
// after some seconds (see relay.go). So it is told at least once.

// deed is what somebody does, as it is to be told. Whatever writes to the state takes
// one.
type deed struct {
	who  Caller
	verb audit.Verb
	of   told
	// action is the action that was asked for, "" for none.
	action Action
	// outcome is how it ended, "" where the verb says that.
	outcome string
	// says are the events that announce it, none for what has no events.
	says []saying
}

// did is the deed of which no event is published.
func did(who Caller, verb audit.Verb, of told) deed { return deed{who: who, verb: verb, of: of} }

// parcel is a message in the outbox: all that is to be told of one change.
type parcel struct {
	Org string `json:"org"`
	// Events are to be published.
	Events []letter `json:"events,omitempty"`
	// Entry is what is to be written down; it has no id where nothing was done.
	Entry audit.Entry `json:"entry,omitzero"`

	id        string
	revision  state.Revision
	announced bool // by this process
}

// letter is an event as package events writes it.
type letter struct {
	Header events.Header   `json:"header"`
	Body   json.RawMessage `json:"body"`
}

// errUntold is a fault of the program: a change that nobody described.
var errUntold = errors.New("a change without a description of it")

// pack makes the parcel of a deed.
func (s *Service) pack(ctx context.Context, d deed) (*parcel, error) {
	if d.of == nil || d.verb == "" {
		return nil, errUntold
	}
	resource, org, entity := d.of.tell()
	if entity.PropertyName = s.nameOfProperty(entity.Property); entity.ID == entity.Property {
		entity.PropertyName = entity.Name
	}
	id, now := secret.NewRequestID(), s.now()
	p := &parcel{Org: org, id: id, Entry: audit.Entry{
		ID: audit.NewID(org, id, now), At: now, Resource: resource, Verb: d.verb, Action: string(d.action), Outcome: d.outcome,
		Email: d.who.Actor.Email, Name: d.who.Actor.DisplayName, Principal: bounded(d.who.Principal), Request: d.who.Request, Purpose: d.who.Purpose, Entity: entity,
	}}
	trace := traceparent(ctx)
	for _, say := range d.says {
		header, body, err := events.Encode(say.event(id, trace))
		if err != nil {
			return nil, err
		}
		p.Events = append(p.Events, letter{header, body})
	}
	return p, nil
}

// write is the write that puts the parcel into the outbox.
func (p *parcel) write() (state.Write, error) {
	body, err := json.Marshal(p)
	if err != nil {
		return state.Write{}, fmt.Errorf("encode what is to be told: %w", err)
	}
	return state.Write{Key: state.OutboxKey(p.id), Value: body}, nil
}

// write commits the writes together with what is to be told of them, and tells it. It is
// the one way in which this package changes the state; it returns what the commit does.
func (s *Service) write(ctx context.Context, d deed, writes ...state.Write) (state.Revision, error) {
	p, err := s.pack(ctx, d)
	if err != nil {
		return 0, err
	}
	memory, err := s.answered(ctx, d, p)
	if err != nil {
		return 0, err
	}
	w, err := p.write()
	if err != nil {
		return 0, err
	}
	// The parcel goes first: the revision that is returned is that of the records.
	rev, err := s.deps.State.Commit(ctx, slices.Concat([]state.Write{w}, memory, writes)...)
	switch {
	case err == nil:
		s.tell(ctx, p)
	case errors.Is(err, state.ErrConflict) && s.repeated(ctx, d.who):
		return 0, ErrRepeated
	}
	return rev, err
}

// quietly commits what is nobody's doing, or part of what is told already: the
// bookkeeping of this package. A test has the list of those who may.
func (s *Service) quietly(ctx context.Context, writes ...state.Write) (state.Revision, error) {
	return s.deps.State.Commit(ctx, writes...)
}

// telling is a store whose commits are told as the deed that describe returns, which is
// called when it is known what is to be written.
type telling struct {
	state.Store
	s        *Service
	describe func() deed
}

// Commit implements state.Store.
func (t telling) Commit(ctx context.Context, writes ...state.Write) (state.Revision, error) {
	return t.s.write(ctx, t.describe(), writes...)
}

// telling returns the secrets, for a change that is told.
func (s *Service) telling(describe func() deed) secret.Store {
	return secret.Store{State: telling{s.deps.State, s, describe}}
}

// tell publishes the events of a parcel whose change is made, and leaves the rest to the
// relay.
func (s *Service) tell(ctx context.Context, p *parcel) {
	// What is done is announced, also when whoever asked for it has gone.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), announceIn)
	defer cancel()
	if err := s.announce(ctx, p); err != nil {
		s.deps.Logger.WarnContext(ctx, "an event could not be published yet",
			"event", p.Entry.Type(), "secret", p.Entry.Entity.ID, "error", err)
		return
	}
	s.outbox.told(p.id)
}

// announceIn is how long the announcement of a change may hold up the answer to it.
const announceIn = 2 * time.Second

// announce publishes the events of a parcel. A later version of the program may have
// written them: they go out as they are.
func (s *Service) announce(ctx context.Context, p *parcel) error {
	for _, l := range p.Events {
		if err := s.deps.Events.Forward(ctx, l.Header, l.Body); err != nil {
			s.unsaid.WithLabelValues(strings.TrimPrefix(l.Header.Get(events.HeaderType), events.TypePrefix)).Inc()
			return err
		}
	}
	return nil
}

// intend puts into the outbox what is about to be done outside of the state. The intent
// must be done or called off; after a crash in between it is told as if it had been done,
// which nobody knows.
func (s *Service) intend(ctx context.Context, d deed) (*intent, error) {
	p, err := s.pack(ctx, d)
	if err != nil {
		return nil, err
	}
	w, err := p.write()
	if err != nil {
		return nil, err
	}
	p.revision, err = s.deps.State.Commit(ctx, w)
	return &intent{s, p}, unavailable(err)
}

// intent is a deed that is about to be done.
type intent struct {
	s *Service
	*parcel
}

func (i *intent) done(ctx context.Context) { i.s.tell(ctx, i.parcel) }

// calledOff forgets a deed that came to nothing.
func (i *intent) calledOff(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), announceIn)
	defer cancel()
	_, err := i.s.deps.State.Commit(ctx, state.Write{Key: state.OutboxKey(i.id), Expect: i.revision})
	if err != nil {
		i.s.deps.Logger.WarnContext(ctx, "a deed that came to nothing will be told all the same",
			"event", i.Entry.Type(), "secret", i.Entry.Entity.ID, "error", err)
	}
}
