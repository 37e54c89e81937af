package api

import (
	"slices"

	"github.com/rekindle-dev/rekindle/pkg/secret"
)

// A resource object of JSON:API is what every create is given, by whichever
// door: {"type": …, "attributes": {…}, "relationships": {…}}.

// maxName bounds a name, in bytes. A name stands in a key of the state, in
// base32.
const maxName = 512

// openResource checks that data is a resource of the type and makes invalid the
// code of what is ill-formed in it. The type may be absent (contract A3).
func openResource(data *Object, typ string, invalid Code) error {
	data.report.invalid = invalid
	var got string
	if _, sent := data.member("type"); !sent {
		return nil
	}
	if !data.decode("type", &got, "a string") {
		return data.report.err()
	}
	if got != typ {
		return refuse(Conflict, data.at("type"), "type must be "+typ)
	}
	return nil
}

// openChange is openResource for a change of the resource of an id.
func openChange(data *Object, typ, id string, invalid Code) error {
	if err := openResource(data, typ, invalid); err != nil {
		return err
	}
	var sent string
	if data.decode("id", &sent, "a string") && sent != id {
		return refuse(Conflict, data.at("id"), "id must be that of the path")
	}
	return nil
}

// reference returns the id in a to-one relationship, "" when there is none. A
// reference that has not the form of one is noted.
func reference(data *Object, name, typ string, prefix secret.Prefix) string {
	relationships, _ := data.object("relationships")
	relationship, ok := relationships.object(name)
	if !ok {
		return ""
	}
	target, ok := relationship.object("data")
	if !ok {
		return ""
	}
	var id, got string
	if target.decode("type", &got, "a string") && got != typ {
		target.note(Conflict, "type", "type must be "+typ)
		return "" // an id of another type is not looked up
	}
	target.require("id")
	if target.decode("id", &id, "a string") && !secret.ValidID(prefix, id) {
		relationships.note(NotFound, name, "there is no such "+name)
		return ""
	}
	return id
}

// readChange reads what every change of a resource has in common (contract A8): its
// type, its id, which must be that of the path, and the action, one of those that
// there are or none.
func readChange(data *Object, typ string, invalid Code, id string, actions ...Action) (Action, error) {
	if err := openChange(data, typ, id, invalid); err != nil {
		return "", err
	}
	meta, _ := data.object("meta")
	var action Action
	if meta.decode("action", &action, "a string") && !slices.Contains(actions, action) {
		meta.note(InvalidAction, "action", "action must be one of "+named(actions))
	}
	return action, data.report.err()
}
