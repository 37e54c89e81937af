package bus

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/work"
)

// parkedMessages returns a function that waits for the next parked message.
func parkedMessages(t *testing.T, b *Bus) func() jetstream.Msg {
	t.Helper()
	c, err := b.js.OrderedConsumer(patient(t), streamParked, jetstream.OrderedConsumerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	it, err := c.Messages()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(it.Stop)
	return func() jetstream.Msg {
		t.Helper()
		m, err := it.Next(jetstream.NextContext(patient(t)))
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
}

func TestReject(t *testing.T) {
	t.Parallel()
	b := connect(t, configFor(t, serve(t)), never())
	parked := parkedMessages(t, b)
	handle, calls := visits()
	startWork(t, b, 1, handle)
	offer(t, b, "SE1")
	expect(t, calls, "SE1", 1).answer <- work.Reject(errors.New("no use\r\nNats-Rollup: all"))
	m := parked()
	if want := events.ParkedSubject("job", "SE1"); m.Subject() != want {
		t.Errorf("parked as %s, want %s", m.Subject(), want)
	}
	if got, want := m.Headers().Get(headerReason), "rejected: no use  Nats-Rollup: all"; got != want {
		t.Errorf("parked because of %q, want %q", got, want)
	}
	if e, err := events.Decode(events.Header(m.Headers()), m.Data()); err != nil || e.ID != "event of SE1" {
		t.Errorf("the parked job is %q, %v", e.ID, err)
	}
	until(t, "the place is free", func() bool { return offer(t, b, "SE1") })
	expect(t, calls, "SE1", 1).answer <- nil
}

// TestPoison sends what no scheduler would. Each is set aside, with its body
// and what is known of its header, and those behind it are worked on.
func TestPoison(t *testing.T) {
	t.Parallel()
	b := connect(t, configFor(t, serve(t)), never())
	parked := parkedMessages(t, b)
	handle, calls := visits()
	startWork(t, b, 2, handle)
	good, body, err := events.Encode(due("SE1"))
	if err != nil {
		t.Fatal(err)
	}
	with := func(name, value string) nats.Header {
		h := nats.Header(maps.Clone(good))
		h.Set(name, value)
		return h
	}
	unheard := with(events.HeaderType, events.TypePrefix+"Unheard")
	for name, tc := range map[string]struct {
		header nats.Header
		body   []byte
		reason string
		kept   nats.Header
	}{
		"no header": {nil, body, "ce-specversion", nats.Header{}},
		"no JSON":   {nats.Header(good), []byte("{"), "body of RefreshDue", nats.Header(good)},
		"unknown":   {unheard, body, "unknown event type", unheard},
		// What looks like the server's word about a pull request.
		"forged status": {nats.Header{"Status": {"400"}}, nil, "ce-specversion", nats.Header{}},
		"forged end":    {nats.Header{"Status": {"409"}, "Description": {"Consumer Deleted"}}, nil, "ce-specversion", nats.Header{}},
		// What the server would act on, were it copied.
		"stream": {with("Nats-Expected-Stream", streamJobs), nil, "body", nats.Header(good)},
		"id":     {with("Nats-Msg-Id", "1"), nil, "body", nats.Header(good)},
		"other":  {with("X-Other", "1"), nil, "body", nats.Header(good)},
	} {
		m := &nats.Msg{Subject: events.JobSubject("SE1"), Header: tc.header, Data: tc.body}
		until(t, name+" is accepted", func() bool {
			_, err := b.js.PublishMsg(patient(t), m)
			if err != nil && !queued(err) {
				t.Fatal(err)
			}
			return err == nil
		})
		p := parked()
		got := p.Headers()
		if reason := got.Get(headerReason); !strings.Contains(reason, tc.reason) {
			t.Errorf("%s: parked because of %q, want %q", name, reason, tc.reason)
		}
		if n := got.Get(headerDeliveries); n != "1" {
			t.Errorf("%s: parked after %s deliveries", name, n)
		}
		got.Del(headerReason)
		got.Del(headerDeliveries)
		if diff := cmp.Diff(tc.kept, got); diff != "" {
			t.Errorf("%s: header (-want +got):\n%s", name, diff)
		}
		if string(p.Data()) != string(tc.body) {
			t.Errorf("%s: body is %q, want %q", name, p.Data(), tc.body)
		}
	}
	until(t, "the place is free", func() bool { return offer(t, b, "SE1") })
	expect(t, calls, "SE1", 1).answer <- nil
}

// TestFailing lets handlers fail in every way until the job is parked.
func TestFailing(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		fail   func() error
		reason string
	}{
		"panic": {func() error { panic("boom") }, "the handler panicked"},
		"error": {func() error { return errors.New("no luck") }, "no luck"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			lane := never()
			lane.maxDeliveries, lane.firstPause, lane.maxPause = 4, time.Millisecond, 2*time.Millisecond
			cfg := configFor(t, serve(t))
			var log func() string
			cfg.Logger, log = logged()
			b := connect(t, cfg, lane)
			parked := parkedMessages(t, b)
			calls := make(chan int, 100)
			startWork(t, b, 1, func(_ context.Context, m work.Message) error {
				calls <- m.Delivery
				return tc.fail()
			})
			offer(t, b, "SE1")
			if m := parked(); !strings.Contains(m.Headers().Get(headerReason), tc.reason) {
				t.Errorf("parked because of %q, want %q", m.Headers().Get(headerReason), tc.reason)
			}
			for want := range lane.maxDeliveries {
				if got := next(t, calls); got != want+1 {
					t.Errorf("delivery %d, want %d", got, want+1)
				}
			}
			until(t, "the place is free", func() bool { return offer(t, b, "SE1") })
			// What was thrown may hold anything: where from is enough.
			if told := log(); name == "panic" && (!strings.Contains(told, "job_test.go") || strings.Contains(told, "boom")) {
				t.Errorf("of the panic the log says\n%s", told)
			}
		})
	}
}

// TestParkedIsTold tells of a job that was set aside what its handler saw of it, and
// goes on when nobody can note it.
func TestParkedIsTold(t *testing.T) {
	t.Parallel()
	b := connect(t, configFor(t, serve(t)), never())
	seen, told := make(chan work.Message, 10), make(chan work.Message, 10)
	startParking(t, b, 1, func(_ context.Context, m work.Message) error {
		m.Answer = nil
		seen <- m
		return work.Reject(errors.New("never"))
	}, func(_ context.Context, m work.Message) error {
		told <- m
		panic("boom")
	})
	for range 2 {
		until(t, "the place is free", func() bool { return offer(t, b, "SE1") })
		if diff := cmp.Diff(next(t, seen), next(t, told)); diff != "" {
			t.Errorf("told (-seen +told):\n%s", diff)
		}
	}
}

// TestNotTheJobsFault drops a job for which something else was never ready: that is
// not its fault, and what is due is offered again.
func TestNotTheJobsFault(t *testing.T) {
	t.Parallel()
	for name, err := range map[string]error{
		"the store does not answer": fmt.Errorf("record: %w", ErrUnavailable),
		"somebody else is at work":  work.RetryAfter(time.Millisecond, errors.New("busy")),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			lane := never()
			lane.maxDeliveries, lane.firstPause, lane.maxPause = 3, time.Millisecond, 2*time.Millisecond
			b := connect(t, configFor(t, serve(t)), lane)
			calls := make(chan int, 100)
			startWork(t, b, 1, func(_ context.Context, m work.Message) error {
				calls <- m.Delivery
				return err
			})
			offer(t, b, "SE1")
			for want := range lane.maxDeliveries {
				if got := next(t, calls); got != want+1 {
					t.Errorf("delivery %d, want %d", got, want+1)
				}
			}
			until(t, "the place is free", func() bool { return offer(t, b, "SE1") })
			if all := allParked(t, b); len(all) != 0 {
				t.Errorf("parked: %v", all[0].Reason)
			}
		})
	}
}

// TestDeadly delivers a job that nobody lived to answer for.
func TestDeadly(t *testing.T) {
	t.Parallel()
	lane := soon()
	lane.maxDeliveries = 1
	b := connect(t, configFor(t, serve(t)), lane)
	offer(t, b, "SE1")
	p, err := newPuller(b.nc, streamJobs, consumerExchanger)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.ask(1); err != nil {
		t.Fatal(err)
	}
	if _, err := p.next(); err != nil {
		t.Fatal(err)
	}
	p.stop() // and die
	parked := parkedMessages(t, b)
	startWork(t, b, 1, func(context.Context, work.Message) error {
		t.Error("the handler was called")
		return nil
	})
	if got := parked().Headers().Get(headerReason); got != errUnanswered.Error() {
		t.Errorf("parked because of %q, want %q", got, errUnanswered)
	}
}

func TestOneLine(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"plain ä":                       "plain ä",
		"a\r\nb\tc\x00d\x7fe":           "a  b c d e",
		"\xff":                          "\uFFFD",
		"\u009b2J\u202e":                " 2J ",
		strings.Repeat("x", 600):        strings.Repeat("x", 512),
		"x" + strings.Repeat("ä", 600):  "x" + strings.Repeat("ä", 255),
		"xy" + strings.Repeat("ä", 600): "xy" + strings.Repeat("ä", 255),
	} {
		if got := oneLine(in); got != want || !utf8.ValidString(got) {
			t.Errorf("oneLine(%.20q) = %q, want %q", in, got, want)
		}
	}
}
