package seal

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/rekindle-dev/rekindle/events/sealing"
)

// Reply is a key pair for one answer. Whoever asks makes one, sends [Reply.Key]
// with the question, opens what comes back and forgets it. The private half is
// in no file and in no record: it ends with the Reply, and what was sealed to it
// cannot be opened any more. Like a [Keyring] it cannot print; unlike one it
// cannot be exported.
//
// A Reply is safe for concurrent use.
type Reply struct {
	redacted
	ring *Keyring
	key  []byte
}

// NewReply makes a key pair from the system's randomness.
func NewReply() (*Reply, error) {
	ring, err := NewKeyring(time.Now())
	if err != nil {
		return nil, err
	}
	key, err := json.Marshal(ring.Keyset())
	if err != nil {
		return nil, fmt.Errorf("seal: encode the key of a reply: %w", err)
	}
	return &Reply{ring: ring, key: key}, nil
}

// Key returns the public half: the JSON of a [Keyset] of one key, some 2 KiB.
func (r *Reply) Key() []byte { return slices.Clone(r.key) }

// Open opens an answer. Its errors are those of [Opener.Open]; [ErrUnknownKey]
// means that it was sealed to somebody else.
func (r *Reply) Open(binding Binding, sealed []byte) (Plaintext, error) {
	return NewOpener(r.ring).Open(binding, sealed)
}

// SealReply seals an answer to the key that came with the question, as
// [LongLived]. It returns [ErrMalformed] for what [Reply.Key] cannot have
// returned, and the errors of [Sealer.Seal].
func SealReply(key []byte, binding Binding, plaintext Plaintext) ([]byte, error) { //nolint:revive // Reply is the type, and the verb is the package's
	set, err := sealing.Parse(key)
	if err != nil {
		return nil, fmt.Errorf("the key of a reply: %w", err)
	}
	if n := len(set.Keys()); n != 1 {
		return nil, fmt.Errorf("%w: the key of a reply holds %d keys", ErrMalformed, n)
	}
	sealer, err := NewSealer(set)
	if err != nil {
		return nil, err
	}
	return sealer.Seal(LongLived, binding, plaintext)
}
