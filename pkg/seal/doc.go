// Package seal encrypts secret material so that knowing how to seal is not
// knowing how to open, and holds what has been opened in a type that cannot
// print.
//
// # Who holds what
//
//	            Keyring  (private; a 0600 file)
//	           ╱       ╲
//	      Keyset        Opener ── Open(binding, sealed) ──► Plaintext
//	(public; anywhere)    │       Seal(binding, plaintext) ──► sealed bytes
//	        │             exchangers only
//	        │
//	      Sealer ── Seal(class, binding, plaintext) ──► sealed bytes
//	        api, publishers
//
// A process that is given a [Keyset] can build a [Sealer] and nothing else.
// No function of this package leads from a Keyset or a Sealer to an [Opener].
//
// Both seal for whoever holds the keyring. A Sealer has to agree on a key with
// somebody it knows the public half of, and keeps nothing by which what it has
// sealed could be opened. An Opener could open it anyway: it seals with a key that
// only the keyring gives, at a thirtieth of the price or less and 1.1 KiB shorter.
//
// A process that may ask a question makes a [Reply], a key pair for the one
// answer:
//
//	Reply ── Key() ──► the question ──► SealReply(key, binding, plaintext)
//	  └──── Open(binding, sealed) ◄──── the answer ◄────┘
//
// It opens what was sealed to that pair and nothing else: no Reply is made of
// keys from elsewhere, and none gives its private half away. So a process that
// holds Replies and a Keyset, as the api does, reads the answers to its own
// questions and no stored value.
//
// # What it promises
//
//   - Confidentiality: a sealed value is opened only with the private key it
//     names. Each binding has an AEAD key of its own, and what a Sealer seals
//     each value.
//   - Binding: a sealed value opens only with the [Binding] (secret, field,
//     generation) it was sealed with, so it cannot be moved to another record
//     or passed off as another field or a later generation.
//   - Integrity: every byte of a sealed value, header included, is
//     authenticated. A changed value never opens; where its header still reads
//     and names a key that is held, the answer is [ErrCannotOpen] and no more.
//   - Silence: [Plaintext], [Keyring], [Opener] and [Reply] give "[redacted]"
//     to every printer, logger and marshaller of the standard library, and a
//     code address where fmt asks no methods (in unexported fields). No error
//     of this package quotes secret material or the input it was found in.
//
// # What it does not promise
//
//   - Authenticity of the sealer. Anyone with the public half can seal
//     (RFC 9180, section 5.1.1, base mode), and what opens does not say by whom it
//     was sealed. Who may write a record is for the store to decide.
//   - Freshness. Whoever can put a whole old record back, generation and all,
//     puts back values that open.
//   - Forward secrecy. A stolen private key opens all that was ever sealed to
//     it. Rotation ends that for new values, re-sealing for stored ones,
//     pruning for everybody.
//   - Hidden length. A sealed value is longer than its plaintext by a constant.
//   - Safety from whoever reads the memory of a process that can open. Wiping
//     is done where it is cheap; a garbage-collected runtime cannot promise it.
//
// # The cryptography
//
// What a Sealer seals, how keys are called and what a binding comes to is described,
// and done, by package events/sealing, which publishers import: the public half is
// theirs as well. This package adds what takes the private half.
//
// An Opener seals with AES-256-GCM under a key that is made by HKDF (RFC 5869)
// with SHA-256 from the private key, which is a seed of 32 random bytes, and the
// binding:
//
//	own = HKDF-Extract(salt: "rekindle.seal.own.v1", IKM: the private MLKEM768-X25519 key)
//	key = HKDF-Expand(own, info, 32)
//
//	0x03    LongLived   none                               HKDF-SHA256  AES-256-GCM  37 bytes
//
// Nothing in it is to be broken by a quantum computer, so it serves both classes.
// The seed is else used for one thing, to make the pair by SHAKE256
// (draft-connolly-cfrg-xwing-kem, section 5.2), and two functions that are
// independent of each other say nothing of each other's results. The nonce is
// random, which is safe for 2^32 values under one key (NIST SP 800-38D, section
// 8.3): here these are the values that were ever sealed for one secret, field and
// generation, a handful.
//
// The info is that of HPKE. The sealed value has the nonce where others have the
// encapsulated key.
//
// # The life of a key
//
//	         Prepare             Activate              Prune
//	(none) ───────────► standby ───────────► primary          standby, retired ───► (none)
//	                                            │ Activate of another
//	                                            ▼
//	                                         retired
//
// Prepare a key and give the keyring to every exchanger before its keyset goes
// to any sealer; activate it and distribute the keyset; re-seal what is stored
// ([Inspect] tells which key a value names); prune the old key when nothing
// names it any more. An Opener opens for every key it holds, primary or not.
//
// # Concurrency
//
// Every type is safe for concurrent use once made. Keysets and keyrings never
// change: the rotation verbs return a new keyring. The only exception is
// [Plaintext.Wipe], which must not run beside any other use of that Plaintext.
package seal
