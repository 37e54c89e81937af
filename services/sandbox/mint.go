package sandbox

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"strings"
	"time"
)

// mint makes access tokens that carry their own record, so that any number can
// be issued and introspected without keeping one of them:
//
//	prefix base64url( nonce 16 | incarnation 8 | issued 8 | expires 8 | owner | mac 16 )
//
// Times are Unix milliseconds, big-endian; the MAC is HMAC-SHA256 under a key of
// this server, cut in half.
type mint struct {
	prefix string
	key    []byte
}

const (
	nonceSize = 16
	macSize   = 16
	fixedSize = nonceSize + 3*8
)

// claims is what a token says.
type claims struct {
	owner       string
	incarnation uint64
	issued      time.Time
	expires     time.Time
}

func newMint(prefix string) mint {
	key := make([]byte, sha256.Size)
	rand.Read(key) // never fails
	return mint{prefix: prefix, key: key}
}

// token makes a token; no two are alike.
func (m mint) token(owner string, incarnation uint64, issued, expires time.Time) string {
	b := make([]byte, nonceSize, fixedSize+len(owner)+macSize)
	rand.Read(b)
	b = binary.BigEndian.AppendUint64(b, incarnation)
	b = binary.BigEndian.AppendUint64(b, uint64(issued.UnixMilli()))
	b = binary.BigEndian.AppendUint64(b, uint64(expires.UnixMilli()))
	b = append(b, owner...)
	b = append(b, m.mac(b)...)
	return m.prefix + base64.RawURLEncoding.EncodeToString(b)
}

// open reads a token of this server; ok is false for anything else.
func (m mint) open(token string) (c claims, ok bool) {
	text, ok := strings.CutPrefix(token, m.prefix)
	if !ok {
		return claims{}, false
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(b) < fixedSize+macSize {
		return claims{}, false
	}
	b, sum := b[:len(b)-macSize], b[len(b)-macSize:]
	if !hmac.Equal(sum, m.mac(b)) {
		return claims{}, false
	}
	return claims{
		incarnation: binary.BigEndian.Uint64(b[nonceSize:]),
		issued:      time.UnixMilli(int64(binary.BigEndian.Uint64(b[nonceSize+8:]))),
		expires:     time.UnixMilli(int64(binary.BigEndian.Uint64(b[nonceSize+16:]))),
		owner:       string(b[fixedSize:]),
	}, true
}

func (m mint) mac(b []byte) []byte {
	h := hmac.New(sha256.New, m.key)
	h.Write(b)
	return h.Sum(nil)[:macSize]
}

// Introspection is the answer of RFC 7662 §2.2; of a token that does not work
// it says only that.
type Introspection struct {
	Active    bool   `json:"active"`
	ClientID  string `json:"client_id,omitzero"`
	TokenType string `json:"token_type,omitzero"`
	ExpiresAt int64  `json:"exp,omitzero"` // Unix seconds
	IssuedAt  int64  `json:"iat,omitzero"` // Unix seconds
}
