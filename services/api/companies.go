package api

import "github.com/rekindle-dev/rekindle/pkg/secret"

// Companies lists the companies of the caller's organisation. Usually it is
// one, and none is an answer too.
func (s *Service) Companies(who Caller, q Query[*Company]) Page[*Company] {
	s.view.mu.RLock()
	defer s.view.mu.RUnlock()
	return q.of(s.view.companies.by(0, who.Org))
}

// Company returns a company, or ErrNotFound.
func (s *Service) Company(who Caller, id string) (*Company, error) {
	s.view.mu.RLock()
	defer s.view.mu.RUnlock()
	c, ok := s.view.companies.get(id)
	if !ok || c.Org != who.Org {
		return nil, ErrNotFound
	}
	return c, nil
}

// UserID returns the id of a caller as a user of its organisation: the same in every
// process and for every token of the same person, whatever that is called by now.
func UserID(who Caller) string {
	return stableID(secret.PrefixUser, "rekindle.user.v1", who.Org, who.Principal)
}
