package sealing

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// The hidden members of credentials. A secret has one of them at most: which one is
// for its type to say.
const (
	FieldToken        = "token"         // of type token
	FieldPassword     = "password"      // of type simple-http
	FieldClientSecret = "client_secret" // of type oauth2
	FieldPrivateKey   = "private_key"   // of type oauth2-jwt
)

// Fields lists the hidden members of credentials.
func Fields() []string {
	return []string{FieldToken, FieldPassword, FieldClientSecret, FieldPrivateKey}
}

// Target is for what a publisher seals a credential. A value that is sealed for one
// target is of no use for another: the exchange says that it does not open.
type Target struct {
	// Org is the organisation that the secret belongs to.
	Org string
	// About is which secret: its id if it is there, else [AboutName].
	About string
	// Field is which member of its credentials.
	Field string
	// TokenURL is where a client secret is sent to, as it is in the credentials. It
	// says nothing for other members.
	TokenURL string
}

// AboutName is the [Target.About] of a secret that is yet to be made: the id of its
// property, and its name.
func AboutName(property, name string) string { return property + "/" + name }

// generation is that of all that publishers seal: they do not know which time the
// credential of a secret is given.
const generation = 1

// Binding is what a value that a publisher has sealed for the target is bound to. It
// is not the binding of anything else that a fleet seals: no id of a secret has a
// space in it.
func (t Target) Binding() Binding {
	return Binding{Secret: t.Org + " " + t.About, Field: "upstream " + Field(t.Field, t.TokenURL), Generation: generation}
}

// Field is the name under which a member of credentials is sealed. A client secret is
// sealed for the one server it may be sent to, so that whoever can change a token_url
// cannot have the secret sent elsewhere: it does not open.
func Field(name, tokenURL string) string {
	if name != FieldClientSecret {
		return name
	}
	u, err := url.Parse(tokenURL)
	if err != nil {
		return name
	}
	return name + " for " + u.Scheme + "://" + strings.ToLower(u.Host)
}

// check says what the target lacks. It quotes no URL, which may have a password in it.
func (t Target) check() error {
	fields := Fields()
	switch {
	case t.Org == "":
		return errors.New("sealing: the target has no organisation")
	case t.About == "":
		return errors.New("sealing: the target names no secret")
	case !slices.Contains(fields, t.Field):
		return fmt.Errorf("sealing: the field of a target is one of %s", strings.Join(fields, ", "))
	case t.Field != FieldClientSecret:
		return nil
	}
	u, err := url.Parse(t.TokenURL)
	if err != nil || u.Scheme == "" || u.Host == "" {
		return errors.New("sealing: a client_secret is sealed for the server it is sent to: name the token_url of its credentials")
	}
	return nil
}

// Seal seals a credential for the target, to the fleet's primary key. It returns
// [ErrTooLarge], [ErrUnknownKey] for the zero Keyset, and errors that say what the
// target lacks. An empty credential is refused: it is more often than not a variable
// that was not set.
func (s Keyset) Seal(t Target, credential []byte) (Value, error) {
	if err := t.check(); err != nil {
		return Value{}, err
	}
	if len(credential) == 0 {
		return Value{}, errors.New("sealing: the " + t.Field + " is empty")
	}
	sealed, err := s.SealAs(LongLived, t.Binding(), credential)
	return Value{sealed}, err
}
