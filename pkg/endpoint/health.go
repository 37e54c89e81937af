// Package endpoint is what the fleet knows of the hosts that tokens come from:
// which of them fail, and which have asked for patience. There is one record for
// each host of which anything is known. Exchangers write it, by compare-and-swap,
// when a provider has said something; schedulers and exchangers follow it. So
// what a provider says to one holds for all, at once.
//
// # Breaker
//
//	closed ──Trip──► open ──until has passed──► half-open ──Answered──► closed
//	                  ▲                            │ Probe: one asks
//	                  └────────────Trip────────────┘
//
// A host that fails again and again is left alone for a while, then asked once,
// then left alone for longer. Whoever wants to ask takes the one place by a write
// ([Health.Probe]), so there is one in the fleet.
//
// # Pauses
//
// A provider that answers "too many requests" means one client of it. The client
// is left alone until the time the provider named, or for a time that doubles
// where it named none.
//
// # What it promises and refuses
//
// Every period has an end, and no record can name one that is further away than
// the bounds here, whatever is in it: see [Decode]. The rules do no I/O, and time
// comes in as an argument; [Store] keeps the records. Nothing here sends, waits
// or queues, and nothing names a client: it is a number ([Client]).
package endpoint

import (
	"encoding/json"
	"errors"
	"hash/fnv"
	"time"

	"github.com/rekindle-dev/rekindle/pkg/state"
)

// The bounds.
const (
	// FirstOpen is for how long a breaker opens first; each time after that it
	// is twice as long, up to LastOpen.
	FirstOpen = 5 * time.Second
	LastOpen  = 2 * time.Minute
	// Forgotten is how long after the end of its time a breaker counts as closed
	// that nobody has put to the test: there was nothing to ask.
	Forgotten = 10 * time.Minute
	// MaxProbe bounds for how long one may keep the place of who asks.
	MaxProbe = 2 * time.Minute
	// FirstPause is for how long a client is left alone whose provider asked for
	// patience and named no time; each time after that in a row it is twice as
	// long, up to LastPause.
	FirstPause = time.Second
	LastPause  = time.Minute
	// MaxPause is the longest a provider's wish is followed.
	MaxPause = 24 * time.Hour
	// recovery is for how long after such a pause the next one is in a row.
	recovery = time.Minute
	// MaxPauses is how many clients of a host are told apart. What one more is
	// asked, all of them do.
	MaxPauses = 256
)

// Client is the number that stands for a client id; 0 is for all clients of a
// host. It may be the same for two clients of one host: then they are asked for
// patience together, and that is all.
func Client(id string) uint32 {
	if id == "" {
		return 0
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(id))
	return max(h.Sum32(), 1)
}

// Health is what is known of a host.
type Health struct {
	Host string `json:"host"`
	// Trips counts how often in a row the breaker has opened; 0 is closed.
	Trips int `json:"trips,omitempty"`
	// Since is when it opened first.
	Since time.Time `json:"since,omitzero"`
	// OpenUntil is until when nobody asks: the time it opened for, or that is
	// left to the one who asks.
	OpenUntil time.Time `json:"open_until,omitzero"`
	// Pauses are by the number of the client, 0 for all.
	Pauses map[uint32]Pause `json:"pauses,omitempty"`

	// Revision is that of the record when this was read or written.
	Revision state.Revision `json:"-"`
}

// Pause is for how long a client is left alone.
type Pause struct {
	Until time.Time `json:"until"`
	// Row counts the pauses in a row whose end the provider did not name; 0
	// when it named one.
	Row int `json:"row,omitempty"`
}

// Open reports whether the breaker is open or half-open at the time now.
func (h *Health) Open(now time.Time) bool {
	return h.Trips > 0 && now.Before(h.OpenUntil.Add(Forgotten))
}

// Paused is until when the client is to be left alone, as it asked; a time that
// has passed when it did not.
func (h *Health) Paused(client uint32) time.Time {
	until := h.Pauses[0].Until
	if own := h.Pauses[client].Until; own.After(until) {
		return own
	}
	return until
}

// Trip opens the breaker. One that is open already opens for longer if probe is
// set: the failure was of the one who was to ask. It reports whether anything has
// changed.
func (h *Health) Trip(now time.Time, probe bool) bool {
	if !h.Open(now) {
		h.Trips, h.Since = 0, now
	} else if !probe {
		return false
	}
	h.OpenUntil = now.Add(min(FirstOpen<<min(h.Trips, 16), LastOpen))
	h.Trips++
	return true
}

// Probe takes the place of the one who asks whether the host is back, for at
// most so long. It reports false when it is taken, not yet time, or the breaker
// closed.
func (h *Health) Probe(now time.Time, most time.Duration) bool {
	if !h.Open(now) || now.Before(h.OpenUntil) {
		return false
	}
	h.OpenUntil = now.Add(min(most, MaxProbe))
	return true
}

// Answered closes the breaker on an answer to a request that was begun at that
// time. An answer from before it opened is none. It reports whether anything has
// changed.
func (h *Health) Answered(begun time.Time) bool {
	if h.Trips == 0 || begun.Before(h.Since) {
		return false
	}
	h.Trips, h.Since, h.OpenUntil = 0, time.Time{}, time.Time{}
	return true
}

// Wait pauses the client as long as the provider asked. It reports whether
// anything has changed.
func (h *Health) Wait(client uint32, now time.Time, asked time.Duration) bool {
	until := now.Add(min(asked, MaxPause))
	if !until.After(h.Paused(client)) {
		return false
	}
	h.pause(client, now, Pause{Until: until})
	return true
}

// Throttled pauses the client whose provider named no time. What was sent before
// the pause began is answered within it, and makes it no longer. It reports
// whether anything has changed.
func (h *Health) Throttled(client uint32, now time.Time) bool {
	if now.Before(h.Paused(client)) {
		return false
	}
	row := 0
	if last := h.Pauses[client]; now.Before(last.Until.Add(recovery)) {
		row = last.Row
	}
	h.pause(client, now, Pause{Until: now.Add(min(FirstPause<<min(row, 16), LastPause)), Row: row + 1})
	return true
}

func (h *Health) pause(client uint32, now time.Time, p Pause) {
	h.prune(now)
	if _, known := h.Pauses[client]; !known && len(h.Pauses) >= MaxPauses {
		client = 0
	}
	if h.Pauses == nil {
		h.Pauses = map[uint32]Pause{}
	}
	h.Pauses[client] = p
}

// prune drops what means nothing any more.
func (h *Health) prune(now time.Time) {
	for client, p := range h.Pauses {
		if !now.Before(p.Until.Add(recovery)) {
			delete(h.Pauses, client)
		}
	}
	if !h.Open(now) {
		h.Trips, h.Since, h.OpenUntil = 0, time.Time{}, time.Time{}
	}
}

// empty reports whether there is nothing to know.
func (h *Health) empty() bool { return h.Trips == 0 && len(h.Pauses) == 0 }

var errDamaged = errors.New("the record of a host is damaged")

// Decode reads the record under a key, at the time now. What it says of times
// further away than the bounds allow, because it is damaged or the clock of its
// writer is wrong, is cut to them: nothing that is stored can hold up a host for
// good. The error shows nothing of the record.
func Decode(key string, body []byte, now time.Time) (*Health, error) {
	h := new(Health)
	if json.Unmarshal(body, h) != nil || h.Host == "" || key != state.EndpointKey(h.Host) ||
		h.Trips < 0 || len(h.Pauses) > MaxPauses+1 {
		return nil, errDamaged
	}
	h.OpenUntil = earlier(h.OpenUntil, now.Add(LastOpen))
	for client, p := range h.Pauses {
		h.Pauses[client] = Pause{Until: earlier(p.Until, now.Add(MaxPause)), Row: max(p.Row, 0)}
	}
	return h, nil
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
