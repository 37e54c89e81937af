// Package sandbox is a scriptable OAuth 2.0 authorization server for demos and
// tests. It speaks enough of RFC 6749 (token endpoint) and RFC 7662
// (introspection) to stand in for a provider, and misbehaves on request in the
// ways real providers do.
//
// It promises
//   - to do exactly what a client's script says, one step per request, in the
//     order in which the requests arrive;
//   - to count every request before it answers any, so that a test can ask the
//     provider's side how often it was really called;
//   - to stay bounded: clients, scripts, bodies, ledgers and waiting times all
//     have a limit, and whatever waits ends when its caller leaves or the server
//     stops;
//   - never to log, list or return a client secret, nor a token except in the
//     one answer that issues it.
//
// It refuses to be a production server: everything is in memory, the control
// endpoints ask nobody who they are, and no target of the product contains it.
//
// The life of a token request:
//
//	read ─► find client ─► admit ─────────────► delay, hold ─► compose ─► send
//	                         │ one lock:                                    │
//	                         │ authenticate, take the next step,       the step's
//	                         └ count, write the ledger                  fault
//
// What a request does at the provider is settled in admit, before any waiting:
// an answer that comes too late, or never, has still been committed, as it would
// have been at a real provider.
//
// A grant type is one case of grantRefusal (token.go), and a misbehaviour is
// either a member of [Step] or a [Fault] (step.go); neither touches the rest.
package sandbox
