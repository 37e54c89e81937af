package events

import "time"

// Type names an event type. It stands in subjects and, behind [TypePrefix], in
// the CloudEvents attribute "type".
type Type string

// The event types, and RefreshDue, the one job.
const (
	TypeSecretCreated     Type = "SecretCreated"
	TypeSecretDeleted     Type = "SecretDeleted"
	TypeRefreshDue        Type = "RefreshDue"
	TypeExchangeSucceeded Type = "ExchangeSucceeded"
	TypeExchangeFailed    Type = "ExchangeFailed"
)

// TypePrefix makes a CloudEvents type of a Type, as CloudEvents 1.0 advises
// (reverse-DNS name, version in front of the type).
const TypePrefix = "dev.rekindle.v1."

// Data is what an event says: one of the structs of this package.
type Data interface {
	Type() Type
	// About is the id of the secret the event is about.
	About() string
}

// SecretCreated says: a secret was stored and waits for its first exchange.
type SecretCreated struct {
	Secret      string `json:"secret"`
	Property    string `json:"property"`
	Environment string `json:"environment,omitempty"`
	Name        string `json:"name"`
	// Kind is the wire name the client used (contract A9).
	Kind string `json:"kind"`
}

// SecretDeleted says: a secret is gone; its remains are being erased.
type SecretDeleted struct {
	Secret      string `json:"secret"`
	Property    string `json:"property"`
	Environment string `json:"environment,omitempty"`
	Name        string `json:"name"`
	Kind        string `json:"kind"`
}

// RefreshDue orders an exchanger to look at a secret, because something is due.
// It is a hint: the exchanger plans the record again and does what is due then.
type RefreshDue struct {
	Secret string `json:"secret"`
	// Action is what the scheduler saw due: exchange, refresh, withdraw, erase.
	Action string `json:"action"`
	// Decision is the number of the decision that fell due.
	Decision uint64    `json:"decision"`
	DueAt    time.Time `json:"due_at"`
}

// ExchangeSucceeded says: an exchange ended well and its result is stored.
type ExchangeSucceeded struct {
	Secret      string `json:"secret"`
	Property    string `json:"property"`
	Environment string `json:"environment,omitempty"`
	Kind        string `json:"kind"`
	// Action is exchange (somebody asked) or refresh (it was time).
	Action string `json:"action"`
	// Generation is the version of the value.
	Generation uint64 `json:"generation"`
	// ExpiresAt and RefreshAt are absent for values that do not end.
	ExpiresAt time.Time `json:"expires_at,omitzero"`
	RefreshAt time.Time `json:"refresh_at,omitzero"`
}

// ExchangeFailed says: an exchange ended badly; the earlier value, if any, stays.
type ExchangeFailed struct {
	Secret      string `json:"secret"`
	Property    string `json:"property"`
	Environment string `json:"environment,omitempty"`
	Kind        string `json:"kind"`
	Action      string `json:"action"`
	Reason      Reason `json:"reason"`
	// Detail explains the reason in a sentence of our own.
	Detail string `json:"detail"`
	// Attempts counts the failed attempts of this refresh.
	Attempts int `json:"attempts,omitempty"`
	// NextAttemptAt is absent when no further attempt is planned.
	NextAttemptAt time.Time `json:"next_attempt_at,omitzero"`
	// WorksUntil is when the value in use ends; absent when there is none.
	WorksUntil time.Time `json:"works_until,omitzero"`
}

// Type implements Data.
func (SecretCreated) Type() Type { return TypeSecretCreated }

// About implements Data.
func (e SecretCreated) About() string { return e.Secret }

// Type implements Data.
func (SecretDeleted) Type() Type { return TypeSecretDeleted }

// About implements Data.
func (e SecretDeleted) About() string { return e.Secret }

// Type implements Data.
func (RefreshDue) Type() Type { return TypeRefreshDue }

// About implements Data.
func (e RefreshDue) About() string { return e.Secret }

// Type implements Data.
func (ExchangeSucceeded) Type() Type { return TypeExchangeSucceeded }

// About implements Data.
func (e ExchangeSucceeded) About() string { return e.Secret }

// Type implements Data.
func (ExchangeFailed) Type() Type { return TypeExchangeFailed }

// About implements Data.
func (e ExchangeFailed) About() string { return e.Secret }

// decoder returns the function that decodes the data of type t, nil if there
// is none.
func decoder(t Type) func([]byte) (Data, error) {
	switch t {
	case TypeSecretCreated:
		return decode[SecretCreated]
	case TypeSecretDeleted:
		return decode[SecretDeleted]
	case TypeRefreshDue:
		return decode[RefreshDue]
	case TypeExchangeSucceeded:
		return decode[ExchangeSucceeded]
	case TypeExchangeFailed:
		return decode[ExchangeFailed]
	default:
		return nil
	}
}

// DecodeRefreshDue decodes the body of a job. Members it does not know are
// ignored.
func DecodeRefreshDue(body []byte) (RefreshDue, error) { return unmarshal[RefreshDue](body) }
