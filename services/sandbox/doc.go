// Package sandbox is a scriptable OAuth 2.0 authorization server for demos and
// tests. It speaks enough of RFC 6749 (client credentials, authorization codes,
// refresh tokens), RFC 7636 (PKCE), OpenID Connect (id tokens, userinfo) and RFC
// 7662 (introspection) to stand in for a provider, and misbehaves on request in
// the ways real providers do.
//
// It promises
//   - to do exactly what a client's script says, one step per request, in the
//     order in which the requests arrive;
//   - to count every request before it answers any, so that a test can ask the
//     provider's side how often it was really called;
//   - to remember of each refresh token how often it was presented, so that a
//     test can tell one that was lost from one that two use;
//   - to stay bounded: clients, scripts, bodies, ledgers, grants and waiting times
//     all have a limit, and whatever waits ends when its caller leaves or the server
//     stops;
//   - never to log, list or return a client secret, nor a code or token except
//     in the answers that give it.
//
// It refuses to be a production server: everything is in memory, the control
// endpoints ask nobody who they are, nobody logs in, id tokens are not signed,
// and no target of the product contains it.
//
// The life of a token request:
//
//	read ─► find client ─► admit ─────────────► delay, hold ─► compose ─► send
//	                         │ one lock:                                    │
//	                         │ authenticate, look at what is           the step's
//	                         │ presented, take the next step, use up    fault
//	                         └ and give, count, write the ledger
//
// What a request does at the provider is settled in admit, before any waiting:
// an answer that comes too late, or never, has still been committed, as it would
// have been at a real provider.
//
// An authorization request (authorize.go) takes no step of that script but the
// next consent of its own ([CodeFlow]), and leaves a grant: one person's consent,
// to which the code and all tokens that come of it belong (grant.go). What a code
// or a refresh token is good for, and what using it does, is in code.go.
//
// A grant type is one case of grantRefusal (token.go) and of present (code.go),
// and a misbehaviour is either a member of [Step] or a [Fault] (step.go); neither
// touches the rest.
package sandbox
