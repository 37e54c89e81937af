package scheduler

import "hash/fnv"

// share is what one of several schedulers has of the work: by rendezvous hashing,
// each thing is of the member for whom its weight is the largest. Who comes takes
// only for itself, who goes leaves only its own, and all come to the same answer.
// The zero share has nothing.
type share struct {
	mine   uint64
	others []uint64
	some   bool
	// hosts tells which hosts are ours, by their numbers; it grows as they are
	// asked for.
	hosts []bool
}

// shareOf returns the share of me among all members. Nobody has anything who is not
// one of them.
func shareOf(me string, all []string) share {
	s := share{mine: hash(me)}
	for _, name := range all {
		if name == me {
			s.some = true
		} else {
			s.others = append(s.others, hash(name))
		}
	}
	return s
}

// has reports whether a thing of this hash is ours.
func (s *share) has(thing uint64) bool {
	for _, other := range s.others {
		if weight(other, thing) > weight(s.mine, thing) {
			return false
		}
	}
	return s.some
}

// hash and weight are the same in every process: whoever changes them has two
// schedulers do the same work until both run the new program.
func hash(name string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(name)) // it never fails
	return h.Sum64()
}

// weight mixes well enough that shares are even, whatever names look like. It is the
// end of SplitMix64 (Steele, Lea and Flood, 2014).
func weight(member, thing uint64) uint64 {
	z := member ^ thing
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

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
