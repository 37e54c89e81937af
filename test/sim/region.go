package main

import "time"

// loss is a region that is lost, and what is done about it.
type loss struct {
	name      string
	destroyed bool // or only cut off: it lives, and reaches the providers
	fence     bool // a request needs a claim, which the directory grants to the home only
	claims    bool // the new home looks at the claims of the old
	fences    int  // owners of the cell's secrets: each admits one claim at a time
}

// The sites of a cell.
const (
	home = iota
	standby
)

// rotated is a secret whose refresh token dies with its use. Tokens are numbered
// in the order in which the provider issued them.
type rotated struct {
	fence   *pool
	good    int // the token that the provider takes
	over    bool
	claimed int // the last token for which the directory granted a claim
	held    bool
	token   [2]int           // what each site has
	due     [2]time.Duration // when each site thinks that it is to be refreshed
}

// disaster is a cell whose home region is lost, with its mirror elsewhere. Only
// the secrets with rotating refresh tokens are in it.
type disaster struct {
	*world
	loss
	secrets []*rotated
	owner   int
	lost    time.Duration // when the home was lost; it comes back at found
	found   time.Duration
	served  [2]bool // who refreshes at all
	late    times   // from due to the request

	twice     int // spent tokens that were sent by somebody who could not know
	held      int // tokens that were not sent, as nobody knew whether they were spent
	recovered int // of these: the old home had the new token
	consents  int
}

const (
	aMinute  = time.Minute
	cutOff   = 10 * time.Minute
	lifetime = 2 * shortWindow
	// askAgain is the scheduler's longest pause between two offers, and how long
	// the old home takes to learn that it is home no more.
	askAgain = time.Minute
	// lastResort is when a token of which nobody knows is sent after all: the
	// last attempt's place (docs/refresh-cycle.md).
	lastResort = shortWindow / 2
)

// takeover is how long the owners of a region's organisations take to be written.
func takeover() time.Duration {
	return organised / regionCount * time.Second / r3Writes
}

func newDisaster(seed uint64, l loss) *disaster {
	d := &disaster{world: newWorld(seed), loss: l, served: [2]bool{true, false}, lost: aMinute, found: aMinute + cutOff}
	if l.destroyed {
		d.found = 1 << 62
	}
	fences := make([]pool, l.fences)
	for n := range fences {
		fences[n].free = 1
	}
	for n := range int(cellSize * rotating) {
		x := &rotated{fence: &fences[n%len(fences)], good: 1, token: [2]int{1, 1}}
		x.due[home] = d.between(0, shortWindow)
		x.due[standby] = x.due[home]
		d.secrets = append(d.secrets, x)
		d.plan(home, x)
	}
	d.at(d.lost+regionLease+takeover(), d.takeOver)
	d.at(d.found, d.reunite)
	return d
}

// away reports whether nobody else hears of the home.
func (d *disaster) away() bool { return d.now >= d.lost && d.now < d.found }

// works reports whether the site is there at all.
func (d *disaster) works(site int) bool {
	return d.served[site] && !(site == home && d.destroyed && d.now >= d.lost)
}

func (d *disaster) plan(site int, x *rotated) {
	due := x.due[site]
	d.at(due, func() {
		if x.due[site] == due {
			d.refresh(site, x)
		}
	})
}

// refresh sends the token that the site has, if it may.
func (d *disaster) refresh(site int, x *rotated) {
	switch {
	case !d.works(site) || x.over:
	case !d.fence:
		d.send(site, x, x.token[site])
	case site == home && d.away(): // nobody answers, and it asks again
		d.after(askAgain, func() { d.refresh(site, x) })
	default:
		x.fence.take(func() { d.claim(site, x) })
	}
}

// claim asks the directory for the right to send the token that the site has.
func (d *disaster) claim(site int, x *rotated) {
	token := x.token[site]
	d.after(regionTrip/2, func() {
		granted := d.owner == site && !(site == home && d.away())
		if granted && d.claims && x.claimed >= token {
			granted = false
			d.hold(x)
		}
		if granted {
			x.claimed = token
		}
		d.after(regionTrip/2, func() {
			x.fence.give()
			if granted {
				d.send(site, x, token)
			}
		})
	})
}

// hold keeps a token until it is known whether it was spent, or nothing is left
// to lose.
func (d *disaster) hold(x *rotated) {
	x.held = true
	d.held++
	d.at(x.due[standby]+lastResort, func() {
		switch {
		case !x.held:
		case x.token[standby] == x.good:
			x.held = false
			d.send(standby, x, x.good)
		default:
			d.end(x)
		}
	})
}

func (d *disaster) end(x *rotated) {
	x.over = true
	d.consents++
}

func (d *disaster) send(site int, x *rotated, token int) {
	if !d.works(site) {
		return
	}
	d.late = append(d.late, d.now-x.due[site])
	trip := (exchangeMin + d.exp(exchangeMean)) / 2
	d.after(trip, func() { // the provider
		switch {
		case x.over:
			return
		case token != x.good: // to the provider, a thief has it
			d.twice++
			d.end(x)
			return
		}
		x.good++
		d.after(trip, func() { d.commit(site, x, token+1) })
	})
}

// commit stores the new token, and the mirror brings it to the other site.
func (d *disaster) commit(site int, x *rotated, token int) {
	if !d.works(site) {
		return
	}
	d.store(site, x, token)
	d.after(mirrorLag, func() {
		if !d.away() && site == home && d.owner == home {
			d.store(standby, x, token)
		}
	})
}

func (d *disaster) store(site int, x *rotated, token int) {
	x.token[site], x.due[site] = token, d.now+shortWindow
	if d.served[site] {
		d.plan(site, x)
	}
}

// takeOver makes the standby the home. What is overdue goes out as fast as the
// cell works.
func (d *disaster) takeOver() {
	d.owner = standby
	d.served[standby] = true
	overdue := 0
	for _, x := range d.secrets {
		if x.due[standby] > d.now {
			d.plan(standby, x)
			continue
		}
		overdue++
		d.after(time.Duration(float64(overdue)*float64(time.Second)*stateWrites/r3Writes), func() { d.refresh(standby, x) })
	}
}

// reunite is when the old home is back. It learns that it is home no more, and what
// it had stored answers for the tokens that were held.
func (d *disaster) reunite() {
	d.after(askAgain, func() { d.served[home] = false })
	for _, x := range d.secrets {
		if x.held && x.token[home] > x.token[standby] {
			x.held = false
			d.recovered++
			x.token[standby] = x.token[home]
			d.refresh(standby, x)
		}
	}
}

// parts is how many owners the secrets of a cell have at least.
const parts = cellSize / part

func losses() []loss {
	return []loss{
		{name: "cut off; no fence", fences: parts},
		{name: "cut off; fence", fence: true, fences: parts},
		{name: "cut off; fence, and claims are looked at", fence: true, claims: true, fences: parts},
		{name: "destroyed; fence", destroyed: true, fence: true, fences: parts},
		{name: "destroyed; fence, and claims are looked at", destroyed: true, fence: true, claims: true, fences: parts},
	}
}

func (l loss) run(seed uint64) *disaster {
	d := newDisaster(seed, l)
	d.world.run(aMinute + shortWindow + 5*time.Minute)
	return d
}

// expired counts values that ended before their refresh was sent.
func (d *disaster) expired() int { return d.late.beyond(lifetime - shortWindow) }

// regions is what the loss of a region costs one of its cells.
func regions(seed uint64) table {
	t := table{name: "regions", head: []string{
		"the home region is", "spent tokens sent unknowingly", "tokens held", "of these recovered", "consents needed", "latest", "expired",
	}}
	for _, l := range losses() {
		d := l.run(seed)
		t.add(l.name, count(d.twice), count(d.held), count(d.recovered), count(d.consents), short(d.late.quantile(1)), count(d.expired()))
	}
	return t
}

// peaceful runs a cell with so many fences until it is lost.
func peaceful(seed uint64, fences int) *disaster {
	d := newDisaster(seed, loss{fence: true, claims: true, fences: fences})
	d.world.run(aMinute)
	return d
}

// fences is what it costs that a fence admits one claim at a time.
func fences(seed uint64) table {
	t := table{name: "fences", head: []string{"owners of a cell's secrets", "late by its claim, p50", "p99", "claims waiting after a minute"}}
	for _, n := range []int{1, 4, parts, 100} {
		d := peaceful(seed, n)
		t.add(count(n), short(d.late.quantile(.5)), short(d.late.quantile(.99)), count(d.claiming()))
	}
	return t
}

// claiming counts the secrets whose claims wait for others.
func (d *disaster) claiming() (n int) {
	seen := map[*pool]bool{}
	for _, x := range d.secrets {
		if !seen[x.fence] {
			seen[x.fence] = true
			n += len(x.fence.waiting)
		}
	}
	return n
}
