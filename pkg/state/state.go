// Package state is the contract of the fleet's one store: records under keys,
// written by compare-and-swap, several of them in one atomic commit, and
// followed by whoever wants to know what changed. It says nothing about what
// keeps them.
//
// Keys are parts joined by dots, each part of letters, digits, "-", "_" and
// "=". The first part names the kind of record and so its readers and writers:
//
//	secret.<SE>             what a secret is and how it stands
//	credential.<SE>         its sealed credentials
//	consent.<SE>            the dialogs in which a person may consent
//	grant.<SE>              claims and outcomes of its exchanges
//	artifact.<EN>.<SE>      its current value, sealed
//	name.<PR>.<name>        who holds a name within a property
//	company.<CO> property.<PR> environment.<EN> slot.<PR>.<stage> host.<HT>
//	                        the tree the secrets hang in
//	notes.<owner> note.<NT> the notes on something, and what each is on
//	element.<DE> library.<LB> build.<BL> hold.<EN>
//	                        what is made of secrets, and which library an environment holds
//	outbox.<id>             what is to be told of a change, until it is
//	intake.<hash>           what came of an upstream event, or a request with a key, for a week
//	keyset.fleet            the public keys everything is sealed to
//	endpoint.<host>         how a provider's host fares, and whom it asked for patience
//	callback.<CB>           who is to be told of what happens
//	signing.callbacks       which key deliveries to these are signed with
//	delivery.<CB>.<id>      what a callback is still to be told
//	try.<CB>.<n>            what came of telling it, the last tries
//	replay.<CB>             how far it is with what it is told again
//	registration.<provider> what was announced of the end of an app's client secret
//
// They are kept in four buckets ([BucketOf]), because a process that starts reads
// whatever is kept together with the records that it follows. Each bucket has
// revisions of its own, and no commit writes to two.
package state

import (
	"context"
	"errors"
	"time"
)

// Revision is a counter of writes, over all keys of a bucket. It orders changes and
// makes compare-and-swap; it is not a version of anything. 0 stands for a record
// that does not exist.
type Revision uint64

// What a store may answer. Everything else is a failure of the store, after
// which a write may or may not have happened.
var (
	// ErrNotFound: there is no record under the key.
	ErrNotFound = errors.New("no such record")
	// ErrConflict: another writer was first; nothing was written.
	ErrConflict = errors.New("the record was changed by another writer")
	// ErrMalformed: a key, a pattern or a commit that no store takes; nothing
	// was written. It is a fault of the caller, and no retry helps.
	ErrMalformed = errors.New("malformed")
)

// Write is one write of a commit.
type Write struct {
	Key string
	// Value is the new record, not empty; nil removes the record. The store
	// does not keep the bytes.
	Value []byte
	// Expect is the revision the record must still have, 0 for none. A removal
	// always expects one.
	Expect Revision
	// Life is after how long the record goes by itself, in whole seconds, 0 for never. No
	// follower is told when it does.
	Life time.Duration
}

// Change is one change that a follower is told.
type Change struct {
	Key string
	// Value is nil when the record is gone. The callee may keep it.
	Value    []byte
	Revision Revision
}

// The bounds of every store.
const (
	// MaxCommit is how many writes one commit may hold.
	MaxCommit = 1000
	// MaxKey is the longest key, in bytes.
	MaxKey = 2048
	// MaxValue is the largest record, in bytes.
	MaxValue = 512 << 10
)

// Store is the state. Implementations are safe for concurrent use, by several
// processes at once.
type Store interface {
	// Get returns the record and its revision, or ErrNotFound. On a cluster it
	// may be a little behind: what is decided on it must be finished by a
	// Commit that expects the revision. The caller owns the bytes. What
	// [CheckKey] refuses is ErrMalformed.
	Get(ctx context.Context, key string) ([]byte, Revision, error)

	// Commit makes all the writes or none, and returns the revision of the
	// last; the others have lower ones, in the order of the writes. It returns
	// ErrConflict when an expectation does not hold, and ErrMalformed for what
	// [CheckWrites] refuses. A single write is cheap, several at once are not
	// (some hundreds of commits per second), so they are for what must not be
	// torn.
	Commit(ctx context.Context, writes ...Write) (Revision, error)

	// Follow calls apply for every record under the patterns, in the order of
	// their revisions, then caughtUp once, then apply for every change as it
	// happens, until ctx ends; it then returns ctx's error. When a record is
	// changed several times faster than it is told, the last change is told for
	// all of them. Records that were removed before are not told. Apply and
	// caughtUp are called from one goroutine. A pattern is a key in which "*"
	// stands for one part, or a last ">" for one or more; as the first part they
	// stand for the kinds of the main bucket. Patterns must not overlap, and all be
	// of one bucket. What [CheckPatterns] refuses is ErrMalformed.
	Follow(ctx context.Context, patterns []string, apply func(Change), caughtUp func()) error
}
