package seal

import (
	"crypto/hpke"
	"fmt"
	"time"

	"github.com/rekindle-dev/rekindle/events/sealing"
)

// What both halves share is the public half's, which strangers import.
type (
	// Class says how long the sealed material stays worth stealing.
	Class = sealing.Class
	// KeyID names a key pair.
	KeyID = sealing.KeyID
	// Keyset is the public half of a fleet's keys.
	Keyset = sealing.Keyset
	// KeyInfo is what may be said of a key to a person.
	KeyInfo = sealing.KeyInfo
	// Binding says what a sealed value is and which one.
	Binding = sealing.Binding
)

// The classes, and the bounds of what is sealed and to how many keys.
const (
	LongLived    = sealing.LongLived
	ShortLived   = sealing.ShortLived
	MaxPlaintext = sealing.MaxPlaintext
	MaxKeys      = sealing.MaxKeys
)

// privateKey is one key of a keyring.
type privateKey struct {
	public         sealing.PublicKey
	hybrid, x25519 hpke.PrivateKey
	own            []byte // see deriveOwn
}

// named completes k with what follows from the public key.
func (k privateKey) named(public sealing.PublicKey) (privateKey, error) {
	own, err := deriveOwn(k.hybrid)
	k.public, k.own = public, own
	return k, err
}

// generateKey makes a key from the system's randomness. Its two private keys
// are independent: the X25519 one, once broken, says nothing of the hybrid.
func generateKey(now time.Time) (privateKey, error) {
	hybrid, err := sealing.FormatHybrid.KEM().GenerateKey()
	if err != nil {
		return privateKey{}, fmt.Errorf("seal: generate ML-KEM-768 + X25519 key: %w", err)
	}
	x25519, err := sealing.FormatX25519.KEM().GenerateKey()
	if err != nil {
		return privateKey{}, fmt.Errorf("seal: generate X25519 key: %w", err)
	}
	public := sealing.NewPublicKey(hybrid.PublicKey(), x25519.PublicKey(), now)
	return privateKey{hybrid: hybrid, x25519: x25519}.named(public)
}

// open opens the body of a sealed value, bound to info.
func (k privateKey) open(f sealing.Format, info, body []byte) ([]byte, error) {
	switch f {
	case sealing.FormatOwn:
		return k.openOwn(info, body)
	case sealing.FormatHybrid:
		return hpke.Open(k.hybrid, hpke.HKDFSHA256(), hpke.AES256GCM(), info, body)
	default:
		return hpke.Open(k.x25519, hpke.HKDFSHA256(), hpke.AES256GCM(), info, body)
	}
}
