package config

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
)

type window struct {
	Min    Duration `yaml:"min_validity"`
	Offset Duration `yaml:"default_offset"`
}

type limits struct {
	Grace time.Duration   `yaml:"grace"`
	Steps []time.Duration `yaml:"steps"`
}

type testConfig struct {
	Listen  string            `yaml:"listen"`
	On      bool              `yaml:"on"`
	Small   int8              `yaml:"small"`
	Count   uint16            `yaml:"count"`
	Ratio   float32           `yaml:"ratio"`
	Wait    Duration          `yaml:"wait,omitempty"`
	Prefix  netip.Prefix      `yaml:"prefix"`
	List    []string          `yaml:"list"`
	Labels  map[string]string `yaml:"labels"`
	Windows map[string]window `yaml:"windows"`
	Inner   *struct {
		Token string `yaml:"token"`
	} `yaml:"inner"`
	limits   `yaml:",inline"`
	Until    time.Time `yaml:"until"`
	Any      any       `yaml:"any"`
	Internal string    // not for the file
	Skipped  string    `yaml:"-"`
}

func defaults() testConfig {
	return testConfig{
		Listen: "127.0.0.1:8080",
		List:   []string{"default"},
		Windows: map[string]window{
			"oauth2": {Min: Duration(8 * time.Hour), Offset: Duration(4 * time.Hour)},
			"apikey": {Min: Duration(time.Hour)},
		},
	}
}

func TestDecode(t *testing.T) {
	tests := []struct {
		name, text string
		want       func(c *testConfig)
	}{
		{"nothing", "", func(*testConfig) {}},
		{"a comment", "# nothing\n", func(*testConfig) {}},
		{"null", "null\n", func(*testConfig) {}},
		{"fields without a value", "listen:\nlist: ~\nwindows: {oauth2: , apikey: null}\n", func(*testConfig) {}},
		{"one document with its marks", "---\nlisten: a\n---\n", func(c *testConfig) { c.Listen = "a" }},
		{"scalars", "listen: ':80' # all\non: true\nsmall: -128\ncount: 0x10\nratio: 0.5\nwait: 1d12h\nprefix: 10.0.0.0/8\n", func(c *testConfig) {
			c.Listen, c.On, c.Small, c.Count, c.Ratio = ":80", true, -128, 16, 0.5
			c.Wait, c.Prefix = Duration(36*time.Hour), netip.MustParsePrefix("10.0.0.0/8")
		}},
		{"text as it is written", "labels: {a: 1.10, b: true, c: 0x1F, d: '', e: .inf}\nlisten: |-\n  two\n  lines\n", func(c *testConfig) {
			c.Labels = map[string]string{"a": "1.10", "b": "true", "c": "0x1F", "d": "", "e": ".inf"}
			c.Listen = "two\nlines"
		}},
		{"whole number for a float", "ratio: 2", func(c *testConfig) { c.Ratio = 2 }},
		{"lists replace", "list: [a, b]", func(c *testConfig) { c.List = []string{"a", "b"} }},
		{"maps add", "windows:\n  oauth2:\n    min_validity: 10s\n  token:\n    default_offset: 0\n", func(c *testConfig) {
			c.Windows["oauth2"] = window{Min: Duration(10 * time.Second), Offset: Duration(4 * time.Hour)}
			c.Windows["token"] = window{}
		}},
		{"durations and days", "grace: 1d\nsteps: [2d, 90m, 0]\nuntil: 2027-03-01", func(c *testConfig) {
			c.Grace, c.Steps = 24*time.Hour, []time.Duration{48 * time.Hour, 90 * time.Minute, 0}
			c.Until = time.Date(2027, 3, 1, 0, 0, 0, 0, time.UTC)
		}},
		{"a moment", "until: 2027-03-01T12:00:00+02:00", func(c *testConfig) { c.Until = time.Date(2027, 3, 1, 10, 0, 0, 0, time.UTC) }},
		{"pointer", "inner: {token: x}", func(c *testConfig) {
			c.Inner = &struct {
				Token string `yaml:"token"`
			}{"x"}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, want := defaults(), defaults()
			tt.want(&want)
			if _, err := Decode("f.yaml", strings.NewReader(tt.text), &got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got, cmp.AllowUnexported(testConfig{}), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Wherever a value stands, however wrong, "s3cret" is part of no error.
func TestDecodeErrors(t *testing.T) {
	const oneOf = "any, count, grace, inner, labels, list, listen, on, prefix, ratio, small, steps, until, wait, windows"
	tests := []struct{ text, want string }{
		{"listen: s3cret\nlisen: s3cret\n", `f.yaml:2:1: unknown field "lisen", want one of ` + oneOf},
		{"{listen: s3cret, Listen: s3cret}", `f.yaml:1:18: unknown field "Listen", want one of ` + oneOf},
		{"internal: s3cret", `f.yaml:1:1: unknown field "internal", want one of ` + oneOf},
		{"windows: {oauth2: {min: s3cret}}", `f.yaml:1:20: windows.oauth2: unknown field "min", want one of default_offset, min_validity`},
		{strings.Repeat("x", 99) + ": s3cret", `f.yaml:1:1: unknown field "` + strings.Repeat("x", 40) + `", want one of ` + oneOf},
		{"on: s3cret\nsmall: s3cret", "f.yaml:1:5: on: needs true or false\nf.yaml:2:8: small: needs a whole number"},
		{"on: yes", "f.yaml:1:5: on: needs true or false"},
		{"small: 128", "f.yaml:1:8: small: the number is out of range"},
		{"small: 1.5", "f.yaml:1:8: small: needs a whole number"},
		{"small: '1'", "f.yaml:1:8: small: needs a whole number"},
		{"count: -1", "f.yaml:1:8: count: needs a whole number that is not negative"},
		{"count: 65536", "f.yaml:1:8: count: the number is out of range"},
		{"ratio: s3cret", "f.yaml:1:8: ratio: needs a number"},
		{"ratio: .nan", "f.yaml:1:8: ratio: needs a number"},
		{"ratio: 1.0e99", "f.yaml:1:8: ratio: the number is out of range"},
		{"wait: s3cret", "f.yaml:1:7: wait: not a duration, write it like 90s, 8h or 2d"},
		{"wait: {8h: s3cret}", "f.yaml:1:7: wait: needs a single value"},
		{"grace: 5", "f.yaml:1:8: grace: not a duration, write it like 90s, 8h or 2d"},
		{"steps: [1h, s3cret]", "f.yaml:1:13: steps[1]: not a duration, write it like 90s, 8h or 2d"},
		{"until: s3cret", "f.yaml:1:8: until: not a date, write it like 2027-03-01 or 2027-03-01T12:00:00Z"},
		{"until: [s3cret]", "f.yaml:1:8: until: needs a single value"},
		{"until: 2027-02-30", "f.yaml:1:8: until: not a date, write it like 2027-03-01 or 2027-03-01T12:00:00Z"},
		{"limits: s3cret", `f.yaml:1:1: unknown field "limits", want one of ` + oneOf},
		{"grace: 1h\ngrace: s3cret", `f.yaml:2:1: mapping key "grace" already defined at [1:1]`},
		{`labels: {"a\nb": s3cret}`, "f.yaml:1:10: labels: not the name of a field"},
		{"prefix: s3cret", "f.yaml:1:9: prefix: not a valid prefix"},
		{"listen: [s3cret]", "f.yaml:1:9: listen: needs a text"},
		{"list: s3cret", "f.yaml:1:7: list: needs a list"},
		{"list: [a, [s3cret]]", "f.yaml:1:11: list[1]: needs a text"},
		{"labels: [s3cret]", "f.yaml:1:9: labels: needs fields, name: value"},
		{"labels: {1: s3cret}", "f.yaml:1:10: labels: not the name of a field"},
		{"1: s3cret", "f.yaml:1:1: not the name of a field"},
		{"? s3cret\n: 1", "f.yaml:1:1: not the name of a field"},
		{"any: s3cret", "f.yaml:1:6: any: cannot be set, nothing is read into a interface {}"},
		{"s3cret", "f.yaml:1:1: needs fields, name: value"},
		{"- s3cret", "f.yaml:1:1: needs fields, name: value"},
		{"listen: a\n---\nlisten: s3cret\n", "f.yaml:3:7: a second document is not allowed"},
		{"inner: {token: s3cret, token: s3cret}", `f.yaml:1:24: mapping key "token" already defined at [1:9]`},
		{"inner:\n  token: \"s3cret", "f.yaml:2:10: could not find end character of double-quoted text"},
		{"inner:\n  token: s3cret: x", "f.yaml:2:10: mapping value is not allowed in this context"},
		{"inner: {token: s3cret", "f.yaml:1:8: not valid YAML"},
		{"listen: `s3cret", "f.yaml:1:9: not valid YAML"},
		{"listen: !s3cret", "f.yaml:1:9: anchors, aliases, merges, tags and directives are not allowed"},
		{"listen: !!str s3cret", "f.yaml:1:9: anchors, aliases, merges, tags and directives are not allowed"},
		{"listen: &a s3cret", "f.yaml:1:9: anchors, aliases, merges, tags and directives are not allowed"},
		{"listen: *s3cret", "f.yaml:1:9: anchors, aliases, merges, tags and directives are not allowed"},
		{"<<: {listen: s3cret}", "f.yaml:1:1: anchors, aliases, merges, tags and directives are not allowed"},
		{"%YAML s3cret\n---\n", "f.yaml:1:1: anchors, aliases, merges, tags and directives are not allowed"},
		{"list: " + strings.Repeat("[", maxDepth+1), "f.yaml:1:71: nested too deeply"},
		{strings.Repeat("#", maxSize+1), "f.yaml: larger than 65536 bytes"},
	}
	for _, tt := range tests {
		c := defaults()
		_, err := Decode("f.yaml", strings.NewReader(tt.text), &c)
		if err == nil || err.Error() != tt.want {
			t.Errorf("%.60q:\n got %v\nwant %s", tt.text, err, tt.want)
			continue
		}
		if _, ok := errors.AsType[*FileError](err); !ok {
			t.Errorf("%.60q: error of type %T", tt.text, err)
		}
		if strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%.60q: the error shows the value: %v", tt.text, err)
		}
	}
}

func TestDecodeIntoWhatIsNoStruct(t *testing.T) {
	for _, into := range []any{nil, testConfig{}, new(string), (*testConfig)(nil)} {
		if _, err := Decode("f.yaml", strings.NewReader("listen: a"), into); err == nil {
			t.Errorf("%T is taken", into)
		}
	}
}

func TestDecodeReadError(t *testing.T) {
	if _, err := Decode("f.yaml", iotest.ErrReader(fs.ErrClosed), new(testConfig)); !errors.Is(err, fs.ErrClosed) {
		t.Error(err)
	}
}

func TestLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "rekindle.yaml")
	if _, err := Load(path, new(testConfig)); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if err := os.WriteFile(path, []byte("listen: a\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var c testConfig
	if _, err := Load(path, &c); err != nil || c.Listen != "a" {
		t.Errorf("%v, listen %q", err, c.Listen)
	}
}

// Whatever the file, Decode returns, and an error of it is one line per mistake,
// each with the name of the file and no excerpt.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		"", "listen: a\nwindows:\n  oauth2: {min_validity: 8h}\n", "list: [a, \"b\", 'c']\non: true\nsmall: -1\n",
		"a: &a [*a, *a]\n", "? [a]\n: b\n", "--- |\n a\n...\n---\n", "<<: {}", "\t- : {", "labels: {\"a\\u0041\": >-\n x\n}",
		"%TAG ! tag:x,2000:\n---\n!a b", "inner: {token: [}", "\xef\xbb\xbflisten: a", "a: !!binary x", "ratio: .inf", "wait: 106751d", "until: 2027-03-01\nsteps:\n- 1d\n",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c := defaults()
		_, err := Decode("f.yaml", strings.NewReader(text), &c)
		if err == nil {
			return
		}
		for line := range strings.Lines(err.Error()) {
			if !strings.HasPrefix(line, "f.yaml:") {
				t.Errorf("error line %q", line)
			}
		}
	})
}

// TestDecodeForgets: of what was read into buffers, nothing is left in them.
func TestDecodeForgets(t *testing.T) {
	t.Parallel()
	var c testConfig
	r := hoarder{Reader: strings.NewReader("listen: s3cret" + strings.Repeat("\n", 10_000))}
	if _, err := Decode("f.yaml", &r, &c); err != nil || c.Listen != "s3cret" {
		t.Fatal(c.Listen, err)
	}
	for _, b := range r.buffers {
		if bytes.ContainsFunc(b, func(r rune) bool { return r != 0 }) {
			t.Fatalf("%d bytes of the file are left", len(b))
		}
	}
}

// hoarder keeps the buffers that it is read into.
type hoarder struct {
	io.Reader
	buffers [][]byte
}

func (h *hoarder) Read(p []byte) (int, error) {
	n, err := h.Reader.Read(p)
	h.buffers = append(h.buffers, p[:n])
	return n, err
}
