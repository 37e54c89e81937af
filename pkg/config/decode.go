package config

import (
	"encoding"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// Problem is an error whose text may be shown beside the place of a value: it
// says what is wrong without repeating the value. An UnmarshalText that returns
// any other error is reported without its text.
type Problem string

func (p Problem) Error() string { return string(p) }

// decoder walks a document and a Go value side by side. The YAML library's own
// decoder is not used: even when strict it cuts 1.5 down to 1, overlooks unknown
// fields that are not strings, and loses the place of half its errors.
type decoder struct {
	file string
	at   map[string]token.Position // of each field that the document names
	errs []error
}

func (d *decoder) fail(at *token.Token, field, problem string) {
	e := &FileError{File: d.file, Field: field, Problem: problem}
	if at != nil && at.Position != nil {
		e.Line, e.Column = at.Position.Line, at.Position.Column
	}
	d.errs = append(d.errs, e)
}

func (d *decoder) note(at *token.Token, field string) {
	if at != nil && at.Position != nil {
		d.at[field] = *at.Position
	}
}

// decode sets v, which is addressable, to n.
func (d *decoder) decode(n ast.Node, field string, v reflect.Value) {
	if n == nil || n.Type() == ast.NullType {
		return
	}
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		v = v.Elem()
	}
	if u := unmarshaler(v); u != nil {
		d.text(n, field, v.Type(), u)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.structure(n, field, v)
	case reflect.Map:
		d.mapping(n, field, v)
	case reflect.Slice:
		d.list(n, field, v)
	default:
		if problem := setScalar(n, v); problem != "" {
			d.fail(n.GetToken(), field, problem)
		}
	}
}

// unmarshaler returns what reads a text into v, nil if v is not one text.
func unmarshaler(v reflect.Value) encoding.TextUnmarshaler {
	switch p := v.Addr().Interface().(type) {
	case *time.Duration:
		return (*Duration)(p)
	case *time.Time:
		return (*moment)(p)
	case encoding.TextUnmarshaler:
		return p
	default:
		return nil
	}
}

func (d *decoder) text(n ast.Node, field string, t reflect.Type, u encoding.TextUnmarshaler) {
	text, ok := scalarText(n)
	if !ok {
		d.fail(n.GetToken(), field, "needs a single value")
		return
	}
	err := u.UnmarshalText([]byte(text))
	if problem, ok := errors.AsType[Problem](err); ok {
		d.fail(n.GetToken(), field, string(problem))
	} else if err != nil {
		d.fail(n.GetToken(), field, "not a valid "+strings.ToLower(t.Name()))
	}
}

func (d *decoder) structure(n ast.Node, field string, v reflect.Value) {
	fields := fieldsOf(v.Type())
	d.entries(n, field, func(key *ast.StringNode, value ast.Node) {
		index, known := fields[key.Value]
		if !known {
			names := strings.Join(slices.Sorted(maps.Keys(fields)), ", ")
			d.fail(key.GetToken(), field, fmt.Sprintf("unknown field %.40q, want one of %s", key.Value, names))
			return
		}
		d.decode(value, join(field, key.Value), v.FieldByIndex(index))
	})
}

// fieldsOf returns the index of each field of a struct by its name in a file.
func fieldsOf(t reflect.Type) map[string][]int {
	fields := map[string][]int{}
	for i := range t.NumField() {
		switch name, option, _ := strings.Cut(t.Field(i).Tag.Get("yaml"), ","); {
		case option == "inline":
			for inner, index := range fieldsOf(t.Field(i).Type) {
				fields[inner] = append([]int{i}, index...)
			}
		case name != "" && name != "-":
			fields[name] = []int{i}
		}
	}
	return fields
}

func (d *decoder) mapping(n ast.Node, field string, v reflect.Value) {
	if v.IsNil() {
		v.Set(reflect.MakeMap(v.Type()))
	}
	d.entries(n, field, func(key *ast.StringNode, value ast.Node) {
		name := reflect.ValueOf(key.Value).Convert(v.Type().Key())
		entry := reflect.New(v.Type().Elem()).Elem()
		if old := v.MapIndex(name); old.IsValid() {
			entry.Set(old)
		}
		d.decode(value, join(field, key.Value), entry)
		v.SetMapIndex(name, entry)
	})
}

// entries calls do for each entry of a mapping.
func (d *decoder) entries(n ast.Node, field string, do func(key *ast.StringNode, value ast.Node)) {
	var entries []*ast.MappingValueNode
	switch n := n.(type) {
	case *ast.MappingNode:
		entries = n.Values
	case *ast.MappingValueNode:
		entries = []*ast.MappingValueNode{n}
	default:
		d.fail(n.GetToken(), field, "needs fields, name: value")
	}
	for _, e := range entries {
		if key, ok := e.Key.(*ast.StringNode); ok && !strings.ContainsFunc(key.Value, unicode.IsControl) {
			d.note(key.GetToken(), join(field, key.Value))
			do(key, e.Value)
		} else {
			d.fail(e.Key.GetToken(), field, "not the name of a field")
		}
	}
}

func (d *decoder) list(n ast.Node, field string, v reflect.Value) {
	seq, ok := n.(*ast.SequenceNode)
	if !ok {
		d.fail(n.GetToken(), field, "needs a list")
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(seq.Values), len(seq.Values)))
	for i, item := range seq.Values {
		at := fmt.Sprintf("%s[%d]", field, i)
		d.note(item.GetToken(), at)
		d.decode(item, at, v.Index(i))
	}
}

// setScalar returns what is wrong, if anything is.
func setScalar(n ast.Node, v reflect.Value) (problem string) {
	switch {
	case v.Kind() == reflect.String:
		text, ok := scalarText(n)
		if !ok {
			return "needs a text"
		}
		v.SetString(text)
	case v.Kind() == reflect.Bool:
		b, ok := n.(*ast.BoolNode)
		if !ok {
			return "needs true or false"
		}
		v.SetBool(b.Value)
	case v.CanInt(), v.CanUint(), v.CanFloat():
		return setNumber(n, v)
	default:
		return "cannot be set, nothing is read into a " + v.Type().String()
	}
	return ""
}

func setNumber(n ast.Node, v reflect.Value) (problem string) {
	var digits string // of a number that is not in quotes
	if t := n.Type(); t == ast.IntegerType || t == ast.FloatType {
		digits = n.GetToken().Value
	}
	var err error
	switch bits := v.Type().Bits(); {
	case v.CanInt():
		var i int64
		i, err = strconv.ParseInt(digits, 0, bits)
		v.SetInt(i)
		problem = "needs a whole number"
	case v.CanUint():
		var u uint64
		u, err = strconv.ParseUint(digits, 0, bits)
		v.SetUint(u)
		problem = "needs a whole number that is not negative"
	default:
		var f float64
		f, err = strconv.ParseFloat(digits, bits)
		v.SetFloat(f)
		problem = "needs a number"
	}
	switch {
	case errors.Is(err, strconv.ErrRange):
		return "the number is out of range"
	case err != nil:
		return problem
	}
	return ""
}

// scalarText returns a scalar as it is written, without its quotes.
func scalarText(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value, true
	}
	return "", false
}

func join(field, name string) string {
	if field == "" {
		return name
	}
	return field + "." + name
}
