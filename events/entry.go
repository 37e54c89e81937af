package events

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Entry is an event as a log holds it.
type Entry struct {
	// Sequence is its place in the log: it only grows.
	Sequence uint64
	// Stored is when the log took it, by the log's clock.
	Stored time.Time
	// Type is what its subject says it is.
	Type Type
	// Header and Body are the event as it was published: what this version of the
	// package does not know of it is in there, for whoever passes it on. They are nil
	// for what does not belong on its subject.
	Header Header
	Body   []byte
	// Event is the event itself, zero when Err is not nil.
	Event Event
	// Err says why the event cannot be read: a later version of this package may
	// know its type (ErrUnknownType). It quotes nothing of the body.
	Err error
}

// errMisplaced: the header of an event says another organisation, type or
// secret than the subject, by which readers are let at it.
var errMisplaced = errors.New("the event does not belong on its subject")

// ReadEntry makes an entry of what is stored under a subject. Whatever is stored
// there makes one: what is not an event shows as that.
func ReadEntry(sequence uint64, stored time.Time, subject string, h Header, body []byte) Entry {
	entry := Entry{Sequence: sequence, Stored: stored, Type: typeIn(subject)}
	e, err := Decode(h, body)
	if belongs(subject, h) {
		entry.Header, entry.Body = h, body
	} else if err == nil {
		err = errMisplaced
	}
	if err != nil {
		entry.Err = fmt.Errorf("event %d: %w", sequence, err)
		return entry
	}
	entry.Event = e
	return entry
}

// belongs reports whether the header is that of an event which travels on the
// subject.
func belongs(subject string, h Header) bool {
	a, problems := ReadAttributes(h)
	should, err := a.EventSubject()
	return len(problems) == 0 && err == nil && should == subject
}

// typeIn returns the type that the subject of an event names, "" for none.
func typeIn(subject string) Type {
	rest, ok := strings.CutPrefix(subject, Root+".event.")
	parts := strings.Split(rest, ".")
	if !ok || len(parts) != 3 {
		return ""
	}
	return Type(parts[1])
}
