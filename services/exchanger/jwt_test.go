package exchanger

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
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rekindle-dev/rekindle/pkg/seal"
	"github.com/rekindle-dev/rekindle/pkg/secret"
)

// signingKey is made once: a key takes a while.
var signingKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

// signingKeyPEM is the key as a person sends it.
func signingKeyPEM() string {
	body, err := x509.MarshalPKCS8PrivateKey(signingKey())
	if err != nil {
		panic(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: body}))
}

// verifyJWT checks the signature and returns header and claims.
func verifyJWT(t *testing.T, jwt seal.Plaintext) (header, claims map[string]any) {
	t.Helper()
	parts := strings.Split(string(jwt.Reveal()), ".")
	if len(parts) != 3 {
		t.Fatalf("the JWT has %d parts", len(parts))
	}
	decode := func(part string) []byte {
		body, err := base64.RawURLEncoding.DecodeString(part)
		if err != nil {
			t.Fatal(err)
		}
		return body
	}
	digest := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if err := rsa.VerifyPKCS1v15(&signingKey().PublicKey, crypto.SHA256, digest[:], decode(parts[2])); err != nil {
		t.Error(err)
	}
	if json.Unmarshal(decode(parts[0]), &header) != nil || json.Unmarshal(decode(parts[1]), &claims) != nil {
		t.Fatal("header or claims are not JSON")
	}
	return header, claims
}

func TestSignJWT(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 999e6, time.UTC)
	iat := float64(now.Add(-clockSkew).Unix())
	tests := []struct {
		name           string
		c              secret.Credentials
		header, claims map[string]any
	}{
		{
			"the least",
			secret.Credentials{Iss: "i", Aud: "a", TTL: 3600},
			map[string]any{"alg": "RS256", "typ": "JWT"},
			map[string]any{"iss": "i", "aud": "a", "iat": iat, "exp": iat + 3600},
		},
		{
			"all",
			secret.Credentials{Iss: "i", Aud: "a", Sub: "s", TTL: 60, PrivateKeyID: "k1", CustomClaims: json.RawMessage(`{"scope":"x y","n":{"deep":[1]}}`)},
			map[string]any{"alg": "RS256", "typ": "JWT", "kid": "k1"},
			map[string]any{"iss": "i", "aud": "a", "sub": "s", "iat": iat, "exp": iat + 60, "scope": "x y", "n": map[string]any{"deep": []any{1.0}}},
		},
		{
			"custom claims cannot stand in for registered ones",
			secret.Credentials{Iss: "i", Aud: "a", TTL: 60, CustomClaims: json.RawMessage(`{"iss":"x","aud":"x","sub":"x","iat":1,"exp":9999999999}`)},
			map[string]any{"alg": "RS256", "typ": "JWT"},
			map[string]any{"iss": "i", "aud": "a", "iat": iat, "exp": iat + 60},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			jwt, since, err := signJWT(tt.c, signingKey(), now)
			if err != nil {
				t.Fatal(err)
			}
			header, claims := verifyJWT(t, jwt)
			if diff := cmp.Diff(tt.header, header); diff != "" {
				t.Errorf("header (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.claims, claims); diff != "" {
				t.Errorf("claims (-want +got):\n%s", diff)
			}
			if float64(since.Unix()) != iat || since.After(now) {
				t.Errorf("good since %v, want iat", since)
			}
		})
	}
}

// Without a token endpoint the JWT itself is the value, and its dates are those
// it carries.
func TestJWTIsTheValue(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	created := w.create(secret.OAuth2JWT)
	w.run(w.exchanger(), w.job(created.ID))

	got := w.secret(created.ID)
	if got.Status != secret.Succeeded {
		t.Fatalf("record: %s", show(got))
	}
	_, claims := verifyJWT(t, seal.NewPlaintext(w.value(w.artifacts(created.ID)[0])))
	if exp := time.Unix(int64(claims["exp"].(float64)), 0); !got.ExpiresAt.Equal(exp) {
		t.Errorf("expires_at is %v, the JWT says %v", got.ExpiresAt, exp)
	}
	if gap := got.ExpiresAt.Sub(got.RefreshAt); gap != created.Credentials.Offset() {
		t.Errorf("refreshed %v before expiry, want %v", gap, created.Credentials.Offset())
	}
}

// With a token endpoint the JWT is exchanged, as RFC 7523 has it, and the
// options go along.
func TestJWTIsExchanged(t *testing.T) {
	t.Parallel()
	asked := make(chan url.Values, 1)
	provider := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil {
			t.Error(err)
		}
		asked <- r.PostForm
		rw.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(rw, `{"access_token":"exchanged","expires_in":%d}`, int64(tokenLifetime/time.Second))
	}))
	defer provider.Close()
	for field, options := range map[string]map[string]string{
		"assertion": {"scope": "read"},
		"jwt_token": {"scope": "read", "jwt_param": "jwt_token"},
	} {
		w := newWorld(t)
		created := w.create(secret.OAuth2JWT, func(s *secret.Secret) {
			s.Credentials.TokenURL, s.Credentials.Options = provider.URL, options
		})
		began := w.now()
		w.run(w.exchanger(), w.job(created.ID))

		form := <-asked
		verifyJWT(t, seal.NewPlaintext(form.Get(field)))
		form.Del(field)
		if diff := cmp.Diff(url.Values{"grant_type": {grantJWTBearer}, "scope": {"read"}}, form); diff != "" {
			t.Errorf("besides the JWT (-want +got):\n%s", diff)
		}
		got := w.secret(created.ID)
		if value := w.value(w.artifacts(created.ID)[0]); value != "exchanged" || !got.ExpiresAt.Equal(began.Add(tokenLifetime)) {
			t.Errorf("the value is %q until %v", value, got.ExpiresAt)
		}
	}
}
