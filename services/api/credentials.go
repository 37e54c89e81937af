package api

import (
	"bytes"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/rekindle-dev/rekindle/pkg/provider"
	"github.com/rekindle-dev/rekindle/pkg/seal"
	"github.com/rekindle-dev/rekindle/pkg/secret"
)

// Bounds of credentials. A record that is full in every member is far below
// what the state takes.
const (
	maxHidden      = 16 << 10 // bytes of a hidden value
	maxIdentifier  = 1 << 10  // bytes of a user name or client id
	maxURL         = 2 << 10  // bytes
	maxOptions     = 32
	maxOptionName  = 128     // bytes
	maxOptionValue = 2 << 10 // bytes
	maxScopes      = 32
	maxScope       = 256 // bytes
	maxOffset      = int64(secret.MaxLifetime / time.Second)
)

// readHidden reads the hidden credential of the kind if it was sent, once: what it
// was read from is overwritten. Sealed it must be for what about says. What is wrong
// with it is noted; of what is sealed, that is what can be seen from outside.
func (s *Service) readHidden(c *Object, kind secret.Kind, about string) hiddenFields {
	hidden := make(hiddenFields)
	if name := kind.Hidden(); name != "" {
		if f, ok := s.readField(c, name, about); ok {
			hidden[name] = f
		}
	}
	if c.report.sealedOnly {
		c.onlySealed()
	}
	switch kind.Canonical() {
	case secret.SimpleHTTP:
		noControls(c, "password", hidden["password"].text)
	case secret.OAuth2JWT:
		checkPrivateKey(c, hidden["private_key"].text)
	}
	return hidden
}

// readPublic reads the public credentials of a secret of the kind (contract A9)
// and notes all that is wrong with them.
func (s *Service) readPublic(c *Object, kind secret.Kind) secret.Credentials {
	var public secret.Credentials
	window := s.cfg.Policy.Window(kind)
	switch kind.Canonical() {
	case secret.Token:
	case secret.SimpleHTTP:
		public.Username = username(c)
	case secret.OAuth2:
		c.require("client_id")
		public.ClientID, _ = c.text("client_id", maxIdentifier)
		public.TokenURL = tokenURL(c)
		public.RefreshOffset = refreshOffset(c, window)
		public.Options = options(c)
	case secret.OAuth2JWT:
		readJWT(c, &public, window)
	default:
		public.Scopes = scopes(c, s.cfg.Apps[kind.Provider()].Provider)
	}
	return public
}

// scopes reads what a person is to be asked to consent to.
func scopes(c *Object, p provider.Descriptor) []string {
	const name = "scopes"
	if len(p.Scopes.Default) == 0 && len(p.Scopes.Allowed) > 0 {
		c.require(name)
	}
	var read []string
	if !c.decode(name, &read, "a list of strings") {
		return nil
	}
	if len(read) == 0 || len(read) > maxScopes {
		c.fault(name, fmt.Sprintf("must be a list of 1 to %d scopes", maxScopes))
		return nil
	}
	for i, scope := range read {
		switch {
		case len(scope) > maxScope || !isScope(scope):
			c.fault(name, fmt.Sprintf("must have scopes of 1 to %d visible characters: number %d is none", maxScope, i+1))
		case slices.Contains(read[:i], scope):
			c.fault(name, fmt.Sprintf("must not have a scope twice: number %d", i+1))
		case len(p.Scopes.Allowed) > 0 && !slices.Contains(p.Scopes.Allowed, scope):
			c.fault(name, fmt.Sprintf("must be among %s: number %d is not", strings.Join(p.Scopes.Allowed, ", "), i+1))
		}
	}
	return read
}

// isScope reports whether s is a scope-token (RFC 6749 appendix A.4).
func isScope(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' })
}

// username reads the user-id of RFC 7617, section 2, which ends at the first
// colon. An empty one is refused, as is an empty password: more often than not
// it is a variable that was not set.
func username(c *Object) string {
	c.require("username")
	name, ok := c.text("username", maxIdentifier)
	if ok && strings.Contains(name, ":") {
		c.fault("username", "must not contain a colon")
	}
	return name
}

// noControls notes control characters, which RFC 7617 keeps out of passwords.
func noControls(c *Object, name string, p seal.Plaintext) {
	value := p.Reveal()
	defer clear(value)
	if bytes.ContainsFunc(value, unicode.IsControl) {
		c.fault(name, "must not contain control characters")
	}
}

// tokenURL reads where tokens are asked for. In 2021 the member was called
// authorization_url (contract A17, row 3).
func tokenURL(c *Object) string {
	const name, oldName = "token_url", "authorization_url"
	sent, isNew := c.text(name, maxURL)
	old, isOld := c.text(oldName, maxURL)
	switch {
	case isNew && isOld && sent != old:
		c.fault(oldName, "is the old name of token_url and must not differ from it")
	case isNew:
		checkURL(c, name, sent)
	case isOld:
		checkURL(c, oldName, old)
		return old
	case !c.faulty(oldName):
		c.require(name)
	}
	return sent
}

// checkURL notes what keeps a URL from being a token endpoint. It does not
// quote the URL: what is wrong with it may be a password in it.
func checkURL(c *Object, name, raw string) {
	u, err := url.Parse(raw)
	switch {
	case err != nil || strings.ContainsAny(raw, " \\") || !dialable(u):
		c.fault(name, "must be an absolute http or https URL")
	case u.User != nil:
		c.fault(name, "must not contain a user name or password")
	case strings.Contains(raw, "#"):
		c.fault(name, "must not have a fragment")
	}
}

// dialable reports whether u names a server to connect to over HTTP.
func dialable(u *url.URL) bool {
	if u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return false
	}
	if u.Port() == "" {
		return true
	}
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	return err == nil && port > 0
}

func refreshOffset(c *Object, w secret.Window) *int64 {
	offset, ok := c.seconds("refresh_offset", maxOffset)
	if !ok {
		offset = int64(w.DefaultOffset / time.Second)
	}
	return &offset
}

// options reads the further form fields of the token request. They may replace
// the grant type, but not the credentials themselves: those have members of
// their own, one of which is hidden.
func options(c *Object) map[string]string {
	object, ok := c.object("options")
	if !ok || len(object.members) == 0 {
		return nil
	}
	if len(object.members) > maxOptions {
		c.fault("options", fmt.Sprintf("must have at most %d members", maxOptions))
		return nil
	}
	read := make(map[string]string, len(object.members))
	for _, name := range object.names() {
		var value string
		switch {
		case name == "" || len(name) > maxOptionName:
			c.fault("options", fmt.Sprintf("must have names of 1 to %d bytes", maxOptionName))
		case name == "client_id" || name == "client_secret":
			object.fault(name, "must not be an option")
		case !object.decode(name, &value, "a string"):
		case len(value) > maxOptionValue:
			object.fault(name, fmt.Sprintf("must be at most %d bytes long", maxOptionValue))
		default:
			read[name] = value
		}
	}
	return read
}

// sealFields seals the hidden credentials that are not sealed yet, each by itself.
func sealFields(sealer *seal.Sealer, n *secret.Secret, hidden hiddenFields) (*secret.Credential, error) {
	generation := n.CredentialGeneration
	credential := &secret.Credential{Generation: generation, Fields: make(map[string]secret.SealedField, len(hidden))}
	for name, value := range hidden {
		field := secret.SealedField{Generation: generation, Sealed: value.sealed.Bytes(), Bound: value.about}
		if value.sealed.IsZero() {
			var err error
			field.Sealed, err = sealer.Seal(seal.LongLived, n.Binding(name, field), value.text)
			if err != nil {
				return nil, err
			}
		}
		credential.Fields[name] = field
	}
	return credential, nil
}

// names returns the names of the members, sorted, so that problems come in the
// same order each time.
func (o *Object) names() []string {
	names := make([]string, 0, len(o.members))
	for name := range o.members {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
