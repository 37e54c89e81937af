package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/bus"
	"github.com/rekindle-dev/rekindle/pkg/natsd"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/work"
	"github.com/rekindle-dev/rekindle/services/scheduler"
)

// The work that is shared: hosts with a budget each, and more secrets due at once than it
// lets through in the time that the members change.
const (
	sharedHosts   = 10
	sharedPerHost = 50
	sharedRate    = 10
	sharedBurst   = 2
)

// crew is some schedulers on one NATS server, each with a connection of its own.
type crew struct {
	t      *testing.T
	server *natsd.Server
	bus    *bus.Bus // of the test, and of the one exchanger
	store  secret.Store

	mu      sync.Mutex
	hosts   map[string]string      // by secret
	offered map[string][]time.Time // accepted jobs by host
	done    map[string]bool        // secrets that were refreshed
	changed chan struct{}
}

// hand is one of the crew.
type hand struct {
	crew     *crew
	bus      *bus.Bus
	registry *prometheus.Registry
	ended    chan error
}

func newCrew(t *testing.T) *crew {
	t.Helper()
	server, err := natsd.Start(t.Context(), natsd.Config{StoreDir: t.TempDir(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	c := &crew{
		t: t, server: server, hosts: map[string]string{}, offered: map[string][]time.Time{}, done: map[string]bool{},
		changed: make(chan struct{}, 1),
	}
	c.bus = c.connect()
	c.store.State = c.state(c.bus)
	return c
}

func (c *crew) connect() *bus.Bus {
	c.t.Helper()
	user, password := c.server.Credentials()
	b, err := bus.Connect(c.t.Context(), bus.Config{URL: c.server.URL(), User: user, Password: password, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(b.Close)
	return b
}

func (c *crew) state(b *bus.Bus) *bus.State {
	c.t.Helper()
	s, err := b.State(c.t.Context())
	if err != nil {
		c.t.Fatal(err)
	}
	return s
}

// create stores secrets that are due, some for each host.
func (c *crew) create() {
	c.t.Helper()
	now := time.Now().UTC().Truncate(time.Second)
	var creating sync.WaitGroup
	defer creating.Wait()
	few := make(chan struct{}, 16)
	for i := range sharedHosts * sharedPerHost {
		host := fmt.Sprintf("host-%d.example", i%sharedHosts)
		s := &secret.Secret{
			ID: secret.NewID(secret.PrefixSecret), Org: "acme", Property: secret.NewID(secret.PrefixProperty),
			Environment: "EN1", Deployed: "EN1", Name: fmt.Sprint("s", i), Kind: secret.OAuth2, Status: secret.Succeeded,
			Credentials: secret.Credentials{TokenURL: "https://" + host + "/token"},
			CreatedAt:   now, UpdatedAt: now, Generation: 1, Decision: 2,
			ExpiresAt: now.Add(time.Hour), RefreshAt: now, NextAttemptAt: now,
		}
		c.hosts[s.ID] = host
		few <- struct{}{}
		creating.Go(func() {
			defer func() { <-few }()
			if _, err := c.store.Create(c.t.Context(), &secret.Draft{Secret: s, Credential: new(secret.Credential)}); err != nil {
				c.t.Error(err)
			}
		})
	}
}

// work does what an exchanger does in the end, until the test ends.
func (c *crew) work() {
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- c.bus.Work(ctx, ctx, 16, c.refresh, nil) }()
	c.t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			c.t.Error(err)
		}
	})
}

func (c *crew) refresh(ctx context.Context, m work.Message) error {
	var job events.RefreshDue
	if err := json.Unmarshal(m.Data, &job); err != nil {
		return work.Reject(err)
	}
	_, _, err := c.store.Update(ctx, m.Subject, func(s *secret.Secret) error {
		if s.Decision == job.Decision {
			s.Decision++
			s.NextAttemptAt = s.NextAttemptAt.Add(time.Hour)
		}
		return nil
	})
	if err != nil {
		return err
	}
	c.note(func() { c.done[m.Subject] = true })
	return nil
}

// note notes something, for await.
func (c *crew) note(what func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	what()
	select {
	case c.changed <- struct{}{}:
	default:
	}
}

// await waits until what is noted is enough.
func (c *crew) await(what string, enough func() bool) {
	c.t.Helper()
	patience := time.After(time.Minute)
	for {
		c.mu.Lock()
		ok := enough()
		c.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-c.changed:
		case <-patience:
			c.t.Fatalf("%s: not yet, with %d of %d secrets refreshed", what, len(c.done), len(c.hosts))
		}
	}
}

// hire adds a scheduler.
func (c *crew) hire() *hand {
	c.t.Helper()
	h := &hand{crew: c, bus: c.connect(), registry: prometheus.NewPedanticRegistry(), ended: make(chan error, 1)}
	members, err := h.bus.Members(c.t.Context(), "hand")
	if err != nil {
		c.t.Fatal(err)
	}
	s := scheduler.New(scheduler.Deps{
		State: c.state(h.bus), Jobs: h, Members: members, Registerer: h.registry,
		Budgets: scheduler.Budgets{Default: scheduler.Budget{Rate: sharedRate, Burst: sharedBurst}},
	})
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		h.ended <- s.Run(ctx, func() {})
	}()
	c.t.Cleanup(func() {
		stop()
		<-ended
	})
	return h
}

// Offer implements scheduler.Jobs.
func (h *hand) Offer(ctx context.Context, e events.Event) (bool, error) {
	began := time.Now()
	accepted, err := h.bus.Offer(ctx, e)
	if accepted {
		h.crew.note(func() {
			host := h.crew.hosts[e.Data.About()]
			h.crew.offered[host] = append(h.crew.offered[host], began)
		})
	}
	return accepted, err
}

// kill takes the scheduler's connection without a word.
func (h *hand) kill() {
	h.bus.Close()
	if err := <-h.ended; err == nil || errors.Is(err, context.Canceled) {
		h.crew.t.Errorf("the scheduler that was killed ended with %v", err)
	}
}

// gauge is the value of a metric of the scheduler.
func (h *hand) gauge(name string) int {
	families, err := h.registry.Gather()
	if err != nil {
		h.crew.t.Error(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return int(f.GetMetric()[0].GetGauge().GetValue())
		}
	}
	return 0
}

// settled reports whether these and no others share the work, each host with one of them.
func settled(hands ...*hand) bool {
	hosts := 0
	for _, h := range hands {
		if h.gauge("rekindle_scheduler_members") != len(hands) {
			return false
		}
		hosts += h.gauge("rekindle_scheduler_hosts")
	}
	return hosts == sharedHosts
}

// Three schedulers share what is due at ten hosts; one dies without a word, and another
// comes. All of it is offered, and no host is asked for more than its budget, but for a
// burst with each change of hands.
func TestSchedulersShareTheWork(t *testing.T) {
	t.Parallel()
	c := newCrew(t)
	c.create()
	a, b, d := c.hire(), c.hire(), c.hire()
	c.work()
	c.await("a quarter", func() bool { return len(c.done) >= len(c.hosts)/4 && settled(a, b, d) })
	a.kill()
	c.await("half", func() bool { return len(c.done) >= len(c.hosts)/2 && settled(b, d) })
	e := c.hire()
	c.await("all", func() bool { return len(c.done) == len(c.hosts) && settled(b, d, e) })
	const hands = 4 // the most that a host can have had, each with a burst
	for host, offers := range c.offered {
		slices.SortFunc(offers, time.Time.Compare)
		for i := range offers {
			for k := i; k < len(offers); k++ {
				if n, most := k-i+1, sharedBurst*hands+sharedRate*offers[k].Sub(offers[i]).Seconds()+1; float64(n) > most {
					t.Fatalf("%s was asked for %d in %v, want at most %.1f", host, n, offers[k].Sub(offers[i]), most)
				}
			}
		}
	}
}
