package sealing

import (
	"crypto/hpke"
	"encoding/binary"
	"errors"
	"fmt"
)

// Errors of sealing and reading, each wrapped with what may be said about it.
var (
	// ErrUnknownKey: no key with this id is held. The id is in the text and
	// from [Inspect]. A prepared key that has not reached this process, a
	// pruned one, or another fleet's.
	ErrUnknownKey = errors.New("sealing: unknown key")
	// ErrMalformed: the bytes are not a sealed value, a keyset or a keyring.
	ErrMalformed = errors.New("sealing: malformed")
	// ErrTooLarge: more than MaxPlaintext bytes were to be sealed.
	ErrTooLarge = errors.New("sealing: plaintext too large")
	// ErrNoBinding: the binding names no secret or no field, so binds nothing.
	ErrNoBinding = errors.New("sealing: binding without secret or field")
)

// MaxPlaintext is the most that is sealed as one value, in bytes. Credentials,
// tokens and keys take a few KiB; a token endpoint's whole answer is bounded by
// as much.
const MaxPlaintext = 64 << 10

// Binding says what a sealed value is and which one: it opens with the same
// Binding only. Bytes count, not meaning: no case folding, no normalisation.
// Publishers name a [Target] instead, which has one.
type Binding struct {
	Secret     string // id of the secret, or what [Target.Binding] says; not empty
	Field      string // which of its values; not empty
	Generation uint64 // which of that value's successors
}

// Header is what anybody can read of a sealed value, without a key and so without
// any proof.
type Header struct {
	Format Format
	Key    KeyID
	Length int // of the plaintext, in bytes
}

const headerSize = 1 + len(KeyID{})

// Append appends the header as it stands at the head of a sealed value.
func (h Header) Append(to []byte) []byte {
	return append(append(to, byte(h.Format)), h.Key[:]...)
}

// Info is the info of HPKE: all that the two sides must agree on besides the key.
func (h Header) Info(b Binding) []byte {
	info := h.Append([]byte("rekindle.seal.v1"))
	for _, part := range []string{b.Secret, b.Field} {
		info = binary.BigEndian.AppendUint32(info, uint32(len(part)))
		info = append(info, part...)
	}
	return binary.BigEndian.AppendUint64(info, b.Generation)
}

// Split takes a sealed value apart, refusing with [ErrMalformed] what nobody can have
// sealed. The body is still part of sealed.
func Split(sealed []byte) (h Header, body []byte, err error) {
	if len(sealed) < headerSize {
		return Header{}, nil, malformed("%d bytes are too few", len(sealed))
	}
	h = Header{Format: Format(sealed[0]), Key: KeyID(sealed[1:headerSize])}
	body = sealed[headerSize:]
	h.Length = len(body) - h.Format.overhead()
	switch {
	case h.Format.Class() == 0:
		return Header{}, nil, malformed("format byte %#02x is not known", sealed[0])
	case h.Length < 0:
		return Header{}, nil, malformed("%d bytes are too few for format %#02x", len(sealed), sealed[0])
	case h.Length > MaxPlaintext:
		return Header{}, nil, malformed("%d bytes are too many for format %#02x", len(sealed), sealed[0])
	}
	return h, body, nil
}

// Check says what keeps n bytes from being sealed for the binding, if anything does:
// [ErrNoBinding] or [ErrTooLarge].
func (b Binding) Check(n int) error {
	switch {
	case b.Secret == "" || b.Field == "":
		return ErrNoBinding
	case n > MaxPlaintext:
		return fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, n, MaxPlaintext)
	default:
		return nil
	}
}

// SealAs returns plaintext sealed to the primary key, as class asks, and bound to
// binding. Two calls with the same arguments return different bytes. Publishers call
// [Keyset.Seal].
//
// It returns the errors of [Binding.Check], and [ErrUnknownKey] for the zero Keyset.
func (s Keyset) SealAs(class Class, binding Binding, plaintext []byte) ([]byte, error) {
	key, err := s.find(s.primary)
	if err != nil {
		return nil, err
	}
	h := Header{Format: sealedIn(class), Key: key.id}
	if h.Format == 0 {
		return nil, fmt.Errorf("sealing: unknown %s", class)
	}
	if err := binding.Check(len(plaintext)); err != nil {
		return nil, err
	}
	body, err := hpke.Seal(key.in(h.Format), hpke.HKDFSHA256(), hpke.AES256GCM(), h.Info(binding), plaintext)
	if err != nil {
		return nil, fmt.Errorf("sealing: seal to key %s: %w", h.Key, err)
	}
	return append(h.Append(make([]byte, 0, headerSize+len(body))), body...), nil
}
