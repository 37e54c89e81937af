package api

import (
	"encoding/json"
	"fmt"
	"strconv"
)

// maxLinked bounds how many resources one request names.
const maxLinked = 200

// Linkage is the resources that a document names in order to link them with
// another: {"data": [{"type": …, "id": …}]}.
type Linkage struct {
	refs   []ref
	report *report
}

// ref is a resource that is named.
type ref struct {
	id string
	// revise asks for a revision of it in its place.
	revise bool
	// object is what names it, for whatever is wrong with it.
	object *Object
}

// refuse notes what is wrong with a reference.
func (r ref) refuse(code Code, detail string) { r.object.note(code, "id", detail) }

// ReadLinkage returns the resources of the type that a body names, of which there
// may be none. A body that is no such document is refused with InvalidJSON.
func ReadLinkage(body []byte, typ string) (*Linkage, error) {
	root, err := readRoot(body)
	if err != nil {
		return nil, err
	}
	var items []json.RawMessage
	if !root.decode("data", &items, "a list") && !root.faulty("data") {
		root.fault("data", "is required")
	}
	if len(items) > maxLinked {
		root.fault("data", fmt.Sprintf("must have at most %d members", maxLinked))
	}
	l := &Linkage{report: root.report}
	for i, raw := range items[:min(len(items), maxLinked)] {
		if r, ok := readRef(root.report, "/data/"+strconv.Itoa(i), raw, typ); ok {
			l.refs = append(l.refs, r)
		}
	}
	return l, root.report.err()
}

// ReadTarget returns the id that a body names in a to-one relationship, "" for
// null: {"data": {"type": …, "id": …}}.
func ReadTarget(body []byte, typ string) (string, error) {
	root, err := readRoot(body)
	if err != nil {
		return "", err
	}
	raw, sent := root.members["data"]
	switch {
	case !sent:
		root.fault("data", "is required; null for none")
	case string(raw) != "null":
		r, _ := readRef(root.report, "/data", raw, typ)
		return r.id, root.report.err()
	}
	return "", root.report.err()
}

func readRef(report *report, pointer string, raw json.RawMessage, typ string) (ref, bool) {
	members, err := split(raw)
	object := &Object{pointer: pointer, members: members, report: report}
	if err != nil {
		report.problems = append(report.problems, Problem{report.invalid, pointer, "the resource " + err.Error()})
		return ref{}, false
	}
	var got string
	if object.decode("type", &got, "a string") && got != typ {
		object.note(Conflict, "type", "type must be "+typ)
		return ref{}, false
	}
	object.require("id")
	r := ref{object: object}
	object.decode("id", &r.id, "a string")
	meta, _ := object.object("meta")
	action, asked := meta.oneOf("action", string(Revise))
	r.revise = asked && action == string(Revise)
	return r, r.id != ""
}

// once notes what is named twice.
func (l *Linkage) once() {
	seen := make(map[string]bool, len(l.refs))
	for _, r := range l.refs {
		if seen[r.id] {
			r.refuse(Conflict, "id is named twice")
		}
		seen[r.id] = true
	}
}
