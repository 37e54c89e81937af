// Package record reads the records of the state, which are JSON, as encoding/json
// does, and quickly where they are as encoding/json writes them.
//
// It promises that what it reads, and what it refuses, is the same. It keeps that
// promise by doubt: what it has not been told of (a member it does not know, white
// space, an escape, a number that is no integer) it leaves to encoding/json, the value
// or the whole record. FuzzDecode holds one against the other.
package record

import (
	"encoding"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"time"
)

// Form is how the records of type T are read. It is safe for concurrent use.
type Form[T any] struct{ members members }

// Of returns the form of T, a struct.
func Of[T any]() Form[T] { return Form[T]{membersOf(reflect.TypeFor[T](), nil)} }

// Decode reads a record. Members that T does not have are ignored.
func (f Form[T]) Decode(body []byte) (*T, error) {
	v := new(T)
	if rest, ok := f.members.object(body, reflect.ValueOf(v).Elem()); ok && len(rest) == 0 {
		return v, nil
	}
	v = new(T)
	return v, json.Unmarshal(body, v)
}

// members are those of a struct, by name.
type members map[string]member

type member struct {
	index int
	as    as
	// inside are those of a struct that is a member, or is pointed to by one.
	inside members
}

// as says how a value is read.
type as uint8

const (
	other as = iota // by encoding/json
	text
	number
	truth
	moment
	encoded // base64
	object
)

// membersOf finds the members of a struct, nil where encoding/json has rules that are
// not followed here. Within are the structs that it is in.
func membersOf(t reflect.Type, within []reflect.Type) members {
	all := make(members, t.NumField())
	for f := range t.Fields() {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-" || !f.IsExported() && !f.Anonymous:
		case f.Anonymous || name == "" || strings.Contains(options, "string"):
			return nil
		default:
			all[name] = memberOf(f, append(within, t))
		}
	}
	return all
}

func memberOf(f reflect.StructField, within []reflect.Type) member {
	m := member{index: f.Index[0]}
	switch {
	case f.Type == reflect.TypeFor[time.Time]():
		m.as = moment
	case readsItself(f.Type):
	case f.Type.Kind() == reflect.String:
		m.as = text
	case f.Type.Kind() == reflect.Bool:
		m.as = truth
	case f.Type.Kind() >= reflect.Int && f.Type.Kind() <= reflect.Uint64:
		m.as = number
	case f.Type == reflect.TypeFor[[]byte]():
		m.as = encoded
	default:
		m.inside = insideOf(f.Type, within)
		if m.inside != nil {
			m.as = object
		}
	}
	return m
}

func insideOf(t reflect.Type, within []reflect.Type) members {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || readsItself(t) || slices.Contains(within, t) {
		return nil
	}
	return membersOf(t, within)
}

func readsItself(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return p.Implements(reflect.TypeFor[json.Unmarshaler]()) || p.Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}
