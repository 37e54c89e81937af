package secret

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
)

// What SigningKey may answer.
var (
	ErrNotPEM = errors.New("not PEM")
	ErrNotRSA = errors.New("not an RSA private key")
)

// SigningKey reads the private key of oauth2-jwt: RSA, in PEM, as PKCS #8 or
// PKCS #1 and not encrypted. It returns ErrNotPEM or ErrNotRSA; no error quotes
// the text. It keeps nothing of text, which is the caller's to wipe.
func SigningKey(text []byte) (*rsa.PrivateKey, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, ErrNotPEM
	}
	defer clear(block.Bytes)
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		parsed, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	}
	key, ok := parsed.(*rsa.PrivateKey)
	if err != nil || !ok {
		return nil, ErrNotRSA
	}
	return key, nil
}
