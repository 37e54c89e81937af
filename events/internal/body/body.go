// Package body writes and reads the bodies of messages: JSON within a bound. Its
// errors name a member and never quote a value: a publisher may have put into it
// what must not be shown.
package body

import (
	"encoding/json"
	"errors"
	"fmt"
)

// Max bounds a body, in bytes.
const Max = 64 << 10

// Encode returns the body of a message of the type what that says v.
func Encode(what string, v any) ([]byte, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", what, err)
	}
	if len(raw) > Max {
		return nil, tooLong(what, raw)
	}
	return raw, nil
}

// Decode reads the body of a message of the type what. Members that it does not
// know are ignored. The result is zero when there is an error.
func Decode[T any](what string, raw []byte) (T, error) {
	var v, none T
	if len(raw) > Max {
		return none, tooLong(what, raw)
	}
	if err := json.Unmarshal(raw, &v); err != nil {
		return none, fmt.Errorf("body of %s: %s", what, problem(err))
	}
	return v, nil
}

func tooLong(what string, raw []byte) error {
	return fmt.Errorf("body of %s has %d bytes, at most %d are allowed", what, len(raw), Max)
}

func problem(err error) string {
	if t, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return fmt.Sprintf("member %q must be %s", t.Field, t.Type)
	}
	if s, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Sprintf("not JSON at byte %d", s.Offset)
	}
	return "not a JSON object of this type"
}
