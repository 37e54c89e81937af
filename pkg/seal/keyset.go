package seal

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

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
	keys    []publicKey // in order of preparation
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

// Fingerprint returns 64 hexadecimal digits that are the same in two processes
// exactly if their keysets hold the same keys and the same primary, in whatever
// order. Comparing it across a fleet shows who missed a rotation.
func (s Keyset) Fingerprint() string {
	keys := slices.SortedFunc(slices.Values(s.keys), func(a, b publicKey) int {
		return bytes.Compare(a.id[:], b.id[:])
	})
	h := sha256.New()
	h.Write([]byte("rekindle.keyset.v1"))
	h.Write(s.primary[:])
	for _, k := range keys { // fixed lengths: one reading
		h.Write(k.hybrid.Bytes())
		h.Write(k.x25519.Bytes())
	}
	return hex.EncodeToString(h.Sum(nil))
}

// find returns the key with the given id, or [ErrUnknownKey].
func (s Keyset) find(id KeyID) (publicKey, error) {
	i := slices.IndexFunc(s.keys, func(k publicKey) bool { return k.id == id })
	if i < 0 {
		return publicKey{}, unknownKey(id)
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
	w := wire{Type: typeKeyset, Primary: s.primary.String()}
	for _, k := range s.keys {
		w.Keys = append(w.Keys, newWireKey(k, k.hybrid.Bytes(), k.x25519.Bytes()))
	}
	return json.Marshal(w)
}

// UnmarshalJSON reads the form shown at [Keyset]. It returns [ErrMalformed]
// with the reason and never quotes the input, which might be a keyring mistaken
// for a keyset: for unknown fields, no keys or more than [MaxKeys], a key that
// does not decode, an id that does not fit its key, an id twice, a primary that
// is not among the keys.
func (s *Keyset) UnmarshalJSON(data []byte) error {
	w, primary, err := decodeWire(typeKeyset, data)
	if err != nil {
		return err
	}
	keys := make([]publicKey, len(w.Keys))
	for i, wk := range w.Keys {
		keys[i], err = decodePublicKey(wk)
		if err != nil {
			return fmt.Errorf("%w (key %d of %d)", err, i+1, len(w.Keys))
		}
	}
	set, err := Keyset{primary: primary, keys: keys}.check()
	if err != nil {
		return err
	}
	*s = set
	return nil
}

func decodePublicKey(w wireKey) (publicKey, error) {
	hybrid, err := hybridKEM().NewPublicKey(w.Hybrid)
	if err != nil {
		return publicKey{}, malformed("mlkem768_x25519 is not a public key")
	}
	x25519, err := x25519KEM().NewPublicKey(w.X25519)
	if err != nil {
		return publicKey{}, malformed("x25519 is not a public key")
	}
	created, err := w.created()
	if err != nil {
		return publicKey{}, err
	}
	k := newPublicKey(hybrid, x25519, created)
	return k, w.matches(k)
}
