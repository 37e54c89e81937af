package seal

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

// format is the first byte of a sealed value and names the suite. It is a
// type apart from Class so that a class can move to a better suite one day
// while values in the old format still open.
type format byte

const (
	formatHybrid format = 0x01
	formatX25519 format = 0x02
	formatOwn    format = 0x03
)

// sealedIn returns the format a Sealer seals values of c in; 0 if c is no class.
func sealedIn(c Class) format {
	switch c {
	case LongLived:
		return formatHybrid
	case ShortLived:
		return formatX25519
	default:
		return 0
	}
}

// class returns the class of values in f; 0 if f is not known.
func (f format) class() Class {
	switch f {
	case formatHybrid, formatOwn:
		return LongLived
	case formatX25519:
		return ShortLived
	default:
		return 0
	}
}

// overhead returns how many bytes enc, or a nonce, and tag take.
func (f format) overhead() int {
	const tag = 16
	switch f {
	case formatHybrid:
		return 1088 + 32 + tag // ML-KEM-768 ciphertext (FIPS 203, table 3), X25519 point
	case formatOwn:
		return 12 + tag
	default:
		return 32 + tag
	}
}

func hybridKEM() hpke.KEM { return hpke.MLKEM768X25519() }
func x25519KEM() hpke.KEM { return hpke.DHKEM(ecdh.X25519()) }

// KeyID names a key pair. It is derived from the pair's public keys; see the
// package comment.
type KeyID [8]byte

// String returns the id as 16 lower-case hexadecimal digits.
func (id KeyID) String() string { return hex.EncodeToString(id[:]) }

// ParseKeyID reads what [KeyID.String] wrote. The error does not quote s.
func ParseKeyID(s string) (KeyID, error) {
	var id KeyID
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(id) {
		return KeyID{}, errors.New("seal: a key id is 16 hexadecimal digits")
	}
	return KeyID(b), nil
}

// publicKey is one key of a keyset: a key for each format under one id.
type publicKey struct {
	id             KeyID
	created        time.Time
	hybrid, x25519 hpke.PublicKey
}

// newPublicKey derives the id. The two keys have fixed lengths, so what is
// hashed has one reading.
func newPublicKey(hybrid, x25519 hpke.PublicKey, created time.Time) publicKey {
	h := sha256.New()
	h.Write([]byte("rekindle.key.v1"))
	h.Write(hybrid.Bytes())
	h.Write(x25519.Bytes())
	id := KeyID(h.Sum(nil)[:len(KeyID{})])
	return publicKey{id: id, created: created, hybrid: hybrid, x25519: x25519}
}

func (k publicKey) in(f format) hpke.PublicKey {
	if f == formatHybrid {
		return k.hybrid
	}
	return k.x25519
}

// privateKey is one key of a keyring.
type privateKey struct {
	public         publicKey
	hybrid, x25519 hpke.PrivateKey
	own            []byte // see deriveOwn
}

func newPrivateKey(hybrid, x25519 hpke.PrivateKey, created time.Time) (privateKey, error) {
	own, err := deriveOwn(hybrid)
	return privateKey{
		public: newPublicKey(hybrid.PublicKey(), x25519.PublicKey(), created),
		hybrid: hybrid,
		x25519: x25519,
		own:    own,
	}, err
}

// generateKey makes a key from the system's randomness. Its two private keys
// are independent: the X25519 one, once broken, says nothing of the hybrid.
func generateKey(now time.Time) (privateKey, error) {
	hybrid, err := hybridKEM().GenerateKey()
	if err != nil {
		return privateKey{}, fmt.Errorf("seal: generate ML-KEM-768 + X25519 key: %w", err)
	}
	x25519, err := x25519KEM().GenerateKey()
	if err != nil {
		return privateKey{}, fmt.Errorf("seal: generate X25519 key: %w", err)
	}
	return newPrivateKey(hybrid, x25519, now.UTC().Truncate(time.Second))
}

// open opens the body of a sealed value, bound to info.
func (k privateKey) open(f format, info, body []byte) ([]byte, error) {
	switch f {
	case formatOwn:
		return k.openOwn(info, body)
	case formatHybrid:
		return hpke.Open(k.hybrid, hpke.HKDFSHA256(), hpke.AES256GCM(), info, body)
	default:
		return hpke.Open(k.x25519, hpke.HKDFSHA256(), hpke.AES256GCM(), info, body)
	}
}
