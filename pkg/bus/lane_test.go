package bus

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/rekindle-dev/rekindle/pkg/work"
)

// never is an ack wait that no test lives to see the end of: a job that comes
// back was given back.
func never() limits {
	l := usual()
	l.ackWait = time.Hour
	return l
}

// soon makes a dead worker's jobs come back soon.
func soon() limits {
	l := usual()
	l.ackWait, l.heartbeat = 300*time.Millisecond, 75*time.Millisecond
	return l
}

// working is one running Work, which ends with the test.
type working struct {
	soft, hard context.CancelFunc
	err        chan error // holds what Work returned
}

func startWork(t testing.TB, b *Bus, workers int, handle work.Handler) *working {
	t.Helper()
	w := &working{err: make(chan error, 1)}
	var ctx, hard context.Context
	ctx, w.soft = context.WithCancel(context.Background())
	hard, w.hard = context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.err <- b.Work(ctx, hard, workers, handle)
	}()
	t.Cleanup(func() {
		w.soft()
		w.hard()
		<-done
	})
	return w
}

// visit is one call of a handler that waits for its answer.
type visit struct {
	ctx    context.Context
	msg    work.Message
	answer chan error
}

// visits returns a handler whose every call is sent to the channel, and waits
// for its answer or the hard stop.
func visits() (work.Handler, <-chan visit) {
	ch := make(chan visit, 100)
	return func(ctx context.Context, m work.Message) error {
		v := visit{ctx, m, make(chan error, 1)}
		ch <- v
		select {
		case err := <-v.answer:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}, ch
}

// expect fails the test unless the next call is this delivery of the secret's
// job.
func expect(t testing.TB, calls <-chan visit, secret string, delivery int) visit {
	t.Helper()
	v := next(t, calls)
	if v.msg.Subject != secret || v.msg.Delivery != delivery {
		t.Fatalf("called with delivery %d of %s, want %d of %s", v.msg.Delivery, v.msg.Subject, delivery, secret)
	}
	return v
}

// counts returns how many jobs wait and how many are held.
func counts(t testing.TB, b *Bus) (waiting uint64, held int) {
	t.Helper()
	d, err := b.depth(patient(t))
	if err != nil {
		t.Fatal(err)
	}
	return d.waiting, d.inFlight
}

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

// TestOfferAfterAck has one worker: when a job begins, the server has confirmed
// the ack of the one before it, whose place is free at that moment.
func TestOfferAfterAck(t *testing.T) {
	t.Parallel()
	b := connect(t, configFor(t, serve(t)), never())
	handle, calls := visits()
	offer(t, b, "SE0")
	startWork(t, b, 1, handle)
	for i := range 20 {
		v := expect(t, calls, fmt.Sprint("SE", i), 1)
		offer(t, b, fmt.Sprint("SE", i+1))
		if i > 0 && !offer(t, b, fmt.Sprint("SE", i-1)) {
			t.Fatalf("job %d was refused after the ack of the one before it", i-1)
		}
		v.answer <- nil
		if i > 1 {
			expect(t, calls, fmt.Sprint("SE", i-2), 1).answer <- nil
		}
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

// TestWorkers holds that no more jobs are taken than there are workers, not
// even to lie in a buffer.
func TestWorkers(t *testing.T) {
	t.Parallel()
	b := open(t)
	const jobs, workers = 12, 3
	for i := range jobs {
		offer(t, b, fmt.Sprint("SE", i))
	}
	var busy, most atomic.Int32
	handle, calls := visits()
	w := startWork(t, b, workers, func(ctx context.Context, m work.Message) error {
		n := busy.Add(1)
		for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
		}
		defer busy.Add(-1)
		return handle(ctx, m)
	})
	hand := []visit{next(t, calls), next(t, calls), next(t, calls)}
	if waiting, held := counts(t, b); waiting != jobs-workers || held != workers {
		t.Errorf("%d jobs wait and %d are held, want %d and %d", waiting, held, jobs-workers, workers)
	}
	for i := range jobs {
		hand[0].answer <- nil
		hand = hand[1:]
		if i < jobs-workers {
			hand = append(hand, next(t, calls))
		}
	}
	w.soft()
	if err := next(t, w.err); err != nil {
		t.Error(err)
	}
	if most.Load() != workers {
		t.Errorf("%d workers were busy at once, want %d", most.Load(), workers)
	}
	if waiting, held := counts(t, b); waiting != 0 || held != 0 {
		t.Errorf("%d jobs wait and %d are held after the stop", waiting, held)
	}
}

// TestHeartbeats holds a job for longer than the server waits for a dead
// worker. A second job, which comes back after a pause that the server keeps,
// is the clock.
func TestHeartbeats(t *testing.T) {
	t.Parallel()
	lane := usual()
	lane.ackWait, lane.heartbeat = time.Second, 100*time.Millisecond
	b := connect(t, configFor(t, serve(t)), lane)
	handle, calls := visits()
	w := startWork(t, b, 2, handle)
	offer(t, b, "SElong")
	long := expect(t, calls, "SElong", 1)
	offer(t, b, "SEclock")
	expect(t, calls, "SEclock", 1).answer <- work.RetryAfter(lane.ackWait*3/2, errors.New("the clock ticks"))
	expect(t, calls, "SEclock", 2).answer <- nil
	long.answer <- nil
	w.soft()
	if err := next(t, w.err); err != nil {
		t.Error(err)
	}
	if len(calls) != 0 {
		t.Error("a job came again while it was being worked on")
	}
	if waiting, held := counts(t, b); waiting != 0 || held != 0 {
		t.Errorf("%d jobs wait and %d are held after the acks", waiting, held)
	}
}

// TestDeadWorker takes the connection from a worker that holds a job.
func TestDeadWorker(t *testing.T) {
	t.Parallel()
	s := serve(t)
	dies, lives := connect(t, configFor(t, s), soon()), connect(t, configFor(t, s), soon())
	handle, calls := visits()
	dead := startWork(t, dies, 1, handle)
	offer(t, lives, "SE1")
	lost := expect(t, calls, "SE1", 1)
	dies.nc.Close()
	startWork(t, lives, 1, handle)
	expect(t, calls, "SE1", 2).answer <- nil
	lost.answer <- nil
	if err := next(t, dead.err); err == nil {
		t.Error("work returned no error although its connection is closed")
	}
}

func TestSoftStop(t *testing.T) {
	t.Parallel()
	b := connect(t, configFor(t, serve(t)), never())
	for i := range 3 {
		offer(t, b, fmt.Sprint("SE", i))
	}
	handle, calls := visits()
	w := startWork(t, b, 1, handle)
	hand := expect(t, calls, "SE0", 1)
	w.soft()
	if hand.ctx.Err() != nil {
		t.Error("the soft stop interrupted a job")
	}
	hand.answer <- nil
	if err := next(t, w.err); err != nil {
		t.Error(err)
	}
	if len(calls) != 0 {
		t.Error("a job was begun after the soft stop")
	}
	// The others wait untouched.
	startWork(t, b, 2, handle)
	for range 2 {
		v := next(t, calls)
		if v.msg.Delivery != 1 {
			t.Errorf("%s was delivered %d times", v.msg.Subject, v.msg.Delivery)
		}
		v.answer <- nil
	}
}

// TestStopAtDelivery stops a worker at the moment when a job is on its way to
// it: done, or given back and done by another, but not lost until the server
// gives up on it.
func TestStopAtDelivery(t *testing.T) {
	t.Parallel()
	b := connect(t, configFor(t, serve(t)), never())
	for i := range 30 {
		done := make(chan struct{}, 2)
		handle := func(context.Context, work.Message) error {
			done <- struct{}{}
			return nil
		}
		w := startWork(t, b, 8, handle)
		offer(t, b, fmt.Sprint("SE", i))
		w.soft()
		if err := next(t, w.err); err != nil {
			t.Fatal(err)
		}
		if len(done) == 0 {
			other := startWork(t, b, 8, handle)
			next(t, done)
			other.soft()
			<-other.err
		}
	}
}

func TestHardStop(t *testing.T) {
	t.Parallel()
	lane := never()
	lane.firstPause, lane.maxPause = time.Hour, time.Hour // for failures: it is none
	b := connect(t, configFor(t, serve(t)), lane)
	offer(t, b, "SE1")
	handle, calls := visits()
	w := startWork(t, b, 1, handle)
	expect(t, calls, "SE1", 1)
	w.soft()
	w.hard()
	if err := next(t, w.err); err != nil {
		t.Error(err)
	}
	startWork(t, b, 1, handle)
	expect(t, calls, "SE1", 2).answer <- nil
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

// TestWorkGoesOn takes the server away under a job and brings it back.
func TestWorkGoesOn(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	b := connect(t, s.config(t), soon())
	handle, calls := visits()
	startWork(t, b, 2, handle)
	offer(t, b, "SEheld")
	held := expect(t, calls, "SEheld", 1)
	s.stop()
	until(t, "disconnected", func() bool { return !b.Connected() })
	s.start(t)
	until(t, "connected", b.Connected)
	offer(t, b, "SEnew")
	seen := map[string]bool{}
	held.answer <- nil // acknowledged, or delivered again before that
	for !seen["SEnew"] {
		v := next(t, calls)
		seen[v.msg.Subject] = true
		v.answer <- nil
	}
	until(t, "the held job is gone", func() bool {
		select {
		case v := <-calls:
			v.answer <- nil
		default:
		}
		return offer(t, b, "SEheld")
	})
}

// TestWorkEnds holds that Work does not wait for a consumer that nobody will
// declare again.
func TestWorkEnds(t *testing.T) {
	t.Parallel()
	b := open(t)
	handle, _ := visits()
	w := startWork(t, b, 1, handle)
	if err := b.js.DeleteConsumer(patient(t), streamJobs, consumerExchanger); err != nil {
		t.Fatal(err)
	}
	if err := next(t, w.err); err == nil {
		t.Error("work returned no error although its consumer is gone")
	}
}
