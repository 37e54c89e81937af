package bus

import (
	"context"
	"maps"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/work"
)

func TestPublish(t *testing.T) {
	t.Parallel()
	b := open(t)
	e := due("SE1")
	e.Data = events.SecretDeleted{Secret: "SE1", Property: "PR1", Name: "n", Kind: "token"}
	other := e
	other.ID = "other"
	for _, e := range []events.Event{e, e, other, e} {
		if err := b.Publish(patient(t), e); err != nil {
			t.Fatal(err)
		}
	}
	s, err := b.js.Stream(patient(t), streamEvents)
	if err != nil {
		t.Fatal(err)
	}
	if n := s.CachedInfo().State.Msgs; n != 2 {
		t.Errorf("%d events are stored, want each once", n)
	}
	m, err := s.GetMsg(patient(t), 1)
	if err != nil {
		t.Fatal(err)
	}
	if want := "rekindle.v1.event.org=40Test.SecretDeleted.SE1"; m.Subject != want {
		t.Errorf("published as %s, want %s", m.Subject, want)
	}
	if got, err := events.Decode(events.Header(m.Header), m.Data); err != nil || got.ID != e.ID || got.Data != e.Data {
		t.Errorf("stored %v, %v; want %v", got, err, e)
	}
	if err := b.Publish(patient(t), events.Event{}); err == nil {
		t.Error("an event without data was published")
	}
	if _, err := b.Offer(patient(t), events.Event{}); err == nil {
		t.Error("a job without data was accepted")
	}
}

// What a later version of the program has written goes out as it is.
func TestForward(t *testing.T) {
	t.Parallel()
	b := open(t)
	h := events.Attributes{ID: "1", Source: "/s", Type: events.TypePrefix + "SecretForgotten", Subject: "SE1", Org: "org@Test"}.Header()
	h["ce-later"] = []string{"x"}
	body := []byte(`{"later":true}`)
	for range 2 {
		if err := b.Forward(patient(t), h, body); err != nil {
			t.Fatal(err)
		}
	}
	s, err := b.js.Stream(patient(t), streamEvents)
	if err != nil {
		t.Fatal(err)
	}
	if n := s.CachedInfo().State.Msgs; n != 1 {
		t.Errorf("%d events are stored, want one", n)
	}
	m, err := s.GetMsg(patient(t), 1)
	if err != nil {
		t.Fatal(err)
	}
	if m.Subject != "rekindle.v1.event.org=40Test.SecretForgotten.SE1" || m.Header.Get("ce-later") != "x" || string(m.Data) != string(body) {
		t.Errorf("stored as %s: %v %s", m.Subject, m.Header, m.Data)
	}
	if _, there := h["Nats-Msg-Id"]; there {
		t.Error("the header of whoever forwards was changed")
	}
	for name, bad := range map[string]string{events.HeaderType: "other", events.HeaderID: "%zz", events.HeaderSubject: ""} {
		damaged := maps.Clone(h)
		damaged[name] = []string{bad}
		if err := b.Forward(patient(t), damaged, body); err == nil {
			t.Errorf("an event with %s %q was published", name, bad)
		}
	}
}

// gather returns the gauges of a collector.
func gather(t *testing.T, c prometheus.Collector) map[string]float64 {
	t.Helper()
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(c)
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		got[f.GetName()] = f.GetMetric()[0].GetGauge().GetValue()
	}
	return got
}

func TestQueues(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	b := connect(t, s.config(t), never())
	q := b.Queues()
	want := func(when string, waiting, inFlight, parked float64) {
		t.Helper()
		until(t, when, func() bool { // the server counts what waits a little later than it stores it
			got := gather(t, q)
			oldest := got["rekindle_jobs_oldest_seconds"]
			return got["rekindle_jobs_waiting"] == waiting && got["rekindle_jobs_in_flight"] == inFlight &&
				got["rekindle_parked_messages"] == parked && got["rekindle_queues_unreadable"] == 0 &&
				oldest >= 0 && (oldest > 0) == (waiting+inFlight > 0)
		})
	}
	want("empty", 0, 0, 0)
	for _, id := range []string{"SE1", "SE2", "SE3"} {
		offer(t, b, id)
	}
	want("queued", 3, 0, 0)
	handle, calls := visits()
	startWork(t, b, 2, handle)
	one, two := next(t, calls), next(t, calls)
	want("two at work", 1, 2, 0)
	one.answer <- nil
	three := next(t, calls)
	want("one done", 0, 2, 0)
	two.answer <- work.Reject(errPanic)
	three.answer <- work.Reject(errPanic)
	until(t, "both are parked", func() bool { d, err := b.depth(patient(t)); return err == nil && d.parked == 2 && d.inFlight == 0 })
	want("done", 0, 0, 2)
	upstream(t, b, "org.SecretCreated.key", "{}")
	until(t, "an event from upstream waits", func() bool {
		got := gather(t, q)
		return got["rekindle_intake_waiting"] == 1 && got["rekindle_intake_oldest_seconds"] > 0
	})
	takeIntake(t, b, func(context.Context, work.Letter) error { return nil })
	until(t, "it is dealt with", func() bool {
		got := gather(t, q)
		return got["rekindle_intake_waiting"] == 0 && got["rekindle_intake_oldest_seconds"] == 0
	})
	s.stop()
	until(t, "disconnected", func() bool { return !b.Connected() })
	if got := gather(t, q); len(got) != 1 || got["rekindle_queues_unreadable"] != 1 {
		t.Errorf("without a server: %v", got)
	}
}
