package bus

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/rekindle-dev/rekindle/pkg/state"
)

// logged returns a logger and what it logged.
func logged() (*slog.Logger, func() string) {
	var mu sync.Mutex
	var buf bytes.Buffer
	log := slog.New(slog.NewTextHandler(writer(func(p []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		return buf.Write(p)
	}), &slog.HandlerOptions{Level: slog.LevelDebug}))
	return log, func() string {
		mu.Lock()
		defer mu.Unlock()
		return buf.String()
	}
}

type writer func([]byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }

// TestConnectRefuses covers what waiting does not cure: the error says what to
// do, and neither it nor a log line shows a password.
func TestConnectRefuses(t *testing.T) {
	t.Parallel()
	real := newServer(t, nil)
	bare := newServer(t, func(o *server.Options) { o.JetStream = false })
	with := func(cfg Config, user, password string) Config {
		cfg.User, cfg.Password = user, password
		return cfg
	}
	for name, tc := range map[string]struct {
		cfg  Config
		want string
	}{
		"password":         {with(real.config(t), "fleet", "hunter3-secret"), "nats: Authorization Violation"},
		"no password":      {with(real.config(t), "", ""), "nats: Authorization Violation"},
		"password in URL":  {Config{URL: strings.Replace(real.config(t).URL, "//", "//fleet:hunter3-secret@", 1)}, "nats: Authorization Violation"},
		"no JetStream":     {bare.config(t), "start it with -js"},
		"old":              {Config{URL: oldServer(t, "2.11.9")}, "version 2.11.9, but at least 2.12.0 is needed: upgrade it"},
		"older":            {Config{URL: oldServer(t, "1.4.1")}, "upgrade it"},
		"slash":            {Config{URL: "nats://fleet:hunter3/secret@localhost:4222"}, "cannot be read"},
		"slash and digits": {Config{URL: "nats://fleet:3/hunter3-secret@localhost:4222"}, "cannot be read"},
		"hash":             {Config{URL: "nats://fleet:hunter3#secret@localhost"}, "cannot be read"},
		"port":             {Config{URL: "nats://fleet:hunter3-secret@localhost:no"}, "cannot be read"},
		"scheme":           {Config{URL: "hunter3-secret://localhost:4222"}, "cannot be read"},
		"nothing":          {Config{}, "cannot be read"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var log func() string
			tc.cfg.Logger, log = logged()
			b, err := Connect(patient(t), tc.cfg)
			if err == nil {
				b.Close()
				t.Fatal("connected")
			}
			if !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got error %q, want %q in it", err, tc.want)
			}
			if all := err.Error() + log(); strings.Contains(all, "hunter") || strings.Contains(all, "secret") {
				t.Errorf("the password shows:\n%s", all)
			}
		})
	}
}

func TestConnectWaitsForServer(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	cfg := s.config(t)
	s.stop()
	waiting := make(chan struct{}, 1)
	cfg.Logger = slog.New(slog.NewTextHandler(writer(func(p []byte) (int, error) {
		select {
		case waiting <- struct{}{}:
		default:
		}
		return len(p), nil
	}), nil))
	connected := make(chan error, 1)
	go func() {
		b, err := Connect(patient(t), cfg)
		if err == nil {
			defer b.Close()
			_, err = b.State(patient(t))
		}
		connected <- err
	}()
	next(t, waiting)
	s.start(t)
	if err := next(t, connected); err != nil {
		t.Error(err)
	}
}

func TestConnectStopsWaiting(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s := newServer(t, nil)
	s.stop()
	if _, err := Connect(ctx, s.config(t)); !errors.Is(err, nats.ErrNoServers) {
		t.Errorf("got error %v, want the last one of connecting", err)
	}
}

// TestConnectTogether lets several processes find a server without streams.
func TestConnectTogether(t *testing.T) {
	t.Parallel()
	s := serve(t)
	var all sync.WaitGroup
	for range 5 {
		all.Go(func() {
			b, err := Connect(patient(t), configFor(t, s))
			if err != nil {
				t.Error(err)
				return
			}
			defer b.Close()
			if _, err := b.Offer(patient(t), due("SE1")); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

// TestDeclareAgain holds what a start does to streams that are there: it
// mends what the fleet needs, and leaves alone what is the operator's and what
// a later version has declared.
func TestDeclareAgain(t *testing.T) {
	t.Parallel()
	b := open(t)
	change := func(change func(*jetstream.StreamConfig)) jetstream.StreamConfig {
		t.Helper()
		s, err := b.js.Stream(patient(t), streamOf(state.Main))
		if err != nil {
			t.Fatal(err)
		}
		cfg := s.CachedInfo().Config
		change(&cfg)
		if _, err := b.js.UpdateStream(patient(t), cfg); err != nil {
			t.Fatal(err)
		}
		if err := b.declare(patient(t)); err != nil {
			t.Fatal(err)
		}
		if s, err = b.js.Stream(patient(t), streamOf(state.Main)); err != nil {
			t.Fatal(err)
		}
		return s.CachedInfo().Config
	}
	// As a client of the KV interface does it.
	got := change(func(c *jetstream.StreamConfig) {
		c.AllowAtomicPublish, c.Metadata, c.MaxBytes = false, nil, 1<<30
	})
	if !got.AllowAtomicPublish || got.MaxBytes != 1<<30 {
		t.Errorf("atomic batches %v, size %d; want true and what was set", got.AllowAtomicPublish, got.MaxBytes)
	}
	got = change(func(c *jetstream.StreamConfig) {
		c.Description, c.Metadata = "of the future", map[string]string{topologyKey: "1000"}
	})
	if got.Description != "of the future" {
		t.Error("a stream of a later version was changed")
	}
}

// TestNewerConsumer is the same for the consumer.
func TestNewerConsumer(t *testing.T) {
	t.Parallel()
	b := open(t)
	c, err := b.js.Consumer(patient(t), streamJobs, consumerExchanger)
	if err != nil {
		t.Fatal(err)
	}
	cfg := c.CachedInfo().Config
	cfg.AckWait, cfg.Metadata = 2*AckWait, map[string]string{topologyKey: "1000"}
	if _, err := b.js.UpdateConsumer(patient(t), streamJobs, cfg); err != nil {
		t.Fatal(err)
	}
	if err := b.declare(patient(t)); err != nil {
		t.Fatal(err)
	}
	if c, err = b.js.Consumer(patient(t), streamJobs, consumerExchanger); err != nil {
		t.Fatal(err)
	}
	if got := c.CachedInfo().Config.AckWait; got != 2*AckWait {
		t.Errorf("ack wait is %v, want what a later version declared", got)
	}
}

// TestOnConnected holds what is told to the order of what happened.
func TestOnConnected(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	cfg := s.config(t)
	told := make(chan bool, 10)
	cfg.OnConnected = func(connected bool) { told <- connected }
	b := connect(t, cfg, usual())
	if !next(t, told) {
		t.Error("the first connection was told as a loss")
	}
	s.stop()
	if next(t, told) {
		t.Error("the loss was told as a connection")
	}
	s.start(t)
	if !next(t, told) {
		t.Error("the restored connection was told as a loss")
	}
	b.Close()
	if next(t, told) {
		t.Error("the end was told as a connection")
	}
}

func TestUnavailable(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	b := connect(t, s.config(t), usual())
	st := openState(t, b)
	s.stop()
	until(t, "disconnected", func() bool { return !b.Connected() })
	one, two := state.Write{Key: "a.1", Value: []byte("v")}, state.Write{Key: "a.2", Value: []byte("v")}
	_, _, get := st.Get(patient(t), "a.1")
	_, commit := st.Commit(patient(t), one)
	_, batch := st.Commit(patient(t), one, two)
	_, job := b.Offer(patient(t), due("SE1"))
	event := b.Publish(patient(t), due("SE1"))
	for name, err := range map[string]error{"get": get, "commit": commit, "batch": batch, "offer": job, "publish": event} {
		if !errors.Is(err, ErrUnavailable) {
			t.Errorf("%s: got error %v, want ErrUnavailable", name, err)
		}
	}
}
