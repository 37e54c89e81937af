package api

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Errors of the use cases besides [RefusedError].
var (
	// ErrNotFound: there is no such record, or none that the caller may see.
	ErrNotFound = errors.New("no such record")
	// ErrNotReady: this process cannot do it yet; the same request may succeed
	// in a moment.
	ErrNotReady = errors.New("not ready")
	// ErrNoRight: the caller has not the right that this takes.
	ErrNoRight = errors.New("the bearer token has not the right to do this")
	// ErrUnavailable: the state did not answer. What was to be written may have
	// been written or not.
	ErrUnavailable = errors.New("the state is not available")
)

// TooManyError refuses a request because there were too many like it; nothing was
// changed.
type TooManyError struct {
	// Wait is after how long the next one is admitted, in whole seconds.
	Wait time.Duration
}

func (e *TooManyError) Error() string {
	return fmt.Sprintf("too many tests: the next one is admitted in %v", e.Wait)
}

// Code says what kind of problem a problem is: a closed set of words that
// clients see (contract A5).
type Code string

// The codes.
const (
	InvalidJSON         Code = "invalid-json"
	InvalidProperty     Code = "invalid-property"
	InvalidEnvironment  Code = "invalid-environment"
	InvalidHost         Code = "invalid-host"
	InvalidNote         Code = "invalid-note"
	InvalidCallback     Code = "invalid-callback"
	InvalidSecret       Code = "invalid-secret"
	WrongPlatform       Code = "invalid-property-platform"
	EnvironmentRequired Code = "environment-required"
	HostInUse           Code = "host-in-use"
	HostRequired        Code = "host-required"
	NotFound            Code = "not-found"
	NotUnique           Code = "not-unique"
	Conflict            Code = "conflict"
	InvalidAction       Code = "invalid-action"
	InvalidToken        Code = "invalid-token"
	ReadOnly            Code = "read-only"
	InvalidExtension    Code = "invalid-extension"
	InvalidDataElement  Code = "invalid-data_element"
	InvalidSettings     Code = "invalid-settings-syntax"
	UnknownDelegate     Code = "delegate-descriptor-unresolved"
	InvalidRule         Code = "invalid-rule"
	InvalidLibrary      Code = "invalid-library"
	InvalidBuild        Code = "invalid-build"
	MultipleRevisions   Code = "multiple-revisions"
	DeletedResources    Code = "deleted-resources"
	TooMany             Code = "limit-reached"
)

// Problem is one thing that is wrong with a request.
type Problem struct {
	Code Code
	// Pointer is the JSON pointer (RFC 6901) to what is wrong.
	Pointer string
	// Detail is a sentence for a person. It holds no value that may be secret.
	Detail string
}

// RefusedError refuses a request; nothing was changed. It has at least one
// problem.
type RefusedError struct{ Problems []Problem }

func (e *RefusedError) Error() string {
	details := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		details[i] = p.Detail
	}
	return "refused: " + strings.Join(details, "; ")
}

// refuse returns the refusal for one problem.
func refuse(code Code, pointer, detail string) error {
	return &RefusedError{Problems: []Problem{{code, pointer, detail}}}
}

// unavailable makes of a failure of the state what callers are told.
func unavailable(err error) error {
	if err == nil || errors.Is(err, ErrRepeated) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}
