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

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/events/intake"
	"github.com/rekindle-dev/rekindle/events/schema"
)

// asyncAPI is of events/asyncapi.yaml what the code knows, too. That the rest is
// AsyncAPI, a parser of others says in test/e2e.
type asyncAPI struct {
	Channels map[string]struct {
		Address    string
		Parameters map[string]any
		Messages   map[string]reference
	}
	Operations map[string]struct{ Channel reference }
	Components struct {
		Messages map[string]struct {
			Name    string
			Headers struct {
				AllOf []struct {
					Ref        string `yaml:"$ref"`
					Properties map[string]struct{ Const string }
				} `yaml:"allOf"`
			}
			Payload reference
		}
		Schemas map[string]any
	}
}

type reference struct {
	Ref string `yaml:"$ref"`
}

func readAsyncAPI(t *testing.T) (d asyncAPI) {
	t.Helper()
	if err := yaml.Unmarshal([]byte(events.AsyncAPI), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// The description spells subjects as the code does.
func TestAsyncAPISubjects(t *testing.T) {
	t.Parallel()
	d := readAsyncAPI(t)
	const random = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	fill := strings.NewReplacer("{org}", "acme", "{type}", "SecretCreated", "{about}", "SE1", "{key}", "k", "{secret}", "SE1",
		"{random}", random, "{property}", "PR1", "{kind}", "oauth2")
	got := map[string]string{}
	for name, channel := range d.Channels {
		got[name] = fill.Replace(channel.Address)
		for parameter := range channel.Parameters {
			if !strings.Contains(channel.Address, "{"+parameter+"}") {
				t.Errorf("the address of %s has no {%s}", name, parameter)
			}
		}
		if n := strings.Count(channel.Address, "{"); n != len(channel.Parameters) {
			t.Errorf("%s has %d parameters, %d are described", name, n, len(channel.Parameters))
		}
	}
	want := map[string]string{
		"event":        events.EventSubject("acme", events.TypeSecretCreated, "SE1"),
		"intake":       intake.Subject("acme", intake.TypeSecretCreated, "k"),
		"reply":        "rekindle.v1.reply.acme." + random,
		"job":          events.JobSubject("SE1"),
		"answer":       "rekindle.v1.answer." + random,
		"status":       "$KV." + events.StatusBucket + "." + events.StatusKey("acme", "PR1", "oauth2", "SE1"),
		"keyset":       events.Root + ".keyset",
		"keysetAnswer": "", // an inbox
	}
	if !maps.Equal(got, want) {
		t.Errorf("the channels are\n%q, want\n%q", got, want)
	}
	if !intake.IsReplySubject("acme", want["reply"]) || !events.IsAnswerSubject(want["answer"]) {
		t.Error("no answer goes where the description says")
	}
	for name, o := range d.Operations {
		if channel := strings.TrimPrefix(o.Channel.Ref, "#/channels/"); want[channel] == "" {
			t.Errorf("the operation %s is on %q", name, o.Channel.Ref)
		}
	}
}

// Every type is a message of the channel it travels on, under its own name and with its
// schema.
func TestAsyncAPIMessages(t *testing.T) {
	t.Parallel()
	d := readAsyncAPI(t)
	want := map[string][]string{
		"reply": {events.TypePrefix + "Accepted", events.TypePrefix + "Rejected"}, "status": {"Status"}, "answer": {"TestAnswer"},
		"keyset": {"KeysetRequest"}, "keysetAnswer": {"Keyset"},
	}
	for _, typ := range events.EventTypes() {
		want["event"] = append(want["event"], events.TypePrefix+string(typ))
	}
	for _, typ := range events.JobTypes() {
		want["job"] = append(want["job"], events.TypePrefix+string(typ))
	}
	for _, typ := range intake.Types() {
		want["intake"] = append(want["intake"], intake.TypePrefix+string(typ))
	}
	for name, channel := range d.Channels {
		var got []string
		for _, m := range channel.Messages {
			got = append(got, d.Components.Messages[strings.TrimPrefix(m.Ref, "#/components/messages/")].Name)
		}
		slices.Sort(got)
		slices.Sort(want[name])
		if !slices.Equal(got, want[name]) {
			t.Errorf("on %s are\n%q, want\n%q", name, got, want[name])
		}
	}
	for key, m := range d.Components.Messages {
		of, file := m.Name, strings.HasPrefix(m.Payload.Ref, "./")
		if m.Name == "Status" {
			of = schema.Status
		}
		if _, ok := schema.Of(of); ok != file || file && m.Payload.Ref != "./schema/"+of+".json" {
			t.Errorf("%s has the payload %q", key, m.Payload.Ref)
		}
		if _, err := os.Stat(filepath.Join("events", m.Payload.Ref)); file && err != nil {
			t.Error(err)
		}
		if all := m.Headers.AllOf; file && of != schema.Status && (len(all) != 2 || all[1].Properties[events.HeaderType].Const != m.Name) {
			t.Errorf("the headers of %s are %+v", key, all)
		}
	}
}

// The headers of all golden files are those that the description has for their type.
func TestAsyncAPIHeaders(t *testing.T) {
	t.Parallel()
	d := readAsyncAPI(t)
	described := map[string]*jsonschema.Schema{}
	for _, m := range d.Components.Messages {
		if len(m.Headers.AllOf) > 0 {
			described[m.Name] = compiled(t, d.Components.Schemas[strings.TrimPrefix(m.Headers.AllOf[0].Ref, "#/components/schemas/")])
		}
	}
	for _, g := range goldens(t) {
		if g.header == nil {
			continue
		}
		of := described[g.schema()]
		if of == nil {
			t.Errorf("%s: its headers are not described", g.path)
			continue
		}
		values := map[string]any{}
		for name, v := range g.header {
			values[name] = v[0]
			if name != "Nats-Msg-Id" && of.Properties[name] == nil {
				t.Errorf("%s: the header %s is not described", g.path, name)
			}
		}
		if err := of.Validate(values); err != nil {
			t.Errorf("%s: %v", g.path, err)
		}
		for _, name := range of.Required {
			missing := maps.Clone(values)
			delete(missing, name)
			if of.Validate(missing) == nil {
				t.Errorf("%s: %s may be missing", g.path, name)
			}
			header := maps.Clone(g.header)
			delete(header, name)
			without := golden{header: header, subject: g.subject}
			if err := without.decode(g.body); err == nil && name != events.HeaderContentType {
				t.Errorf("%s is read without %s", g.path, name)
			}
		}
	}
}

func compiled(t *testing.T, v any) *jsonschema.Schema {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	tree, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	if err := compiler.AddResource("headers", tree); err != nil {
		t.Fatal(err)
	}
	of, err := compiler.Compile("headers")
	if err != nil {
		t.Fatal(err)
	}
	return of
}
