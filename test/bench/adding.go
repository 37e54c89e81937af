package main

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"strings"
	"time"
)

// crew is how many processes of each kind share the work.
type crew struct{ schedulers, exchangers int }

// crews are those whose throughput is compared with that of the first.
func crews() []crew { return []crew{{1, 1}, {1, 2}, {2, 2}} }

func (c crew) names() (names []string) {
	for i := range c.exchangers {
		names = append(names, fmt.Sprint("exchanger-", i+1))
	}
	for i := range c.schedulers {
		names = append(names, fmt.Sprint("scheduler-", i+1))
	}
	return names
}

// effort is what a burst took.
type effort struct {
	took       time.Duration
	busy, rest time.Duration // of processors: with all that belongs to it, and with nothing at all
	done       []float64     // by each process, in the order of the crew's names
}

// measureAdding measures what one more process of a kind does for the throughput: the
// same burst for each crew, on a store of its own. Where providers answer at once,
// processors are what there is too little of; where they take their time, exchangers'
// workers are.
func measureAdding(ctx context.Context, o options, out io.Writer) error {
	for _, answer := range []time.Duration{0, o.slow} {
		if err := compareCrews(ctx, o, answer, out); err != nil {
			return err
		}
	}
	return nil
}

// compareCrews does so with a provider that takes so long to answer.
func compareCrews(ctx context.Context, o options, answer time.Duration, out io.Writer) error {
	t := newTable(fmt.Sprintf("Adding processes: %d due at once, at %d token hosts that answer %s, %d at a time for each exchanger, on %d cores",
		o.burst, tokenHosts, in(answer), o.concurrency, runtime.NumCPU()),
		"schedulers", "exchangers", "refreshes/s", "ratio to the first", "processor µs each, NATS server and provider included", "cores at rest",
		"jobs offered by each", "exchanges made by each")
	var first float64
	for i, crew := range crews() {
		e, err := adding(ctx, o, crew, answer)
		if err != nil {
			return fmt.Errorf("with %d schedulers and %d exchangers: %w", crew.schedulers, crew.exchangers, err)
		}
		rate := float64(o.burst) / e.took.Seconds()
		if i == 0 {
			first = rate
		}
		t.row(crew.schedulers, crew.exchangers, rate, fmt.Sprintf("%.2f", rate/first),
			float64(e.busy.Microseconds())/float64(o.burst), fmt.Sprintf("%.2f", e.rest.Seconds()/e.took.Seconds()),
			counts(e.done[crew.exchangers:]), counts(e.done[:crew.exchangers]))
	}
	t.print(out)
	return nil
}

func in(answer time.Duration) string {
	if answer == 0 {
		return "at once"
	}
	return "after " + duration(answer)
}

func counts(each []float64) string {
	return strings.Join(strings.Fields(strings.Trim(fmt.Sprintf("%.0f", each), "[]")), " + ")
}

// adding has many secrets fall due at once for a crew that has found itself.
func adding(ctx context.Context, o options, crew crew, answer time.Duration) (e effort, err error) {
	c, err := newCrowd(ctx, o, fmt.Sprintf("adding-%d-%d-%v", crew.schedulers, crew.exchangers, answer))
	if err != nil {
		return e, err
	}
	defer c.close()
	c.endpoint.answer = answer
	far := time.Now().Add(lasting)
	l, err := c.load(ctx, timetable{first: time.Now().Add(-5 * time.Minute), secrets: 1 + o.burst, burst: o.burst, rate: 1, from: far, at: far})
	if err != nil {
		return e, err
	}
	if err := c.launch(ctx, crew.names()...); err != nil {
		return e, err
	}
	if err := c.found(ctx, crew); err != nil {
		return e, err
	}
	l.table.at = time.Now().Add(2 * o.settle).Truncate(time.Millisecond)
	c.endpoint.postpone(l.table.at)
	if err := l.load(ctx, l.reschedule); err != nil {
		return e, err
	}
	if e, err = c.burst(ctx, crew, l.table.at); err != nil {
		return e, err
	}
	return e, c.endpoint.check(l.table)
}

// found waits until the schedulers know each other and what was due at the start has
// been done.
func (c *crowd) found(ctx context.Context, crew crew) error {
	ctx, cancel := context.WithTimeout(ctx, c.patience)
	defer cancel()
	if err := c.endpoint.drained(ctx, time.Now(), c.patience); err != nil {
		return err
	}
	if _, _, err := finished(ctx, c.patience, c.schedulers(crew)...); err != nil {
		return err
	}
	for {
		all := true
		for _, p := range c.schedulers(crew) {
			m, err := p.scrape(ctx)
			if err != nil {
				return err
			}
			all = all && int(m.value("rekindle_scheduler_members")) == crew.schedulers
		}
		if all {
			return nil
		}
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return fmt.Errorf("the schedulers do not share the work: %w", err)
		}
	}
}

func (c *crowd) schedulers(crew crew) (all []*process) {
	for _, name := range crew.names()[crew.exchangers:] {
		all = append(all, c.processes[name])
	}
	return all
}

// burst measures how what is due at a time is done with. Every process must have
// had a part in it.
func (c *crowd) burst(ctx context.Context, crew crew, at time.Time) (e effort, err error) {
	if err := sleepUntil(ctx, at.Add(-100*time.Millisecond)); err != nil {
		return e, err
	}
	before, err := c.parts(ctx, crew)
	if err != nil {
		return e, err
	}
	busy, rest, err := c.processorTime()
	if err != nil {
		return e, err
	}
	if err := c.endpoint.drained(ctx, at.Add(time.Second), c.patience); err != nil {
		return e, err
	}
	_, done, err := finished(ctx, c.patience, c.schedulers(crew)...)
	if err != nil {
		return e, err
	}
	e.took = done.Sub(at)
	if e.busy, e.rest, err = c.processorTime(); err != nil {
		return e, err
	}
	e.busy, e.rest = e.busy-busy, e.rest-rest
	if e.done, err = c.parts(ctx, crew); err != nil {
		return e, err
	}
	for i, name := range crew.names() {
		if e.done[i] -= before[i]; e.done[i] <= 0 {
			return e, fmt.Errorf("%s had no part in it", name)
		}
	}
	return e, nil
}

// parts is what each process of a crew has done: jobs that an exchanger has asked a
// provider for, or that a scheduler has offered.
func (c *crowd) parts(ctx context.Context, crew crew) (done []float64, err error) {
	for i, name := range crew.names() {
		m, err := c.processes[name].scrape(ctx)
		if err != nil {
			return nil, err
		}
		if i < crew.exchangers {
			done = append(done, m.count("rekindle_refresh_step_seconds", "step", "exchange"))
		} else {
			done = append(done, m.value("rekindle_jobs_offered_total", "result", "accepted"))
		}
	}
	return done, nil
}

// processorTime is how long the processes, the NATS server and the provider have kept
// processors busy, and how long these had nothing to do for anybody.
func (c *crowd) processorTime() (busy, rest time.Duration, err error) {
	busy = ownTime()
	for _, p := range c.processes {
		one, err := processorTime(p.cmd.Process.Pid)
		if err != nil {
			return 0, 0, err
		}
		busy += one
	}
	rest, err = restTime()
	return busy, rest, err
}
