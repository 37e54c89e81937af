package bus

import (
	"errors"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/rekindle-dev/rekindle/pkg/work"
)

// TestOffer follows one job: while it is queued, held or waiting for another
// delivery there is no second.
func TestOffer(t *testing.T) {
	t.Parallel()
	b := connect(t, configFor(t, serve(t)), never())
	refused := func(when string) {
		t.Helper()
		if offer(t, b, "SE1") {
			t.Errorf("a second job was accepted while the first is %s", when)
		}
	}
	if !offer(t, b, "SE1") || !offer(t, b, "SE2") {
		t.Fatal("a first job was refused")
	}
	refused("queued")
	handle, calls := visits()
	startWork(t, b, 1, handle)
	first := expect(t, calls, "SE1", 1)
	refused("held")
	first.answer <- work.RetryAfter(time.Second, errors.New("not now"))
	// There is one worker: when the other job begins, the first is settled.
	other := expect(t, calls, "SE2", 1)
	refused("waiting")
	other.answer <- nil
	expect(t, calls, "SE1", 2).answer <- nil
}

// TestOfferAfterAck holds that the place is free once the ack has returned.
func TestOfferAfterAck(t *testing.T) {
	t.Parallel()
	b := connect(t, configFor(t, serve(t)), never())
	p, err := newPuller(b.nc, streamJobs, consumerExchanger)
	if err != nil {
		t.Fatal(err)
	}
	defer p.stop()
	l := &lane{b: b, hard: t.Context()}
	for i := range 50 {
		if !offer(t, b, "SE1") {
			t.Fatalf("refused after %d acks", i)
		}
		if err := p.ask(1); err != nil {
			t.Fatal(err)
		}
		m, err := p.next()
		for errors.Is(err, errIdle) {
			m, err = p.next()
		}
		if err != nil {
			t.Fatal(err)
		}
		l.ack(m)
	}
}

func TestMessage(t *testing.T) {
	t.Parallel()
	b := open(t)
	e := due("SE=1 ß.>") // nothing that can stand in a subject
	if _, err := b.Offer(patient(t), e); err != nil {
		t.Fatal(err)
	}
	handle, calls := visits()
	startWork(t, b, 1, handle)
	v := expect(t, calls, "SE=1 ß.>", 1)
	if v.msg.ID != e.ID || v.msg.Type != "RefreshDue" || len(v.msg.Data) == 0 {
		t.Errorf("message is %q of type %q with %d bytes", v.msg.ID, v.msg.Type, len(v.msg.Data))
	}
	v.answer <- nil
}

func TestTrace(t *testing.T) {
	t.Parallel()
	b := open(t)
	handle, calls := visits()
	startWork(t, b, 1, handle)
	span := trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{1, 2, 3}, SpanID: trace.SpanID{4, 5, 6}, TraceFlags: trace.FlagsSampled,
	})
	own := due("SE1")
	own.Trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	for _, tc := range []struct {
		job  func() error
		want string
	}{
		{func() error {
			_, err := b.Offer(trace.ContextWithSpanContext(patient(t), span), due("SE1"))
			return err
		}, span.TraceID().String()},
		{func() error {
			_, err := b.Offer(trace.ContextWithSpanContext(patient(t), span), own)
			return err
		}, "0af7651916cd43dd8448eb211c80319c"},
		{func() error {
			_, err := b.Offer(patient(t), due("SE1"))
			return err
		}, trace.TraceID{}.String()},
	} {
		until(t, "the place is free", func() bool { _, held := counts(t, b); return held == 0 })
		if err := tc.job(); err != nil {
			t.Fatal(err)
		}
		v := next(t, calls)
		got := trace.SpanContextFromContext(v.ctx)
		if got.TraceID().String() != tc.want || got.IsValid() && !got.IsRemote() {
			t.Errorf("trace is %v, want %s from afar", got, tc.want)
		}
		v.answer <- nil
	}
}
