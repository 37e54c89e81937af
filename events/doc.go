// Package events is Rekindle's contract on the bus: which events exist, what
// they say, on which subject they travel and how they are wrapped. It imports
// the standard library only, so that any program can import it.
//
// An event is a fact in the past tense ("SecretCreated"); a job is an order for
// one exchanger ("RefreshDue", "TestRequested"). Both are CloudEvents 1.0 in the
// binary content mode of the NATS binding: the context attributes are message headers
// with the prefix "ce-" (percent-encoded where a header could not hold them), the body
// is the JSON of the data, and the W3C trace context rides beside them as traceparent.
//
// Subjects, all spelled in this package:
//
//	rekindle.v1.event.<org>.<type>.<about>    facts, for everyone
//	rekindle.v1.job.<secret>                  orders, one handler each
//	rekindle.v1.answer.<random>               the answer to one job, for who asked
//	rekindle.v1.parked.<lane>.<secret>        what needs a person
//	rekindle.v1.audit.<org>                   pages of the audit trail
//	rekindle.v1.keyset                        requests for the public keyset
//
// An event is about a secret of an organisation; or about what another system has
// published ("Accepted", "Rejected"), by its id; or about a provider
// ("RegistrationExpiring") for the whole deployment: then <about> is the provider's
// name and <org> is "=", which stands for none.
//
// Events announce; nothing in the fleet depends on one being published. They
// arrive at least once: the same event always carries the same id.
//
// What other systems say to the fleet is in package intake, how they seal what is
// hidden in package sealing, and the JSON Schema of each type in package schema.
// [AsyncAPI] describes all of it for programs in other languages. [Status] is how a
// secret stands, in a bucket that can be watched.
//
// # Evolution
//
// A reader ignores members, headers and types that it does not know, and takes values
// of closed sets that are new for what they may be. Whoever passes an event on passes
// on its header and body as they came: [ReadEntry] keeps them.
//
// A writer adds members whose zero value means what their absence meant before, and
// never renames, removes or re-purposes one; what cannot be said that way is a new
// type. The golden files in testdata are what has been said, and are never edited.
//
// No event holds secret material, sealed or not, or a provider's own text.
package events
