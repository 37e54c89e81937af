package webhook

import (
	"encoding/json"
	"time"
)

// Replay asks that a callback be told again what the audit trail holds from somewhere on. Each
// message keeps its id. There is one at a time: another takes the place of the one before.
type Replay struct {
	// Number counts the replays of a callback, from 1.
	Number uint64 `json:"number"`
	// From is the first position, or 0 for what was written down since Since.
	From    uint64    `json:"from,omitempty"`
	Since   time.Time `json:"since,omitzero"`
	AskedAt time.Time `json:"asked_at"`
}

// Progress is the record of how far a replay is. Members are only ever added.
type Progress struct {
	Callback string `json:"callback"`
	// Number is that of the replay.
	Number uint64 `json:"number"`
	// Sequence is the place in the log of the page to go on with; 0 before it was looked for.
	Sequence uint64 `json:"sequence,omitempty"`
	// Position is the last of the trail that was gone through, and Until the last that is
	// to be: what is written down later is told in any case.
	Position uint64 `json:"position,omitempty"`
	Until    uint64 `json:"until,omitempty"`
	// Messages is how many were made to be sent.
	Messages int `json:"messages,omitempty"`
	// EndedAt is when the last of them was made; zero before.
	EndedAt time.Time `json:"ended_at,omitzero"`
	// Holder is the process that goes on with it, until HeldUntil unless it says so again.
	Holder    string    `json:"holder,omitempty"`
	HeldUntil time.Time `json:"held_until,omitzero"`
}

// Runs reports whether the replay is not over.
func (p *Progress) Runs() bool { return p.EndedAt.IsZero() }

// ReadProgress reads a record.
func ReadProgress(body []byte) (*Progress, error) {
	p := new(Progress)
	if json.Unmarshal(body, p) != nil || p.Callback == "" || p.Number == 0 {
		return nil, errRecord
	}
	return p, nil
}
