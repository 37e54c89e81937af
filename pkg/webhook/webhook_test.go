package webhook_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rekindle-dev/rekindle/pkg/webhook"
)

var now = time.Unix(1_614_265_330, 0).UTC()

// The example of the Standard Webhooks libraries: every one of them agrees on it.
func TestVector(t *testing.T) {
	t.Parallel()
	h := http.Header{}
	h.Set("Webhook-Id", "msg_p5jXN8AQM9LWM0D4loKWxJek")
	h.Set("Webhook-Timestamp", "1614265330")
	h.Set("Webhook-Signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")
	if err := webhook.Verify("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", h, []byte(`{"test": 2432232314}`), now); err != nil {
		t.Error(err)
	}
}

// TestRotations: each secret that was replaced is signed with for a day, unless there are too
// many.
func TestRotations(t *testing.T) {
	t.Parallel()
	c := &webhook.Callback{ID: "CB1", Generation: 1}
	steps := []struct {
		rotate bool
		at     time.Duration
		want   []uint64
	}{
		{false, 0, []uint64{1}},
		{true, 0, []uint64{2, 1}},
		{true, time.Hour, []uint64{3, 2, 1}},
		{false, webhook.Overlap - 1, []uint64{3, 2, 1}},
		{false, webhook.Overlap, []uint64{3, 2}},
		{true, webhook.Overlap, []uint64{4, 3, 2}},
		{false, webhook.Overlap + time.Hour, []uint64{4, 3}},
		{true, webhook.Overlap + 2*time.Hour, []uint64{5, 4, 3}},
		{true, webhook.Overlap + 3*time.Hour, []uint64{6, 5, 4}},
		{false, 3 * webhook.Overlap, []uint64{6}},
		{true, 4 * webhook.Overlap, []uint64{7, 6}},
	}
	for i, step := range steps {
		at := now.Add(step.at)
		if step.rotate {
			c.Rotate(at)
		}
		if diff := cmp.Diff(step.want, c.Generations(at)); diff != "" {
			t.Errorf("step %d (-want +got):\n%s", i+1, diff)
		}
	}
}

func TestSignatures(t *testing.T) {
	t.Parallel()
	k := webhook.NewKey()
	c := &webhook.Callback{ID: "CB1", Generation: 2, RotatedAt: now}
	body := []byte(`{"a":1}`)
	signed := func(at time.Time) http.Header {
		all, err := k.Signatures(c, "msg_1", at, body)
		if err != nil {
			t.Fatal(err)
		}
		h := http.Header{}
		h.Set("Webhook-Id", "msg_1")
		h.Set("Webhook-Timestamp", strconv.FormatInt(at.Unix(), 10))
		h.Set("Webhook-Signature", all)
		return h
	}
	secret := func(k *webhook.Key, callback string, generation uint64) string {
		s, err := k.Secret(callback, generation)
		if err != nil {
			t.Fatal(err)
		}
		return s.Reveal()
	}
	during, after := now.Add(webhook.Overlap-time.Second), now.Add(webhook.Overlap)
	tests := []struct {
		name   string
		secret string
		at     time.Time
		change func(h http.Header, body []byte) []byte
		ok     bool
	}{
		{"current", secret(k, "CB1", 2), during, nil, true},
		{"before, for a day", secret(k, "CB1", 1), during, nil, true},
		{"before, after a day", secret(k, "CB1", 1), after, nil, false},
		{"current, after a day", secret(k, "CB1", 2), after, nil, true},
		{"another callback's", secret(k, "CB2", 2), during, nil, false},
		{"another key's", secret(webhook.NewKey(), "CB1", 2), during, nil, false},
		{"another body", secret(k, "CB1", 2), during, func(http.Header, []byte) []byte { return []byte(`{"a":2}`) }, false},
		{"another id", secret(k, "CB1", 2), during, func(h http.Header, b []byte) []byte { h.Set("Webhook-Id", "msg_2"); return b }, false},
		{"another time", secret(k, "CB1", 2), during, func(h http.Header, b []byte) []byte {
			h.Set("Webhook-Timestamp", strconv.FormatInt(during.Unix()+1, 10))
			return b
		}, false},
		{"no time", secret(k, "CB1", 2), during, func(h http.Header, b []byte) []byte { h.Del("Webhook-Timestamp"); return b }, false},
		{"no secret", "whsec_!", during, nil, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h, b := signed(tt.at), body
			if tt.change != nil {
				b = tt.change(h, b)
			}
			err := webhook.Verify(tt.secret, h, b, tt.at)
			if (err == nil) != tt.ok || err != nil && !errors.Is(err, webhook.ErrUnsigned) {
				t.Errorf("got %v", err)
			}
		})
	}
	if err := webhook.Verify(secret(k, "CB1", 2), signed(now), body, now.Add(6*time.Minute)); err == nil {
		t.Error("a message of some minutes ago was taken")
	}
}

// Nothing prints a key or a secret but what is asked to.
func TestRedacted(t *testing.T) {
	t.Parallel()
	k := webhook.NewKey()
	s, err := k.Secret("CB1", 1)
	if err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	for _, got := range []string{fmt.Sprintf("%+v", k), fmt.Sprintf("%#v %s %x", s, s, s), string(body), s.LogValue().String(), k.LogValue().String()} {
		if !strings.Contains(got, "[redacted]") || strings.Contains(got, s.Reveal()[8:20]) {
			t.Errorf("printed %q", got)
		}
	}
	if raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(s.Reveal(), "whsec_")); err != nil || len(raw) != 32 {
		t.Errorf("the secret has %d bytes: %v", len(raw), err)
	}
}

// Processes that start at once on one directory agree on a key.
func TestLoadKey(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "callbacks.key")
	var wg sync.WaitGroup
	var mu sync.Mutex
	checks, made := map[string]bool{}, 0
	for range 8 {
		wg.Go(func() {
			k, created, err := webhook.LoadKey(path)
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			checks[k.Check()] = true
			if created {
				made++
			}
		})
	}
	wg.Wait()
	if len(checks) != 1 || made != 1 {
		t.Errorf("%d keys, %d made", len(checks), made)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, _, err := webhook.LoadKey(path); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("open to the group: %v", err)
	}
	bad := filepath.Join(t.TempDir(), "bad")
	if err := os.WriteFile(bad, []byte("canary"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := webhook.LoadKey(bad); !errors.Is(err, webhook.ErrKey) || strings.Contains(err.Error(), "canary") {
		t.Errorf("no key: %v", err)
	}
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(path), ".callbacks-*")); err != nil || len(left) > 0 {
		t.Errorf("left over: %v %v", left, err)
	}
}

func TestNextTry(t *testing.T) {
	t.Parallel()
	if _, more := webhook.NextTry(webhook.MaxTries(), now); more {
		t.Error("a try after the last")
	}
	if next, more := webhook.NextTry(1, now); !more || next != now.Add(time.Minute) {
		t.Errorf("after the first: %v %v", next, more)
	}
	if webhook.MaxTries() != 8 {
		t.Errorf("%d tries", webhook.MaxTries())
	}
}

func FuzzDelivery(f *testing.F) {
	f.Add([]byte(`{"id":"a","callback":"CB1","type":"secret.created","entity":"SE1","position":1,"at":"2025-11-03T08:15:00Z","body":{"a":1}}`))
	f.Add([]byte(`{"number":51,"callback":"CB1","outcome":"failed"}`))
	f.Add([]byte(`{"callback":"CB1","number":1,"sequence":7,"position":3,"until":9}`))
	f.Add([]byte(`{"tries":-1,"id":"a","callback":"b","next_at":"0001-01-01T00:00:00Z"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if d, err := webhook.ReadDelivery(body); err == nil {
			webhook.NextTry(d.Tries+1, d.DueAt())
		}
		if try, err := webhook.ReadTry(body); err == nil {
			if slot := webhook.Slot(try.Number); slot < 0 || slot >= webhook.MaxTriesKept {
				t.Errorf("slot %d", slot)
			}
		}
		if p, err := webhook.ReadProgress(body); err == nil && (p.Callback == "" || p.Number == 0) {
			t.Error("a replay of nothing")
		}
	})
}

func FuzzVerify(f *testing.F) {
	f.Add("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_1", "1614265330", "v1,g0hM v1a,x", []byte("{}"))
	f.Add("", "", "", "", []byte{})
	f.Fuzz(func(t *testing.T, secret, id, at, signatures string, body []byte) {
		h := http.Header{"Webhook-Id": {id}, "Webhook-Timestamp": {at}, "Webhook-Signature": {signatures}}
		if webhook.Verify(secret, h, body, now) == nil && !strings.Contains(signatures, "v1,") {
			t.Error("taken without a signature")
		}
		webhook.ParseKey([]byte(secret))
	})
}

// TestNoSecretTakesNothing signs with the key that a receiver without a secret would
// check by.
func TestNoSecretTakesNothing(t *testing.T) {
	t.Parallel()
	body := []byte("{}")
	mac := hmac.New(sha256.New, nil)
	fmt.Fprintf(mac, "msg_1.%d.%s", now.Unix(), body)
	h := http.Header{}
	h.Set("Webhook-Id", "msg_1")
	h.Set("Webhook-Timestamp", strconv.FormatInt(now.Unix(), 10))
	h.Set("Webhook-Signature", "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	for _, secret := range []string{"", "whsec_"} {
		if err := webhook.Verify(secret, h, body, now); !errors.Is(err, webhook.ErrUnsigned) {
			t.Errorf("%q: got %v", secret, err)
		}
	}
}
