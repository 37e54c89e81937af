package sandbox

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"math/big"
	"net/http"
	"strings"
	"time"
)

// What is asked of an assertion beside its signature (RFC 7523 section 3).
const (
	assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
	maxAhead      = 5 * time.Minute // of its end; OpenID Connect Core section 9 wants it short
	maxJTIs       = 10_000          // that are remembered of a client; then it has to wait
)

var wrongAssertion = &refusal{http.StatusUnauthorized, "invalid_client", "the client assertion is not good, or was used before"}

// assertion is a JWT by which a client says who it is.
type assertion struct {
	input, signature []byte
	header           struct {
		Alg string `json:"alg"`
		Kid string `json:"kid"`
	}
	claims struct {
		Iss string `json:"iss"`
		Sub string `json:"sub"`
		Aud string `json:"aud"`
		JTI string `json:"jti"`
		Iat int64  `json:"iat"`
		Exp int64  `json:"exp"`
	}
}

// readAssertion takes a JWT apart. Nothing about it has been checked.
func readAssertion(text string) (a assertion, ok bool) {
	parts := strings.Split(text, ".")
	if len(parts) != 3 {
		return a, false
	}
	var decoded [3][]byte
	for i, part := range parts {
		var err error
		if decoded[i], err = base64.RawURLEncoding.DecodeString(part); err != nil {
			return a, false
		}
	}
	a.input, a.signature = []byte(parts[0]+"."+parts[1]), decoded[2]
	return a, json.Unmarshal(decoded[0], &a.header) == nil && json.Unmarshal(decoded[1], &a.claims) == nil
}

// proves reports whether the assertion is of the client with this key, for this
// endpoint and for now.
func (a assertion) proves(client, key, endpoint string, now time.Time) bool {
	c := a.claims
	audience, _, _ := strings.Cut(c.Aud, "?")
	return c.Iss == client && c.Sub == client && audience == endpoint && c.JTI != "" && len(c.JTI) <= maxID &&
		now.Unix() < c.Exp && c.Exp <= now.Add(maxAhead).Unix() && c.Iat <= now.Unix() && a.signedBy(key)
}

// signedBy checks the signature (RFC 7518 sections 3.3 to 3.5).
func (a assertion) signedBy(text string) bool {
	public, _ := publicKey(text) //nolint:errcheck // Put has seen that it is one; else it is nil
	digest := sha256.Sum256(a.input)
	switch key := public.(type) {
	case *rsa.PublicKey:
		switch a.header.Alg {
		case "RS256":
			return rsa.VerifyPKCS1v15(key, crypto.SHA256, digest[:], a.signature) == nil
		case "PS256":
			return rsa.VerifyPSS(key, crypto.SHA256, digest[:], a.signature, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}) == nil
		default:
			return false
		}
	case *ecdsa.PublicKey:
		half := len(a.signature) / 2
		return a.header.Alg == "ES256" && half == 32 &&
			ecdsa.Verify(key, digest[:], new(big.Int).SetBytes(a.signature[:half]), new(big.Int).SetBytes(a.signature[half:]))
	default:
		return false
	}
}

// publicKey reads a public key in PEM (RFC 7468 section 13).
func publicKey(text string) (any, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, errors.New("not PEM")
	}
	return x509.ParsePKIXPublicKey(block.Bytes)
}

// asserted checks the assertion of a call, and that it has not been used before;
// from then on it has. The record's lock is held.
func (r *record) asserted(c *call, now time.Time) *refusal {
	a, ok := readAssertion(c.assertion)
	if !ok || !a.proves(r.client.ID, r.client.Key, c.endpoint, now) {
		return wrongAssertion
	}
	for jti, ends := range r.jtis {
		if now.After(ends) {
			delete(r.jtis, jti)
		}
	}
	if _, used := r.jtis[a.claims.JTI]; used || len(r.jtis) >= maxJTIs {
		return wrongAssertion
	}
	if r.jtis == nil {
		r.jtis = map[string]time.Time{}
	}
	r.jtis[a.claims.JTI] = time.Unix(a.claims.Exp, 0)
	return nil
}
