// Package bus is the only part of Rekindle that speaks NATS. It declares the
// streams, keeps the state, publishes and consumes, knows who shares work, and
// translates the server's errors; nothing above it sees a NATS type.
//
// # Streams
//
//	KV_state  the truth: last record per key, followed by whoever needs to know
//	KV_vault  the same for grants and artifacts, which are exchangers' business
//	KV_hosts  the same for what is known of the hosts that tokens come from
//	EVENTS    facts in the past tense, kept for 30 days
//	JOBS      orders for exchangers: a work queue that holds at most one job per
//	          secret and refuses a second, which is what makes exchanges of one
//	          secret queue up behind each other
//	INTAKE    what upstream systems ask for: a work queue in sixteen partitions
//	AUDIT     the trail of who did what, page by page: appended to, and nothing else
//	PARKED    what could not be handled and needs a person
//	KV_status how secrets stand, for whoever watches: derived, and bounded
//	KV_leases who shares which work
//
// # Delivery
//
// Everything is delivered at least once. A job is acknowledged with a confirmed
// ack, because until the server has it the secret's place in JOBS is taken. A
// job whose handler works longer is kept by in-progress heartbeats; the job of
// a dead process comes back after [AckWait]. A worker holds no job that it does
// not work on.
//
// What cannot be handled is parked: set aside for a person, its place in JOBS
// given free. It can be listed and looked at, without a byte of its body being
// shown, and discarded; what it was about gets a new job, not the old one.
//
// # Fan-out
//
// What fans out goes through Watermill's router over [Topics]: the subjects of a
// stream as topics, groups that share messages, as many in flight as asked for, or
// one after the other. It passes Watermill's own suite. Exchanges do not go that
// way: what they need, a confirmed ack and one job per secret, is the point of JOBS.
//
// # Following events
//
// Whoever wants to know what happens follows EVENTS with a consumer of his own, from a time
// or an event on, as fast as he reads: see [Bus.Tail].
//
// # Answers
//
// Whoever offers a job may ask for an answer. It goes from the handler straight
// to who asked, on a subject made up for it; no stream keeps it, and it comes at
// most once to an asker who waits.
//
// # Interruptions
//
// Whatever works or follows goes on when the server comes back, from where it
// was. It ends with an error when it cannot: when the server refuses its
// credentials, when what it depends on is gone, when it was away for so long
// that it cannot know what it missed.
//
// # Durability
//
// A write that was acknowledged survives the death of the server process. What
// a power failure may take depends on the server's sync interval and on the
// number of replicas; see docs/refresh-cycle.md.
package bus
