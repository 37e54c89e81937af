package events_test

import (
	"bytes"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/rekindle-dev/rekindle/events"
)

func TestDecodeErrors(t *testing.T) {
	t.Parallel()
	sample := samples()["ExchangeFailed"]
	header := func(name string, values ...string) func(events.Header, []byte) []byte {
		return func(h events.Header, body []byte) []byte {
			h[name] = values
			return body
		}
	}
	replace := func(old, with string) func(events.Header, []byte) []byte {
		return func(_ events.Header, body []byte) []byte {
			if !bytes.Contains(body, []byte(old)) {
				t.Errorf("the body has no %s", old)
			}
			return bytes.Replace(body, []byte(old), []byte(with), 1)
		}
	}
	whole := func(body string) func(events.Header, []byte) []byte {
		return func(events.Header, []byte) []byte { return []byte(body) }
	}
	tests := []struct {
		name   string
		damage func(events.Header, []byte) []byte
		want   string
	}{
		{"no headers", func(h events.Header, b []byte) []byte { clear(h); return b }, "ce-specversion"},
		{"other version", header("ce-specversion", "2.0"), "ce-specversion"},
		{"other case", func(h events.Header, b []byte) []byte {
			h["Ce-Specversion"] = h["ce-specversion"]
			delete(h, "ce-specversion")
			return b
		}, "ce-specversion"},
		{"no id", header("ce-id"), "ce-id"},
		{"empty id", header("ce-id", ""), "ce-id"},
		{"no source", header("ce-source"), "ce-source"},
		{"no time", header("ce-time"), "ce-time"},
		{"bad time", header("ce-time", "yesterday"), "ce-time"},
		{"zero time", header("ce-time", "0001-01-01T00:00:00Z"), "time"},
		{"time before all time", header("ce-time", "0000-01-01T00:00:00+01:00"), "time"},
		{"no type", header("ce-type"), "unknown event type"},
		{"unknown type", header("ce-type", "dev.rekindle.v1.SecretForgotten"), `"dev.rekindle.v1.SecretForgotten"`},
		{"type without prefix", header("ce-type", "ExchangeFailed"), "unknown event type"},
		{"other prefix", header("ce-type", "dev.rekindle.v2.ExchangeFailed"), "unknown event type"},
		{"no subject", header("ce-subject"), "ce-subject"},
		{"other subject", header("ce-subject", "SE2"), "ce-subject"},
		{"bad escape", header("ce-id", "%zz"), "ce-id"},
		{"escape cut short", header("ce-org", "100%"), "ce-org"},
		{"not UTF-8", header("ce-org", "%C0%A0"), "UTF-8"},

		{"empty body", whole(""), "not JSON at byte 0"},
		{"cut short", whole(`{"secret":`), "not JSON at byte"},
		{"two bodies", whole(`{} {}`), "not JSON at byte"},
		{"null", whole("null"), "differs"},
		{"list", whole("[]"), "ExchangeFailed"},
		{"no secret", whole("{}"), "differs"},
		{"other secret", replace(secretID, "SE2"), "ce-subject"},
		{"text for a number", replace(`"attempts":1`, `"attempts":"CANARY"`), `member "attempts" must be int`},
		{"fraction", replace(`"attempts":1`, `"attempts":1.5`), `member "attempts" must be int`},
		{"number for a text", replace(`"kind":"oauth2"`, `"kind":7`), `member "kind" must be string`},
		{"bad time in the body", replace(`"2024-05-01T12:40:00Z"`, `"CANARY"`), "ExchangeFailed"},
		{"too long", replace(`"detail":"`, `"detail":"CANARY`+strings.Repeat("x", events.MaxBody)), "at most 65536 are allowed"},
	}
	for _, test := range tests {
		h, body, err := events.Encode(sample)
		if err != nil {
			t.Fatal(err)
		}
		body = test.damage(h, body)
		e, err := events.Decode(h, body)
		switch {
		case err == nil:
			t.Errorf("%s: decoded", test.name)
		case !strings.Contains(err.Error(), test.want):
			t.Errorf("%s: error %q does not say %q", test.name, err, test.want)
		case strings.Contains(err.Error(), "CANARY"):
			t.Errorf("%s: error %q quotes the body", test.name, err)
		case !reflect.DeepEqual(e, events.Event{}):
			t.Errorf("%s: an event beside the error", test.name)
		}
		unknown := strings.Contains(test.want, "unknown") || strings.Contains(test.name, "unknown")
		if errors.Is(err, events.ErrUnknownType) != unknown {
			t.Errorf("%s: error %v is ErrUnknownType: %v", test.name, err, !unknown)
		}
	}
}

// What Decode would refuse is not sent.
func TestEncodeErrors(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*events.Event){
		"no data":     func(e *events.Event) { e.Data = nil },
		"no id":       func(e *events.Event) { e.ID = "" },
		"no source":   func(e *events.Event) { e.Source = "" },
		"no secret":   func(e *events.Event) { e.Data = events.SecretCreated{} },
		"no provider": func(e *events.Event) { e.Data = events.RegistrationExpiring{ClientID: "c"} },
		"no time":     func(e *events.Event) { e.Time = time.Time{} },
		"far future":  func(e *events.Event) { e.Time = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) },
		"not UTF-8":   func(e *events.Event) { e.ID = "a\xff" },
		"too long": func(e *events.Event) {
			e.Data = events.SecretCreated{Secret: secretID, Name: strings.Repeat("x", events.MaxBody)}
		},
		"time in a body": func(e *events.Event) {
			e.Data = events.RefreshDue{Secret: secretID, DueAt: time.Date(-1, 1, 1, 0, 0, 0, 0, time.UTC)}
		},
	} {
		e := samples()["SecretCreated"]
		change(&e)
		if h, body, err := events.Encode(e); err == nil || h != nil || body != nil {
			t.Errorf("%s: got header %v, error %v", name, h, err)
		}
	}
}

// A trace is help for people: one that is none is dropped, not refused.
func TestTrace(t *testing.T) {
	t.Parallel()
	for trace, kept := range map[string]bool{
		"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01": true,
		"":                        false,
		"00-4bf9\r\nce-id: other": false,
		"00-ÄÖ":                   false,
		"00-4BF9":                 false,
		strings.Repeat("0", 129):  false,
	} {
		e := samples()["SecretCreated"]
		e.Trace = trace
		h, body, err := events.Encode(e)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := h[events.HeaderTrace]; ok != kept {
			t.Errorf("trace %q is sent: %v, want %v", trace, ok, kept)
		}
		h[events.HeaderTrace] = []string{trace}
		got, err := events.Decode(h, body)
		if err != nil || (got.Trace == trace) != kept && trace != "" {
			t.Errorf("trace %q is read as %q, error %v", trace, got.Trace, err)
		}
	}
}

// What a header carries is printable ASCII, whatever the event says (CloudEvents
// NATS binding 3.1.3.2, with its example).
func TestHeaderEscapes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"plain-._~/:@!$&'()*+,;=?#[]{}|\\^`<>": "plain-._~/:@!$&'()*+,;=?#[]{}|\\^`<>",
		"Euro € 😀":                             "Euro%20%E2%82%AC%20%F0%9F%98%80",
		"100%":                                 "100%25",
		`"quoted"`:                             "%22quoted%22",
		"a\r\nce-id: b":                        "a%0D%0Ace-id:%20b",
		"\x00\x7f":                             "%00%7F",
	} {
		e := samples()["SecretCreated"]
		e.ID, e.Source, e.Org = text, text, text
		e.Data = events.SecretCreated{Secret: text}
		h, body, err := events.Encode(e)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		for _, name := range []string{events.HeaderID, events.HeaderSource, events.HeaderOrg, events.HeaderSubject} {
			if got := h.Get(name); got != want {
				t.Errorf("%s of %q is %q, want %q", name, text, got, want)
			}
		}
		if got, err := events.Decode(h, body); err != nil || !reflect.DeepEqual(got, e) {
			t.Errorf("%q came back as %+v, error %v", text, got, err)
		}
	}
}

func TestDecodeRefreshDue(t *testing.T) {
	t.Parallel()
	want := samples()["RefreshDue"]
	_, body, err := events.Encode(want)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := events.DecodeRefreshDue(body); err != nil || got != want.Data {
		t.Errorf("got %+v, error %v", got, err)
	}
	for _, bad := range []string{"", "[]", `{"decision":-1}`, `{"decision":"CANARY"}`, strings.Repeat(" ", events.MaxBody) + "{}"} {
		got, err := events.DecodeRefreshDue([]byte(bad))
		if err == nil || got != (events.RefreshDue{}) || strings.Contains(err.Error(), "CANARY") {
			t.Errorf("%.20q: got %+v, error %v", bad, got, err)
		}
	}
}

func TestDecodeTestRequested(t *testing.T) {
	t.Parallel()
	want := samples()["TestRequested"]
	_, body, err := events.Encode(want)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := events.DecodeTestRequested(body); err != nil || !reflect.DeepEqual(got, want.Data) {
		t.Errorf("got %+v, error %v", got, err)
	}
	for _, bad := range []string{"", "[]", `{"key":"CANARY!"}`, `{"key":7}`, `{"before":"CANARY"}`, strings.Repeat(" ", events.MaxBody) + "{}"} {
		got, err := events.DecodeTestRequested([]byte(bad))
		if err == nil || !reflect.DeepEqual(got, events.TestRequested{}) || strings.Contains(err.Error(), "CANARY") {
			t.Errorf("%.20q: got %+v, error %v", bad, got, err)
		}
	}
}

func TestHeaderGet(t *testing.T) {
	t.Parallel()
	h := events.Header{"a": {"1", "2"}, "none": {}, "A": {"3"}}
	for name, want := range map[string]string{"a": "1", "A": "3", "none": "", "b": ""} {
		if got := h.Get(name); got != want {
			t.Errorf("header %s is %q, want %q", name, got, want)
		}
	}
}

// FuzzDecode: no message makes Decode panic, and whatever it accepts can be
// sent on and is then the same.
func FuzzDecode(f *testing.F) {
	files, err := filepath.Glob("testdata/*.golden")
	if err != nil || len(files) == 0 {
		f.Fatalf("no golden files: %v", err)
	}
	names := []string{
		events.HeaderType, events.HeaderSubject, events.HeaderID, events.HeaderSource, events.HeaderTime, events.HeaderOrg, events.HeaderTrace,
	}
	add := func(h events.Header, body []byte) {
		f.Add(h.Get(names[0]), h.Get(names[1]), h.Get(names[2]), h.Get(names[3]), h.Get(names[4]), h.Get(names[5]), h.Get(names[6]), body)
	}
	for _, path := range files {
		h, body := readGolden(f, path)
		add(h, body)
		for _, change := range []string{"%zz", "", "0000-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"} {
			for _, name := range names {
				changed := maps.Clone(h)
				changed[name] = []string{change}
				add(changed, body)
			}
		}
		add(h, bytes.ReplaceAll(body, []byte(`"secret"`), []byte(`"Secret"`)))
		add(h, bytes.ReplaceAll(body, []byte("Z"), []byte("+23:59")))
		add(h, body[:len(body)/2])
	}
	f.Fuzz(func(t *testing.T, kind, subject, id, source, when, org, trace string, body []byte) {
		h := events.Header{events.HeaderSpecVersion: {"1.0"}}
		for i, value := range []string{kind, subject, id, source, when, org, trace} {
			h[names[i]] = []string{value}
		}
		first, err := events.Decode(h, body)
		if err != nil {
			return
		}
		h1, body1, err := events.Encode(first)
		if err != nil {
			t.Fatalf("accepted, but cannot be sent: %v", err)
		}
		second, err := events.Decode(h1, body1)
		if err != nil {
			t.Fatalf("cannot be read again: %v", err)
		}
		h2, body2, err := events.Encode(second)
		if err != nil || !reflect.DeepEqual(h1, h2) || !bytes.Equal(body1, body2) {
			t.Fatalf("not the same when sent again: %v\n%v %s\n%v %s", err, h1, body1, h2, body2)
		}
		for name, values := range h1 {
			if strings.ContainsFunc(values[0], func(c rune) bool { return c <= ' ' || c > '~' }) {
				t.Fatalf("header %s is %q", name, values[0])
			}
		}
	})
}

// The module has no dependencies.
func TestNoDependencies(t *testing.T) {
	t.Parallel()
	mod, err := os.ReadFile("go.mod")
	if err != nil || bytes.Contains(mod, []byte("require")) {
		t.Errorf("go.mod, error %v:\n%s", err, mod)
	}
}
