package sealing

import (
	"crypto/ecdh"
	"crypto/hpke"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"
)

// Class says how long the sealed material stays worth stealing, and so how it
// is sealed.
type Class uint8

const (
	// LongLived is for credentials and refresh tokens: the post-quantum hybrid.
	LongLived Class = 1 + iota
	// ShortLived is for access tokens, dead within hours: X25519.
	ShortLived
)

// String returns "long-lived" or "short-lived".
func (c Class) String() string {
	switch c {
	case LongLived:
		return "long-lived"
	case ShortLived:
		return "short-lived"
	default:
		return fmt.Sprintf("class %d", uint8(c))
	}
}

// Format is the first byte of a sealed value and names the suite. It is a
// type apart from Class so that a class can move to a better suite one day
// while values in the old format still open.
type Format byte

// The formats, as the package comment says.
const (
	FormatHybrid Format = 0x01
	FormatX25519 Format = 0x02
	// FormatOwn is what holders of the private keys seal to themselves with: there
	// is no public key to it, and this package does not seal in it.
	FormatOwn Format = 0x03
)

// sealedIn returns the format values of c are sealed in; 0 if c is no class.
func sealedIn(c Class) Format {
	switch c {
	case LongLived:
		return FormatHybrid
	case ShortLived:
		return FormatX25519
	default:
		return 0
	}
}

// Class returns the class of values in f; 0 if f is not known.
func (f Format) Class() Class {
	switch f {
	case FormatHybrid, FormatOwn:
		return LongLived
	case FormatX25519:
		return ShortLived
	default:
		return 0
	}
}

// overhead returns how many bytes enc, or a nonce, and tag take.
func (f Format) overhead() int {
	const tag = 16
	switch f {
	case FormatHybrid:
		return 1088 + 32 + tag // ML-KEM-768 ciphertext (FIPS 203, table 3), X25519 point
	case FormatOwn:
		return 12 + tag
	default:
		return 32 + tag
	}
}

// KEM returns how a key is encapsulated in values of f (RFC 9180, section 4); nil where none is.
func (f Format) KEM() hpke.KEM {
	switch f {
	case FormatHybrid:
		return hpke.MLKEM768X25519()
	case FormatX25519:
		return hpke.DHKEM(ecdh.X25519())
	default:
		return nil
	}
}

// KeyID names a key pair. It is derived from the pair's public keys; see the
// package comment.
type KeyID [8]byte

// String returns the id as 16 lower-case hexadecimal digits.
func (id KeyID) String() string { return hex.EncodeToString(id[:]) }

// parseKeyID reads what [KeyID.String] wrote. The error does not quote s.
func parseKeyID(s string) (KeyID, error) {
	var id KeyID
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(id) {
		return KeyID{}, errors.New("sealing: a key id is 16 hexadecimal digits")
	}
	return KeyID(b), nil
}

// PublicKey is one key of a keyset: a key for each format under one id.
type PublicKey struct {
	id             KeyID
	created        time.Time
	hybrid, x25519 hpke.PublicKey
}

// NewPublicKey pairs an MLKEM768-X25519 key and an X25519 key, and derives their id.
// The two have fixed lengths, so what is hashed has one reading.
func NewPublicKey(hybrid, x25519 hpke.PublicKey, created time.Time) PublicKey {
	h := sha256.New()
	h.Write([]byte("rekindle.key.v1"))
	h.Write(hybrid.Bytes())
	h.Write(x25519.Bytes())
	id := KeyID(h.Sum(nil)[:len(KeyID{})])
	return PublicKey{id: id, created: created.UTC().Truncate(time.Second), hybrid: hybrid, x25519: x25519}
}

// ID returns the id of the pair.
func (k PublicKey) ID() KeyID { return k.id }

// CreatedAt returns when the pair was made, in UTC and whole seconds.
func (k PublicKey) CreatedAt() time.Time { return k.created }

func (k PublicKey) in(f Format) hpke.PublicKey {
	if f == FormatHybrid {
		return k.hybrid
	}
	return k.x25519
}
