package seal_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/rekindle-dev/rekindle/pkg/seal"
)

// must is for calls that cannot fail where they stand.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func export(t testing.TB, ring *seal.Keyring) []byte {
	t.Helper()
	return must(ring.Export()).Reveal()
}

func TestNewKeyring(t *testing.T) {
	t.Parallel()
	local := time.Date(2026, 11, 21, 10, 30, 0, 123456789, time.FixedZone("", 3600))
	ring := must(seal.NewKeyring(local))
	keys := ring.Keyset().Keys()
	if len(keys) != 1 || !keys[0].Primary || keys[0].ID != ring.Keyset().Primary() || keys[0].CreatedAt != testTime {
		t.Errorf("keys: %v", keys)
	}
	if newRing(t).Keyset().Primary() == keys[0].ID {
		t.Error("two keyrings have the same key")
	}
}

func TestRotation(t *testing.T) {
	t.Parallel()
	first := newRing(t)
	old := first.Keyset().Primary()
	sealedOld := mustSeal(t, first, seal.LongLived, "old")

	prepared, id, err := first.Prepare(testTime.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if got := prepared.Keyset().Primary(); got != old {
		t.Errorf("prepared: primary %s, want %s", got, old)
	}
	sealedStandby := mustSeal(t, prepared, seal.ShortLived, "standby")
	opens(t, first, sealedStandby, "standby") // still to the old key

	active := must(prepared.Activate(id))
	sealedNew := mustSeal(t, active, seal.LongLived, "new")
	if _, got, _ := seal.Inspect(sealedNew); got != id {
		t.Errorf("activated: sealed to %s, want %s", got, id)
	}
	for _, ring := range []*seal.Keyring{prepared, active} { // any mix of fleet and value
		opens(t, ring, sealedOld, "old")
		opens(t, ring, sealedNew, "new")
	}
	_, err = seal.NewOpener(first).Open(testBinding, sealedNew)
	if !errors.Is(err, seal.ErrUnknownKey) {
		t.Errorf("an opener that missed the preparation: %v", err)
	}

	pruned := must(active.Prune(old))
	opens(t, pruned, sealedNew, "new")
	_, err = seal.NewOpener(pruned).Open(testBinding, sealedOld)
	if !errors.Is(err, seal.ErrUnknownKey) || !strings.Contains(err.Error(), old.String()) {
		t.Errorf("pruned: %v", err)
	}
	opens(t, active, sealedOld, "old") // pruning changed no other keyring
	if len(first.Keyset().Keys()) != 1 || len(active.Keyset().Keys()) != 2 || len(pruned.Keyset().Keys()) != 1 {
		t.Error("a verb of rotation changed its receiver")
	}
}

// Two keyrings made from the same one do not share what each adds.
func TestPrepareTwice(t *testing.T) {
	t.Parallel()
	base := newRing(t)
	for range 2 { // three keys in a slice with room for a fourth
		base, _, _ = base.Prepare(testTime)
	}
	a, idA, errA := base.Prepare(testTime)
	b, idB, errB := base.Prepare(testTime)
	if err := errors.Join(errA, errB); err != nil || idA == idB {
		t.Fatalf("%s, %s, %v", idA, idB, err)
	}
	for id, ring := range map[seal.KeyID]*seal.Keyring{idA: a, idB: b} {
		active := must(ring.Activate(id))
		opens(t, active, mustSeal(t, active, seal.LongLived, canary), canary)
	}
}

func TestRotationRefuses(t *testing.T) {
	t.Parallel()
	ring := newRing(t)
	if _, err := ring.Activate(seal.KeyID{1}); !errors.Is(err, seal.ErrUnknownKey) {
		t.Errorf("activate: %v", err)
	}
	if _, err := ring.Prune(seal.KeyID{1}); !errors.Is(err, seal.ErrUnknownKey) {
		t.Errorf("prune: %v", err)
	}
	if _, err := ring.Prune(ring.Keyset().Primary()); !errors.Is(err, seal.ErrPrimaryKey) {
		t.Errorf("prune the primary: %v", err)
	}
	for range seal.MaxKeys - 1 {
		next, _, err := ring.Prepare(testTime)
		if err != nil {
			t.Fatal(err)
		}
		ring = next
	}
	if next, _, err := ring.Prepare(testTime); err == nil || next != nil {
		t.Errorf("key %d was prepared", seal.MaxKeys+1)
	}
	roundTrip(t, ring)
	var zero seal.Keyring
	if _, err := zero.Export(); !errors.Is(err, seal.ErrMalformed) {
		t.Errorf("export of the zero keyring: %v", err)
	}
	if _, _, err := zero.Prepare(testTime); err == nil {
		t.Error("the zero keyring was given a standby and no primary")
	}
}

// roundTrip checks that both halves of ring survive their JSON form.
func roundTrip(t *testing.T, ring *seal.Keyring) {
	t.Helper()
	data := export(t, ring)
	again := must(seal.ParseKeyring(data))
	if !bytes.Equal(data, export(t, again)) {
		t.Error("the keyring does not re-encode to the same bytes")
	}
	public := must(json.Marshal(ring.Keyset()))
	var set seal.Keyset
	if err := json.Unmarshal(public, &set); err != nil {
		t.Fatal(err)
	}
	if got := must(json.Marshal(set)); !bytes.Equal(public, got) {
		t.Error("the keyset does not re-encode to the same bytes")
	}
	want := ring.Keyset().Fingerprint()
	if set.Fingerprint() != want || again.Keyset().Fingerprint() != want {
		t.Error("the fingerprint changed")
	}
	sealer := must(seal.NewSealer(set))
	for _, class := range classes {
		opens(t, again, must(sealer.Seal(class, testBinding, seal.NewPlaintext(canary))), canary)
	}
}

func TestJSONRoundTrip(t *testing.T) {
	t.Parallel()
	ring, id, err := newRing(t).Prepare(testTime.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	roundTrip(t, ring)
	roundTrip(t, must(ring.Activate(id)))
}

func TestKeysetHoldsNothingPrivate(t *testing.T) {
	t.Parallel()
	ring := newRing(t)
	public := must(json.Marshal(ring.Keyset()))
	held{forms: keyForms(t, ring)}.leaks(t, "keyset", string(public))
	if _, err := seal.ParseKeyring(public); !errors.Is(err, seal.ErrMalformed) {
		t.Errorf("a keyset parsed as keyring: %v", err)
	}
	var set seal.Keyset
	if err := json.Unmarshal(export(t, ring), &set); !errors.Is(err, seal.ErrMalformed) {
		t.Errorf("a keyring decoded as keyset: %v", err)
	}
}

func TestFingerprint(t *testing.T) {
	t.Parallel()
	one := newRing(t)
	two, id, err := one.Prepare(testTime)
	if err != nil {
		t.Fatal(err)
	}
	active := must(two.Activate(id))
	seen := make(map[string]bool)
	for _, ring := range []*seal.Keyring{one, two, active, newRing(t)} {
		got := ring.Keyset().Fingerprint()
		if len(got) != 64 || seen[got] || got != ring.Keyset().Fingerprint() {
			t.Errorf("fingerprint %q: want 64 digits of its own, twice the same", got)
		}
		seen[got] = true
	}
	reordered := editJSON(t, export(t, two), func(f *keyFile) { f.Keys[0], f.Keys[1] = f.Keys[1], f.Keys[0] })
	other := must(seal.ParseKeyring(reordered))
	if other.Keyset().Fingerprint() != two.Keyset().Fingerprint() {
		t.Error("the order of the keys changes the fingerprint")
	}
}

// keyFile is the JSON form of either half, spelled out a second time on purpose.
type keyFile struct {
	Type    string         `json:"type"`
	Primary string         `json:"primary"`
	Keys    []keyFileKey   `json:"keys"`
	Extra   map[string]any `json:"extra,omitempty"`
}

type keyFileKey struct {
	ID      string `json:"id"`
	Created string `json:"created_at"`
	Hybrid  []byte `json:"mlkem768_x25519"`
	X25519  []byte `json:"x25519"`
	Note    string `json:"note,omitempty"`
}

func editJSON(t *testing.T, data []byte, edit func(*keyFile)) []byte {
	t.Helper()
	var f keyFile
	if err := json.Unmarshal(data, &f); err != nil {
		t.Fatal(err)
	}
	edit(&f)
	return must(json.Marshal(f))
}

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	const planted = "pl4nted"
	edits := map[string]func(*keyFile){
		"type":               func(f *keyFile) { f.Type = planted },
		"unknown field":      func(f *keyFile) { f.Extra = map[string]any{planted: planted} },
		"unknown key field":  func(f *keyFile) { f.Keys[0].Note = planted },
		"no keys":            func(f *keyFile) { f.Keys = nil },
		"too many keys":      func(f *keyFile) { f.Keys = append(f.Keys, make([]keyFileKey, seal.MaxKeys)...) },
		"key twice":          func(f *keyFile) { f.Keys = append(f.Keys, f.Keys[0]) },
		"no primary":         func(f *keyFile) { f.Primary = "" },
		"primary no id":      func(f *keyFile) { f.Primary = planted },
		"primary not held":   func(f *keyFile) { f.Primary = "0123456789abcdef" },
		"primary too long":   func(f *keyFile) { f.Primary += "00" },
		"id of another":      func(f *keyFile) { f.Keys[0].ID = f.Keys[1].ID },
		"id upper case":      func(f *keyFile) { f.Keys[0].ID = strings.ToUpper(f.Keys[0].ID) + "A" },
		"created_at":         func(f *keyFile) { f.Keys[0].Created = planted },
		"created_at offset":  func(f *keyFile) { f.Keys[0].Created = "2026-11-21T09:30:00+01:00" },
		"created_at nanos":   func(f *keyFile) { f.Keys[0].Created = "2026-11-21T09:30:00.5Z" },
		"hybrid gone":        func(f *keyFile) { f.Keys[0].Hybrid = nil },
		"hybrid short":       func(f *keyFile) { f.Keys[0].Hybrid = f.Keys[0].Hybrid[1:] },
		"hybrid of another":  func(f *keyFile) { f.Keys[0].Hybrid = f.Keys[1].Hybrid },
		"hybrid not reduced": func(f *keyFile) { f.Keys[0].Hybrid = bytes.Repeat([]byte{0xff}, len(f.Keys[0].Hybrid)) },
		"x25519 gone":        func(f *keyFile) { f.Keys[0].X25519 = nil },
		"x25519 long":        func(f *keyFile) { f.Keys[0].X25519 = append(f.Keys[0].X25519, 0) },
		"x25519 of another":  func(f *keyFile) { f.Keys[0].X25519 = f.Keys[1].X25519 },
		"halves exchanged": func(f *keyFile) {
			f.Keys[0].Hybrid, f.Keys[0].X25519 = f.Keys[0].X25519, f.Keys[0].Hybrid
		},
	}
	ring, _, err := newRing(t).Prepare(testTime)
	if err != nil {
		t.Fatal(err)
	}
	private, public := export(t, ring), must(json.Marshal(ring.Keyset()))
	raws := map[string]func([]byte) []byte{
		"empty":     func([]byte) []byte { return nil },
		"null":      func([]byte) []byte { return []byte("null") },
		"array":     func(d []byte) []byte { return append(append([]byte("["), d...), ']') },
		"cut":       func(d []byte) []byte { return d[:len(d)-1] },
		"trailing":  func(d []byte) []byte { return append(bytes.Clone(d), "{}"...) },
		"too large": func(d []byte) []byte { return append(bytes.Clone(d), bytes.Repeat([]byte(" "), 128<<10)...) },
		"mistyped": func(d []byte) []byte {
			return bytes.Replace(d, []byte(`"primary":"`), []byte(`"primary":471100,"x":"`), 1)
		},
		"no base64": func(d []byte) []byte {
			return bytes.Replace(d, []byte(`"x25519":"`), []byte(`"x25519":"`+planted+`!`), 1)
		},
	}
	for name, edit := range edits {
		raws[name] = func(d []byte) []byte { return editJSON(t, d, edit) }
	}
	private = editJSON(t, private, func(*keyFile) {}) // the unedited file is accepted
	must(seal.ParseKeyring(private))
	secrets := held{forms: append(keyForms(t, ring), planted, "4711")}
	for name, raw := range raws {
		_, err := seal.ParseKeyring(raw(private))
		if !errors.Is(err, seal.ErrMalformed) {
			t.Errorf("keyring, %s: %v", name, err)
		} else {
			secrets.leaks(t, "keyring, "+name, err.Error())
		}
		var set seal.Keyset
		err = set.UnmarshalJSON(raw(public))
		if !errors.Is(err, seal.ErrMalformed) || len(set.Keys()) != 0 {
			t.Errorf("keyset, %s: %d keys, %v", name, len(set.Keys()), err)
		} else {
			secrets.leaks(t, "keyset, "+name, err.Error())
		}
	}
}

// An X25519 private key has one serialisation (RFC 9180, section 7.1.2): another
// that means the same key is taken, and written back in the one form.
func TestUnclampedPrivateKey(t *testing.T) {
	t.Parallel()
	ring := newRing(t)
	data := export(t, ring)
	edited := editJSON(t, data, func(f *keyFile) { f.Keys[0].X25519[0] |= 7 })
	again := must(seal.ParseKeyring(edited))
	if !bytes.Equal(export(t, again), data) {
		t.Error("not written back in the one form")
	}
}

func FuzzParseKeyring(f *testing.F) {
	ring, _, err := newRing(f).Prepare(testTime)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(export(f, ring))
	f.Add(must(json.Marshal(ring.Keyset())))
	f.Add([]byte(`{"type":"rekindle.keyring.v1","primary":"","keys":[]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		ring, err := seal.ParseKeyring(data)
		if err != nil {
			return
		}
		once := export(t, ring)
		again := must(seal.ParseKeyring(once))
		if !bytes.Equal(once, export(t, again)) {
			t.Fatal("does not re-encode to the same bytes")
		}
	})
}
