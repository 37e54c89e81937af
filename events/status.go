package events

import (
	"strings"
	"time"
)

// StatusBucket is the name of the key-value bucket that holds the [Status] of each
// secret under its [StatusKey]. A key goes when its secret does.
const StatusBucket = "status"

// Status is how a secret stands: what everyone may know of it who may know that it
// exists. It is derived from the fleet's records and never ahead of them.
type Status struct {
	Secret      string `json:"secret"`
	Org         string `json:"org"`
	Property    string `json:"property"`
	Environment string `json:"environment,omitempty"`
	Name        string `json:"name"`
	Kind        string `json:"kind"`
	// Status is how the last exchange ended that a person asked for: pending,
	// succeeded or failed. RefreshStatus is the same of the last that was due by
	// itself, and absent until there was one.
	Status        string `json:"status"`
	RefreshStatus string `json:"refresh_status,omitempty"`

	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
	// ActivatedAt is when the value in use was put into the environment.
	ActivatedAt time.Time `json:"activated_at,omitzero"`
	// ExpiresAt and RefreshAt are absent for values that do not end, and until there
	// is one.
	ExpiresAt time.Time `json:"expires_at,omitzero"`
	RefreshAt time.Time `json:"refresh_at,omitzero"`
	// NextAttemptAt is when the next exchange begins that nobody has to ask for.
	NextAttemptAt time.Time `json:"next_attempt_at,omitzero"`
	// ElsewhereSince is since when another system keeps the secret fresh.
	ElsewhereSince time.Time `json:"elsewhere_since,omitzero"`
	// ReauthorizeBy is when a person has to have consented again.
	ReauthorizeBy time.Time `json:"reauthorize_by,omitzero"`
	// AuthorizationRequired tells that a person is to consent again soon, or now.
	AuthorizationRequired bool `json:"authorization_required,omitempty"`

	// Failure is why the last exchange failed; absent when it did not.
	Failure *Failure `json:"failure,omitempty"`
	// Warnings are absent when there is nothing to warn of.
	Warnings []Warning `json:"warnings,omitempty"`

	// Generation is the version of the value in use, 0 when there is none yet.
	Generation uint64 `json:"generation"`
	// Revision is that of the record this was made of: it only grows.
	Revision uint64 `json:"revision"`
}

// Failure is why an exchange failed.
type Failure struct {
	Reason Reason `json:"reason"`
	// Verdict is what follows from the reason.
	Verdict Verdict `json:"verdict"`
	// Detail explains the reason in a sentence of our own.
	Detail string    `json:"detail,omitempty"`
	At     time.Time `json:"at"`
}

// StatusKey is the key of a secret's status, by which it can be watched:
// organisation, property, kind and id, each as [Token] writes it.
func StatusKey(org, property, kind, secret string) string {
	return strings.Join([]string{Token(org), Token(property), Token(kind), Token(secret)}, ".")
}

// StatusKeys is the pattern of the keys of all secrets of an organisation, a
// property and a kind, or of one secret. What is empty may be anything.
func StatusKeys(org, property, kind, secret string) string {
	parts := []string{org, property, kind, secret}
	for i, part := range parts {
		if part == "" {
			parts[i] = "*"
		} else {
			parts[i] = Token(part)
		}
	}
	return strings.Join(parts, ".")
}
