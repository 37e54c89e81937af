package secret

import (
	"slices"
	"time"
)

// dayBefore is how long before the end of a value an alarm is given, if its refresh
// was due before that.
const dayBefore = 24 * time.Hour

// PlanAlarm says when it is to be announced next that the value in use is about to
// end and no other has come in its place, or that it has ended; Rest when there is
// nothing to announce.
//
// It stands beside Plan and takes nothing away from it: what is due stays due while
// its provider may not be asked, and then people want to know. No alarm is before
// the refresh was due, and a value that is refreshed in time gives none.
func (s *Secret) PlanAlarm() Next {
	for _, at := range s.alarms() {
		if at.After(s.AlarmedAt) {
			return Next{Alarm, at}
		}
	}
	return Next{Action: Rest}
}

// DueAlarm returns the last of the alarms that are to be given by the time now, which
// is given for all of them: its place, and whether it is that the value has ended. It
// returns the zero time when there is none.
func (s *Secret) DueAlarm(now time.Time) (at time.Time, ended bool) {
	for _, place := range s.alarms() {
		if place.After(s.AlarmedAt) && !place.After(now) {
			at = place
		}
	}
	return at, at.Equal(s.ExpiresAt)
}

// Alarmed notes that the alarms up to the place at were given for the value of a
// generation. It reports false, and changes nothing, when another is in use by now.
func (s *Secret) Alarmed(generation uint64, at time.Time) bool {
	if s.Generation != generation || !s.DeletedAt.IsZero() {
		return false
	}
	s.AlarmedAt = later(s.AlarmedAt, at)
	return true
}

// alarms are the places of the alarms about the value in use, in order: when its
// refresh is given up, a day before its end, at the last attempt in time, and at
// its end. The first is for whoever has heard of none. There are none for a value that
// does not end, that no environment has, or that another system keeps fresh.
func (s *Secret) alarms() []time.Time {
	if s.ExpiresAt.IsZero() || !s.inUse() {
		return nil
	}
	var places []time.Time
	if at := s.givenUpAt(); !at.IsZero() && s.AlarmedAt.IsZero() && at.Before(s.ExpiresAt) {
		places = append(places, moment(at))
	}
	due := s.RefreshAt
	if due.IsZero() { // it cannot be refreshed
		due = moment(s.ActivatedAt.Add(s.ExpiresAt.Sub(s.ActivatedAt) / 2))
	}
	offset := s.ExpiresAt.Sub(due)
	if offset > dayBefore {
		places = append(places, s.ExpiresAt.Add(-dayBefore))
	}
	if offset > 0 {
		places = append(places, place(due, offset, MaxAttempts-1))
	}
	places = append(places, s.ExpiresAt)
	slices.SortFunc(places, time.Time.Compare)
	return places
}

// inUse reports whether the environment of the secret has its value, and this fleet
// is to keep it fresh.
func (s *Secret) inUse() bool {
	return s.DeletedAt.IsZero() && s.Elsewhere.IsZero() &&
		s.Environment != "" && s.Deployed == s.Environment && !s.ActivatedAt.IsZero()
}

// LastFailure is why the last exchange or refresh failed, whichever was later; nil when
// none has failed since the value in use was made.
func (s *Secret) LastFailure() *Failure {
	asked, due := s.StatusDetails, s.RefreshStatusDetails
	if asked == nil || due != nil && due.At.After(asked.At) {
		return due
	}
	return asked
}

// givenUpAt is since when nothing tries again, because the refresh has failed or was set
// aside; zero when something does. Who asked for an exchange that failed has been told.
func (s *Secret) givenUpAt() time.Time {
	switch {
	case s.SetAside():
		return s.Parked.At
	case s.planExchange().Action != Rest || s.ConsentWaits():
		return time.Time{}
	case s.RefreshStatus != Failed || s.RefreshStatusDetails == nil:
		return time.Time{}
	default:
		return s.RefreshStatusDetails.At
	}
}
