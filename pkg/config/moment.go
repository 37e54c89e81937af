package config

import "time"

// moment reads a time.Time.
type moment time.Time

// UnmarshalText reads RFC 3339, or a date; its error is a [Problem].
func (m *moment) UnmarshalText(text []byte) error {
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if t, err := time.Parse(layout, string(text)); err == nil {
			*m = moment(t.UTC())
			return nil
		}
	}
	return Problem("not a date, write it like 2027-03-01 or 2027-03-01T12:00:00Z")
}
