package secret

import (
	"fmt"
	"time"
)

// Window is the least a provider's tokens must offer for a kind, and the offset
// used when a secret names none (contract A11). All limits are inclusive.
type Window struct {
	// MinValidity is the least lifetime of a token.
	MinValidity time.Duration
	// MinInterval is the least time between two refreshes: lifetime − offset.
	MinInterval time.Duration
	// DefaultOffset is how long before expiry a token is refreshed.
	DefaultOffset time.Duration
	// Jitter is by how much a refresh may begin before its refresh_at, which stays
	// the contract's; see [Window.NextAt].
	Jitter time.Duration
}

// Policy holds the windows by canonical kind. A kind without a window has no
// limits.
type Policy map[Kind]Window

// DefaultPolicy returns the contract's windows.
func DefaultPolicy() Policy {
	return Policy{
		OAuth2:    {MinValidity: 8 * time.Hour, MinInterval: 4 * time.Hour, DefaultOffset: 4 * time.Hour},
		OAuth2JWT: {MinValidity: time.Hour, MinInterval: 30 * time.Minute, DefaultOffset: 30 * time.Minute},
	}
}

// Window returns the window that applies to k.
func (p Policy) Window(k Kind) Window { return p[k.Canonical()] }

// WindowError says which rule a token broke, with the numbers.
type WindowError struct {
	Rule      string        // what was measured
	Got, Want time.Duration // Want is the least allowed
}

func (e *WindowError) Error() string {
	return fmt.Sprintf("%s is %d s, but at least %d s is required", e.Rule, seconds(e.Got), seconds(e.Want))
}

func seconds(d time.Duration) int64 { return int64(d / time.Second) }

// Check reports whether a token that lives for lifetime may be refreshed offset
// before its end. The error is a *WindowError.
func (w Window) Check(lifetime, offset time.Duration) error {
	if lifetime < w.MinValidity {
		return &WindowError{Rule: "the token's lifetime (expires_in)", Got: lifetime, Want: w.MinValidity}
	}
	// An offset beyond the lifetime would ask for a refresh before the token
	// exists, whatever the window.
	if gap := lifetime - offset; gap < w.MinInterval || gap <= 0 {
		return &WindowError{
			Rule: "the time between refreshes (expires_in − refresh_offset)",
			Got:  gap, Want: max(w.MinInterval, time.Second),
		}
	}
	return nil
}

// MaxLifetime bounds what a provider's expires_in is believed: a hundred years,
// which keeps every date within what clients can parse.
const MaxLifetime = 100 * 365 * 24 * time.Hour

// Lifetime turns a provider's expires_in, which must be positive, into a
// duration not above MaxLifetime.
func Lifetime(expiresIn int64) time.Duration { return bounded(expiresIn) }

// bounded turns seconds into a duration between 0 and MaxLifetime, which no
// number of seconds can overflow.
func bounded(seconds int64) time.Duration {
	return time.Duration(min(max(seconds, 0), int64(MaxLifetime/time.Second))) * time.Second
}
