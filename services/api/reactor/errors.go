package reactor

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/services/api"
	"github.com/rekindle-dev/rekindle/services/api/auth"
)

// What the door itself refuses or fails at.
var (
	errNoRoute       = errors.New("there is nothing at this path")
	errMethod        = errors.New("the method is not allowed here")
	errNotAcceptable = errors.New("answers are " + jsonAPI + " of revision 1, which the header Accept does not admit")
	errNotStream     = errors.New("the answer is " + eventStream + ", which the header Accept does not admit")
	errMediaType     = errors.New("a body must be " + jsonAPI + " or " + plainJSON)
	errPurpose       = fmt.Errorf("the header %s must be one line of UTF-8, at most %d bytes long, and stand there once", headerPurpose, maxPurpose)
	errEncoding      = errors.New("a body must not be compressed or otherwise encoded (header Content-Encoding)")
	errTooLarge      = fmt.Errorf("a body must be at most %d bytes long", maxBody)
	errBroken        = errors.New("the body did not arrive")
	errNoCompany     = errors.New("the organisation has no company here")
	errPanic         = errors.New("panic")
)

// methodError is errMethod with the methods that are allowed.
type methodError struct{ allowed string }

func (e *methodError) Error() string { return "the method must be one of " + e.allowed }
func (e *methodError) Unwrap() error { return errMethod }

// bodyError says why a body could not be read.
func bodyError(err error) error {
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		return errTooLarge
	}
	return errBroken
}

// fault is one error as the answer tells it (contract A5.1).
type fault struct {
	status    int
	code      string
	pointer   string // to what is wrong in the body
	parameter string // or which of the URL is
	detail    string
}

// rule says how an error is told: in its own words unless the rule has others.
type rule struct {
	is     error
	status int
	code   string
	detail string
}

// rules is the table of contract A5.1 for what concerns a request as a whole.
func rules() []rule {
	return []rule{
		{is: auth.ErrNoToken, status: http.StatusUnauthorized, code: "authentication-failure"},
		{is: auth.ErrUnknownToken, status: http.StatusUnauthorized, code: "authentication-failure"},
		{is: auth.ErrOtherOrg, status: http.StatusForbidden, code: "not-authorized"},
		{is: auth.ErrNoAccess, status: http.StatusForbidden, code: "not-authorized"},
		{is: auth.ErrIssuerAway, status: http.StatusServiceUnavailable, code: "not-ready"},
		{is: api.ErrNoRight, status: http.StatusForbidden, code: "not-authorized"},
		{is: errNoCompany, status: http.StatusNotFound, code: "no-available-orgs"},
		{is: errNoRoute, status: http.StatusNotFound, code: "not-found"},
		{is: api.ErrNotFound, status: http.StatusNotFound, code: "not-found"},
		{is: errMethod, status: http.StatusMethodNotAllowed, code: "not-found"},
		{is: errNotAcceptable, status: http.StatusNotAcceptable, code: "unknown-error"},
		{is: errNotStream, status: http.StatusNotAcceptable, code: "unknown-error"},
		{is: errManyStreams, status: http.StatusTooManyRequests, code: "rate-limited"},
		{is: errOftenBegun, status: http.StatusTooManyRequests, code: "rate-limited"},
		{is: errLastEvent, status: http.StatusBadRequest, code: "invalid-header"},
		{is: errMediaType, status: http.StatusUnsupportedMediaType, code: "unknown-error"},
		{is: errPurpose, status: http.StatusBadRequest, code: "invalid-parameter"},
		{is: errEncoding, status: http.StatusUnsupportedMediaType, code: "unknown-error"},
		{is: errIfMatch, status: http.StatusBadRequest, code: "invalid-header"},
		{is: errKey, status: http.StatusBadRequest, code: "invalid-header"},
		{is: errGoneSince, status: http.StatusNotFound, code: "not-found"},
		{is: api.ErrKeyReused, status: http.StatusUnprocessableEntity, code: "idempotency-key-reused"},
		{is: api.ErrRepeated, status: http.StatusConflict, code: string(api.Conflict)},
		{is: api.ErrChanged, status: http.StatusPreconditionFailed, code: "precondition-failed"},
		{is: errTooLarge, status: http.StatusRequestEntityTooLarge, code: "payload-too-large"},
		{is: errBroken, status: http.StatusBadRequest, code: string(api.InvalidJSON)},
		{is: api.ErrNotReady, status: http.StatusServiceUnavailable, code: "not-ready"},
		{
			is: api.ErrUnavailable, status: http.StatusServiceUnavailable, code: "timeout-error",
			detail: "the state did not answer; what was to be changed may have been changed or not",
		},
	}
}

// faultsOf translates an error. What it does not know is a bug, and told as
// nothing but that.
func faultsOf(err error) []fault {
	if refused, ok := errors.AsType[*api.RefusedError](err); ok {
		return refusal(refused)
	}
	if wrong, ok := errors.AsType[*parameterError](err); ok {
		return parameterFaults(wrong)
	}
	if wrong, ok := errors.AsType[parameterErrors](err); ok {
		return parameterFaults(wrong...)
	}
	if refused, ok := errors.AsType[*auth.RefusedError](err); ok {
		return []fault{{status: http.StatusUnauthorized, code: "authentication-failure", detail: refused.Error()}}
	}
	if waitOf(err) > 0 {
		return []fault{{status: http.StatusTooManyRequests, code: "rate-limited", detail: err.Error()}}
	}
	for _, r := range rules() {
		if errors.Is(err, r.is) {
			return []fault{{status: r.status, code: r.code, detail: cmp.Or(r.detail, err.Error())}}
		}
	}
	return []fault{{
		status: http.StatusInternalServerError, code: "internal-error",
		detail: "something went wrong here; the log has it under the request id",
	}}
}

func parameterFaults(wrong ...*parameterError) []fault {
	faults := make([]fault, len(wrong))
	for i, w := range wrong {
		faults[i] = fault{status: http.StatusBadRequest, code: "invalid-parameter", parameter: w.name, detail: w.Error()}
	}
	return faults
}

// waitOf returns for how long whoever has asked too much is to wait, 0 for others.
func waitOf(err error) time.Duration {
	if many, ok := errors.AsType[*api.TooManyError](err); ok {
		return many.Wait
	}
	if many, ok := errors.AsType[*auth.TooManyError](err); ok {
		return many.Wait
	}
	return 0
}

// refusal translates a use case's problems.
func refusal(refused *api.RefusedError) []fault {
	faults := make([]fault, len(refused.Problems))
	for i, p := range refused.Problems {
		faults[i] = fault{status: statusOf(p.Code), code: string(p.Code), pointer: p.Pointer, detail: p.Detail}
	}
	return faults
}

// statusOf returns the status that goes with a problem (contract A5.1).
func statusOf(code api.Code) int {
	switch code {
	case api.InvalidJSON:
		return http.StatusBadRequest
	case api.NotFound:
		return http.StatusNotFound
	case api.NotUnique, api.Conflict, api.ReadOnly, api.HostInUse, api.MultipleRevisions, api.DeletedResources:
		return http.StatusConflict
	default:
		return http.StatusUnprocessableEntity
	}
}

// titleOf returns the title of a code, which Adobe's own forms show to people: its
// words, but for a few.
func titleOf(code string) string {
	switch code {
	case "not-found":
		return "Record Not Found"
	case "rate-limited":
		return "Too Many Requests"
	case string(api.InvalidJSON):
		return "Invalid JSON"
	case string(api.NotUnique):
		return "Name Not Unique"
	}
	words := strings.FieldsFunc(code, func(r rune) bool { return r == '-' || r == '_' })
	for i, word := range words {
		words[i] = strings.ToUpper(word[:1]) + word[1:]
	}
	return strings.Join(words, " ")
}

// refuse answers with an error.
func (d *door) refuse(w http.ResponseWriter, r *http.Request, err error) {
	faults := faultsOf(err)
	status := overall(faults)
	if status >= http.StatusInternalServerError {
		d.log.ErrorContext(r.Context(), "a request failed", "request", requestID(w), "error", err)
	}
	h := w.Header()
	switch status {
	case http.StatusUnauthorized:
		h.Set("WWW-Authenticate", challenge(err))
	case http.StatusServiceUnavailable:
		h.Set("Retry-After", "1")
	case http.StatusTooManyRequests: // as long as one of the streams may go on at the most, unless it is said better
		h.Set("Retry-After", strconv.Itoa(int(beat.Seconds())))
	}
	if wait := waitOf(err); wait > 0 {
		h.Set("Retry-After", strconv.Itoa(int(wait.Seconds())))
	}
	if wrong, ok := errors.AsType[*methodError](err); ok {
		h.Set("Allow", wrong.allowed)
	}
	reply{status: status, document: errorsDocument(faults, requestID(w))}.send(w)
}

// overall is the status of an answer with these faults: theirs, or the most
// general one when they differ.
func overall(faults []fault) int {
	for _, f := range faults {
		if f.status != faults[0].status {
			return http.StatusBadRequest
		}
	}
	return faults[0].status
}

// challenge is RFC 6750, section 3.1: no error code when there was no token.
func challenge(err error) string {
	if errors.Is(err, auth.ErrNoToken) {
		return "Bearer"
	}
	return `Bearer error="invalid_token"`
}

func errorsDocument(faults []fault, request string) errorsDoc {
	doc := errorsDoc{Errors: make([]errorObject, len(faults))}
	for i, f := range faults {
		doc.Errors[i] = errorObject{
			ID:     secret.NewUUID(),
			Status: strconv.Itoa(f.status),
			Code:   f.code,
			Title:  titleOf(f.code),
			Detail: f.detail,
			Source: errorSource{f.pointer, f.parameter},
			Meta:   errorMeta{RequestID: request},
		}
	}
	return doc
}
