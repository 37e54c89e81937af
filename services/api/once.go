package api

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/rekindle-dev/rekindle/pkg/state"
)

// ErrKeyReused is returned for a request whose key belongs to another: nothing was done.
var ErrKeyReused = errors.New("another request was made with this Idempotency-Key: what is another request takes another key")

// Request is an HTTP request that is to be carried out once.
type Request struct {
	// Key is what its sender calls it, at most 256 bytes.
	Key          string
	Method, Path string
	// Data is the resource in it, nil for none.
	Data *Object
}

// errand returns what tells the request from all others of whoever sends it. No event has
// a source with a line break in it.
func (r Request) errand(who Caller) *Errand {
	return &Errand{Source: "http\n" + who.Principal, ID: r.Key, asks: r.asks()}
}

// asks is a hash of what the request asks for. Credentials are left out: some are easily
// guessed, and a hash of them would tell whether a guess is right.
func (r Request) asks() string {
	asked := []any{r.Method, r.Path}
	if r.Data != nil {
		for _, place := range [][]string{
			{"attributes", "name"}, {"attributes", "type_of"}, {"meta", "action"}, {"relationships", "environment", "data", "id"},
		} {
			asked = append(asked, r.Data.peek(place...))
		}
	}
	return tagOf(asked)
}

// peek returns what is at a place in the object, nil for nothing. It notes nothing.
func (o *Object) peek(place ...string) json.RawMessage {
	members := o.members
	for _, name := range place[:len(place)-1] {
		var err error
		if members, err = split(members[name]); err != nil {
			return nil
		}
	}
	return members[place[len(place)-1]]
}

// Once has do carry out a request, unless it was carried out before: by this process or
// another, in the last seven days. Then it returns what it was done to as that is now, with
// Repeated, and without a secret if there is none any more. A request that was refused was
// not carried out. Do is given the caller to do it for, and called once at most.
//
// It returns the errors of do, ErrKeyReused, ErrUnavailable, and ErrRepeated for a request
// whose twin is under way.
func (s *Service) Once(ctx context.Context, who Caller, r Request, do func(Caller) (*Changed, error)) (*Changed, error) {
	who.Errand = r.errand(who)
	if before, err := s.before(ctx, who); before != nil || err != nil {
		return before, err
	}
	changed, err := do(who)
	switch {
	case err == nil && changed != nil && changed.Unchanged:
		err = s.settle(ctx, who, changed.Secret)
	case refused(err):
		// What is refused may be so because it is done: then this fails.
		if fenced := s.Refuse(ctx, who.Org, who.Errand); fenced != nil {
			err = fenced
		}
	}
	if !errors.Is(err, ErrRepeated) {
		return changed, err
	}
	before, err := s.before(ctx, who)
	if before == nil && err == nil {
		err = ErrRepeated
	}
	return before, err
}

// refused tells a refusal, for which the state may be the reason, from what went wrong.
func refused(err error) bool {
	_, is := errors.AsType[*RefusedError](err)
	return is || errors.Is(err, ErrNotFound) || errors.Is(err, ErrChanged)
}

// before returns what the caller's errand was done to, nil if it was not done.
func (s *Service) before(ctx context.Context, who Caller) (*Changed, error) {
	accepted, err := s.Recall(ctx, who.Org, who.Errand)
	if accepted == nil || err != nil {
		return nil, err
	}
	// Another process may have done it: it is shown when this one has heard of it.
	_, rev, err := s.secrets.Get(ctx, accepted.Secret)
	switch {
	case errors.Is(err, state.ErrNotFound):
		return &Changed{Repeated: true}, nil
	case err != nil:
		return nil, unavailable(err)
	}
	s.see(ctx, rev)
	found, err := s.Secret(ctx, who, accepted.Secret)
	switch {
	case errors.Is(err, ErrNotFound):
		return &Changed{Repeated: true}, nil
	case err != nil:
		return nil, err
	}
	return &Changed{Secret: found, Repeated: true}, nil
}
