package sealing_test

import (
	"crypto/ecdh"
	"crypto/hpke"
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"

	"github.com/rekindle-dev/rekindle/events/sealing"
)

// TestVectors: what publishers in other languages test themselves against is what this
// package does. The file is never made anew: what was sealed once opens for ever.
func TestVectors(t *testing.T) {
	t.Parallel()
	var vectors struct {
		Private struct {
			Hybrid []byte `json:"mlkem768_x25519"`
			X25519 []byte `json:"x25519"`
		}
		Keyset sealing.Keyset
		Values []struct {
			Format, Org, About, Field string
			TokenURL                  string `json:"token_url"`
			Binding                   sealing.Binding
			Info, Plaintext           string
			Sealed                    []byte
		}
	}
	if err := json.Unmarshal(must(os.ReadFile("testdata/vectors.json")), &vectors); err != nil {
		t.Fatal(err)
	}
	f := &fleet{
		set:    vectors.Keyset,
		hybrid: []hpke.PrivateKey{must(hpke.MLKEM768X25519().NewPrivateKey(vectors.Private.Hybrid))},
		x25519: []hpke.PrivateKey{must(hpke.DHKEM(ecdh.X25519()).NewPrivateKey(vectors.Private.X25519))},
	}
	if key := sealing.NewPublicKey(f.hybrid[0].PublicKey(), f.x25519[0].PublicKey(), testTime); key.ID() != f.set.Primary() {
		t.Errorf("the key is %s, the keyset has %s", key.ID(), f.set.Primary())
	}
	if len(vectors.Values) != 5 {
		t.Fatalf("%d values", len(vectors.Values))
	}
	for _, v := range vectors.Values {
		b := sealing.Target{Org: v.Org, About: v.About, Field: v.Field, TokenURL: v.TokenURL}.Binding()
		if b != v.Binding {
			t.Errorf("%s of %s is bound to %v, want %v", v.Field, v.About, b, v.Binding)
		}
		h, _, err := sealing.Split(v.Sealed)
		if err != nil || hex.EncodeToString(h.Info(b)) != v.Info {
			t.Errorf("%s of %s: the info is %x, %v", v.Field, v.About, h.Info(b), err)
		}
		for _, sealed := range [][]byte{v.Sealed, must(f.set.SealAs(h.Format.Class(), b, []byte(v.Plaintext)))} {
			if got, err := f.open(sealed, b.Secret, b.Field, b.Generation); err != nil || got != v.Plaintext {
				t.Errorf("%s of %s opens as %q, %v", v.Field, v.About, got, err)
			}
		}
	}
}
