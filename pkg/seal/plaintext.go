package seal

import (
	"crypto/subtle"
	"encoding/json"
	"errors"
	"strings"
)

// Errors of [Plaintext.UnmarshalJSON]. They say what is wrong and never with
// which value.
var (
	ErrNotText  = errors.New("seal: a secret value must be a JSON string of valid Unicode")
	ErrRedacted = errors.New("seal: the value is a redaction, not a secret")
)

// Plaintext holds secret bytes. It cannot be printed, logged or marshalled;
// [Plaintext.Reveal] is the only way out.
//
// The zero Plaintext is "never set", which differs from an empty value. Copies
// of a Plaintext share the same bytes. The type is not comparable: use
// [Plaintext.Equal].
type Plaintext struct {
	redacted
	box func() *[]byte // nil: never set; the slice is nil once wiped
}

// NewPlaintext returns a Plaintext with a copy of value, which may be empty.
func NewPlaintext[T string | []byte](value T) Plaintext {
	return hold(append([]byte{}, value...))
}

// hold takes ownership of b.
func hold(b []byte) Plaintext {
	if b == nil {
		b = []byte{} // the AEAD opens an empty value as nil; it is set all the same
	}
	return Plaintext{box: func() *[]byte { return &b }}
}

// bytes returns the bytes themselves, not a copy.
func (p Plaintext) bytes() []byte {
	if p.box == nil {
		return nil
	}
	return *p.box()
}

// Reveal returns a copy of the secret bytes, nil if never set or wiped. Call it
// at the last moment, and let no error, log line or struct hold what it returns.
func (p Plaintext) Reveal() []byte {
	b := p.bytes()
	if b == nil {
		return nil
	}
	return append([]byte{}, b...)
}

// Len returns the number of bytes.
func (p Plaintext) Len() int { return len(p.bytes()) }

// IsZero reports whether p was never set or has been wiped. An empty value that
// was set is not zero, so `json:",omitzero"` and "not sent = keep" work.
func (p Plaintext) IsZero() bool { return p.bytes() == nil }

// Equal reports whether p and q hold the same bytes, in time that depends on
// their lengths only. A Plaintext never set differs from an empty one.
func (p Plaintext) Equal(q Plaintext) bool {
	return p.IsZero() == q.IsZero() && subtle.ConstantTimeCompare(p.bytes(), q.bytes()) == 1
}

// Wipe overwrites the bytes and leaves p, and every copy of p, zero. It must
// not run concurrently with any other use of p or its copies.
func (p Plaintext) Wipe() {
	if p.box == nil {
		return
	}
	b := p.box()
	clear(*b)
	*b = nil
}

// UnmarshalJSON sets p from a JSON string; null leaves p as it is.
//
// It returns [ErrNotText] for any other JSON value and for text that has lost
// bytes on its way (invalid UTF-8, half a surrogate pair, U+FFFD), which
// encoding/json alone would pass on changed; and [ErrRedacted] for the text
// "[redacted]", which is what a client sends that marshals a struct it should
// not, and which must not become the secret.
func (p *Plaintext) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		return nil
	}
	var s string
	if json.Unmarshal(data, &s) != nil || strings.ContainsRune(s, '\uFFFD') {
		return ErrNotText
	}
	if s == redaction {
		return ErrRedacted
	}
	*p = NewPlaintext(s)
	return nil
}
