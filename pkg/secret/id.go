package secret

import (
	"crypto/rand"
	"encoding/hex"
)

// Prefix is the two capital letters that say what an id identifies (contract A2).
type Prefix string

// The prefixes in use.
const (
	PrefixSecret      Prefix = "SE"
	PrefixProperty    Prefix = "PR"
	PrefixEnvironment Prefix = "EN"
	PrefixCompany     Prefix = "CO"
	PrefixHost        Prefix = "HT"
	PrefixNote        Prefix = "NT"
	PrefixUser        Prefix = "UR"
	PrefixToken       Prefix = "AT"
	PrefixExtension   Prefix = "EX"
	PrefixDataElement Prefix = "DE"
	PrefixLibrary     Prefix = "LB"
	PrefixBuild       Prefix = "BL"
	PrefixAudit       Prefix = "AE"
	PrefixCallback    Prefix = "CB"
)

// NewID returns a fresh id: the prefix and a random UUID (version 4) without
// dashes (contract A2).
func NewID(p Prefix) string {
	u := newUUID()
	return string(p) + hex.EncodeToString(u[:])
}

// ValidID reports whether id has the form of an id with the prefix p. Nothing
// else may reach a key or a subject.
func ValidID(p Prefix, id string) bool {
	if len(id) != len(p)+32 || id[:len(p)] != string(p) {
		return false
	}
	for _, c := range []byte(id[len(p):]) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// NewUUID returns a random UUID (RFC 9562, version 4) with dashes.
func NewUUID() string {
	u := newUUID()
	text := hex.AppendEncode(make([]byte, 0, 36), u[:4])
	for part := u[4:]; len(part) > 6; part = part[2:] {
		text = hex.AppendEncode(append(text, '-'), part[:2])
	}
	text = hex.AppendEncode(append(text, '-'), u[10:])
	return string(text)
}

// NewRequestID returns 32 random lower-case hex digits.
func NewRequestID() string {
	u := newUUID()
	return hex.EncodeToString(u[:])
}

func newUUID() (u [16]byte) {
	rand.Read(u[:]) // which never fails: it ends the program instead
	u[6] = u[6]&0x0f | 0x40
	u[8] = u[8]&0x3f | 0x80
	return u
}
