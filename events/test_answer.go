package events

import "encoding/json"

// TestAnswer answers a TestRequested. It may hold an access token, so it travels
// sealed to the request's key and never otherwise.
type TestAnswer struct {
	// Exchange is what the provider answered, or, when that was no success, an
	// object with error, error_description and, if there was an answer, status.
	Exchange json.RawMessage `json:"exchange,omitempty"`
	// Warning says what would keep the answer from being accepted.
	Warning string `json:"warning,omitempty"`
	// Busy says that no exchange was made, because another is under way.
	Busy bool `json:"busy,omitempty"`
}

// FieldTestAnswer is the field that a sealed TestAnswer is bound to, besides the
// secret and the generation 0.
const FieldTestAnswer = "test answer"
