package provider

import (
	"maps"
	"regexp"
	"slices"
	"strings"
)

// Placeholder is a part of an address that differs from deployment to
// deployment, or from account to account: a tenant, a region, a shop. Its value
// may come from anybody, so its form is one of few, none of which has a
// character that could end the part of the address it stands in.
type Placeholder struct {
	// Label says to people what is wanted.
	Label string `yaml:"label"`
	// Form is what a value looks like; not needed with OneOf.
	Form Form `yaml:"form"`
	// OneOf are all values there are.
	OneOf []string `yaml:"one_of"`
	// Default is the value when none is given; empty requires one.
	Default string `yaml:"default"`
}

// Form is what the value of a placeholder looks like.
type Form string

// The forms. Only the first two may stand in a host, before a domain that is
// fixed.
const (
	FormLabel   Form = "label"   // one label of a host name: "acme"
	FormLabels  Form = "labels"  // several, with dots between them: "acme.eu"
	FormSegment Form = "segment" // one segment of a path: "common", "v25.0"
)

const (
	label   = `[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?`
	domain  = label + `(?:\.` + label + `)`
	maxHost = 253 // bytes, RFC 1035 section 2.3.4
)

// Constants, as far as Go has a word for them.
var (
	placeholderName = regexp.MustCompile(`\{([a-z][a-z0-9_]*)\}`)
	hostName        = regexp.MustCompile(`^` + domain + `*$`)
	fixedDomain     = regexp.MustCompile(`^\.` + domain + `+$`)
	hostLabel       = regexp.MustCompile(`^` + label + `$`)
	pathSegment     = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._~-]{0,127}$`)
)

// Admits reports whether value may stand for the placeholder.
func (p Placeholder) Admits(value string) bool {
	if len(p.OneOf) > 0 {
		return slices.Contains(p.OneOf, value)
	}
	switch p.Form {
	case FormLabel:
		return hostLabel.MatchString(value)
	case FormLabels:
		return len(value) <= maxHost && hostName.MatchString(value)
	case FormSegment:
		return pathSegment.MatchString(value)
	default:
		return false
	}
}

// inHost reports whether every value of the placeholder is labels of a host.
func (p Placeholder) inHost() bool {
	if len(p.OneOf) > 0 {
		return !slices.ContainsFunc(p.OneOf, func(v string) bool { return !hostName.MatchString(v) })
	}
	return p.Form == FormLabel || p.Form == FormLabels
}

// sample is a value that the placeholder admits.
func (p Placeholder) sample() string {
	if len(p.OneOf) > 0 {
		return p.OneOf[0]
	}
	return "x"
}

// At returns the descriptor with values in place of its placeholders, where none
// is given the default. The errors are [*FieldError]s, joined: a value that is
// missing, not admitted, or for no placeholder. They do not show the value.
func (d Descriptor) At(values map[string]string) (Descriptor, error) {
	var c checker
	pairs := make([]string, 0, 2*len(d.Placeholders))
	for _, name := range slices.Sorted(maps.Keys(d.Placeholders)) {
		p := d.Placeholders[name]
		value, given := values[name]
		if !given {
			value = p.Default
		}
		c.check(p.Admits(value), "placeholders."+name, p.flaw(value), p.fix())
		pairs = append(pairs, "{"+name+"}", value)
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		_, known := d.Placeholders[name]
		c.check(known, "placeholders."+name, "is not a placeholder of this provider", oneOf(slices.Sorted(maps.Keys(d.Placeholders))))
	}
	if err := c.err(); err != nil {
		return Descriptor{}, err
	}
	placed := d.Clone()
	placed.Placeholders = nil
	replace := strings.NewReplacer(pairs...).Replace
	for _, u := range placed.urls() {
		*u.url = replace(*u.url)
	}
	for _, params := range []map[string]string{placed.AuthorizeParams, placed.TokenParams, placed.RefreshParams} {
		for name, value := range params {
			params[name] = replace(value)
		}
	}
	return placed, nil
}

func (p Placeholder) flaw(value string) string {
	if value == "" {
		return "has no value"
	}
	return "is not of its form"
}

func (p Placeholder) fix() string {
	if len(p.OneOf) > 0 {
		return oneOf(p.OneOf)
	}
	switch p.Form {
	case FormLabel:
		return "write one label of a host name: lower-case letters, digits and dashes"
	case FormLabels:
		return "write labels of a host name: lower-case letters, digits and dashes, with dots between them"
	default:
		return "write letters, digits, and . _ ~ - after the first"
	}
}

// address is one of a descriptor's URLs with the name of its field.
type address struct {
	field string
	url   *string
}

func (d *Descriptor) urls() []address {
	return []address{
		{"authorize_url", &d.AuthorizeURL},
		{"token_url", &d.TokenURL},
		{"refresh_url", &d.RefreshURL},
		{"revoke_url", &d.RevokeURL},
		{"introspect_url", &d.IntrospectURL},
		{"subject.url", &d.Subject.URL},
	}
}
