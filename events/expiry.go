package events

import "time"

// CredentialExpiring says: the value of a secret ends soon, and no other has come
// in its place. It is said again as the end comes nearer.
type CredentialExpiring struct {
	Secret      string `json:"secret"`
	Property    string `json:"property"`
	Environment string `json:"environment,omitempty"`
	Kind        string `json:"kind"`
	// ExpiresAt is when the value ends.
	ExpiresAt time.Time `json:"expires_at"`
	// HoursLeft is the hours from the event to then, to the nearest; never negative.
	HoursLeft int `json:"hours_left"`
	// FailingSince is when the refresh that is under way failed first, and Reason why
	// it failed last. Both are absent when none has failed.
	FailingSince time.Time `json:"failing_since,omitzero"`
	Reason       Reason    `json:"reason,omitempty"`
	// NextAttemptAt is absent when no further attempt is planned.
	NextAttemptAt time.Time `json:"next_attempt_at,omitzero"`
}

// CredentialExpired says: the value of a secret has ended, and there is no other.
type CredentialExpired struct {
	Secret      string `json:"secret"`
	Property    string `json:"property"`
	Environment string `json:"environment,omitempty"`
	Kind        string `json:"kind"`
	// ExpiredAt is when the value ended.
	ExpiredAt time.Time `json:"expired_at"`
	// Reason is why the last attempt failed; absent when none has.
	Reason Reason `json:"reason,omitempty"`
	// NextAttemptAt is as in CredentialExpiring.
	NextAttemptAt time.Time `json:"next_attempt_at,omitzero"`
}

// Type implements Data.
func (CredentialExpiring) Type() Type { return TypeCredentialExpiring }

// About implements Data.
func (e CredentialExpiring) About() string { return e.Secret }

// Type implements Data.
func (CredentialExpired) Type() Type { return TypeCredentialExpired }

// About implements Data.
func (e CredentialExpired) About() string { return e.Secret }
