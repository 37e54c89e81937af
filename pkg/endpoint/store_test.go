package endpoint_test

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rekindle-dev/rekindle/pkg/endpoint"
	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/pkg/state/statetest"
)

// Of many who want to know whether a host is back, one asks; and what is noted
// at the same time of its clients is not lost.
func TestManyWriters(t *testing.T) {
	t.Parallel()
	st, now := endpoint.Store{State: statetest.New()}, start()
	if _, wrote, err := st.Update(t.Context(), "h", now, func(h *endpoint.Health) bool { return h.Trip(now, false) }); !wrote || err != nil {
		t.Fatalf("the breaker was not opened: %v", err)
	}
	now = now.Add(endpoint.FirstOpen)
	var asking sync.WaitGroup
	var probes atomic.Int32
	for client := range uint32(50) {
		asking.Go(func() {
			_, wrote, err := st.Update(t.Context(), "h", now, func(h *endpoint.Health) bool { return h.Probe(now, time.Second) })
			if err != nil {
				t.Error(err)
			}
			if wrote {
				probes.Add(1)
			}
			if _, _, err := st.Update(t.Context(), "h", now, func(h *endpoint.Health) bool { return h.Wait(client+1, now, time.Hour) }); err != nil {
				t.Error(err)
			}
		})
	}
	asking.Wait()
	if n := probes.Load(); n != 1 {
		t.Errorf("%d have the right to ask", n)
	}
	h := stored(t, st)
	for client := range uint32(50) {
		if !h.Paused(client + 1).Equal(now.Add(time.Hour)) {
			t.Errorf("client %d waits until %v", client+1, h.Paused(client+1))
		}
	}
}

func stored(t *testing.T, st endpoint.Store) *endpoint.Health {
	t.Helper()
	body, _, err := st.State.Get(t.Context(), state.EndpointKey("h"))
	if err != nil {
		t.Fatal(err)
	}
	h, err := endpoint.Decode(state.EndpointKey("h"), body, start())
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// A record that says nothing is none.
func TestClosedIsRemoved(t *testing.T) {
	t.Parallel()
	st, now := endpoint.Store{State: statetest.New()}, start()
	update := func(change func(*endpoint.Health) bool) bool {
		t.Helper()
		_, wrote, err := st.Update(t.Context(), "h", now, change)
		if err != nil {
			t.Fatal(err)
		}
		return wrote
	}
	update(func(h *endpoint.Health) bool { return h.Trip(now, false) })
	if update(func(*endpoint.Health) bool { return false }) {
		t.Error("wrote what had not changed")
	}
	if !update(func(h *endpoint.Health) bool { return h.Answered(now) }) {
		t.Error("did not write the answer")
	}
	if _, _, err := st.State.Get(t.Context(), state.EndpointKey("h")); !errors.Is(err, state.ErrNotFound) {
		t.Errorf("the record is still there: %v", err)
	}
	if update(func(*endpoint.Health) bool { return true }) {
		t.Error("wrote a record that says nothing")
	}
}

// A damaged record is none, and is mended by the next write.
func TestDamagedIsWrittenOver(t *testing.T) {
	t.Parallel()
	st, now := endpoint.Store{State: statetest.New()}, start()
	if _, err := st.State.Commit(t.Context(), state.Write{Key: state.EndpointKey("h"), Value: []byte(`{"host":"other"}`)}); err != nil {
		t.Fatal(err)
	}
	if _, wrote, err := st.Update(t.Context(), "h", now, func(h *endpoint.Health) bool { return h.Trip(now, false) }); !wrote || err != nil {
		t.Fatalf("%v", err)
	}
	if h := stored(t, st); h.Trips != 1 {
		t.Errorf("the breaker has opened %d times", h.Trips)
	}
}
