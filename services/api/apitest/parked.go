package apitest

import (
	"context"
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/pkg/work"
	"github.com/rekindle-dev/rekindle/services/api"
)

// Parked keeps parked messages in memory and takes jobs. The zero Parked is empty,
// and every lane is free.
type Parked struct {
	mu       sync.Mutex
	last     uint64
	messages []*work.Parked
	jobs     []events.Event
	broken   error
	before   func()
}

var (
	_ api.Parked = (*Parked)(nil)
	_ api.Jobs   = (*Parked)(nil)
)

// Park sets a message aside, a minute after the one before, and returns its number.
func (p *Parked) Park(m work.Parked) uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last++
	m.ID = p.last
	m.At = time.Date(2025, 11, 3, 9, int(p.last), 0, 0, time.UTC)
	p.messages = append(p.messages, &m)
	return m.ID
}

// Jobs returns the jobs that were taken. Their lanes are not free any more.
func (p *Parked) Jobs() []events.Event {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.jobs)
}

// Break lets all but Offer fail from now on; nil mends it.
func (p *Parked) Break(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.broken = err
}

// BeforeDiscard has f called once, before the next message is discarded.
func (p *Parked) BeforeDiscard(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.before = f
}

// Parked implements api.Parked.
func (p *Parked) Parked(_ context.Context, about string) iter.Seq2[*work.Parked, error] {
	p.mu.Lock()
	defer p.mu.Unlock()
	all, broken := slices.Clone(p.messages), p.broken
	return func(yield func(*work.Parked, error) bool) {
		if broken != nil {
			yield(nil, broken)
			return
		}
		for _, m := range all {
			if about != "" && m.Secret != about {
				continue
			}
			without := *m
			without.Members = nil
			if !yield(&without, nil) {
				return
			}
		}
	}
}

// ParkedMessage implements api.Parked.
func (p *Parked) ParkedMessage(_ context.Context, id uint64) (*work.Parked, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.broken != nil {
		return nil, p.broken
	}
	at := p.find(id)
	if at < 0 {
		return nil, state.ErrNotFound
	}
	found := *p.messages[at]
	return &found, nil
}

// Discard implements api.Parked.
func (p *Parked) Discard(_ context.Context, id uint64) error {
	p.mu.Lock()
	f := p.before
	p.before = nil
	p.mu.Unlock()
	if f != nil {
		f()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.broken != nil {
		return p.broken
	}
	at := p.find(id)
	if at < 0 {
		return state.ErrNotFound
	}
	p.messages = slices.Delete(p.messages, at, at+1)
	return nil
}

func (p *Parked) find(id uint64) int {
	return slices.IndexFunc(p.messages, func(m *work.Parked) bool { return m.ID == id })
}

// Offer implements api.Jobs.
func (p *Parked) Offer(_ context.Context, job events.Event) (bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if slices.ContainsFunc(p.jobs, func(e events.Event) bool { return e.Data.About() == job.Data.About() }) {
		return false, nil
	}
	p.jobs = append(p.jobs, job)
	return true, nil
}
