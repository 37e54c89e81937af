package exchanger

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/rekindle-dev/rekindle/pkg/seal"
)

// ClientKey is the private key that an app signs assertions with in place of
// sending a client secret (RFC 7523 section 2.2). It prints as "[redacted]".
type ClientKey struct {
	key crypto.Signer
	alg string
	id  string
}

// What a key may be refused for. No error quotes it.
var (
	ErrKeyNotPEM  = errors.New("is not a private key in PEM, PKCS #8, PKCS #1 or SEC 1, that is not encrypted")
	ErrKeyMisfits = errors.New("is not a key for this algorithm: RS256 and PS256 want RSA of 2048 bits or more, ES256 wants P-256")
)

// NewClientKey reads a private key in PEM. Alg is RS256, PS256 or ES256 (RFC 7518
// section 3.1), id the key's name at the provider (kid), or empty. The error is
// ErrKeyNotPEM or ErrKeyMisfits. The text is the caller's to wipe.
func NewClientKey(text []byte, alg, id string) (*ClientKey, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, ErrKeyNotPEM
	}
	defer clear(block.Bytes)
	var key any
	for _, parse := range []func([]byte) (any, error){
		x509.ParsePKCS8PrivateKey,
		func(der []byte) (any, error) { return x509.ParsePKCS1PrivateKey(der) },
		func(der []byte) (any, error) { return x509.ParseECPrivateKey(der) },
	} {
		if parsed, err := parse(block.Bytes); err == nil {
			key = parsed
			break
		}
	}
	switch key := key.(type) {
	case nil:
		return nil, ErrKeyNotPEM
	case *rsa.PrivateKey:
		if (alg == "RS256" || alg == "PS256") && key.N.BitLen() >= 2048 {
			return &ClientKey{key, alg, id}, nil
		}
	case *ecdsa.PrivateKey:
		if alg == "ES256" && key.Curve == elliptic.P256() {
			return &ClientKey{key, alg, id}, nil
		}
	}
	return nil, ErrKeyMisfits
}

// Format writes "[redacted]" for every verb.
func (*ClientKey) Format(f fmt.State, _ rune) { io.WriteString(f, "[redacted]") }

// LogValue returns "[redacted]".
func (*ClientKey) LogValue() slog.Value { return slog.StringValue("[redacted]") }

// assertionLife is how long an assertion is good: for one request, however slow.
const assertionLife = time.Minute

// assertion says, once, that whoever sends it is the client, to one token endpoint
// (RFC 7523 section 3, OpenID Connect Core section 9).
func (k *ClientKey) assertion(clientID, audience string, now time.Time) (seal.Plaintext, error) {
	header := map[string]any{"alg": k.alg, "typ": "JWT"}
	if k.id != "" {
		header["kid"] = k.id
	}
	signed, err := signingInput(header, map[string]any{
		"iss": clientID, "sub": clientID, "aud": audience, "jti": rand.Text(),
		"iat": now.Add(-clockSkew).Unix(), "exp": now.Add(assertionLife).Unix(),
	})
	if err != nil {
		return seal.Plaintext{}, err
	}
	digest := sha256.Sum256(signed)
	signature, err := k.sign(digest[:])
	if err != nil {
		return seal.Plaintext{}, err
	}
	signed = base64.RawURLEncoding.AppendEncode(append(signed, '.'), signature)
	defer clear(signed)
	return seal.NewPlaintext(signed), nil
}

// sign signs as RFC 7518 sections 3.3 to 3.5 have it.
func (k *ClientKey) sign(digest []byte) ([]byte, error) {
	switch key := k.key.(type) {
	case *ecdsa.PrivateKey:
		r, s, err := ecdsa.Sign(rand.Reader, key, digest)
		if err != nil {
			return nil, err
		}
		signature := make([]byte, 64)
		r.FillBytes(signature[:32])
		s.FillBytes(signature[32:])
		return signature, nil
	case *rsa.PrivateKey:
		if k.alg == "PS256" {
			return rsa.SignPSS(rand.Reader, key, crypto.SHA256, digest, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
		}
		return rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, digest)
	default:
		return nil, ErrKeyMisfits
	}
}

// Identity is a client certificate that an app shows (RFC 8705 section 2), with
// connections that are no other app's. It prints as "[redacted]".
type Identity struct{ transport *http.Transport }

// Identity returns what shows the certificate where a Client of this configuration
// goes. Close it when done.
func (c EgressConfig) Identity(certificate tls.Certificate) *Identity {
	secure := c.withDefaults().egress().Secure()
	secure.TLSClientConfig.Certificates = []tls.Certificate{certificate}
	return &Identity{secure}
}

// Close closes the connections no exchange is using.
func (i *Identity) Close() { i.transport.CloseIdleConnections() }

// Format writes "[redacted]" for every verb.
func (*Identity) Format(f fmt.State, _ rune) { io.WriteString(f, "[redacted]") }

// LogValue returns "[redacted]".
func (*Identity) LogValue() slog.Value { return slog.StringValue("[redacted]") }

// as is the client with the connections of an app that shows a certificate. Its
// certificate is shown by https only; by plain http it goes without.
func (c *Client) as(app App) *Client {
	if app.Identity == nil {
		return c
	}
	shows := *c
	shows.secure = app.Identity.transport
	return &shows
}
