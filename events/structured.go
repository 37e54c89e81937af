package events

import (
	"encoding/json"
	"errors"
	"time"
)

// structured is an event in the JSON format of CloudEvents 1.0.
type structured struct {
	SpecVersion     string          `json:"specversion"`
	ID              string          `json:"id"`
	Source          string          `json:"source"`
	Type            string          `json:"type"`
	Subject         string          `json:"subject"`
	Time            string          `json:"time"`
	DataContentType string          `json:"datacontenttype"`
	Org             string          `json:"org,omitempty"`
	Trace           string          `json:"traceparent,omitempty"`
	Data            json.RawMessage `json:"data"`
}

// Structured returns the event of an entry as one JSON document, which is how CloudEvents
// travel where there are no headers (application/cloudevents+json): its context attributes,
// and beneath data its body as it was published, with the members that this version of the
// package does not know. There is no line break in it. It fails for an entry that could not
// be read.
func Structured(e Entry) ([]byte, error) {
	switch {
	case e.Err != nil:
		return nil, e.Err
	case e.Event.Data == nil:
		return nil, errors.New("entry without an event")
	}
	return json.Marshal(structured{
		SpecVersion: specVersion, ID: e.Event.ID, Source: e.Event.Source,
		Type: TypePrefix + string(e.Event.Data.Type()), Subject: e.Event.Data.About(),
		Time: e.Event.Time.UTC().Format(time.RFC3339Nano), DataContentType: contentJSON,
		Org: e.Event.Org, Trace: e.Event.Trace, Data: e.Body,
	})
}
