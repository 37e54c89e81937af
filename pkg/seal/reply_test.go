package seal_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/rekindle-dev/rekindle/pkg/seal"
)

func TestReply(t *testing.T) {
	t.Parallel()
	reply := must(seal.NewReply())
	for name, value := range map[string]string{
		"empty": "", "answer": canary, "largest": strings.Repeat("s", seal.MaxPlaintext),
	} {
		sealed, err := seal.SealReply(reply.Key(), testBinding, seal.NewPlaintext(value))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got, err := reply.Open(testBinding, sealed); err != nil || !got.Equal(seal.NewPlaintext(value)) {
			t.Errorf("%s: opened %d bytes of %d: %v", name, got.Len(), len(value), err)
		}
		if class, _, err := seal.Inspect(sealed); err != nil || class != seal.LongLived {
			t.Errorf("%s: sealed as %s, %v", name, class, err)
		}
	}
}

// A Reply opens what was sealed to it, for the question that was asked, and
// nothing else; and nothing else opens that.
func TestReplyOpensNothingElse(t *testing.T) {
	t.Parallel()
	reply, other, ring := must(seal.NewReply()), must(seal.NewReply()), newRing(t)
	sealed := must(seal.SealReply(reply.Key(), testBinding, seal.NewPlaintext(canary)))
	elsewhere := testBinding
	elsewhere.Generation++
	changed := bytes.Clone(sealed)
	changed[len(changed)-1] ^= 1
	for name, test := range map[string]struct {
		open func(seal.Binding, []byte) (seal.Plaintext, error)
		b    seal.Binding
		in   []byte
		want error
	}{
		"another's answer":  {other.Open, testBinding, sealed, seal.ErrUnknownKey},
		"with the fleet's":  {seal.NewOpener(ring).Open, testBinding, sealed, seal.ErrUnknownKey},
		"the fleet's":       {reply.Open, testBinding, mustSeal(t, ring, seal.LongLived, canary), seal.ErrUnknownKey},
		"another question":  {reply.Open, elsewhere, sealed, seal.ErrCannotOpen},
		"changed":           {reply.Open, testBinding, changed, seal.ErrCannotOpen},
		"no answer":         {reply.Open, testBinding, nil, seal.ErrMalformed},
		"a reply of nobody": {new(seal.Reply).Open, testBinding, sealed, seal.ErrUnknownKey},
	} {
		if got, err := test.open(test.b, test.in); !errors.Is(err, test.want) || !got.IsZero() {
			t.Errorf("%s: opened %d bytes, error %v, want %v", name, got.Len(), err, test.want)
		}
	}
}

func TestReplyKey(t *testing.T) {
	t.Parallel()
	reply := must(seal.NewReply())
	key := reply.Key()
	if bytes.Equal(key, must(seal.NewReply()).Key()) {
		t.Error("two replies have the same key")
	}
	var set seal.Keyset
	if err := json.Unmarshal(key, &set); err != nil || len(set.Keys()) != 1 || len(key) > 4<<10 {
		t.Errorf("the key of %d bytes is a keyset of %d keys, error %v", len(key), len(set.Keys()), err)
	}
	for _, form := range keyForms(t, reply.Ring()) {
		if bytes.Contains(key, []byte(form)) {
			t.Fatal("the key holds something private")
		}
	}
	clear(key)
	if bytes.Equal(key, reply.Key()) {
		t.Error("the key can be changed from outside")
	}
}

func TestSealReplyRefuses(t *testing.T) {
	t.Parallel()
	good, value := must(seal.NewReply()).Key(), seal.NewPlaintext(canary)
	ring := newRing(t)
	two, _, err := ring.Prepare(testTime)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		key   []byte
		b     seal.Binding
		value seal.Plaintext
		want  error
	}{
		"no key":       {nil, testBinding, value, seal.ErrMalformed},
		"null":         {[]byte("null"), testBinding, value, seal.ErrMalformed},
		"no JSON":      {[]byte(canary), testBinding, value, seal.ErrMalformed},
		"no keys":      {[]byte(`{"type":"rekindle.keyset.v1","primary":"0123456789abcdef","keys":[]}`), testBinding, value, seal.ErrMalformed},
		"later":        {bytes.Replace(good, []byte("keyset.v1"), []byte("keyset.v2"), 1), testBinding, value, seal.ErrMalformed},
		"cut short":    {good[:len(good)/2], testBinding, value, seal.ErrMalformed},
		"changed":      {bytes.Replace(good, []byte(`x25519":"`), []byte(`x25519":"AAAA`), 1), testBinding, value, seal.ErrMalformed},
		"private half": {export(t, ring), testBinding, value, seal.ErrMalformed},
		"two keys":     {must(json.Marshal(two.Keyset())), testBinding, value, seal.ErrMalformed},
		"no binding":   {good, seal.Binding{}, value, seal.ErrNoBinding},
		"no answer":    {good, testBinding, seal.Plaintext{}, seal.ErrNoPlaintext},
		"too large":    {good, testBinding, seal.NewPlaintext(make([]byte, seal.MaxPlaintext+1)), seal.ErrTooLarge},
	} {
		sealed, err := seal.SealReply(test.key, test.b, test.value)
		if !errors.Is(err, test.want) || sealed != nil {
			t.Errorf("%s: sealed %d bytes, error %v, want %v", name, len(sealed), err, test.want)
		}
		if err != nil && strings.Contains(err.Error(), "CANARY") {
			t.Errorf("%s: error %q quotes its input", name, err)
		}
	}
}

// FuzzSealReply: whatever comes as a key is refused, or sealed to.
func FuzzSealReply(f *testing.F) {
	f.Add(must(seal.NewReply()).Key())
	f.Add(must(json.Marshal(newRing(f).Keyset())))
	f.Add([]byte("{}"))
	f.Fuzz(func(t *testing.T, key []byte) {
		sealed, err := seal.SealReply(key, testBinding, seal.NewPlaintext(canary))
		if err != nil {
			if !errors.Is(err, seal.ErrMalformed) {
				t.Fatal(err)
			}
			return
		}
		if class, _, err := seal.Inspect(sealed); err != nil || class != seal.LongLived {
			t.Fatalf("sealed as %s, %v", class, err)
		}
	})
}
