// Package intake is the door for events: it takes what upstream systems publish and has the
// use cases of package api carry it out, the same that HTTP requests run.
//
// It promises
//   - that each event is answered: with Accepted or Rejected among the fleet's facts, and
//     on the reply subject it names;
//   - that each is carried out once, whatever dies in between and however often it comes,
//     for as long as what came of it is remembered;
//   - that those of one key are carried out in the order in which they were stored;
//   - that none holds up those behind it: what no repetition cures is refused;
//   - that what is refused is erased before its publisher is told, and so is, after that,
//     what comes again and is not looked into. Nothing of it is logged, quoted or kept.
//
// The order of effects, with what a crash leaves, is in docs/intake.md.
package intake

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/events/intake"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/pkg/work"
	"github.com/rekindle-dev/rekindle/services/api"
	"github.com/rekindle-dev/rekindle/services/api/auth"
)

// Queue is what upstream systems publish.
type Queue interface {
	// Take hands over letters until ctx ends; it then returns ctx's error. Those of one key
	// are handed over one after the other, and one that handle returns an error for comes
	// again, after a growing pause, before those behind it. It calls ready when it takes.
	Take(ctx context.Context, ready func(), handle func(ctx context.Context, l work.Letter) error) error
	// Erase overwrites a letter where it is stored. It is no error when it is not there.
	Erase(ctx context.Context, place uint64) error
	// Reply sends an answer to who asked for it on a subject of its organisation.
	Reply(ctx context.Context, to string, answer events.Event) error
}

// UseCases are what a door leads to.
type UseCases interface {
	// CarryOut, Recall and Refuse are those of [api.Service].
	CarryOut(ctx context.Context, who api.Caller, t intake.Type, subject string, body []byte) (*api.Changed, error)
	Recall(ctx context.Context, org string, e *api.Errand) (*events.Accepted, error)
	Refuse(ctx context.Context, org string, e *api.Errand) error
}

// Deps is what a Door stands on.
type Deps struct {
	Service UseCases
	Queue   Queue
	// Events is where answers are published.
	Events api.Publisher
	// Callback is the URL at which consents come back.
	Callback string
	Logger   *slog.Logger
	Metrics  prometheus.Registerer
	// Now is the clock. Default time.Now.
	Now func() time.Time
}

// Door takes events in. It is safe for concurrent use.
type Door struct {
	deps    Deps
	metrics *metrics

	mu sync.Mutex
	// failed counts how often a letter, by its place, has met a fault.
	failed map[uint64]int
}

// New returns a Door that is closed until Run.
func New(deps Deps) *Door {
	if deps.Now == nil {
		deps.Now = time.Now
	}
	return &Door{deps: deps, metrics: newMetrics(deps.Metrics), failed: map[uint64]int{}}
}

// Run takes events in until ctx ends, and returns ctx's error. It calls ready when it does.
func (d *Door) Run(ctx context.Context, ready func()) error {
	return d.deps.Queue.Take(ctx, ready, d.handle)
}

// maxFaults is how often a letter may meet a fault of the program before it is refused.
const maxFaults = 5

// request is one event while it is dealt with.
type request struct {
	work.Letter
	intake.Envelope
	errand *api.Errand
	who    api.Caller
}

// open reads a letter as far as its body, and what is wrong with it.
func (d *Door) open(l work.Letter) (*request, []events.Problem) {
	envelope, problems := intake.ReadEnvelope(l.Subject, l.Header)
	r := &request{Letter: l, Envelope: envelope, errand: &api.Errand{Source: envelope.Source, ID: envelope.ID, Type: envelope.CEType}}
	r.who = api.Caller{
		Org: envelope.Org, Rights: auth.Rights{auth.Develop}, Callback: d.deps.Callback,
		Actor: secret.Actor{DisplayName: envelope.Source}, Principal: "intake " + envelope.Source,
		Request: envelope.ID, Errand: r.errand,
	}
	if envelope.ID == "" {
		r.errand.ID = nameless(l.Place)
	}
	if len(l.Body) > events.MaxBody {
		problems = append(problems, tooLarge(len(l.Body)))
	}
	return r, problems
}

// handle deals with a letter. An error has it come again.
func (d *Door) handle(ctx context.Context, l work.Letter) error {
	defer clear(l.Body)
	r, problems := d.open(l)
	err := d.deal(ctx, r, problems)
	if err != nil && !passing(err) && ctx.Err() == nil {
		err = d.fault(ctx, r, err)
	}
	switch {
	case err == nil:
		d.forget(l.Place)
	case ctx.Err() != nil:
		return ctx.Err()
	case passing(err):
		d.metrics.again.Inc()
		d.deps.Logger.WarnContext(ctx, "an event from upstream cannot be dealt with for the moment", "event", string(r.Type), "error", err)
	}
	return err
}

// passing tells what another time may be otherwise from what is wrong for good.
func passing(err error) bool {
	return !errors.Is(err, state.ErrMalformed) && !errors.Is(err, secret.ErrDamaged) &&
		(errors.Is(err, api.ErrUnavailable) || errors.Is(err, api.ErrNotReady) || errors.Is(err, api.ErrRepeated))
}

// errPanic stands for what something panicked with, which may hold anything.
var errPanic = errors.New("panic")

// deal carries out what an event asks for, and answers it. A panic is an error of it.
func (d *Door) deal(ctx context.Context, r *request, problems []events.Problem) (err error) {
	defer func() {
		if recover() != nil {
			err = errPanic
		}
	}()
	if len(problems) > 0 {
		return d.reject(ctx, r, problems)
	}
	accepted, err := d.deps.Service.Recall(ctx, r.Org, r.errand)
	if err != nil {
		return err
	}
	if accepted != nil {
		return d.repeat(ctx, r, accepted)
	}
	changed, err := d.deps.Service.CarryOut(ctx, r.who, r.Type, r.About, r.Body)
	if refused, wrong := errors.AsType[*api.RefusedError](err); wrong {
		return d.refuse(ctx, r, problemsOf(refused))
	}
	if err != nil {
		return err
	}
	return d.accept(ctx, r, changed)
}

// fault counts a fault of the program. An event that has met too many is refused, lest it
// hold up those behind it; and dropped, if it cannot even be answered.
func (d *Door) fault(ctx context.Context, r *request, err error) error {
	d.mu.Lock()
	d.failed[r.Place]++
	n := d.failed[r.Place]
	d.mu.Unlock()
	d.metrics.faults.Inc()
	d.deps.Logger.ErrorContext(ctx, "an event from upstream meets a fault", "event", string(r.Type), "attempt", n, "error", err)
	if n < maxFaults {
		return err
	}
	err = d.refuse(ctx, r, []events.Problem{internalError()})
	if err == nil || passing(err) || ctx.Err() != nil {
		return err
	}
	d.deps.Logger.ErrorContext(ctx, "an event from upstream is dropped without an answer", "event", string(r.Type), "error", err)
	return d.erase(ctx, r)
}

func (d *Door) forget(place uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.failed, place)
}
