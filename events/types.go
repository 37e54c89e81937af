package events

// Type names an event type. It stands in subjects and, behind [TypePrefix], in
// the CloudEvents attribute "type".
type Type string

// The event types.
const (
	TypeSecretCreated        Type = "SecretCreated"
	TypeSecretUpdated        Type = "SecretUpdated"
	TypeSecretDeleted        Type = "SecretDeleted"
	TypeExchangeSucceeded    Type = "ExchangeSucceeded"
	TypeExchangeFailed       Type = "ExchangeFailed"
	TypeExchangeInterrupted  Type = "ExchangeInterrupted"
	TypeJobParked            Type = "JobParked"
	TypeRetryRequested       Type = "RetryRequested"
	TypeSecretTested         Type = "SecretTested"
	TypeSecretTakenOver      Type = "SecretTakenOver"
	TypeSecretExported       Type = "SecretExported"
	TypeReauthorizeRequested Type = "ReauthorizeRequested"
	TypeConsentReceived      Type = "ConsentReceived"
	TypeConsentHeld          Type = "ConsentHeld"
	TypeReauthorizationDue   Type = "ReauthorizationDue"
	TypeRegistrationExpiring Type = "RegistrationExpiring"
	TypeCredentialExpiring   Type = "CredentialExpiring"
	TypeCredentialExpired    Type = "CredentialExpired"
	TypeAccepted             Type = "Accepted"
	TypeRejected             Type = "Rejected"
)

// The types of jobs.
const (
	TypeRefreshDue    Type = "RefreshDue"
	TypeTestRequested Type = "TestRequested"
)

// EventTypes lists the types of events: what a subject of [EventSubject] may name. Jobs are
// not among them.
func EventTypes() []Type {
	return []Type{
		TypeSecretCreated, TypeSecretUpdated, TypeSecretDeleted, TypeExchangeSucceeded, TypeExchangeFailed,
		TypeExchangeInterrupted, TypeJobParked, TypeRetryRequested, TypeSecretTested, TypeSecretTakenOver,
		TypeSecretExported, TypeReauthorizeRequested, TypeConsentReceived, TypeConsentHeld,
		TypeReauthorizationDue, TypeRegistrationExpiring, TypeCredentialExpiring, TypeCredentialExpired,
		TypeAccepted, TypeRejected,
	}
}

// JobTypes lists the types of jobs.
func JobTypes() []Type { return []Type{TypeRefreshDue, TypeTestRequested} }

// TypePrefix makes a CloudEvents type of a Type, as CloudEvents 1.0 advises
// (reverse-DNS name, version in front of the type).
const TypePrefix = "dev.rekindle.v1."

// Data is what an event says: one of the structs of this package.
type Data interface {
	Type() Type
	// About is what the event is about: the id of a secret; or, for what belongs
	// to no secret, the name of a provider or the id of an upstream event.
	About() string
}

// decoder returns the function that decodes the data of type t, nil if there
// is none.
func decoder(t Type) func([]byte) (Data, error) {
	switch t {
	case TypeSecretCreated:
		return decode[SecretCreated]
	case TypeSecretUpdated:
		return decode[SecretUpdated]
	case TypeSecretDeleted:
		return decode[SecretDeleted]
	case TypeExchangeSucceeded:
		return decode[ExchangeSucceeded]
	case TypeExchangeFailed:
		return decode[ExchangeFailed]
	case TypeExchangeInterrupted:
		return decode[ExchangeInterrupted]
	case TypeJobParked:
		return decode[JobParked]
	case TypeSecretTested:
		return decode[SecretTested]
	case TypeSecretTakenOver:
		return decode[SecretTakenOver]
	case TypeSecretExported:
		return decode[SecretExported]
	case TypeRetryRequested:
		return decode[RetryRequested]
	case TypeReauthorizeRequested:
		return decode[ReauthorizeRequested]
	case TypeConsentReceived:
		return decode[ConsentReceived]
	case TypeConsentHeld:
		return decode[ConsentHeld]
	case TypeReauthorizationDue:
		return decode[ReauthorizationDue]
	case TypeRegistrationExpiring:
		return decode[RegistrationExpiring]
	case TypeCredentialExpiring:
		return decode[CredentialExpiring]
	case TypeCredentialExpired:
		return decode[CredentialExpired]
	case TypeAccepted:
		return decode[Accepted]
	case TypeRejected:
		return decode[Rejected]
	case TypeRefreshDue:
		return decode[RefreshDue]
	case TypeTestRequested:
		return decode[TestRequested]
	default:
		return nil
	}
}
