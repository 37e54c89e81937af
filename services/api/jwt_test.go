package api_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/services/api"
	"github.com/rekindle-dev/rekindle/services/api/apitest"
)

// keyPEM makes an RSA key of so many bits, in PKCS #8 or PKCS #1.
func keyPEM(t *testing.T, bits int, pkcs8 bool) string {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	block := &pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}
	if pkcs8 {
		body, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		block = &pem.Block{Type: "PRIVATE KEY", Bytes: body}
	}
	return string(pem.EncodeToMemory(block))
}

func TestJWTIsReadAsWritten(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, pkcs8 := range map[string]bool{"PKCS 8": true, "PKCS 1": false} {
		key, err := json.Marshal(keyPEM(t, 2048, pkcs8))
		if err != nil {
			t.Fatal(err)
		}
		made := must[*api.Changed](t)(w.Service.CreateSecret(t.Context(), apitest.Caller(), w.property.ID,
			document(t, `{"data":{"attributes":{"name":%q,"type_of":"oauth2-jwt","credentials":{
				"iss":"i","aud":"a","sub":"s","ttl":3600,"alg":"RS256","custom_claims":{"scope":"x"},"private_key_id":"k",
				"private_key":%s,"token_url":"https://h/t","options":{"jwt_param":"jwt"}}}}}`, name, key)))
		want := secret.Credentials{
			Iss: "i", Aud: "a", Sub: "s", TTL: 3600, Alg: "RS256", CustomClaims: json.RawMessage(`{"scope":"x"}`), PrivateKeyID: "k",
			TokenURL: "https://h/t", RefreshOffset: new(int64(1800)), Options: map[string]string{"jwt_param": "jwt"},
		}
		if diff := cmp.Diff(want, made.Credentials); diff != "" {
			t.Errorf("%s: public credentials (-want +got):\n%s", name, diff)
		}
	}
}

func TestJWTRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	good := map[string]any{"iss": "i", "aud": "a", "ttl": 3600, "alg": "RS256", "private_key": keyPEM(t, 2048, true)}
	const at = "/data/attributes/credentials/"
	tests := []struct {
		name   string
		edit   map[string]any // nil removes
		faults []string
	}{
		{"nothing", map[string]any{"iss": nil, "aud": nil, "ttl": nil, "alg": nil, "private_key": nil}, []string{"alg", "aud", "iss", "private_key", "ttl"}},
		{"another algorithm", map[string]any{"alg": "HS256"}, []string{"alg"}},
		{"no life", map[string]any{"ttl": 0}, []string{"ttl"}},
		{"life as text", map[string]any{"ttl": "3600"}, []string{"ttl"}},
		{"registered claims as custom ones", map[string]any{"custom_claims": map[string]any{"iss": "x", "exp": 1, "fine": true}}, []string{"custom_claims/exp", "custom_claims/iss"}},
		{"claims that are none", map[string]any{"custom_claims": "x"}, []string{"custom_claims"}},
		{"too many claims", map[string]any{"custom_claims": map[string]any{"x": strings.Repeat("x", 9<<10)}}, []string{"custom_claims"}},
		{"no PEM", map[string]any{"private_key": "hunter2"}, []string{"private_key"}},
		{"PEM of something else", map[string]any{"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "X", Bytes: []byte("hunter2")}))}, []string{"private_key"}},
		{"short key", map[string]any{"private_key": keyPEM(t, 1024, true)}, []string{"private_key"}},
		{"bad token endpoint", map[string]any{"token_url": "ftp://h"}, []string{"token_url"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			credentials := maps.Clone(good)
			for k, v := range tt.edit {
				if credentials[k] = v; v == nil {
					delete(credentials, k)
				}
			}
			body, err := json.Marshal(credentials)
			if err != nil {
				t.Fatal(err)
			}
			_, err = w.Service.CreateSecret(t.Context(), apitest.Caller(), w.property.ID,
				document(t, `{"data":{"attributes":{"name":"n","type_of":"oauth2-jwt","credentials":%s}}}`, body))
			refused, ok := errors.AsType[*api.RefusedError](err)
			if !ok {
				t.Fatalf("the answer is %v, want a refusal", err)
			}
			var faults []string
			for _, p := range refused.Problems {
				faults = append(faults, strings.TrimPrefix(p.Pointer, at))
				if strings.Contains(p.Detail, "hunter2") {
					t.Errorf("the refusal quotes the key: %s", p.Detail)
				}
			}
			slices.Sort(faults)
			if diff := cmp.Diff(tt.faults, faults); diff != "" {
				t.Errorf("faults (-want +got):\n%s", diff)
			}
		})
	}
}
