package provider

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

// FieldError is a field that will not do.
type FieldError struct {
	Field   string // by its name in a configuration file, "refresh.grace"
	Problem string
	Fix     string // what to write instead
}

func (e *FieldError) Error() string { return e.Field + ": " + e.Problem + "; " + e.Fix }

// under puts name before the fields of err.
func under(name string, err error) error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok || name == "" {
		return err
	}
	var named []error
	for _, e := range joined.Unwrap() {
		if field, ok := errors.AsType[*FieldError](e); ok {
			e = &FieldError{name + "." + field.Field, field.Problem, field.Fix}
		}
		named = append(named, e)
	}
	return errors.Join(named...)
}

// checker collects what is wrong, so that a person can mend all of it at once.
type checker struct{ found []error }

func (c *checker) check(ok bool, field, problem, fix string) {
	if !ok {
		c.found = append(c.found, &FieldError{field, problem, fix})
	}
}

func (c *checker) err() error { return errors.Join(c.found...) }

func oneOf(choices []string) string {
	if len(choices) == 0 {
		return "leave it out"
	}
	return "write one of " + strings.Join(choices, ", ")
}

// member checks that value is one of a closed set. The zero value is checked by
// whoever requires another.
func member[T ~string](c *checker, field string, value T, set ...T) {
	names := make([]string, len(set))
	for i, v := range set {
		names[i] = string(v)
	}
	c.check(value == "" || slices.Contains(set, value), field, "is not known", oneOf(names))
}

// Bounds of a descriptor: nothing here is long, and much of it is sent.
const (
	maxText     = 2 << 10 // bytes of any text
	maxEntries  = 64      // of any list or map
	maxDuration = 10 * 365 * 24 * time.Hour
)

var (
	descriptorName = regexp.MustCompile(`^[a-z0-9]+(?:-[a-z0-9]+)*$`)
	parameterName  = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,64}$`)
	memberPath     = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}(?:\.[A-Za-z0-9_-]{1,64}){0,7}$`)
	scopeToken     = regexp.MustCompile(`^[!#-\[\]-~]{1,256}$`) // RFC 6749 section 3.3
)

// Validate reports what is wrong with the descriptor, as [*FieldError]s, joined.
func (d Descriptor) Validate() error {
	var c checker
	c.check(descriptorName.MatchString(d.Name) && len(d.Name) <= 64, "name", "is not a name", "write lower-case letters, digits and dashes")
	c.check(d.Label != "", "label", "is empty", "write the provider's name as people know it")
	c.texts(map[string]string{"label": d.Label, "kind": d.Kind, "docs": d.Docs, "notes": d.Notes})
	d.checkEndpoints(&c)
	d.checkRequests(&c)
	d.checkScopes(&c)
	d.checkAnswer(&c)
	d.checkExpiry(&c)
	d.checkRefresh(&c)
	d.checkConsent(&c)
	d.checkErrors(&c)
	c.duration("secret_life", d.SecretLife)
	return c.err()
}

func (c *checker) texts(texts map[string]string) {
	for _, field := range slices.Sorted(maps.Keys(texts)) {
		text := texts[field]
		c.check(len(text) <= maxText && !strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }),
			field, "is too long or has control characters", fmt.Sprintf("write one line of at most %d bytes", maxText))
	}
}

func (c *checker) duration(field string, value time.Duration) {
	c.check(value >= 0, field, "is negative", "write 0 or more")
	c.check(value <= maxDuration, field, "is longer than ten years", "write 0 for what does not end")
}

func (d Descriptor) checkEndpoints(c *checker) {
	c.check(len(d.Placeholders) <= maxEntries, "placeholders", "has too many entries", fmt.Sprintf("keep to %d", maxEntries))
	for _, name := range slices.Sorted(maps.Keys(d.Placeholders)) {
		p, field := d.Placeholders[name], "placeholders."+name
		c.check(placeholderName.MatchString("{"+name+"}"), field, "is not a name", "write lower-case letters, digits and underscores")
		member(c, field+".form", p.Form, FormLabel, FormLabels, FormSegment)
		c.check((p.Form == "") == (len(p.OneOf) > 0), field+".form", "is needed unless one_of is given, and then is not", "keep one of the two")
		c.check(p.Default == "" || p.Admits(p.Default), field+".default", "is not a value of the placeholder", p.fix())
		c.check(d.Uses(name), field, "is used nowhere", "leave it out")
		for i, choice := range p.OneOf {
			ok := hostName.MatchString(choice) || pathSegment.MatchString(choice)
			c.check(ok, fmt.Sprintf("%s.one_of[%d]", field, i), "cannot be part of an address", "write labels of a host or one segment of a path")
		}
	}
	c.check(d.AuthorizeURL != "", "authorize_url", "is empty", "write where people are sent to consent")
	c.check(d.TokenURL != "", "token_url", "is empty", "write where codes are exchanged")
	for _, u := range d.urls() {
		if *u.url != "" {
			d.checkURL(c, u.field, *u.url)
		}
	}
}

// Uses reports whether a URL or parameter has the placeholder.
func (d Descriptor) Uses(name string) bool {
	var texts []string
	for _, u := range d.urls() {
		texts = append(texts, *u.url)
	}
	for _, params := range []map[string]string{d.AuthorizeParams, d.TokenParams, d.RefreshParams} {
		texts = slices.AppendSeq(texts, maps.Values(params))
	}
	return strings.Contains(strings.Join(texts, "\n"), "{"+name+"}")
}

func (d Descriptor) checkURL(c *checker, field, raw string) {
	const example = "write it like https://login.example.com/oauth/token"
	u, err := url.Parse(d.sampled(raw, func(Placeholder) bool { return true }))
	if err != nil || u.Hostname() == "" || u.Opaque != "" || len(raw) > maxText {
		c.check(false, field, "is not an absolute URL", example)
		return
	}
	c.check(u.Scheme == "https" || u.Scheme == "http" && isPrivate(u.Hostname()), field,
		"is not https", "use https; http is for hosts that cannot be public: loopback and private addresses, names without a dot")
	c.check(u.User == nil && u.Fragment == "", field, "has a user name or a fragment", example)
	d.checkPlaces(c, field, raw)
}

// checkPlaces checks where in a URL placeholders stand: in the path, or in the
// host before a domain that no value can change.
func (d Descriptor) checkPlaces(c *checker, field, raw string) {
	names := placeholderName.FindAllStringSubmatch(raw, -1)
	for _, n := range names {
		_, known := d.Placeholders[n[1]]
		c.check(known, field, "has the unknown placeholder {"+n[1]+"}", "describe it in placeholders")
	}
	c.check(!strings.ContainsAny(placeholderName.ReplaceAllString(raw, ""), "{}"), field, "has a stray brace", "write placeholders like {tenant}")
	scheme, rest, _ := strings.Cut(raw, "://")
	rest, query, _ := strings.Cut(rest, "?")
	host, _, _ := strings.Cut(rest, "/")
	host, port, _ := strings.Cut(host, ":")
	for _, part := range []string{scheme, port, query} {
		c.check(!placeholderName.MatchString(part), field, "has a placeholder outside host and path", "move it, or use authorize_params")
	}
	d.checkHost(c, field, host)
}

func (d Descriptor) checkHost(c *checker, field, host string) {
	const fix = "make it a label or labels, before a fixed domain: {shop}.example.com"
	for _, n := range placeholderName.FindAllStringSubmatch(host, -1) {
		c.check(d.Placeholders[n[1]].inHost(), field, "has in its host the placeholder {"+n[1]+"}, whose values are not labels", fix)
	}
	// The choices of one_of are ours; what else can stand there is anybody's.
	host = d.sampled(host, func(p Placeholder) bool { return len(p.OneOf) > 0 })
	if i := strings.LastIndexByte(host, '}'); i >= 0 {
		c.check(fixedDomain.MatchString(host[i+1:]), field, "leaves its domain to a placeholder", fix)
	}
}

// sampled puts samples in place of those placeholders that which chooses.
func (d Descriptor) sampled(text string, which func(Placeholder) bool) string {
	return placeholderName.ReplaceAllStringFunc(text, func(found string) string {
		if p := d.Placeholders[strings.Trim(found, "{}")]; which(p) {
			return p.sample()
		}
		return found
	})
}

// isPrivate reports whether a host can be none of the public Internet, so that
// what is sent there in clear stays in a network of ours.
func isPrivate(host string) bool {
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.IsLoopback() || addr.IsPrivate()
	}
	return !strings.Contains(host, ".") || strings.HasSuffix(host, ".localhost")
}
