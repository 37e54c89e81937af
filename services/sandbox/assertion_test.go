package sandbox_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"maps"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/rekindle-dev/rekindle/services/sandbox"
)

// signed is a JWT with these claims, signed with RS256.
func signed(t testing.TB, key *rsa.PrivateKey, alg string, claims map[string]any) string {
	t.Helper()
	part := func(v any) string {
		body, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(body)
	}
	input := part(map[string]any{"alg": alg}) + "." + part(claims)
	digest := sha256.Sum256([]byte(input))
	signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	return input + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// An assertion is good once, for this endpoint, for a short time, and by the key of
// the client that it names.
func TestAssertions(t *testing.T) {
	t.Parallel()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	s := sandbox.New(sandbox.Config{Now: func() time.Time { return now }})
	public := string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	if err := s.Put(sandbox.Client{ID: "app", AuthStyle: sandbox.AuthAssertion, Key: public}); err != nil {
		t.Fatal(err)
	}
	ask := func(jwt string) int {
		form := url.Values{
			"grant_type": {"client_credentials"}, "client_assertion": {jwt},
			"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
		}
		r := httptest.NewRequest("POST", "http://issuer.test/token", strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		rec := httptest.NewRecorder()
		s.Handler().ServeHTTP(rec, r)
		return rec.Code
	}
	claims := func(changes map[string]any) map[string]any {
		all := map[string]any{
			"iss": "app", "sub": "app", "aud": "http://issuer.test/token", "jti": rand.Text(), "iat": now.Unix(), "exp": now.Unix() + 60,
		}
		maps.Copy(all, changes)
		return all
	}
	once := signed(t, key, "RS256", claims(nil))
	for i, want := range []int{200, 401} {
		if got := ask(once); got != want {
			t.Errorf("use %d: %d, want %d", i+1, got, want)
		}
	}
	for name, changes := range map[string]map[string]any{
		"another's": {"iss": "other"}, "about another": {"sub": "other"}, "elsewhere": {"aud": "http://other.test/token"},
		"over": {"exp": now.Unix()}, "long": {"exp": now.Unix() + 3600}, "early": {"iat": now.Unix() + 1}, "no jti": {"jti": ""},
	} {
		if got := ask(signed(t, key, "RS256", claims(changes))); got != 401 {
			t.Errorf("%s: %d", name, got)
		}
	}
	for name, jwt := range map[string]string{
		"another key": signed(t, other, "RS256", claims(nil)), "another algorithm": signed(t, key, "PS256", claims(nil)),
		"none": signed(t, key, "none", claims(nil)), "no JWT": "a.b", "no base64": "a.%.c", "no JSON": "YQ.YQ.YQ",
	} {
		if got := ask(jwt); got != 401 {
			t.Errorf("%s: %d", name, got)
		}
	}
	if got := ask(signed(t, key, "RS256", claims(nil))); got != 200 {
		t.Errorf("in the end: %d", got)
	}
}

func TestProofsAreDeclared(t *testing.T) {
	t.Parallel()
	s := sandbox.New(sandbox.Config{})
	for _, c := range []sandbox.Client{
		{ID: "a", AuthStyle: sandbox.AuthAssertion},
		{ID: "a", Key: "no PEM"},
		{ID: "a", AuthStyle: sandbox.AuthTLS},
		{ID: "a", Certificate: "abc"},
		{ID: "a", Certificate: "zz"},
		{ID: "a", AuthStyle: "none"},
	} {
		if err := s.Put(c); err == nil {
			t.Errorf("%+v was accepted", c)
		}
	}
}
