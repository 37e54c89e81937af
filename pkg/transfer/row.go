// Package transfer is how secrets move between systems in bulk: rows, one secret a
// line, that are read, sealed and imported one by one.
//
// It promises
//   - to hold no more rows at a time than are at work, however many there are;
//   - to refuse what it does not know, with the line and the member, and to show of
//     a row nothing but the names of members that are known;
//   - that an import that was stopped anywhere goes on where it was, and that a row
//     that comes twice does no harm if whoever takes it in says so.
//
// It knows no server and no store: those who use it bring what takes rows in, or
// where they come from. It writes no plaintext anywhere.
package transfer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/rekindle-dev/rekindle/pkg/secret"
)

// Version is that of the rows that are written, and the only one that is read.
const Version = 1

// MaxRow bounds a row, in bytes.
const MaxRow = 64 << 10

// Row is a secret as it moves. Members that it lacks are zero.
type Row struct {
	Version int `json:"version,omitempty"`
	// ID is the secret's in the fleet that has exported it: what is sealed in the
	// row is bound to it.
	ID string `json:"id,omitempty"`
	// Property and Environment are names or ids.
	Property    string `json:"property,omitempty"`
	Name        string `json:"name"`
	TypeOf      string `json:"type_of"`
	Environment string `json:"environment,omitempty"`
	// Credentials are those of the API (contract A9), and Grant is a consent that was
	// given elsewhere. Each member is as it was written.
	Credentials map[string]json.RawMessage `json:"credentials,omitempty"`
	Grant       map[string]json.RawMessage `json:"grant,omitempty"`
}

// Wipe overwrites what may be secret in the row.
func (r *Row) Wipe() {
	for _, members := range []map[string]json.RawMessage{r.Credentials, r.Grant} {
		for _, value := range members {
			clear(value)
		}
	}
}

// String shows nothing but the name, so that no printer shows more.
func (r Row) String() string { return "row " + r.Name }

// GoString is String.
func (r Row) GoString() string { return r.String() }

// ProblemError says what is wrong with a row. It quotes no value of it.
type ProblemError struct {
	// Member is where it is, like "grant.authorized_at"; empty for the whole row.
	Member  string
	Problem string
}

func (e *ProblemError) Error() string {
	if e.Member == "" {
		return e.Problem
	}
	return e.Member + ": " + e.Problem
}

func problem(member, format string, args ...any) error {
	return &ProblemError{member, fmt.Sprintf(format, args...)}
}

// Decode reads a row. It keeps nothing of line, and returns a ProblemError.
func Decode(line []byte) (Row, error) {
	var r Row
	if !utf8.Valid(line) {
		return r, problem("", "not UTF-8")
	}
	members, err := split("", line, []string{"version", "id", "property", "name", "type_of", "environment", "credentials", "grant"})
	if err != nil {
		return r, err
	}
	r.Version = Version
	for name, into := range map[string]*string{
		"id": &r.ID, "property": &r.Property, "name": &r.Name, "type_of": &r.TypeOf, "environment": &r.Environment,
	} {
		if raw, ok := members[name]; ok && json.Unmarshal(raw, into) != nil {
			return r, problem(name, "must be a string")
		}
	}
	if raw, ok := members["version"]; ok && (json.Unmarshal(raw, &r.Version) != nil || r.Version != Version) {
		return r, problem("version", "must be %d: another one is not known here", Version)
	}
	for _, name := range []string{"name", "type_of"} {
		if _, ok := members[name]; !ok {
			return r, problem(name, "is required")
		}
	}
	return r, r.readParts(members)
}

// readParts reads what depends on the type.
func (r *Row) readParts(members map[string]json.RawMessage) (err error) {
	kind := secret.Kind(r.TypeOf)
	if raw, ok := members["credentials"]; ok {
		if r.Credentials, err = split("credentials", raw, credentialsOf(kind)); err != nil {
			return err
		}
	}
	raw, ok := members["grant"]
	switch {
	case ok && !kind.Interactive():
		return problem("grant", "is for the types that a person consents to")
	case ok:
		r.Grant, err = split("grant", raw, grantMembers())
	}
	return err
}

// grantMembers are those of a grant.
func grantMembers() []string {
	return []string{
		"refresh_token", "authorized_at", "reauthorize_by", "account", "account_fingerprint", "scopes", "client_id", "extra",
	}
}

// credentialsOf are the credentials of a type (contract A9).
func credentialsOf(k secret.Kind) []string {
	switch k.Canonical() {
	case secret.Token:
		return []string{"token"}
	case secret.SimpleHTTP:
		return []string{"username", "password"}
	case secret.OAuth2:
		return []string{"client_id", "client_secret", "token_url", "authorization_url", "refresh_offset", "options"}
	case secret.OAuth2JWT:
		return []string{
			"iss", "aud", "sub", "ttl", "alg", "custom_claims", "private_key", "private_key_id", "token_url", "refresh_offset", "options",
		}
	default:
		return []string{"scopes"}
	}
}

// split takes an object apart whose members must be among the known ones, each once.
func split(of string, raw []byte, known []string) (map[string]json.RawMessage, error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	if open, err := dec.Token(); err != nil || open != json.Delim('{') {
		return nil, problem(of, "must be a JSON object")
	}
	members := make(map[string]json.RawMessage)
	for dec.More() {
		name, err := dec.Token()
		key, ok := name.(string)
		if err != nil || !ok {
			return nil, notJSON(of, dec)
		}
		at := strings.TrimPrefix(of+"."+shown(key), ".")
		if !slices.Contains(known, key) {
			return nil, problem(at, "is not known: there are %s", strings.Join(known, ", "))
		}
		if _, twice := members[key]; twice {
			return nil, problem(at, "is there twice")
		}
		var value json.RawMessage
		if dec.Decode(&value) != nil {
			return nil, notJSON(of, dec)
		}
		if string(value) != "null" { // which is the same as absent
			members[key] = value
		}
	}
	if _, err := dec.Token(); err != nil {
		return nil, notJSON(of, dec)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, notJSON(of, dec)
	}
	return members, nil
}

func notJSON(of string, dec *json.Decoder) error {
	return problem(of, "is not one JSON object, at byte %d", dec.InputOffset())
}

// shown is the name of a member if it looks like one: what was put in the wrong
// place may be a secret.
func shown(name string) string {
	const most = 40
	odd := func(c rune) bool { return (c < 'a' || c > 'z') && c != '_' }
	if name == "" || len(name) > most || strings.ContainsFunc(name, odd) {
		return "(a member that is not shown)"
	}
	return name
}
