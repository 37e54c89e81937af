package reactor

import (
	"bytes"
	"cmp"
	"slices"
	"strings"
	"unicode/utf8"
)

// operator is an operator of a filter (contract A4).
type operator string

const (
	opEqual    operator = "EQ"
	opNot      operator = "NOT"
	opLess     operator = "LT"
	opGreater  operator = "GT"
	opBetween  operator = "BETWEEN"
	opContains operator = "CONTAINS"
)

func (op operator) known() bool {
	return slices.Contains([]operator{opEqual, opNot, opLess, opGreater, opBetween, opContains}, op)
}

// maxOperands bounds the values of one condition.
const maxOperands = 100

// null is the operand that means "no value".
const null = "null"

// condition is a filter on one attribute, by its value and whether there is one.
type condition[V any] func(value V, present bool) bool

// parseCondition reads "OP value,value" or "OP value,OP value". Operand reads a
// value, null included, or reports false when that cannot be.
func parseCondition[V cmp.Ordered](expression string, operand func(string) (V, bool)) (condition[V], bool) {
	op, values, ok := parseOperands(expression)
	if !ok {
		return nil, false
	}
	operands := make([]V, len(values))
	for i, value := range values {
		if operands[i], ok = operand(value); !ok {
			return nil, false
		}
	}
	return compared(op, operands, slices.Contains(values, null)), true
}

// parseText is parseCondition for an attribute that is a text. Operand may be nil,
// and is not asked for null.
func parseText(expression string, operand func(string) (string, bool)) (condition[string], bool) {
	if op, values, ok := parseOperands(expression); ok && op == opContains && operand == nil {
		return containing(values), true
	}
	return parseCondition(expression, func(value string) (string, bool) {
		if value == null || operand == nil {
			return value, true
		}
		return operand(value)
	})
}

func parseOperands(expression string) (op operator, values []string, ok bool) {
	word, rest, ok := strings.Cut(expression, " ")
	op = operator(word)
	if !ok || !op.known() {
		return op, nil, false
	}
	values = strings.Split(rest, ",")
	if len(values) > maxOperands || op == opBetween && len(values) != 2 {
		return op, nil, false
	}
	for i, value := range values {
		value = strings.TrimLeft(value, " ")
		values[i] = strings.TrimLeft(strings.TrimPrefix(value, word+" "), " ")
	}
	return op, values, true
}

// compared returns the condition that of several operands one holds or, for NOT,
// none is equal. Null is selected by EQ null and by NOT of anything else. EQ null
// selects the text "null" as well; NOT null selects all that is not null, that text
// included. What is compared in full contains what it equals.
func compared[V cmp.Ordered](op operator, operands []V, hasNull bool) condition[V] {
	first, last := operands[0], operands[len(operands)-1]
	slices.Sort(operands)
	least, greatest := operands[0], operands[len(operands)-1]
	among := func(v V) bool { _, found := slices.BinarySearch(operands, v); return found }
	switch op {
	case opEqual:
		return func(v V, present bool) bool { return present && among(v) || !present && hasNull }
	case opNot:
		operands = slices.DeleteFunc(operands, func(v V) bool { return any(v) == any(null) })
		return func(v V, present bool) bool { return present && !among(v) || !present && !hasNull }
	case opLess:
		return func(v V, present bool) bool { return present && v < greatest }
	case opGreater:
		return func(v V, present bool) bool { return present && v > least }
	case opBetween:
		return func(v V, present bool) bool { return present && first <= v && v <= last }
	default:
		return func(v V, present bool) bool { return present && among(v) }
	}
}

// containing returns the condition that the pieces of one of the patterns, between
// its "%", occur in a text one after another, in whatever case.
func containing(patterns []string) condition[string] {
	var all [][][]byte
	for _, pattern := range patterns {
		all = append(all, bytes.Split(lower(nil, pattern), []byte("%")))
	}
	return func(text string, present bool) bool {
		if !present {
			return false
		}
		var room [64]byte // most are shorter, and need no memory then
		lowered := lower(room[:0], text)
		for _, pieces := range all {
			if occur(pieces, lowered) {
				return true
			}
		}
		return false
	}
}

// occur reports whether pieces occur in a text one after another.
func occur(pieces [][]byte, text []byte) bool {
	for _, piece := range pieces {
		at := bytes.Index(text, piece)
		if at < 0 {
			return false
		}
		text = text[at+len(piece):]
	}
	return true
}

// lower returns a text in lower case, in the room if there is enough.
func lower(room []byte, text string) []byte {
	out := append(room, text...)
	for i, c := range out {
		switch {
		case c >= utf8.RuneSelf:
			return []byte(strings.ToLower(text))
		case 'A' <= c && c <= 'Z':
			out[i] = c + 'a' - 'A'
		}
	}
	return out
}
