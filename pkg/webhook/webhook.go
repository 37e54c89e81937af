// Package webhook is the domain of callbacks: who is to be told of what, when another
// try is made, and how a receiver knows that it is told by us. It is pure: time comes in
// as an argument, and nothing here sends anything.
package webhook

import (
	"cmp"
	"slices"
	"time"
)

// Callback is the record of a callback (contract A15.8). Members are only ever added.
type Callback struct {
	ID       string `json:"id"`
	Org      string `json:"org"`
	Property string `json:"property"`
	// URL is where what happens is POSTed.
	URL string `json:"url"`
	// Subscriptions are the types it is told of, or [Everything].
	Subscriptions []string `json:"subscriptions"`
	// Ordering is what a message that waits for another try holds up; empty is [Prompt].
	Ordering Ordering `json:"ordering,omitempty"`
	// Generation counts the signing secrets it has had, from 1.
	Generation uint64 `json:"generation"`
	// RotatedAt is when the secret before this one was replaced, zero for the first.
	RotatedAt time.Time `json:"rotated_at,omitzero"`
	// Earlier are those before that one which were replaced within the same day.
	Earlier []Earlier `json:"earlier,omitempty"`
	// Replay is the last that was asked for, nil for none.
	Replay    *Replay   `json:"replay,omitempty"`
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
	// EndedAt is when it was found that its property is gone: for [Linger] it is told of that.
	EndedAt time.Time `json:"ended_at,omitzero"`
}

// Ordering is what a message that waits for another try holds up.
type Ordering string

// The orderings.
const (
	// Prompt holds up nothing: what is newer is sent all the same, and may be there first.
	Prompt Ordering = "prompt"
	// Strict holds up what is newer about the same entity, until the message is taken or
	// dropped.
	Strict Ordering = "strict"
)

// Order is the ordering of the callback.
func (c *Callback) Order() Ordering { return cmp.Or(c.Ordering, Prompt) }

// Everything is the subscription to whatever happens in the property.
const Everything = "*"

// Overlap is for how long a signing secret that was replaced is signed with as well.
const Overlap = 24 * time.Hour

// Linger is for how long the callbacks of a deleted property are still told of that, and of what
// goes with it: four tries.
const Linger = time.Hour

// MaxSecrets is how many signing secrets are signed with at a time: whoever replaces more of
// them within a day does not want the oldest any more.
const MaxSecrets = 3

// Earlier is a signing secret that is still signed with until a time.
type Earlier struct {
	Generation uint64    `json:"generation"`
	Until      time.Time `json:"until"`
}

// The bounds of callbacks.
const (
	// MaxPerProperty is how many callbacks a property may have.
	MaxPerProperty = 20
	// MaxURL is the longest URL, in bytes.
	MaxURL = 2 << 10
	// MaxWaiting is how many deliveries may wait for one callback. The oldest is dropped
	// for one more.
	MaxWaiting = 10_000
	// MaxWaitingBytes is how much their bodies may have, likewise.
	MaxWaitingBytes = 32 << 20
)

// Wants reports whether the callback is told of what is of a type.
func (c *Callback) Wants(typ string) bool {
	return slices.Contains(c.Subscriptions, Everything) || slices.Contains(c.Subscriptions, typ)
}

// Generations are the signing secrets that are signed with at a time: the current one
// first.
func (c *Callback) Generations(now time.Time) []uint64 {
	all := []uint64{c.Generation}
	for _, e := range slices.Backward(c.replaced(now)) {
		all = append(all, e.Generation)
	}
	return all
}

// replaced are the secrets that were replaced and are signed with all the same, the oldest
// first.
func (c *Callback) replaced(now time.Time) (still []Earlier) {
	all := c.Earlier
	if c.Generation > 1 {
		all = append(slices.Clone(all), Earlier{c.Generation - 1, c.RotatedAt.Add(Overlap)})
	}
	for _, e := range all {
		if now.Before(e.Until) {
			still = append(still, e)
		}
	}
	return still
}

// Rotate replaces the signing secret.
func (c *Callback) Rotate(now time.Time) {
	c.Earlier = c.replaced(now)
	if over := len(c.Earlier) - (MaxSecrets - 2); over > 0 {
		c.Earlier = c.Earlier[over:]
	}
	c.Generation++
	c.RotatedAt = now
}

// Types are the names that can be subscribed to, sorted: a resource, a dot, and what
// happens to it.
func Types() []string {
	resources := []string{
		"build", "callback", "data_element", "environment", "extension", "host", "library", "note",
		"property", "rule", "rule_component", "secret",
	}
	var types []string
	for _, r := range resources {
		types = append(types, r+".created", r+".deleted", r+".updated")
	}
	types = append(types, "secret.read", "secret.reauthorized", "secret.refreshed",
		"secret.expiring", "secret.expired", "secret.reauthorization_due")
	slices.Sort(types)
	return types
}

// pauses are the times between a failed try and the next (contract A15.8). After the
// last of them a delivery is dropped.
func pauses() []time.Duration {
	return []time.Duration{
		time.Minute, 5 * time.Minute, 30 * time.Minute, time.Hour, 12 * time.Hour, 24 * time.Hour, 72 * time.Hour,
	}
}

// MaxTries is how many tries are made of one delivery.
func MaxTries() int { return len(pauses()) + 1 }

// NextTry returns when another try is to be made after the failed ones, of which the last
// began at that time; false when there is none.
func NextTry(failed int, last time.Time) (time.Time, bool) {
	all := pauses()
	if failed < 1 || failed > len(all) {
		return time.Time{}, false
	}
	return last.Add(all[failed-1]), true
}

// Taken reports whether a receiver's answer means that it has what it was sent (contract
// A15.8).
func Taken(status int) bool { return status == 200 || status == 201 }
