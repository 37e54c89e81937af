package schema_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/events/intake"
	"github.com/rekindle-dev/rekindle/events/schema"
	"github.com/rekindle-dev/rekindle/events/sealing"
)

var update = flag.Bool("update", false, "write the schemas")

// described are the structs that have a schema, by its name.
func described() map[string]any {
	all := map[string]any{schema.Status: events.Status{}}
	for _, d := range []events.Data{
		events.SecretCreated{},
		events.SecretUpdated{},
		events.SecretDeleted{},
		events.SecretTakenOver{},
		events.SecretExported{},
		events.SecretTested{},
		events.ExchangeSucceeded{},
		events.ExchangeFailed{},
		events.ExchangeInterrupted{},
		events.JobParked{},
		events.RetryRequested{},
		events.ReauthorizeRequested{},
		events.ReauthorizationDue{},
		events.ConsentReceived{},
		events.ConsentHeld{},
		events.RegistrationExpiring{},
		events.CredentialExpiring{},
		events.CredentialExpired{},
		events.Accepted{},
		events.Rejected{},
		events.RefreshDue{},
		events.TestRequested{},
	} {
		all[events.TypePrefix+string(d.Type())] = d
	}
	for _, d := range []intake.Data{
		intake.SecretCreated{}, intake.SecretUpdated{}, intake.SecretDeleted{}, intake.RetryRequested{}, intake.ReauthorizeRequested{},
	} {
		all[intake.TypePrefix+string(d.Type())] = d
	}
	return all
}

// Every type has a schema, and there is none of anything else.
func TestEveryTypeIsDescribed(t *testing.T) {
	t.Parallel()
	want := []string{schema.Status}
	for _, typ := range append(events.EventTypes(), events.JobTypes()...) {
		want = append(want, events.TypePrefix+string(typ))
	}
	for _, typ := range intake.Types() {
		want = append(want, intake.TypePrefix+string(typ))
	}
	files, err := filepath.Glob("*.json")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, file := range files {
		got = append(got, strings.TrimSuffix(file, ".json"))
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("there are schemas of\n%q, want\n%q", got, want)
	}
	for _, name := range want {
		if described()[name] == nil {
			t.Errorf("%s is not generated", name)
		}
		if of, ok := schema.Of(name); !ok || !json.Valid(of) {
			t.Errorf("there is no schema of %s", name)
		}
	}
	for _, name := range []string{"", "..", "../events", "dev.rekindle.v1.SecretForgotten", "SecretCreated"} {
		if of, ok := schema.Of(name); ok {
			t.Errorf("the schema of %q is %s", name, of)
		}
	}
}

// The schemas are what is generated from the structs.
func TestGenerated(t *testing.T) {
	comments := readComments(t, "..", "../intake")
	for name, v := range described() {
		of := reflect.TypeOf(v)
		s := comments.object(of)
		s.Schema, s.Title = "https://json-schema.org/draft/2020-12/schema", of.Name()
		got, err := json.MarshalIndent(s, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, '\n')
		if *update {
			if err := os.WriteFile(name+".json", got, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(name + ".json")
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s.json is not what -update writes (%v): go test ./events/schema -update", name, err)
		}
	}
}

// node is a schema, in the order in which it is written.
type node struct {
	Schema          string   `json:"$schema,omitempty"`
	Title           string   `json:"title,omitempty"`
	Description     string   `json:"description,omitempty"`
	Type            string   `json:"type,omitempty"`
	Format          string   `json:"format,omitempty"`
	ContentEncoding string   `json:"contentEncoding,omitempty"`
	MinLength       int      `json:"minLength,omitempty"`
	Minimum         *int     `json:"minimum,omitempty"`
	Examples        []string `json:"examples,omitempty"`
	Properties      members  `json:"properties,omitzero"`
	Required        []string `json:"required,omitempty"`
	OneOf           []node   `json:"oneOf,omitempty"`
	AnyOf           []node   `json:"anyOf,omitempty"`
	Items           *node    `json:"items,omitempty"`
	Additional      *node    `json:"additionalProperties,omitempty"`
	Not             *node    `json:"not,omitempty"`
}

// members are written in the order of the struct's.
type members []member

type member struct {
	name string
	node node
}

func (m members) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	for i, each := range m {
		value, err := json.Marshal(each.node)
		if err != nil {
			return nil, err
		}
		b.WriteString(map[bool]string{true: "{", false: ","}[i == 0] + `"` + each.name + `":`)
		b.Write(value)
	}
	b.WriteString("}")
	return b.Bytes(), nil
}

// object is the schema of a struct.
func (c comments) object(of reflect.Type) node {
	n := node{Type: "object", Description: inJSON(of, c[place(of)])}
	for f := range of.Fields() {
		if f.Anonymous {
			inner := c.object(f.Type)
			n.Properties, n.Required, n.OneOf = append(n.Properties, inner.Properties...), append(n.Required, inner.Required...), inner.OneOf
			continue
		}
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		value := c.value(f.Type)
		if said := c[place(of)+"."+f.Name]; said != "" {
			value.Description = inJSON(of, said)
		}
		n.Properties = append(n.Properties, member{name, value})
		if options == "" {
			n.Required = append(n.Required, name)
		}
	}
	if of == reflect.TypeFor[intake.Which]() {
		n.OneOf = []node{
			{Required: []string{"secret"}, Not: &node{AnyOf: []node{{Required: []string{"property"}}, {Required: []string{"name"}}}}},
			{Required: []string{"property", "name"}, Not: &node{Required: []string{"secret"}}},
		}
	}
	return n
}

// inJSON is a comment of a struct or its fields with these under the names that they
// have in JSON.
func inJSON(of reflect.Type, comment string) string {
	return regexp.MustCompile(`\b[A-Z]\w*\b`).ReplaceAllStringFunc(comment, func(word string) string {
		f, ok := of.FieldByName(word)
		if !ok || f.Anonymous || word == of.Name() {
			return word
		}
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		return name
	})
}

// value is the schema of a member.
func (c comments) value(of reflect.Type) node {
	if of.Kind() == reflect.Pointer {
		of = of.Elem()
	}
	switch n := (node{Description: c[place(of)], Examples: closedSet(of)}); of {
	case reflect.TypeFor[time.Time]():
		return node{Type: "string", Format: "date-time"}
	case reflect.TypeFor[sealing.Value]():
		n.Type, n.Required, n.Description = "object", []string{"sealed"}, "A credential that is sealed to the fleet's public keys."
		n.Properties = members{{"sealed", node{Type: "string", ContentEncoding: "base64", MinLength: 1}}}
		return n
	case reflect.TypeFor[[]byte]():
		return node{Type: "string", ContentEncoding: "base64"}
	default:
		return c.plain(n, of)
	}
}

func (c comments) plain(n node, of reflect.Type) node {
	switch of.Kind() {
	case reflect.String:
		n.Type = "string"
	case reflect.Bool:
		n.Type = "boolean"
	case reflect.Int, reflect.Int64:
		n.Type = "integer"
	case reflect.Uint64:
		n.Type, n.Minimum = "integer", new(int)
	case reflect.Struct:
		n = c.object(of)
	case reflect.Slice:
		items := c.value(of.Elem())
		n.Type, n.Items = "array", &items
	case reflect.Map:
		n.Type = "object"
		if of.Elem().Kind() == reflect.String {
			n.Additional = &node{Type: "string"}
		}
	default:
		panic("no schema of " + of.String())
	}
	return n
}

// closedSet are the values that a type has, of those that have not any.
func closedSet(of reflect.Type) (values []string) {
	add := func(s string) { values = append(values, s) }
	switch of {
	case reflect.TypeFor[events.Reason]():
		for _, v := range events.Reasons() {
			add(string(v))
		}
	case reflect.TypeFor[events.WarningCode]():
		for _, v := range events.WarningCodes() {
			add(string(v))
		}
	case reflect.TypeFor[events.Verdict]():
		for _, v := range []events.Verdict{events.Retry, events.Wait, events.NeedsConfiguration, events.NeedsHuman, events.Unknown} {
			add(string(v))
		}
	case reflect.TypeFor[events.InterruptionCause]():
		for _, v := range []events.InterruptionCause{events.CauseVoid, events.CauseKeptBack} {
			add(string(v))
		}
	case reflect.TypeFor[events.TestOutcome]():
		for _, v := range []events.TestOutcome{events.TestSucceeded, events.TestFailed, events.TestNotMade, events.TestUnknown} {
			add(string(v))
		}
	}
	return values
}

// comments are what the source says of its types and their fields, by package, type
// and field.
type comments map[string]string

func place(of reflect.Type) string {
	return of.PkgPath()[strings.LastIndexByte(of.PkgPath(), '/')+1:] + "." + of.Name()
}

func readComments(t *testing.T, dirs ...string) comments {
	t.Helper()
	c := comments{}
	for _, dir := range dirs {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range files {
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments|parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasSuffix(file.Name.Name, "_test") {
				c.read(file)
			}
		}
	}
	return c
}

func (c comments) read(file *ast.File) {
	for _, d := range file.Decls {
		decl, ok := d.(*ast.GenDecl)
		if !ok || decl.Tok != token.TYPE {
			continue
		}
		for _, s := range decl.Specs {
			spec, ok := s.(*ast.TypeSpec)
			if !ok {
				continue
			}
			name := file.Name.Name + "." + spec.Name.Name
			c[name] = prose(decl.Doc)
			if fields, ok := spec.Type.(*ast.StructType); ok {
				for _, f := range fields.Fields.List {
					for _, n := range f.Names {
						c[name+"."+n.Name] = prose(f.Doc)
					}
				}
			}
		}
	}
}

// prose is a comment on one line, without links and without what it refers to that
// is for those who work on the code.
func prose(doc *ast.CommentGroup) string {
	line := strings.NewReplacer("[", "", "]", "").Replace(strings.Join(strings.Fields(doc.Text()), " "))
	return regexp.MustCompile(` \(contract [^)]*\)`).ReplaceAllString(line, "")
}
