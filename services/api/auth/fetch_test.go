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
