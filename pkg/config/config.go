// Package config reads configuration files strictly and says what is wrong
// with them.
//
// A file is one YAML document: a mapping of field names to values, without
// repeated fields, anchors, aliases, merges, tags or directives. It sets what it names and
// leaves the rest of the struct, the defaults, as it is; a field without a value
// (null) is not named. Every mistake is reported, with its line and column.
// [Errors] collects what validation finds afterwards, at the [Positions] of the
// fields, and [BindEnv] lets environment variables stand in for flags.
//
// No error of this package shows a value, because a value may be a secret.
package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Bounds of a file. The parser's time grows with the square of both.
const (
	maxSize  = 64 << 10 // bytes
	maxDepth = 64       // brackets inside brackets
)

// FileError is a mistake in a configuration file.
type FileError struct {
	File         string
	Line, Column int    // from 1; 0 where the mistake is the whole file
	Field        string // path of the field, "windows.oauth2.min_validity"; empty at the top
	Problem      string
}

func (e *FileError) Error() string {
	place := placed(e.File, e.Line, e.Column)
	if e.Field != "" {
		place += ": " + e.Field
	}
	return place + ": " + e.Problem
}

// Load decodes the file at path into the struct into points to, and returns
// where it names what. Fields are named by their yaml tags; those without are
// not for the file. Those of a struct tagged `yaml:",inline"` stand among the
// fields around it. What is wrong with the content are *FileErrors, joined; into
// is then partly set.
//
// A field is a string (any scalar, as it is written), bool, number,
// [time.Duration] (as [Duration]), [time.Time] (RFC 3339, or a date, which is
// its first moment in UTC), struct, slice, map with string keys, pointer to
// these, or an [encoding.TextUnmarshaler]. A map keeps the entries, and these
// the fields, that the file does not name; a slice is replaced.
func Load(path string, into any) (Positions, error) {
	f, err := os.Open(path)
	if err != nil {
		return Positions{}, fmt.Errorf("configuration: %w", err)
	}
	defer f.Close()
	return Decode(path, f, into)
}

// Decode is Load for a file that is open; name is for errors.
func Decode(name string, r io.Reader, into any) (Positions, error) {
	v := reflect.ValueOf(into)
	if v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct {
		return Positions{}, fmt.Errorf("configuration: cannot decode into %T, want a pointer to a struct", into)
	}
	var text bytes.Buffer
	text.Grow(maxSize + 1 + bytes.MinRead) // to grow later would leave a copy of what may be a secret
	_, err := text.ReadFrom(io.LimitReader(r, maxSize+1))
	defer clear(text.Bytes()) // the parser's own copies are strings, and stay
	if err != nil {
		return Positions{}, fmt.Errorf("configuration: %w", err)
	}
	d := decoder{file: name, at: map[string]token.Position{}}
	if body := d.parse(text.Bytes()); body != nil {
		d.decode(body, "", v.Elem())
	}
	return Positions{file: name, at: d.at}, errors.Join(d.errs...)
}

// parse returns the body of the document, nil if it is empty or wrong.
func (d *decoder) parse(text []byte) ast.Node {
	if len(text) > maxSize {
		d.fail(nil, "", fmt.Sprintf("larger than %d bytes", maxSize))
		return nil
	}
	tokens := lexer.Tokenize(string(text) + "\n") // without a line's end the lexer drops a tag
	if at, problem := refused(tokens); at != nil {
		d.fail(at, "", problem)
		return nil
	}
	file, err := parser.Parse(tokens, 0)
	if err != nil {
		d.invalid(err)
		return nil
	}
	var body ast.Node
	for _, doc := range file.Docs {
		if doc.Body == nil {
			continue
		}
		if body != nil {
			d.fail(doc.Body.GetToken(), "", "a second document is not allowed")
			return nil
		}
		body = doc.Body
	}
	return body
}

// refused returns the first token that a configuration has no need of, and what
// to say of it.
func refused(tokens token.Tokens) (at *token.Token, problem string) {
	depth := 0
	for _, t := range tokens {
		switch t.Type {
		case token.AnchorType, token.AliasType, token.MergeKeyType, token.TagType, token.DirectiveType:
			return t, "anchors, aliases, merges, tags and directives are not allowed"
		case token.MappingStartType, token.SequenceStartType:
			depth++
		case token.MappingEndType, token.SequenceEndType:
			depth--
		}
		if depth > maxDepth {
			return t, "nested too deeply"
		}
	}
	return nil, ""
}

// invalid notes an error of the parser. Its Error method would show the line;
// its message may show in quotes what it stumbled over, which is fit to be seen
// only where it is the name of a field.
func (d *decoder) invalid(err error) {
	var at *token.Token
	problem := "not valid YAML"
	if e, ok := errors.AsType[yaml.Error](err); ok {
		at = e.GetToken()
		message := e.GetMessage()
		if !strings.ContainsAny(message, "\"'`") || strings.HasPrefix(message, "mapping key ") {
			problem = message
		}
	}
	d.fail(at, "", problem)
}
