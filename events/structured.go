package events

import (
	"encoding/json"
	"errors"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"
)

// structured is an event in the JSON format of CloudEvents 1.0.
type structured struct {
	SpecVersion     string `json:"specversion"`
	ID              string `json:"id"`
	Source          string `json:"source"`
	Type            string `json:"type"`
	Subject         string `json:"subject"`
	Time            string `json:"time"`
	DataContentType string `json:"datacontenttype"`
	Org             string `json:"org,omitempty"`
	Trace           string `json:"traceparent,omitempty"`
}

// Structured returns the event of an entry as one JSON document, which is how CloudEvents
// travel where there are no headers (application/cloudevents+json): its context attributes, extensions that this version of
// the package does not know among them, and beneath data its body as it was published, with
// the members that are not known. There is no line break in it. It fails for an entry that
// could not be read.
func Structured(e Entry) ([]byte, error) {
	switch {
	case e.Err != nil:
		return nil, e.Err
	case e.Event.Data == nil:
		return nil, errors.New("entry without an event")
	}
	doc, err := json.Marshal(structured{
		SpecVersion: specVersion, ID: e.Event.ID, Source: e.Event.Source,
		Type: TypePrefix + string(e.Event.Data.Type()), Subject: e.Event.Data.About(),
		Time: e.Event.Time.UTC().Format(time.RFC3339Nano), DataContentType: contentJSON,
		Org: e.Event.Org, Trace: e.Event.Trace,
	})
	if err != nil {
		return nil, err
	}
	data, err := json.Marshal(json.RawMessage(e.Body))
	if err != nil {
		return nil, err
	}
	doc = appendExtensions(doc[:len(doc)-1], e.Header)
	doc = append(append(doc, `,"data":`...), data...)
	return append(doc, '}'), nil
}

// appendExtensions appends the attributes of a header that are not known. What is no
// attribute of CloudEvents (1.0, section 3.1) is left out.
func appendExtensions(doc []byte, h Header) []byte {
	for _, header := range slices.Sorted(maps.Keys(h)) {
		name, ok := strings.CutPrefix(header, "ce-")
		value, err := url.PathUnescape(h.Get(header))
		if !ok || err != nil || !extension(name) {
			continue
		}
		text, err := json.Marshal(value) // with what is no UTF-8 replaced
		if err != nil {
			continue
		}
		doc = append(append(doc, `,"`+name+`":`...), text...)
	}
	return doc
}

// extension reports whether an attribute has a name, and one that is not in every document.
func extension(name string) bool {
	switch name {
	case "", "specversion", "id", "source", "type", "subject", "time", "datacontenttype", "org", "traceparent", "data":
		return false
	default:
		return strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789") == ""
	}
}
