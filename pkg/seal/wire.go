package seal

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"time"
)

// MaxKeys is how many keys a keyset or keyring may hold. Two or three is usual:
// more than a few means that nobody prunes.
const MaxKeys = 32

// maxEncodedKeys bounds the JSON form of either half: MaxKeys public keys of
// some 1.8 KiB, with room for white space.
const maxEncodedKeys = 128 << 10

// The type field tells the halves and their versions apart, so that neither is
// ever taken for the other.
const (
	typeKeyset  = "rekindle.keyset.v1"
	typeKeyring = "rekindle.keyring.v1"
)

// wire is the JSON form of both halves; in a keyring the keys are private.
type wire struct {
	Type    string    `json:"type"`
	Primary string    `json:"primary"`
	Keys    []wireKey `json:"keys"`
}

type wireKey struct {
	ID        string `json:"id"`
	CreatedAt string `json:"created_at"` // RFC 3339, UTC, whole seconds
	Hybrid    []byte `json:"mlkem768_x25519"`
	X25519    []byte `json:"x25519"`
}

func newWireKey(k publicKey, hybrid, x25519 []byte) wireKey {
	return wireKey{
		ID:        k.id.String(),
		CreatedAt: k.created.Format(time.RFC3339),
		Hybrid:    hybrid,
		X25519:    x25519,
	}
}

// created accepts only what newWireKey writes, so that decoding and encoding
// are each other's inverse. A time.Time field would also quote what it refuses.
func (w wireKey) created() (time.Time, error) {
	t, err := time.Parse(time.RFC3339, w.CreatedAt)
	if err != nil || t.UTC().Format(time.RFC3339) != w.CreatedAt {
		return time.Time{}, malformed("created_at is not a time like 2026-11-21T09:30:00Z")
	}
	return t.UTC(), nil
}

// matches checks the id that the file gives against the one the key has.
func (w wireKey) matches(k publicKey) error {
	if w.ID != k.id.String() {
		return malformed("id does not fit the key")
	}
	return nil
}

// malformed returns ErrMalformed with a reason, whose arguments must be counts
// and key ids and never input.
func malformed(reason string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(reason, args...))
}

// decodeWire reads JSON of the given type and its primary. The errors of
// encoding/json are dropped: they quote what they refuse, and what stands in
// the wrong place of a keyring may be a key.
func decodeWire(typ string, data []byte) (wire, KeyID, error) {
	if len(data) > maxEncodedKeys {
		return wire{}, KeyID{}, malformed("%d bytes of keys, at most %d", len(data), maxEncodedKeys)
	}
	var w wire
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if dec.Decode(&w) != nil {
		return wire{}, KeyID{}, malformed("not JSON of the known fields, at byte %d", dec.InputOffset())
	}
	if _, err := dec.Token(); err != io.EOF {
		return wire{}, KeyID{}, malformed("something follows the JSON, at byte %d", dec.InputOffset())
	}
	if w.Type != typ {
		return wire{}, KeyID{}, malformed("type is not %s", typ)
	}
	primary, err := ParseKeyID(w.Primary)
	if err != nil {
		return wire{}, KeyID{}, malformed("primary is not a key id")
	}
	return w, primary, nil
}
