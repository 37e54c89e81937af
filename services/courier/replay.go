package courier

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"time"

	"github.com/rekindle-dev/rekindle/pkg/audit"
	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/pkg/webhook"
)

const (
	// replayAhead is how many messages of a replay may wait at a time: few enough that what
	// happens meanwhile does not wait for long behind them.
	replayAhead = 100
	// readAtOnce is how many replays read the trail at a time.
	readAtOnce = 4
)

// errLost ends the work on a replay that another process goes on with, that another replay
// has taken the place of, or whose callback is gone.
var errLost = errors.New("the replay is no longer this process's")

// standing is how far a replay is, as it is stored.
type standing struct {
	progress webhook.Progress
	revision state.Revision
	here     bool // this process goes on with it
}

// replays goes on with what is to be told again until ctx ends.
func (c *Courier) replays(ctx context.Context) {
	for ctx.Err() == nil {
		found, next := c.unattended()
		for _, to := range found {
			c.senders.Go(func() {
				c.replay(ctx, to)
				c.rest(ctx, nil, c.deps.Now().Add(again)) // for it may not be over
				c.attend(to.ID, false)
				c.ask()
			})
		}
		c.rest(ctx, c.asked, next)
	}
}

// ask has replays looked at.
func (c *Courier) ask() {
	select {
	case c.asked <- struct{}{}:
	default:
	}
}

// unattended returns the callbacks that have a replay with which nobody goes on, for this
// process to do so, and when there may be more by itself, zero for never.
func (c *Courier) unattended() (found []*webhook.Callback, next time.Time) {
	now := c.deps.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, to := range c.callbacks {
		if to.Replay == nil {
			continue
		}
		s := c.standings[id]
		if s == nil {
			s = new(standing)
			c.standings[id] = s
		}
		p := &s.progress
		begun := p.Number >= to.Replay.Number
		switch {
		case s.here, begun && !p.Runs():
		case begun && p.Holder != c.deps.Name && p.HeldUntil.After(now):
			if next.IsZero() || p.HeldUntil.Before(next) {
				next = p.HeldUntil
			}
		default:
			s.here = true
			found = append(found, to)
		}
	}
	return found, next
}

// attend notes whether this process goes on with the replay of a callback.
func (c *Courier) attend(callback string, here bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.standings[callback]; s != nil {
		s.here = here
	}
}

// progressed takes in how far a replay is, as it is stored.
func (c *Courier) progressed(p *webhook.Progress, rev state.Revision) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.standings[p.Callback]
	if s == nil {
		s = new(standing)
		c.standings[p.Callback] = s
	}
	if rev > s.revision {
		s.progress, s.revision = *p, rev
	}
	if l := c.lines[p.Callback]; l != nil {
		l.stirred()
	}
	c.ask()
}

// standingOf returns how far the last replay of a callback is, with its revision.
func (c *Courier) standingOf(callback string) (p webhook.Progress, rev state.Revision) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.standings[callback]; s != nil {
		p, rev = s.progress, s.revision
	}
	return p, rev
}

// rulesOf are the rules by which deliveries to a callback may be sent. In strict order nothing
// is sent that a replay has not come to.
func (c *Courier) rulesOf(to *webhook.Callback) rules {
	r := rules{seen: state.Revision(c.seen.Load()), upTo: math.MaxUint64}
	if r.strict = to.Order() == webhook.Strict; r.strict {
		if p, _ := c.standingOf(to.ID); p.Number > 0 && p.Runs() {
			r.upTo = p.Position
		}
	}
	return r
}

// replay is the work on one replay.
type replay struct {
	c        *Courier
	l        *line
	progress webhook.Progress
	revision state.Revision
	saved    int // messages
}

// replay goes on with the replay of a callback until it is over, or not this process's any
// more.
func (c *Courier) replay(ctx context.Context, to *webhook.Callback) {
	r := &replay{c: c, l: c.line(to.ID)}
	r.progress, r.revision = c.standingOf(to.ID)
	if r.progress.Number < to.Replay.Number {
		r.progress = webhook.Progress{Callback: to.ID, Number: to.Replay.Number}
	}
	err := r.save(ctx)
	for err == nil && r.progress.Runs() {
		if err = r.step(ctx); err == nil || errors.Is(err, errLost) || ctx.Err() != nil {
			continue
		}
		c.deps.Logger.WarnContext(ctx, "a replay to a callback rests for a moment", "callback", to.ID, "error", err)
		c.rest(ctx, nil, c.deps.Now().Add(again))
		err = ctx.Err()
	}
	if ctx.Err() != nil && r.progress.Runs() {
		r.release(ctx)
	}
}

// step goes through one page of the trail.
func (r *replay) step(ctx context.Context) error {
	to, err := r.wanted()
	if err != nil {
		return err
	}
	if r.progress.Sequence == 0 {
		return r.begin(ctx, to)
	}
	s, err := r.read(ctx, to.Org)
	if errors.Is(err, audit.ErrNone) {
		return r.end(ctx)
	}
	if err != nil {
		return err
	}
	page, err := audit.ReadPage(s.Body)
	switch {
	case err != nil: // what nobody can read is passed over
	case page.Total >= r.progress.Until:
		return r.end(ctx)
	default:
		if err := r.through(ctx, to, page); err != nil {
			return err
		}
	}
	r.progress.Sequence = s.Sequence + 1
	if r.progress.Messages == r.saved && !r.stale() {
		return nil // nobody waits to hear of it
	}
	return r.save(ctx)
}

// stale reports whether others will soon take it that nobody goes on with the replay.
func (r *replay) stale() bool { return r.progress.HeldUntil.Sub(r.c.deps.Now()) < holdFor/2 }

// wanted returns the callback as it is now, or errLost.
func (r *replay) wanted() (*webhook.Callback, error) {
	to := r.c.callback(r.progress.Callback)
	if to == nil || to.Replay == nil || to.Replay.Number != r.progress.Number {
		return nil, errLost
	}
	return to, nil
}

// read returns the page that the replay has come to.
func (r *replay) read(ctx context.Context, org string) (audit.Stored, error) {
	select {
	case r.c.reading <- struct{}{}:
		defer func() { <-r.c.reading }()
	case <-ctx.Done():
		return audit.Stored{}, ctx.Err()
	}
	return r.c.deps.Log.Next(ctx, org, r.progress.Sequence)
}

// begin looks for where the replay begins and ends.
func (r *replay) begin(ctx context.Context, to *webhook.Callback) error {
	from, since := to.Replay.From, to.Replay.Since
	first, err := audit.Trail{Log: r.c.deps.Log}.Begin(ctx, to.Org, func(p *audit.Page) bool {
		if from > 0 {
			return p.Total+uint64(len(p.Entries)) >= from
		}
		return !p.At.Before(since)
	})
	if errors.Is(err, audit.ErrNone) {
		return r.end(ctx)
	}
	if err != nil {
		return err
	}
	last, err := r.c.deps.Log.Last(ctx, to.Org)
	if err != nil {
		return err
	}
	r.progress.Sequence, r.progress.Until = first.Sequence, math.MaxUint64
	if p, err := audit.ReadPage(last.Body); err == nil {
		r.progress.Until = p.Total + uint64(len(p.Entries))
	}
	if p, err := audit.ReadPage(first.Body); err == nil {
		r.progress.Position = max(from, p.Total+1) - 1
	}
	return r.save(ctx)
}

// through makes deliveries of what a page has for the callback.
func (r *replay) through(ctx context.Context, to *webhook.Callback, page *audit.Page) error {
	for i, e := range page.Entries {
		position := page.Total + uint64(i) + 1
		if position <= r.progress.Position || position > r.progress.Until {
			continue
		}
		if wanted(to, &e) {
			if err := r.room(ctx); err != nil {
				return err
			}
			if err := r.tell(ctx, page, i, to); err != nil {
				return err
			}
		}
		r.progress.Position = position
	}
	return nil
}

// tell makes a delivery of an entry of a page.
func (r *replay) tell(ctx context.Context, page *audit.Page, i int, to *webhook.Callback) error {
	d, err := r.c.deliveryOf(page, i, to)
	if err != nil {
		r.c.deps.Logger.ErrorContext(ctx, "callbacks are not told of an entry of the audit trail", "event", page.Entries[i].ID, "error", err)
		return nil
	}
	d.Replayed, d.NextAt = true, r.c.deps.Now() // behind what waits by now
	dropped, err := r.c.enqueue(ctx, d)
	r.c.tellOverflow(ctx, to.ID, dropped)
	r.progress.Messages++
	return err
}

// room waits until another message of the replay may wait. It saves how far the replay is
// before it does, for what it has made to be sent in strict order, and goes on when half of
// what was ahead is sent.
func (r *replay) room(ctx context.Context) error {
	for most := replayAhead; ; most = replayAhead / 2 {
		to, err := r.wanted()
		if err != nil {
			return err
		}
		if r.l.roomFor(most, to.Order() == webhook.Strict) {
			return nil
		}
		if most == replayAhead || r.stale() {
			if err := r.save(ctx); err != nil {
				return err
			}
		}
		r.c.rest(ctx, r.l.freed, r.c.deps.Now().Add(holdFor/2))
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// end notes that the replay is over.
func (r *replay) end(ctx context.Context) error {
	r.progress.EndedAt = r.c.deps.Now()
	err := r.save(ctx)
	if err != nil {
		r.progress.EndedAt = time.Time{}
	}
	return err
}

// save stores how far the replay is, and holds it. It returns errLost when somebody else has
// stored something else.
func (r *replay) save(ctx context.Context) error {
	r.progress.Holder, r.progress.HeldUntil = r.c.deps.Name, r.c.deps.Now().Add(holdFor)
	return r.store(ctx)
}

func (r *replay) store(ctx context.Context) error {
	body, err := json.Marshal(&r.progress)
	if err != nil {
		return err
	}
	rev, err := r.c.deps.State.Commit(ctx, state.Write{Key: state.ReplayKey(r.progress.Callback), Value: body, Expect: r.revision})
	if errors.Is(err, state.ErrConflict) {
		return errLost
	}
	if err == nil {
		r.revision, r.saved = rev, r.progress.Messages
		r.c.progressed(&r.progress, rev)
	}
	return err
}

// release lets others go on with the replay at once.
func (r *replay) release(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), again)
	defer cancel()
	r.progress.HeldUntil = time.Time{}
	r.store(ctx) //nolint:errcheck // if it is not, they do when its time is over
}
