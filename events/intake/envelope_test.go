package intake_test

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/events/intake"
)

// An envelope shows what can be used, and nothing else, with all that is wrong.
func TestReadEnvelope(t *testing.T) {
	t.Parallel()
	header := func(name string, values ...string) func(*message) {
		return func(m *message) { m.header[name] = values }
	}
	subject := func(s string) func(*message) { return func(m *message) { m.subject = s } }
	for name, test := range map[string]struct {
		damage func(*message)
		empty  string // what of the envelope is lost
		want   []string
	}{
		"nothing":              {func(*message) {}, "", nil},
		"another key":          {subject("rekindle.v1.intake.0123456789ABCDEF=40TestOrg.SecretCreated.mine"), "", nil},
		"no time":              {header("ce-time"), "Time", nil},
		"no subject attribute": {header("ce-subject"), "About", nil},
		"no org attribute":     {header("ce-org"), "", nil},
		"no content type":      {header("ce-datacontenttype"), "", nil},
		"a kind of JSON":       {header("ce-datacontenttype", "application/vnd.x+json; charset=utf-8"), "", nil},
		"no reply":             {header("Rekindle-Reply"), "Reply", nil},
		"a trace that is none": {header("traceparent", "x\r\n"), "Trace", nil},

		"no subject":              {subject(""), "Org Type Reply", []string{"the subject is not rekindle.v1.intake."}},
		"a subject of facts":      {subject("rekindle.v1.event.o.SecretCreated.x"), "Org Type Reply", []string{"the subject is not"}},
		"one part too many":       {subject("rekindle.v1.intake.o.SecretCreated.x.y"), "Org Type Reply", []string{"the subject is not"}},
		"no key":                  {subject("rekindle.v1.intake.o.SecretCreated."), "Org Type Reply", []string{"the subject is not"}},
		"no organisation":         {subject("rekindle.v1.intake.=.SecretCreated.x"), "Org Type Reply", []string{"the subject is not"}},
		"another spelling of it":  {subject("rekindle.v1.intake.=61.SecretCreated.x"), "Org Type Reply", []string{"the subject is not"}},
		"too long for an answer":  {subject("rekindle.v1.intake." + strings.Repeat("o", 257) + ".SecretCreated.x"), "Org Type Reply", []string{"the subject is not"}},
		"an unknown type":         {subject("rekindle.v1.intake.0123456789ABCDEF=40TestOrg.SecretForgotten.x"), "Type", []string{"a type that is not known: there are SecretCreated, "}},
		"the type of another":     {header("ce-type", "dev.rekindle.intake.v1.SecretDeleted"), "", []string{"header ce-type is not dev.rekindle.intake.v1.SecretCreated"}},
		"the type of a fact":      {header("ce-type", "dev.rekindle.v1.SecretCreated"), "", []string{"header ce-type is not dev.rekindle.intake.v1.SecretCreated"}},
		"no type":                 {header("ce-type"), "CEType", []string{"header ce-type is missing"}},
		"no version":              {header("ce-specversion"), "", []string{"header ce-specversion"}},
		"no id":                   {header("ce-id"), "ID", []string{"header ce-id is missing"}},
		"an id that is too long":  {header("ce-id", strings.Repeat("x", 257)), "ID", []string{"header ce-id must be 1 to 256 bytes"}},
		"an id with a line break": {header("ce-id", "a%0Ab"), "ID", []string{"header ce-id must be"}},
		"an id not UTF-8":         {header("ce-id", "%FF"), "ID", []string{"header ce-id is not UTF-8"}},
		"an id ill escaped":       {header("ce-id", "%zz"), "ID", []string{"header ce-id is not percent-encoded"}},
		"two ids":                 {header("ce-id", "account%207/created", "b"), "", []string{"header ce-id is there 2 times"}},
		"no source":               {header("ce-source"), "Source", []string{"header ce-source is missing"}},
		"another organisation":    {header("ce-org", "other"), "", []string{"header ce-org is another"}},
		"a time that is none":     {header("ce-time", "noon"), "Time", []string{"header ce-time is not"}},
		"a subject too long":      {header("ce-subject", strings.Repeat("x", 1025)), "About", []string{"header ce-subject is longer"}},
		"XML":                     {header("ce-datacontenttype", "text/xml"), "", []string{"header ce-datacontenttype must"}},
		"no media type":           {header("ce-datacontenttype", ";;"), "", []string{"header ce-datacontenttype must"}},
		"a reply to anywhere":     {header("Rekindle-Reply", "$JS.API.STREAM.DELETE.INTAKE"), "Reply", []string{"header Rekindle-Reply must be rekindle.v1.reply.0123456789ABCDEF=40TestOrg. "}},
		"no headers": {
			func(m *message) { m.header = nil }, "ID Source CEType About Time Trace Reply",
			[]string{"header ce-specversion", "header ce-id is missing", "header ce-source is missing", "header ce-type is missing"},
		},
	} {
		m := encoded(t, samples()["SecretCreated"])
		want, _ := intake.ReadEnvelope(m.subject, m.header)
		test.damage(&m)
		got, problems := intake.ReadEnvelope(m.subject, m.header)
		var details []string
		for _, p := range problems {
			if p.Code != intake.CodeInvalidEvent || p.Pointer != "" {
				t.Errorf("%s: problem %+v", name, p)
			}
			details = append(details, p.Detail)
		}
		if len(details) != len(test.want) {
			t.Errorf("%s: %q, want %q", name, details, test.want)
			continue
		}
		for i, part := range test.want {
			if !strings.Contains(details[i], part) {
				t.Errorf("%s: %q does not say %q", name, details[i], part)
			}
		}
		if kept := reflect.ValueOf(&want).Elem(); test.empty != "" {
			for field := range strings.FieldsSeq(test.empty) {
				kept.FieldByName(field).SetZero()
			}
		}
		if want.CEType = got.CEType; !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\ngot  %+v\nwant %+v", name, got, want)
		}
		if len(problems) == 0 {
			continue
		}
		if e, err := m.decode(); err == nil || !reflect.DeepEqual(e, intake.Event{}) {
			t.Errorf("%s: decoded as %+v, error %v", name, e, err)
		}
	}
}

func TestDecodeErrors(t *testing.T) {
	t.Parallel()
	for _, body := range []string{
		``, `null`, `[]`, `{}`, `{"property":"CANARY"`, `{"property":7}`, `{"property":"p","name":"CANARY"}`, `{"credentials":{"token":"CANARY"}}`,
		`{"property":"` + property + `","name":"billing API","credentials":["CANARY"]}`,
		`{"pad":"CANARY` + strings.Repeat("x", events.MaxBody) + `"}`,
	} {
		m := encoded(t, samples()["SecretCreated"])
		m.body = []byte(body)
		e, err := m.decode()
		if err == nil || !reflect.DeepEqual(e, intake.Event{}) || strings.Contains(err.Error(), "CANARY") {
			t.Errorf("%.40s: decoded as %+v, error %v", body, e, err)
		}
	}
	// An event without a subject attribute or a time: the first is known from the
	// data, the second is not.
	m := encoded(t, samples()["SecretDeleted"])
	delete(m.header, events.HeaderSubject)
	if e, err := m.decode(); err != nil || e.Data.About() != secretID {
		t.Errorf("without a subject attribute: %+v, error %v", e, err)
	}
}

// FuzzReadEnvelope: whatever a message has for a subject and headers, what is in the
// envelope can be used: it is bounded and printable, and answers go to its own
// organisation only.
func FuzzReadEnvelope(f *testing.F) {
	for _, m := range goldens(f) {
		headers, err := json.Marshal(m.header)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(m.subject, headers)
		f.Add(m.subject+".x", bytes.ReplaceAll(headers, []byte("%"), nil))
		f.Add("rekindle.v1.intake.a.b.c", bytes.ReplaceAll(headers, []byte(`["`), []byte(`["%0A",`)))
	}
	f.Fuzz(func(t *testing.T, subject string, headers []byte) {
		var h events.Header
		if json.Unmarshal(headers, &h) != nil {
			return
		}
		e, problems := intake.ReadEnvelope(subject, h)
		for _, text := range []string{e.ID, e.Source, e.CEType} {
			if len(text) > intake.MaxText || strings.ContainsAny(text, "\x00\n\r\x7f") {
				t.Errorf("%q is in the envelope", text)
			}
		}
		if e.Reply != "" && !intake.IsReplySubject(e.Org, e.Reply) {
			t.Errorf("an answer would go to %q", e.Reply)
		}
		if len(problems) == 0 && (e.Org == "" || e.Type == "" || e.ID == "" || e.Source == "") {
			t.Errorf("nothing is wrong with %+v", e)
		}
		for _, p := range problems {
			if p.Detail == "" || len(p.Detail) > 500 {
				t.Errorf("problem %+v", p)
			}
		}
	})
}

// FuzzDecode: no message makes Decode panic, and whatever it accepts can be
// published and is then the same.
func FuzzDecode(f *testing.F) {
	for _, m := range goldens(f) {
		headers, err := json.Marshal(m.header)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(m.subject, headers, m.body)
		f.Add(m.subject, headers, bytes.ReplaceAll(m.body, []byte(`"secret"`), []byte(`"Secret"`)))
		f.Add(m.subject, headers, bytes.ReplaceAll(m.body, []byte(`{"sealed"`), []byte(`{"sealed":"eA==","sealed"`)))
		f.Add(m.subject, headers, m.body[:len(m.body)/2])
	}
	f.Fuzz(func(t *testing.T, subject string, headers, body []byte) {
		var h events.Header
		if json.Unmarshal(headers, &h) != nil {
			return
		}
		first, err := intake.Decode(subject, h, body)
		if err != nil {
			return
		}
		m := encoded(t, first)
		second, err := m.decode()
		if err != nil {
			t.Fatalf("cannot be read again: %v", err)
		}
		if again := encoded(t, second); !bytes.Equal(m.format(), again.format()) {
			t.Fatalf("not the same when published again:\n%s\n%s", m.format(), again.format())
		}
	})
}

func goldens(t testing.TB) []message {
	t.Helper()
	files, err := filepath.Glob("testdata/*.golden")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	all := make([]message, len(files))
	for i, path := range files {
		all[i] = readGolden(t, path)
	}
	return all
}
