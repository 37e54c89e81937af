package exchanger

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/pkg/work"
)

// Why a job is not done, besides a failure of something around it.
var (
	errHeld        = errors.New("the provider is not to be asked yet")
	errEarly       = errors.New("not due yet by this exchanger's clock")
	errBusy        = errors.New("somebody else is at work on the secret")
	errFenced      = errors.New("overtaken by a later claim")
	errInterrupted = errors.New("stopped in the middle of an exchange")
	// errVoid never leaves this package: what was planned is of no use any
	// more, and the record has to be planned again.
	errVoid = errors.New("decided anew meanwhile")
	// errBehind: two reads do not fit together, because one was answered from
	// behind. Soon they will.
	errBehind = errors.New("the state was read while it changed")
)

// Step is a step of the refresh cycle.
type Step string

// The steps, in their order.
const (
	StepPlan     Step = "plan"
	StepClaim    Step = "claim"
	StepExchange Step = "exchange"
	StepGrant    Step = "grant"
	StepArtifact Step = "artifact"
	StepRecord   Step = "record"
	StepAnnounce Step = "announce"
)

// Steps lists them.
func Steps() []Step {
	return []Step{StepPlan, StepClaim, StepExchange, StepGrant, StepArtifact, StepRecord, StepAnnounce}
}

// maxSkew is how far ahead of this exchanger's clock the scheduler's may be for
// a job to be waited for. What is earlier is dropped, and is offered again.
const maxSkew = 2 * time.Second

// Handle does what is due for the secret of a job. The job is a hint: what is
// due is planned from the record, so a job that comes twice, late or for
// nothing does no harm. This is the refresh cycle of docs/refresh-cycle.md, in
// its order.
func (x *Exchanger) Handle(ctx context.Context, m work.Message) error {
	ctx, span := x.Tracer.Start(ctx, "refresh", trace.WithSpanKind(trace.SpanKindConsumer),
		trace.WithAttributes(attribute.String("rekindle.secret", m.Subject)))
	defer span.End()
	result, err := x.dispatch(ctx, m)
	if err != nil {
		result = jobResult(err)
	}
	x.metrics.jobs.WithLabelValues(result).Inc()
	span.SetAttributes(attribute.String("rekindle.result", result))
	return err
}

func (x *Exchanger) dispatch(ctx context.Context, m work.Message) (result string, err error) {
	if m.Type == string(events.TypeTestRequested) {
		return x.test(ctx, m)
	}
	return x.handle(ctx, m)
}

func (x *Exchanger) handle(ctx context.Context, m work.Message) (result string, err error) {
	order, err := decodeOrder(m)
	if err != nil {
		return "", work.Reject(err)
	}
	if order.Action == string(secret.Alarm) {
		return x.alarm(ctx, order.Secret)
	}
	for {
		result, err = x.next(ctx, order, m.Delivery > 1)
		if !errors.Is(err, errVoid) {
			return result, err
		}
	}
}

// next does what the record says is due now.
func (x *Exchanger) next(ctx context.Context, order events.RefreshDue, again bool) (result string, err error) {
	began := x.Now()
	// The grant is read before the record. A claim expects its revision, and so
	// proves that no exchange has been begun since. What needs none needs no grant
	// that can be read.
	g, rev, unread := x.vault.Grant(ctx, order.Secret)
	if unread != nil && !errors.Is(unread, secret.ErrDamaged) {
		return "", unread
	}
	s, read, err := x.secrets.Get(ctx, order.Secret)
	if errors.Is(err, state.ErrNotFound) {
		return jobStale, nil
	}
	if err != nil {
		return "", err
	}
	if again && unread == nil {
		if err := x.announceAgain(ctx, s, g.Outcome, order); err != nil {
			return "", err
		}
	}
	due := s.Plan()
	switch early := due.At.Sub(x.now()); {
	case due.Action == secret.Rest || early > maxSkew:
		return jobStale, nil
	case early > 0:
		return "", work.RetryAfter(early, errEarly)
	case due.Action == secret.Erase:
		return jobDone, x.vault.Erase(ctx, s)
	case due.Action == secret.Withdraw:
		return jobDone, x.withdraw(ctx, s)
	case due.Action == secret.Remind:
		return jobDone, x.remind(ctx, s)
	case unread != nil:
		return "", unread
	default:
		return x.refresh(ctx, &claim{x: x, secret: s, read: read, grant: g, revision: rev, stepped: began}, due)
	}
}

// refresh takes a secret from due to refreshed. Whoever comes after a crash
// enters at the step that is not done yet.
func (x *Exchanger) refresh(ctx context.Context, c *claim, due secret.Next) (result string, err error) {
	// Only the exchange is stopped with the process. Once the provider has
	// answered, nothing cancels what follows, and half a claim helps nobody.
	unstopped := context.WithoutCancel(ctx)
	result = jobFinished
	if c.answered() {
		c.read = 0 // no claim is to show that the record is the latest: it is read again
	}
	c.reached(StepPlan)
	if !c.answered() {
		// Admit: whoever may not ask now leaves no trace.
		if until := x.admit(unstopped, c, due); until.Sub(x.now()) > maxSkew {
			return jobDeferred, nil
		} else if until.After(x.now()) {
			return "", work.RetryAfter(until.Sub(x.now()), errHeld)
		}
		x.alarmLapsed(unstopped, c.secret)
		// 1. Claim the decision: from here nobody else sends a request for it.
		if err := c.take(unstopped); err != nil {
			return "", err
		}
		x.inHand.Store(c.secret.ID, nil)
		defer x.inHand.Delete(c.secret.ID)
		c.reached(StepClaim)
		// 2. Exchange: at most one request. What it brings in place of the refresh
		// token is saved under the claim before the provider is asked anything else.
		result = jobDone
		done, err := x.exchange(ctx, c, due)
		if err != nil {
			return "", c.abandon(unstopped, err)
		}
		c.reached(StepExchange)
		// 3. Commit the grant: the outcome is safe, and the claim is closed.
		if err := c.commit(ctx, done); err != nil {
			return "", err
		}
		c.reached(StepGrant)
		if done.outcome.Failure == nil {
			x.health.answered(unstopped, c.secret.Endpoint(), done.outcome.StartedAt)
		}
	}
	// 4. Commit the artifact: workloads see the new value.
	if err := c.deploy(unstopped); err != nil {
		return "", err
	}
	c.reached(StepArtifact)
	// 5. Commit the record: the next decision is made, the scheduler sees it.
	s, err := x.settle(unstopped, c)
	if err != nil {
		return "", err
	}
	c.reached(StepRecord)
	// 6. Announce. 7. The caller acknowledges the job.
	if err := x.announce(unstopped, s, c.grant.Outcome); err != nil {
		return "", err
	}
	c.reached(StepAnnounce)
	return result, nil
}

// admit is until when the exchange is not to be made; a time that has passed when
// it may be. The code of a consent waits for no breaker: it is good for minutes. A
// replay waits for nobody: the grace it comes in is seconds. A decision that is only
// to be given up asks nobody.
func (x *Exchanger) admit(ctx context.Context, c *claim, due secret.Next) (until time.Time) {
	asked := c.secret.Endpoint()
	switch {
	case asked.Host == "" || c.latest() >= c.secret.Decision || c.replays():
		return time.Time{}
	case due.Action == secret.Authorize:
		return x.health.paused(asked)
	}
	until, c.probe = x.health.admit(ctx, asked)
	return until
}

// deploy puts the value into the environment it is for, unless that has been
// taken from the secret. An outcome whose value is spent was deployed, though the
// record that said so was lost.
func (c *claim) deploy(ctx context.Context) (err error) {
	s, o := c.secret, c.grant.Outcome
	if o.Failure != nil || o.Environment == "" || o.Environment != s.Environment || len(o.Sealed) == 0 {
		return nil
	}
	known := s.DeployedRevision
	if s.Deployed != o.Environment {
		known = 0 // it is of another's
	}
	c.deployed, err = c.x.vault.Deploy(ctx, &secret.Artifact{
		Secret: s.ID, Environment: o.Environment, Generation: o.Decision,
		Sealed: o.Sealed, ExpiresAt: o.ExpiresAt,
	}, known)
	return err
}

// settle applies the outcome to the record as it was planned, or as it is if others
// have written meanwhile. It returns errVoid when the secret has been deleted
// or something newer was decided meanwhile.
func (x *Exchanger) settle(ctx context.Context, c *claim) (*secret.Secret, error) {
	id, o := c.secret.ID, c.grant.Outcome
	var found *secret.Secret
	s, _, err := x.secrets.UpdateFrom(ctx, c.secret, c.read, func(s *secret.Secret) error {
		found = s
		if s.Decision < o.Decision {
			return errBehind // the exchange was made for a later one
		}
		if !s.Apply(o, x.now()) {
			return errVoid
		}
		if c.deployed != 0 {
			s.DeployedRevision = c.deployed
		}
		return nil
	})
	if errors.Is(err, state.ErrNotFound) {
		found = nil // since it was found, it has been erased
	}
	if errors.Is(err, errVoid) || errors.Is(err, state.ErrNotFound) {
		x.Logger.InfoContext(ctx, "the outcome of an exchange is void", "secret", id, "generation", o.Decision)
		if found != nil && found.DeletedAt.IsZero() && found.Generation < o.Decision && !applied(found, o) {
			// Else another has brought it to its end, and perhaps more since.
			x.announceInterrupted(ctx, found, events.ExchangeInterrupted{
				Action: string(o.Action), Generation: o.Decision, Cause: events.CauseVoid,
			})
		}
		return nil, cmp.Or(x.retract(ctx, id, found, o), errVoid)
	}
	return s, err
}

// withdraw removes the value from an environment that is not the secret's any
// more: again, after the record says so, because an exchanger that was thought
// dead may have deployed it in between. From then on it finds out, see retract.
func (x *Exchanger) withdraw(ctx context.Context, s *secret.Secret) error {
	ctx = context.WithoutCancel(ctx) // what is begun here nobody else would end
	from := s.Deployed
	if err := x.vault.Withdraw(ctx, from, s.ID); err != nil {
		return err
	}
	_, _, err := x.secrets.Update(ctx, s.ID, func(s *secret.Secret) error {
		if s.Deployed != from || s.Environment == from {
			return errVoid
		}
		s.Withdrawn()
		return nil
	})
	if err != nil && !errors.Is(err, state.ErrNotFound) {
		return err
	}
	return x.vault.Withdraw(ctx, from, s.ID)
}

// retract removes the value of a void outcome if the record does not say where
// it is: an exchanger that was thought dead may have deployed it after the
// environment, or the secret, was cleared. S is the record, nil if it is gone.
func (x *Exchanger) retract(ctx context.Context, id string, s *secret.Secret, o *secret.Outcome) error {
	if o.Environment == "" || s != nil && s.DeletedAt.IsZero() && s.Deployed == o.Environment {
		return nil
	}
	return x.vault.Withdraw(ctx, o.Environment, id)
}

func decodeOrder(m work.Message) (events.RefreshDue, error) {
	if m.Type != string(events.TypeRefreshDue) {
		return events.RefreshDue{}, fmt.Errorf("a job of type %q, want %s", m.Type, events.TypeRefreshDue)
	}
	order, err := events.DecodeRefreshDue(m.Data)
	if err != nil {
		return order, err
	}
	if !secret.ValidID(secret.PrefixSecret, order.Secret) {
		return order, errors.New("the job's secret is not the id of a secret")
	}
	return order, nil
}

// now is the time as records hold it: in UTC and whole milliseconds.
func (x *Exchanger) now() time.Time { return moment(x.Now()) }

func moment(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }
