package sandbox

import (
	"crypto/subtle"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// record is one registered client: its definition, where it stands in its
// script, and what it has done.
type record struct {
	incarnation uint64 // tells a client from a deleted one of the same id

	mu       sync.Mutex
	client   Client
	step     int // index of the script's current step
	played   int // how often it has been played
	counters Counters
	ledger   ring
	consents int // how many of the script's have been played
	grants   grants
	jtis     map[string]time.Time // of assertions that were used, with their ends
	arrival  signal               // fires at each request
	freed    signal               // fires when held requests are released
}

func newRecord(c Client, incarnation uint64, ledger int) *record {
	return &record{client: c, incarnation: incarnation, ledger: ring{size: ledger}}
}

// verdict is what becomes of one call, settled before anything waits.
type verdict struct {
	refusal *refusal        // the call's own fault; nil: the step decides
	step    Step            // expanded
	issue   bool            // a token is to be made
	given   given           // and this besides
	on      basis           // what was presented; for use under the record's lock
	hold    <-chan struct{} // non-nil: answer when it closes
	entry   Request         // as it stands in the ledger
}

// admit judges a call, takes the step that answers it, counts it and writes it
// down, all at once: two calls never share a step, and whoever sees the counter
// sees the ledger. Every admit is followed by one leave.
func (r *record) admit(c *call, now time.Time, seq *atomic.Uint64) verdict {
	r.mu.Lock()
	defer r.mu.Unlock()
	v := verdict{refusal: r.judge(c, now)}
	if v.refusal == nil {
		v.on, v.refusal = r.present(c, now)
	}
	if v.refusal == nil {
		v.step = r.next().expand()
		v.issue = v.step.issues()
		if v.issue {
			v.given = r.give(v.on, c, now)
		}
		if v.step.Hold {
			v.hold = r.freed.wait()
		}
	}
	v.entry = c.entry(v, seq.Add(1), now)
	r.counters.add(v, now)
	r.ledger.add(v.entry)
	r.arrival.fire()
	return v
}

// leave ends a call that was admitted. It comes before the answer, so that a
// caller that acts on the answer is not taken for a second one in flight.
func (r *record) leave() {
	r.mu.Lock()
	r.counters.InFlight--
	r.mu.Unlock()
}

// judge tells why the call is refused before its code or refresh token is looked
// at, or nil.
func (r *record) judge(c *call, now time.Time) *refusal {
	if c.refusal != nil {
		return c.refusal
	}
	if q := r.client.Requests; q == nil && c.format != FormatForm || q != nil && c.format != q.Format {
		return wrongFormat
	}
	if want := r.client.AuthStyle; want != "" && c.style != want {
		return wrongStyle
	}
	if why := r.proven(c, now); why != nil {
		return why
	}
	if q := r.client.Requests; q != nil && slices.Contains(q.Grants, c.grant) {
		return nil
	}
	return grantRefusal(c.grant, r.client.CodeFlow != nil)
}

// proven tells why the call does not prove whose it is, or nil.
func (r *record) proven(c *call, now time.Time) *refusal {
	switch c.style {
	case AuthAssertion:
		return r.asserted(c, now)
	case AuthTLS:
		if !strings.EqualFold(c.certificate, r.client.Certificate) {
			return wrongCertificate
		}
		return nil
	}
	secret := r.client.Secret
	if secret != "" && subtle.ConstantTimeCompare([]byte(secret), []byte(c.secret)) != 1 {
		return wrongSecret
	}
	return nil
}

// requestStyle is how the client writes its requests; nil is RFC 6749's way.
func (r *record) requestStyle() *Requests {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.client.Requests
}

// next takes the step that is due.
func (r *record) next() Step {
	if r.step == len(r.client.Script) {
		return r.client.Default
	}
	step := r.client.Script[r.step]
	r.played++
	last := r.step == len(r.client.Script)-1
	if forever := last && step.Times == 0; !forever && r.played >= max(step.Times, 1) {
		r.step, r.played = r.step+1, 0
	}
	return step
}

// redefine replaces the definition and starts its scripts.
func (r *record) redefine(c Client) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.client, r.step, r.played, r.consents = c, 0, 0, 0
}

// count changes the counters.
func (r *record) count(change func(*Counters)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(&r.counters)
}

func (r *record) state() State {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := State{Client: r.client.clone(), Step: r.step, Counters: r.counters}
	s.Client.Secret = ""
	s.Counters.Faults = maps.Clone(s.Counters.Faults)
	return s
}

func (r *record) requests() []Request {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ledger.list()
}

// watch returns the number of requests so far and a channel that closes at the
// next one, or at once if the client is no more.
func (r *record) watch() (uint64, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.counters.Requests, r.arrival.wait()
}

func (r *record) release() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.freed.fire()
}

// end releases for good whatever waits on the client.
func (r *record) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.freed.end()
	r.arrival.end()
}

// signal wakes all who wait, any number of times. The zero value is ready; it is
// guarded by its record's lock and costs nothing while nobody waits.
type signal struct {
	ch    chan struct{}
	ended bool
}

// wait returns a channel that closes at the next fire.
func (s *signal) wait() <-chan struct{} {
	if s.ch == nil {
		s.ch = make(chan struct{})
	}
	return s.ch
}

func (s *signal) fire() {
	if s.ch != nil && !s.ended {
		close(s.ch)
		s.ch = nil
	}
}

// end fires once and for ever.
func (s *signal) end() {
	if s.ended {
		return
	}
	s.wait()
	s.ended = true
	close(s.ch)
}
