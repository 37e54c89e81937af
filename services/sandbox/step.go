package sandbox

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Limits of a step.
const (
	maxSize     = 64 << 20 // bytes of a huge body
	defaultSize = 1 << 20
	maxRate     = 1 << 20 // bytes a second of a slow drip
	defaultRate = 1
	maxDelay    = Duration(24 * time.Hour)
	maxMembers  = 32 // fields, omissions and headers, each
)

// These stand for the issued tokens in Step.Body.
const (
	accessToken  = "{{access_token}}"
	refreshToken = "{{refresh_token}}"
)

// Step says how one request is answered. Its zero value is a correct token
// answer (RFC 6749 §5.1). Members combine: what is answered (Error, Status, Body,
// Fields, Omit, ContentType, Headers), when (Delay, Hold) and how badly (Fault).
//
// A step issues a token unless it has an Error, a Status of 300 or more, a Body
// that does not mention the token, or a fault that precludes it. Only issued
// tokens are counted and work. A request for which no token is issued uses up
// neither its code nor its refresh token.
type Step struct {
	// Times is how many requests the step serves; see Client.Script.
	Times int `json:"times,omitzero"`

	// Lifetime of the token: what Introspect goes by, and in whole seconds the
	// answer's expires_in. It may be zero or negative. Nil is CodeFlow.Lifetime,
	// or Config.Lifetime.
	Lifetime *Duration `json:"lifetime,omitzero"`
	// Fields are set in the answer's JSON object, replacing what it says itself:
	// {"expires_in": "3600"}, {"expires_in": null}, {"instance_url": …}.
	Fields map[string]json.RawMessage `json:"fields,omitzero"`
	// Omit names members to leave out: ["expires_in"].
	Omit []string `json:"omit,omitzero"`

	// Error answers with this code by RFC 6749 §5.2; Fields may add to it.
	Error string `json:"error,omitzero"`
	// Status of the answer. Default 200; with Error 400, or 401 for
	// invalid_client. From 300 on, without Error and Body, a line of text.
	Status int `json:"status,omitzero"`
	// Body replaces the whole body; "{{access_token}}" in it becomes the token, and
	// "{{refresh_token}}" the refresh token, if there is one.
	Body *string `json:"body,omitzero"`
	// ContentType of the answer. Default application/json, or text/plain for the
	// line of text.
	ContentType string `json:"content_type,omitzero"`
	// Headers are set last: Retry-After, Location, Date, …
	Headers map[string]string `json:"headers,omitzero"`

	// Delay is real time between taking the request and answering it.
	Delay Duration `json:"delay,omitzero"`
	// Hold keeps the answer back until Server.Release, after the delay.
	Hold bool `json:"hold,omitzero"`

	// Fault spoils the answer or its transport.
	Fault Fault `json:"fault,omitzero"`
	// BytesPerSecond is the rate of FaultSlowDrip, at most 1 MiB. Default 1.
	BytesPerSecond int `json:"bytes_per_second,omitzero"`
	// Size is what FaultHugeBody adds, in bytes, at most 64 MiB. Default 1 MiB.
	Size int `json:"size,omitzero"`
}

// Fault is a named misbehaviour.
type Fault string

// The faults. Those that end without an answer follow any Delay and Hold.
const (
	FaultNone Fault = ""
	// FaultReset issues nothing and resets the connection (TCP RST).
	FaultReset Fault = "reset"
	// FaultDropAfterCommit issues a token and closes the connection unanswered.
	FaultDropAfterCommit Fault = "drop-after-commit"
	// FaultNeverAnswer issues nothing and waits until the caller gives up.
	FaultNeverAnswer Fault = "never-answer"
	// FaultSlowDrip sends the answer a few bytes at a time.
	FaultSlowDrip Fault = "slow-drip"
	// FaultHugeBody puts Size blanks before the body, which leaves JSON valid.
	FaultHugeBody Fault = "huge-body"
	// FaultTruncated sends half of the body as if it were all.
	FaultTruncated Fault = "truncated"
	// FaultHTML sends a log-in page in place of the answer; nothing is issued.
	FaultHTML Fault = "html"
	// FaultRedirect sends a redirect to Headers' Location, by default /token. The
	// default Status 307 asks the caller to repeat the request there, credentials
	// and all; one that obeys is counted again.
	FaultRedirect Fault = "redirect"
	// FaultOKWithError sends Error (default invalid_grant) with status 200.
	FaultOKWithError Fault = "200-with-error"
)

var faults = []Fault{
	FaultNone, FaultReset, FaultDropAfterCommit, FaultNeverAnswer, FaultSlowDrip,
	FaultHugeBody, FaultTruncated, FaultHTML, FaultRedirect, FaultOKWithError,
}

const loginPage = "<!DOCTYPE html><html><head><title>Log in</title></head>" +
	"<body><form><input name=\"user\"></form></body></html>\n"

// expand says the faults of content in terms of the other members, which leaves
// only the faults of transport for later.
func (s Step) expand() Step {
	switch s.Fault {
	case FaultHTML:
		s.Body = new(loginPage)
		s.ContentType = cmp.Or(s.ContentType, "text/html; charset=utf-8")
	case FaultRedirect:
		s.Status = cmp.Or(s.Status, http.StatusTemporaryRedirect)
		headers := map[string]string{"Location": "/token"}
		for name, value := range s.Headers {
			headers[http.CanonicalHeaderKey(name)] = value
		}
		s.Headers = headers
	case FaultOKWithError:
		s.Status = http.StatusOK
		s.Error = cmp.Or(s.Error, "invalid_grant")
	}
	return s
}

// issues reports whether an expanded step issues a token.
func (s Step) issues() bool {
	if s.Fault == FaultReset || s.Fault == FaultNeverAnswer {
		return false
	}
	if s.Body != nil {
		return strings.Contains(*s.Body, accessToken)
	}
	return s.Error == "" && s.Status < http.StatusMultipleChoices
}

// validate returns every broken rule, each beginning with the member at fault.
func (s Step) validate() []error {
	var errs []error
	refuse := func(broken bool, format string, args ...any) {
		if broken {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	refuse(!slices.Contains(faults, s.Fault), "fault: unknown; want one of %q", faults[1:])
	refuse(s.Times < 0, "times: want 0 or more")
	refuse(s.Status != 0 && (s.Status < 200 || s.Status > 599), "status: want 200 to 599")
	refuse(s.Delay < 0 || s.Delay > maxDelay, "delay: want 0 to %d s", maxDelay/Duration(time.Second))
	refuse(s.Size < 0 || s.Size > maxSize, "size: want 0 to %d bytes", maxSize)
	refuse(s.Size != 0 && s.Fault != FaultHugeBody, "size: only with the fault %q", FaultHugeBody)
	refuse(s.BytesPerSecond < 0 || s.BytesPerSecond > maxRate, "bytes_per_second: want 0 to %d", maxRate)
	refuse(s.BytesPerSecond != 0 && s.Fault != FaultSlowDrip, "bytes_per_second: only with the fault %q", FaultSlowDrip)
	refuse(s.Body != nil && len(*s.Body) > maxControlBody, "body: want at most %d bytes", maxControlBody)
	refuse(s.Body != nil && (s.Error != "" || s.Fields != nil || s.Omit != nil), "body: not with error, fields or omit")
	refuse(s.Body != nil && s.Fault == FaultHTML, "body: not with the fault %q", FaultHTML)
	refuse(s.Fault == FaultOKWithError && (s.Body != nil || s.Status != 0), "fault: %q has a body and a status of its own", s.Fault)
	refuse(s.Fault == FaultRedirect && s.Status != 0 && s.Status/100 != 3, "status: want 300 to 399 with the fault %q", s.Fault)
	refuse(s.Fault == FaultNeverAnswer && s.Hold, "hold: not with the fault %q, which nothing releases", s.Fault)
	refuse(len(s.Fields) > maxMembers, "fields: want at most %d", maxMembers)
	refuse(len(s.Omit) > maxMembers, "omit: want at most %d", maxMembers)
	for name, value := range s.Fields {
		refuse(!json.Valid(value), "fields[%q]: not JSON", name)
	}
	return append(errs, s.validateHeaders()...)
}

// validateHeaders keeps a script from splitting the answer by a header.
func (s Step) validateHeaders() []error {
	var errs []error
	if !fieldValue(s.ContentType) {
		errs = append(errs, errors.New("content_type: has a control character"))
	}
	if len(s.Headers) > maxMembers {
		errs = append(errs, fmt.Errorf("headers: want at most %d", maxMembers))
	}
	for name, value := range s.Headers {
		if !fieldName(name) || !fieldValue(value) {
			errs = append(errs, fmt.Errorf("headers[%q]: not a header", name))
		}
		switch http.CanonicalHeaderKey(name) {
		case "Content-Length", "Transfer-Encoding":
			errs = append(errs, fmt.Errorf("headers[%q]: is computed", name))
		}
	}
	return errs
}

// fieldName reports whether s is a token of RFC 9110 §5.6.2.
func fieldName(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune("\"(),/:;<=>?@[\\]{}", r)
	})
}

// fieldValue reports whether s holds no control character but tab.
func fieldValue(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r != '\t' && (r < ' ' || r == 0x7f) })
}

// clone copies s deeply.
func (s Step) clone() Step {
	s.Omit = slices.Clone(s.Omit)
	s.Headers = maps.Clone(s.Headers)
	if s.Body != nil {
		s.Body = new(*s.Body)
	}
	if s.Lifetime != nil {
		s.Lifetime = new(*s.Lifetime)
	}
	s.Fields = maps.Clone(s.Fields)
	for name, value := range s.Fields {
		s.Fields[name] = bytes.Clone(value)
	}
	return s
}
