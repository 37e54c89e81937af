package ops

import "slices"

// The keys a log line may carry besides time, level and msg. The list is
// closed so that a reader can rely on a name meaning one thing everywhere, and
// so that nobody logs a field nobody has thought about. To add one, add it here
// and to keys below.
const (
	KeyAddr        = "addr"        // network address, host:port
	KeyAttempt     = "attempt"     // counts from 1
	KeyCallback    = "callback"    // id
	KeyCode        = "code"        // a status or error code of a protocol
	KeyCompany     = "company"     // id
	KeyCount       = "count"       // how many
	KeyDue         = "due"         // the time something was or is due
	KeyEnvironment = "environment" // id
	KeyError       = "error"       // the text of an error of our own
	KeyEvent       = "event"       // type or id of an event
	KeyGeneration  = "generation"  // of a secret's value: the number of the decision behind it
	KeyGroup       = "group"       // of those who share some work
	KeyJob         = "job"         // id or type of a job
	KeyKey         = "key"         // id of a sealing or workload key, or key of a record; never key material
	KeyKind        = "kind"        // of a secret
	KeyLate        = "late"        // from due to started
	KeyMethod      = "method"      // HTTP method
	KeyOffset      = "offset"      // how far a clock is ahead
	KeyOrg         = "org"         // organisation in a subject
	KeyOutcome     = "outcome"     // of a piece of work, from a closed set
	KeyPath        = "path"        // of a file or a request
	KeyProperty    = "property"    // id
	KeyReason      = "reason"      // why, from a closed set where there is one
	KeyRequest     = "request"     // id of a request
	KeyRevision    = "revision"    // of a stored record
	KeySecret      = "secret"      // id of a secret
	KeyServer      = "server"      // name or id of a server
	KeySignal      = "signal"      // name of an operating system signal
	KeySpan        = "span"        // written from the context
	KeyStatus      = "status"      // of a secret
	KeyStream      = "stream"      // name of a stream
	KeySubject     = "subject"     // of a message
	KeyTarget      = "target"      // of this process; on every line
	KeyTask        = "task"        // name of a task of this process
	KeyTook        = "took"        // how long something took
	KeyTrace       = "trace"       // written from the context
	KeyURL         = "url"         // without user info and query
	KeyVersion     = "version"     // of the program or of a secret
	KeyWorker      = "worker"      // id of a worker
)

var keys = []string{
	KeyAddr, KeyAttempt, KeyCallback, KeyCode, KeyCompany, KeyCount, KeyDue, KeyEnvironment, KeyError, KeyEvent,
	KeyGeneration, KeyGroup, KeyJob, KeyKey, KeyKind, KeyLate, KeyMethod, KeyOffset, KeyOrg, KeyOutcome, KeyPath,
	KeyProperty, KeyReason, KeyRequest, KeyRevision, KeySecret, KeyServer, KeySignal, KeySpan, KeyStatus,
	KeyStream, KeySubject, KeyTarget, KeyTask, KeyTook, KeyTrace, KeyURL, KeyVersion, KeyWorker,
}

// Keys returns the closed list of log keys, sorted.
func Keys() []string { return slices.Clone(keys) }

// KnownKey reports whether a log line may carry key.
func KnownKey(key string) bool {
	_, known := slices.BinarySearch(keys, key)
	return known
}
