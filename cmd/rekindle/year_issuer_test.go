package main

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// issuer gives tokens for signed JWTs (RFC 7523), which the sandbox does not.
type issuer struct {
	key  *rsa.PrivateKey
	life time.Duration // of its tokens

	mu    sync.Mutex
	asked []time.Time
	given string // the last token
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return &issuer{key: key, life: 24 * time.Hour}
}

// pem is the key as it is given to a secret, in JSON.
func (i *issuer) pem(t *testing.T) string {
	t.Helper()
	body, err := x509.MarshalPKCS8PrivateKey(i.key)
	if err != nil {
		t.Fatal(err)
	}
	quoted, err := json.Marshal(string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: body})))
	if err != nil {
		t.Fatal(err)
	}
	return string(quoted)
}

// ServeHTTP implements http.Handler.
func (i *issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.FormValue("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer" || !i.honours(r.FormValue("assertion")) {
		http.Error(w, `{"error":"invalid_grant"}`, http.StatusBadRequest)
		return
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.asked = append(i.asked, time.Now().UTC())
	i.given = fmt.Sprintf("issued-%d", len(i.asked))
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"access_token":%q,"expires_in":%d}`, i.given, i.life/time.Second)
}

// honours reports whether a JWT is signed with the key, and good now.
func (i *issuer) honours(jwt string) bool {
	parts := strings.Split(jwt, ".")
	if len(parts) != 3 {
		return false
	}
	claims, err := base64.RawURLEncoding.DecodeString(parts[1])
	signature, err2 := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil || err2 != nil {
		return false
	}
	digest := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	var good struct{ Iat, Exp int64 }
	now := time.Now().Unix()
	return rsa.VerifyPKCS1v15(&i.key.PublicKey, crypto.SHA256, digest[:], signature) == nil &&
		json.Unmarshal(claims, &good) == nil && good.Iat <= now && now < good.Exp
}

// requests are when it gave a token.
func (i *issuer) requests() []time.Time {
	i.mu.Lock()
	defer i.mu.Unlock()
	return slices.Clone(i.asked)
}

// gave reports whether a token is the last it gave.
func (i *issuer) gave(token string) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return token == i.given
}
