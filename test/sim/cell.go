package main

import (
	"slices"
	"time"
)

// cell is one NATS cluster with exchangers and schedulers, which share the work by
// host, and the refreshes that fall due in it.
//
//	due ──lane──► publishers ──JOBS──► workers ──claim, exchange, commit──► acknowledged
type cell struct {
	*world
	jobs, state stream
	working     pool
	schedulers  [schedulers]scheduler
	limit       int              // exchanges of one client at a time; 0 for none
	lanes       map[string]*pool // by client
	held        []*job           // that workers have, in no order
	late        map[string]times // by client: from due to the request
	due, done   int
	interrupted int
}

// scheduler offers the jobs of its share of the hosts.
type scheduler struct {
	offering pool
	back     time.Duration // when somebody offers its share again
}

// job is one refresh.
type job struct {
	client string
	by     *scheduler // whose share its host is in
	due    time.Duration
	on     int // the exchanger that has it
	tries  int // how often it was taken: what an earlier try does is void
	begun  bool
	place  int // in cell.held
}

func newCell(w *world, limit int) *cell {
	c := &cell{world: w, limit: limit, lanes: map[string]*pool{}, late: map[string]times{}}
	c.jobs, c.state = stream{world: w}, stream{world: w}
	c.working = pool{free: exchangers * workers}
	for i := range c.schedulers {
		c.schedulers[i].offering.free = publishers
	}
	return c
}

// refresh is due now.
func (c *cell) refresh(client string) {
	c.due++
	j := &job{client: client, due: c.now, by: &c.schedulers[c.due%schedulers]}
	c.lane(client).take(func() { c.offer(j) })
}

func (c *cell) lane(client string) *pool {
	if c.lanes[client] == nil {
		free := c.limit
		if free == 0 {
			free = 1 << 62
		}
		c.lanes[client] = &pool{free: free}
	}
	return c.lanes[client]
}

func (c *cell) offer(j *job) {
	j.by.offering.take(func() {
		c.at(j.by.back, func() {
			c.jobs.write(func() {
				j.by.offering.give()
				c.deliver(j)
			})
		})
	})
}

func (c *cell) deliver(j *job) {
	c.working.take(func() {
		j.on, j.tries, j.place = c.IntN(exchangers), j.tries+1, len(c.held)
		c.held = append(c.held, j)
		try := j.tries
		step := func(do func()) func() {
			return func() {
				if j.tries == try {
					do()
				}
			}
		}
		c.after(zoneTrip, step(func() { // grant and record are read
			c.state.write(step(func() { // the claim
				c.begin(j)
				c.after(exchangeMin+c.exp(exchangeMean), step(func() { c.commit(stateWrites-1, step, j) }))
			}))
		}))
	})
}

func (c *cell) begin(j *job) {
	if j.begun {
		return
	}
	j.begun = true
	c.late[j.client] = append(c.late[j.client], c.now-j.due)
}

// commit makes the writes that are left, then acknowledges the job.
func (c *cell) commit(left int, step func(func()) func(), j *job) {
	if left > 0 {
		c.state.write(step(func() { c.commit(left-1, step, j) }))
		return
	}
	c.jobs.write(step(func() {
		c.drop(j)
		c.done++
		c.working.give()
		c.lane(j.client).give()
	}))
}

// drop takes a job off those that are held.
func (c *cell) drop(j *job) {
	last := len(c.held) - 1
	c.held[j.place] = c.held[last]
	c.held[j.place].place = j.place
	c.held = c.held[:last]
}

// killExchanger ends the first exchanger. Nobody takes its place; its jobs come
// again to the others.
func (c *cell) killExchanger() {
	lost := slices.DeleteFunc(slices.Clone(c.held), func(j *job) bool { return j.on != 0 })
	c.working.free -= workers - len(lost)
	for _, j := range lost {
		c.drop(j)
		j.tries++
		if j.begun {
			c.interrupted++
		}
		c.after(ackWait, func() { c.deliver(j) })
	}
}

// stream is a replicated stream: its leader stores one write after the other, and
// says so when a second zone has it.
type stream struct {
	*world
	free time.Duration // when it has stored what it was given
	back time.Duration // when it has a leader again
}

func (s *stream) write(done func()) {
	if s.now < s.back { // refused; whoever asks does so again
		s.at(s.back+s.between(0, failurePause), func() { s.write(done) })
		return
	}
	s.free = max(s.free, s.now) + time.Second/r3Writes
	s.at(s.free+zoneTrip, done)
}

// pool is a number of places. Who finds none waits, first come first served.
type pool struct {
	free    int
	waiting []func()
}

func (p *pool) take(do func()) {
	if p.free <= 0 || len(p.waiting) > 0 {
		p.waiting = append(p.waiting, do)
		return
	}
	p.free--
	do()
}

func (p *pool) give() {
	p.free++
	if p.free > 0 && len(p.waiting) > 0 {
		next := p.waiting[0]
		p.waiting[0] = nil
		p.waiting = p.waiting[1:]
		p.free--
		next()
	}
}

// mishap is what happens to a cell while its refreshes fall due.
type mishap struct {
	name   string
	happen func(*cell)
}

// killSchedulers ends the first n of them; their shares are offered again after d.
func (c *cell) killSchedulers(n int, d time.Duration) {
	for i := range n {
		c.schedulers[i].back = c.now + d
	}
}

func mishaps() []mishap {
	return []mishap{
		{"nothing", func(*cell) {}},
		{"an exchanger is killed", (*cell).killExchanger},
		{"one of two schedulers is killed", func(c *cell) { c.killSchedulers(1, shareOut) }},
		{"all schedulers are killed", func(c *cell) { c.killSchedulers(schedulers, coldStart+indexReplay) }},
		{"the leader of both streams is killed", func(c *cell) {
			c.jobs.back = c.now + c.between(leaderOutMin, leaderOutMax)
			c.state.back = c.jobs.back
		}},
	}
}

// anyone is the client of a cell in which clients do not matter.
const anyone = ""

// suffer runs a full cell for two minutes, with the mishap after one.
func suffer(seed uint64, m mishap) *cell {
	const end = 2 * time.Minute
	c := newCell(newWorld(seed), 0)
	c.poisson(perSecond(cellSize), end, func() { c.refresh(anyone) })
	c.at(time.Minute, func() { m.happen(c) })
	c.run(end + time.Minute)
	return c
}

// lateness is how late requests leave a cell, whatever happens to it.
func lateness(seed uint64) table {
	t := table{name: "lateness", head: []string{"what happens", "p50", "p99", "p99.9", "latest", "late by more than 5 s", "interrupted"}}
	for _, m := range mishaps() {
		c := suffer(seed, m)
		late := c.late[anyone]
		t.add(m.name, short(late.quantile(.5)), short(late.quantile(.99)), short(late.quantile(.999)),
			short(late.quantile(1)), count(late.beyond(5*time.Second))+" of "+count(len(late)), count(c.interrupted))
	}
	return t
}

func (t times) beyond(limit time.Duration) (n int) {
	for _, d := range t {
		if d > limit {
			n++
		}
	}
	return n
}

// beside runs a cell in which a large organisation, with an app of its own, has so
// many secrets beside a cell's worth of others, and returns how late each are.
func beside(seed uint64, secrets float64, limit int) (others, its times) {
	const end = 20 * time.Second
	c := newCell(newWorld(seed), limit)
	c.poisson(perSecond(cellSize), end, func() { c.refresh("others") })
	c.poisson(perSecond(secrets), end, func() { c.refresh("large") })
	c.run(time.Hour)
	return c.late["others"], c.late["large"]
}

// neighbours is what a large organisation does to the others of its cell.
func neighbours(seed uint64) table {
	t := table{name: "neighbours", head: []string{"10 M secrets of one organisation", "others late, p99", "its own late, p99, after 20 s"}}
	add := func(how string, secrets float64, limit int) {
		others, its := beside(seed, secrets, limit)
		t.add(how, short(others.quantile(.99)), short(its.quantile(.99)))
	}
	add("in one cell, first come first served", largest, 0)
	add("in one cell, in a lane of its own", largest, laneLimit)
	add("in parts, over ten cells, in lanes", largest/10, laneLimit)
	return t
}
