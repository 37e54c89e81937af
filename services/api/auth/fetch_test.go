package auth

import (
	"errors"
	"testing"
	"time"
)

// TestKeysGrowStale: keys that could not be confirmed for a day are not relied on.
func TestKeysGrowStale(t *testing.T) {
	t.Parallel()
	i := newIssuer(Issuer{}, OIDCDeps{})
	for age, want := range map[time.Duration]error{0: nil, maxStale - time.Minute: nil, maxStale + time.Minute: ErrIssuerAway} {
		i.fetchedAt = time.Now().Add(-age)
		if _, err := i.known(); !errors.Is(err, want) {
			t.Errorf("after %v: %v, want %v", age, err, want)
		}
	}
}

// TestKeysOfOtherKinds: an issuer may publish keys that nobody here can read, beside those
// that its tokens are signed with.
func TestKeysOfOtherKinds(t *testing.T) {
	t.Parallel()
	const good = `{"kty":"OKP","crv":"Ed25519","kid":"good","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`
	for name, other := range map[string]string{
		"an unknown curve":     `{"kty":"EC","crv":"secp256k1","x":"AA","y":"AA"}`,
		"for agreement":        `{"kty":"OKP","crv":"X25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`,
		"an unknown type":      `{"kty":"AKP","alg":"ML-DSA-44","pub":"AA"}`,
		"without its exponent": `{"kty":"RSA","n":"AA"}`,
		"no object":            `"key"`,
		"null":                 `null`,
	} {
		keys, err := keysOf([]byte(`{"keys":[` + other + `,` + good + `]}`))
		if err != nil || len(keys) != 1 || keys[0].KeyID != "good" {
			t.Errorf("beside one that is %s: %d keys, %v", name, len(keys), err)
		}
		if _, err := keysOf([]byte(`{"keys":[` + other + `]}`)); !errors.Is(err, errKeys) {
			t.Errorf("only one that is %s: %v", name, err)
		}
	}
}

func FuzzKeys(f *testing.F) {
	f.Add([]byte(`{"keys":[{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}`))
	f.Add([]byte(`{"keys":[{"kty":"oct","k":"AA"}]}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, body []byte) {
		keys, err := keysOf(body)
		if err == nil && (len(keys) == 0 || len(keys) > maxKeys) {
			t.Errorf("%d keys", len(keys))
		}
		for _, k := range keys {
			if !k.IsPublic() {
				t.Errorf("a key that is not public: %s", k.KeyID)
			}
		}
	})
}

func TestIsLoopback(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]bool{
		"localhost": true, "127.0.0.1": true, "127.9.9.9": true, "::1": true,
		"": false, "localhost.example.org": false, "128.0.0.1": false, "10.0.0.1": false, "::ffff:10.0.0.1": false,
	} {
		if IsLoopback(host) != want {
			t.Errorf("%q: %v, want %v", host, !want, want)
		}
	}
}
