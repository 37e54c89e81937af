package api

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"time"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/audit"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/pkg/work"
)

// maxParked bounds the messages that a list is made of. There are more only when
// thousands of secrets fail at once; those that were parked first are listed, and
// others come up when they are dealt with.
const maxParked = 10_000

// laneOfJobs is the lane that something can be put back into.
const laneOfJobs = "job"

// Parked keeps the messages that were set aside for a person.
type Parked interface {
	// Parked tells of those that are there when it is called, oldest first,
	// without their members: of those about one secret, by its id, or of all as "".
	// An error is the last it tells.
	Parked(ctx context.Context, about string) iter.Seq2[*work.Parked, error]
	// ParkedMessage returns one by its number, or state.ErrNotFound.
	ParkedMessage(ctx context.Context, id uint64) (*work.Parked, error)
	// Discard deletes one by its number. Of several who do, one succeeds; the
	// others get state.ErrNotFound.
	Discard(ctx context.Context, id uint64) error
}

// Jobs takes orders for exchangers.
type Jobs interface {
	// Offer puts a job into its secret's lane, or reports false when there is one
	// already, queued or being worked on.
	Offer(ctx context.Context, job events.Event) (accepted bool, err error)
}

// ParkedMessages lists the parked messages of the caller's organisation. It
// returns ErrNotReady or ErrUnavailable.
func (s *Service) ParkedMessages(ctx context.Context, who Caller, q Query[*work.Parked]) (Page[*work.Parked], error) {
	if s.deps.Parked == nil {
		return Page[*work.Parked]{}, errNoParked
	}
	var oldestFirst []*work.Parked
	for m, err := range s.deps.Parked.Parked(ctx, "") {
		if err != nil {
			return Page[*work.Parked]{}, unavailable(err)
		}
		if s.ownerOf(m) != who.Org || q.Match != nil && !q.Match(m) {
			continue
		}
		if oldestFirst = append(oldestFirst, m); len(oldestFirst) == maxParked {
			break
		}
	}
	return Query[*work.Parked]{Order: q.Order, Number: q.Number, Size: q.Size}.of(runs[*work.Parked]{oldestFirst}), nil
}

var errNoParked = fmt.Errorf("%w: parked messages are not available here", ErrNotReady)

// ParkedMessage returns a parked message, ErrNotFound, ErrNotReady or
// ErrUnavailable.
func (s *Service) ParkedMessage(ctx context.Context, who Caller, id string) (*work.Parked, error) {
	if s.deps.Parked == nil {
		return nil, errNoParked
	}
	number, err := strconv.ParseUint(id, 10, 64)
	if err != nil || strconv.FormatUint(number, 10) != id {
		return nil, ErrNotFound
	}
	found, err := s.deps.Parked.ParkedMessage(ctx, number)
	switch {
	case errors.Is(err, state.ErrNotFound):
		return nil, ErrNotFound
	case err != nil:
		return nil, unavailable(err)
	case s.ownerOf(found) != who.Org:
		return nil, ErrNotFound
	}
	return found, nil
}

// ownerOf returns whose a parked message is: the organisation of its secret, or,
// when there is no such secret, the one that its header names, if there is such
// an organisation. What nobody can be told to own is the deployment's.
func (s *Service) ownerOf(m *work.Parked) string {
	s.view.mu.RLock()
	defer s.view.mu.RUnlock()
	if found, ok := s.view.secret(m.Secret); ok {
		return found.Org
	}
	if len(s.view.companies.by(0, m.Org)) > 0 {
		return m.Org
	}
	return s.cfg.Org
}

// Requeue is the one action on a parked message.
const Requeue Action = "requeue"

// ChangeParked does to a parked message what the resource data asks for, and
// returns the message as it was. It returns ErrNotFound, a RefusedError,
// ErrNotReady or ErrUnavailable.
func (s *Service) ChangeParked(ctx context.Context, who Caller, id string, data *Object) (*work.Parked, error) {
	m, err := s.ParkedMessage(ctx, who, id)
	if err != nil {
		return nil, err
	}
	if err := onlyAction(data, "parked_messages", id, Requeue); err != nil {
		return nil, err
	}
	return m, s.requeue(ctx, who, m)
}

// requeue gives the secret of a parked message a new job, and then deletes the
// message. The job is made from the record: what was parked may be what nobody can
// read, and a job is a hint in any case. A crash in between leaves the message to
// be requeued again, which does no harm for the same reason.
func (s *Service) requeue(ctx context.Context, who Caller, m *work.Parked) error {
	job, err := s.newJob(ctx, m)
	if err != nil {
		return err
	}
	intended, err := s.intend(ctx, deed{who: who, verb: audit.Updated, of: tellParked{m, who.Org}, action: Requeue})
	if err != nil {
		return err
	}
	began := s.now()
	accepted, err := s.deps.Jobs.Offer(ctx, job)
	if err != nil {
		return unavailable(err) // it may have been taken: a relay tells it
	}
	if !accepted {
		intended.calledOff(ctx)
		return s.laneTaken(ctx, m)
	}
	intended.done(ctx)
	s.deps.Logger.InfoContext(ctx, "a parked message was requeued", "secret", m.Secret, "job", job.ID)
	if err := s.unpark(ctx, m, began); err != nil {
		return err
	}
	err = s.deps.Parked.Discard(ctx, m.ID)
	if errors.Is(err, state.ErrNotFound) { // somebody else was as fast
		return nil
	}
	return unavailable(err)
}

// unpark lets the scheduler offer again what a job kept it from that was parked
// before the time upTo: a later one is that of a requeue, which failed at once. What
// it is part of is told already.
func (s *Service) unpark(ctx context.Context, m *work.Parked, upTo time.Time) error {
	errNothing := errors.New("nothing is set aside")
	_, _, err := secret.Store{State: s.deps.State}.Update(ctx, m.Secret, func(record *secret.Secret) error {
		if record.Parked == nil || record.Parked.At.After(upTo) {
			return errNothing
		}
		record.Parked = nil
		return nil
	})
	if errors.Is(err, errNothing) || errors.Is(err, state.ErrNotFound) {
		return nil
	}
	return unavailable(err)
}

// laneTaken says why a message gets no job: somebody else has requeued it just now,
// and then it is gone, or the job is of something else.
func (s *Service) laneTaken(ctx context.Context, m *work.Parked) error {
	switch _, err := s.deps.Parked.ParkedMessage(ctx, m.ID); {
	case errors.Is(err, state.ErrNotFound):
		return ErrNotFound
	case err != nil:
		return unavailable(err)
	default:
		return refuse(Conflict, "/data/meta/action", "the secret has a job already, queued or being worked on, perhaps by another requeue: "+
			"try again when that is done, or discard the message, since that job does what is due")
	}
}

// requeueable returns why a message cannot be requeued, whatever becomes of its
// secret; nil when it can.
func requeueable(m *work.Parked) error {
	var why string
	switch {
	case m.Lane != laneOfJobs:
		why = fmt.Sprintf("the message is from the lane %.64q, and only jobs can be requeued", m.Lane)
	case !secret.ValidID(secret.PrefixSecret, m.Secret):
		why = "what the message is about is no secret"
	case m.Type == string(events.TypeTestRequested):
		why = "the message asks for a test, whose answer nobody waits for any more (test the secret again)"
	default:
		return nil
	}
	return refuse(InvalidAction, "/data/meta/action", why+": it can only be discarded")
}

// newJob makes the job that a secret would be given now.
func (s *Service) newJob(ctx context.Context, m *work.Parked) (events.Event, error) {
	if err := requeueable(m); err != nil {
		return events.Event{}, err
	}
	current, _, err := s.secrets.Get(ctx, m.Secret)
	if errors.Is(err, state.ErrNotFound) {
		return events.Event{}, refuse(InvalidAction, "/data/meta/action", "the secret of the message is gone: it can only be discarded")
	}
	if err != nil {
		return events.Event{}, unavailable(err)
	}
	due := current.Plan()
	return events.Event{
		ID: secret.NewUUID(), Source: source, Org: current.Org, Time: s.now(), Trace: traceparent(ctx),
		Data: events.RefreshDue{Secret: current.ID, Action: string(due.Action), Decision: current.Decision, DueAt: due.At},
	}, nil
}

// DiscardParked deletes a parked message, and with the last one about its secret what
// keeps that from being offered. It looks for others before, so that a crash leaves no
// secret set aside without a message, and afterwards, because of two who discard the
// last two at once each has seen the other's. It returns ErrNotFound, ErrNotReady or
// ErrUnavailable.
func (s *Service) DiscardParked(ctx context.Context, who Caller, id string) error {
	m, err := s.ParkedMessage(ctx, who, id)
	if err != nil {
		return err
	}
	intended, err := s.intend(ctx, did(who, audit.Deleted, tellParked{m, who.Org}))
	if err != nil {
		return err
	}
	began := s.now()
	if err := s.unparkLast(ctx, m, began); err != nil {
		return err
	}
	err = s.deps.Parked.Discard(ctx, m.ID)
	switch {
	case errors.Is(err, state.ErrNotFound):
		intended.calledOff(ctx)
		return ErrNotFound
	case err != nil:
		return unavailable(err)
	}
	intended.done(ctx)
	s.deps.Logger.InfoContext(ctx, "a parked message was discarded", "secret", m.Secret, "org", who.Org)
	return s.unparkLast(ctx, m, began)
}

// unparkLast lets the scheduler offer again what was parked before the time upTo,
// unless another job of the secret is still parked.
func (s *Service) unparkLast(ctx context.Context, m *work.Parked, upTo time.Time) error {
	if !secret.ValidID(secret.PrefixSecret, m.Secret) {
		return nil
	}
	for other, err := range s.deps.Parked.Parked(ctx, m.Secret) {
		if err != nil {
			return unavailable(err)
		}
		if other.ID != m.ID && other.Lane == laneOfJobs {
			return nil
		}
	}
	return s.unpark(ctx, m, upTo)
}
