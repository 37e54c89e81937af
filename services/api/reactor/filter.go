package reactor

import (
	"slices"
	"strings"
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

// condition is a filter on one attribute. Of several operands one must hold,
// or, for NOT, none be equal.
type condition struct {
	op       operator
	operands []string
}

// parseCondition reads "OP value,value" or "OP value,OP value".
func parseCondition(expression string, operand func(string) (string, bool)) (condition, bool) {
	word, rest, ok := strings.Cut(expression, " ")
	op := operator(word)
	if !ok || !op.known() {
		return condition{}, false
	}
	values := strings.Split(rest, ",")
	if len(values) > maxOperands || op == opBetween && len(values) != 2 {
		return condition{}, false
	}
	for i, value := range values {
		value = strings.TrimLeft(value, " ")
		value = strings.TrimLeft(strings.TrimPrefix(value, word+" "), " ")
		if operand != nil && value != null {
			if value, ok = operand(value); !ok {
				return condition{}, false
			}
		}
		values[i] = value
	}
	return condition{op, values}, true
}

// holds reports whether the condition selects a value. Null is selected by
// EQ null and by NOT of anything else. EQ null selects the text "null" as well;
// NOT null selects all that is not null, that text included.
func (c condition) holds(text string, present bool) bool {
	equal := func(operand string) bool { return present && text == operand || !present && operand == null }
	excluded := func(operand string) bool { return equal(operand) && !(present && operand == null) }
	switch c.op {
	case opEqual:
		return slices.ContainsFunc(c.operands, equal)
	case opNot:
		return !slices.ContainsFunc(c.operands, excluded)
	case opLess:
		return present && slices.ContainsFunc(c.operands, func(o string) bool { return text < o })
	case opGreater:
		return present && slices.ContainsFunc(c.operands, func(o string) bool { return text > o })
	case opBetween:
		return present && c.operands[0] <= text && text <= c.operands[1]
	case opContains:
		return present && slices.ContainsFunc(c.operands, func(o string) bool { return contains(text, o) })
	default:
		return false
	}
}

// contains reports whether the pieces of a pattern between its "%" occur in
// text one after another, in whatever case.
func contains(text, pattern string) bool {
	text = strings.ToLower(text)
	for piece := range strings.SplitSeq(strings.ToLower(pattern), "%") {
		at := strings.Index(text, piece)
		if at < 0 {
			return false
		}
		text = text[at+len(piece):]
	}
	return true
}
