package main

import (
	"math"
	"time"
)

// A provider that gives a client 200 requests a second is down for an hour. Its 2.2
// million secrets are spread over the cells, unevenly, and those of a cell fall due
// within one hour of the four of a round, as they were imported.
const (
	budgetRate  = 200. // requests a second that the provider takes
	budgetCells = fleet / cellSize
	budgeted    = 2_200_000 // secrets
	budgetRound = 4 * time.Hour
	budgetDay   = 6 * time.Hour
	downFrom    = time.Hour
	downUntil   = 2 * time.Hour
	lendPeriod  = 5   // seconds for which a share is lent, and a step of the simulation
	ownShare    = .25 // of the budget that is never lent: what a cell has when it is alone
	cutFrom     = downUntil + 10*time.Minute
	cutUntil    = cutFrom + 20*time.Minute
)

// sharing is how a budget is divided among cells, anew in each period.
type sharing struct {
	name   string
	share  func(d *drain) // sets the rate of each cell
	pooled bool           // all wait in the first queue, which has the whole budget
	cut    bool           // a third of the cells does not reach the lender for a while
	calm   bool           // there is no outage
}

// queue is the secrets of a cell that are due, by the minute in which their values
// end: earliest deadline first.
type queue struct {
	weight  float64 // its part of all secrets
	phase   time.Duration
	waiting []int
	first   int // no minute before it has any
	size    int
	rate    float64 // requests a second that it may make
	credit  float64
	carry   float64
}

// drain is the day of the provider.
type drain struct {
	*world
	sharing
	cells   []*queue
	expired int
	most    int // requests in one minute
	minute  int
	used    int           // requests from the provider's return until nothing waits
	ended   time.Duration // when nothing waited any more; 0 if never
}

func newDrain(seed uint64, s sharing) *drain {
	d := &drain{world: newWorld(seed), sharing: s}
	sum := 0.
	for n := range budgetCells {
		q := &queue{weight: math.Pow(float64(n+1), -.7), phase: d.between(0, budgetRound)}
		q.waiting = make([]int, int((budgetDay+budgetRound)/time.Minute))
		sum += q.weight
		d.cells = append(d.cells, q)
	}
	for _, q := range d.cells {
		q.weight /= sum
		q.rate = budgetRate * q.weight
	}
	return d
}

// due adds what falls due in this period. What a value has left differs.
func (d *drain) due(q *queue) {
	const width = budgetRound / 4
	if (d.now-q.phase+budgetRound)%budgetRound >= width {
		return
	}
	q.carry += budgeted * q.weight / width.Seconds() * lendPeriod
	for ; q.carry >= 1; q.carry-- {
		left := []time.Duration{70 * time.Minute, 2 * time.Hour, 4 * time.Hour}[d.IntN(3)]
		minute := int((d.now + left) / time.Minute)
		in := q
		if d.pooled {
			in = d.cells[0]
		}
		in.waiting[minute]++
		in.size++
		in.first = min(in.first, minute)
	}
}

// expire drops the values that have ended.
func (d *drain) expire(q *queue) {
	for ; q.first < int(d.now/time.Minute); q.first++ {
		d.expired += q.waiting[q.first]
		q.size -= q.waiting[q.first]
		q.waiting[q.first] = 0
	}
}

// serve makes at most so many requests, and returns how many it made.
func (q *queue) serve(most int) (made int) {
	for made < most && q.size > 0 {
		if q.waiting[q.first] == 0 {
			q.first++
			continue
		}
		n := min(q.waiting[q.first], most-made)
		q.waiting[q.first] -= n
		q.size -= n
		made += n
	}
	return made
}

// step is one period of all cells.
func (d *drain) step() {
	if d.share != nil {
		d.share(d)
	}
	down := !d.calm && d.now >= downFrom && d.now < downUntil
	made := 0
	for _, q := range d.cells {
		d.due(q)
		d.expire(q)
		whole, part := math.Modf(q.credit + q.rate*lendPeriod)
		q.credit = part // what is not used in its period is gone
		if !down {
			made += q.serve(int(whole))
		}
	}
	if d.now%time.Minute == 0 {
		d.minute = 0
	}
	d.minute += made
	d.most = max(d.most, d.minute)
	if d.now >= downUntil && d.ended == 0 {
		d.used += made
		if d.waiting() < budgeted/int(budgetRound/time.Minute) { // a minute's worth
			d.ended = d.now
		}
	}
}

func (d *drain) waiting() (n int) {
	for _, q := range d.cells {
		n += q.size
	}
	return n
}

// reaches reports whether a cell hears of the lender.
func (d *drain) reaches(cell int) bool {
	return !d.cut || cell%regionCount != 0 || d.now < cutFrom || d.now >= cutUntil
}

// lend divides the budget among the cells, where values end first. A cell that asks
// gives up its own part for the period; the part of one that is not heard is kept
// for it. So all together never have more than the budget.
func (d *drain) lend() {
	pool, heard, left := budgetRate, 0., 0
	for c, q := range d.cells {
		if d.reaches(c) {
			heard += q.weight
			left += q.size
			q.rate = 0
			continue
		}
		q.rate = ownShare * budgetRate * q.weight
		pool -= q.rate
	}
	if float64(left) <= pool*lendPeriod { // enough for all, whenever their values end
		d.eachHeard(func(q *queue) { q.rate = float64(q.size) / lendPeriod })
		pool -= float64(left) / lendPeriod
		left = 0
	}
	for minute := int(d.now / time.Minute); left > 0 && pool > 0; minute++ {
		sum := 0
		d.eachHeard(func(q *queue) { sum += q.waiting[minute] })
		part := min(1, pool*lendPeriod/float64(max(sum, 1))) / lendPeriod
		d.eachHeard(func(q *queue) { q.rate += part * float64(q.waiting[minute]) })
		pool -= part * float64(sum)
		left -= sum
	}
	// What nobody asked for is there for what falls due meanwhile.
	d.eachHeard(func(q *queue) { q.rate += pool * q.weight / heard })
}

func (d *drain) eachHeard(do func(*queue)) {
	for c, q := range d.cells {
		if d.reaches(c) {
			do(q)
		}
	}
}

func sharings() []sharing {
	equal := func(d *drain) {
		for _, q := range d.cells {
			q.rate = budgetRate / budgetCells
		}
	}
	whole := func(d *drain) {
		for _, q := range d.cells {
			q.rate = budgetRate
		}
	}
	return []sharing{
		{name: "one queue for the fleet: the ideal", pooled: true, share: func(d *drain) { d.cells[0].rate = budgetRate }},
		{name: "the same for each cell", share: equal},
		{name: "by the secrets of each cell"},
		{name: "lent for 5 s where values end first", share: (*drain).lend},
		{name: "lent, and a region does not reach the lender for 20 min", share: (*drain).lend, cut: true},
		{name: "the whole budget for each cell", share: whole},
	}
}

func (s sharing) run(seed uint64) *drain {
	d := newDrain(seed, s)
	for ; d.now < budgetDay; d.now += lendPeriod * time.Second {
		d.step()
	}
	return d
}

// shares is what becomes of an hour's outage by the way the budget is divided.
func shares(seed uint64) table {
	t := table{name: "shares", head: []string{"the budget is divided", "values expired", "drained after", "budget used meanwhile", "most requests in a minute, of the budget"}}
	for _, s := range sharings() {
		d := s.run(seed)
		drained, used := "not in 4 h", "–"
		if d.ended > 0 {
			took := d.ended - downUntil
			drained = short(took)
			used = count(100*float64(d.used)/max(took.Seconds()*budgetRate, 1)) + " %"
		}
		t.add(s.name, count(d.expired), drained, used, count(100*float64(d.most)/60/budgetRate)+" %")
	}
	return t
}
