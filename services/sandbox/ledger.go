package sandbox

import "time"

// State is a client as it stands: its definition without the secret, and what it
// has done.
type State struct {
	Client
	// Step is the index of the script's step that comes next; the length of the
	// script when Default does.
	Step     int      `json:"step"`
	Counters Counters `json:"counters"`
}

// Counters count since the client was registered; they are exact, whatever the
// ledger has forgotten.
type Counters struct {
	Requests    uint64           `json:"requests"`  // all that named the client
	Issued      uint64           `json:"issued"`    // tokens, delivered or not
	Refused     uint64           `json:"refused"`   // for a fault of the request's own
	InFlight    int              `json:"in_flight"` // taken, and not yet being answered
	MaxInFlight int              `json:"max_in_flight"`
	LastRequest time.Time        `json:"last_request,omitzero"`
	Faults      map[Fault]uint64 `json:"faults,omitzero"` // played, by name

	// Codes and Refreshes are the requests that came with the grant type of a
	// code and of a refresh token.
	Codes     uint64 `json:"codes,omitzero"`
	Refreshes uint64 `json:"refreshes,omitzero"`
	// Authorizations and Userinfo are requests to other endpoints: those for
	// consent that were sent back, with a code or not, and those about an account
	// that were answered.
	Authorizations uint64 `json:"authorizations,omitzero"`
	Userinfo       uint64 `json:"userinfo,omitzero"`
}

// add counts the arrival of one request.
func (c *Counters) add(v verdict, now time.Time) {
	c.Requests++
	c.InFlight++
	c.MaxInFlight = max(c.MaxInFlight, c.InFlight)
	c.LastRequest = now
	if v.refusal != nil {
		c.Refused++
	}
	if v.issue {
		c.Issued++
	}
	switch v.entry.Grant {
	case grantCode:
		c.Codes++
	case grantRefresh:
		c.Refreshes++
	}
	if v.step.Fault != FaultNone {
		if c.Faults == nil {
			c.Faults = map[Fault]uint64{}
		}
		c.Faults[v.step.Fault]++
	}
}

// Outcome is what a request came to at the provider, whatever reached the caller.
type Outcome string

// The outcomes.
const (
	OutcomeIssued  Outcome = "issued"  // a token was made
	OutcomeFailed  Outcome = "failed"  // the script said otherwise
	OutcomeRefused Outcome = "refused" // the request itself was at fault
)

// Request is one request to the token endpoint as the ledger keeps it. It holds
// the names of what was sent, and the values of scope, audience and resource
// only: any other field may carry a secret, whatever its name.
type Request struct {
	Seq     uint64            `json:"seq"` // over all clients, from 1
	Time    time.Time         `json:"time"`
	Client  string            `json:"client,omitzero"` // as claimed, cut at 128 bytes
	Grant   string            `json:"grant,omitzero"`  // grant_type, cut at 64 bytes
	Auth    AuthStyle         `json:"auth,omitzero"`
	Fields  []string          `json:"fields,omitzero"` // of the body, ordered
	Query   []string          `json:"query,omitzero"`  // parameters of the URL, ordered
	Options map[string]string `json:"options,omitzero"`
	Outcome Outcome           `json:"outcome"`
	Error   string            `json:"error,omitzero"` // OAuth error code
	Fault   Fault             `json:"fault,omitzero"`

	// GrantNumber is of the grant whose code or refresh token was presented, if
	// the client has it; RefreshToken is the number of that token.
	GrantNumber  uint64 `json:"grant_number,omitzero"`
	RefreshToken uint64 `json:"refresh_token,omitzero"`
	// IssuedRefreshToken is the number of the refresh token in the answer.
	IssuedRefreshToken uint64 `json:"issued_refresh_token,omitzero"`
}

// entry is the ledger's view of a call and its verdict.
func (c *call) entry(v verdict, seq uint64, now time.Time) Request {
	e := Request{
		Seq: seq, Time: now, Client: clip(c.id, maxID), Grant: clip(c.grant, maxName), Auth: c.style,
		Fields: c.fields, Query: c.query, Options: c.options,
		Outcome: OutcomeFailed, Error: v.step.Error, Fault: v.step.Fault,
		IssuedRefreshToken: v.given.refresh,
	}
	if v.on.grant != nil {
		e.GrantNumber = v.on.grant.Number
	}
	if v.on.token != nil {
		e.RefreshToken = v.on.token.Number
	}
	switch {
	case v.refusal != nil:
		e.Outcome, e.Error = OutcomeRefused, v.refusal.code
	case v.issue:
		e.Outcome = OutcomeIssued
	}
	return e
}

// ring keeps the last size requests; it grows only as far as it is used.
type ring struct {
	size int
	buf  []Request
	next int // where the oldest is, once the ring is full
}

func (r *ring) add(e Request) {
	if len(r.buf) < r.size {
		r.buf = append(r.buf, e)
		return
	}
	r.buf[r.next] = e
	r.next = (r.next + 1) % r.size
}

// list returns a copy, oldest first.
func (r *ring) list() []Request {
	return append(append([]Request(nil), r.buf[r.next:]...), r.buf[:r.next]...)
}
