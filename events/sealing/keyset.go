package sealing

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// MaxKeys is how many keys a keyset or keyring may hold. Two or three is usual:
// more than a few means that nobody prunes.
const MaxKeys = 32

// typeKeyset tells the JSON of a keyset from others.
const typeKeyset = "rekindle.keyset.v1"

// Keyset is the public half of a fleet's keys: everything needed to seal, and
// nothing that opens. It may be stored, served and printed freely, but whoever
// can swap a process's keyset can read what that process seals: take it from
// where only the fleet can write.
//
// A Keyset does not change once made. The zero Keyset holds no keys and can
// only be decoded into. Its JSON form is
//
//	{"type": "rekindle.keyset.v1", "primary": "<key id>", "keys": [
//	  {"id": "<key id>", "created_at": "2026-11-21T09:30:00Z",
//	   "mlkem768_x25519": "<base64>", "x25519": "<base64>"}]}
type Keyset struct {
	primary KeyID
	keys    []PublicKey // in order of preparation
}

// Parse reads the JSON form of a keyset. Its errors are those of
// [Keyset.UnmarshalJSON].
func Parse(data []byte) (Keyset, error) {
	var s Keyset
	err := s.UnmarshalJSON(data)
	return s, err
}

// NewKeyset returns the keyset of keys, which it owns from now on, with the primary
// among them. It returns [ErrMalformed] if no process could work with it.
func NewKeyset(primary KeyID, keys []PublicKey) (Keyset, error) {
	return Keyset{primary: primary, keys: keys}.check()
}

// KeyInfo is what may be said of a key to a person.
type KeyInfo struct {
	ID        KeyID
	CreatedAt time.Time // UTC, whole seconds
	Primary   bool
}

// Keys lists the keys in the order they were prepared.
func (s Keyset) Keys() []KeyInfo {
	infos := make([]KeyInfo, len(s.keys))
	for i, k := range s.keys {
		infos[i] = KeyInfo{ID: k.id, CreatedAt: k.created, Primary: k.id == s.primary}
	}
	return infos
}

// Primary returns the id of the key that new values are sealed to.
func (s Keyset) Primary() KeyID { return s.primary }

// Has reports whether the key is in the keyset, primary or not: what is sealed to it
// can still be opened.
func (s Keyset) Has(id KeyID) bool {
	_, err := s.find(id)
	return err == nil
}

// Fingerprint returns 64 hexadecimal digits that are the same in two processes
// exactly if their keysets hold the same keys and the same primary, in whatever
// order. Comparing it across a fleet shows who missed a rotation.
func (s Keyset) Fingerprint() string {
	keys := slices.SortedFunc(slices.Values(s.keys), func(a, b PublicKey) int {
		return bytes.Compare(a.id[:], b.id[:])
	})
	h := sha256.New()
	h.Write([]byte(typeKeyset))
	h.Write(s.primary[:])
	for _, k := range keys { // fixed lengths: one reading
		h.Write(k.hybrid.Bytes())
		h.Write(k.x25519.Bytes())
	}
	return hex.EncodeToString(h.Sum(nil))
}

// find returns the key with the given id, or [ErrUnknownKey].
func (s Keyset) find(id KeyID) (PublicKey, error) {
	i := slices.IndexFunc(s.keys, func(k PublicKey) bool { return k.id == id })
	if i < 0 {
		return PublicKey{}, fmt.Errorf("%w: key id %s", ErrUnknownKey, id)
	}
	return s.keys[i], nil
}

// check returns s if a process can work with it: at least one key and at most
// MaxKeys, no id twice, the primary among them.
func (s Keyset) check() (Keyset, error) {
	if len(s.keys) == 0 || len(s.keys) > MaxKeys {
		return Keyset{}, malformed("%d keys, want 1 to %d", len(s.keys), MaxKeys)
	}
	seen := make(map[KeyID]bool, len(s.keys))
	for _, k := range s.keys {
		if seen[k.id] {
			return Keyset{}, malformed("key %s is there twice", k.id)
		}
		seen[k.id] = true
	}
	if !seen[s.primary] {
		return Keyset{}, malformed("the primary is not among the keys")
	}
	return s, nil
}

// MarshalJSON returns the form shown at [Keyset]. The zero Keyset has none and
// is refused with [ErrMalformed].
func (s Keyset) MarshalJSON() ([]byte, error) {
	_, err := s.check()
	if err != nil {
		return nil, err
	}
	f := KeyFile{Type: typeKeyset, Primary: s.primary.String()}
	for _, k := range s.keys {
		f.Keys = append(f.Keys, NewFileKey(k, k.hybrid.Bytes(), k.x25519.Bytes()))
	}
	return json.Marshal(f)
}

// UnmarshalJSON reads the form shown at [Keyset]. It returns [ErrMalformed]
// with the reason and never quotes the input, which might be a keyring mistaken
// for a keyset: for unknown fields, no keys or more than [MaxKeys], a key that
// does not decode, an id that does not fit its key, an id twice, a primary that
// is not among the keys.
func (s *Keyset) UnmarshalJSON(data []byte) error {
	f, primary, err := ReadKeyFile(typeKeyset, data)
	if err != nil {
		return err
	}
	keys := make([]PublicKey, len(f.Keys))
	for i, fk := range f.Keys {
		keys[i], err = decodePublicKey(fk)
		if err != nil {
			return fmt.Errorf("%w (key %d of %d)", err, i+1, len(f.Keys))
		}
	}
	set, err := NewKeyset(primary, keys)
	if err != nil {
		return err
	}
	*s = set
	return nil
}

func decodePublicKey(f FileKey) (PublicKey, error) {
	hybrid, err := FormatHybrid.KEM().NewPublicKey(f.Hybrid)
	if err != nil {
		return PublicKey{}, malformed("mlkem768_x25519 is not a public key")
	}
	x25519, err := FormatX25519.KEM().NewPublicKey(f.X25519)
	if err != nil {
		return PublicKey{}, malformed("x25519 is not a public key")
	}
	return f.Named(hybrid, x25519)
}
