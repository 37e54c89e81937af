package api

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/rekindle-dev/rekindle/pkg/webhook"
)

// Actions on a callback: additions to the contract.
const (
	// Rotate replaces the signing secret. Those before it are signed with as well, each for
	// a day.
	Rotate Action = "rotate"
	// Redeliver sends a message again, at once and once.
	Redeliver Action = "redeliver"
	// Replay has a callback told again what the audit trail holds from somewhere on.
	Replay Action = "replay"
)

func (s *Service) rotateCallback(ctx context.Context, who Caller, id string) (*ChangedCallback, error) {
	if s.deps.Courier == nil {
		return nil, errNoCourier
	}
	now := s.now()
	changed, err := s.amendCallback(ctx, who, id, Rotate, func(c *Callback) error {
		if err := who.IfMatch.admit(c.Tag()); err != nil {
			return err
		}
		c.Rotate(now)
		c.UpdatedAt = now
		return nil
	})
	if err != nil {
		return nil, err
	}
	changed.Secret, err = s.signing(changed.Callback)
	return changed, err
}

// sendCallback has one try made at once, of a message that was sent before or, with none, of
// one that is about nothing.
func (s *Service) sendCallback(ctx context.Context, who Caller, c *Callback, message string) (*ChangedCallback, error) {
	if s.deps.Courier == nil {
		return nil, errNoCourier
	}
	if wait := s.tests.admit(who.Org, c.ID, s.now()); wait > 0 {
		return nil, &TooManyError{wait}
	}
	t, err := s.deps.Courier.Send(ctx, &c.Callback, message)
	switch {
	case errors.Is(err, webhook.ErrNoMessage):
		return nil, refuse(InvalidCallback, "/data/meta/message_id",
			"message_id must be that of a message among the deliveries of the callback, and of an entry that is still in the audit trail")
	case err != nil:
		return nil, unavailable(err)
	case message == "":
		return &ChangedCallback{Callback: c, Test: &t}, nil
	default:
		return &ChangedCallback{Callback: c, Again: &t}, nil
	}
}

func (s *Service) redeliver(ctx context.Context, who Caller, c *Callback, meta *Object) (*ChangedCallback, error) {
	meta.require("message_id")
	message, _ := meta.text("message_id", maxMessageID)
	if err := meta.report.err(); err != nil {
		return nil, err
	}
	return s.sendCallback(ctx, who, c, message)
}

// maxMessageID is the longest id of a message.
const maxMessageID = 64

// maxPosition is the last position that JSON numbers are exact for.
const maxPosition = 1<<53 - 1

// replayCallback asks for a replay. One that is under way ends where it is.
func (s *Service) replayCallback(ctx context.Context, who Caller, id string, meta *Object) (*ChangedCallback, error) {
	now := s.now()
	replay := readReplay(meta, now)
	if err := meta.report.err(); err != nil {
		return nil, err
	}
	if s.deps.Courier == nil {
		return nil, errNoCourier
	}
	changed, err := s.amendCallback(ctx, who, id, Replay, func(c *Callback) error {
		if err := who.IfMatch.admit(c.Tag()); err != nil {
			return err
		}
		replay.Number = 1
		if c.Replay != nil {
			replay.Number = c.Replay.Number + 1
		}
		c.Replay, c.UpdatedAt = &replay, now
		return nil
	})
	if err != nil {
		return nil, err
	}
	changed.Asked = true
	return changed, nil
}

// readReplay returns from where is to be told again: a position, or a time.
func readReplay(meta *Object, now time.Time) webhook.Replay {
	r := webhook.Replay{AskedAt: now}
	meta.require("from")
	if raw, sent := meta.member("from"); sent && raw[0] != '"' {
		n, _ := meta.whole("from", "a time or a position in the audit trail, which is a whole number", 1, maxPosition)
		r.From = uint64(n)
		return r
	}
	if meta.decode("from", &r.Since, "a time like 2025-11-03T08:15:00Z, or a position in the audit trail") && r.Since.After(now) {
		meta.fault("from", "must not be a time that is still to come")
	}
	return r
}

// ReplayOf returns how far the last replay of a callback is that was asked for: nil before it
// was begun.
func (s *Service) ReplayOf(c *Callback) *webhook.Progress {
	if s.deps.Courier == nil || c.Replay == nil {
		return nil
	}
	if p := s.deps.Courier.Log(c.ID).Replay; p != nil && p.Number == c.Replay.Number {
		return p
	}
	return nil
}

// Deliveries returns the tries to tell a callback something that are kept, and how it fares. It
// returns ErrNotFound, ErrNotReady or ErrUnavailable.
func (s *Service) Deliveries(ctx context.Context, who Caller, id string, q Query[webhook.Try]) (page Page[webhook.Try], log webhook.Log, err error) {
	c, err := s.Callback(ctx, who, id)
	if err != nil {
		return page, log, err
	}
	if s.deps.Courier == nil {
		return page, log, errNoCourier
	}
	log = s.deps.Courier.Log(c.ID)
	slices.Reverse(log.Tries)
	return q.of(newRuns(log.Tries)), log, nil
}
