package seal

import (
	"errors"
	"fmt"

	"github.com/rekindle-dev/rekindle/events/sealing"
)

// Errors of sealing and opening, each wrapped with what may be said about it.
var (
	// ErrUnknownKey: no key with this id is held. The id is in the text and
	// from [Inspect]. A prepared key that has not reached this process, a
	// pruned one, or another fleet's.
	ErrUnknownKey = sealing.ErrUnknownKey
	// ErrMalformed: the bytes are not a sealed value, a keyset or a keyring.
	ErrMalformed = sealing.ErrMalformed
	// ErrCannotOpen: the value was changed, or sealed with another binding or
	// to another key of the same id. Which of these cannot be told.
	ErrCannotOpen = errors.New("seal: cannot open: changed, or sealed for another secret, field or generation")
	// ErrTooLarge: more than MaxPlaintext bytes were to be sealed.
	ErrTooLarge = sealing.ErrTooLarge
	// ErrNoPlaintext: the Plaintext was never set, or was wiped before its time.
	ErrNoPlaintext = errors.New("seal: plaintext was never set or has been wiped")
	// ErrNoBinding: the binding names no secret or no field, so binds nothing.
	ErrNoBinding = sealing.ErrNoBinding
)

// Inspect tells, without any key and so without any proof, the class a sealed
// value claims and the key it names: to find what is to be re-sealed after a
// rotation. It returns [ErrMalformed] for what is not a sealed value.
func Inspect(sealed []byte) (Class, KeyID, error) {
	h, _, err := sealing.Split(sealed)
	return h.Format.Class(), h.Key, err
}

// Sealer seals to the primary key of a keyset. It is safe for concurrent use.
type Sealer struct {
	keys Keyset
}

// NewSealer returns a Sealer for the primary key of set. It fails only for the
// zero Keyset, with [ErrUnknownKey].
func NewSealer(set Keyset) (*Sealer, error) {
	if !set.Has(set.Primary()) {
		return nil, fmt.Errorf("seal: new sealer: %w", unknownKey(set.Primary()))
	}
	return &Sealer{keys: set}, nil
}

// Seal returns plaintext sealed as class asks and bound to binding. Two calls
// with the same arguments return different bytes.
//
// It returns [ErrNoPlaintext], [ErrTooLarge] or [ErrNoBinding] for arguments it
// refuses.
func (s *Sealer) Seal(class Class, binding Binding, plaintext Plaintext) ([]byte, error) {
	if plaintext.IsZero() {
		return nil, ErrNoPlaintext
	}
	return s.keys.SealAs(class, binding, plaintext.bytes())
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
	h, body, err := sealing.Split(sealed)
	if err != nil {
		return Plaintext{}, err
	}
	key, err := o.box().find(h.Key)
	if err != nil {
		return Plaintext{}, err
	}
	opened, err := key.open(h.Format, h.Info(binding), body)
	if err != nil {
		return Plaintext{}, ErrCannotOpen
	}
	return hold(opened), nil
}

func unknownKey(id KeyID) error {
	return fmt.Errorf("%w: key id %s", ErrUnknownKey, id)
}
