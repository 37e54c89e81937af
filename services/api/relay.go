package api

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/rekindle-dev/rekindle/pkg/audit"
	"github.com/rekindle-dev/rekindle/pkg/state"
)

const (
	// relayAfter is for how long a parcel is left to the process that put it into the
	// outbox: longer than a request may take, which may still be about to tell it.
	relayAfter = 20 * time.Second
	// relayEvery is how often is looked for those that were left, while there are any.
	relayEvery = time.Second
	// gatherFor is how long is waited for more to come.
	gatherFor = 250 * time.Millisecond
	// relayBatch is how many are told at a time.
	relayBatch = 512
)

// outbox is what is to be told, as the state shows it.
type outbox struct {
	log *slog.Logger

	mu      sync.Mutex
	waiting map[string]waiting // by the id of the parcel
	// announced are those whose events this process has published.
	announced map[string]bool
	wake      chan struct{} // holds a token when there may be something to tell
}

// waiting is a parcel in the outbox, as it is stored: most are gone before anybody but
// their own process has to read them.
type waiting struct {
	state.Change
	since time.Time // it was seen first
	seen  time.Time // or put off
}

func newOutbox(log *slog.Logger) *outbox {
	return &outbox{
		log: log, waiting: map[string]waiting{}, announced: map[string]bool{}, wake: make(chan struct{}, 1),
	}
}

// apply takes in a change of the outbox.
func (o *outbox) apply(id string, c state.Change, now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if c.Value == nil {
		delete(o.waiting, id)
		delete(o.announced, id)
		return
	}
	first := len(o.waiting) == 0
	o.waiting[id] = waiting{c, now, now}
	if first || o.announced[id] {
		o.stir()
	}
}

// idle reports whether nothing is to be told.
func (o *outbox) idle() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.waiting) == 0
}

// told notes that the events of a parcel are published.
func (o *outbox) told(id string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.announced[id] = true
	if _, here := o.waiting[id]; here {
		o.stir()
	}
}

// stir wakes the relay. The caller holds mu.
func (o *outbox) stir() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// due returns the parcels that are to be told by now, in the order in which they were
// written: those whose events are published, and those that were left.
func (o *outbox) due(now time.Time, most int) []*parcel {
	o.mu.Lock()
	defer o.mu.Unlock()
	type message struct {
		id string
		waiting
	}
	var ready []message
	for id, w := range o.waiting {
		if o.announced[id] || now.Sub(w.seen) >= relayAfter {
			ready = append(ready, message{id, w})
		}
	}
	slices.SortFunc(ready, func(a, b message) int { return cmp.Compare(a.Revision, b.Revision) })
	var list []*parcel
	for _, w := range ready {
		if len(list) == most {
			break // who reads all of a backlog for each batch takes for ever
		}
		p, err := readParcel(w.id, w.Change)
		if err != nil {
			o.log.Error("a record cannot be read", "key", w.Key, "revision", uint64(w.Revision), "error", err)
			delete(o.waiting, w.id) // it stays in the state
			continue
		}
		p.announced = o.announced[w.id]
		list = append(list, p)
	}
	return list
}

// readParcel reads a message of the outbox.
func readParcel(id string, c state.Change) (*parcel, error) {
	p := &parcel{id: id, revision: c.Revision}
	return p, json.Unmarshal(c.Value, p)
}

// later puts off what could not be told.
func (o *outbox) later(id string, now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.announced, id)
	if w, here := o.waiting[id]; here {
		w.seen = now.Add(healPause - relayAfter)
		o.waiting[id] = w
	}
}

// gone notes that a parcel is taken out, before the state shows it.
func (o *outbox) gone(id string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.waiting, id)
	delete(o.announced, id)
}

// relay tells what is in the outbox until ctx ends, and returns ctx's error. Every process
// does so. When two come to the same parcel both tell it, which does no harm.
func (s *Service) relay(ctx context.Context) error {
	again := time.NewTimer(relayEvery)
	defer again.Stop()
	for {
		select {
		case <-s.outbox.wake:
			gather(ctx)
		case <-again.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		for ctx.Err() == nil && s.relayOnce(ctx) == relayBatch {
		}
		// Who has nothing to tell sleeps until there is something.
		if again.Stop(); !s.outbox.idle() {
			again.Reset(relayEvery)
		}
	}
}

// gather waits for a moment in which more may come, so that what comes together is written
// on one page.
func gather(ctx context.Context) {
	t := time.NewTimer(gatherFor)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// relayOnce tells a batch of what is due, and returns how many there were. What cannot be
// told yet holds up nothing behind it.
func (s *Service) relayOnce(ctx context.Context) int {
	list := s.outbox.due(s.deps.Now(), relayBatch)
	byOrg := map[string][]*parcel{}
	for _, p := range list {
		if !p.announced {
			if err := s.announce(ctx, p); err != nil {
				s.putOff(ctx, err, p)
				continue
			}
		}
		byOrg[p.Org] = append(byOrg[p.Org], p)
	}
	for org, parcels := range byOrg {
		var entries []audit.Entry
		for _, p := range parcels {
			if p.Entry.ID != "" {
				entries = append(entries, p.Entry)
			}
		}
		if err := s.keeper.keep(ctx, org, entries); err != nil {
			s.putOff(ctx, err, parcels...)
			continue
		}
		for _, p := range parcels {
			if err := s.takeOut(ctx, p); err != nil {
				s.putOff(ctx, err, p)
			}
		}
	}
	return len(list)
}

// putOff leaves parcels for a while.
func (s *Service) putOff(ctx context.Context, err error, parcels ...*parcel) {
	if ctx.Err() != nil {
		return
	}
	for _, p := range parcels {
		s.outbox.later(p.id, s.deps.Now())
	}
	s.deps.Logger.WarnContext(ctx, "changes could not be told yet", "error", err)
}

// takeOut removes a parcel that was told.
func (s *Service) takeOut(ctx context.Context, p *parcel) error {
	_, err := s.deps.State.Commit(ctx, state.Write{Key: state.OutboxKey(p.id), Expect: p.revision})
	if err != nil && !errors.Is(err, state.ErrConflict) { // another process may have been as fast
		return err
	}
	s.outbox.gone(p.id)
	return nil
}
