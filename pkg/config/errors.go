package config

import "errors"

// Errors collects what validation finds, so that a person can mend all of it at
// once. The zero value is empty.
type Errors struct {
	At    Positions // of the fields
	found []error
}

// FieldError is a value that will not do.
type FieldError struct {
	Place   string // where it stands, "rekindle.yaml:12:5"; empty for a default or a flag
	Field   string // its path in the file, "windows.oauth2.min_validity", or its flag, "--listen"
	Problem string // what is wrong, without the value where that may be secret
	Fix     string // what to write instead
}

func (e *FieldError) Error() string {
	text := e.Field + ": " + e.Problem + "; " + e.Fix
	if e.Place != "" {
		text = e.Place + ": " + text
	}
	return text
}

// Check notes a FieldError unless ok.
func (e *Errors) Check(ok bool, field, problem, fix string) {
	if !ok {
		e.found = append(e.found, &FieldError{e.At.Place(field), field, problem, fix})
	}
}

// Err joins what was found, one per line; nil when nothing was.
func (e *Errors) Err() error { return errors.Join(e.found...) }
