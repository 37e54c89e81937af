package events

import "time"

// Accepted says: an event that an upstream system published was carried out, and
// what it is about stands as it asked. It answers each such event that is not
// [Rejected].
type Accepted struct {
	// Event is the id of the upstream event, EventSource where it came from and
	// EventType its CloudEvents type.
	Event       string `json:"event"`
	EventSource string `json:"event_source"`
	EventType   string `json:"event_type"`
	Secret      string `json:"secret"`
	Property    string `json:"property"`
	Environment string `json:"environment,omitempty"`
	Name        string `json:"name,omitempty"`
	Kind        string `json:"kind"`
	// Duplicate tells that the same event was carried out before, and that nothing
	// was done this time. It stands in replies only.
	Duplicate bool `json:"duplicate,omitempty"`
	// AuthorizationURL is where a person may consent, until AuthorizeUntil. They
	// stand in replies only: whoever has the link can use it.
	AuthorizationURL string    `json:"authorization_url,omitempty"`
	AuthorizeUntil   time.Time `json:"authorize_until,omitzero"`
}

// Rejected says: an event that an upstream system published was refused. Nothing
// was changed, and nothing is kept of what the event said.
type Rejected struct {
	// Event, EventSource and EventType are as in Accepted, as far as they could be
	// read. An event without an id that can be used is called "INTAKE." and its
	// place in the stream.
	Event       string `json:"event"`
	EventSource string `json:"event_source,omitempty"`
	EventType   string `json:"event_type,omitempty"`
	// Problems are all that is wrong with it, at least one.
	Problems []Problem `json:"problems"`
}

// Problem is one thing that is wrong with an event.
type Problem struct {
	// Code is one of the codes of the HTTP API.
	Code string `json:"code"`
	// Pointer leads to it in the data of the event (RFC 6901); empty for what is
	// wrong with the event as a whole or its headers.
	Pointer string `json:"pointer"`
	// Detail is a sentence for a person. It quotes nothing of the data.
	Detail string `json:"detail"`
}

// Type implements Data.
func (Accepted) Type() Type { return TypeAccepted }

// About is the id of the upstream event.
func (e Accepted) About() string { return e.Event }

// Type implements Data.
func (Rejected) Type() Type { return TypeRejected }

// About is the id of the upstream event.
func (e Rejected) About() string { return e.Event }
