package events

import "time"

// RefreshDue orders an exchanger to look at a secret, because something is due.
// It is a hint: the exchanger plans the record again and does what is due then.
type RefreshDue struct {
	Secret string `json:"secret"`
	// Action is what the scheduler saw due: exchange, refresh, authorize, remind,
	// withdraw, erase; or alarm, which is all that such a job is for.
	Action string `json:"action"`
	// Decision is the number of the decision that fell due.
	Decision uint64    `json:"decision"`
	DueAt    time.Time `json:"due_at"`
}

// TestRequested orders an exchanger to make one exchange of a secret, to answer
// with what the provider said, and to store nothing.
type TestRequested struct {
	Secret string `json:"secret"`
	// Key is the public key that the answer is sealed to; in the JSON of the
	// body, base64 as RFC 4648 section 4.
	Key []byte `json:"key"`
	// Before is when nobody waits for the answer any more: not begun by then, the
	// test is not made.
	Before time.Time `json:"before"`
}

// Type implements Data.
func (RefreshDue) Type() Type { return TypeRefreshDue }

// About implements Data.
func (e RefreshDue) About() string { return e.Secret }

// Type implements Data.
func (TestRequested) Type() Type { return TypeTestRequested }

// About implements Data.
func (e TestRequested) About() string { return e.Secret }

// DecodeRefreshDue decodes the body of a job of type RefreshDue. Members it does
// not know are ignored.
func DecodeRefreshDue(body []byte) (RefreshDue, error) { return unmarshal[RefreshDue](body) }

// DecodeTestRequested decodes the body of a job of type TestRequested. Members it
// does not know are ignored.
func DecodeTestRequested(body []byte) (TestRequested, error) { return unmarshal[TestRequested](body) }
