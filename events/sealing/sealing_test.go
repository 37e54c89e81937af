package sealing_test

import (
	"bytes"
	"crypto/ecdh"
	"crypto/hpke"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rekindle-dev/rekindle/events/sealing"
)

const canary = "canary-7f3a9c-do-not-show-canary"

var (
	testTime   = time.Date(2026, 11, 21, 9, 30, 0, 0, time.UTC)
	testTarget = sealing.Target{Org: "ACME@Example", About: "PR1/crm", Field: "client_secret", TokenURL: "https://ID.example:8443/t?x=1"}
)

// fleet holds the private halves of keys, as an exchanger does.
type fleet struct {
	set            sealing.Keyset
	hybrid, x25519 []hpke.PrivateKey
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// newFleet returns a fleet of n keys, of which the last is primary.
func newFleet(t testing.TB, n int) *fleet {
	t.Helper()
	f := new(fleet)
	var keys []sealing.PublicKey
	for range n {
		hybrid, x25519 := must(hpke.MLKEM768X25519().GenerateKey()), must(hpke.DHKEM(ecdh.X25519()).GenerateKey())
		f.hybrid, f.x25519 = append(f.hybrid, hybrid), append(f.x25519, x25519)
		keys = append(keys, sealing.NewPublicKey(hybrid.PublicKey(), x25519.PublicKey(), testTime))
	}
	f.set = must(sealing.NewKeyset(keys[n-1].ID(), keys))
	return f
}

// open opens what is sealed to the fleet's last key. The info is spelled out a second
// time on purpose.
func (f *fleet) open(sealed []byte, secret, field string, generation uint64) (string, error) {
	info := append([]byte("rekindle.seal.v1"), sealed[:9]...)
	info = append(binary.BigEndian.AppendUint32(info, uint32(len(secret))), secret...)
	info = append(binary.BigEndian.AppendUint32(info, uint32(len(field))), field...)
	info = binary.BigEndian.AppendUint64(info, generation)
	key := f.hybrid[len(f.hybrid)-1]
	if sealed[0] == 2 {
		key = f.x25519[len(f.x25519)-1]
	}
	opened, err := hpke.Open(key, hpke.HKDFSHA256(), hpke.AES256GCM(), info, sealed[9:])
	return string(opened), err
}

func TestSeal(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 2)
	for field, bound := range map[string]string{
		"client_secret": "upstream client_secret for https://id.example:8443",
		"password":      "upstream password", "token": "upstream token", "private_key": "upstream private_key",
	} {
		target := testTarget
		target.Field = field
		value, err := f.set.Seal(target, []byte(canary))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := f.open(value.Bytes(), "ACME@Example PR1/crm", bound, 1); err != nil || got != canary {
			t.Errorf("%s: opened %d bytes, %v", field, len(got), err)
		}
		want := sealing.Header{Format: sealing.FormatHybrid, Key: f.set.Primary(), Length: len(canary)}
		if got, err := value.Header(); got != want || err != nil {
			t.Errorf("%s: the header is %v, %v, want %v", field, got, err, want)
		}
		for _, other := range [][2]string{
			{"Acme@Example PR1/crm", bound}, {"ACME@Example PR1/crm2", bound}, {"ACME@Example PR1/crm", bound + "0"},
		} {
			if _, err := f.open(value.Bytes(), other[0], other[1], 1); err == nil {
				t.Errorf("%s: opens for %v", field, other)
			}
		}
	}
}

// A client secret is sealed for a server, however its URL is written.
func TestField(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ name, url, want string }{
		{"password", "https://h/t", "password"},
		{"private_key", "https://h/t", "private_key"},
		{"client_secret", "https://h/t", "client_secret for https://h"},
		{"client_secret", "HTTPS://H.Example/t?a=b#c", "client_secret for https://h.example"},
		{"client_secret", "http://h:80/", "client_secret for http://h:80"},
		{"client_secret", "https://[::1]:8443", "client_secret for https://[::1]:8443"},
		{"client_secret", "", "client_secret for ://"},
		{"client_secret", "https://h/%zz", "client_secret"},
	} {
		if got := sealing.Field(row.name, row.url); got != row.want {
			t.Errorf("%s at %q is sealed as %q, want %q", row.name, row.url, got, row.want)
		}
	}
}

func TestSealRefuses(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 1)
	for name, edit := range map[string]func(*sealing.Target){
		"organisation":   func(t *sealing.Target) { t.Org = "" },
		"names no":       func(t *sealing.Target) { t.About = "" },
		"one of token":   func(t *sealing.Target) { t.Field = "client-secret" },
		"the token_url":  func(t *sealing.Target) { t.TokenURL = "" },
		"server it is":   func(t *sealing.Target) { t.TokenURL = "//h/t" },
		"name the token": func(t *sealing.Target) { t.TokenURL = "https://h/%zz" },
	} {
		target := testTarget
		edit(&target)
		if value, err := f.set.Seal(target, []byte(canary)); err == nil || !strings.Contains(err.Error(), name) || !value.IsZero() {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := f.set.Seal(testTarget, nil); err == nil {
		t.Error("nothing was sealed")
	}
	if _, err := f.set.Seal(testTarget, make([]byte, sealing.MaxPlaintext+1)); !errors.Is(err, sealing.ErrTooLarge) {
		t.Errorf("too much: %v", err)
	}
	if _, err := (sealing.Keyset{}).Seal(testTarget, []byte(canary)); !errors.Is(err, sealing.ErrUnknownKey) {
		t.Errorf("no keyset: %v", err)
	}
}

func TestValueJSON(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 1)
	value := must(f.set.Seal(testTarget, []byte(canary)))
	short := must(f.set.SealAs(sealing.ShortLived, testTarget.Binding(), []byte(canary)))
	type credentials struct {
		Secret sealing.Value `json:"client_secret,omitzero"`
	}
	for _, sealed := range [][]byte{value.Bytes(), short} {
		sent := must(json.Marshal(map[string]any{"client_secret": map[string]any{"sealed": sealed}}))
		var got credentials
		if err := json.Unmarshal(sent, &got); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Secret.Bytes(), sealed) || !bytes.Equal(must(json.Marshal(got)), sent) {
			t.Error("the value is not written as it was read")
		}
	}
	if got := string(must(json.Marshal(credentials{}))); got != "{}" {
		t.Errorf("no value is written as %s", got)
	}
	if got := string(must(json.Marshal([]sealing.Value{{}}))); got != "[null]" {
		t.Errorf("no value in a list is written as %s", got)
	}
}

func TestValueRefuses(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 1)
	sealed := must(f.set.Seal(testTarget, []byte(canary))).Bytes()
	encoded := func(edit func([]byte) []byte) string {
		return string(must(json.Marshal(map[string][]byte{"sealed": edit(bytes.Clone(sealed))})))
	}
	for name, sent := range map[string]string{
		"text":           `"` + canary + `"`,
		"text as sealed": `{"sealed":"` + canary + `"}`,
		"a number":       `7`,
		"a list":         `["` + canary + `"]`,
		"nothing in it":  `{}`,
		"null in it":     `{"sealed":null}`,
		"empty":          `{"sealed":""}`,
		"more in it":     `{"sealed":"AA==","value":"` + canary + `"}`,
	} {
		var value sealing.Value
		err := value.UnmarshalJSON([]byte(sent))
		if !errors.Is(err, sealing.ErrMalformed) || !value.IsZero() {
			t.Errorf("%s: %v", name, err)
		} else if strings.Contains(err.Error(), canary) {
			t.Errorf("%s: the error quotes what was sent: %v", name, err)
		}
	}
	for name, sent := range map[string]string{
		"cut off":         encoded(func(b []byte) []byte { return b[:1144] }),
		"a header":        encoded(func(b []byte) []byte { return b[:8] }),
		"format 0":        encoded(func(b []byte) []byte { b[0] = 0; return b }),
		"the fleet's own": encoded(func(b []byte) []byte { b[0] = 3; return b }),
		"format 4":        encoded(func(b []byte) []byte { b[0] = 4; return b }),
		"too long":        encoded(func(b []byte) []byte { return append(b, make([]byte, sealing.MaxPlaintext)...) }),
	} {
		var value sealing.Value
		if err := value.UnmarshalJSON([]byte(sent)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if h, err := value.Header(); !errors.Is(err, sealing.ErrMalformed) || h != (sealing.Header{}) {
			t.Errorf("%s: %v, %v", name, h, err)
		}
		if got := string(must(json.Marshal(value))); got != sent {
			t.Errorf("%s: it is not passed on as it came", name)
		}
	}
}

// A value says to which key it is sealed, wherever it is printed.
func TestValuePrints(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 1)
	value := must(f.set.Seal(testTarget, []byte(canary)))
	want := "[sealed to " + f.set.Primary().String() + "]"
	for _, verb := range []string{"%v", "%+v", "%s", "%#v"} {
		if got := fmt.Sprintf(verb, value); got != want {
			t.Errorf("%s prints %s", verb, got)
		}
	}
	if got := fmt.Sprint(sealing.Value{}); got != "[not sealed]" {
		t.Errorf("none prints %s", got)
	}
}

func TestKeyset(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 3)
	again := must(sealing.Parse(must(json.Marshal(f.set))))
	if again.Fingerprint() != f.set.Fingerprint() || len(again.Keys()) != 3 {
		t.Error("the keyset is not read as it was written")
	}
	for _, k := range f.set.Keys() {
		if !again.Has(k.ID) || k.CreatedAt != testTime || k.Primary != (k.ID == f.set.Primary()) {
			t.Errorf("key %v", k)
		}
	}
	if again.Has(sealing.KeyID{}) {
		t.Error("it has a key that it has not")
	}
	if _, err := sealing.NewKeyset(sealing.KeyID{}, nil); !errors.Is(err, sealing.ErrMalformed) {
		t.Errorf("no keys: %v", err)
	}
}

func FuzzKeyset(f *testing.F) {
	f.Add(must(json.Marshal(newFleet(f, 2).set)))
	f.Add(must(json.MarshalIndent(newFleet(f, 1).set, "", "\t")))
	f.Add([]byte(`{"type":"rekindle.keyring.v1","primary":"0123456789abcdef","keys":[]}`))
	f.Add([]byte(`{"type":"rekindle.keyset.v1","primary":"0123456789abcdef","keys":[{"id":"","created_at":"9999-12-31T23:59:59Z"}]}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, data []byte) {
		set, err := sealing.Parse(data)
		if err != nil {
			return
		}
		once := must(json.Marshal(set))
		again := must(sealing.Parse(once))
		if !bytes.Equal(once, must(json.Marshal(again))) || set.Fingerprint() != again.Fingerprint() {
			t.Fatal("does not re-encode to the same bytes")
		}
		must(set.Seal(testTarget, []byte(canary)))
	})
}

func FuzzValue(f *testing.F) {
	set := newFleet(f, 1).set
	f.Add(must(json.Marshal(must(set.Seal(testTarget, []byte(canary))))))
	f.Add([]byte(`{"sealed":"AA=="}`))
	f.Add([]byte(`{"sealed":"AA==","sealed":null}`))
	f.Add([]byte(`"text"`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var value sealing.Value
		if value.UnmarshalJSON(data) != nil || value.IsZero() {
			return
		}
		if h, err := value.Header(); err == nil && (h.Format.Class() == 0 || h.Length < 0 || h.Length > sealing.MaxPlaintext) {
			t.Fatalf("the header is %v", h)
		}
		var again sealing.Value
		if err := again.UnmarshalJSON(must(json.Marshal(value))); err != nil || !bytes.Equal(again.Bytes(), value.Bytes()) {
			t.Fatalf("does not re-encode to the same value: %v", err)
		}
	})
}
