package seal

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/rekindle-dev/rekindle/events/sealing"
)

// typeKeyring tells the JSON of a keyring from that of a keyset.
const typeKeyring = "rekindle.keyring.v1"

// ErrPrimaryKey is what [Keyring.Prune] returns for the key in use.
var ErrPrimaryKey = errors.New("seal: the primary key cannot be pruned: activate another first")

// Keyring is the private half of a fleet's keys. Like [Plaintext] it cannot be
// printed, logged or marshalled by accident; [Keyring.Export] is the only way
// out.
//
// A Keyring does not change once made: the verbs of rotation return a new one,
// and an [Opener] goes on with the one it was built from.
type Keyring struct {
	redacted
	box func() *ring
}

// ring is what a Keyring or an Opener keeps out of reach behind its closure.
// It never changes. public.keys and private have the same order.
type ring struct {
	public  Keyset
	private []privateKey
}

// newRing checks the keys as a Keyset of them would be checked.
func newRing(primary KeyID, private []privateKey) (*ring, error) {
	keys := make([]sealing.PublicKey, len(private))
	for i, k := range private {
		keys[i] = k.public
	}
	public, err := sealing.NewKeyset(primary, keys)
	if err != nil {
		return nil, err
	}
	return &ring{public: public, private: private}, nil
}

func (r *ring) find(id KeyID) (privateKey, error) {
	i := slices.IndexFunc(r.private, func(k privateKey) bool { return k.public.ID() == id })
	if i < 0 {
		return privateKey{}, unknownKey(id)
	}
	return r.private[i], nil
}

// newKeyring makes a Keyring of private keys that it then owns.
func newKeyring(primary KeyID, private []privateKey) (*Keyring, error) {
	held, err := newRing(primary, private)
	if err != nil {
		return nil, err
	}
	return &Keyring{box: func() *ring { return held }}, nil
}

// NewKeyring generates a keyring of one key, which is primary. The key's
// creation time is now, in whole seconds.
func NewKeyring(now time.Time) (*Keyring, error) {
	k, err := generateKey(now)
	if err != nil {
		return nil, err
	}
	return newKeyring(k.public.ID(), []privateKey{k})
}

// held returns the keys; a nil or zero Keyring, which only a mistake makes,
// holds none.
func (r *Keyring) held() *ring {
	if r == nil || r.box == nil {
		return &ring{}
	}
	return r.box()
}

// Keyset returns the public half.
func (r *Keyring) Keyset() Keyset { return r.held().public }

// Prepare returns a keyring that also holds a new key, not yet primary, and the
// id of that key. It fails if the keyring is full ([MaxKeys]).
func (r *Keyring) Prepare(now time.Time) (*Keyring, KeyID, error) {
	k, err := generateKey(now)
	if err != nil {
		return nil, KeyID{}, err
	}
	old := r.held()
	next, err := newKeyring(old.public.Primary(), append(slices.Clip(old.private), k))
	return next, k.public.ID(), err
}

// Activate returns a keyring whose primary is id: sealers given its keyset seal
// to that key. What was sealed to the former primary still opens. It returns
// [ErrUnknownKey] if the keyring does not hold id.
func (r *Keyring) Activate(id KeyID) (*Keyring, error) {
	old := r.held()
	_, err := old.find(id)
	if err != nil {
		return nil, err
	}
	return newKeyring(id, old.private)
}

// Prune returns a keyring without the key id. What is still sealed to that key
// is lost once no other copy of the keyring exists. It returns [ErrUnknownKey]
// if the keyring does not hold id and [ErrPrimaryKey] if id is primary.
func (r *Keyring) Prune(id KeyID) (*Keyring, error) {
	old := r.held()
	_, err := old.find(id)
	if err != nil {
		return nil, err
	}
	if id == old.public.Primary() {
		return nil, fmt.Errorf("%w: key id %s", ErrPrimaryKey, id)
	}
	kept := slices.DeleteFunc(slices.Clone(old.private), func(k privateKey) bool { return k.public.ID() == id })
	return newKeyring(old.public.Primary(), kept)
}

// Export returns the keyring as JSON, private keys and all: what [SaveKeyring]
// writes, for those who keep it elsewhere (wrapped by a KMS). The form is that
// of [Keyset] with the type "rekindle.keyring.v1" and 32-byte private keys. A
// zero Keyring is refused with [ErrMalformed], so it never replaces a real one.
func (r *Keyring) Export() (Plaintext, error) {
	held := r.held()
	if len(held.private) == 0 {
		return Plaintext{}, fmt.Errorf("%w: a keyring without keys", ErrMalformed)
	}
	w := sealing.KeyFile{Type: typeKeyring, Primary: held.public.Primary().String()}
	for _, k := range held.private {
		hybrid, err := k.hybrid.Bytes()
		if err != nil {
			return Plaintext{}, fmt.Errorf("seal: export key %s: %w", k.public.ID(), err)
		}
		x25519, err := k.x25519.Bytes()
		if err != nil {
			return Plaintext{}, fmt.Errorf("seal: export key %s: %w", k.public.ID(), err)
		}
		w.Keys = append(w.Keys, sealing.NewFileKey(k.public, hybrid, x25519))
	}
	data, err := json.Marshal(w)
	if err != nil {
		return Plaintext{}, fmt.Errorf("seal: export keyring: %w", err)
	}
	return hold(data), nil
}

// ParseKeyring reads what [Keyring.Export] returned. It returns [ErrMalformed]
// as [Keyset.UnmarshalJSON] does, with reasons that never quote the input.
func ParseKeyring(data []byte) (*Keyring, error) {
	w, primary, err := sealing.ReadKeyFile(typeKeyring, data)
	if err != nil {
		return nil, err
	}
	private := make([]privateKey, len(w.Keys))
	for i, wk := range w.Keys {
		private[i], err = decodePrivateKey(wk)
		if err != nil {
			return nil, fmt.Errorf("%w (key %d of %d)", err, i+1, len(w.Keys))
		}
	}
	return newKeyring(primary, private)
}

func decodePrivateKey(w sealing.FileKey) (privateKey, error) {
	hybrid, err := sealing.FormatHybrid.KEM().NewPrivateKey(w.Hybrid)
	if err != nil {
		return privateKey{}, fmt.Errorf("%w: mlkem768_x25519 is not a private key", ErrMalformed)
	}
	x25519, err := sealing.FormatX25519.KEM().NewPrivateKey(w.X25519)
	if err != nil {
		return privateKey{}, fmt.Errorf("%w: x25519 is not a private key", ErrMalformed)
	}
	public, err := w.Named(hybrid.PublicKey(), x25519.PublicKey())
	if err != nil {
		return privateKey{}, err
	}
	return privateKey{hybrid: hybrid, x25519: x25519}.named(public)
}
