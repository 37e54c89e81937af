package exchanger

import (
	"fmt"
	"math"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/rekindle-dev/rekindle/pkg/secret"
)

// To everyone who works on a secret at once, its grant has to be as if there
// were one register, and one of them at a time: that is what is proved here of
// histories that were recorded while everything went wrong (unruly_test.go).
// The seam is Deps.Reached, so what is recorded is the refresh cycle itself.

// register is what the grant of one secret amounts to.
type register struct {
	claimed uint64 // the last decision that was claimed
	holder  int    // the attempt that claimed it; 0 once the claim is over
	ended   uint64 // the last decision that has an outcome
	token   uint64 // the decision that yielded the refresh token there is; 0 for none
	tested  bool   // whether a test has the grant, which is of no decision
}

// act is something that was done to a register.
type act struct {
	secret   string
	does     verb
	attempt  int
	decision uint64
	token    uint64 // the one that a claim sends, or that there is after any other act
}

type verb string

// The verbs. Whoever looks does so in the store itself, past all faults.
const (
	starts  verb = "starts" // with what there was before
	claims  verb = "claims"
	commits verb = "commits"
	givesUp verb = "gives up"
	saves   verb = "saves" // a refresh token, after the claim was given up
	tests   verb = "tests"
	returns verb = "returns" // the grant, after a test
	looks   verb = "looks"
)

// answer is what came of an act.
type answer string

const (
	done    answer = "done"
	fenced  answer = "fenced"  // somebody else has given the claim up
	unknown answer = "unknown" // done or not, perhaps much later
)

// saw is what came of a look.
type saw struct{ claimed, ended, token uint64 }

// after is the register after an act, and whether the act could end like this.
// What may not have been done at all is always possible: then it changes nothing.
func (r register) after(a act, came any) (register, bool) {
	if was, ok := came.(saw); ok {
		return r, was.ended == r.ended && was.token == r.token && (was.claimed == 0 || was.claimed == r.claimed)
	}
	mine := r.claimed == a.decision && r.holder == a.attempt
	next, possible := r, false
	switch a.does {
	case starts:
		next, possible = register{claimed: a.decision, ended: a.decision, token: a.token}, true
	case claims: // once, and never again; and what it sends is the last there is
		possible = a.decision > r.claimed && a.token == r.token
		next = register{claimed: a.decision, holder: a.attempt, ended: r.ended, token: r.token}
	case commits: // by the live claimant
		possible = mine && !r.tested && a.decision > r.ended && (a.token == a.decision || a.token == r.token)
		next = register{claimed: r.claimed, ended: a.decision, token: a.token}
	case givesUp: // what has no outcome
		possible = a.decision == r.claimed && a.decision > r.ended && a.token == r.token
		next.holder = 0
	case saves: // by whoever had the last claim
		possible = a.decision == r.claimed && a.decision > r.ended && r.holder == 0 && !r.tested && a.token == a.decision
		next.token = a.token
	case tests:
		next.tested, possible = true, true
	case returns:
		next.tested, possible = false, r.tested
		if a.decision == r.claimed {
			next.holder = 0 // it was given up with it
		}
	}
	switch {
	case came == fenced:
		return r, !mine || r.tested
	case came == unknown && !possible:
		return r, true
	default:
		return next, possible
	}
}

func registers() porcupine.Model {
	return porcupine.Model{
		Partition: func(history []porcupine.Operation) (parts [][]porcupine.Operation) {
			at := map[string]int{}
			for _, op := range history {
				id := op.Input.(act).secret
				i, known := at[id]
				if !known {
					i = len(parts)
					at[id], parts = i, append(parts, nil)
				}
				parts[i] = append(parts[i], op)
			}
			return parts
		},
		Init: func() any { return register{} },
		Step: func(r, a, came any) (bool, any) {
			next, ok := r.(register).after(a.(act), came)
			return ok, next
		},
		DescribeOperation: func(in, came any) string {
			a := in.(act)
			return fmt.Sprintf("%d %s %d, token %d: %v", a.attempt, a.does, a.decision, a.token, came)
		},
		DescribeState: func(r any) string { return fmt.Sprintf("%+v", r) },
	}
}

// history is what was done, by a clock that counts calls and returns.
type history struct {
	mu       sync.Mutex
	clock    int64
	attempts int
	done     []porcupine.Operation
}

func (h *history) tick() int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.clock++
	return h.clock
}

func (h *history) attempt() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.attempts++
	return h.attempts
}

// add notes an act that was called at a time and has returned now. Of what is
// unknown nobody can say that it has ended.
func (h *history) add(a act, called int64, came any) {
	returned := h.tick()
	if came == unknown {
		returned = math.MaxInt64
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.done = append(h.done, porcupine.Operation{ClientId: a.attempt, Input: a, Call: called, Output: came, Return: returned})
}

// check holds a history against the model. It counts the acts by how they ended.
func (h *history) check(t *testing.T) (legal bool, count map[string]int) {
	t.Helper()
	count = map[string]int{}
	for _, op := range h.done {
		count[fmt.Sprintf("%s: %v", op.Input.(act).does, op.Output)]++
	}
	switch porcupine.CheckOperationsTimeout(registers(), h.done, 20*time.Second) {
	case porcupine.Ok:
		return true, count
	case porcupine.Illegal:
		return false, count
	default:
		t.Fatalf("%d acts are too many to check", len(h.done))
		return false, nil
	}
}

// Whatever the store, the network and the processes do, decisions are claimed at
// most once, committed by nobody but the live claimant, and their outcomes only
// go forwards; and no request sends a refresh token in whose place there is another.
func TestClaimsAreLinearizable(t *testing.T) {
	t.Parallel()
	// Without one of each this proves nothing. Some of them are rare.
	wanted := []string{"claims: done", "commits: done", "commits: fenced", "gives up: done", "saves: done", "claims: unknown", "commits: unknown"}
	total := map[string]int{}
	missing := func() bool {
		return slices.ContainsFunc(wanted, func(what string) bool { return total[what] == 0 })
	}
	for seed := uint64(0); seed < 20 || missing() && seed < 100; seed++ {
		h := unruly(t, seed, nil)
		legal, count := h.check(t)
		if !legal {
			t.Errorf("seed %d: no order of these acts explains how they ended:\n%s", seed, h)
		}
		for what, n := range count {
			total[what] += n
		}
	}
	if missing() {
		t.Errorf("there was not one of each of %q: %v", wanted, total)
	}
}

// The checker finds what it is for: a store in which one of the fence's writes
// no longer expects what was read.
func TestCheckerFindsPlantedBugs(t *testing.T) {
	t.Parallel()
	for name, blind := range map[string]func(*secret.Grant) bool{
		"claims overwrite":   func(g *secret.Grant) bool { return g.Claim != nil },
		"outcomes overwrite": func(g *secret.Grant) bool { return g.Claim == nil && g.Outcome != nil },
		"saves overwrite":    saved,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(40) {
				if legal, _ := unruly(t, seed, blind).check(t); !legal {
					return
				}
			}
			t.Error("not found")
		})
	}
}
