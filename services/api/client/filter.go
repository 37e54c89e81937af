package client

import (
	"net/url"
	"strings"
)

// Filter selects what has these values, by attribute (contract A4); nil selects
// all.
type Filter map[string]string

// query leaves out what the syntax of filters cannot say: a value with a comma
// in it would be two, "null" is no value at all, and blanks at the start and a
// leading operator are taken off. The server then answers with more than was
// asked for, so whoever filters by what people choose must look at the result.
func (f Filter) query() url.Values {
	query := url.Values{}
	for attribute, value := range f {
		if value != "" && value != "null" && !strings.Contains(value, ",") && !strings.HasPrefix(value, " ") && !strings.HasPrefix(value, "EQ ") {
			query.Set("filter["+attribute+"]", "EQ "+value)
		}
	}
	return query
}
