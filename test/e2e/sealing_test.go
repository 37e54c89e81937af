package e2e

import (
	"bufio"
	"bytes"
	"crypto/ecdh"
	"crypto/hpke"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/rekindle-dev/rekindle/events/sealing"
)

// vectors are those that publishers test themselves against.
type vectors struct {
	Private json.RawMessage
	Keyset  json.RawMessage
	Values  []struct {
		Org, About, Field, Plaintext string
		TokenURL                     string `json:"token_url"`
	}
}

// publisher runs sealing/publisher.mjs, an HPKE of other people's.
func publisher(t *testing.T, orders []map[string]any) (answers []map[string]string) {
	t.Helper()
	dir := npmInstall(t, "sealing")
	var in, out bytes.Buffer
	for _, order := range orders {
		in.Write(append(must(json.Marshal(order))(t), '\n'))
	}
	cmd := exec.CommandContext(t.Context(), "node", filepath.Join(dir, "publisher.mjs"))
	cmd.Stdin, cmd.Stdout, cmd.Stderr = &in, &out, os.Stderr
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(&out); lines.Scan(); {
		var answer map[string]string
		if err := json.Unmarshal(lines.Bytes(), &answer); err != nil {
			t.Fatal(err)
		}
		answers = append(answers, answer)
	}
	if len(answers) != len(orders) {
		t.Fatalf("%d answers to %d orders", len(answers), len(orders))
	}
	return answers
}

// TestPublisherInAnotherLanguage: what Go has sealed opens in JavaScript, and what
// JavaScript seals opens in Go, in both formats and for whatever it is sealed.
func TestPublisherInAnotherLanguage(t *testing.T) {
	t.Parallel()
	var v vectors
	if err := json.Unmarshal(must(os.ReadFile("../../events/sealing/testdata/vectors.json"))(t), &v); err != nil {
		t.Fatal(err)
	}
	keys := must(sealing.Parse(v.Keyset))(t)
	var private struct {
		Hybrid []byte `json:"mlkem768_x25519"`
		X25519 []byte `json:"x25519"`
	}
	if err := json.Unmarshal(v.Private, &private); err != nil {
		t.Fatal(err)
	}
	opening := map[sealing.Format]hpke.PrivateKey{
		sealing.FormatHybrid: must(hpke.MLKEM768X25519().NewPrivateKey(private.Hybrid))(t),
		sealing.FormatX25519: must(hpke.DHKEM(ecdh.X25519()).NewPrivateKey(private.X25519))(t),
	}

	// Each vector is sealed by either in both formats.
	var orders []map[string]any
	for _, value := range v.Values {
		b := sealing.Target{Org: value.Org, About: value.About, Field: value.Field, TokenURL: value.TokenURL}.Binding()
		for _, class := range []sealing.Class{sealing.LongLived, sealing.ShortLived} {
			sealed := must(keys.SealAs(class, b, []byte(value.Plaintext)))(t)
			orders = append(orders,
				map[string]any{"open": map[string]any{
					"private": v.Private, "sealed": sealed, "binding": map[string]any{"secret": b.Secret, "field": b.Field, "generation": b.Generation},
				}},
				map[string]any{"hybrid": class == sealing.LongLived, "seal": map[string]any{
					"keyset": v.Keyset, "org": value.Org, "about": value.About, "field": value.Field, "token_url": value.TokenURL, "plaintext": value.Plaintext,
				}})
		}
	}
	answers := publisher(t, orders)
	for i, answer := range answers {
		value := v.Values[i/4]
		what := fmt.Sprintf("%s of %s", value.Field, value.About)
		if i%2 == 0 {
			if answer["plaintext"] != value.Plaintext {
				t.Errorf("%s, sealed in Go, opens as %q", what, answer["plaintext"])
			}
			continue
		}
		var got sealing.Value
		if err := json.Unmarshal(must(json.Marshal(answer))(t), &got); err != nil {
			t.Fatal(err)
		}
		h, body, err := sealing.Split(got.Bytes())
		if want := []sealing.Format{sealing.FormatHybrid, sealing.FormatX25519}[i/2%2]; err != nil || h.Format != want {
			t.Fatalf("%s: %v, %v", what, h, err)
		}
		b := sealing.Target{Org: value.Org, About: value.About, Field: value.Field, TokenURL: value.TokenURL}.Binding()
		opened, err := hpke.Open(opening[h.Format], hpke.HKDFSHA256(), hpke.AES256GCM(), h.Info(b), body)
		if err != nil || string(opened) != value.Plaintext {
			t.Errorf("%s, sealed in JavaScript, opens as %q, %v", what, opened, err)
		}
	}
}
