package seal_test

import (
	"bytes"
	"encoding/base64"
	"encoding/gob"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	htmltemplate "html/template"
	"log"
	"log/slog"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"text/template"

	"github.com/rekindle-dev/rekindle/pkg/seal"
)

const canary = "CANARY\"<\n>7f3a9c\x00é"

// held is a value that must not print, with the secret bytes in it.
type held struct {
	name   string
	shapes map[string]any
	forms  []string
}

// allHeld lists the types that hold secret material, each in every
// position a value can have.
func allHeld(t *testing.T) []held {
	t.Helper()
	ring, reply := newRing(t), must(seal.NewReply())
	return []held{
		{"Plaintext", shapesOf(seal.NewPlaintext(canary)), printedForms([]byte(canary))},
		{"Keyring", shapesOf(ring), keyForms(t, ring)},
		{"Opener", shapesOf(seal.NewOpener(ring)), keyForms(t, ring)},
		{"Reply", shapesOf(reply), keyForms(t, reply.Ring())},
	}
}

// exported, hidden and their like are the positions: fmt calls methods on
// exported fields only, and on none once a verb was wrong (the channel makes
// every verb but %v and %p wrong).
type exported[T any] struct {
	V    T
	Ch   chan int
	Name string
}

type hidden[T any] struct {
	v    T
	p    *T
	any  any
	list []T
	dict map[string]T
	fn   func()
}

type embedding struct{ seal.Plaintext }

type failure[T any] struct{ v T }

func (f failure[T]) Error() string { return fmt.Sprintf("failed: %+v", f.v) }

func shapesOf[T any](v T) map[string]any {
	var atom atomic.Pointer[T]
	atom.Store(&v)
	h := hidden[T]{v: v, p: &v, any: v, list: []T{v}, dict: map[string]T{"k": v}, fn: func() {}}
	return map[string]any{
		"value":             v,
		"pointer":           &v,
		"slice":             []T{v, v},
		"array":             [1]T{v},
		"map":               map[string]T{"k": v},
		"map of pointers":   map[int]*T{1: &v},
		"any":               []any{v, &v},
		"exported":          exported[T]{V: v},
		"exported pointer":  &exported[*T]{V: &v},
		"hidden":            h,
		"hidden pointer":    &h,
		"hidden in hidden":  hidden[hidden[T]]{v: h, p: &h, any: h},
		"embedded":          struct{ exported[T] }{exported[T]{V: v}},
		"anonymous":         embedding{Plaintext: seal.NewPlaintext(canary)},
		"error":             failure[T]{v},
		"error wrapped":     fmt.Errorf("outer: %w", failure[T]{v}),
		"errors joined":     errors.Join(failure[T]{v}, errors.New("x")),
		"atomic":            &atom,
		"reflected":         reflect.ValueOf(v),
		"reflected field":   reflect.ValueOf(exported[T]{V: v}).Field(0),
		"reflected unexp.":  reflect.ValueOf(h).Field(0),
		"method value":      fmt.Sprint(v),
		"attr":              slog.Any("k", h),
		"channel of struct": make(chan exported[T]),
	}
}

// printedForms lists how b could appear: as text, quoted, hexadecimal, decimal,
// octal, binary, Go syntax, base64.
func printedForms(b []byte) []string {
	forms := []string{
		string(b), string(b[:6]),
		base64.StdEncoding.EncodeToString(b), base64.URLEncoding.EncodeToString(b),
	}
	for _, verb := range []string{"%v", "%d", "%x", "%X", "% x", "%# x", "%#x", "%o", "%b", "%q", "%#v", "%U", "%c"} {
		for _, arg := range []any{b, string(b), [6]byte(b)} {
			form := fmt.Sprintf(verb, arg)
			if _, body, found := strings.Cut(form, "byte{"); found { // []byte{0x43, …}
				form = body
			}
			form = strings.Trim(form, "[]{}\"`")
			if len(form) >= 6 && !strings.Contains(form, "%!") { // less proves nothing
				forms = append(forms, form)
			}
		}
	}
	return forms
}

// keyForms lists how the private keys of ring could appear.
func keyForms(t *testing.T, ring *seal.Keyring) []string {
	t.Helper()
	data, err := ring.Export()
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Keys []struct {
			Hybrid []byte `json:"mlkem768_x25519"`
			X25519 []byte `json:"x25519"`
		}
	}
	if err := json.Unmarshal(data.Reveal(), &file); err != nil || len(file.Keys) == 0 {
		t.Fatalf("export: %d keys, %v", len(file.Keys), err)
	}
	var forms []string
	for _, k := range file.Keys {
		forms = append(forms, printedForms(k.Hybrid)...)
		forms = append(forms, printedForms(k.X25519)...)
		forms = append(forms, printedForms(ownOf(k.Hybrid))...)
	}
	return forms
}

// leaks fails the test if out holds the secret in any form.
func (h held) leaks(t *testing.T, where, out string) {
	t.Helper()
	for _, form := range h.forms {
		if strings.Contains(out, form) {
			t.Errorf("%s leaks %q: %.300q", where, form, out)
			return
		}
	}
}

func TestNothingPrintsByFmt(t *testing.T) {
	t.Parallel()
	mistakes := []string{"%w", "no verb", "%[2]v", "%*d", "%", "%!", "%[1]w %[1]s"}
	flags := []string{"", "+", "#", "-", " ", "0", "+#", "# ", "9", ".2", "-9.2"}
	for _, h := range allHeld(t) {
		for shape, v := range h.shapes {
			for _, flag := range flags {
				for verb := 'A'; verb <= 'z'; verb++ {
					format := "%" + flag + string(verb)
					h.leaks(t, h.name+" "+shape+" "+format, fmt.Sprintf(format, v))
				}
			}
			for _, format := range mistakes {
				h.leaks(t, h.name+" "+shape+" "+format, fmt.Errorf(format, v).Error())
			}
			h.leaks(t, h.name+" "+shape+" Sprint", fmt.Sprint(v)+fmt.Sprintln(v, v))
		}
	}
}

// The forms above would miss nothing if there were something: the same check on
// a type without protection must find it in every position fmt can reach.
func TestFormsFindAnUnprotectedSecret(t *testing.T) {
	t.Parallel()
	type bare struct{ b []byte }
	forms := printedForms([]byte(canary))
	for shape, v := range shapesOf(bare{[]byte(canary)}) {
		switch shape {
		case "anonymous", "atomic", "channel of struct": // protected, or an address
			continue
		}
		found := false
		for _, format := range []string{"%v", "%+v", "%#v", "%s", "%x", "%q", "%d"} {
			out := fmt.Sprintf(format, v)
			for _, form := range forms {
				found = found || strings.Contains(out, form)
			}
		}
		if !found && shape != "map of pointers" && shape != "exported pointer" {
			t.Errorf("%s: the canary was printed and not found: %+v", shape, v)
		}
	}
}

func TestRedactionIsFixed(t *testing.T) {
	t.Parallel()
	p := seal.NewPlaintext(canary)
	for _, v := range []any{p, &p, newRing(t), seal.NewOpener(newRing(t)), must(seal.NewReply()), seal.Plaintext{}} {
		for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%z", "%20.3s"} {
			if got := fmt.Sprintf(format, v); got != "[redacted]" {
				t.Errorf("%T with %s: %q", v, format, got)
			}
		}
		if got := v.(fmt.Stringer).String(); got != "[redacted]" {
			t.Errorf("%T String: %q", v, got)
		}
		if got := v.(fmt.GoStringer).GoString(); got != "[redacted]" {
			t.Errorf("%T GoString: %q", v, got)
		}
		if got, err := json.Marshal(v); err != nil || string(got) != `"[redacted]"` {
			t.Errorf("%T JSON: %s, %v", v, got, err)
		}
		if got := v.(slog.LogValuer).LogValue().String(); got != "[redacted]" {
			t.Errorf("%T LogValue: %q", v, got)
		}
	}
	type request struct {
		Secret seal.Plaintext
		Ptr    *seal.Plaintext
	}
	want := `{"Secret":"[redacted]","Ptr":"[redacted]"}`
	if got, err := json.Marshal(request{p, &p}); err != nil || string(got) != want {
		t.Errorf("JSON: %s, %v", got, err)
	}
	if got := fmt.Sprintf("%+v", request{p, nil}); got != "{Secret:[redacted] Ptr:<nil>}" {
		t.Errorf("%%+v: %s", got)
	}
}

func TestNothingMarshals(t *testing.T) {
	t.Parallel()
	for _, h := range allHeld(t) {
		for shape, v := range h.shapes {
			out, _ := json.Marshal(v) // some shapes cannot be JSON: then there is none
			h.leaks(t, h.name+" "+shape+" json", string(out))
			out, _ = xml.Marshal(v)
			h.leaks(t, h.name+" "+shape+" xml", string(out))
			var buf bytes.Buffer
			err := gob.NewEncoder(&buf).Encode(v)
			h.leaks(t, h.name+" "+shape+" gob", fmt.Sprint(buf.String(), err))
		}
	}
}

func TestNoBinaryForm(t *testing.T) {
	t.Parallel()
	p := seal.NewPlaintext(canary)
	if _, err := p.MarshalBinary(); err == nil {
		t.Error("MarshalBinary: no error")
	}
	if err := gob.NewEncoder(new(bytes.Buffer)).Encode(struct{ P seal.Plaintext }{p}); err == nil {
		t.Error("gob: no error")
	}
}

func TestNothingLogs(t *testing.T) {
	t.Parallel()
	for _, h := range allHeld(t) {
		var buf bytes.Buffer
		text := slog.New(slog.NewTextHandler(&buf, nil))
		jsonl := slog.New(slog.NewJSONHandler(&buf, nil))
		plain := log.New(&buf, "", 0)
		for shape, v := range h.shapes {
			for _, l := range []*slog.Logger{text, jsonl} {
				l.Info("m", "v", v)
				l.With("v", v).WithGroup("g").Info("m", slog.Group("g", "v", v), "bad key", v)
				l.Error("m", "err", fmt.Errorf("wrapped: %v", v))
			}
			plain.Print(v)
			plain.Printf("%+v %s", v, v)
			h.leaks(t, h.name+" "+shape+" log", buf.String())
			buf.Reset()
		}
	}
}

func TestNothingRendersInTemplates(t *testing.T) {
	t.Parallel()
	const page = `{{.}} {{printf "%s %v %x" . . .}} <a href="{{.}}" title={{.}}><script>var x = {{.}}</script>`
	text := template.Must(template.New("").Parse(page + `{{js .}}{{html .}}{{urlquery .}}`))
	html := htmltemplate.Must(htmltemplate.New("").Parse(page))
	for _, h := range allHeld(t) {
		for shape, v := range h.shapes {
			if _, ok := v.(reflect.Value); ok {
				continue // text/template panics on one that is not exported
			}
			var buf bytes.Buffer
			errText, errHTML := text.Execute(&buf, v), html.Execute(&buf, v)
			h.leaks(t, h.name+" "+shape+" template", fmt.Sprint(buf.String(), errText, errHTML))
		}
	}
}

// The runtime prints a panic's value by its own means.
func TestNothingPanics(t *testing.T) {
	t.Parallel()
	if os.Getenv("SEAL_TEST_PANIC") != "" {
		p := seal.NewPlaintext(canary)
		defer func() { panic(hidden[seal.Plaintext]{v: p, p: &p}) }()
		panic(p)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestNothingPanics$")
	cmd.Env = append(os.Environ(), "SEAL_TEST_PANIC=1", "GOTRACEBACK=all")
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "panic: ") {
		t.Fatalf("want a panic, got %v: %s", err, out)
	}
	held{forms: printedForms([]byte(canary))}.leaks(t, "panic", string(out))
}
