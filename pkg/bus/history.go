package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/rekindle-dev/rekindle/events"
)

const (
	// directEvents is where a server is asked for a range of events without a
	// consumer (NATS ADR-31). nats.go has no call for more than one at a time.
	directEvents = "$JS.API.DIRECT.GET." + streamEvents
	// What an answer ends with: the last message was sent, there is none at all,
	// or there is no such stream.
	statusEnd    = "204"
	statusNone   = "404"
	statusNobody = "503"
	// headerPending is how many messages come behind one.
	headerPending = "Nats-Num-Pending"
	// maxHistory and maxHistoryBytes bound one answer; the server sends one
	// message beyond the latter.
	maxHistory      = 1000
	maxHistoryBytes = 4 << 20
)

// direct is the request for a range of messages.
type direct struct {
	Seq      uint64 `json:"seq"`
	NextFor  string `json:"next_by_subj"`
	Batch    int    `json:"batch"`
	MaxBytes int    `json:"max_bytes"`
}

// History returns the events about a secret of an organisation that were stored
// after the entry with the sequence after (0: from the first that is kept), in
// the order of the log, no more than most of them and than 1000; more tells that
// there are further ones. What is not an event is an entry that says so. It
// returns [ErrUnavailable] when the log does not answer.
//
// The log is asked directly, without a consumer: one request, one answer. A
// replica may answer that is behind: what it does not have yet comes with a later
// call, in order.
//
// Of a log of 100,000 events of 20,000 secrets, one secret's 60 that are spread
// over it take 15 ms, the first 25 of them 6 ms, and to find that there are none
// 0.15 ms (BenchmarkHistory; two cores shared with the server, file store, 2.15).
func (b *Bus) History(ctx context.Context, org, secret string, after uint64, most int) (entries []events.Entry, more bool, err error) {
	if secret == "" || after == math.MaxUint64 { // no secret is not any secret
		return nil, false, nil
	}
	ask, err := json.Marshal(direct{
		Seq: after + 1, NextFor: events.SubjectsIn(org, "", secret),
		Batch: min(max(most, 1), maxHistory), MaxBytes: maxHistoryBytes,
	})
	if err != nil {
		return nil, false, err
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	inbox := b.nc.NewInbox()
	sub, err := b.nc.SubscribeSync(inbox)
	if err != nil {
		return nil, false, translate(err)
	}
	defer sub.Unsubscribe() //nolint:errcheck // fails only when the connection is closed, and the subscription with it
	if err := b.nc.PublishRequest(directEvents, inbox, ask); err != nil {
		return nil, false, translate(err)
	}
	entries, more, err = readRange(ctx, sub)
	return entries, more, translate(err)
}

// Last returns the last event of a type about a secret of an organisation, or
// reports false when none is kept. What is not an event is an entry that says so.
// It returns [ErrUnavailable] when the log does not answer.
func (b *Bus) Last(ctx context.Context, org, secret string, t events.Type) (last events.Entry, found bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	m, err := b.nc.RequestWithContext(ctx, directEvents+"."+events.EventSubject(org, t, secret), nil)
	if err != nil {
		return events.Entry{}, false, translate(err)
	}
	if said(m, jetstream.StreamHeader) == "" {
		if status := m.Header.Get("Status"); status != statusNone {
			return events.Entry{}, false, fmt.Errorf("the event log answers with the status %.20q", status)
		}
		return events.Entry{}, false, nil
	}
	last, err = storedEntry(m)
	return last, err == nil, err
}

// readRange reads an answer to its end: all of it or, with an error, nothing.
func readRange(ctx context.Context, sub *nats.Subscription) (entries []events.Entry, more bool, err error) {
	for last := uint64(0); ; {
		m, err := sub.NextMsgWithContext(ctx)
		if err != nil {
			return nil, false, err
		}
		switch end, more, err := endOfRange(m, last); {
		case err != nil:
			return nil, false, err
		case end:
			return entries, more, nil
		}
		entry, err := entryOf(m, last)
		if err != nil {
			return nil, false, err
		}
		entries, last = append(entries, entry), entry.Sequence
	}
}

// endOfRange reports whether m is the end of an answer whose last message had
// the sequence last, and whether the log has more. Only what is stored comes with
// the name of a stream, whatever else its publisher has put into its header.
func endOfRange(m *nats.Msg, last uint64) (end, more bool, err error) {
	if said(m, jetstream.StreamHeader) != "" {
		return false, false, nil
	}
	switch status := m.Header.Get("Status"); {
	case status == statusNone && last == 0:
		return true, false, nil
	case status == statusNobody:
		return true, false, nats.ErrNoResponders
	case status != statusEnd:
		return true, false, fmt.Errorf("the event log answers with the status %.20q", status)
	case said(m, jetstream.LastSequenceHeader) != strconv.FormatUint(last, 10):
		return true, false, errGap
	default:
		return true, said(m, headerPending) != "0", nil
	}
}

// entryOf reads a message of a range. It returns errGap when one is missing
// before it.
func entryOf(m *nats.Msg, last uint64) (events.Entry, error) {
	if said(m, jetstream.LastSequenceHeader) != strconv.FormatUint(last, 10) {
		return events.Entry{}, errGap
	}
	return storedEntry(m)
}

// storedEntry reads a message of an answer.
func storedEntry(m *nats.Msg) (events.Entry, error) {
	seq, seqErr := strconv.ParseUint(said(m, jetstream.SequenceHeader), 10, 64)
	stored, timeErr := time.Parse(time.RFC3339Nano, said(m, jetstream.TimeStampHeaer))
	if err := errors.Join(seqErr, timeErr); err != nil {
		return events.Entry{}, fmt.Errorf("answer of the event log: %w", err)
	}
	return events.ReadEntry(seq, stored, said(m, jetstream.SubjectHeader), events.Header(m.Header), m.Data), nil
}

// said returns what the server says in a header: it adds its own behind what the
// publisher of a message may have put there.
func said(m *nats.Msg, header string) string {
	values := m.Header[header]
	if len(values) == 0 {
		return ""
	}
	return values[len(values)-1]
}
