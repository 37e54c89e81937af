// Package secret is the domain of Rekindle: what a secret is, which states it
// passes through, which validity windows its tokens must keep, and what has to
// happen to it next. The rules are pure: they do no I/O, start no goroutine and
// never ask for the time: time comes in as an argument. [Store] and [Vault] keep
// the records in a state.Store.
//
// # Records
//
// Five records belong to a secret, each with its own writers:
//
//	Secret      api, exchanger   what it is and how it stands; nothing sealed
//	Credential  api              the hidden credential fields, sealed
//	Consent     api              open dialogs, and the sealed code of one
//	Grant       exchanger        claims and outcomes of exchanges; sealed tokens
//	Artifact    exchanger        the current value for workloads, sealed
//
// They are apart so that whoever decides when (the scheduler) never sees sealed
// material, and so that no change of a name or a date can overwrite a token.
//
// # States
//
//	       create                 outcome ok
//	 ──────────────► pending ────────────────► succeeded ◄─┐ refreshed, or
//	                 ▲    │                        │       │ a refresh failed
//	retry, new       │    │ outcome not ok         └───────┘ (refresh status)
//	credentials      │    ▼
//	                 └─ failed
//
// [Secret.Status] is the state of the last exchange a person asked for, not of
// the last automatic refresh: a secret whose refreshes fail stays "succeeded"
// with RefreshStatus "failed" (contract A12).
//
// A secret of an interactive kind stays pending until a person has consented.
// Asking for another consent leaves its status alone: that it shows as pending
// meanwhile is [Secret.StatusAt], and what is planned goes on.
//
// # Decisions
//
// Each time it is settled that a secret is to be exchanged at some moment, that
// decision gets a number ([Secret.Decision]) and the moment is stored
// ([Secret.NextAttemptAt]). Nothing recomputes it later. An exchanger claims a
// decision by number before it sends anything; a decision that has been claimed
// is never claimed again, so there is at most one request for each.
package secret

import (
	"encoding/json"
	"time"

	"github.com/rekindle-dev/rekindle/events/sealing"
	"github.com/rekindle-dev/rekindle/pkg/state"
)

// Secret is the record that says what a secret is and how it stands. It holds
// no secret material, sealed or not. Times are UTC in whole milliseconds.
type Secret struct {
	ID          string `json:"id"`
	Org         string `json:"org"`
	Property    string `json:"property"`
	Environment string `json:"environment,omitempty"`
	// Stage is the stage of Environment (development, staging, production).
	Stage string `json:"stage,omitempty"`
	Name  string `json:"name"`
	// Kind is the name the client used; compare with [Kind.Canonical].
	Kind Kind `json:"kind"`
	// Credentials is the public part.
	Credentials Credentials `json:"credentials"`
	// CredentialGeneration is the generation of the Credential record these
	// public credentials belong to.
	CredentialGeneration uint64 `json:"credential_generation"`

	Status        Status   `json:"status"`
	StatusDetails *Failure `json:"status_details,omitempty"`
	// RefreshStatus is empty until an automatic refresh has been tried.
	RefreshStatus        Status   `json:"refresh_status,omitempty"`
	RefreshStatusDetails *Failure `json:"refresh_status_details,omitempty"`
	// Warnings are those of the exchange that yielded the current value.
	Warnings []Warning `json:"warnings,omitempty"`

	CreatedAt   time.Time `json:"created_at"`
	UpdatedAt   time.Time `json:"updated_at"`
	CreatedBy   Actor     `json:"created_by,omitzero"`
	UpdatedBy   Actor     `json:"updated_by,omitzero"`
	ActivatedAt time.Time `json:"activated_at,omitzero"`
	ExpiresAt   time.Time `json:"expires_at,omitzero"`
	RefreshAt   time.Time `json:"refresh_at,omitzero"`

	// Generation is the number of the decision whose exchange yielded the
	// current value: it only grows, and 0 means there is no value yet.
	Generation uint64 `json:"generation"`
	// Decision is the number of the decision that NextAttemptAt belongs to. The
	// first is 1.
	Decision uint64 `json:"decision"`
	// NextAttemptAt is when the next exchange is to start; zero means never.
	NextAttemptAt time.Time `json:"next_attempt_at,omitzero"`
	// AskedAt is when somebody asked for an exchange last; zero when that was not
	// noted.
	AskedAt time.Time `json:"asked_at,omitzero"`
	// ReplayAt is when a refresh token whose answer was lost is sent again, within the
	// provider's grace, if that is what is next.
	ReplayAt time.Time `json:"replay_at,omitzero"`
	// Attempts counts the failed attempts of the refresh that is under way.
	Attempts int `json:"attempts,omitempty"`
	// RefreshLate tells that one of them began a step or more after its time,
	// because nobody was there to make it.
	RefreshLate bool `json:"refresh_late,omitempty"`
	// FailingSince is when the first of them ended; zero when there is none.
	FailingSince time.Time `json:"failing_since,omitzero"`
	// AlarmedAt is the last of the alarms about the end of the value in use that were
	// given; zero when none was. See PlanAlarm.
	AlarmedAt time.Time `json:"alarmed_at,omitzero"`

	// Elsewhere is since when another system keeps the secret fresh, and this fleet
	// sends nothing for it: it was imported and is not taken over yet, or was
	// handed over. Zero when it is this fleet's own.
	Elsewhere time.Time `json:"elsewhere_since,omitzero"`

	// Parked is the last job of the secret that was set aside; nil when there is
	// none, or a person has dealt with it.
	Parked *Parked `json:"parked,omitempty"`

	// Authorization is how matters stand with the person whose consent the
	// secret needs; nil for kinds that need none.
	Authorization *Authorization `json:"authorization,omitempty"`

	// Deployed is the environment that may hold this secret's artifact. It is
	// set before the first exchange for that environment and changes only when
	// the artifact has been withdrawn, so no artifact is ever lost sight of.
	Deployed string `json:"deployed,omitempty"`
	// DeployedRevision is that of the artifact when it was stored last, 0 when that is
	// not known. It is a hint: it saves whoever stores the next one to read it, and an
	// artifact that has another revision by then is read.
	DeployedRevision state.Revision `json:"deployed_revision,omitempty"`
	// DeletedAt marks a secret that is gone for everyone and whose remains
	// are still to be erased.
	DeletedAt time.Time `json:"deleted_at,omitzero"`
	// Trace is the W3C traceparent of the request that last asked for an
	// exchange, so that one trace spans request, exchange and status.
	Trace string `json:"trace,omitempty"`
}

// Status is the state of an exchange (contract A7).
type Status string

// The three values real clients know.
const (
	Pending   Status = "pending"
	Succeeded Status = "succeeded"
	Failed    Status = "failed"
)

// Credentials is the public part of a secret's credentials; which members are
// used depends on the kind (contract A9). It is safe to show.
type Credentials struct {
	Username string `json:"username,omitempty"`
	ClientID string `json:"client_id,omitempty"`

	// The claims of a JWT (RFC 7519): who signs, for whom, about whom, and for
	// how many seconds it is good.
	Iss string `json:"iss,omitempty"`
	Aud string `json:"aud,omitempty"`
	Sub string `json:"sub,omitempty"`
	TTL int64  `json:"ttl,omitempty"`
	// Alg is how it is signed: RS256.
	Alg string `json:"alg,omitempty"`
	// CustomClaims is a JSON object of further claims. It holds none of those
	// above, nor iat or exp.
	CustomClaims json.RawMessage `json:"custom_claims,omitempty"`
	// PrivateKeyID is the key id (kid) in the header of the JWT.
	PrivateKeyID string `json:"private_key_id,omitempty"`

	TokenURL string `json:"token_url,omitempty"`
	// RefreshOffset is how many seconds before expiry a token is refreshed, not
	// negative; nil for kinds that do not expire.
	RefreshOffset *int64            `json:"refresh_offset,omitempty"`
	Options       map[string]string `json:"options,omitempty"`
	// Scopes are what a person is asked to consent to.
	Scopes []string `json:"scopes,omitempty"`
}

// Offset is RefreshOffset as a duration not above MaxLifetime, 0 when there is
// none.
func (c Credentials) Offset() time.Duration {
	if c.RefreshOffset == nil {
		return 0
	}
	return bounded(*c.RefreshOffset)
}

// SealedAs is the name under which a hidden field is sealed: see sealing.Field. A
// client secret whose token_url is changed, in a record or with an update that keeps
// the stored secret, does not open.
func (c Credentials) SealedAs(field string) string { return sealing.Field(field, c.TokenURL) }

// Actor is who made a change.
type Actor struct {
	Email       string `json:"email,omitempty"`
	DisplayName string `json:"display_name,omitempty"`
}

// Failure is why an exchange did not succeed, in words fit for anyone who may
// see the secret: never the provider's own text, but for what of a page's title is
// prose.
type Failure struct {
	// ID identifies the occurrence: a UUID with dashes.
	ID string `json:"id"`
	// Reason is one of the closed set in package events.
	Reason string `json:"reason"`
	Detail string `json:"detail"`
	// RequestID is 32 lower-case hex digits; logs carry it too.
	RequestID string    `json:"request_id"`
	At        time.Time `json:"at"`
	// RetryAt is until when the provider asked to be left alone; zero when it did
	// not. Whether somebody tries again by itself is not said by it.
	RetryAt time.Time `json:"retry_at,omitzero"`
}

// Credential is the sealed part of a secret's credentials.
type Credential struct {
	Generation uint64                 `json:"generation"`
	Fields     map[string]SealedField `json:"fields"`
}

// SealedField is one hidden credential field. Fields are sealed one by one, so
// that a field that is not sent in an update is kept without being opened.
type SealedField struct {
	// Generation is the credential generation the field was sealed for; it is
	// part of what the ciphertext is bound to.
	Generation uint64 `json:"generation"`
	Sealed     []byte `json:"sealed"`
	// Bound is what a publisher named the secret by when it sealed the field, see
	// sealing.Target: the generation is no part of that. Empty for what the api has
	// sealed, which is bound to the id.
	Bound string `json:"bound,omitempty"`
}

// Binding is what a hidden field of the secret is bound to.
func (s *Secret) Binding(name string, f SealedField) sealing.Binding {
	if f.Bound != "" {
		return sealing.Target{Org: s.Org, About: f.Bound, Field: name, TokenURL: s.Credentials.TokenURL}.Binding()
	}
	return sealing.Binding{Secret: s.ID, Field: s.Credentials.SealedAs(name), Generation: f.Generation}
}

// Artifact is the current value of a secret for the workloads of its
// environment.
type Artifact struct {
	Secret      string    `json:"secret"`
	Environment string    `json:"environment"`
	Generation  uint64    `json:"generation"`
	Sealed      []byte    `json:"sealed"`
	ExpiresAt   time.Time `json:"expires_at,omitzero"`
}
