package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/pflag"

	"github.com/rekindle-dev/rekindle/services/exchanger"
)

const (
	// envGate is where a watched process tells of its steps.
	envGate = "CHAOS_GATE"
	// envOff is how far the clock of its machine is ahead.
	envOff = "CHAOS_OFF"
)

// watched is the main function of "rekindle serve", which no release has, with
// two things added: after each step of the refresh cycle it asks the gate, and does
// not go on before it is answered; and the clock of its machine is wrong.
func watched() {
	log.SetOutput(io.Discard)
	gate := os.Getenv(envGate)
	off, err := time.ParseDuration(os.Getenv(envOff))
	if err != nil {
		fmt.Fprintln(os.Stderr, "rekindle:", err)
		os.Exit(1)
	}
	s := settings{bootstrap: os.Getenv(envBootstrap), reached: func(step exchanger.Step) {
		resp, err := http.Get(gate + "?step=" + string(step))
		if err != nil || resp.Body.Close() != nil {
			fmt.Fprintln(os.Stderr, "the gate is away:", step)
		}
	}}
	s.local = func() time.Time { return time.Now().Add(off) }
	flags := pflag.NewFlagSet("serve", pflag.ExitOnError)
	s.bind(flags)
	_ = flags.Parse(os.Args[1:]) // it exits
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := serve(ctx, &s, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "rekindle:", err)
		os.Exit(1)
	}
}

// gate is where the exchangers of a fleet wait after a step, until all whom it
// is closed for are there.
type gate struct {
	mu   sync.Mutex
	at   exchanger.Step // "" is open
	want int
	full chan struct{}
	open chan struct{}
}

// close closes the gate after a step. The channel that it returns closes when n
// are waiting.
func (g *gate) close(at exchanger.Step, n int) <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.at, g.want, g.full, g.open = at, n, make(chan struct{}), make(chan struct{})
	return g.full
}

// pass lets others pass, but not those who wait.
func (g *gate) pass() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.at = ""
}

// release lets everybody pass.
func (g *gate) release() {
	g.pass()
	close(g.open)
}

func (g *gate) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	if g.at == "" || r.URL.Query().Get("step") != string(g.at) {
		g.mu.Unlock()
		return
	}
	if g.want--; g.want == 0 {
		close(g.full)
	}
	open := g.open
	g.mu.Unlock()
	select {
	case <-open:
	case <-r.Context().Done():
	}
}
