package secret

import "time"

// Ask decides an exchange that is due at once: a person created the secret,
// asked for a retry, or changed what goes into the exchange. Whatever was
// decided before is void. The dates of a value that is in use stay until there
// is another (contract A8, A12). While a secret has no grant there is nothing to
// exchange: it is pending until a person consents. While a consent waits, its
// exchange is the next, and is not to be called off: a code is good for one request.
// What another system keeps fresh is pending until it is taken over, with nothing
// decided, so that a program that does not know of that sends nothing either.
func (s *Secret) Ask(now time.Time) {
	s.UpdatedAt, s.Parked = moment(now), nil
	if s.ConsentWaits() {
		return
	}
	s.Status, s.StatusDetails = Pending, nil
	s.endRefresh()
	if s.withoutGrant() || !s.Elsewhere.IsZero() {
		return
	}
	s.Decision++
	s.NextAttemptAt, s.AskedAt = s.UpdatedAt, s.UpdatedAt
}

// Attach gives the secret its environment. What it had before must have been
// detached, and an exchange has to be asked for (contract A14).
func (s *Secret) Attach(environment, stage string) {
	s.Environment, s.Stage = environment, stage
	if s.Deployed == "" {
		s.Deployed = environment
	}
}

// Detach takes the secret out of its environment, because that is deleted: its
// artifact is to be withdrawn, and it is not refreshed any more (contract A14).
// An exchange that a person waits for goes on.
func (s *Secret) Detach(now time.Time) {
	s.UpdatedAt = moment(now)
	s.Environment, s.Stage, s.ActivatedAt = "", "", time.Time{}
	s.endRefresh()
	if s.Status != Succeeded {
		return
	}
	s.NextAttemptAt = time.Time{}
	if !s.ConsentWaits() {
		s.Decision++ // a refresh on its way is called off
	}
}

// Withdrawn notes that the artifact is gone from the environment that held it.
func (s *Secret) Withdrawn() { s.Deployed = s.Environment }

// Delete marks the secret deleted. A second time changes nothing.
func (s *Secret) Delete(now time.Time) {
	if s.DeletedAt.IsZero() {
		s.DeletedAt = moment(now)
		s.UpdatedAt = s.DeletedAt
	}
}

// endRefresh forgets the refresh that was under way or came last.
func (s *Secret) endRefresh() {
	s.RefreshStatus, s.RefreshStatusDetails = "", nil
	s.Attempts, s.RefreshLate, s.FailingSince = 0, false, time.Time{}
}

// moment is t as records hold it: in UTC and whole milliseconds.
func moment(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }
