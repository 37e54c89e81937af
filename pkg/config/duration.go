package config

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// Duration is a span of time that is not negative, written as in Go with days
// besides: "90s", "1h30m", "2d", "1d12h". A day is 24 hours.
type Duration time.Duration

const day = 24 * time.Hour

const errDuration = Problem("not a duration, write it like 90s, 8h or 2d")

// ParseDuration reads the form of [Duration].
func ParseDuration(s string) (Duration, error) {
	days, rest, found := strings.Cut(s, "d")
	if !found {
		days, rest = "0", s
	} else if rest == "" {
		rest = "0"
	}
	n, err := strconv.ParseUint(days, 10, 63)
	if err != nil || n > uint64(math.MaxInt64/day) {
		return 0, errDuration
	}
	d, err := time.ParseDuration(rest)
	if err != nil || d < 0 || d > math.MaxInt64-time.Duration(n)*day {
		return 0, errDuration
	}
	return Duration(time.Duration(n)*day + d), nil
}

// String writes d so that ParseDuration reads it.
func (d Duration) String() string { return time.Duration(d).String() }

// MarshalText is String.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText is ParseDuration; its error is a [Problem].
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := ParseDuration(string(text))
	if err == nil {
		*d = parsed
	}
	return err
}
