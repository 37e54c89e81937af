// Package exchanger performs the exchanges: it opens credentials, asks token
// endpoints, seals what they answer and commits it. It is the only service that
// holds the fleet's private keys and the only one that talks to providers. Any
// number of exchangers run at once; none is special and none keeps anything it
// could not lose.
//
// refresh.go is the refresh cycle, in the order in which its effects happen;
// docs/refresh-cycle.md says what a crash after each of them leaves behind.
// health.go is whom not to ask now, claim.go the right to make an exchange and its fence, exchange.go what an
// exchange does for each kind of secret, consent.go for those that a person
// consents to, and probe.go an exchange of which nothing is kept. token.go is the
// one request, egress.go who it may be sent to, outcome.go what the answer means.
package exchanger

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/seal"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/pkg/work"
)

// Source is the CloudEvents source of what an exchanger publishes.
const Source = "/rekindle/exchanger"

// DefaultWorkers is how many jobs one exchanger works on at a time.
const DefaultWorkers = 256

// Jobs hands out jobs. Work returns when ctx has ended and what was begun is
// finished, or hard has ended, too. Parked is told of each job that was set aside.
type Jobs interface {
	Work(ctx, hard context.Context, workers int, handle, parked work.Handler) error
}

// Events announces. The same event published twice is to be stored once.
type Events interface {
	Publish(ctx context.Context, e events.Event) error
}

// Deps is what an exchanger is made of. What State and Events do ends by itself
// in bounded time: between a provider's answer and the end of its commit, calls
// have contexts without an end.
type Deps struct {
	// Name tells exchangers apart, in claims and logs.
	Name    string
	State   state.Store
	Jobs    Jobs
	Events  Events
	Keyring *seal.Keyring
	Client  *Client
	Policy  secret.Policy
	// Apps are the apps that are registered with providers, by the provider's
	// name.
	Apps map[string]App
	// Workers is how many jobs are worked on at a time; 0 means DefaultWorkers.
	Workers int
	Now     func() time.Time
	// Steady is for how long the state has been there without a break, by a clock that
	// nobody sets; nil means always. Whoever holds a claim cannot renew it meanwhile.
	Steady func() time.Duration
	// Reached, if not nil, is told when a step of the refresh cycle has been made,
	// by its name in docs/refresh-cycle.md. It is where tests let a process die.
	Reached  func(step Step)
	Logger   *slog.Logger
	Tracer   trace.Tracer
	Registry prometheus.Registerer
}

// Exchanger is one exchanger of the fleet.
type Exchanger struct {
	Deps
	secrets secret.Store
	vault   secret.Vault
	opener  *seal.Opener
	metrics *metrics
	health  *health
	pace    pace
	clocks  clocks
	// inHand are the secrets whose exchange this exchanger makes, or whose outcome
	// it has not stored yet.
	inHand sync.Map
}

// always is for how long a state has been there that was never away.
func always() time.Duration { return math.MaxInt64 }

// New returns an exchanger. It fails if the keyring is empty.
func New(d Deps) (*Exchanger, error) {
	if len(d.Keyring.Keyset().Keys()) == 0 {
		return nil, fmt.Errorf("the keyring is empty: %w", seal.ErrUnknownKey)
	}
	if d.Workers <= 0 {
		d.Workers = DefaultWorkers
	}
	if d.Reached == nil {
		d.Reached = func(Step) {}
	}
	if d.Now == nil {
		d.Now = time.Now
	}
	if d.Steady == nil {
		d.Steady = always
	}
	m := newMetrics(d.Registry)
	return &Exchanger{
		Deps:    d,
		secrets: secret.Store{State: d.State},
		vault:   secret.Vault{State: d.State},
		opener:  seal.NewOpener(d.Keyring),
		metrics: m,
		health:  newHealth(d, m),
		pace:    newPace(),
	}, nil
}

// Run makes sure that the fleet seals to keys this exchanger holds, learns which
// providers are not to be asked, calls ready, and works on jobs until ctx ends.
// What was begun then is finished unless hard ends, too.
func (x *Exchanger) Run(ctx, hard context.Context, ready func()) error {
	if err := publishKeyset(ctx, x.State, x.Keyring.Keyset()); err != nil {
		return err
	}
	working, stop := context.WithCancelCause(ctx)
	caughtUp := make(chan struct{})
	var following sync.WaitGroup
	defer following.Wait()
	defer stop(nil)
	following.Go(func() {
		stop(fmt.Errorf("follow the endpoints: %w", x.health.follow(working, func() { close(caughtUp) })))
	})
	var err error
	select {
	case <-caughtUp:
		ready()
		err = x.Jobs.Work(working, hard, x.Workers, x.Handle, x.Parked)
	case <-working.Done():
	}
	if err == nil && ctx.Err() == nil {
		err = context.Cause(working)
	}
	return err
}
