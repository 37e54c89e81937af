package apitest

import (
	"context"
	"net/http"
	"sync"
	"testing"

	"github.com/rekindle-dev/rekindle/pkg/webhook"
	"github.com/rekindle-dev/rekindle/services/api"
	"github.com/rekindle-dev/rekindle/services/courier"
)

// Receiver is a receiver of callbacks that answers as it is told, 200 at first.
type Receiver struct {
	mu     sync.Mutex
	status int
	bodies []string
}

// Post implements courier.Poster.
func (r *Receiver) Post(_ context.Context, _ string, _ http.Header, body []byte) (int, webhook.Problem) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.bodies = append(r.bodies, string(body))
	if status := max(r.status, http.StatusOK); !webhook.Taken(status) {
		return status, webhook.ProblemStatus
	}
	return http.StatusOK, ""
}

// Answer has it answer with the status from now on.
func (r *Receiver) Answer(status int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status = status
}

// noPages is a trail in which nothing is written.
type noPages struct{}

// Pages implements courier.Pages.
func (noPages) Pages(ctx context.Context, _ string, _ func(context.Context, []byte) error) error {
	<-ctx.Done()
	return ctx.Err()
}

// startCourier starts a courier that signs and is asked, and is told of nothing that happens.
func (p *Process) startCourier(t testing.TB, deps *api.Deps) {
	t.Helper()
	p.Receiver = new(Receiver)
	c := courier.New(courier.Deps{
		Name: "test", State: deps.State, Pages: noPages{}, Log: deps.Audit, Poster: p.Receiver, Key: webhook.NewKey(),
		Logger: deps.Logger, Metrics: deps.Metrics, Now: deps.Now,
	})
	deps.Courier = c
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx, func() {}) }()
	t.Cleanup(func() {
		stop()
		<-ended // by then, or earlier if the state does not answer
	})
}
