package exchanger

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"go.opentelemetry.io/otel/trace"
	"pgregory.net/rapid"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/pkg/state/statetest"
)

// audit is a store that remembers what was written, and keeps account of
// requests by the decision that is claimed when they arrive.
type audit struct {
	*statetest.Store

	mu       sync.Mutex
	olds     map[string]old            // by key
	written  bytes.Buffer              // every record ever
	claims   map[string][]uint64       // decisions claimed, by secret
	outcomes map[string]uint64         // the last decision that has one, by secret
	failures map[string]bool           // of outcomes, by id
	settled  map[string][]string       // ids of the events that are owed, by secret
	seen     map[string]bool           // what they are owed for
	requests map[string]map[uint64]int // by secret and decision
}

// old is a record before its last change, or why there was none.
type old struct {
	body []byte
	rev  state.Revision
	err  error
}

// before returns the record as it was before its last change.
func (a *audit) before(key string) ([]byte, state.Revision, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if o, changed := a.olds[key]; changed {
		return bytes.Clone(o.body), o.rev, o.err
	}
	return nil, 0, state.ErrNotFound
}

func (a *audit) Commit(ctx context.Context, writes ...state.Write) (state.Revision, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	before := make(map[string]old, len(writes))
	for _, w := range writes {
		body, rev, err := a.Get(context.Background(), w.Key)
		before[w.Key] = old{body, rev, err}
	}
	rev, err := a.Store.Commit(ctx, writes...)
	if err != nil {
		return rev, err
	}
	if a.olds == nil {
		a.olds, a.outcomes, a.failures = map[string]old{}, map[string]uint64{}, map[string]bool{}
	}
	maps.Copy(a.olds, before)
	for _, w := range writes {
		a.written.WriteString(w.Key + "\n")
		a.written.Write(w.Value)
		kind, id := state.Split(w.Key)
		if d, ok := claimIn(w); ok {
			a.claimed(id, d)
		}
		if o := outcomeIn(w); o != nil {
			a.outcomes[id] = o.Decision
			if o.Failure != nil {
				a.failures[o.Failure.ID] = true
			}
		}
		if kind == "grant" && w.Value == nil {
			delete(a.claims, id) // from here nobody can tell any more
		}
		if kind == "secret" && w.Value != nil {
			a.changed(id, w.Value)
		}
	}
	return rev, nil
}

// claimed notes a claim. Renewals are of the last one. The caller holds mu.
func (a *audit) claimed(id string, d uint64) {
	if a.claims == nil {
		a.claims = map[string][]uint64{}
	}
	if list := a.claims[id]; len(list) == 0 || list[len(list)-1] != d {
		a.claims[id] = append(list, d)
	}
}

// claimIn returns the decision that a write claims, if it does.
func claimIn(w state.Write) (d uint64, ok bool) {
	var g secret.Grant
	if kind, _ := state.Split(w.Key); kind != "grant" || json.Unmarshal(w.Value, &g) != nil || g.Claim == nil {
		return 0, false
	}
	return g.Claim.Decision, true
}

// outcomeIn returns the outcome that a write has, nil if it has none.
func outcomeIn(w state.Write) *secret.Outcome {
	var g secret.Grant
	if kind, _ := state.Split(w.Key); kind != "grant" || json.Unmarshal(w.Value, &g) != nil {
		return nil
	}
	return g.Outcome
}

// changed notes an outcome in a record. The caller holds mu.
func (a *audit) changed(id string, body []byte) {
	var s secret.Secret
	if json.Unmarshal(body, &s) != nil {
		return
	}
	if a.settled == nil {
		a.settled, a.seen = map[string][]string{}, map[string]bool{}
	}
	owe := func(occurrence, event string) {
		if !a.seen[occurrence] {
			a.seen[occurrence] = true
			a.settled[id] = append(a.settled[id], event)
		}
	}
	if s.Generation > 0 {
		event := fmt.Sprintf("%s.%d.succeeded", id, s.Generation)
		owe(event, event)
	}
	failures := []*secret.Failure{s.StatusDetails, s.RefreshStatusDetails}
	if p := s.Authorization; p != nil {
		failures = append(failures, p.Failure)
		if at := p.EndedAt; !at.IsZero() {
			owe(id+" ended "+at.String(), fmt.Sprintf("%s.%d.ended", id, a.outcomes[id]))
		}
		if at := p.HeldAt; !at.IsZero() {
			owe(id+" held "+at.String(), fmt.Sprintf("%s.%d.held", id, a.outcomes[id]))
		}
	}
	for _, f := range failures {
		if f != nil && a.failures[f.ID] { // others are of interruptions
			owe(f.ID, fmt.Sprintf("%s.%d.failed", id, a.outcomes[id]))
		}
	}
}

func (a *audit) settledOf(id string) []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.settled[id])
}

func (a *audit) requested(id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.requests == nil {
		a.requests = map[string]map[uint64]int{}
	}
	if a.requests[id] == nil {
		a.requests[id] = map[uint64]int{}
	}
	var d uint64
	if list := a.claims[id]; len(list) > 0 {
		d = list[len(list)-1]
	}
	a.requests[id][d]++
}

// dump returns all records.
func (a *audit) dump(t rapid.TB) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	for _, patterns := range [][]string{{">"}, {state.GrantKey("*"), state.ArtifactKey("*", "*")}, {state.EndpointKeys}} {
		ctx, cancel := context.WithCancel(context.Background())
		err := a.Follow(ctx, patterns, func(c state.Change) { all[c.Key] = c.Value }, cancel)
		if !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
	return all
}

func (a *audit) requestsOf(id string) map[uint64]int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return maps.Clone(a.requests[id])
}

// bulletin is where events are published.
type bulletin struct {
	mu    sync.Mutex
	list  []events.Event
	trace []trace.SpanContext // of each event
}

func (b *bulletin) Publish(ctx context.Context, e events.Event) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	header, body, err := events.Encode(e)
	if err != nil {
		return err
	}
	if e, err = events.Decode(header, body); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.list = append(b.list, e)
	b.trace = append(b.trace, trace.SpanContextFromContext(ctx))
	return nil
}

// about returns the events of a secret, each id once.
func (b *bulletin) about(id string) (list []events.Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range b.list {
		known := slices.ContainsFunc(list, func(k events.Event) bool { return k.ID == e.ID })
		if e.Data.About() == id && !known {
			list = append(list, e)
		}
	}
	return list
}

// logbook is a buffer for loggers.
type logbook struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logbook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logbook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}
