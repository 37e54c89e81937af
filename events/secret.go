package events

import "time"

// SecretCreated says: a secret was stored and waits for its first exchange, or for
// a person's consent.
type SecretCreated struct {
	Secret      string `json:"secret"`
	Property    string `json:"property"`
	Environment string `json:"environment,omitempty"`
	Name        string `json:"name"`
	// Kind is the wire name the client used (contract A9).
	Kind string `json:"kind"`
	// Imported tells that it came from another system.
	Imported bool `json:"imported,omitempty"`
	// By is who asked for it: a mail address or, without one, a name. Absent when
	// nobody did in person.
	By string `json:"by,omitempty"`
}

// SecretUpdated says: somebody changed what a secret is.
type SecretUpdated struct {
	Secret      string `json:"secret"`
	Property    string `json:"property"`
	Environment string `json:"environment,omitempty"`
	// Name is the name after the change.
	Name string `json:"name"`
	Kind string `json:"kind"`
	// Changed lists what did: "name", "credentials", "environment".
	Changed []string `json:"changed"`
	// By is as in SecretCreated.
	By string `json:"by,omitempty"`
}

// SecretDeleted says: a secret is gone; its remains are being erased.
type SecretDeleted struct {
	Secret      string `json:"secret"`
	Property    string `json:"property"`
	Environment string `json:"environment,omitempty"`
	Name        string `json:"name"`
	Kind        string `json:"kind"`
	// By is as in SecretCreated.
	By string `json:"by,omitempty"`
}

// ExchangeSucceeded says: an exchange ended well and its result is stored.
type ExchangeSucceeded struct {
	Secret      string `json:"secret"`
	Property    string `json:"property"`
	Environment string `json:"environment,omitempty"`
	Kind        string `json:"kind"`
	// Action is exchange (somebody asked), refresh (it was time) or authorize
	// (a person had consented).
	Action string `json:"action"`
	// Generation is the version of the value.
	Generation uint64 `json:"generation"`
	// ExpiresAt and RefreshAt are absent for values that do not end.
	ExpiresAt time.Time `json:"expires_at,omitzero"`
	RefreshAt time.Time `json:"refresh_at,omitzero"`
	// NextAttemptAt is when the next refresh begins; absent where that is RefreshAt.
	NextAttemptAt time.Time `json:"next_attempt_at,omitzero"`
	// Warnings are absent when there is nothing to warn of.
	Warnings []Warning `json:"warnings,omitempty"`
}

// ExchangeFailed says: an exchange ended badly; the earlier value, if any, stays.
type ExchangeFailed struct {
	Secret      string `json:"secret"`
	Property    string `json:"property"`
	Environment string `json:"environment,omitempty"`
	Kind        string `json:"kind"`
	// Action is as in ExchangeSucceeded.
	Action string `json:"action"`
	Reason Reason `json:"reason"`
	// Verdict is what follows from the reason.
	Verdict Verdict `json:"verdict"`
	// Detail explains the reason in a sentence of our own.
	Detail string `json:"detail"`
	// Attempts counts the failed attempts of this refresh.
	Attempts int `json:"attempts,omitempty"`
	// NextAttemptAt is absent when no further attempt is planned.
	NextAttemptAt time.Time `json:"next_attempt_at,omitzero"`
	// WorksUntil is when the value in use ends; absent when there is none.
	WorksUntil time.Time `json:"works_until,omitzero"`
}

// ExchangeInterrupted says: an exchange came to no end that counts; unless Cause says
// otherwise, it was begun and nobody knows how it ended, for its exchanger died or
// was stopped. That takes no attempt away: another exchange is decided. The code of a
// consent is not sent again.
type ExchangeInterrupted struct {
	Secret      string `json:"secret"`
	Property    string `json:"property"`
	Environment string `json:"environment,omitempty"`
	Kind        string `json:"kind"`
	// Action is as in ExchangeSucceeded.
	Action string `json:"action"`
	// Generation is the version that the value would have had.
	Generation uint64 `json:"generation"`
	// Cause is absent when nobody knows how it ended.
	Cause InterruptionCause `json:"cause,omitempty"`
	// NextAttemptAt is when the next exchange is, where it is kept back because the
	// provider may have replaced what was sent; absent where it is due at once.
	NextAttemptAt time.Time `json:"next_attempt_at,omitzero"`
	// WorksUntil is as in ExchangeFailed.
	WorksUntil time.Time `json:"works_until,omitzero"`
}

// InterruptionCause is why an exchange came to no end that counts: a closed set.
type InterruptionCause string

// The causes, besides that nobody knows how it ended.
const (
	// CauseVoid: it ended, but something else was decided while it was made, so that
	// its outcome is of no use.
	CauseVoid InterruptionCause = "void"
	// CauseKeptBack: no request was made, because an answer was lost before, and the
	// provider may have replaced what would be sent.
	CauseKeptBack InterruptionCause = "kept_back"
)

// JobParked says: what was due for a secret could not be brought to an end, and its
// job was set aside. Nothing tries again until an administrator requeues it, or
// something else is decided.
type JobParked struct {
	Secret      string `json:"secret"`
	Property    string `json:"property"`
	Environment string `json:"environment,omitempty"`
	Kind        string `json:"kind"`
	// Action is what was due; see RefreshDue.
	Action string `json:"action"`
	// Generation is that of the decision which was due.
	Generation uint64 `json:"generation"`
	// WorksUntil is as in ExchangeFailed.
	WorksUntil time.Time `json:"works_until,omitzero"`
}

// RetryRequested says: somebody asked for another exchange of a secret.
type RetryRequested struct {
	Secret      string `json:"secret"`
	Property    string `json:"property"`
	Environment string `json:"environment,omitempty"`
	Kind        string `json:"kind"`
	// By is as in SecretCreated.
	By string `json:"by,omitempty"`
}

// SecretTested says: somebody had an exchange made to see what the provider
// answers. Nothing was stored.
type SecretTested struct {
	Secret      string `json:"secret"`
	Property    string `json:"property"`
	Environment string `json:"environment,omitempty"`
	Kind        string `json:"kind"`
	// Outcome is one of those below.
	Outcome TestOutcome `json:"outcome"`
	// By is as in SecretCreated.
	By string `json:"by,omitempty"`
}

// TestOutcome is what came of a test: a closed set.
type TestOutcome string

// The outcomes of tests.
const (
	// TestSucceeded: the provider gave a token, which went to whoever asked.
	TestSucceeded TestOutcome = "succeeded"
	// TestFailed: there was no token; whoever asked was told why.
	TestFailed TestOutcome = "failed"
	// TestNotMade: another exchange was under way, so none was made.
	TestNotMade TestOutcome = "not_made"
	// TestUnknown: no answer came in time. A request may have been made.
	TestUnknown TestOutcome = "unknown"
)

// Type implements Data.
func (SecretCreated) Type() Type { return TypeSecretCreated }

// About implements Data.
func (e SecretCreated) About() string { return e.Secret }

// Type implements Data.
func (SecretUpdated) Type() Type { return TypeSecretUpdated }

// About implements Data.
func (e SecretUpdated) About() string { return e.Secret }

// Type implements Data.
func (SecretDeleted) Type() Type { return TypeSecretDeleted }

// About implements Data.
func (e SecretDeleted) About() string { return e.Secret }

// Type implements Data.
func (ExchangeSucceeded) Type() Type { return TypeExchangeSucceeded }

// About implements Data.
func (e ExchangeSucceeded) About() string { return e.Secret }

// Type implements Data.
func (ExchangeFailed) Type() Type { return TypeExchangeFailed }

// About implements Data.
func (e ExchangeFailed) About() string { return e.Secret }

// Type implements Data.
func (RetryRequested) Type() Type { return TypeRetryRequested }

// About implements Data.
func (e RetryRequested) About() string { return e.Secret }

// Type implements Data.
func (ExchangeInterrupted) Type() Type { return TypeExchangeInterrupted }

// About implements Data.
func (e ExchangeInterrupted) About() string { return e.Secret }

// Type implements Data.
func (JobParked) Type() Type { return TypeJobParked }

// About implements Data.
func (e JobParked) About() string { return e.Secret }

// Type implements Data.
func (SecretTested) Type() Type { return TypeSecretTested }

// About implements Data.
func (e SecretTested) About() string { return e.Secret }
