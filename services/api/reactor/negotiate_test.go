package reactor

import (
	"net/http"
	"testing"
)

func TestAcceptable(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		accept []string
		want   bool
	}{
		{nil, true},
		{[]string{""}, true},
		{[]string{"*/*"}, true},
		{[]string{"application/*"}, true},
		{[]string{"application/vnd.api+json"}, true},
		{[]string{"application/vnd.api+json;revision=1"}, true},
		{[]string{"Application/Vnd.API+JSON; Revision=1"}, true},
		{[]string{"application/vnd.api+json; revision=\"1\"; charset=utf-8"}, true},
		{[]string{"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}, true},
		{[]string{"text/html", "application/vnd.api+json;q=0.1"}, true},
		{[]string{"application/vnd.api+json;revision=2, application/vnd.api+json;revision=1"}, true},
		{[]string{"application/*;q=0, application/vnd.api+json"}, true},
		{[]string{"application/vnd.api+json;revision=2"}, false},
		{[]string{"application/json"}, false},
		{[]string{"text/*"}, false},
		{[]string{"*/*;q=0"}, false},
		{[]string{"*/*, application/vnd.api+json;q=0.0"}, false},
		{[]string{"application/vnd.api+json, application/vnd.api+json;revision=1;q=0"}, false},
		{[]string{";;;"}, false},
	} {
		if got := acceptable(tt.accept, jsonAPI); got != tt.want {
			t.Errorf("%q: %v, want %v", tt.accept, got, tt.want)
		}
	}
}

// A stream is of a type of its own, and what admits documents alone does not admit it.
func TestAcceptableStreams(t *testing.T) {
	t.Parallel()
	for accept, want := range map[string]bool{
		"": true, "*/*": true, "text/*": true, "text/event-stream": true, "application/vnd.api+json, text/event-stream": true,
		"text/html": false, "application/*": false, "application/vnd.api+json;revision=1": false, "text/event-stream;q=0": false,
		"text/event-stream; revision=2": false,
	} {
		got := negotiate(&http.Request{Method: http.MethodGet, Header: http.Header{"Accept": {accept}}}, eventStream)
		if want && got != nil || !want && got != errNotStream {
			t.Errorf("%q: %v, want %v", accept, got, want)
		}
	}
}

func TestBodiesOfBothMediaTypes(t *testing.T) {
	t.Parallel()
	for sent, want := range map[string]error{
		"application/vnd.api+json":            nil,
		"application/vnd.api+json;revision=1": nil,
		"application/json; charset=utf-8":     nil,
		"APPLICATION/JSON":                    nil,
		"text/json":                           errMediaType,
		"application/vnd.api+jsonp":           errMediaType,
		"":                                    errMediaType,
		"application/json, application/vnd.api+json": errMediaType,
	} {
		r := &http.Request{Header: http.Header{"Content-Type": {sent}}, ContentLength: 2}
		for _, r.Method = range []string{http.MethodPost, http.MethodPatch, http.MethodPut, http.MethodDelete} {
			if got := negotiate(r, jsonAPI); got != want {
				t.Errorf("%s with %q: %v, want %v", r.Method, sent, got, want)
			}
		}
		r.ContentLength = 0
		for _, r.Method = range []string{http.MethodGet, http.MethodDelete} {
			if got := negotiate(r, jsonAPI); got != nil {
				t.Errorf("%s with %q and nothing else: %v", r.Method, sent, got)
			}
		}
	}
}

// Whoever sends nothing need not say what it is; how much comes may not be known.
func TestNoBodyNeedsNoMediaType(t *testing.T) {
	t.Parallel()
	for length, want := range map[int64]error{0: nil, 1: errMediaType, -1: errMediaType} {
		if got := negotiate(&http.Request{Method: http.MethodPost, ContentLength: length}, jsonAPI); got != want {
			t.Errorf("%d bytes: %v, want %v", length, got, want)
		}
	}
}

func TestBodiesAreNotEncoded(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		codings []string
		want    error
	}{
		{nil, nil},
		{[]string{""}, nil},
		{[]string{"identity"}, nil},
		{[]string{" Identity , identity"}, nil},
		{[]string{"gzip"}, errEncoding},
		{[]string{"identity", "br"}, errEncoding},
		{[]string{"identity, zstd"}, errEncoding},
	} {
		r := &http.Request{Method: http.MethodPost, Header: http.Header{
			"Content-Type": {jsonAPI}, "Content-Encoding": tt.codings,
		}}
		if got := negotiate(r, jsonAPI); got != tt.want {
			t.Errorf("%q: %v, want %v", tt.codings, got, tt.want)
		}
	}
}
