package reactor

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rekindle-dev/rekindle/services/api"
)

// The bounds of a page (contract A4): clients ask for 999 and read no second
// page.
const (
	defaultPageSize = 25
	maxPageSize     = 999
)

// field is something a list can be filtered and sorted by, as text that
// orders like the value.
type field[T any] struct {
	// text returns the value, or false for null.
	text func(T) (string, bool)
	// operand brings what a client compares with into the form of text. It
	// reports false when that cannot be. Nil takes it as it is.
	operand func(string) (string, bool)
}

// fields are those of one list, by name.
type fields[T any] map[string]field[T]

// query reads a page, a filter and an order from the parameters of a URL. What
// it cannot make sense of is ignored (contract A4).
func (fs fields[T]) query(params url.Values) api.Query[T] {
	q, _ := fs.strictQuery(params) //nolint:errcheck // as above
	return q
}

// strictQuery is query for the lists that are not the contract's: a page that
// cannot be read is a *parameterError, because whoever asked for it would take the
// first one for it. A filter or an order that is ignored is seen in the answer.
func (fs fields[T]) strictQuery(params url.Values) (api.Query[T], error) {
	number, size, err := paged(params)
	return api.Query[T]{Match: fs.filter(params), Order: fs.order(params), Number: number, Size: size}, err
}

// paged returns which page the parameters ask for, and a *parameterError if that
// cannot be read, with what is to be taken instead.
func paged(params url.Values) (number, size int, err error) {
	number, numberErr := counted(params, "page[number]", 1)
	size, sizeErr := counted(params, "page[size]", defaultPageSize)
	return number, min(maxPageSize, size), cmp.Or(numberErr, sizeErr)
}

func last(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[len(values)-1]
}

// parameterError refuses a request for what a parameter of its URL says.
type parameterError struct{ name, want string }

func (e *parameterError) Error() string { return e.name + " must be " + e.want }

// counted reads a parameter that counts from 1. It returns otherwise when there is
// none, and with a *parameterError when it cannot be read. What is too large for
// any list counts as the largest number there is: a page beyond the end is empty,
// and no size is refused (contract A4).
func counted(params url.Values, name string, otherwise int) (int, error) {
	text := last(params[name])
	if text == "" {
		return otherwise, nil
	}
	n, err := strconv.Atoi(text)
	if n < 1 || err != nil && !errors.Is(err, strconv.ErrRange) {
		return otherwise, &parameterError{name, "a whole number from 1"}
	}
	return n, nil
}

// filter returns what all conditions of the parameters together select, nil
// when there are none.
func (fs fields[T]) filter(params url.Values) func(T) bool {
	var conditions []func(T) bool
	for name, a := range fs {
		if holds, ok := parseText(expression(params, name), a.operand); ok {
			conditions = append(conditions, func(v T) bool { return holds(a.text(v)) })
		}
	}
	if conditions == nil {
		return nil
	}
	return func(v T) bool {
		return !slices.ContainsFunc(conditions, func(holds func(T) bool) bool { return !holds(v) })
	}
}

// expression returns what the parameters ask of an attribute, "" for nothing: a
// condition is filter[name]=OP value, or name=value.
func expression(params url.Values, name string) string {
	if e := last(params["filter["+name+"]"]); e != "" {
		return e
	}
	e := last(params[name])
	if op, _, _ := strings.Cut(e, " "); e != "" && !operator(op).known() {
		return string(opEqual) + " " + e
	}
	return e
}

// order returns what the parameters ask for, nil for no order.
func (fs fields[T]) order(params url.Values) (by []api.Order[T]) {
	for _, s := range sorting(params, fs) {
		by = append(by, api.Order[T]{
			By:         func(v T) string { text, _ := fs[s.name].text(v); return text },
			Descending: s.descending,
		})
	}
	return by
}

// sort is one attribute of an order.
type sort struct {
	name       string
	descending bool
}

// sorting returns the known attributes of the parameter sort, of as many as there
// are. The sign + arrives as a blank unless it is encoded.
func sorting[F any](params url.Values, known map[string]F) (by []sort) {
	for field := range strings.SplitSeq(last(params["sort"]), ",") {
		name := strings.TrimLeft(field, "+ -")
		if _, ok := known[name]; ok && len(by) < len(known) {
			by = append(by, sort{name, strings.HasPrefix(strings.TrimLeft(field, " "), "-")})
		}
	}
	return by
}

// text makes an attribute of a text that is never null.
func text[T any, S ~string](get func(T) S) field[T] {
	return field[T]{text: func(v T) (string, bool) { return string(get(v)), true }}
}

// flag makes an attribute of a truth value.
func flag[T any](get func(T) bool) field[T] {
	return field[T]{text: func(v T) (string, bool) { return strconv.FormatBool(get(v)), true }}
}

// number makes an attribute of a number that is not negative.
func number[T any](get func(T) int) field[T] {
	ordered := func(n int) string { return fmt.Sprintf("%020d", n) }
	return field[T]{
		text: func(v T) (string, bool) { return ordered(get(v)), true },
		operand: func(s string) (string, bool) {
			n, err := strconv.Atoi(s)
			return ordered(n), err == nil && n >= 0
		},
	}
}

// moment makes an attribute of a time. Clients may write times in any zone and
// with any number of decimals.
func moment[T any](get func(T) time.Time) field[T] {
	return field[T]{
		text: func(v T) (string, bool) { return timestamp(get(v)).String(), !get(v).IsZero() },
		operand: func(s string) (string, bool) {
			t, err := time.Parse(time.RFC3339, s)
			return timestamp(t).String(), err == nil
		},
	}
}
