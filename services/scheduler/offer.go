package scheduler

import (
	"context"
	"sync"
	"time"
)

const (
	// publishers is how many offers are under way at most. When all of them
	// are, what is due waits in the index.
	publishers = 64
	// patience is how long one offer may take.
	patience = 5 * time.Second
	// firstPause and lastPause bound the time between two offers of the same
	// job. The first is long enough for a busy fleet to get round to it.
	firstPause = 3 * time.Second
	lastPause  = time.Minute
	// shortPause follows a first offer that was refused: most often by the very
	// job that brought the change, which is about to be acknowledged.
	shortPause = 250 * time.Millisecond
	// failurePause is how long nothing is offered after an offer has failed.
	failurePause = time.Second
	// longestSleep is after how long the clock is read again. Timers stand
	// still while a machine is suspended, and do not follow a clock that is set.
	longestSleep = time.Minute
)

// offerDue offers what falls due until ctx ends.
func (s *Scheduler) offerDue(ctx context.Context) {
	due := make(chan *entry)
	var offering sync.WaitGroup
	for range publishers {
		offering.Go(func() {
			for e := range due {
				s.offer(ctx, e)
			}
		})
	}
	s.feed(ctx, due)
	close(due)
	offering.Wait()
}

// feed hands entries to the publishers as they fall due, until ctx ends. While
// all publishers are busy it waits, and everything else that is due with it.
func (s *Scheduler) feed(ctx context.Context, due chan<- *entry) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		e, sleep := s.next()
		if e != nil {
			select {
			case due <- e:
			case <-ctx.Done():
			}
			continue
		}
		timer.Reset(sleep)
		select {
		case <-timer.C:
		case <-s.wake:
		case <-ctx.Done():
		}
	}
}

// next takes what is due, or else returns nil and how long to sleep.
func (s *Scheduler) next() (*entry, time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.deps.Now()
	s.sleepsUntil = awake
	if !s.failedAt.IsZero() {
		if pause := s.failedAt.Add(failurePause).Sub(now); pause > 0 {
			return nil, pause
		}
	}
	if e, ok := s.lanes.take(now.UnixMilli()); ok {
		return &e, 0
	}
	s.sleepsUntil = s.lanes.earliest()
	return nil, min(time.UnixMilli(s.sleepsUntil).Sub(now), longestSleep)
}

func (s *Scheduler) offered(e *entry, r offerResult, at int64) {
	s.update(func() { s.lanes.offered(e, r, at) })
}

// offer offers the job for e, and puts e back into the queue to be offered again.
func (s *Scheduler) offer(ctx context.Context, e *entry) {
	began := s.deps.Now()
	accepted, err := s.publish(ctx, e, began)
	now := s.deps.Now()
	switch {
	case err == nil:
		s.works(ctx, began)
		s.count(e, accepted, now)
		result := offerQueued
		if accepted {
			result = offerAccepted
		}
		s.offered(e, result, now.Add(s.pause(e, accepted)).UnixMilli())
	case ctx.Err() != nil: // whether it was queued matters to nobody
	default:
		s.metrics.offeredError.Inc()
		s.fails(ctx, now, err)
		s.offered(e, offerFailed, now.Add(firstPause).UnixMilli())
	}
}

func (s *Scheduler) count(e *entry, accepted bool, now time.Time) {
	if !accepted {
		s.metrics.offeredQueued.Inc()
		return
	}
	s.metrics.offeredAccepted.Inc()
	if !e.accepted { // what is accepted again was lost in between, not late
		s.metrics.lateness.Observe(max(0, now.Sub(e.dueAt()).Seconds()))
	}
}

// pause notes that the entry was offered, and returns the pause until it is offered
// again. What an accepted job brings about is told behind all that is still to be
// read: to offer it before would be in vain.
func (s *Scheduler) pause(e *entry, accepted bool) time.Duration {
	pause := e.pause(accepted)
	select {
	case <-s.complete:
	default:
		if accepted {
			return lastPause
		}
	}
	return pause
}

// pause notes that the entry was offered, and returns the pause until it is
// offered again.
func (e *entry) pause(accepted bool) time.Duration {
	first := e.offers == 0
	pause := min(firstPause<<e.offers, lastPause)
	if pause < lastPause {
		e.offers++
	}
	if accepted {
		e.accepted = true
	} else if first {
		return shortPause
	}
	return pause
}

// fails notes that an offer has failed, which stops all offers for a while, and
// says so the first time.
func (s *Scheduler) fails(ctx context.Context, now time.Time, err error) {
	s.mu.Lock()
	first := s.failedAt.IsZero()
	s.failedAt = now
	s.mu.Unlock()
	if first {
		s.deps.Logger.ErrorContext(ctx, "jobs cannot be offered, trying again", "error", err)
	}
}

// works notes that an offer begun at the time began has not failed. It is a
// sign of recovery only if it began after the last failure.
func (s *Scheduler) works(ctx context.Context, began time.Time) {
	s.mu.Lock()
	recovered := !s.failedAt.IsZero() && began.After(s.failedAt)
	if recovered {
		s.failedAt = time.Time{}
	}
	s.mu.Unlock()
	if recovered {
		s.deps.Logger.InfoContext(ctx, "jobs can be offered again")
	}
}
