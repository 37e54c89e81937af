package secret

import "time"

// Parked says that the job of what is due could not be brought to an end and was
// set aside for a person. It holds for that decision and action, and no other.
type Parked struct {
	Decision uint64    `json:"decision"`
	Action   Action    `json:"action"`
	At       time.Time `json:"at"`
}

// Park notes that a job of decision d was set aside, so that no other is offered
// for the same. It reports false, and changes nothing, when something else is due by
// now, or nothing.
func (s *Secret) Park(d uint64, now time.Time) bool {
	next := s.Plan()
	if s.Decision != d || !next.Due(now) {
		return false
	}
	s.Parked = &Parked{Decision: d, Action: next.Action, At: moment(now)}
	return true
}

// SetAside reports whether what has to happen next waits for a person, because its
// job is parked.
func (s *Secret) SetAside() bool {
	p := s.Parked
	return p != nil && p.Decision == s.Decision && p.Action == s.Plan().Action
}
