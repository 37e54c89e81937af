// Package work says what a handler of messages may answer, and nothing about
// who delivers them.
//
// A handler returns
//
//   - nil when the message is dealt with and may be forgotten;
//   - [RetryAfter] when the same message should come again after a while;
//   - [Reject] when no retry can help: the message is set aside for a person;
//   - any other error when something around it failed: the message comes again
//     soon, and is set aside after too many deliveries.
//
// Delivery is at least once: a handler may see a message again after it has
// answered nil, and two handlers may hold the same message when one of them
// was thought dead. What must happen once is fenced by compare-and-swap in the
// state, never by delivery.
package work

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Message is one unit of work as a handler sees it.
type Message struct {
	// ID is the publisher's identifier of the message; the same message
	// published twice carries it twice.
	ID string
	// Type names what the message asks for or tells, for example "RefreshDue".
	Type string
	// Subject is what the message is about: a secret's id.
	Subject string
	// Data is the undecoded body. A handler must not keep or change it.
	Data []byte
	// Delivery counts the deliveries of this message, this one included.
	Delivery int
	// Answer sends body to whoever waits for the answer to this message; nil when
	// nobody asked for one. That it returns no error says that the answer is on
	// its way, not that anybody still waits. What may not be seen by all who
	// carry messages must be sealed.
	Answer func(ctx context.Context, body []byte) error
}

// Handler deals with one message at a time; it is called from many goroutines.
// When ctx ends the handler should return soon with ctx's error: an
// interrupted message comes again and does not count as failed.
type Handler func(ctx context.Context, m Message) error

// Letter is a message that a stranger has published, as it is: nothing in it is to be
// trusted, and it may hold what must not be shown.
type Letter struct {
	// Subject is where it was published: what the server admitted its publisher to.
	Subject string
	Header  map[string][]string
	Body    []byte
	// Place is its number in the queue: later ones have higher numbers.
	Place uint64
	// At is when the queue took it.
	At time.Time
}

// Parked is a message that was set aside, as far as it may be shown: what strangers
// may have written into its header is in it only where it is a word of printable
// ASCII, and nothing of its body but the names and kinds of members.
type Parked struct {
	// ID is its number: later ones have higher numbers, and none is given twice.
	ID uint64
	// At is when it was set aside.
	At time.Time
	// Lane is where it comes from, "job" for the jobs of exchangers.
	Lane string
	// Secret is whose place it had in the lane. It is the id of a secret unless
	// the message was never one of ours.
	Secret string
	// Reason is why it was set aside, for people: one line.
	Reason string
	// Deliveries is how often it had been delivered, 0 when that is not known.
	Deliveries int

	// What its header says: its publisher, its identifier there, what it asks
	// for, the organisation, when it was made, and the trace it belongs to (a
	// traceparent).
	Source, Message, Type, Org, Trace string
	Time                              time.Time

	// Size is the length of the body in bytes.
	Size int
	// Members are the kinds of the members of the body by their names, nil when
	// the body is no JSON object or was not looked at.
	Members map[string]string
}

// RetryAfter returns an error that asks for the same message again no earlier
// than after d. The reason err is for logs.
//
// Each delivery counts, also those that were asked for: a message that asks too
// often is dropped, and whoever published it has to do so again as long as it is due.
// A message that waits keeps its place in the queue. What has to wait longer than
// moments belongs in the state, as a due time, with nil for an answer.
func RetryAfter(d time.Duration, err error) error { return &verdict{after: d, err: err} }

// Reject returns an error that sets the message aside for a person, with err
// for a reason.
func Reject(err error) error { return &verdict{reject: true, err: err} }

// Retry reports whether err asks for another delivery, and after which pause.
func Retry(err error) (time.Duration, bool) {
	v, ok := errors.AsType[*verdict](err)
	if !ok || v.reject {
		return 0, false
	}
	return v.after, true
}

// Rejected reports whether err sets the message aside.
func Rejected(err error) bool {
	v, ok := errors.AsType[*verdict](err)
	return ok && v.reject
}

// verdict is a handler's wish. Of several, one around the other, the outermost
// counts.
type verdict struct {
	reject bool
	after  time.Duration
	err    error
}

func (v *verdict) Error() string {
	if v.reject {
		return fmt.Sprintf("rejected: %v", v.err)
	}
	return fmt.Sprintf("retry after %v: %v", v.after, v.err)
}

func (v *verdict) Unwrap() error { return v.err }
