package bus

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/rekindle-dev/rekindle/pkg/work"
)

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

// TestRefusedLater brings the server back with another password.
func TestRefusedLater(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	b := connect(t, s.config(t), usual())
	l, err := b.Members(patient(t), "peer")
	if err != nil {
		t.Fatal(err)
	}
	handle, _ := visits()
	w := startWork(t, b, 1, handle)
	f := follow(t, openState(t, b))
	next(t, f.caughtUp)
	s.stop()
	s.opts.Password = "another"
	s.start(t)
	for name, err := range map[string]error{
		"work": next(t, w.err), "follow": next(t, f.err),
		"join": l.Join(patient(t), "work", nil, func(string, []string) {}),
	} {
		if !errors.Is(err, nats.ErrAuthorization) {
			t.Errorf("%s: got error %v, want %v", name, err, nats.ErrAuthorization)
		}
	}
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
