package secret

import (
	"crypto/sha256"
	"encoding/hex"
	"time"
)

// MaxPutOff is how long the first exchange of a secret may be put off: imports of
// many are spread, and a day is enough for a million.
const MaxPutOff = 24 * time.Hour

// Import notes a consent that was given elsewhere, and whose refresh token comes
// with the secret: nobody has to consent to it any more. An exchange that is asked
// for makes it a grant of this fleet's own. It returns the generation for which
// the token is to be sealed: that of a decision that was made elsewhere.
func (s *Secret) Import(authorizedAt time.Time, scopes []string) uint64 {
	s.Decision++
	a := s.authorization()
	a.AuthorizedAt, a.Scopes, a.Imported = moment(authorizedAt), scopes, s.Decision
	a.EndedAt, a.Strikes, a.Failure, a.Required = time.Time{}, 0, nil, false // of the consent before
	return s.Decision
}

// PutOff puts the exchange that was asked for off until then, but not for more
// than MaxPutOff from the time now.
func (s *Secret) PutOff(now, until time.Time) {
	if last := now.Add(MaxPutOff); until.After(last) {
		until = last
	}
	if s.Status == Pending && !s.NextAttemptAt.IsZero() && until.After(s.NextAttemptAt) {
		s.NextAttemptAt = moment(until)
	}
}

// Leave gives a secret to another system: from the time now on nothing is sent
// for it from here, until it is taken over. An exchange on its way is called off;
// one that has been claimed comes to its end, and its value is not used.
func (s *Secret) Leave(now time.Time) {
	if !s.Elsewhere.IsZero() {
		return
	}
	s.UpdatedAt, s.Elsewhere = moment(now), moment(now)
	s.Decision++
	s.NextAttemptAt = time.Time{}
	s.endRefresh()
}

// TakeOver makes the secret this fleet's own, and asks for an exchange: with a
// refresh token that is replaced by each use, the other system's ends with it.
func (s *Secret) TakeOver(now time.Time) {
	s.Elsewhere = time.Time{}
	s.Ask(now)
}

// Account is the fingerprint of an account at a provider: enough to know it again,
// too little to know whose it is. It is empty for the subject "".
func Account(provider, subject string) string {
	if subject == "" {
		return ""
	}
	sum := sha256.Sum256([]byte("rekindle.account.v1\x00" + provider + "\x00" + subject))
	return hex.EncodeToString(sum[:16])
}
