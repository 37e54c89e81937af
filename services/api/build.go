package api

import (
	"fmt"
	"slices"
	"time"

	"github.com/rekindle-dev/rekindle/pkg/secret"
)

// Build is the record of a build (contract A15.7). What it yields is a verdict:
// whether all that the library needs of secrets is in its environment. Nothing is
// compiled or hosted.
type Build struct {
	ID          string        `json:"id"`
	Org         string        `json:"org"`
	Property    string        `json:"property"`
	Library     string        `json:"library"`
	Environment string        `json:"environment"`
	Stage       Stage         `json:"stage"`
	Archive     bool          `json:"archive,omitempty"`
	Status      secret.Status `json:"status"`
	Token       string        `json:"token"`
	// Request is the id under which its faults are told.
	Request string `json:"request"`
	// Faults are why it has failed.
	Faults    []Fault   `json:"faults,omitempty"`
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
}

// Fault is one thing that has kept a build from succeeding.
type Fault struct {
	ID     string `json:"id"`
	Code   Code   `json:"code"`
	Detail string `json:"detail"`
}

// maxFaults bounds what is told of a build.
const maxFaults = 20

// conclude ends the build: well, if there are no faults.
func (b *Build) conclude(faults []Fault, now time.Time) {
	if n := len(faults) - maxFaults; n > 0 {
		faults = append(faults[:maxFaults], faultOf(InvalidDataElement, "there are %d faults more", n))
	}
	b.Status, b.Faults, b.UpdatedAt = secret.Succeeded, faults, now
	if len(faults) > 0 {
		b.Status = secret.Failed
	}
}

func faultOf(code Code, format string, args ...any) Fault {
	return Fault{ID: secret.NewUUID(), Code: code, Detail: fmt.Sprintf(format, args...)}
}

// inspect returns what keeps a library from being built (contract A15.7): each of
// its data elements that yields a secret has to name one for the stage, which has
// succeeded and is attached to the environment. The view is locked.
func (p *projection) inspect(b *Build, l *Library, now time.Time) []Fault {
	if l.Environment != b.Environment || !p.environments.has(b.Environment) {
		return []Fault{faultOf(EnvironmentRequired, "the library is not in the environment any more")}
	}
	var faults []Fault
	for _, held := range l.Elements {
		e, ok := p.elements.get(held.ID)
		switch {
		case !ok || !e.DeletedAt.IsZero():
			faults = append(faults, faultOf(DeletedResources, "the data element %s is deleted: take it out of the library", held.ID))
		case e.Secret():
			if problem := p.unusable(e, b, now); problem != "" {
				faults = append(faults, faultOf(InvalidDataElement, "the data element %s (%s) %s", e.Name, e.ID, problem))
			}
		}
	}
	return slices.Clip(faults)
}

// unusable says what is wrong with the secret of a data element, "" for nothing.
func (p *projection) unusable(e *DataElement, b *Build, now time.Time) string {
	id := e.Secrets[b.Stage]
	if id == "" {
		return fmt.Sprintf("names no secret for the stage %s", b.Stage)
	}
	s, ok := p.secret(id)
	switch {
	case !ok || s.Property != b.Property:
		return fmt.Sprintf("names for the stage %s the secret %s, which the property does not have", b.Stage, id)
	case s.Environment != b.Environment:
		return fmt.Sprintf("names for the stage %s the secret %s (%s), which is not attached to the environment of the library", b.Stage, s.Name, id)
	case s.StatusAt(now) != secret.Succeeded:
		return fmt.Sprintf("names for the stage %s the secret %s (%s), whose status is %s", b.Stage, s.Name, id, s.StatusAt(now))
	}
	return ""
}
