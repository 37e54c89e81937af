package sealing

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
)

// Value is a credential that is sealed. Only [Keyset.Seal] and the decoding of what
// it yielded make one, so that where a Value is asked for no plaintext can stand by
// mistake. Its JSON form, which stands where the text would, is
//
//	{"sealed": "<base64>"}
//
// The zero Value is none; `json:",omitzero"` leaves it out.
type Value struct{ sealed []byte }

// encodedValue is the JSON form of a Value.
type encodedValue struct {
	Sealed []byte `json:"sealed"`
}

// IsZero reports whether v is none.
func (v Value) IsZero() bool { return v.sealed == nil }

// Bytes returns a copy of the sealed value, as the package comment describes it.
func (v Value) Bytes() []byte { return slices.Clone(v.sealed) }

// Header returns what can be read of v. It returns [ErrMalformed] for the zero Value,
// and for what nobody can have sealed to a public key, as far as this version knows.
func (v Value) Header() (Header, error) {
	h, _, err := Split(v.sealed)
	if err == nil && h.Format == FormatOwn {
		err = malformed("format byte %#02x is not for public keys", byte(h.Format))
	}
	if err != nil {
		return Header{}, err
	}
	return h, nil
}

// String says that there is something sealed, and to which key.
func (v Value) String() string {
	h, err := v.Header()
	if err != nil {
		return "[not sealed]"
	}
	return fmt.Sprintf("[sealed to %s]", h.Key)
}

// GoString is String: a dump shows as little.
func (v Value) GoString() string { return v.String() }

// MarshalJSON returns the form shown at [Value], and null for the zero Value.
func (v Value) MarshalJSON() ([]byte, error) {
	if v.IsZero() {
		return []byte("null"), nil
	}
	return json.Marshal(encodedValue{v.sealed})
}

// UnmarshalJSON reads the form shown at [Value]; null leaves v as it is. It returns
// [ErrMalformed] for what has another form, and never quotes it: it may be plaintext
// that was sent by mistake. What the bytes are is for [Value.Header] to say, so that
// whoever passes on what a later version has sealed need not know its format.
func (v *Value) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		return nil
	}
	var e encodedValue
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if dec.Decode(&e) != nil || len(e.Sealed) == 0 {
		return malformed(`a sealed value is {"sealed": "<base64>"}`)
	}
	*v = Value{e.Sealed}
	return nil
}
