package endpoint_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rekindle-dev/rekindle/pkg/endpoint"
	"github.com/rekindle-dev/rekindle/pkg/state"
)

func start() time.Time { return time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC) }

func TestBreaker(t *testing.T) {
	t.Parallel()
	h, now := &endpoint.Health{Host: "h"}, start()
	if h.Open(now) || h.Probe(now, time.Minute) || h.Answered(now) {
		t.Fatal("a host of which nothing is known is open")
	}
	h.Trip(now, false)
	var open []time.Duration
	for range 8 {
		open = append(open, h.OpenUntil.Sub(now))
		if h.Trip(now, false) || h.Probe(now, time.Minute) || !h.Open(now) {
			t.Fatal("while it is open, others' failures change it, or somebody may ask")
		}
		now = h.OpenUntil
		if !h.Probe(now, 10*time.Second) || !h.OpenUntil.Equal(now.Add(10*time.Second)) {
			t.Fatal("nobody may ask whether the host is back")
		}
		if h.Probe(now, time.Minute) {
			t.Fatal("two may ask at once")
		}
		now = now.Add(time.Second)
		h.Trip(now, true)
	}
	want := []time.Duration{5, 10, 20, 40, 80, 120, 120, 120}
	for i := range want {
		want[i] *= time.Second
	}
	if diff := cmp.Diff(want, open); diff != "" {
		t.Errorf("open for (-want +got):\n%s", diff)
	}
	if h.Answered(start().Add(-time.Second)) {
		t.Error("an answer from before it opened closed it")
	}
	if !h.Answered(now) || h.Open(now) {
		t.Error("an answer did not close it")
	}
}

// A breaker that nobody has put to the test is forgotten in the end.
func TestBreakerIsForgotten(t *testing.T) {
	t.Parallel()
	h, now := &endpoint.Health{Host: "h"}, start()
	h.Trip(now, false)
	h.Trip(now, true)
	end := h.OpenUntil.Add(endpoint.Forgotten)
	if !h.Open(end.Add(-time.Second)) || h.Open(end) || h.Probe(end, time.Second) {
		t.Error("it is not forgotten when it should be")
	}
	h.Trip(end, true)
	if got := h.OpenUntil.Sub(end); got != endpoint.FirstOpen {
		t.Errorf("opened again it is open for %v", got)
	}
}

func TestWait(t *testing.T) {
	t.Parallel()
	h, now := &endpoint.Health{Host: "h"}, start()
	for _, step := range []struct {
		client  uint32
		asked   time.Duration
		changed bool
		until   time.Duration // of client 1, afterwards
	}{
		{1, time.Minute, true, time.Minute},
		{1, time.Second, false, time.Minute},
		{2, time.Hour, true, time.Minute},
		{1, 48 * time.Hour, true, endpoint.MaxPause},
		{0, 25 * time.Hour, true, endpoint.MaxPause},
	} {
		if step.client == 0 {
			now = now.Add(time.Minute) // later than what client 1 was asked
		}
		if got := h.Wait(step.client, now, step.asked); got != step.changed {
			t.Errorf("%+v: changed is %v", step, got)
		}
		if got := h.Paused(1).Sub(now); got != step.until {
			t.Errorf("%+v: client 1 waits for %v", step, got)
		}
	}
	if got := h.Paused(3); !got.Equal(now.Add(endpoint.MaxPause)) {
		t.Errorf("another client waits until %v while all were asked", got)
	}
}

func TestThrottled(t *testing.T) {
	t.Parallel()
	h, now := &endpoint.Health{Host: "h"}, start()
	var pauses []time.Duration
	for range 8 {
		if !h.Throttled(1, now) || h.Throttled(1, now) {
			t.Fatal("the first answer of many at once is not the only one that counts")
		}
		pauses = append(pauses, h.Paused(1).Sub(now))
		now = h.Paused(1).Add(59 * time.Second) // still in a row
	}
	want := []time.Duration{1, 2, 4, 8, 16, 32, 60, 60}
	for i := range want {
		want[i] *= time.Second
	}
	if diff := cmp.Diff(want, pauses); diff != "" {
		t.Errorf("pauses (-want +got):\n%s", diff)
	}
	now = now.Add(time.Second)
	h.Throttled(1, now)
	if got := h.Paused(1).Sub(now); got != endpoint.FirstPause {
		t.Errorf("after a minute of peace the next pause is %v", got)
	}
}

// However many clients are asked for patience, the record is bounded, and none
// of them is forgotten.
func TestManyPauses(t *testing.T) {
	t.Parallel()
	h, now := &endpoint.Health{Host: "h"}, start()
	for client := range uint32(1000) {
		h.Wait(client+1, now, time.Hour)
	}
	if len(h.Pauses) > endpoint.MaxPauses+1 {
		t.Errorf("%d pauses", len(h.Pauses))
	}
	for client := range uint32(1000) {
		if got := h.Paused(client + 1).Sub(now); got != time.Hour {
			t.Fatalf("client %d waits for %v", client+1, got)
		}
	}
	now = now.Add(2 * time.Hour)
	h.Wait(7, now, time.Minute)
	if len(h.Pauses) != 1 {
		t.Errorf("%d pauses after those that have ended", len(h.Pauses))
	}
}

func TestClient(t *testing.T) {
	t.Parallel()
	if endpoint.Client("") != 0 {
		t.Error("no client is not all clients")
	}
	seen := map[uint32]bool{0: true}
	for i := range 1000 {
		n := endpoint.Client(fmt.Sprint("client-", i))
		if seen[n] {
			t.Fatalf("the number of client %d is taken", i)
		}
		seen[n] = true
	}
}

// No record, whatever is in it, holds up a host for good.
func FuzzDecode(f *testing.F) {
	key := state.EndpointKey("h")
	for _, body := range []string{
		`{"host":"h"}`,
		`{"host":"h","trips":3,"since":"2026-11-22T12:00:00Z","open_until":"2026-11-22T12:00:20Z"}`,
		`{"host":"h","trips":3,"open_until":"9999-01-01T00:00:00Z","member of tomorrow":[]}`,
		`{"host":"h","pauses":{"0":{"until":"9999-01-01T00:00:00Z"},"7":{"until":"2026-11-22T12:00:01Z","row":9223372036854775807}}}`,
		`{"host":"other"}`, `{"host":"h","trips":-1}`, `{"host":"h","pauses":{"-1":{}}}`, `null`, ``, `[]`,
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		now := start()
		h, err := endpoint.Decode(key, body, now)
		if err != nil {
			if text := err.Error(); strings.Contains(text, "tomorrow") {
				t.Errorf("the error shows the record: %s", text)
			}
			return
		}
		if h.Host != "h" {
			t.Fatalf("host %q", h.Host)
		}
		end := now.Add(endpoint.MaxPause)
		if h.Open(now.Add(endpoint.LastOpen+endpoint.Forgotten)) || h.OpenUntil.After(now.Add(endpoint.LastOpen)) {
			t.Errorf("open until %v", h.OpenUntil)
		}
		for client := range h.Pauses {
			if h.Paused(client).After(end) {
				t.Errorf("client %d waits until %v", client, h.Paused(client))
			}
		}
		h.Throttled(7, end)
		if got := h.Paused(7).Sub(end); got > endpoint.LastPause {
			t.Errorf("the next pause is %v", got)
		}
		h.Trip(now, true)
		if _, err := json.Marshal(h); err != nil {
			t.Error(err)
		}
	})
}
