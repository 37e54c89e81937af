// Package audit is the trail of who did what: entries, each of one change or of one
// look at a hidden value.
//
// An entry is told in the words that everybody may hear who may see the trail: the
// public form of what was changed, and never a hidden credential, sealed or not.
package audit

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"strings"
	"time"
)

// Verb is what was done: a closed set (contract A15.8).
type Verb string

// The verbs. The contract has the first three; a read is of a hidden value, and the last three
// are of what comes by itself.
const (
	Created      Verb = "created"
	Updated      Verb = "updated"
	Deleted      Verb = "deleted"
	Refreshed    Verb = "refreshed"
	Reauthorized Verb = "reauthorized"
	Read         Verb = "read"

	Expiring           Verb = "expiring"
	Expired            Verb = "expired"
	ReauthorizationDue Verb = "reauthorization_due"
)

// Entry is one thing that was done. Members are only ever added.
type Entry struct {
	// ID is the same however often the entry is made: see [NewID].
	ID string `json:"id"`
	// At is when it was done.
	At time.Time `json:"at"`
	// Resource is what kind of thing it was done to, in the singular: "secret".
	Resource string `json:"resource"`
	Verb     Verb   `json:"verb"`
	// Action says more of an update: the action that was asked for (contract A8); and
	// of a refresh what the exchange was for.
	Action string `json:"action,omitempty"`
	// Outcome is how it ended, where that is not what the verb says: "failed".
	Outcome string `json:"outcome,omitempty"`
	// Reason is why it failed.
	Reason string `json:"reason,omitempty"`
	// Email and Name are whose doing it was; both are absent when it was nobody's in
	// person.
	Email string `json:"email,omitempty"`
	Name  string `json:"name,omitempty"`
	// Principal is whose bearer token it was, in words that nobody can choose for himself,
	// which an address and a name may be: the id of an API token, or "oidc", an issuer and
	// a subject.
	Principal string `json:"principal,omitempty"`
	// Request is the id of the request that asked for it.
	Request string `json:"request,omitempty"`
	// Purpose is what the caller said it was for.
	Purpose string `json:"purpose,omitempty"`
	Entity  Entity `json:"entity"`
}

// Entity is what an entry is about, as everybody may see it.
type Entity struct {
	ID   string `json:"id"`
	Name string `json:"name,omitempty"`
	// Property is the id of the property it is part of, or is; empty for none.
	Property string `json:"property,omitempty"`
	// PropertyName is what that was called then, if that was known.
	PropertyName string `json:"property_name,omitempty"`
	// Public is its public form after the change, a JSON object; absent when nothing of it is
	// told.
	Public json.RawMessage `json:"public,omitempty"`
}

// Type is what the API calls an entry: the resource, a dot and the verb.
func (e Entry) Type() string { return e.Resource + "." + string(e.Verb) }

// EntityType is what the API calls things of its kind: "secrets".
func (e Entry) EntityType() string {
	if stem, ok := strings.CutSuffix(e.Resource, "y"); ok {
		return stem + "ies"
	}
	return e.Resource + "s"
}

// EntityDocument is what it is about as the API has it in an entry: a resource, in JSON. It
// fails if somebody has written into the trail what is no JSON.
func (e Entry) EntityDocument() ([]byte, error) {
	return json.Marshal(struct {
		ID         string          `json:"id"`
		Type       string          `json:"type"`
		Attributes json.RawMessage `json:"attributes,omitempty"`
	}{e.Entity.ID, e.EntityType(), e.Entity.Public})
}

// NewID returns the id of the entry that source, the id of what it was made from,
// has in an organisation: "AE" and 32 hex digits of the form of a version 4 UUID
// (contract A2). The first twelve are the time in milliseconds, which tells where to
// look for it.
func NewID(org, source string, at time.Time) string {
	h := sha256.Sum256([]byte("rekindle.audit.v1\x00" + org + "\x00" + source))
	var u [16]byte
	binary.BigEndian.PutUint64(u[:8], uint64(at.UnixMilli())<<16)
	copy(u[6:], h[:10])
	u[6] = u[6]&0x0f | 0x40
	u[8] = u[8]&0x3f | 0x80
	return prefix + hex.EncodeToString(u[:])
}

// prefix is what the ids of entries begin with (contract A2).
const prefix = "AE"
