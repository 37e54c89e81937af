package reactor

import (
	"errors"
	"net/http"
	"strings"

	"github.com/rekindle-dev/rekindle/services/api"
)

// errIfMatch: a header If-Match that cannot be read.
var errIfMatch = errors.New(`the header If-Match must be * or a list of entity tags, each in double quotes`)

// ifMatch reads the tags of the header If-Match, nil for no condition (RFC 9110,
// section 13.1.1). A weak tag never matches, so it is left out; "*" matches whatever
// there is.
func ifMatch(h http.Header) (api.Tags, error) {
	lines := h.Values("If-Match")
	if len(lines) == 0 {
		return nil, nil
	}
	rest := strings.TrimSpace(strings.Join(lines, ","))
	if rest == "*" {
		return nil, nil
	}
	tags := api.Tags{}
	for {
		weak := strings.HasPrefix(rest, "W/")
		tag, behind, ok := entityTag(strings.TrimPrefix(rest, "W/"))
		if !ok {
			return nil, errIfMatch
		}
		if !weak {
			tags = append(tags, tag)
		}
		rest = strings.TrimLeft(behind, " \t")
		if rest == "" {
			return tags, nil
		}
		if rest, ok = strings.CutPrefix(rest, ","); !ok {
			return nil, errIfMatch
		}
		rest = strings.TrimLeft(rest, " \t")
	}
}

// entityTag returns the text within the quotes that s begins with, and what is behind.
func entityTag(s string) (tag, behind string, ok bool) {
	s, opened := strings.CutPrefix(s, `"`)
	tag, behind, closed := strings.Cut(s, `"`)
	odd := func(c rune) bool { return c <= ' ' || c == '\x7f' }
	return tag, behind, opened && closed && !strings.ContainsFunc(tag, odd)
}
