package api

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rekindle-dev/rekindle/services/api/auth"
)

// Library is the record of a library (contract A15.7): what is built together.
type Library struct {
	ID       string       `json:"id"`
	Org      string       `json:"org"`
	Property string       `json:"property"`
	Name     string       `json:"name"`
	State    LibraryState `json:"state"`
	// Environment is the one that it is built for, "" for none. That environment's
	// hold names the library.
	Environment string `json:"environment,omitempty"`
	// Elements are its data elements, in the order in which they came.
	Elements []Held `json:"elements,omitempty"`
	// Extension is whether the property's extension is in it.
	Extension   bool      `json:"extension,omitempty"`
	PublishedAt time.Time `json:"published_at,omitzero"`
	CreatedAt   time.Time `json:"created_at"`
	UpdatedAt   time.Time `json:"updated_at"`
}

// Held is a data element in a library.
type Held struct {
	ID     string `json:"id"`
	Origin string `json:"origin"`
}

// has reports whether a data element is in the library, or a revision of it.
func (l *Library) has(e *DataElement) bool {
	return slices.ContainsFunc(l.Elements, func(h Held) bool { return h.ID == e.ID || h.Origin == e.ID })
}

// LibraryState says how far a library has come.
type LibraryState string

// The states.
const (
	InDevelopment LibraryState = "development"
	Submitted     LibraryState = "submitted"
	Approved      LibraryState = "approved"
	Rejected      LibraryState = "rejected"
	Published     LibraryState = "published"
)

// stage is that of the environments a library may be in.
func (s LibraryState) stage() Stage {
	switch s {
	case Submitted:
		return Staging
	case Approved, Published:
		return Production
	default:
		return Development
	}
}

// The actions on what is kept for builds.
const (
	Revise    Action = "revise"
	Submit    Action = "submit"
	Approve   Action = "approve"
	Reject    Action = "reject"
	Develop   Action = "develop"
	Republish Action = "republish"
)

// transition is where an action leads, and the right that it takes.
type transition struct {
	action   Action
	from, to LibraryState
	right    auth.Right
}

// transitions is the table of contract A15.7. That a library is published nobody
// asks for: a build for production does it.
func transitions() []transition {
	return []transition{
		{Submit, InDevelopment, Submitted, auth.Develop},
		{Approve, InDevelopment, Approved, auth.Approve},
		{Approve, Submitted, Approved, auth.Approve},
		{Reject, Submitted, Rejected, auth.Approve},
		{Reject, Approved, Rejected, auth.Approve},
		{Develop, Rejected, InDevelopment, auth.Develop},
	}
}

// rightFor returns the right that an action on a library takes, from whatever state.
func rightFor(action Action) auth.Right {
	for _, t := range transitions() {
		if t.action == action {
			return t.right
		}
	}
	return auth.Develop
}

// next returns the state that an action leads to, or a refusal.
func (s LibraryState) next(action Action) (LibraryState, error) {
	var possible []string
	for _, t := range transitions() {
		if t.from == s && t.action == action {
			return t.to, nil
		}
		if t.from == s {
			possible = append(possible, string(t.action))
		}
	}
	detail := fmt.Sprintf("action %s is not for a library in the state %s, which has ", action, s)
	if len(possible) == 0 {
		return s, refuse(InvalidAction, "/data/meta/action", detail+"none")
	}
	return s, refuse(InvalidAction, "/data/meta/action", detail+strings.Join(possible, ", "))
}

// OwnExtension is the id of the extension that can be in the library.
func (l *Library) OwnExtension() string { return extensionOf(l.Property) }
