package scheduler

import (
	"context"
	"time"
)

const (
	// alarmEvery is how often it is looked for values that end while their refresh waits,
	// and how long an alarm waits for one that is due.
	alarmEvery = time.Minute
	// alarmPause is the time between two such alarms: refreshes go before.
	alarmPause = 10 * time.Millisecond
)

// giveAlarms has exchangers say, until ctx ends, of secrets whose exchange is due and
// waits for its turn or its provider, that their values are about to end, or have ended.
// All other alarms are due like anything else.
func (s *Scheduler) giveAlarms(ctx context.Context) {
	for sleep(ctx, alarmEvery) {
		for page, more := 0, true; more; page++ {
			var waiting []entry
			waiting, more = s.silent(page)
			for i := range waiting {
				if !s.giveAlarm(ctx, &waiting[i]) {
					return
				}
			}
		}
	}
}

// silent returns what waits on a page of the index and has an alarm to be given, and
// whether there is such a page. It holds the lock for one page at a time, as tally does.
func (s *Scheduler) silent(page int) (waiting []entry, more bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.deps.Now().UnixMilli()
	s.lanes.x.page(page, func(e *entry) {
		if e.alarm != 0 && e.alarm+alarmEvery.Milliseconds() <= now && e.waitsAt(now) && s.lanes.x.ours(&e.plan) {
			waiting = append(waiting, *e)
		}
	})
	return waiting, page+1 < len(s.lanes.x.pages)
}

// waitsAt reports whether an exchange is due that nobody makes.
func (e *entry) waitsAt(now int64) bool {
	return (e.waits() || e.action == authorize) && e.due <= now && e.stage != released
}

// giveAlarm offers the job that has an alarm given, and pauses. It reports false when
// ctx has ended. A job that is refused or lost is offered again the next time.
func (s *Scheduler) giveAlarm(ctx context.Context, e *entry) bool {
	e.action, e.due = alarm, e.alarm
	accepted, err := s.publish(ctx, e, s.deps.Now())
	switch {
	case err != nil:
		s.metrics.offeredError.Inc()
	case accepted:
		s.metrics.offeredAccepted.Inc()
	default:
		s.metrics.offeredQueued.Inc()
	}
	return sleep(ctx, alarmPause)
}

// sleep reports whether ctx has not ended by then.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
