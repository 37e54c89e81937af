package bus

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

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
	return startParking(t, b, workers, handle, nil)
}

// startParking has parked told of what is set aside.
func startParking(t testing.TB, b *Bus, workers int, handle, parked work.Handler) *working {
	t.Helper()
	w := &working{err: make(chan error, 1)}
	var ctx, hard context.Context
	ctx, w.soft = context.WithCancel(t.Context())
	hard, w.hard = context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.err <- b.Work(ctx, hard, workers, handle, parked)
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
	until(t, "all are counted", func() bool { // the server counts a little later than it delivers
		waiting, held := counts(t, b)
		return waiting == jobs-workers && held == workers
	})
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
