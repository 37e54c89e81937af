package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/rekindle-dev/rekindle/pkg/config"
	"github.com/rekindle-dev/rekindle/pkg/secret"
)

// field is a public credential with a flag of its own (contract A9).
type field struct {
	flag  string // the member, with dashes
	value fieldValue
	of    []secret.Kind
	usage string
}

// fieldValue is the value of a flag as a member of a document.
type fieldValue interface {
	pflag.Value
	member() any
}

func (f field) name() string { return strings.ReplaceAll(f.flag, "-", "_") }

// fields returns the public credentials, each with a value of its own.
func fields() []field {
	const oauth2, jwt, login = secret.OAuth2, secret.OAuth2JWT, secret.SimpleHTTP
	one := func(k ...secret.Kind) []secret.Kind { return k }
	return []field{
		{"username", new(text), one(login), "simple-http: user name"},
		{"client-id", new(text), one(oauth2), "oauth2: client id"},
		{"token-url", new(text), one(oauth2, jwt), "oauth2, oauth2-jwt: token endpoint"},
		{"refresh-offset", new(seconds), one(oauth2, jwt), "oauth2, oauth2-jwt: how long before expiry to refresh, like 4h"},
		{"iss", new(text), one(jwt), "oauth2-jwt: issuer"},
		{"aud", new(text), one(jwt), "oauth2-jwt: audience"},
		{"sub", new(text), one(jwt), "oauth2-jwt: subject"},
		{"ttl", new(seconds), one(jwt), "oauth2-jwt: lifetime of the JWT, like 1h"},
		{"private-key-id", new(text), one(jwt), "oauth2-jwt: id of the key"},
		{"custom-claims", new(claims), one(jwt), "oauth2-jwt: further claims, a JSON object or @file"},
	}
}

// credentialFlags are the public credentials as a person gives them.
type credentialFlags struct {
	set     *pflag.FlagSet
	fields  []field
	options []string
	scopes  []string
}

func (c *credentialFlags) bind(f *pflag.FlagSet) {
	c.set, c.fields = f, fields()
	for _, field := range c.fields {
		f.Var(field.value, field.flag, field.usage)
	}
	f.StringArrayVar(&c.options, "option", nil, "oauth2, oauth2-jwt: form field of the token request, like audience=crm; may be repeated")
	f.StringArrayVar(&c.scopes, "scope", nil, "scope to ask for; may be repeated")
}

// given reports whether there are any.
func (c *credentialFlags) given() bool {
	return len(c.options)+len(c.scopes) > 0 || slices.ContainsFunc(c.fields, func(f field) bool { return c.set.Changed(f.flag) })
}

// into writes what was given into the credentials of a secret of the kind.
func (c *credentialFlags) into(credentials map[string]any, kind secret.Kind) error {
	var errs []error
	for _, f := range c.fields {
		switch {
		case !c.set.Changed(f.flag):
		case !slices.Contains(f.of, kind.Canonical()):
			errs = append(errs, fmt.Errorf("--%s: not a credential of %s", f.flag, kind))
		default:
			credentials[f.name()] = f.value.member()
		}
	}
	if kind.Canonical() == secret.OAuth2JWT && credentials["alg"] == nil {
		credentials["alg"] = "RS256" // there is no other
	}
	errs = append(errs, c.optionsInto(credentials, kind), c.scopesInto(credentials, kind))
	if err := errors.Join(errs...); err != nil {
		return &usageError{err}
	}
	return nil
}

func (c *credentialFlags) optionsInto(credentials map[string]any, kind secret.Kind) error {
	if len(c.options) == 0 {
		return nil
	}
	if !hasOptions(kind) {
		return fmt.Errorf("--option: not a credential of %s", kind)
	}
	for i, option := range c.options {
		name, value, ok := strings.Cut(option, "=")
		if !ok || name == "" {
			return fmt.Errorf("--option: number %d is not like name=value", i+1)
		}
		setOption(credentials, name, value)
	}
	return nil
}

// scopesInto writes scopes where the kind has them: interactive kinds in a list
// of their own, the others among the options.
func (c *credentialFlags) scopesInto(credentials map[string]any, kind secret.Kind) error {
	switch {
	case len(c.scopes) == 0:
	case kind.Interactive():
		credentials["scopes"] = c.scopes
	case hasOptions(kind):
		setOption(credentials, "scope", strings.Join(c.scopes, " "))
	default:
		return fmt.Errorf("--scope: not a credential of %s", kind)
	}
	return nil
}

func hasOptions(kind secret.Kind) bool {
	return kind.Canonical() == secret.OAuth2 || kind.Canonical() == secret.OAuth2JWT
}

func setOption(credentials map[string]any, name, value string) {
	options, ok := credentials["options"].(map[string]any)
	if !ok {
		options = map[string]any{}
		credentials["options"] = options
	}
	options[name] = value
}

// text is a value as it is.
type text string

func (t *text) Set(s string) error { *t = text(s); return nil }
func (t *text) String() string     { return string(*t) }
func (*text) Type() string         { return "string" }
func (t *text) member() any        { return string(*t) }

// seconds is a span of time, written like 4h or as a number of seconds.
type seconds int64

func (s *seconds) Set(value string) error {
	if n, err := strconv.ParseUint(value, 10, 32); err == nil {
		*s = seconds(n)
		return nil
	}
	d, err := config.ParseDuration(value)
	if err != nil {
		return err
	}
	if time.Duration(d)%time.Second != 0 {
		return errors.New("not in whole seconds")
	}
	*s = seconds(time.Duration(d) / time.Second)
	return nil
}

func (s *seconds) String() string {
	if *s == 0 {
		return ""
	}
	return strconv.FormatInt(int64(*s), 10)
}
func (*seconds) Type() string  { return "duration" }
func (s *seconds) member() any { return int64(*s) }

// claims is a JSON object, as it is or in a file.
type claims struct{ object json.RawMessage }

func (c *claims) Set(value string) error {
	object := []byte(value)
	if name, ok := strings.CutPrefix(value, "@"); ok {
		var err error
		if object, err = os.ReadFile(name); err != nil {
			return err
		}
	}
	var members map[string]json.RawMessage
	if json.Unmarshal(object, &members) != nil || members == nil {
		return errors.New("not a JSON object")
	}
	c.object = object
	return nil
}

func (c *claims) String() string { return string(c.object) }
func (*claims) Type() string     { return "JSON object" }
func (c *claims) member() any    { return c.object }
