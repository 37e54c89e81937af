package seal_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rekindle-dev/rekindle/pkg/seal"
)

var (
	testTime    = time.Date(2026, 11, 21, 9, 30, 0, 0, time.UTC)
	testBinding = seal.Binding{Secret: "SE0123", Field: "client_secret", Generation: 7}
	classes     = []seal.Class{seal.LongLived, seal.ShortLived}
)

// overhead is what the package comment says a value grows by.
var overhead = map[seal.Class]int{seal.LongLived: 1145, seal.ShortLived: 57}

const headerSize = 9

func newRing(t testing.TB) *seal.Keyring {
	t.Helper()
	ring, err := seal.NewKeyring(testTime)
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

func newSealer(t testing.TB, ring *seal.Keyring) *seal.Sealer {
	t.Helper()
	sealer, err := seal.NewSealer(ring.Keyset())
	if err != nil {
		t.Fatal(err)
	}
	return sealer
}

func mustSeal(t testing.TB, ring *seal.Keyring, class seal.Class, value string) []byte {
	t.Helper()
	sealed, err := newSealer(t, ring).Seal(class, testBinding, seal.NewPlaintext(value))
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

// opens fails the test unless ring opens sealed to want.
func opens(t testing.TB, ring *seal.Keyring, sealed []byte, want string) {
	t.Helper()
	got, err := seal.NewOpener(ring).Open(testBinding, sealed)
	if err != nil || !got.Equal(seal.NewPlaintext(want)) {
		t.Errorf("opened %d bytes of %d: %v", got.Len(), len(want), err)
	}
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	ring := newRing(t)
	values := map[string]string{
		"empty": "", "one byte": "x", "text": canary, "largest": strings.Repeat("s", seal.MaxPlaintext),
	}
	for _, class := range classes {
		for name, value := range values {
			sealed := mustSeal(t, ring, class, value)
			opens(t, ring, sealed, value)
			if got := len(sealed) - len(value); got != overhead[class] {
				t.Errorf("%s %s: longer by %d bytes, want %d", class, name, got, overhead[class])
			}
			if value != "" && name != "one byte" && bytes.Contains(sealed, []byte(value[:6])) {
				t.Errorf("%s %s: the sealed value holds the plaintext", class, name)
			}
			if bytes.Equal(sealed, mustSeal(t, ring, class, value)) {
				t.Errorf("%s %s: sealed twice to the same bytes", class, name)
			}
			gotClass, id, err := seal.Inspect(sealed)
			if err != nil || gotClass != class || id != ring.Keyset().Primary() {
				t.Errorf("%s %s: Inspect gives %s, %s, %v", class, name, gotClass, id, err)
			}
		}
	}
}

func TestOpenedEmptyIsSet(t *testing.T) {
	t.Parallel()
	ring := newRing(t)
	got, err := seal.NewOpener(ring).Open(testBinding, mustSeal(t, ring, seal.ShortLived, ""))
	if err != nil || got.IsZero() {
		t.Errorf("IsZero %t, %v", got.IsZero(), err)
	}
}

func TestBindingMismatch(t *testing.T) {
	t.Parallel()
	ring := newRing(t)
	opener := seal.NewOpener(ring)
	b := testBinding
	others := map[string]seal.Binding{
		"secret":           {Secret: "SE0124", Field: b.Field, Generation: b.Generation},
		"secret's case":    {Secret: "se0123", Field: b.Field, Generation: b.Generation},
		"field":            {Secret: b.Secret, Field: "password", Generation: b.Generation},
		"generation":       {Secret: b.Secret, Field: b.Field, Generation: 8},
		"no generation":    {Secret: b.Secret, Field: b.Field},
		"high generation":  {Secret: b.Secret, Field: b.Field, Generation: 7 << 32},
		"moved boundary":   {Secret: "SE0123c", Field: "lient_secret", Generation: b.Generation},
		"swapped":          {Secret: b.Field, Field: b.Secret, Generation: b.Generation},
		"nothing":          {},
		"all in one field": {Secret: b.Secret + b.Field, Generation: b.Generation},
	}
	for _, class := range classes {
		sealed := mustSeal(t, ring, class, canary)
		for name, other := range others {
			got, err := opener.Open(other, sealed)
			if !errors.Is(err, seal.ErrCannotOpen) || !got.IsZero() {
				t.Errorf("%s, %s: IsZero %t, %v", class, name, got.IsZero(), err)
			}
		}
	}
}

func TestTampering(t *testing.T) {
	t.Parallel()
	ring := newRing(t)
	opener := seal.NewOpener(ring)
	for _, class := range classes {
		sealed := mustSeal(t, ring, class, canary)
		enc := overhead[class] - headerSize - 16
		for at := range sealed {
			if at > headerSize && at < headerSize+enc-40 && at%37 != 0 {
				continue // the inside of the ML-KEM ciphertext: a sample
			}
			bad := bytes.Clone(sealed)
			bad[at] ^= 0x10
			got, err := opener.Open(testBinding, bad)
			want := seal.ErrCannotOpen
			switch {
			case at == 0:
				want = seal.ErrMalformed
			case at < headerSize:
				want = seal.ErrUnknownKey
			}
			if !errors.Is(err, want) || !got.IsZero() {
				t.Fatalf("%s, byte %d of %d: IsZero %t, %v, want %v", class, at, len(sealed), got.IsZero(), err, want)
			}
		}
		longer := append(bytes.Clone(sealed), 0)
		if _, err := opener.Open(testBinding, longer); !errors.Is(err, seal.ErrCannotOpen) {
			t.Errorf("%s, one byte more: %v", class, err)
		}
		for n := range len(sealed) {
			if n > headerSize && n < headerSize+enc && n%37 != 0 {
				continue
			}
			if _, err := opener.Open(testBinding, sealed[:n]); err == nil {
				t.Fatalf("%s: the first %d bytes of %d open", class, n, len(sealed))
			}
		}
	}
}

// A value cannot pass as the other class, nor as another key's.
func TestHeaderIsBound(t *testing.T) {
	t.Parallel()
	ring, second, err := newRing(t).Prepare(testTime)
	if err != nil {
		t.Fatal(err)
	}
	opener := seal.NewOpener(ring)
	hybrid, x25519 := mustSeal(t, ring, seal.LongLived, canary), mustSeal(t, ring, seal.ShortLived, strings.Repeat(canary, 80))
	hybrid[0], x25519[0] = x25519[0], hybrid[0]
	for _, sealed := range [][]byte{hybrid, x25519} {
		if _, err := opener.Open(testBinding, sealed); !errors.Is(err, seal.ErrCannotOpen) {
			t.Errorf("format byte exchanged: %v", err)
		}
	}
	for _, class := range classes {
		sealed := mustSeal(t, ring, class, canary)
		copy(sealed[1:], second[:])
		if _, err := opener.Open(testBinding, sealed); !errors.Is(err, seal.ErrCannotOpen) {
			t.Errorf("%s, key id exchanged: %v", class, err)
		}
	}
}

func TestUnknownKey(t *testing.T) {
	t.Parallel()
	ring := newRing(t)
	for _, class := range classes {
		_, err := seal.NewOpener(newRing(t)).Open(testBinding, mustSeal(t, ring, class, canary))
		if !errors.Is(err, seal.ErrUnknownKey) || !strings.Contains(err.Error(), ring.Keyset().Primary().String()) {
			t.Errorf("%s: %v", class, err)
		}
	}
	for name, empty := range map[string]*seal.Keyring{"nil": nil, "zero": {}} {
		_, err := seal.NewOpener(empty).Open(testBinding, mustSeal(t, ring, seal.ShortLived, canary))
		if !errors.Is(err, seal.ErrUnknownKey) {
			t.Errorf("%s keyring: %v", name, err)
		}
	}
}

func TestSealRefuses(t *testing.T) {
	t.Parallel()
	sealer := newSealer(t, newRing(t))
	wiped := seal.NewPlaintext(canary)
	wiped.Wipe()
	ok := seal.NewPlaintext("x")
	tests := []struct {
		name  string
		class seal.Class
		bind  seal.Binding
		value seal.Plaintext
		want  error
	}{
		{"too large", seal.LongLived, testBinding, seal.NewPlaintext(make([]byte, seal.MaxPlaintext+1)), seal.ErrTooLarge},
		{"never set", seal.LongLived, testBinding, seal.Plaintext{}, seal.ErrNoPlaintext},
		{"wiped", seal.ShortLived, testBinding, wiped, seal.ErrNoPlaintext},
		{"no secret", seal.LongLived, seal.Binding{Field: "f"}, ok, seal.ErrNoBinding},
		{"no field", seal.LongLived, seal.Binding{Secret: "s"}, ok, seal.ErrNoBinding},
		{"no class", 0, testBinding, ok, nil},
		{"unknown class", 3, testBinding, ok, nil},
	}
	for _, tt := range tests {
		sealed, err := sealer.Seal(tt.class, tt.bind, tt.value)
		if err == nil || sealed != nil || (tt.want != nil && !errors.Is(err, tt.want)) {
			t.Errorf("%s: %d bytes, %v, want %v", tt.name, len(sealed), err, tt.want)
		}
	}
	_, err := seal.NewSealer(seal.Keyset{})
	if !errors.Is(err, seal.ErrUnknownKey) {
		t.Errorf("zero keyset: %v", err)
	}
}

func TestOpenRefusesWhatNoSealerMade(t *testing.T) {
	t.Parallel()
	ring := newRing(t)
	id := ring.Keyset().Primary()
	value := func(format byte, size int) []byte {
		return append(append([]byte{format}, id[:]...), make([]byte, size-headerSize)...)
	}
	tests := map[string][]byte{
		"nil":                 nil,
		"empty":               {},
		"a header's part":     value(1, 9)[:8],
		"only a header":       value(1, 9),
		"hybrid, too short":   value(1, 1144),
		"X25519, too short":   value(2, 56),
		"hybrid, too long":    value(1, 1145+seal.MaxPlaintext+1),
		"X25519, too long":    value(2, 57+seal.MaxPlaintext+1),
		"absurd":              value(1, 16<<20),
		"format 0":            value(0, 2000),
		"format 4":            value(4, 2000),
		"own, too short":      value(3, 36),
		"own, too long":       value(3, 37+seal.MaxPlaintext+1),
		"plaintext by mishap": []byte(`{"client_secret":"` + strings.Repeat("x", 2000) + `"}`),
	}
	for name, sealed := range tests {
		_, err := seal.NewOpener(ring).Open(testBinding, sealed)
		_, _, errInspect := seal.Inspect(sealed)
		if !errors.Is(err, seal.ErrMalformed) || !errors.Is(errInspect, seal.ErrMalformed) {
			t.Errorf("%s: %v, %v", name, err, errInspect)
		}
		if err != nil && strings.Contains(err.Error(), "xx") {
			t.Errorf("%s: the error quotes the input: %v", name, err)
		}
	}
	// A low-order X25519 point gives an all-zero shared secret (RFC 7748, section 6.1).
	if _, err := seal.NewOpener(ring).Open(testBinding, value(2, 100)); !errors.Is(err, seal.ErrCannotOpen) {
		t.Errorf("low-order point: %v", err)
	}
}

func TestOpenLeavesInputAlone(t *testing.T) {
	t.Parallel()
	ring := newRing(t)
	for _, class := range classes {
		// Spare capacity is where a careless append would write.
		sealed := append(make([]byte, 0, 4096), mustSeal(t, ring, class, canary)...)
		before := bytes.Clone(sealed[:cap(sealed)])
		opens(t, ring, sealed, canary)
		if !bytes.Equal(before, sealed[:cap(sealed)]) {
			t.Errorf("%s: Open wrote to its input", class)
		}
	}
}

func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	ring := newRing(t)
	sealer, opener := newSealer(t, ring), seal.NewOpener(ring)
	shared := seal.NewPlaintext(canary)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 10 {
				b := seal.Binding{Secret: fmt.Sprint(g), Field: "f", Generation: uint64(i)}
				sealed, err := sealer.Seal(classes[i%2], b, shared)
				if err != nil {
					t.Error(err)
					return
				}
				got, err := opener.Open(b, sealed)
				if err != nil || !got.Equal(shared) {
					t.Errorf("goroutine %d, %d: %v", g, i, err)
				}
			}
		})
	}
	wg.Wait()
}

// What was sealed by the first release opens for ever. The file is never made
// anew: a change that breaks this test needs a new format byte instead.
func TestOldValuesOpen(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("testdata/v1.json")
	if err != nil {
		t.Fatal(err)
	}
	var v1 struct {
		Keyring     json.RawMessage
		Keyset      seal.Keyset
		Fingerprint string
		Values      []struct {
			Class      seal.Class
			Secret     string
			Field      string
			Generation uint64
			Plaintext  seal.Plaintext
			Sealed     []byte
		}
	}
	if err := json.Unmarshal(data, &v1); err != nil {
		t.Fatal(err)
	}
	ring, err := seal.ParseKeyring(v1.Keyring)
	if err != nil {
		t.Fatal(err)
	}
	if got := ring.Keyset().Fingerprint(); got != v1.Fingerprint || got != v1.Keyset.Fingerprint() {
		t.Errorf("fingerprints %s, %s, want %s", got, v1.Keyset.Fingerprint(), v1.Fingerprint)
	}
	if len(v1.Values) < 2 {
		t.Fatalf("%d values", len(v1.Values))
	}
	for i, v := range v1.Values {
		class, _, _ := seal.Inspect(v.Sealed)
		got, err := seal.NewOpener(ring).Open(seal.Binding{Secret: v.Secret, Field: v.Field, Generation: v.Generation}, v.Sealed)
		if err != nil || class != v.Class || !got.Equal(v.Plaintext) {
			t.Errorf("value %d (%s): class %s, %v", i, v.Class, class, err)
		}
	}
}

func FuzzOpen(f *testing.F) {
	ring := newRing(f)
	opener := seal.NewOpener(ring)
	id := ring.Keyset().Primary()
	genuine := make(map[string]bool)
	seeds := [][]byte{sealOwn(f, ring, canary)}
	for _, class := range classes {
		seeds = append(seeds, mustSeal(f, ring, class, canary))
	}
	for _, sealed := range seeds {
		genuine[string(sealed)] = true
		f.Add(sealed)
		f.Add(sealed[:len(sealed)-1])
		f.Add(append(bytes.Clone(sealed), 1))
	}
	f.Add([]byte{})
	f.Add([]byte{1})
	f.Add(append([]byte{2}, id[:]...))
	f.Fuzz(func(t *testing.T, sealed []byte) {
		got, err := opener.Open(testBinding, sealed)
		if genuine[string(sealed)] {
			if err != nil || string(got.Reveal()) != canary {
				t.Fatalf("genuine value: %v", err)
			}
			return
		}
		if err == nil || !got.IsZero() {
			t.Fatal("a forged value opened")
		}
		if !errors.Is(err, seal.ErrMalformed) && !errors.Is(err, seal.ErrUnknownKey) && !errors.Is(err, seal.ErrCannotOpen) {
			t.Fatalf("undocumented error %v", err)
		}
	})
}
