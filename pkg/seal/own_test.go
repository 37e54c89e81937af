package seal_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/rekindle-dev/rekindle/pkg/seal"
)

// ownOverhead is what the package comment says a value grows by that its holder seals.
const ownOverhead = 37

func sealOwn(t testing.TB, ring *seal.Keyring, value string) []byte {
	t.Helper()
	sealed, err := seal.NewOpener(ring).Seal(testBinding, seal.NewPlaintext(value))
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

func TestOwnRoundTrip(t *testing.T) {
	t.Parallel()
	ring := newRing(t)
	for _, value := range []string{"", "x", canary, strings.Repeat("s", seal.MaxPlaintext)} {
		sealed := sealOwn(t, ring, value)
		opens(t, ring, sealed, value)
		if got := len(sealed) - len(value); got != ownOverhead {
			t.Errorf("longer by %d bytes, want %d", got, ownOverhead)
		}
		if len(value) > 1 && bytes.Contains(sealed, []byte(value[:6])) {
			t.Error("the sealed value holds the plaintext")
		}
		if bytes.Equal(sealed, sealOwn(t, ring, value)) {
			t.Error("sealed twice to the same bytes")
		}
		class, id, err := seal.Inspect(sealed)
		if err != nil || class != seal.LongLived || id != ring.Keyset().Primary() {
			t.Errorf("Inspect gives %s, %s, %v", class, id, err)
		}
	}
}

func TestOwnTampering(t *testing.T) {
	t.Parallel()
	ring := newRing(t)
	opener, sealed := seal.NewOpener(ring), sealOwn(t, ring, canary)
	for at := range sealed {
		for bit := range 8 {
			bad := bytes.Clone(sealed)
			bad[at] ^= 1 << bit
			want := seal.ErrCannotOpen
			switch {
			case at == 0:
				want = seal.ErrMalformed // short for the others, or not known
			case at < headerSize:
				want = seal.ErrUnknownKey
			}
			got, err := opener.Open(testBinding, bad)
			// As a value for X25519 it is long enough to be tried.
			tried := at == 0 && errors.Is(err, seal.ErrCannotOpen)
			if !errors.Is(err, want) && !tried || !got.IsZero() {
				t.Fatalf("byte %d, bit %d: IsZero %t, %v, want %v", at, bit, got.IsZero(), err, want)
			}
		}
	}
	for n := range len(sealed) {
		if _, err := opener.Open(testBinding, sealed[:n]); err == nil {
			t.Fatalf("the first %d bytes of %d open", n, len(sealed))
		}
	}
	if _, err := opener.Open(testBinding, append(bytes.Clone(sealed), 0)); !errors.Is(err, seal.ErrCannotOpen) {
		t.Errorf("one byte more: %v", err)
	}
}

func TestOwnBinding(t *testing.T) {
	t.Parallel()
	ring := newRing(t)
	opener, sealed, b := seal.NewOpener(ring), sealOwn(t, ring, canary), testBinding
	for name, other := range map[string]seal.Binding{
		"secret":         {Secret: "SE0124", Field: b.Field, Generation: b.Generation},
		"field":          {Secret: b.Secret, Field: "password", Generation: b.Generation},
		"generation":     {Secret: b.Secret, Field: b.Field, Generation: b.Generation + 1},
		"moved boundary": {Secret: b.Secret + "c", Field: b.Field[1:], Generation: b.Generation},
		"nothing":        {},
	} {
		if got, err := opener.Open(other, sealed); !errors.Is(err, seal.ErrCannotOpen) || !got.IsZero() {
			t.Errorf("another %s: IsZero %t, %v", name, got.IsZero(), err)
		}
	}
}

// What is sealed goes to the primary key, opens with every keyring that holds that,
// and with no other.
func TestOwnKeys(t *testing.T) {
	t.Parallel()
	first := newRing(t)
	both, id, err := first.Prepare(testTime)
	if err != nil {
		t.Fatal(err)
	}
	next, err := both.Activate(id)
	if err != nil {
		t.Fatal(err)
	}
	before, after := sealOwn(t, both, canary), sealOwn(t, next, canary)
	if _, to, _ := seal.Inspect(before); to != first.Keyset().Primary() {
		t.Errorf("sealed to %s before the activation", to)
	}
	if _, to, _ := seal.Inspect(after); to != id {
		t.Errorf("sealed to %s after the activation, want %s", to, id)
	}
	opens(t, first, before, canary)
	opens(t, next, before, canary)
	opens(t, both, after, canary)
	if _, err := seal.NewOpener(first).Open(testBinding, after); !errors.Is(err, seal.ErrUnknownKey) {
		t.Errorf("a keyring without the key: %v", err)
	}
	copy(before[1:], id[:])
	if _, err := seal.NewOpener(both).Open(testBinding, before); !errors.Is(err, seal.ErrCannotOpen) {
		t.Errorf("under the id of another key: %v", err)
	}
	parsed, err := seal.ParseKeyring(export(t, next))
	if err != nil {
		t.Fatal(err)
	}
	opens(t, parsed, after, canary)
}

func TestOwnRefuses(t *testing.T) {
	t.Parallel()
	wiped := seal.NewPlaintext(canary)
	wiped.Wipe()
	ok, held := seal.NewPlaintext("x"), newRing(t)
	for name, tt := range map[string]struct {
		ring  *seal.Keyring
		bind  seal.Binding
		value seal.Plaintext
		want  error
	}{
		"too large":    {held, testBinding, seal.NewPlaintext(make([]byte, seal.MaxPlaintext+1)), seal.ErrTooLarge},
		"never set":    {held, testBinding, seal.Plaintext{}, seal.ErrNoPlaintext},
		"wiped":        {held, testBinding, wiped, seal.ErrNoPlaintext},
		"no secret":    {held, seal.Binding{Field: "f"}, ok, seal.ErrNoBinding},
		"no field":     {held, seal.Binding{Secret: "s"}, ok, seal.ErrNoBinding},
		"zero keyring": {new(seal.Keyring), testBinding, ok, seal.ErrUnknownKey},
	} {
		sealed, err := seal.NewOpener(tt.ring).Seal(tt.bind, tt.value)
		if !errors.Is(err, tt.want) || sealed != nil {
			t.Errorf("%s: %d bytes, %v, want %v", name, len(sealed), err, tt.want)
		}
	}
}

func TestOwnConcurrently(t *testing.T) {
	t.Parallel()
	opener, shared := seal.NewOpener(newRing(t)), seal.NewPlaintext(canary)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 100 {
				b := seal.Binding{Secret: fmt.Sprint(g), Field: "f", Generation: uint64(i)}
				sealed, err := opener.Seal(b, shared)
				if err != nil {
					t.Error(err)
					return
				}
				if got, err := opener.Open(b, sealed); err != nil || !got.Equal(shared) {
					t.Errorf("goroutine %d, %d: %v", g, i, err)
				}
			}
		})
	}
	wg.Wait()
}

// What was sealed once opens for ever, by the keyring of the first release, and also
// as the package comment has it, with nothing of this package. The file is never made
// anew: a change that breaks this test needs a new format byte instead.
func TestOwnValuesOpen(t *testing.T) {
	t.Parallel()
	var v1 struct {
		Keyring json.RawMessage
	}
	var file struct {
		Values []struct {
			Secret     string
			Field      string
			Generation uint64
			Plaintext  string
			Sealed     []byte
		}
	}
	for name, into := range map[string]any{"testdata/v1.json": &v1, "testdata/own.json": &file} {
		data, err := os.ReadFile(name)
		if err == nil {
			err = json.Unmarshal(data, into)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	ring, err := seal.ParseKeyring(v1.Keyring)
	if err != nil {
		t.Fatal(err)
	}
	if len(file.Values) < 3 {
		t.Fatalf("%d values", len(file.Values))
	}
	for i, v := range file.Values {
		b := seal.Binding{Secret: v.Secret, Field: v.Field, Generation: v.Generation}
		got, err := seal.NewOpener(ring).Open(b, v.Sealed)
		if err != nil || !got.Equal(seal.NewPlaintext(v.Plaintext)) {
			t.Errorf("value %d: %v", i, err)
		}
		byHand, err := openByHand(v1.Keyring, b, v.Sealed)
		if err != nil || string(byHand) != v.Plaintext {
			t.Errorf("value %d by hand: %q, %v", i, byHand, err)
		}
	}
}

// mac is HMAC-SHA256 (RFC 2104).
func mac(key []byte, parts ...[]byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(slices.Concat(parts...))
	return h.Sum(nil)
}

// ownOf is the key that holders seal to themselves with, of the seed of their hybrid key.
func ownOf(seed []byte) []byte { return mac([]byte("rekindle.seal.own.v1"), seed) }

// openByHand opens a value from what the package comment says of it: HKDF as in
// RFC 5869, where one block of output takes one HMAC.
func openByHand(keyring []byte, b seal.Binding, sealed []byte) ([]byte, error) {
	var file struct {
		Keys []struct {
			ID   string
			Seed []byte `json:"mlkem768_x25519"`
		}
	}
	if err := json.Unmarshal(keyring, &file); err != nil {
		return nil, err
	}
	var seed []byte
	for _, k := range file.Keys {
		if k.ID == fmt.Sprintf("%x", sealed[1:9]) {
			seed = k.Seed
		}
	}
	info := append([]byte("rekindle.seal.v1"), sealed[:9]...)
	info = append(binary.BigEndian.AppendUint32(info, uint32(len(b.Secret))), b.Secret...)
	info = append(binary.BigEndian.AppendUint32(info, uint32(len(b.Field))), b.Field...)
	info = binary.BigEndian.AppendUint64(info, b.Generation)
	block, err := aes.NewCipher(mac(ownOf(seed), info, []byte{1}))
	if err != nil {
		return nil, err
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	return gcm.Open(nil, sealed[9:21], sealed[21:], nil)
}
