package webhook

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"time"
)

// Delivery is the record of what a callback is still to be told. Members are only ever
// added.
type Delivery struct {
	// ID is what its key ends in; the header webhook-id is "msg_" and it.
	ID       string `json:"id"`
	Callback string `json:"callback"`
	// Type is what happened: "secret.created".
	Type string `json:"type"`
	// Entity is the id of what it happened to.
	Entity string `json:"entity"`
	// Event is the id of what it tells in the audit trail of its organisation. Position is
	// where it stands there.
	Event    string `json:"event,omitempty"`
	Position uint64 `json:"position"`
	// At is when it was written down there.
	At time.Time `json:"at"`
	// Body is what is sent: the same at each try.
	Body json.RawMessage `json:"body"`

	// Replayed says that it was made by a replay.
	Replayed bool `json:"replayed,omitempty"`

	// Tries is how many tries have failed.
	Tries int `json:"tries,omitempty"`
	// NextAt is when another is to be made; zero before the first, unless it was replayed.
	NextAt time.Time `json:"next_at,omitzero"`
	// Holder is the process that makes the next try until HeldUntil, or made the last.
	Holder    string    `json:"holder,omitempty"`
	HeldUntil time.Time `json:"held_until,omitzero"`
}

// NewDeliveryID returns the id of the delivery of an entry of the audit trail to a
// callback: the same however often it is made.
func NewDeliveryID(callback, entry string) string {
	h := sha256.Sum256([]byte("rekindle.delivery.v1\x00" + callback + "\x00" + entry))
	return hex.EncodeToString(h[:16])
}

// MessageID is how receivers know a delivery: the header webhook-id.
func MessageID(delivery string) string { return "msg_" + delivery }

// DueAt is when a try may begin.
func (d *Delivery) DueAt() time.Time {
	if d.NextAt.IsZero() {
		return d.At
	}
	return d.NextAt
}

// errRecord: a record cannot be read. What is in it is not told.
var errRecord = errors.New("what is stored is no delivery")

// ReadDelivery reads a record.
func ReadDelivery(body []byte) (*Delivery, error) {
	d := new(Delivery)
	if json.Unmarshal(body, d) != nil || d.ID == "" || d.Callback == "" {
		return nil, errRecord
	}
	return d, nil
}

// ErrNoMessage says that no such message can be sent again. It was never sent, or that is not
// known any more, or it was about nothing.
var ErrNoMessage = errors.New("no message with this id is known, or not any more")

// Outcome is how a try ended.
type Outcome string

// The outcomes.
const (
	// Delivered: the receiver has it.
	Delivered Outcome = "delivered"
	// Failed: another try will be made.
	Failed Outcome = "failed"
	// Dropped: none will be made.
	Dropped Outcome = "dropped"
)

// Problem is why a try has failed, in the words of a closed set.
type Problem string

// The problems.
const (
	ProblemStatus  Problem = "status"   // the answer was neither 200 nor 201
	ProblemTimeout Problem = "time_out" // there was none in time
	// ProblemAddress: no address may be dialled. It is a private or special one, or there is
	// none: which, would tell strangers what names there are within our networks. Or it is
	// public, and was to be told by plain http.
	ProblemAddress  Problem = "address_refused"
	ProblemConnect  Problem = "not_connected"
	ProblemTLS      Problem = "tls"
	ProblemBroken   Problem = "broken"   // what came was no whole answer
	ProblemOverflow Problem = "overflow" // no try: too many were waiting
)

// Try is the record of a try, of which the last ones are kept. Members are only ever
// added.
type Try struct {
	// Number counts the tries of a callback; it says which record this one replaces.
	Number   uint64 `json:"number"`
	Callback string `json:"callback"`
	Delivery string `json:"delivery"`
	Type     string `json:"type"`
	Entity   string `json:"entity,omitempty"`
	// Event is the entry of the audit trail that it tells, and Position where that stands;
	// they are absent for a test and for what is about several.
	Event    string    `json:"event,omitempty"`
	Position uint64    `json:"position,omitempty"`
	At       time.Time `json:"at"`
	// Attempt counts the tries of the delivery, from 1; 0 when none was made.
	Attempt int     `json:"attempt"`
	Outcome Outcome `json:"outcome"`
	Problem Problem `json:"problem,omitempty"`
	// Status is that of the answer, 0 for none.
	Status int `json:"status,omitempty"`
	// Took is for how long the answer was waited, in milliseconds.
	Took int64 `json:"took"`
	// NextAt is when another try is made, zero for none.
	NextAt time.Time `json:"next_at,omitzero"`
	// Count is how many deliveries it is about, 0 for one.
	Count int `json:"count,omitempty"`
}

// The bounds of what is kept of tries.
const (
	// MaxTriesKept is how many are kept of each callback.
	MaxTriesKept = 500
	// KeepTries is for how long: longer than one message can wait.
	KeepTries = 7 * 24 * time.Hour
)

// Slot is which of the records of a callback a try is kept in, by its number.
func Slot(number uint64) int { return int(number % MaxTriesKept) }

// Log is how a callback fares.
type Log struct {
	// Tries are those that are kept, the last first.
	Tries []Try
	// Waiting is how many deliveries wait, and NextAt when the next of them is due; zero
	// when none does.
	Waiting int
	NextAt  time.Time
	// Replay is how far the last replay is that was begun, nil for none.
	Replay *Progress
}

// ReadTry reads a record.
func ReadTry(body []byte) (*Try, error) {
	t := new(Try)
	if json.Unmarshal(body, t) != nil || t.Callback == "" {
		return nil, errRecord
	}
	return t, nil
}
