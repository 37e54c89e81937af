package api

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/rekindle-dev/rekindle/pkg/secret"
)

// DataElement is the record of a data element (contract A15.6), or of a revision of
// one: a copy with an id of its own that is not changed any more.
type DataElement struct {
	ID       string `json:"id"`
	Org      string `json:"org"`
	Property string `json:"property"`
	// Origin is the id of the data element that this is a revision of; its own, if
	// it is none.
	Origin string `json:"origin"`
	// Revision counts the revisions of one origin, which has 0 itself, and Revisions
	// is how many the origin has had.
	Revision  int    `json:"revision,omitempty"`
	Revisions int    `json:"revisions,omitempty"`
	Name      string `json:"name"`
	Delegate  string `json:"delegate"`
	// Settings are a JSON object, "" for none.
	Settings string `json:"settings,omitempty"`
	// Secrets are the ids of the secrets that the settings name, by stage.
	Secrets        map[Stage]string `json:"secrets,omitempty"`
	Default        *string          `json:"default,omitempty"`
	Storage        string           `json:"storage,omitempty"`
	CleanText      bool             `json:"clean_text,omitempty"`
	ForceLowerCase bool             `json:"force_lower_case,omitempty"`
	Disabled       bool             `json:"disabled,omitempty"`
	// Revised is whether there is a revision of it as it is.
	Revised   bool      `json:"revised,omitempty"`
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
	DeletedAt time.Time `json:"deleted_at,omitzero"`
}

// Head reports whether it is no revision of another.
func (e *DataElement) Head() bool { return e.Revision == 0 }

// Secret reports whether it yields a secret (contract A16).
func (e *DataElement) Secret() bool { return e.Delegate == secretDelegate }

// Dirty reports whether there is no revision of it as it is.
func (e *DataElement) Dirty() bool { return e.Head() && !e.Revised }

// revise makes the next revision of a head.
func (e *DataElement) revise(now time.Time) *DataElement {
	e.Revisions++
	e.Revised = true
	revision := *e
	revision.ID, revision.Revision, revision.Revisions = secret.NewID(secret.PrefixDataElement), e.Revisions, 0
	revision.CreatedAt, revision.UpdatedAt = now, now
	return &revision
}

// The bounds of a data element, in bytes.
const (
	maxDefault  = 1 << 10
	maxSettings = 16 << 10
)

// What begins the ids of delegates that are data elements, and the one that yields
// a secret (contract A16).
const (
	delegates      = ExtensionName + "::dataElements::"
	secretDelegate = delegates + "secret"
)

// read puts what a request says of a data element over what it is. What is wrong is
// noted in the report of data. It returns the id of the extension that is named, ""
// for none.
func (e *DataElement) read(data *Object, parent *Property) (extension string) {
	a := data.attributes()
	if name, ok := a.text("name", maxName); ok {
		e.Name = name
	}
	a.decode("clean_text", &e.CleanText, "true or false")
	a.decode("force_lower_case", &e.ForceLowerCase, "true or false")
	enabled := !e.Disabled
	a.decode("enabled", &enabled, "true or false")
	e.Disabled = !enabled
	if storage, ok := a.oneOf("storage_duration", "pageview", "session", "visitor"); ok || a.null("storage_duration") {
		e.Storage = storage
	}
	var text string
	if a.decode("default_value", &text, "a string") {
		e.Default = &text
	} else if a.null("default_value") {
		e.Default = nil
	}
	if len(text) > maxDefault {
		a.fault("default_value", fmt.Sprintf("must be at most %d bytes long", maxDefault))
	}
	extension = reference(data, "extension", "extensions", secret.PrefixExtension)
	if extension != "" && extension != extensionOf(parent.ID) {
		relationships, _ := data.object("relationships")
		relationships.note(NotFound, "extension", "the property has no such extension; its own is "+extensionOf(parent.ID))
	}
	e.readDelegate(a, parent)
	e.readSettings(a)
	return extension
}

// readDelegate reads which delegate of the extension makes the value. Those that
// Rekindle has not heard of are taken: only that of secrets means something to it.
func (e *DataElement) readDelegate(a *Object, parent *Property) {
	const name = "delegate_descriptor_id"
	if delegate, ok := a.text(name, maxName); ok {
		e.Delegate = delegate
		if word, of := strings.CutPrefix(delegate, delegates); !of || word == "" || strings.Contains(word, "::") {
			a.note(UnknownDelegate, name, name+" must be "+delegates+" and a name: those are the delegates of the extension there is")
			return
		}
	}
	if e.Secret() && parent.Platform != Edge {
		a.note(UnknownDelegate, name, name+": only properties of the platform edge have secrets")
	}
}

// readSettings reads the settings: JSON, encoded as a string (contract A2). What is
// wrong in the settings of a secret is told with a pointer that goes on into them.
func (e *DataElement) readSettings(a *Object) {
	const name = "settings"
	var text string
	if a.decode(name, &text, "a JSON object, encoded as a string") || a.null(name) {
		e.Settings = text
	}
	if a.faulty(name) || a.faulty("delegate_descriptor_id") {
		return
	}
	e.Secrets = nil
	if e.Settings == "" {
		return
	}
	members, err := split([]byte(e.Settings))
	switch {
	case len(e.Settings) > maxSettings:
		a.fault(name, fmt.Sprintf("must be at most %d bytes long", maxSettings))
	case err != nil:
		a.note(InvalidSettings, name, name+" "+err.Error())
	case e.Secret():
		e.Secrets = readSecrets(&Object{pointer: a.at(name), members: members, report: a.report})
	}
}

// readSecrets reads which secret there is for which stage (contract A16): one for
// each, or none, and nothing else at any level.
func readSecrets(settings *Object) map[Stage]string {
	settings.only("secrets")
	secrets, _ := settings.object("secrets")
	secrets.only(string(Development), string(Staging), string(Production))
	chosen := make(map[Stage]string)
	for _, stage := range []Stage{Development, Staging, Production} {
		named, ok := secrets.object(string(stage))
		if !ok {
			continue
		}
		named.only("id", "name")
		named.require("id", "name")
		named.text("name", maxName)
		if id, ok := named.text("id", maxName); ok {
			chosen[stage] = id
		}
	}
	return chosen
}

// only notes the members of other names.
func (o *Object) only(names ...string) {
	for _, name := range slices.Sorted(maps.Keys(o.members)) {
		if !slices.Contains(names, name) {
			o.fault(name, "is not allowed here: there can be "+strings.Join(names, ", "))
		}
	}
}

// Extension is the id of the extension whose delegate it has.
func (e *DataElement) Extension() string { return extensionOf(e.Property) }
