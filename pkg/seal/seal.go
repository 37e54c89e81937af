package seal

import (
	"crypto/hpke"
	"encoding/binary"
	"errors"
	"fmt"
)

// Errors of sealing and opening, each wrapped with what may be said about it.
var (
	// ErrUnknownKey: no key with this id is held. The id is in the text and
	// from [Inspect]. A prepared key that has not reached this process, a
	// pruned one, or another fleet's.
	ErrUnknownKey = errors.New("seal: unknown key")
	// ErrMalformed: the bytes are not a sealed value, a keyset or a keyring.
	ErrMalformed = errors.New("seal: malformed")
	// ErrCannotOpen: the value was changed, or sealed with another binding or
	// to another key of the same id. Which of these cannot be told.
	ErrCannotOpen = errors.New("seal: cannot open: changed, or sealed for another secret, field or generation")
	// ErrTooLarge: more than MaxPlaintext bytes were to be sealed.
	ErrTooLarge = errors.New("seal: plaintext too large")
	// ErrNoPlaintext: the Plaintext was never set, or was wiped before its time.
	ErrNoPlaintext = errors.New("seal: plaintext was never set or has been wiped")
	// ErrNoBinding: the binding names no secret or no field, so binds nothing.
	ErrNoBinding = errors.New("seal: binding without secret or field")
)

// MaxPlaintext is the most that is sealed as one value, in bytes. Credentials,
// tokens and keys take a few KiB; a token endpoint's whole answer is bounded by
// as much.
const MaxPlaintext = 64 << 10

// Binding says what a sealed value is and which one: it opens with the same
// Binding only. Bytes count, not meaning: no case folding, no normalisation.
type Binding struct {
	Secret     string // id of the secret; not empty
	Field      string // which of its values; not empty
	Generation uint64 // which of that value's successors
}

// info is the info of HPKE, and of HKDF: all that the two sides must agree on
// besides the key.
func (b Binding) info(h header) []byte {
	info := h.append([]byte("rekindle.seal.v1"))
	for _, part := range []string{b.Secret, b.Field} {
		info = binary.BigEndian.AppendUint32(info, uint32(len(part)))
		info = append(info, part...)
	}
	return binary.BigEndian.AppendUint64(info, b.Generation)
}

// header is the part of a sealed value that is readable without a key.
type header struct {
	format format
	key    KeyID
}

const headerSize = 1 + len(KeyID{})

func (h header) append(to []byte) []byte {
	return append(append(to, byte(h.format)), h.key[:]...)
}

// split takes a sealed value apart, refusing with ErrMalformed what no Sealer
// can have made. The body is still part of sealed.
func split(sealed []byte) (h header, body []byte, err error) {
	if len(sealed) < headerSize {
		return header{}, nil, malformed("%d bytes are too few", len(sealed))
	}
	h = header{format: format(sealed[0]), key: KeyID(sealed[1:headerSize])}
	body = sealed[headerSize:]
	switch {
	case h.format.class() == 0:
		return header{}, nil, malformed("format byte %#02x is not known", sealed[0])
	case len(body) < h.format.overhead():
		return header{}, nil, malformed("%d bytes are too few for format %#02x", len(sealed), sealed[0])
	case len(body) > h.format.overhead()+MaxPlaintext:
		return header{}, nil, malformed("%d bytes are too many for format %#02x", len(sealed), sealed[0])
	}
	return h, body, nil
}

// Inspect tells, without any key and so without any proof, the class a sealed
// value claims and the key it names: to find what is to be re-sealed after a
// rotation. It returns [ErrMalformed] for what is not a sealed value.
func Inspect(sealed []byte) (Class, KeyID, error) {
	h, _, err := split(sealed)
	return h.format.class(), h.key, err
}

// Sealer seals to the primary key of a keyset. It is safe for concurrent use.
type Sealer struct {
	key publicKey
}

// NewSealer returns a Sealer for the primary key of set. It fails only for the
// zero Keyset, with [ErrUnknownKey].
func NewSealer(set Keyset) (*Sealer, error) {
	key, err := set.find(set.primary)
	if err != nil {
		return nil, fmt.Errorf("seal: new sealer: %w", err)
	}
	return &Sealer{key: key}, nil
}

// Seal returns plaintext sealed as class asks and bound to binding. Two calls
// with the same arguments return different bytes.
//
// It returns [ErrNoPlaintext], [ErrTooLarge] or [ErrNoBinding] for arguments it
// refuses.
func (s *Sealer) Seal(class Class, binding Binding, plaintext Plaintext) ([]byte, error) {
	h := header{format: sealedIn(class), key: s.key.id}
	if h.format == 0 {
		return nil, fmt.Errorf("seal: unknown %s", class)
	}
	if err := sealable(binding, plaintext); err != nil {
		return nil, err
	}
	body, err := hpke.Seal(s.key.in(h.format), hpke.HKDFSHA256(), hpke.AES256GCM(), binding.info(h), plaintext.bytes())
	if err != nil {
		return nil, fmt.Errorf("seal: seal to key %s: %w", h.key, err)
	}
	return append(h.append(make([]byte, 0, headerSize+len(body))), body...), nil
}

// sealable says what is wrong with what is to be sealed, if anything is.
func sealable(binding Binding, plaintext Plaintext) error {
	switch {
	case binding.Secret == "" || binding.Field == "":
		return ErrNoBinding
	case plaintext.IsZero():
		return ErrNoPlaintext
	case plaintext.Len() > MaxPlaintext:
		return fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, plaintext.Len(), MaxPlaintext)
	default:
		return nil
	}
}

// Opener opens what was sealed to any key of a keyring, and seals what only the
// like of it are to open. It is safe for concurrent use, and prints no more than
// the keyring does.
type Opener struct {
	redacted
	box func() *ring
}

// NewOpener returns an Opener for the keys ring holds now.
func NewOpener(ring *Keyring) *Opener {
	return &Opener{box: ring.held}
}

// Open returns what was sealed with the same binding. It does not change sealed
// and keeps nothing of it. It returns [ErrMalformed], [ErrUnknownKey] or
// [ErrCannotOpen].
func (o *Opener) Open(binding Binding, sealed []byte) (Plaintext, error) {
	h, body, err := split(sealed)
	if err != nil {
		return Plaintext{}, err
	}
	key, err := o.box().find(h.key)
	if err != nil {
		return Plaintext{}, err
	}
	opened, err := key.open(h.format, binding.info(h), body)
	if err != nil {
		return Plaintext{}, ErrCannotOpen
	}
	return hold(opened), nil
}

func unknownKey(id KeyID) error {
	return fmt.Errorf("%w: key id %s", ErrUnknownKey, id)
}
