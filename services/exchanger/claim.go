package exchanger

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/pkg/work"
)

// claimLife is after how long without renewal a claim is thought to be a dead
// exchanger's. It is shorter than a job's ack wait (4 s) by one renewal, so that
// when the job of a dead exchanger comes to another, the claim has run out.
const claimLife = 3 * time.Second

// writePatience bounds one write of a grant. What was on its way when the store went
// away is made again when it is back, before others may think the writer dead.
const writePatience = claimLife - time.Second

const (
	// commitPatience is for how long the outcome of an exchange is held while the
	// store does not take it: from the answer on, or, of one that may be nowhere else,
	// from when the process was told to hurry. It is about as long as whoever follows
	// the store holds out.
	commitPatience = 30 * time.Minute
	// commitReminder is how often it is said meanwhile that one is held.
	commitReminder = time.Minute
)

// pace is how long is waited in real time, whatever the clock says. Tests wait for
// nothing.
type pace struct {
	renew    time.Duration // how often a claim is renewed while its exchange takes long
	retry    time.Duration // after a renewal or an outcome that was not stored
	patience time.Duration // commitPatience
}

func newPace() pace {
	return pace{renew: time.Second, retry: 250 * time.Millisecond, patience: commitPatience}
}

// claim is the right to make the exchange of a secret's current decision, or
// to bring it to its end if its outcome is in the grant.
//
// A decision is claimed once, by a write that expects the revision of the grant
// that was read before. All that follows expects the revision of what the claim
// wrote last. So whoever is overtaken finds out, and can change nothing.
type claim struct {
	x          *Exchanger
	secret     *secret.Secret
	read       state.Revision // of the record, when it was planned
	credential *secret.Credential
	consent    *secret.Consent // nil unless its code is to be exchanged
	grant      *secret.Grant
	revision   state.Revision // of the grant
	deployed   state.Revision // of the artifact, once it is stored
	stepped    time.Time      // when the step before was made
	// probe tells that this one is to ask whether a host that has failed is back.
	probe bool
	// save is set while the claim is kept: see whileKept.
	save func(context.Context, *secret.ConsentGrant)
}

// reached notes that a step was made.
func (c *claim) reached(step Step) {
	now := c.x.Now()
	c.x.metrics.steps.WithLabelValues(string(step)).Observe(now.Sub(c.stepped).Seconds())
	c.stepped = now
	c.x.Reached(step)
}

// answered reports whether the exchange was made.
func (c *claim) answered() bool { return c.grant.Answers(c.secret.Decision) }

// latest is the last decision that was ever claimed.
func (c *claim) latest() (d uint64) {
	if c.grant.Outcome != nil {
		d = c.grant.Outcome.Decision
	}
	if c.grant.Claim != nil {
		d = max(d, c.grant.Claim.Decision, c.grant.Claim.Last)
	}
	return d
}

// take claims the decision, unless somebody else is at work on the secret, with
// what it takes to make the exchange. A decision whose claim was left open is
// not claimed again but given up, since its request may have been sent; that
// returns errVoid, because then there is another to claim.
func (c *claim) take(ctx context.Context) error {
	if _, here := c.x.inHand.Load(c.secret.ID); here {
		// After an outage of the store a job can come again before the outcome is
		// stored that this exchanger has held meanwhile.
		return work.RetryAfter(claimLife, errBusy)
	}
	now := c.x.now()
	held := heldFor(c.grant.Claim, now, c.x.Steady())
	switch open := c.grant.Claim; {
	case held > 0:
		return work.RetryAfter(held, errBusy)
	case c.latest() > c.secret.Decision:
		return errBehind
	case c.latest() == c.secret.Decision:
		return c.giveUp(ctx)
	case open != nil:
		// Of an earlier decision: what it sent is not to be forgotten.
		if err := c.end(ctx, now); err != nil {
			return err
		}
	}
	if err := c.adopt(ctx); err != nil {
		return err
	}
	if at := c.replayAt(c.lostBefore(), now); !at.IsZero() && !c.refused() {
		return c.postpone(ctx, at)
	}
	if err := c.readCredential(ctx); err != nil {
		return err
	}
	if err := c.readConsent(ctx); err != nil {
		return err
	}
	c.copyCredential()
	first := c.revision == 0
	if err := c.seize(ctx, c.claimed(now, now.Add(claimLife))); err != nil || !first {
		return err
	}
	return c.verify(ctx)
}

// heldFor is for how long yet whoever has an open claim is not to be thought dead: until
// it has run out, and the store was there for long enough to renew it. Not positive
// when nobody has one.
func heldFor(open *secret.Claim, now time.Time, steady time.Duration) time.Duration {
	if open == nil || open.Until.IsZero() {
		return 0
	}
	return max(min(open.Until.Sub(now), claimLife), claimLife-steady)
}

// seize writes the grant in place of what others wrote. After an error the claim
// is not made, even if it is there: whose it is, nobody could tell.
func (c *claim) seize(ctx context.Context, next *secret.Grant) error {
	err := c.write(ctx, next)
	if errors.Is(err, state.ErrConflict) {
		return work.RetryAfter(c.x.pace.renew, errBusy)
	}
	return err
}

// end writes that the claim of another is over, unless that was written: until then
// its holder may still bring it to its end, and from then on it is fenced. When that
// was stays known, for whoever asks again.
func (c *claim) end(ctx context.Context, now time.Time) error {
	if c.grant.Claim.Until.IsZero() {
		return nil
	}
	return c.seize(ctx, over(c.grant, now))
}

// giveUp ends a decision without an outcome, after its claim.
func (c *claim) giveUp(ctx context.Context) error {
	dead := c.grant.Claim
	if err := c.end(ctx, c.x.now()); err != nil {
		return err
	}
	c.x.Logger.WarnContext(ctx, "an exchange was interrupted: its outcome is unknown",
		"secret", c.secret.ID, "generation", c.secret.Decision, "worker", dead.Holder)
	now, action := c.x.now(), c.secret.Plan().Action
	advice := "authorize again"
	replayAt := c.replayAt(c.lostBefore(), now)
	c.x.announceInterrupted(ctx, c.secret, events.ExchangeInterrupted{
		Action: string(action), Generation: c.secret.Decision, NextAttemptAt: replayAt,
	})
	if !replayAt.IsZero() {
		advice = keptBack
	}
	unknown := failed(events.ReasonUnknown, "the exchange was interrupted, and nobody knows whether the provider has answered: %s", advice)
	err := c.interrupt(ctx, c.x.failure(ctx, unknown, now), replayAt)
	if err == nil {
		c.x.metrics.count(c.secret, action, exchangeUnknown)
	}
	return cmp.Or(err, errVoid)
}

// interrupt decides anew, at once or not before replayAt. It returns errVoid when
// others have decided.
func (c *claim) interrupt(ctx context.Context, unknown *secret.Failure, replayAt time.Time) error {
	_, _, err := c.x.secrets.Update(ctx, c.secret.ID, func(s *secret.Secret) error {
		if !s.Interrupt(c.secret.Decision, unknown, replayAt) {
			return errVoid
		}
		return nil
	})
	if errors.Is(err, state.ErrNotFound) {
		return errVoid
	}
	return err
}

// readConsent reads the code that is to be exchanged, if one is. It is written
// together with the record that says so: what does not fit was read from behind,
// and holds no code or one that was sent already.
func (c *claim) readConsent(ctx context.Context) (err error) {
	a := c.secret.Authorization
	if a == nil || a.ConsentedAt.IsZero() || a.Accept {
		return nil
	}
	c.consent, err = c.x.vault.Consent(ctx, c.secret.ID)
	if err != nil {
		return fmt.Errorf("consent: %w", err)
	}
	if c.consent.Answered == nil || !c.consent.AnsweredAt.Equal(a.ConsentedAt) {
		return fmt.Errorf("consent: %w", errBehind)
	}
	return nil
}

// verify makes sure, after the first claim of all, that the secret is still
// there: for the grant of a secret that has been erased since it was planned
// looks like that of a new one, and nobody would erase it again.
func (c *claim) verify(ctx context.Context) error {
	gone, err := c.gone(ctx)
	if err != nil || !gone {
		return err
	}
	_, err = c.x.State.Commit(ctx, state.Write{Key: state.GrantKey(c.secret.ID), Expect: c.revision})
	if err == nil || errors.Is(err, state.ErrConflict) {
		return errVoid
	}
	return err
}

// gone reports whether the secret is deleted, and its grant perhaps erased.
func (c *claim) gone(ctx context.Context) (bool, error) {
	s, _, err := c.x.secrets.Get(ctx, c.secret.ID)
	if errors.Is(err, state.ErrNotFound) {
		return true, nil
	}
	return err == nil && !s.DeletedAt.IsZero(), err
}

// whileKept does something and renews the claim meanwhile. It returns why the
// context that it hands over had ended by then, if it had. What comes meanwhile in
// place of the refresh token that was sent can be saved: it is in the grant when save
// returns, unless the store is away or the claim lost, and from there in every renewal.
func (c *claim) whileKept(ctx context.Context, do func(context.Context)) error {
	if now := c.x.now(); !c.grant.Claim.Live(now) {
		// This process stood still since it claimed: the decision may have been given up.
		if err := c.put(ctx, c.claimed(c.grant.Claim.StartedAt, now.Add(claimLife))); err != nil {
			return err
		}
	}
	ctx, stop := context.WithCancelCause(ctx)
	var keeper sync.WaitGroup
	defer keeper.Wait()
	defer stop(nil)
	var writing sync.Mutex
	started := c.grant.Claim.StartedAt
	renew := func(ctx context.Context) error {
		writing.Lock()
		defer writing.Unlock()
		return c.put(ctx, c.claimed(started, c.x.now().Add(claimLife)))
	}
	c.save = func(ctx context.Context, brought *secret.ConsentGrant) {
		writing.Lock()
		c.grant = c.replaced(brought)
		writing.Unlock()
		if err := renew(ctx); err != nil {
			c.x.Logger.WarnContext(ctx, "a refresh token could not be saved yet", "secret", c.secret.ID, "error", err)
		}
	}
	keeper.Go(func() { c.keep(ctx, renew, stop) })
	do(ctx)
	return context.Cause(ctx)
}

// keep renews the claim until ctx ends. When somebody else has claimed, it says
// so by lost and returns. Any other failure is not yet a loss, and is tried again as
// often as it takes: as soon as the store is back others may look at the claim.
func (c *claim) keep(ctx context.Context, renew func(context.Context) error, lost func(error)) {
	failing, wait := false, c.x.pace.renew
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		err := renew(ctx)
		switch {
		case errors.Is(err, errFenced):
			lost(err)
			return
		case err == nil:
			failing, wait = false, c.x.pace.renew
			continue
		case !failing && ctx.Err() == nil:
			c.x.Logger.WarnContext(ctx, "a claim could not be renewed", "secret", c.secret.ID, "error", err)
		}
		failing, wait = true, c.x.pace.retry
	}
}

// commit closes the claim with its outcome. It does not give up while the store
// is away: the outcome exists nowhere else. Where that cannot be had again, because
// a person's consent hangs on it, its patience begins when hard ends. Of a void outcome
// the refresh token may be good.
func (c *claim) commit(hard context.Context, r *result) error {
	ctx := context.WithoutCancel(hard)
	waits := time.Now()
	var said time.Time
	for {
		err := c.put(ctx, r.in(c.grant))
		if errors.Is(err, errFenced) {
			err = cmp.Or(c.salvage(ctx, r.consent), err)
		}
		switch {
		case err == nil, errors.Is(err, errFenced):
			return err
		case r.consent != nil && hard.Err() == nil:
			waits = time.Now()
		case time.Since(waits) >= c.x.pace.patience:
			return err
		}
		if time.Since(said) >= commitReminder {
			said = time.Now()
			c.x.Logger.WarnContext(ctx, "the outcome of an exchange could not be stored yet: it is held, so do not stop this process", "secret", c.secret.ID, "error", err)
		}
		<-time.After(c.x.pace.retry)
	}
}

// abandon ends the claim of an exchange that was stopped from this side, so
// that the next exchanger need not wait for it to run out. One that was not made
// because it was late is decided anew.
func (c *claim) abandon(ctx context.Context, cause error) error {
	if errors.Is(cause, errFenced) {
		return cause
	}
	if err := c.put(ctx, over(c.grant, c.x.now())); err != nil && !errors.Is(err, errFenced) {
		c.x.Logger.WarnContext(ctx, "a claim could not be given back: it has to run out", "secret", c.secret.ID, "error", err)
	}
	if errors.Is(cause, errLate) {
		return c.postpone(ctx, c.keptUntil(c.lostBefore(), c.x.now()))
	}
	return fmt.Errorf("%w: %w", errInterrupted, cause)
}

// claimed is the grant with this claim in it.
func (c *claim) claimed(started, until time.Time) *secret.Grant {
	next := &secret.Claim{Decision: c.secret.Decision, Holder: c.x.Name, StartedAt: started, Until: until}
	if next.Decision == noDecision {
		next.Last = c.latest()
		return c.grant.With(next, c.grant.Outcome)
	}
	return c.grant.With(c.intend(next), spent(c.grant.Outcome))
}

// spent is the outcome of a decision before the one that is claimed, without its
// value: that was deployed before another was decided, or is void.
func spent(o *secret.Outcome) *secret.Outcome {
	if o == nil || len(o.Sealed) == 0 {
		return o
	}
	next := *o
	next.Sealed = nil
	return &next
}

// over is the grant with its claim ended. The claim stays, as a trace: the
// decision was claimed.
func over(g *secret.Grant, now time.Time) *secret.Grant {
	ended := *g.Claim
	ended.Until = time.Time{}
	next := g.With(&ended, g.Outcome)
	lose(next, ended, now)
	return next
}

// put writes the grant in place of what this claim wrote last. It returns
// errFenced when somebody else has written since. A conflict with a write of
// this claim, whose answer was lost, is none: it is written over.
func (c *claim) put(ctx context.Context, next *secret.Grant) error {
	for {
		err := c.write(ctx, next)
		if !errors.Is(err, state.ErrConflict) {
			return err
		}
		if err := c.reread(ctx); err != nil {
			return err
		}
	}
}

func (c *claim) write(ctx context.Context, next *secret.Grant) error {
	ctx, cancel := context.WithTimeout(ctx, writePatience)
	defer cancel()
	rev, err := c.x.vault.PutGrant(ctx, c.secret.ID, next, c.revision)
	if err == nil {
		c.grant, c.revision = next, rev
	}
	return err
}

// reread reads the grant after a conflict. It returns errFenced when it is not
// this claim's any more.
func (c *claim) reread(ctx context.Context) error {
	g, rev, err := c.look(ctx)
	if err != nil {
		return err
	}
	if !c.holds(g) {
		c.x.Logger.WarnContext(ctx, "an exchange was overtaken by another: its outcome is void",
			"secret", c.secret.ID, "generation", c.secret.Decision)
		return work.RetryAfter(claimLife, errFenced)
	}
	c.grant, c.revision = g, rev
	return nil
}

// look reads what others have written in place of the last that this claim wrote:
// nothing, if the secret is gone.
func (c *claim) look(ctx context.Context) (*secret.Grant, state.Revision, error) {
	g, rev, err := c.x.vault.Grant(ctx, c.secret.ID)
	if err != nil || rev > c.revision {
		return g, rev, err
	}
	if rev == 0 {
		if gone, err := c.gone(ctx); gone || err != nil {
			return g, rev, err
		}
	}
	return nil, 0, errBehind // what is there now is newer
}

// holds reports whether g was written under this claim and nobody has given it
// up since. A decision is claimed once; tests, which are of none, are told apart
// by who began when.
func (c *claim) holds(g *secret.Grant) bool {
	if c.secret.Decision == noDecision {
		own, open := c.grant.Claim, g.Claim
		return own != nil && open != nil && open.Decision == noDecision && !open.Until.IsZero() &&
			open.Holder == own.Holder && open.StartedAt.Equal(own.StartedAt)
	}
	other := g.Claim != nil && (g.Claim.Until.IsZero() || g.Claim.Decision == noDecision)
	return !other && (&claim{grant: g}).latest() == c.secret.Decision
}
