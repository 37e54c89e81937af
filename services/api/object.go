package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/rekindle-dev/rekindle/pkg/seal"
)

// Object is a JSON object of a request, read member by member. What cannot be
// used is noted with a pointer instead of being returned, so that a reader can
// go on and all problems are reported at once. Members that nobody asks for are
// ignored; null is the same as absent.
type Object struct {
	pointer string
	members map[string]json.RawMessage
	report  *report
	// broken tells that the object stands in for what is none.
	broken bool
}

// report collects what is wrong with one request. Ill-formed members are noted
// under the code invalid.
type report struct {
	invalid  Code
	problems []Problem
	// sealedOnly refuses hidden values that are sent as text; about is what those that
	// are sealed are sealed for, see [Object.SealedOnly].
	sealedOnly bool
	about      string
}

// err returns what was noted as a refusal, or nil.
func (r *report) err() error {
	if len(r.problems) == 0 {
		return nil
	}
	return &RefusedError{r.problems}
}

// ReadDocument returns the object that is the member "data" of a JSON document.
// A body that is no such document is refused with InvalidJSON.
func ReadDocument(body []byte) (*Object, error) {
	root, err := readRoot(body)
	if err != nil {
		return nil, err
	}
	data, ok := root.object("data")
	if !ok && len(root.report.problems) == 0 {
		root.fault("data", "is required")
	}
	return data, root.report.err()
}

// readRoot returns the object that a body is.
func readRoot(body []byte) (*Object, error) {
	if !utf8.Valid(body) {
		return nil, refuse(InvalidJSON, "/data", "the body is not UTF-8")
	}
	members, err := split(body)
	if err != nil {
		return nil, refuse(InvalidJSON, "/data", "the body "+err.Error())
	}
	return &Object{members: members, report: &report{invalid: InvalidJSON}}, nil
}

// split takes a JSON object apart, without looking into its members. Its errors
// quote nothing of raw.
func split(raw []byte) (map[string]json.RawMessage, error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	if open, err := dec.Token(); err != nil || open != json.Delim('{') {
		return nil, errors.New("must be a JSON object")
	}
	members := make(map[string]json.RawMessage)
	for dec.More() {
		name, err := dec.Token()
		key, ok := name.(string)
		if err != nil || !ok {
			return nil, notJSON(dec)
		}
		if _, twice := members[key]; twice {
			return nil, errors.New("has a member twice")
		}
		var value json.RawMessage
		if dec.Decode(&value) != nil {
			return nil, notJSON(dec)
		}
		members[key] = value
	}
	if _, err := dec.Token(); err != nil {
		return nil, notJSON(dec)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("goes on after the JSON object")
	}
	return members, nil
}

func notJSON(dec *json.Decoder) error {
	return fmt.Errorf("is not JSON at byte %d", dec.InputOffset())
}

// at returns the pointer to a member.
func (o *Object) at(name string) string {
	return o.pointer + "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
}

// fault notes that a member is ill-formed. The detail begins with its name,
// because clients show details without pointers.
func (o *Object) fault(name, problem string) { o.note(o.report.invalid, name, name+" "+problem) }

func (o *Object) note(code Code, name, detail string) {
	o.report.problems = append(o.report.problems, Problem{code, o.at(name), detail})
}

// faulty reports whether something was noted about the member or within it.
func (o *Object) faulty(name string) bool {
	at := o.at(name)
	return slices.ContainsFunc(o.report.problems, func(p Problem) bool {
		return p.Pointer == at || strings.HasPrefix(p.Pointer, at+"/")
	})
}

// require notes that a member is missing, unless the object itself was at
// fault.
func (o *Object) require(names ...string) {
	if o.broken {
		return
	}
	for _, name := range names {
		if _, ok := o.member(name); !ok && !o.faulty(name) {
			o.fault(name, "is required")
		}
	}
}

func (o *Object) member(name string) (json.RawMessage, bool) {
	raw, ok := o.members[name]
	return raw, ok && string(raw) != "null"
}

// decode reads a member into v, or notes that it must be what is asked for.
// It reports whether v was set.
func (o *Object) decode(name string, v any, what string) bool {
	raw, ok := o.member(name)
	if !ok {
		return false
	}
	if json.Unmarshal(raw, v) != nil {
		o.fault(name, "must be "+what)
		return false
	}
	return true
}

// object returns a member that is an object itself. When it does not, an
// object without members stands in for it.
func (o *Object) object(name string) (*Object, bool) {
	child := &Object{pointer: o.at(name), report: o.report}
	raw, ok := o.member(name)
	if !ok {
		return child, false
	}
	members, err := split(raw)
	if err != nil {
		if !o.faulty(name) { // else it was asked for before
			o.fault(name, err.Error())
		}
		child.broken = true
		return child, false
	}
	child.members = members
	return child, true
}

// attributes returns the attributes of a resource.
func (o *Object) attributes() *Object {
	a, _ := o.object("attributes")
	return a
}

// text returns a string of 1 to most bytes that can be shown in one line.
func (o *Object) text(name string, most int) (string, bool) {
	var s string
	if !o.decode(name, &s, "a string") {
		return "", false
	}
	if problem := lineProblem(s, most); problem != "" {
		o.fault(name, problem)
		return "", false
	}
	return s, true
}

// lineProblem says what keeps s from being a line of text, if anything.
func lineProblem(s string, most int) string {
	switch {
	case strings.TrimSpace(s) == "":
		return "must not be empty"
	case len(s) > most:
		return fmt.Sprintf("must be at most %d bytes long", most)
	case strings.ContainsFunc(s, unicode.IsControl):
		return "must not contain control characters"
	case strings.ContainsRune(s, utf8.RuneError):
		return "must be valid Unicode"
	}
	return ""
}

// oneOf returns a string that is among the allowed ones.
func (o *Object) oneOf(name string, allowed ...string) (string, bool) {
	var s string
	if !o.decode(name, &s, "a string") {
		return "", false
	}
	if !slices.Contains(allowed, s) {
		o.fault(name, "must be one of "+strings.Join(allowed, ", "))
		return "", false
	}
	return s, true
}

// flag returns a boolean, false when absent.
func (o *Object) flag(name string) (value bool) {
	o.decode(name, &value, "true or false")
	return value
}

// switched sets value to a boolean that was sent.
func (o *Object) switched(name string, value **bool) {
	var on bool
	if o.decode(name, &on, "true or false") {
		*value = &on
	}
}

// keep notes that a member that must have a value is to lose it.
func (o *Object) keep(names ...string) {
	for _, name := range names {
		if o.null(name) {
			o.fault(name, "must not be null")
		}
	}
}

// null reports whether a member was sent as null.
func (o *Object) null(name string) bool { return string(o.members[name]) == "null" }

// final notes that a member that is given once is to be something else than it is.
func (o *Object) final(name, is string) {
	var sent string
	if o.decode(name, &sent, "a string") && sent != is {
		o.note(ReadOnly, name, fmt.Sprintf("%s cannot be changed: it is %s", name, is))
	}
}

// seconds returns a whole number of seconds from 0 to most.
func (o *Object) seconds(name string, most int64) (int64, bool) {
	return o.whole(name, "a whole number of seconds", 0, most)
}

// count returns a whole number from 1 to most.
func (o *Object) count(name string, most int64) (int, bool) {
	n, ok := o.whole(name, "a whole number", 1, most)
	return int(n), ok
}

// whole returns a whole number from least to most. How a number is written says
// nothing in JSON: 14400.0 and 1.44e4 are 14400.
func (o *Object) whole(name, what string, least, most int64) (int64, bool) {
	what = fmt.Sprintf("%s from %d to %d", what, least, most)
	var f float64
	if !o.decode(name, &f, what) {
		return 0, false
	}
	if f != math.Trunc(f) || f < float64(least) || f > float64(most) {
		o.fault(name, "must be "+what)
		return 0, false
	}
	return int64(f), true
}

// hidden returns a secret value of 1 to most bytes. Nothing that is noted about
// it quotes it.
func (o *Object) hidden(name string, most int) (seal.Plaintext, bool) {
	raw, ok := o.member(name)
	if !ok {
		return seal.Plaintext{}, false
	}
	if o.report.sealedOnly {
		clear(raw)
		if !o.faulty(name) { // else it was looked at before
			o.fault(name, `must be sealed to the fleet's keyset, as {"sealed": "<base64>"}: what was sent is erased, and should be replaced if it was plain text`)
		}
		return seal.Plaintext{}, false
	}
	var p seal.Plaintext
	err := p.UnmarshalJSON(raw)
	clear(raw)
	switch {
	case errors.Is(err, seal.ErrRedacted):
		o.fault(name, "must be the value, not its redaction")
	case err != nil:
		o.fault(name, "must be a string of valid Unicode")
	case p.Len() == 0:
		o.fault(name, "must not be empty")
	case p.Len() > most:
		o.fault(name, fmt.Sprintf("must be at most %d bytes long", most))
	default:
		return p, true
	}
	p.Wipe()
	return seal.Plaintext{}, false
}
