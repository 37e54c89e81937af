package seal_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/rekindle-dev/rekindle/pkg/seal"
)

func TestPlaintextHoldsACopy(t *testing.T) {
	t.Parallel()
	in := []byte("value")
	p := seal.NewPlaintext(in)
	in[0] = 'X'
	p.Reveal()[1] = 'X'
	if got := string(p.Reveal()); got != "value" {
		t.Errorf("got %q", got)
	}
	if p.Len() != 5 || p.IsZero() {
		t.Errorf("Len %d, IsZero %t", p.Len(), p.IsZero())
	}
}

func TestPlaintextZeroAndEmpty(t *testing.T) {
	t.Parallel()
	var zero seal.Plaintext
	for name, empty := range map[string]seal.Plaintext{
		"string": seal.NewPlaintext(""), "bytes": seal.NewPlaintext([]byte{}), "nil": seal.NewPlaintext([]byte(nil)),
	} {
		if empty.IsZero() || empty.Len() != 0 || empty.Reveal() == nil {
			t.Errorf("%s: an empty value that was set must not be zero", name)
		}
		if empty.Equal(zero) || zero.Equal(empty) {
			t.Errorf("%s: empty equals never set", name)
		}
	}
	if !zero.IsZero() || zero.Len() != 0 || zero.Reveal() != nil || !zero.Equal(zero) {
		t.Error("the zero Plaintext must be zero")
	}
	zero.Wipe()
}

func TestPlaintextEqual(t *testing.T) {
	t.Parallel()
	a := seal.NewPlaintext("one")
	if !a.Equal(seal.NewPlaintext([]byte("one"))) {
		t.Error("same bytes: not equal")
	}
	for _, other := range []string{"two", "one ", "on", ""} {
		if a.Equal(seal.NewPlaintext(other)) {
			t.Errorf("equals %q", other)
		}
	}
}

func TestPlaintextWipe(t *testing.T) {
	t.Parallel()
	p := seal.NewPlaintext("value")
	dup := p
	p.Wipe()
	p.Wipe()
	if !p.IsZero() || !dup.IsZero() || dup.Reveal() != nil {
		t.Error("a wiped value or its copy is still there")
	}
}

func TestPlaintextUnmarshalJSON(t *testing.T) {
	t.Parallel()
	tests := []struct {
		json string
		want string
		err  error
	}{
		{`"value"`, "value", nil},
		{`""`, "", nil},
		{`"a\"b\\c\n\u00e9\ud83d\ude00"`, "a\"b\\c\né😀", nil},
		{`"-----BEGIN KEY-----\nAA==\n"`, "-----BEGIN KEY-----\nAA==\n", nil},
		{`4711471147114711`, "", seal.ErrNotText},
		{`true`, "", seal.ErrNotText},
		{`{"a":"s3cr3t"}`, "", seal.ErrNotText},
		{`["s3cr3t"]`, "", seal.ErrNotText},
		{"\"s3cr3t\xff\"", "", seal.ErrNotText},
		{`"s3cr3t\ud800"`, "", seal.ErrNotText},
		{`"s3cr3t\ufffd"`, "", seal.ErrNotText},
		{`"[redacted]"`, "", seal.ErrRedacted},
	}
	for _, tt := range tests {
		var body struct {
			Secret seal.Plaintext `json:"secret"`
		}
		err := json.Unmarshal([]byte(`{"secret":`+tt.json+`}`), &body)
		if !errors.Is(err, tt.err) {
			t.Errorf("%s: error %v, want %v", tt.json, err, tt.err)
		}
		if err != nil && (strings.Contains(err.Error(), "s3cr3t") || strings.Contains(err.Error(), "4711")) {
			t.Errorf("%s: the error quotes the input: %v", tt.json, err)
		}
		if got := string(body.Secret.Reveal()); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.json, got, tt.want)
		}
		if (err == nil) == body.Secret.IsZero() {
			t.Errorf("%s: IsZero %t with error %v", tt.json, body.Secret.IsZero(), err)
		}
	}
}

func TestPlaintextNotSent(t *testing.T) {
	t.Parallel()
	for _, in := range []string{`{}`, `{"secret":null}`} {
		var body struct {
			Secret seal.Plaintext `json:"secret,omitzero"`
		}
		if err := json.Unmarshal([]byte(in), &body); err != nil || !body.Secret.IsZero() {
			t.Errorf("%s: IsZero %t, %v", in, body.Secret.IsZero(), err)
		}
		if out, err := json.Marshal(body); err != nil || string(out) != `{}` {
			t.Errorf("%s: omitzero gives %s, %v", in, out, err)
		}
	}
}

func FuzzPlaintextUnmarshalJSON(f *testing.F) {
	for _, seed := range []string{`"x"`, `""`, `null`, `"\ud800"`, "\"\xff\"", `12`, `"[redacted]"`, `"😀\u0000"`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var p seal.Plaintext
		if json.Unmarshal(data, &p) != nil || p.IsZero() {
			return
		}
		again, err := json.Marshal(string(p.Reveal()))
		if err != nil {
			t.Fatal(err)
		}
		var q seal.Plaintext
		if err := json.Unmarshal(again, &q); err != nil || !p.Equal(q) {
			t.Fatalf("%q does not survive encoding: %v", data, err)
		}
	})
}
