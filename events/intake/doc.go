// Package intake is what other systems publish to have the fleet do something: the
// second door beside the HTTP API, which leads into the same room. It imports the
// standard library only.
//
// What is published is a CloudEvent in the form of package events, of one of five
// types, on a subject of its publisher's organisation:
//
//	rekindle.v1.intake.<org>.<type>.<key>     what upstream systems publish
//	rekindle.v1.reply.<org>.<random>          the answer to one event, for who asked
//
// Its name says what happened in the publisher's world ("SecretCreated": an account
// was made there, whose secret the fleet is to keep fresh). That the fleet has done
// it is a fact of the fleet's own and of package events, under the same name but of
// another CloudEvents type.
//
// # Order
//
// Events of one organisation with the same key are carried out one after the other
// as they were stored. [Encode] takes for a key what the event is about.
//
// # Answers
//
// Each event is answered with [events.Accepted] or [events.Rejected]: on the reply
// subject, if the event names one, and among the fleet's facts, about the id of the
// event. The same event twice is carried out once: events are known by organisation,
// source and id for seven days.
//
// # What is hidden
//
// A hidden credential is sealed by its publisher to the public keyset of the fleet.
// A plaintext one is refused, erased and shown to nobody.
//
// # Evolution
//
// As in package events: a reader ignores members that it does not know, but for
// those of credentials, which it refuses. A writer adds members and never renames,
// removes or re-purposes one.
package intake
