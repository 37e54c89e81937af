package sealing

import (
	"bytes"
	"crypto/hpke"
	"encoding/json"
	"fmt"
	"io"
	"time"
)

// MaxKeyFile bounds the JSON form of either half of a fleet's keys, in bytes: MaxKeys
// public keys of some 1.8 KiB, with room for white space.
const MaxKeyFile = 128 << 10

// KeyFile is the JSON form of a [Keyset] and of a fleet's private keyring, where the
// keys are private ones. It is for who implements a half: publishers call [Parse].
type KeyFile struct {
	// Type tells the halves and their versions apart, so that neither is ever taken
	// for the other.
	Type    string    `json:"type"`
	Primary string    `json:"primary"`
	Keys    []FileKey `json:"keys"`
}

// FileKey is one key of a [KeyFile].
type FileKey struct {
	ID        string `json:"id"`
	CreatedAt string `json:"created_at"` // RFC 3339, UTC, whole seconds
	Hybrid    []byte `json:"mlkem768_x25519"`
	X25519    []byte `json:"x25519"`
}

// NewFileKey returns the form of a key; the bytes are those of its public or its
// private half.
func NewFileKey(k PublicKey, hybrid, x25519 []byte) FileKey {
	return FileKey{ID: k.id.String(), CreatedAt: k.created.Format(time.RFC3339), Hybrid: hybrid, X25519: x25519}
}

// Named returns the pair of public keys under the id and the time that the file
// gives, or [ErrMalformed] if the id is another's.
func (f FileKey) Named(hybrid, x25519 hpke.PublicKey) (PublicKey, error) {
	created, err := f.created()
	if err != nil {
		return PublicKey{}, err
	}
	k := NewPublicKey(hybrid, x25519, created)
	if f.ID != k.id.String() {
		return PublicKey{}, malformed("id does not fit the key")
	}
	return k, nil
}

// created accepts only what NewFileKey writes, so that decoding and encoding
// are each other's inverse. A time.Time field would also quote what it refuses.
func (f FileKey) created() (time.Time, error) {
	t, err := time.Parse(time.RFC3339, f.CreatedAt)
	if err != nil || t.UTC().Format(time.RFC3339) != f.CreatedAt {
		return time.Time{}, malformed("created_at is not a time like 2026-11-21T09:30:00Z")
	}
	return t.UTC(), nil
}

// ReadKeyFile reads a KeyFile of the given type and its primary. It returns
// [ErrMalformed]; the errors of encoding/json are dropped, for they quote what they
// refuse, and what stands in the wrong place of a keyring may be a key.
func ReadKeyFile(typ string, data []byte) (KeyFile, KeyID, error) {
	if len(data) > MaxKeyFile {
		return KeyFile{}, KeyID{}, malformed("%d bytes of keys, at most %d", len(data), MaxKeyFile)
	}
	var f KeyFile
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if dec.Decode(&f) != nil {
		return KeyFile{}, KeyID{}, malformed("not JSON of the known fields, at byte %d", dec.InputOffset())
	}
	if _, err := dec.Token(); err != io.EOF {
		return KeyFile{}, KeyID{}, malformed("something follows the JSON, at byte %d", dec.InputOffset())
	}
	if f.Type != typ {
		return KeyFile{}, KeyID{}, malformed("type is not %s", typ)
	}
	primary, err := parseKeyID(f.Primary)
	if err != nil {
		return KeyFile{}, KeyID{}, malformed("primary is not a key id")
	}
	return f, primary, nil
}

// malformed returns ErrMalformed with a reason, whose arguments must be counts
// and key ids and never input.
func malformed(reason string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(reason, args...))
}
