package events

import "time"

// ReauthorizeRequested says: somebody asked for a dialog in which a person
// consents anew. The grant in use serves on until a new one is proven
// (contract A13).
type ReauthorizeRequested struct {
	Secret      string `json:"secret"`
	Property    string `json:"property"`
	Environment string `json:"environment,omitempty"`
	Kind        string `json:"kind"`
	// Until is how long the dialog is open.
	Until time.Time `json:"until"`
	// By is as in SecretCreated.
	By string `json:"by,omitempty"`
}

// ConsentReceived says: a person consented in the provider's dialog. The code
// that came back waits for its exchange, which may still fail.
type ConsentReceived struct {
	Secret      string `json:"secret"`
	Property    string `json:"property"`
	Environment string `json:"environment,omitempty"`
	Kind        string `json:"kind"`
	// By is who accepted a consent that was held, as in SecretCreated; absent when
	// it came from the provider's dialog, in which nobody is known to us.
	By string `json:"by,omitempty"`
}

// ConsentHeld says: the consent was given with another account than the one in
// use. The old grant serves on until somebody accepts the new one.
type ConsentHeld struct {
	Secret      string `json:"secret"`
	Property    string `json:"property"`
	Environment string `json:"environment,omitempty"`
	Kind        string `json:"kind"`
}

// ReauthorizationDue says: a secret needs a person to authorize it anew, soon or
// now. It is said again as the end comes nearer (contract A13).
type ReauthorizationDue struct {
	Secret      string `json:"secret"`
	Property    string `json:"property"`
	Environment string `json:"environment,omitempty"`
	Kind        string `json:"kind"`
	// ReauthorizeBy is when the grant ends or ended; absent when nobody knew.
	ReauthorizeBy time.Time `json:"reauthorize_by,omitzero"`
	// DaysLeft is the days from the event to then, to the nearest; never negative.
	DaysLeft int `json:"days_left"`
	// Ended says that the grant has ended already.
	Ended bool `json:"ended,omitempty"`
}

// RegistrationExpiring says: the client secret of an app that is registered with
// a provider ends soon, and with it every exchange for that provider. It is said
// for the deployment and not for each secret: it has no organisation.
type RegistrationExpiring struct {
	// Provider is the provider's name, "google".
	Provider string `json:"provider"`
	ClientID string `json:"client_id"`
	// SecretExpiresAt is when the client secret ends.
	SecretExpiresAt time.Time `json:"secret_expires_at"`
	// DaysLeft is the days from the event to then, to the nearest; never negative.
	DaysLeft int `json:"days_left"`
}

// Type implements Data.
func (ReauthorizeRequested) Type() Type { return TypeReauthorizeRequested }

// About implements Data.
func (e ReauthorizeRequested) About() string { return e.Secret }

// Type implements Data.
func (ConsentReceived) Type() Type { return TypeConsentReceived }

// About implements Data.
func (e ConsentReceived) About() string { return e.Secret }

// Type implements Data.
func (ConsentHeld) Type() Type { return TypeConsentHeld }

// About implements Data.
func (e ConsentHeld) About() string { return e.Secret }

// Type implements Data.
func (ReauthorizationDue) Type() Type { return TypeReauthorizationDue }

// About implements Data.
func (e ReauthorizationDue) About() string { return e.Secret }

// Type implements Data.
func (RegistrationExpiring) Type() Type { return TypeRegistrationExpiring }

// About returns the name of the provider.
func (e RegistrationExpiring) About() string { return e.Provider }
