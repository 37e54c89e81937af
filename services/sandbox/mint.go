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

// mint makes codes and tokens that carry their own record, so that any number can
// be issued and recognised without keeping one of them:
//
//	prefix base64url( nonce 16 | incarnation 8 | issued 8 | expires 8 | grant 8 | number 8 | kind 1 | owner | mac 16 )
//
// Times are Unix milliseconds, big-endian; the MAC is HMAC-SHA256 under a key of
// this server, cut in half. Of codes and refresh tokens the times are zero: when
// these end is up to their grant.
type mint struct {
	prefix string
	key    []byte
}

const (
	nonceSize = 16
	macSize   = 16
	fixedSize = nonceSize + 5*8 + 1
)

// kind is what a minted text is good for.
type kind byte

const (
	kindAccess  kind = 'a'
	kindCode    kind = 'c'
	kindRefresh kind = 'r'
)

// claims is what a code or token says.
type claims struct {
	kind        kind
	owner       string // the client's id
	incarnation uint64
	issued      time.Time
	expires     time.Time
	grant       uint64 // 0 is none
	number      uint64 // of a refresh token
}

func newMint(prefix string) mint {
	key := make([]byte, sha256.Size)
	rand.Read(key) // never fails
	return mint{prefix: prefix, key: key}
}

// token makes what says c; no two are alike.
func (m mint) token(c claims) string {
	b := make([]byte, nonceSize, fixedSize+len(c.owner)+macSize)
	rand.Read(b)
	for _, n := range []uint64{c.incarnation, millis(c.issued), millis(c.expires), c.grant, c.number} {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	b = append(b, byte(c.kind))
	b = append(b, c.owner...)
	b = append(b, m.mac(b)...)
	return m.prefix + base64.RawURLEncoding.EncodeToString(b)
}

// millis is t as minted; zero stays zero.
func millis(t time.Time) uint64 {
	if t.IsZero() {
		return 0
	}
	return uint64(t.UnixMilli())
}

// open reads what this server made of that kind; ok is false for anything else.
func (m mint) open(k kind, token string) (c claims, ok bool) {
	text, ok := strings.CutPrefix(token, m.prefix)
	if !ok {
		return claims{}, false
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(b) < fixedSize+macSize {
		return claims{}, false
	}
	b, sum := b[:len(b)-macSize], b[len(b)-macSize:]
	if !hmac.Equal(sum, m.mac(b)) || b[fixedSize-1] != byte(k) {
		return claims{}, false
	}
	field := func(i int) uint64 { return binary.BigEndian.Uint64(b[nonceSize+8*i:]) }
	return claims{
		kind:        k,
		incarnation: field(0),
		issued:      time.UnixMilli(int64(field(1))),
		expires:     time.UnixMilli(int64(field(2))),
		grant:       field(3),
		number:      field(4),
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
	Subject   string `json:"sub,omitzero"` // the account, of a token that one consented to
	TokenType string `json:"token_type,omitzero"`
	ExpiresAt int64  `json:"exp,omitzero"` // Unix seconds
	IssuedAt  int64  `json:"iat,omitzero"` // Unix seconds
}
