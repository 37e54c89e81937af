package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"
)

// Duration is a time.Duration that JSON writes as seconds, as OAuth does, and
// reads from seconds (3600, 0.05) or from Go's notation ("1h30m").
type Duration time.Duration

// maxSeconds keeps the conversion from seconds, some 31 years, far from overflow.
const maxSeconds = 1e9

// MarshalJSON writes seconds.
func (d Duration) MarshalJSON() ([]byte, error) {
	return json.Marshal(time.Duration(d).Seconds())
}

// UnmarshalJSON reads a number of seconds or a string for time.ParseDuration.
func (d *Duration) UnmarshalJSON(b []byte) error {
	seconds, err := parseSeconds(b)
	if err != nil {
		return errors.New(`duration: want seconds or a text such as "1h30m"`)
	}
	if math.Abs(seconds) > maxSeconds {
		return fmt.Errorf("duration: want at most %g seconds either way", maxSeconds)
	}
	*d = Duration(seconds * float64(time.Second))
	return nil
}

func parseSeconds(b []byte) (float64, error) {
	if text, err := strconv.Unquote(string(b)); err == nil {
		parsed, err := time.ParseDuration(text)
		return parsed.Seconds(), err
	}
	var seconds float64
	err := json.Unmarshal(b, &seconds)
	return seconds, err
}
