package scheduler

import "github.com/rekindle-dev/rekindle/pkg/rendezvous"

// share is what one of several schedulers has of the work.
type share struct {
	rendezvous.Share
	// hosts tells which hosts are ours, by their numbers; it grows as they are
	// asked for.
	hosts []bool
}

// shareOf returns the share of me among all members.
func shareOf(me string, all []string) share { return share{Share: rendezvous.Of(me, all)} }

// share takes over what has become ours when the members have changed, and gives up
// what is another's. When it returns nothing of that is taken any more. It holds the
// lock for one page at a time, so that nothing is late for it.
func (s *Scheduler) share(me string, all []string) {
	s.mu.Lock()
	s.lanes.x.share = shareOf(me, all)
	s.mu.Unlock()
	for page, more := 0, true; more; page++ {
		s.update(func() {
			if more = page < len(s.lanes.x.pages); more {
				for slot := page * pageSize; slot < min((page+1)*pageSize, int(s.lanes.x.used)); slot++ {
					s.lanes.reassign(uint32(slot))
				}
			}
		})
	}
	s.metrics.members.Set(float64(len(all)))
	s.deps.Logger.Info("the schedulers that share the work have changed", "count", len(all))
}

// reassign brings the entry of a slot in line with whose it is. What has become ours
// is as urgent as it ever was: its jobs may be lost since another offered them.
func (l *lanes) reassign(slot uint32) {
	e := l.x.entry(slot)
	switch {
	case e.place == vacant || e.action == rest:
	case !l.x.ours(&e.plan):
		if e.stage == waiting {
			l.leave(slot)
		} else if e.stage == released {
			l.vacate(slot)
		}
		l.x.dequeue(slot)
		e.offers, e.accepted, e.paid = 0, false, false
	case e.place == idle && e.stage == loose:
		l.x.enqueue(slot, e.due)
	}
}

// owned is how many of the hosts that are known are ours.
func (s *Scheduler) owned() float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0.
	for host := 1; host < len(s.lanes.x.hosts.names); host++ {
		if s.lanes.x.ours(&plan{host: uint32(host)}) {
			n++
		}
	}
	return n
}
