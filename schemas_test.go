package rekindle_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/events/intake"
	"github.com/rekindle-dev/rekindle/events/schema"
)

// golden is an event as a file holds it still.
type golden struct {
	path, subject string
	header        events.Header
	body          []byte
}

// schema is the name of its schema: its CloudEvents type.
func (g golden) schema() string {
	if filepath.Ext(g.path) == ".json" {
		return schema.Status
	}
	return g.header.Get(events.HeaderType)
}

// decode reads it with another body as this version does.
func (g golden) decode(body []byte) error {
	var err error
	switch {
	case g.header == nil:
		err = json.Unmarshal(body, new(events.Status))
	case g.subject != "":
		_, err = intake.Decode(g.subject, g.header, body)
	default:
		_, err = events.Decode(g.header, body)
	}
	return err
}

// goldens are all golden files of the module events.
func goldens(t *testing.T) (all []golden) {
	t.Helper()
	for _, pattern := range []string{"events/testdata/*.golden", "events/intake/testdata/*.golden", "events/testdata/Status*.json"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %d files, error %v", pattern, len(files), err)
		}
		for _, path := range files {
			all = append(all, readGolden(t, path))
		}
	}
	return all
}

func readGolden(t *testing.T, path string) golden {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	head, body, ok := strings.Cut(string(text), "\n\n")
	if !ok {
		return golden{path: path, body: text}
	}
	g := golden{path: path, header: events.Header{}, body: []byte(strings.TrimSuffix(body, "\n"))}
	for line := range strings.Lines(head) {
		name, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		if ok {
			g.header[name] = []string{value}
		} else {
			g.subject = name
		}
	}
	return g
}

// schemas are those of package schema as somebody else reads them.
func schemas(t *testing.T) map[string]*jsonschema.Schema {
	t.Helper()
	names := []string{schema.Status}
	for _, typ := range append(events.EventTypes(), events.JobTypes()...) {
		names = append(names, events.TypePrefix+string(typ))
	}
	for _, typ := range intake.Types() {
		names = append(names, intake.TypePrefix+string(typ))
	}
	all := map[string]*jsonschema.Schema{}
	for _, name := range names {
		raw, ok := schema.Of(name)
		if !ok {
			t.Fatalf("there is no schema of %s", name)
		}
		compiler := jsonschema.NewCompiler()
		compiler.AssertFormat()
		compiler.AssertContent()
		tree, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
		if err != nil {
			t.Fatal(err)
		}
		if err := compiler.AddResource(name, tree); err != nil {
			t.Fatal(err)
		}
		if all[name], err = compiler.Compile(name); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	return all
}

// What the goldens say fits the schemas, and what differs from it as no version may
// does not: an old event can be read by this version, and what a later one adds is no
// hindrance.
func TestGoldensFitTheirSchemas(t *testing.T) {
	t.Parallel()
	all := schemas(t)
	unused := maps.Clone(all)
	for _, g := range goldens(t) {
		of := all[g.schema()]
		if of == nil {
			t.Errorf("%s has no schema: its type is %q", g.path, g.schema())
			continue
		}
		delete(unused, g.schema())
		says := func(what string, body map[string]any, fits bool) {
			if err := of.Validate(body); (err == nil) != fits {
				t.Errorf("%s %s: fits its schema is %v, want %v: %v", g.path, what, !fits, fits, err)
			}
			raw, err := json.Marshal(body)
			if err != nil {
				t.Fatal(err)
			}
			if err := g.decode(raw); err != nil && fits {
				t.Errorf("%s %s: %v", g.path, what, err)
			}
		}
		body := tree(t, g.body)
		says("as it is", body, true)
		for name, value := range maps.Clone(body) {
			body[name] = json.Number("1.5")
			says("with a number for "+name, body, false)
			if text, ok := value.(string); ok && of.Properties[name].Format != nil {
				body[name] = "CANARY" + text
				says("with no time for "+name, body, false)
			}
			delete(body, name)
			if slices.Contains(of.Required, name) || !isIdentity(g, name) {
				says("without "+name, body, !slices.Contains(of.Required, name))
			}
			body[name] = value
		}
		body["later"] = map[string]any{"deep": []any{json.Number("1"), nil}}
		says("with a member of a later version", body, true)
	}
	if len(unused) > 0 {
		t.Errorf("there is no golden file of %q", slices.Sorted(maps.Keys(unused)))
	}
}

// isIdentity tells members of which an upstream event must have some.
func isIdentity(g golden, name string) bool {
	return g.subject != "" && slices.Contains([]string{"secret", "property", "name"}, name)
}

// An upstream event names a secret in one way, and hidden credentials are sealed.
func TestSchemasOfIntake(t *testing.T) {
	t.Parallel()
	all := schemas(t)
	for typ, bodies := range map[intake.Type]map[string]bool{
		intake.TypeSecretDeleted: {
			`{"secret":"SE1"}`:                  true,
			`{"property":"PR1","name":"n"}`:     true,
			`{}`:                                false,
			`{"property":"PR1"}`:                false,
			`{"name":"n"}`:                      false,
			`{"secret":"SE1","name":"n"}`:       false,
			`{"secret":"SE1","property":"PR1"}`: false,
			`{"secret":"SE1","property":"PR1","name":"n"}`: false,
			`["secret"]`: false,
		},
		intake.TypeSecretUpdated: {
			`{"secret":"SE1","credentials":{"password":{"sealed":"AQID"}}}`:     true,
			`{"secret":"SE1","credentials":{"password":{"sealed":""}}}`:         false,
			`{"secret":"SE1","credentials":{"password":{"sealed":"not base"}}}`: false,
			`{"secret":"SE1","credentials":{"password":{}}}`:                    false,
			`{"secret":"SE1","credentials":{"password":"plain"}}`:               false,
			`{"secret":"SE1","credentials":{"options":{"scope":1}}}`:            false,
		},
	} {
		for body, want := range bodies {
			tree, err := jsonschema.UnmarshalJSON(strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			if err := all[intake.TypePrefix+string(typ)].Validate(tree); (err == nil) != want {
				t.Errorf("%s %s fits: %v, want %v: %v", typ, body, !want, want, err)
			}
		}
	}
}

func tree(t *testing.T, raw []byte) map[string]any {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	object, ok := v.(map[string]any)
	if !ok {
		t.Fatalf("%s is no object", raw)
	}
	return object
}
