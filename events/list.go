package events

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
