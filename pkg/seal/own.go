package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hpke"
	"crypto/sha256"
	"fmt"

	"github.com/rekindle-dev/rekindle/events/sealing"
)

// ownOverhead is how many bytes header, nonce and tag take.
const ownOverhead = 1 + len(KeyID{}) + 12 + 16

// Seal returns plaintext sealed for whoever holds the same keyring, to its primary
// key, and bound to binding. Whoever holds the private keys needs nobody's public
// ones, so it costs no exchange of keys, and no more to open than to seal. Two calls
// with the same arguments return different bytes.
//
// The errors are those of [Sealer.Seal], and [ErrUnknownKey] for an Opener of a zero
// Keyring.
func (o *Opener) Seal(binding Binding, plaintext Plaintext) ([]byte, error) {
	if plaintext.IsZero() {
		return nil, ErrNoPlaintext
	}
	if err := binding.Check(plaintext.Len()); err != nil {
		return nil, err
	}
	held := o.box()
	key, err := held.find(held.public.Primary())
	if err != nil {
		return nil, err
	}
	h := sealing.Header{Format: sealing.FormatOwn, Key: key.public.ID()}
	aead, err := key.ownAEAD(h.Info(binding))
	if err != nil {
		return nil, err
	}
	sealed := h.Append(make([]byte, 0, ownOverhead+plaintext.Len()))
	return aead.Seal(sealed, nil, plaintext.bytes(), nil), nil //nolint:gosec // no nonce: it makes one
}

// openOwn opens the body of what [Opener.Seal] returned, bound to info.
func (k privateKey) openOwn(info, body []byte) ([]byte, error) {
	aead, err := k.ownAEAD(info)
	if err != nil {
		return nil, err
	}
	return aead.Open(nil, nil, body, nil)
}

// ownAEAD is AES-256-GCM, with nonces of its own choice, under the key that info has.
func (k privateKey) ownAEAD(info []byte) (cipher.AEAD, error) {
	key, err := hkdf.Expand(sha256.New, k.own, string(info), 32)
	if err != nil {
		return nil, fmt.Errorf("seal: derive a key from key %s: %w", k.public.ID(), err)
	}
	defer clear(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("seal: AES-256: %w", err)
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// deriveOwn makes of a private key the one that its holders seal to themselves with.
// Neither gives the other away. It is made of the hybrid's seed alone: the X25519 key,
// once broken, says nothing of that.
func deriveOwn(hybrid hpke.PrivateKey) ([]byte, error) {
	seed, err := hybrid.Bytes() // the key's own, and not to be wiped
	if err != nil {
		return nil, fmt.Errorf("seal: seed of the hybrid key: %w", err)
	}
	own, err := hkdf.Extract(sha256.New, seed, []byte("rekindle.seal.own.v1"))
	if err != nil {
		return nil, fmt.Errorf("seal: derive from the hybrid key: %w", err)
	}
	return own, nil
}
