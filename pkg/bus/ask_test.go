package bus

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/pkg/work"
)

// question returns a job that asks for an answer.
func question(id string) events.Event {
	now := time.Now()
	return events.Event{
		ID: "test of " + id, Source: "/rekindle/test", Org: "org@Test", Time: now,
		Data: events.TestRequested{Secret: id, Key: []byte("{}"), Before: now.Add(patience)},
	}
}

// answered is what an Ask returned.
type answered struct {
	body string
	err  error
}

// ask asks in a goroutine that ends with the test.
func ask(ctx context.Context, t *testing.T, b *Bus, id string) <-chan answered {
	t.Helper()
	ch := make(chan answered, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		body, err := b.Ask(ctx, question(id))
		ch <- answered{string(body), err}
	}()
	t.Cleanup(func() { <-done })
	return ch
}

// expectAnswer fails the test unless the Ask returns this answer.
func expectAnswer(t *testing.T, ch <-chan answered, want string) {
	t.Helper()
	if got := next(t, ch); got.err != nil || got.body != want {
		t.Errorf("answer is %q, %v; want %q", got.body, got.err, want)
	}
}

// answer answers a visit and is done with it.
func answer(t *testing.T, v visit, body string) {
	t.Helper()
	if v.msg.Answer == nil {
		t.Fatal("nobody waits for an answer")
	}
	if err := v.msg.Answer(v.ctx, []byte(body)); err != nil {
		t.Error(err)
	}
	v.answer <- nil
}

// attempts returns the offers of jobs for the secret, refused ones included.
func attempts(t *testing.T, b *Bus, id string) <-chan *nats.Msg {
	t.Helper()
	ch := make(chan *nats.Msg, 1000)
	sub, err := b.nc.ChanSubscribe(events.JobSubject(id), ch)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sub.Unsubscribe() })
	return ch
}

func TestAsk(t *testing.T) {
	t.Parallel()
	s := serve(t)
	b, worker := connect(t, configFor(t, s), never()), connect(t, configFor(t, s), never())
	handle, calls := visits()
	startWork(t, worker, 1, handle)
	for _, body := range []string{"sealed", ""} {
		ch := ask(patient(t), t, b, "SE1")
		v := expect(t, calls, "SE1", 1)
		if v.msg.Type != string(events.TypeTestRequested) || v.msg.ID != "test of SE1" {
			t.Errorf("the job is %s of type %s", v.msg.ID, v.msg.Type)
		}
		if _, err := events.DecodeTestRequested(v.msg.Data); err != nil {
			t.Error(err)
		}
		answer(t, v, body)
		expectAnswer(t, ch, body)
	}
	until(t, "the place is free", func() bool { return offer(t, b, "SE1") })
	v := expect(t, calls, "SE1", 1)
	if v.msg.Answer != nil {
		t.Error("a job that was only offered wants an answer")
	}
	v.answer <- nil
	if _, err := b.Ask(patient(t), events.Event{}); err == nil {
		t.Error("a job without data was accepted")
	}
}

// TestAskInTurn asks while a job of the same secret is being worked on, and
// another asker is in the way.
func TestAskInTurn(t *testing.T) {
	t.Parallel()
	b := connect(t, configFor(t, serve(t)), never())
	handle, calls := visits()
	startWork(t, b, 2, handle)
	offer(t, b, "SE1")
	held := expect(t, calls, "SE1", 1)
	tries := attempts(t, b, "SE1")
	first, second := ask(patient(t), t, b, "SE1"), ask(patient(t), t, b, "SE1")
	for range 4 { // each is refused once at least
		next(t, tries)
	}
	if len(calls) != 0 {
		t.Error("a job was begun while another of its secret was in hand")
	}
	other := ask(patient(t), t, b, "SE2")
	answer(t, expect(t, calls, "SE2", 1), "other")
	expectAnswer(t, other, "other")
	held.answer <- nil

	answer(t, expect(t, calls, "SE1", 1), "one")
	answer(t, expect(t, calls, "SE1", 1), "two")
	got := map[string]bool{next(t, first).body: true, next(t, second).body: true}
	if !got["one"] || !got["two"] {
		t.Errorf("the answers are %v", got)
	}
}

// TestAskTwice lets two wait for the answers at the same time: each gets its
// own, though the other's comes first.
func TestAskTwice(t *testing.T) {
	t.Parallel()
	b := connect(t, configFor(t, serve(t)), never())
	handle, calls := visits()
	startWork(t, b, 2, handle)
	one := ask(patient(t), t, b, "SE1")
	v1 := expect(t, calls, "SE1", 1)
	two := ask(patient(t), t, b, "SE2")
	answer(t, expect(t, calls, "SE2", 1), "two")
	expectAnswer(t, two, "two")
	answer(t, v1, "one")
	expectAnswer(t, one, "one")
}

func TestAskEnds(t *testing.T) {
	t.Parallel()
	b := connect(t, configFor(t, serve(t)), never())
	offer(t, b, "SEtaken")
	tries := attempts(t, b, "SEtaken")
	ctx, cancel := context.WithCancel(t.Context())
	taken, waiting := ask(ctx, t, b, "SEtaken"), ask(ctx, t, b, "SE1")
	next(t, tries)
	until(t, "the other is accepted", func() bool { n, _ := counts(t, b); return n == 2 })
	cancel()
	for name, ch := range map[string]<-chan answered{"place taken": taken, "no answer": waiting} {
		if got := next(t, ch); !errors.Is(got.err, context.Canceled) || got.body != "" {
			t.Errorf("%s: answer %q, error %v", name, got.body, got.err)
		}
	}

	// Whoever asked has gone: the job is dealt with all the same.
	handle, calls := visits()
	w := startWork(t, b, 1, handle)
	expect(t, calls, "SEtaken", 1).answer <- nil
	answer(t, expect(t, calls, "SE1", 1), "too late")
	w.soft()
	if err := next(t, w.err); err != nil {
		t.Error(err)
	}
	if waiting, held := counts(t, b); waiting != 0 || held != 0 {
		t.Errorf("%d jobs wait and %d are held", waiting, held)
	}
	late, cancel := context.WithDeadline(t.Context(), time.Now())
	defer cancel()
	if _, err := b.Ask(late, question("SE1")); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrUnavailable) {
		t.Errorf("asked too late: %v", err)
	}
}

// TestAskAgain gives a job to a second worker after the first has failed.
func TestAskAgain(t *testing.T) {
	t.Parallel()
	b := connect(t, configFor(t, serve(t)), never())
	handle, calls := visits()
	startWork(t, b, 1, handle)
	ch := ask(patient(t), t, b, "SE1")
	expect(t, calls, "SE1", 1).answer <- work.RetryAfter(0, errors.New("not now"))
	answer(t, expect(t, calls, "SE1", 2), "now")
	expectAnswer(t, ch, "now")
}

// TestAskParked sets a job aside that somebody waits for. Where its answer was
// awaited is not kept.
func TestAskParked(t *testing.T) {
	t.Parallel()
	b := connect(t, configFor(t, serve(t)), never())
	parked := parkedMessages(t, b)
	handle, calls := visits()
	startWork(t, b, 1, handle)
	ctx, cancel := context.WithCancel(t.Context())
	ch := ask(ctx, t, b, "SE1")
	expect(t, calls, "SE1", 1).answer <- work.Reject(errors.New("no use"))
	m := parked()
	if v := m.Headers().Get(headerAnswerTo); v != "" {
		t.Errorf("parked with %s: %s", headerAnswerTo, v)
	}
	if e, err := events.Decode(events.Header(m.Headers()), m.Data()); err != nil || e.Data.Type() != events.TypeTestRequested {
		t.Errorf("the parked job is %v, %v", e.ID, err)
	}
	cancel()
	if got := next(t, ch); !errors.Is(got.err, context.Canceled) {
		t.Error(got.err)
	}
}

// TestForgedAnswerSubject puts jobs into the lane whose answer would do harm.
func TestForgedAnswerSubject(t *testing.T) {
	t.Parallel()
	b := connect(t, configFor(t, serve(t)), never())
	handle, calls := visits()
	startWork(t, b, 1, handle)
	for _, subject := range []string{
		"", "$JS.API.STREAM.DELETE.KV_state", prefixOf(state.Main) + "keyset.fleet", events.JobSubject("SE2"),
		events.NewAnswerSubject() + ".more", events.Root + ".answer.*", "_INBOX.x",
	} {
		m, err := job(t.Context(), question("SE1"))
		if err != nil {
			t.Fatal(err)
		}
		m.Header.Set(headerAnswerTo, subject)
		until(t, "the job is accepted", func() bool {
			accepted, err := b.offer(patient(t), m)
			if err != nil {
				t.Fatal(err)
			}
			return accepted
		})
		v := expect(t, calls, "SE1", 1)
		if v.msg.Answer != nil {
			t.Errorf("an answer would go to %q", subject)
		}
		v.answer <- nil
	}
}

func TestAskWithoutServer(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	b := connect(t, s.config(t), never())
	reply := b.answerTo(&nats.Msg{Header: nats.Header{headerAnswerTo: {events.NewAnswerSubject()}}})
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := reply(gone, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("answered after the end of its context: %v", err)
	}
	if err := reply(patient(t), make([]byte, 2<<20)); !errors.Is(err, nats.ErrMaxPayload) {
		t.Errorf("answered with more than the server takes: %v", err)
	}
	s.stop()
	until(t, "disconnected", func() bool { return !b.Connected() })
	if _, err := b.Ask(patient(t), question("SE1")); !errors.Is(err, ErrUnavailable) {
		t.Errorf("asked without a server: %v", err)
	}
	if err := reply(patient(t), nil); !errors.Is(err, ErrUnavailable) {
		t.Errorf("answered without a server: %v", err)
	}
	b.Close()
	if _, err := b.Ask(patient(t), question("SE1")); !errors.Is(err, ErrUnavailable) {
		t.Errorf("asked after the connection was closed: %v", err)
	}
}
