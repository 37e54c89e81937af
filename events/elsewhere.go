package events

import "time"

// SecretTakenOver says: a secret that another system kept fresh is this fleet's own
// from now on.
type SecretTakenOver struct {
	Secret      string `json:"secret"`
	Property    string `json:"property"`
	Environment string `json:"environment,omitempty"`
	Kind        string `json:"kind"`
	// NextAttemptAt is when its first exchange here is; absent while a person has to
	// consent first.
	NextAttemptAt time.Time `json:"next_attempt_at,omitzero"`
	// By is as in SecretCreated.
	By string `json:"by,omitempty"`
}

// SecretExported says: what is hidden of a secret was read, and left the fleet
// sealed to a key.
type SecretExported struct {
	Secret      string `json:"secret"`
	Property    string `json:"property"`
	Environment string `json:"environment,omitempty"`
	Kind        string `json:"kind"`
	// Recipient is the id of the key.
	Recipient string `json:"recipient"`
	// HandedOver tells that another system keeps the secret fresh from now on, and
	// this fleet sends nothing for it.
	HandedOver bool `json:"handed_over,omitempty"`
	// By is who did it, by the name of the account on the machine: whoever has the
	// fleet's keyring is not known to it otherwise.
	By string `json:"by,omitempty"`
}

// Type implements Data.
func (SecretTakenOver) Type() Type { return TypeSecretTakenOver }

// About implements Data.
func (e SecretTakenOver) About() string { return e.Secret }

// Type implements Data.
func (SecretExported) Type() Type { return TypeSecretExported }

// About implements Data.
func (e SecretExported) About() string { return e.Secret }
