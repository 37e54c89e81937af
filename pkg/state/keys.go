package state

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"fmt"
	"strings"
)

// SecretKey is the key of a secret's own record.
func SecretKey(id string) string { return "secret." + id }

// CredentialKey is the key of a secret's sealed credentials.
func CredentialKey(id string) string { return "credential." + id }

// ConsentKey is the key of a secret's dialogs, in which a person may consent.
func ConsentKey(id string) string { return "consent." + id }

// GrantKey is the key of a secret's grant.
func GrantKey(id string) string { return "grant." + id }

// ArtifactKey is the key of a secret's artifact within an environment.
func ArtifactKey(environment, secret string) string { return "artifact." + environment + "." + secret }

// NameKey is the key that reserves a name within a property. Names are free
// text, so they are written in base32.
func NameKey(property, name string) string { return "name." + property + "." + text(name) }

// EndpointKey is the key of what is known of a host that tokens come from: how
// it fares, and whom it asked for patience.
func EndpointKey(host string) string { return "endpoint." + text(host) }

// OutboxKey is the key of what is to be told of a change, until it is.
func OutboxKey(id string) string { return outbox + "." + id }

// IntakeKey is the key of what came of what is done once: an event that an upstream system
// published, or a request with a key. Its parts tell that from all others: the organisation,
// the source, the id.
func IntakeKey(org, source, id string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %s %d %s %s", len(org), org, len(source), source, id))
	return "intake." + hex.EncodeToString(sum[:])
}

// outbox is the kind of these records.
const outbox = "outbox"

// Passing reports whether a record under the key is gone for good once it is removed:
// nobody needs to be told.
func Passing(key string) bool { kind, _ := Split(key); return kind == outbox || kind == delivery }

// CallbackKey is the key of a callback.
func CallbackKey(id string) string { return "callback." + id }

// SigningKey is the key of what tells the fleet's key for callbacks from others.
const SigningKey = "signing.callbacks"

// DeliveryKey is the key of what a callback is still to be told.
func DeliveryKey(callback, id string) string { return delivery + "." + callback + "." + id }

// delivery is the kind of these records.
const delivery = "delivery"

// TryKey is the key of one of the last tries to tell a callback something.
func TryKey(callback, slot string) string { return "try." + callback + "." + slot }

// ReplayKey is the key of how far a callback is with what it is told again.
func ReplayKey(callback string) string { return "replay." + callback }

// EndpointKeys is the pattern of these keys.
const EndpointKeys = "endpoint.*"

// text writes free text with letters that keys may have.
func text(s string) string {
	return base32.HexEncoding.WithPadding(base32.NoPadding).EncodeToString([]byte(s))
}

// KeysetKey is the key of the fleet's public keyset.
const KeysetKey = "keyset.fleet"

// RegistrationKey is the key of what was announced of the app that is registered
// with a provider.
func RegistrationKey(provider string) string { return "registration." + provider }

// Bucket is a part of the state that is kept by itself. No commit and no follower
// spans two.
type Bucket string

// The buckets.
const (
	// Main is what is written together, and followed from its beginning by whoever
	// starts.
	Main Bucket = "state"
	// Vault is what exchangers alone write and read, and nobody follows: most of
	// the bytes.
	Vault Bucket = "vault"
	// Hosts is little, changes often, and has to be known before anything is sent.
	Hosts Bucket = "hosts"
	// Deliveries is what callbacks are to be told, which may wait for days, and what came
	// of it.
	Deliveries Bucket = "deliveries"
)

// Buckets are all buckets.
func Buckets() []Bucket { return []Bucket{Main, Vault, Hosts, Deliveries} }

// BucketOf returns where what is under a key, or under a pattern, is kept. What a
// pattern that begins with a wildcard stands for is in Main.
func BucketOf(key string) Bucket {
	switch kind, _ := Split(key); kind {
	case "grant", "artifact":
		return Vault
	case "endpoint":
		return Hosts
	case delivery, "try", "replay":
		return Deliveries
	default:
		return Main
	}
}

// Split returns the kind of record a key is for, and the rest of the key.
func Split(key string) (kind, rest string) {
	kind, rest, _ = strings.Cut(key, ".")
	return kind, rest
}

// CompanyKey is the key of a company.
func CompanyKey(id string) string { return "company." + id }

// PropertyKey is the key of a property.
func PropertyKey(id string) string { return "property." + id }

// EnvironmentKey is the key of an environment.
func EnvironmentKey(id string) string { return "environment." + id }

// TokenKey is the key of an API token.
func TokenKey(id string) string { return "token." + id }

// SlotKey is the key that reserves the one place a property has for an
// environment of the stage (contract A15.3: one staging, one production).
func SlotKey(property, stage string) string { return "slot." + property + "." + stage }

// HostKey is the key of a host that environments are on.
func HostKey(id string) string { return "host." + id }

// NotesKey is the key of the notes on something.
func NotesKey(owner string) string { return "notes." + owner }

// NoteKey is the key that says what a note is on.
func NoteKey(id string) string { return "note." + id }

// DataElementKey is the key of a data element, or of a revision of one.
func DataElementKey(id string) string { return "element." + id }

// LibraryKey is the key of a library.
func LibraryKey(id string) string { return "library." + id }

// HoldKey is the key that says which library an environment holds: one at a time.
func HoldKey(environment string) string { return "hold." + environment }

// BuildKey is the key of a build.
func BuildKey(id string) string { return "build." + id }
