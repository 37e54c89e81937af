package api

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/secret"
)

// ErrChanged says that a record is not, or not any more, what the caller takes it for.
// Nothing was changed.
var ErrChanged = errors.New("the resource is not what the header If-Match says: read it again, and decide on what it is now")

// Tags are those that a caller knows a record by. Nil stands for every record there
// is: the caller makes no condition.
type Tags []string

// admit returns ErrChanged unless the tag is among those that are known.
func (known Tags) admit(tag string) error {
	if known == nil || slices.Contains(known, tag) {
		return nil
	}
	return ErrChanged
}

// Tag is a text that is another one whenever the record is, and the same in every
// process. It is of the record: what the clock makes of it and what a caller may do
// with it are not in it.
func (p *Property) Tag() string { return tagOf(p) }

// Tag is as that of a property.
func (e *Environment) Tag() string { return tagOf(e) }

// Tag is as that of a property.
func (h *Host) Tag() string { return tagOf(h.shown()) }

// Tag is as that of a property.
func (e *DataElement) Tag() string { return tagOf(e) }

// Tag is as that of a property.
func (l *Library) Tag() string { return tagOf(l) }

// SecretTag is the tag of a secret, of what of it is shown at some time: a note that
// the machinery makes for itself does not change it.
func SecretTag(s *secret.Secret) string {
	shown := newRow(s).secret()
	shown.Warnings = slices.DeleteFunc(slices.Clone(shown.Warnings), func(w secret.Warning) bool {
		return w.Code == string(events.WarningAccountLimit) // which comes and goes with other secrets
	})
	if len(shown.Warnings) == 0 {
		shown.Warnings = nil
	}
	return tagOf(shown)
}

func tagOf(record any) string {
	body, err := json.Marshal(record)
	if err != nil {
		panic(err) // one of our own types cannot be written: a bug
	}
	h := sha256.Sum256(body)
	return hex.EncodeToString(h[:16])
}
