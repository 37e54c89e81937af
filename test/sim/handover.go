package main

import (
	"maps"
	"slices"
)

// order is how an organisation goes from cell A to cell B. The zero value is the
// order of docs/scale.md; each field leaves out a part of it.
type order struct {
	noFence   bool // a claim is stored whoever owns the organisation
	early     bool // B looks at the claims before it owns the organisation
	blind     bool // B does not look at the claims
	noCut     bool // A says yes to a write without looking for the end of its log
	impatient bool // B opens without having copied A's log to its end
	severed   bool // A's log is not copied any further once A has lost the organisation
}

// moving is one state of a move: one secret whose refresh token dies with its use,
// one record that a person changes, an exchanger in each cell, and whoever moves
// the organisation. Between any two steps anybody may die, and the link between
// the cells may break for good.
type moving struct {
	ownerB   bool  // in the directory
	claimed  uint8 // the last token with a claim, in the directory's stream
	good     uint8 // the token that the provider takes
	token    [2]uint8
	a, b     exchange
	written  uint8 // when A stored the person's change: not, before or after the cut
	answered bool  // the person was told that it is stored
	copied   bool  // B has it
	cut      bool  // the end of A's log
	open     bool  // B serves
	broken   bool  // the link
	died     bool  // an exchanger, once

	twice, forgot bool // what must not be
}

// exchange is an exchanger's step in its cell.
type exchange struct {
	step  uint8
	seen  uint8 // the last claimed token, when it looked
	fresh uint8 // the token that it has received and not yet stored
	left  uint8 // how many more it makes
}

// Steps of an exchange.
const (
	resting  uint8 = iota
	looked         // at the claims
	allowed        // has a claim
	received       // the answer
)

// Moments of the person's change.
const (
	unwritten uint8 = iota
	beforeCut
	afterCut
)

func start() moving {
	return moving{good: 1, token: [2]uint8{1, 1}, a: exchange{left: 2}, b: exchange{left: 2}}
}

// next returns every state that may follow.
func (o order) next(m moving) (all []moving) {
	may := func(ok bool, do func(*moving)) {
		if ok {
			n := m
			do(&n)
			all = append(all, n)
		}
	}
	o.exchanges(m, home, may)
	o.exchanges(m, standby, may)
	// The mover. Whoever goes on after its death begins with what is there.
	may(!m.ownerB, func(n *moving) { n.ownerB = true })
	may(m.ownerB && !m.cut && !m.broken, func(n *moving) { n.cut = true })
	ready := m.ownerB && (o.impatient || m.cut && (m.copied || m.written != beforeCut))
	// A region that does not answer is given up; what it had not copied is lost.
	may(!m.open && (ready || m.ownerB && m.broken), func(n *moving) {
		n.open = true
		n.forgot = m.answered && !m.copied && !m.broken
	})
	// The mirror, in the order of A's log; B keeps what it has made itself.
	may(!m.broken && !(o.severed && m.ownerB) && (m.token[home] > m.token[standby] || m.written == beforeCut && !m.copied), func(n *moving) {
		n.token[standby] = max(m.token[standby], m.token[home])
		n.copied = m.written == beforeCut
	})
	may(!m.broken, func(n *moving) { n.broken = true })
	// The person, by way of A's api.
	may(m.written == unwritten && !m.open, func(n *moving) {
		n.written = beforeCut
		if m.cut {
			n.written = afterCut
		}
	})
	may(!m.answered && (m.written == beforeCut || m.written == afterCut && o.noCut), func(n *moving) {
		n.answered = true
		n.forgot = m.written == afterCut || m.open && !m.copied && !m.broken
	})
	return all
}

// exchanges adds what the exchanger of a cell may do.
func (o order) exchanges(m moving, site int, may func(bool, func(*moving))) {
	of := func(m *moving) *exchange {
		if site == home {
			return &m.a
		}
		return &m.b
	}
	x := *of(&m)
	owns := m.ownerB == (site == standby)
	serves := site == home || m.open || o.early
	looks := serves && (owns || o.noFence || o.early)
	may(x.step == resting && x.left > 0 && looks, func(n *moving) {
		*of(n) = exchange{step: looked, seen: m.claimed, left: x.left - 1}
	})
	unspent := x.seen < m.token[site] || o.blind && site == standby
	may(x.step == looked && unspent && (owns || o.noFence) && (site == home || m.open), func(n *moving) {
		of(n).step = allowed
		n.claimed = max(m.claimed, m.token[site])
	})
	may(x.step == allowed, func(n *moving) {
		if m.token[site] != m.good {
			n.twice = true
			return
		}
		n.good++
		*of(n) = exchange{step: received, fresh: n.good, left: x.left}
	})
	may(x.step == received, func(n *moving) {
		n.token[site] = max(m.token[site], x.fresh)
		*of(n) = exchange{left: x.left}
	})
	may(x.step != resting && !m.died, func(n *moving) {
		*of(n) = exchange{left: x.left}
		n.died = true
	})
}

// explored is what every order of steps from the start can lead to.
type explored struct {
	states                 int
	twice, forgot, stalled int
}

// explore walks through all of them. A state is stalled when nothing can happen
// any more and the new home does not have the token that the provider takes,
// though nobody died and the link held.
func (o order) explore() (e explored) {
	seen := map[moving]bool{start(): true}
	for frontier := slices.Collect(maps.Keys(seen)); len(frontier) > 0; {
		m := frontier[len(frontier)-1]
		frontier = frontier[:len(frontier)-1]
		e.judge(m)
		if m.twice || m.forgot {
			continue
		}
		for _, n := range o.next(m) {
			if !seen[n] {
				seen[n] = true
				frontier = append(frontier, n)
			}
		}
	}
	e.states = len(seen)
	for m := range seen {
		if !m.broken && !m.died && !m.twice && !m.forgot && o.rests(m) && (m.token[standby] != m.good || !m.open) {
			e.stalled++
		}
	}
	return e
}

func (e *explored) judge(m moving) {
	if m.twice {
		e.twice++
	}
	if m.forgot {
		e.forgot++
	}
}

// rests reports whether nothing but a misfortune can happen any more.
func (o order) rests(m moving) bool {
	for _, n := range o.next(m) {
		if !n.broken && !n.died {
			return false
		}
	}
	return true
}

type variant struct {
	name string
	order
}

func variants() []variant {
	return []variant{
		{"as designed", order{}},
		{"claims are stored whoever owns the organisation", order{noFence: true}},
		{"B looks at the claims before it owns the organisation", order{early: true}},
		{"B does not look at the claims", order{blind: true}},
		{"A says yes to a write behind the end of its log", order{noCut: true}},
		{"A's log is not copied any further once B owns the organisation", order{severed: true}},
		{"B opens before it has copied A's log to its end", order{impatient: true}},
	}
}

// handovers is what can go wrong when an organisation moves, and what cannot.
func handovers() table {
	t := table{name: "handovers", head: []string{"order of steps", "states", "with a spent token sent", "with an acknowledged write lost", "stalled"}}
	for _, v := range variants() {
		e := v.explore()
		t.add(v.name, count(e.states), count(e.twice), count(e.forgot), count(e.stalled))
	}
	return t
}
