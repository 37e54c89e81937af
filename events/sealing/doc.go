// Package sealing is the half of Rekindle's sealing that anybody may have: how to
// encrypt a credential to the public keys of a fleet, so that nobody but its
// exchangers can read it. It imports the standard library only, so that any program
// can import it. Programs in other languages follow docs/sealing.md, which says the
// same byte by byte.
//
// Whoever publishes a credential asks the fleet for its [Keyset] (GET /keyset, or a
// request on events.KeysetSubject), and says for whom the credential is:
//
//	keys, err := sealing.Parse(body)
//	value, err := keys.Seal(sealing.Target{
//		Org: "ACME", About: sealing.AboutName("PR…", "crm"),
//		Field: "client_secret", TokenURL: "https://id.example/token",
//	}, []byte(clientSecret))
//
// and sends the [Value], which is {"sealed": "<base64>"}, where the text would stand.
//
// # What it promises
//
//   - Confidentiality: a sealed value is opened only with the private key it names.
//     Each value is sealed under an AEAD key of its own.
//   - Binding: a sealed value opens only with the [Binding] it was sealed with. So it
//     is of no use in another organisation, for another secret or as another member,
//     and no client secret can be had sent to another server than it is for.
//   - Integrity: every byte of a sealed value, header included, is authenticated.
//   - Silence: no error of this package quotes what was to be sealed or to be read.
//
// # What it does not promise
//
//   - Authenticity of the sealer. Anyone with the public half can seal (RFC 9180,
//     section 5.1.1, base mode), and what opens does not say by whom it was sealed.
//   - Freshness. Whoever may change a secret, and has seen a value that was once
//     sealed for it, can put that back.
//   - Forward secrecy. A stolen private key opens all that was ever sealed to it.
//   - Hidden length. A sealed value is longer than its plaintext by a constant.
//
// # The cryptography
//
// HPKE, RFC 9180, base mode, one shot, as implemented by crypto/hpke. There are two
// classes, because their secrets live for different lengths of time:
//
//	format  class       KEM                                KDF          AEAD         longer by
//	0x01    LongLived   MLKEM768-X25519 (X-Wing, 0x647a)   HKDF-SHA256  AES-256-GCM  1145 bytes
//	0x02    ShortLived  DHKEM(X25519, HKDF-SHA256, 0x0020) HKDF-SHA256  AES-256-GCM  57 bytes
//
// What is recorded today may be attacked in ten years: credentials and refresh
// tokens are still worth something then, so they get the post-quantum hybrid,
// which holds as long as either of its halves does. An access token is dead
// within hours and gets the smaller and quicker X25519. What a publisher seals is a
// credential; 0x02 is taken from those whose library has no hybrid.
//
// The AEAD is AES-256-GCM rather than ChaCha20-Poly1305: its 256-bit key
// matches what the hybrid claims, the processors Rekindle runs on do it in
// hardware, and it is the one of the two that FIPS 140-3 approves. GCM's
// weakness, a repeated nonce, cannot arise: each key seals once.
//
// # The sealed value
//
//	offset  bytes        content
//	0       1            format
//	1       8            key id
//	9       1120 or 32   HPKE encapsulated key (enc)
//	…       n + 16       ciphertext of n bytes of plaintext, with its tag
//
// There is a third format, 0x03, which only who holds the private keys can make.
//
// A key is a pair, one public key per format, under one id: the pair rotates
// as one, so there is one primary to agree on and not two that may disagree.
// The id is the first eight bytes of
//
//	SHA-256("rekindle.key.v1" ‖ MLKEM768-X25519 public key ‖ X25519 public key)
//
// so nobody hands ids out, the same key has the same id everywhere, and a keyset
// whose ids do not fit its keys is refused.
//
// The binding is in the info of HPKE, not in the AEAD's aad: that is where
// RFC 9180 section 8.1 wants it for single-shot use, and a wrong binding then gives
// a different key instead of a failing tag under the right one. With all
// integers big-endian, info is
//
//	"rekindle.seal.v1" ‖ format (1) ‖ key id (8)
//	  ‖ length of secret (4) ‖ secret ‖ length of field (4) ‖ field ‖ generation (8)
//
// # Concurrency
//
// Every type is safe for concurrent use once made: none changes.
package sealing
