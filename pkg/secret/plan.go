package secret

import "time"

// Action is what has to happen to a secret next.
type Action string

// The actions. Each is carried out by an exchanger, in the secret's one lane.
const (
	// Rest: nothing, until the record changes.
	Rest Action = "rest"
	// Exchange: the exchange a person is waiting for (status pending).
	Exchange Action = "exchange"
	// Refresh: the automatic exchange ahead of expiry.
	Refresh Action = "refresh"
	// Authorize: the exchange of the code that a person's consent brought.
	Authorize Action = "authorize"
	// Remind: announce that a person has to consent again soon.
	Remind Action = "remind"
	// Withdraw: remove the artifact from an environment that is no longer the
	// secret's.
	Withdraw Action = "withdraw"
	// Erase: remove what is left of a deleted secret.
	Erase Action = "erase"
	// Alarm: announce that the value in use is about to end, or has; see PlanAlarm.
	Alarm Action = "alarm"
)

// Next is an action and when it is due. At is zero for Rest.
type Next struct {
	Action Action
	At     time.Time
}

// Due reports whether there is something to do at the time now.
func (n Next) Due(now time.Time) bool { return n.Action != Rest && !n.At.After(now) }

// Plan says what has to happen to s next. It only reads what was decided and
// stored before, so every process comes to the same answer, whenever it asks.
func (s *Secret) Plan() Next {
	switch {
	case !s.DeletedAt.IsZero():
		return Next{Erase, s.DeletedAt}
	case s.Deployed != "" && s.Deployed != s.Environment:
		return Next{Withdraw, s.UpdatedAt}
	case !s.Elsewhere.IsZero():
		return Next{Action: Rest}
	case s.Authorization == nil:
		return s.planExchange()
	case s.ConsentWaits():
		return Next{Authorize, s.Authorization.ConsentedAt}
	}
	next := s.planExchange()
	if at := s.Authorization.Notices; len(at) > 0 && (next.Action == Rest || at[0].Before(next.At)) {
		return Next{Remind, at[0]}
	}
	return next
}

// planExchange says when the next exchange is, apart from that of a code.
func (s *Secret) planExchange() Next {
	switch {
	case s.NextAttemptAt.IsZero():
		return Next{Action: Rest}
	case s.Status == Pending:
		return Next{Exchange, s.NextAttemptAt}
	case s.Status == Succeeded && s.Environment != "":
		return Next{Refresh, s.NextAttemptAt}
	default:
		return Next{Action: Rest}
	}
}

// Replays reports whether what is next is to send again what was lost, within the
// provider's grace: it can wait for nothing.
func (s *Secret) Replays() bool {
	return !s.ReplayAt.IsZero() && s.ReplayAt.Equal(s.Plan().At)
}

// NextAttempt is when the next refresh begins that nobody has to ask for, or an
// exchange that somebody asked for and that has to wait; zero when there is none.
// Unlike RefreshAt, which is when the value in use was to be refreshed, it follows
// every attempt, and is gone when nothing tries again.
func (s *Secret) NextAttempt(now time.Time) time.Time {
	next := s.planExchange()
	if next.Action == Exchange && !next.At.After(now) {
		return time.Time{} // it is being made
	}
	return next.At
}

// RefreshState is the refresh status to show at the time now: a refresh that is
// due and not yet decided shows as pending (contract A12).
func (s *Secret) RefreshState(now time.Time) Status {
	next := s.Plan()
	if next.Action == Authorize || next.Action == Remind {
		next = s.planExchange() // what they come before
	}
	if next.Action == Refresh && !s.RefreshAt.After(now) {
		return Pending
	}
	return s.RefreshStatus
}

// MaxAttempts is how often one automatic refresh is tried (contract A12).
const MaxAttempts = 4

// lastAttemptBefore is how long before expiry the last attempt is made, unless
// the offset is so short that half of it comes later.
const lastAttemptBefore = 2 * time.Hour

// attempts is how many attempts a refresh with this offset gets.
func attempts(offset time.Duration) int {
	if offset <= 0 {
		return 1
	}
	return MaxAttempts
}

// step is the time between two attempts: they are spread evenly from refreshAt
// to expiresAt − min(2 h, offset/2).
func step(offset time.Duration) time.Duration {
	return (offset - min(lastAttemptBefore, offset/2)) / (MaxAttempts - 1)
}

// place returns the i-th place on the evenly spaced scale, counted from 0.
func place(refreshAt time.Time, offset time.Duration, i int) time.Time {
	return moment(refreshAt.Add(time.Duration(i) * step(offset)))
}

// late reports whether an attempt that was planned for one moment and begun at
// another came so late that a place passed meanwhile.
func late(planned, begun time.Time, offset time.Duration) bool {
	return !begun.Before(moment(planned.Add(step(offset))))
}

// nextAttempt returns when to try again after a failed attempt that ended at
// now, or false when the refresh is given up. Attempts keep their places on the
// scale: one that takes so long that places pass leaves fewer of them, and none
// is after the last place. Only a refresh that was held up (RefreshLate), by an
// outage of the fleet, goes on beyond it until it has had all its attempts.
func (s *Secret) nextAttempt(now time.Time) (time.Time, bool) {
	offset := s.ExpiresAt.Sub(s.RefreshAt)
	if s.Attempts >= attempts(offset) {
		return time.Time{}, false
	}
	for i := s.Attempts; i < MaxAttempts; i++ {
		if at := place(s.RefreshAt, offset, i); at.After(now) {
			return at, true
		}
	}
	if !s.RefreshLate {
		return time.Time{}, false
	}
	return moment(now.Add(lateStep(offset, s.ExpiresAt.Sub(now)))), true
}

// lateStep is the time between two attempts beyond the scale: a step, but no
// more than half of what is left of the value's life, so that the next attempt
// still can save it. What is left is not cut into less than a second.
func lateStep(offset, left time.Duration) time.Duration {
	if left <= 0 {
		return step(offset)
	}
	return min(step(offset), max(left/2, time.Second))
}
