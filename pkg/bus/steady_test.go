package bus

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/rekindle-dev/rekindle/pkg/state"
)

// A server that was not there was not there without a break, however well it is now.
func TestSteady(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	began := time.Now()
	b := connect(t, s.config(t), usual())
	st := openState(t, b)
	before := b.Steady()
	if before <= 0 || before > time.Since(began) {
		t.Errorf("steady for %v, connected since %v", before, time.Since(began))
	}
	if _, _, err := st.Get(patient(t), "a.1"); !errors.Is(err, state.ErrNotFound) || b.Steady() < before {
		t.Errorf("steady for %v, was %v: %v", b.Steady(), before, err)
	}

	s.stop()
	until(t, "away", func() bool { return b.Steady() == 0 })
	again := time.Now()
	s.start(t)
	until(t, "back", func() bool { return b.Steady() > 0 })
	if steady := b.Steady(); steady > time.Since(again) {
		t.Errorf("steady for %v, started again %v ago", steady, time.Since(again))
	}
}

// Neither was one that did not answer in time, though the connection stood.
func TestUnanswered(t *testing.T) {
	t.Parallel()
	b := open(t)
	st := openState(t, b)
	gone, cancel := context.WithDeadline(t.Context(), time.Now())
	defer cancel()
	write := state.Write{Key: "a.1", Value: []byte("v")}
	for name, ask := range map[string]func() error{
		"get":    func() error { _, _, err := st.Get(gone, "a.1"); return err },
		"commit": func() error { _, err := st.Commit(gone, write); return err },
	} {
		asked := time.Now()
		if err := ask(); !errors.Is(err, ErrUnavailable) {
			t.Errorf("%s: error is %v", name, err)
		}
		if steady := b.Steady(); steady > time.Since(asked) {
			t.Errorf("%s: steady for %v, asked %v ago", name, steady, time.Since(asked))
		}
	}
	asked := time.Now()
	b.steady.asked(asked.Add(-2*slow), nil) // answered, late
	if steady := b.Steady(); steady > time.Since(asked) {
		t.Errorf("steady for %v, answered %v ago", steady, time.Since(asked))
	}
}

// A worker notices that nobody says anything about its request for jobs.
func TestSilentServer(t *testing.T) {
	t.Parallel()
	b := open(t)
	p, err := newPuller(b.nc, "no-such-stream", "nobody")
	if err != nil {
		t.Fatal(err)
	}
	defer p.stop()
	// Somebody is there, and answers nothing.
	deaf, err := b.nc.SubscribeSync(p.subject)
	if err != nil {
		t.Fatal(err)
	}
	defer deaf.Unsubscribe()
	ctx, stop := context.WithCancel(patient(t))
	defer stop()
	asked := time.Now()
	l := &lane{b: b, hard: ctx, slots: make(chan struct{}, 1)}
	ended := make(chan error, 1)
	go func() { ended <- l.run(ctx, p) }()
	until(t, "noticed", func() bool {
		since := time.Since(asked)
		return b.Steady() < since
	})
	stop()
	if err := next(t, ended); err != nil {
		t.Error(err)
	}
}
