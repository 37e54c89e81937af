package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"syscall"
	"time"
)

// configuration lets tokens live for seconds, so that a few secrets can fall due
// as often as many, and lists be asked for as often as they are answered.
const configuration = "windows: {oauth2: {min_validity: 2s, min_interval: 1s, default_offset: 1s}}\nexchanger: {workers: %d}\nlimits: {token: {rate: 0}}\n"

// rig is a fleet in one process, with its provider.
type rig struct {
	options
	ctx      context.Context //nolint:containedctx // a rig lives as long as one call of measureFleet
	dir      string          // the fleet's data
	endpoint *endpoint
	table    timetable
	loader   *loader
	process  *process
	out      io.Writer
	empty    int64 // resident memory of an empty fleet
	start    start
	window   window
}

// start is how a fleet began.
type start struct{ ready, first time.Duration }

func (r *rig) say(format string, args ...any) { fmt.Fprintf(r.progress, format+"\n", args...) }

// measureFleet measures a fleet in one process, from its start to the last of
// what falls due.
func measureFleet(ctx context.Context, o options, out io.Writer) error {
	r := &rig{options: o, ctx: ctx, dir: filepath.Join(o.dir, "data"), endpoint: new(endpoint), out: out}
	stop, err := r.endpoint.serve(ctx, 1)
	if err != nil {
		return err
	}
	defer stop()
	for _, step := range []func() error{r.measureEmpty, r.load, r.measureStart, r.measureSteady, r.measureLists, r.measureBurst} {
		if err := step(); err != nil {
			if r.process != nil {
				r.process.kill()
			}
			return err
		}
	}
	return r.process.stop()
}

func (r *rig) measureEmpty() error {
	p, err := launch(r.ctx, r.options, "empty", filepath.Join(r.options.dir, "empty"))
	if err != nil {
		return err
	}
	if err := pause(r.ctx, r.settle); err != nil {
		return err
	}
	if r.empty, err = p.memory(); err != nil {
		return err
	}
	return p.stop()
}

// load fills the store. When secrets fall due can be said only when it is nearly
// full: then the records of those are written again.
func (r *rig) load() error {
	st, err := openStore(r.ctx, r.dir)
	if err != nil {
		return err
	}
	began := time.Now()
	r.plan(began.Add(lasting))
	if r.loader, err = newLoader(st, r.dir, r.endpoint.urls, r.table); err != nil {
		return err
	}
	if err := r.loader.tree(); err != nil {
		return err
	}
	if err := r.loader.load(r.ctx, r.loader.secret); err != nil {
		return err
	}
	// One record of some secrets takes less than a share of what five of all took;
	// then the fleet reads all records at its start.
	share := float64(r.table.steady+r.table.burst) / float64(r.secrets)
	again := time.Duration(float64(time.Since(began)) * share)
	starting := time.Duration(r.secrets) * 50 * time.Microsecond
	r.schedule(time.Now().Add(again + starting + 5*r.settle))
	r.loader.table = r.table
	if err := r.loader.load(r.ctx, r.loader.reschedule); err != nil {
		return err
	}
	if err := st.close(); err != nil {
		return err
	}
	r.say("%d secrets loaded in %v; the first falls due in %v", r.secrets, time.Since(began).Round(time.Second), time.Until(r.table.from).Round(time.Second))
	return nil
}

// plan settles who falls due.
func (r *rig) plan(from time.Time) {
	wanted := int(float64(r.rate) * (r.steady + r.listing).Seconds())
	most := (r.secrets - 1 - r.burst) / r.rate * r.rate
	r.table = timetable{
		random: r.order == orderRandom, first: time.Now().Add(-5 * time.Minute),
		secrets: r.secrets, steady: min(wanted, most), burst: r.burst, rate: r.rate, from: from, at: from,
	}
	if wanted > most { // then they come round again
		r.endpoint.period = time.Duration(most/r.rate) * time.Second
	}
	r.endpoint.lateness = make([]time.Duration, 0, wanted+r.burst)
}

// schedule settles when, from then on.
func (r *rig) schedule(from time.Time) {
	r.table.from = from.Truncate(time.Second)
	r.endpoint.until = r.table.from.Add(r.steady + r.listing)
	r.table.at = r.endpoint.until.Add(r.settle)
	r.endpoint.due = r.table.dues()
}

// measureStart starts the fleet and waits for the one exchange that is due.
func (r *rig) measureStart() (err error) {
	if r.process, err = launch(r.ctx, r.options, "fleet", r.dir); err != nil {
		return err
	}
	busy, err := processorTime(r.process.cmd.Process.Pid)
	if err != nil {
		return err
	}
	if err := r.endpoint.drained(r.ctx, r.table.from.Add(-time.Second), r.patience); err != nil {
		return err
	}
	seen := r.endpoint.take()
	r.start.ready, r.start.first = r.process.readyFrom.Sub(r.process.started), seen.first.Sub(r.process.started)
	t := newTable(fmt.Sprintf("Start with %d secrets", r.secrets), "from the start of the process until", "after")
	t.row("the first due exchange reaches the provider", r.start.first)
	t.row("the API is served", r.start.ready)
	t.row("of that, processor time, on however many cores", busy)
	t.print(r.out)
	if late := time.Since(r.table.from); late > 0 {
		fmt.Fprintf(r.out, "Loading and starting took %v longer than reckoned: what fell due meanwhile is late for no fault of the fleet.\n\n", late)
	}
	return nil
}

// window is what was measured while secrets fell due at a steady rate.
type window struct {
	seen          seen
	before, after metrics
	busy, bench   time.Duration // of processors: the fleet's and this process's
	most, mean    int64         // resident memory
	last          int64         // and at the end
}

// watch measures until the time.
func (r *rig) watch(until time.Time) (w window, err error) {
	r.endpoint.take()
	if w.before, err = r.process.scrape(r.ctx); err != nil {
		return w, err
	}
	pid := r.process.cmd.Process.Pid
	busy, err := processorTime(pid)
	if err != nil {
		return w, err
	}
	own := ownTime()
	var sum, n int64
	for time.Now().Before(until) {
		if err := pause(r.ctx, min(time.Second, time.Until(until))); err != nil {
			return w, err
		}
		rss, err := r.process.memory()
		if err != nil {
			return w, err
		}
		w.last, w.most, sum, n = rss, max(w.most, rss), sum+rss, n+1
	}
	w.mean, w.bench = sum/max(1, n), ownTime()-own
	w.busy, err = processorTime(pid)
	w.busy -= busy
	w.seen = r.endpoint.take()
	if err != nil {
		return w, err
	}
	w.after, err = r.process.scrape(r.ctx)
	return w, err
}

// ownTime is how long this process has kept processors busy.
func ownTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// measureSteady measures memory, lateness and cost while secrets fall due.
func (r *rig) measureSteady() (err error) {
	if err := sleepUntil(r.ctx, r.table.from.Add(-r.settle/2)); err != nil {
		return err
	}
	idle, err := r.process.memory()
	if err != nil {
		return err
	}
	end := r.table.from.Add(r.steady)
	if time.Until(end) < r.steady/2 {
		return errors.New("most of the steady phase was over when the fleet was up: the machine is too slow for so many secrets, or too busy")
	}
	profiled := make(chan error, 1)
	var shares []share
	go func() { // a part of the window is profiled, as long as it takes to see something
		var err error
		shares, err = r.profileProcessor(min(r.steady/2, 30*time.Second))
		profiled <- err
	}()
	if r.window, err = r.watch(end); err != nil {
		return err
	}
	if err := <-profiled; err != nil {
		return err
	}
	r.reportMemory(idle)
	if err := r.reportOwners(); err != nil {
		return err
	}
	r.reportLateness()
	r.reportCost(shares)
	return nil
}

func (r *rig) profileProcessor(d time.Duration) ([]share, error) {
	if !r.profile {
		return nil, nil
	}
	if err := sleepUntil(r.ctx, r.table.from.Add(r.steady/4)); err != nil {
		return nil, err
	}
	file, err := r.process.takeProfile(r.ctx, r.options, "profile", fmt.Sprintf("?seconds=%d", max(1, int(d.Seconds()))))
	if err != nil {
		return nil, err
	}
	return explain(r.ctx, file, question{"cpu", "us", processorOwners(), true})
}

func (r *rig) reportMemory(idle int64) {
	t := newTable(fmt.Sprintf("Memory with %d secrets", r.secrets), "resident", "in all", "per secret beyond an empty fleet")
	per := func(n int64) size { return size(float64(n-r.empty) / float64(r.secrets)) }
	t.row("an empty fleet", size(r.empty), "")
	t.row("started, nothing due yet", size(idle), per(idle))
	t.row(fmt.Sprintf("mean over %v at %d refreshes/s", r.steady, r.rate), size(r.window.mean), per(r.window.mean))
	t.row("most", size(r.window.most), per(r.window.most))
	t.row("at the end", size(r.window.last), per(r.window.last))
	heap := r.window.after.value("go_memstats_heap_inuse_bytes")
	t.row("of that, heap in use at the end", size(heap), size(heap/float64(r.secrets)))
	t.row("heap kept for later at the end", size(r.window.after.value("go_memstats_heap_idle_bytes")-r.window.after.value("go_memstats_heap_released_bytes")), "")
	disk := diskUse(filepath.Join(r.dir, "nats"))
	t.row("on disk", size(disk), size(float64(disk)/float64(r.secrets)))
	t.print(r.out)
}

func (r *rig) reportOwners() error {
	if !r.profile {
		return nil
	}
	file, err := r.process.takeProfile(r.ctx, r.options, "heap", "?gc=1")
	if err != nil {
		return err
	}
	shares, err := explain(r.ctx, file, question{"inuse_space", "B", memoryOwners(), false})
	if err != nil {
		return err
	}
	t := newTable("Live heap by owner, under load (sampled)", "owner", "in all", "per secret")
	for _, s := range shares {
		t.row(s.owner, size(s.value), size(s.value/float64(r.secrets)))
	}
	t.print(r.out)
	return nil
}

func (r *rig) reportLateness() {
	t := newTable(fmt.Sprintf("Lateness at %d due per second, of %d", r.rate, len(r.window.seen.lateness)), "from due until", "p50", "p99", "p99.9", "most")
	late := func(name string, values []time.Duration) {
		t.row(name, quantile(values, .5), quantile(values, .99), quantile(values, .999), quantile(values, 1))
	}
	begun := r.window.after.since(r.window.before, "rekindle_refresh_lateness_seconds")
	t.row("an exchanger begins (by its histogram)", begun.quantile(.5), begun.quantile(.99), begun.quantile(.999), "")
	late("the request reaches the provider", r.window.seen.lateness)
	t.print(r.out)
}

// reportCost says what a refresh takes of processors, and who takes it.
func (r *rig) reportCost(shares []share) {
	n := float64(len(r.window.seen.lateness))
	each := float64(r.window.busy.Microseconds()) / n
	t := newTable(fmt.Sprintf("Processor time per refresh with %d secrets", r.secrets), "stage", "µs", "share")
	t.row("the fleet, NATS included", each, "100 %")
	var sum float64
	for _, s := range shares {
		sum += s.value
	}
	for _, s := range shares {
		t.row(s.owner, each*s.value/sum, fmt.Sprintf("%.1f %%", 100*s.value/sum))
	}
	t.row("this process: the provider", float64(r.window.bench.Microseconds())/n, "besides")
	t.print(r.out)
	r.reportSteps("Steps of a refresh", r.window.before, r.window.after)
}

// reportSteps says how long the steps of the refresh cycle took.
func (r *rig) reportSteps(title string, before, after metrics) {
	t := newTable(title, "step", "p50", "p99")
	for _, step := range []string{"plan", "claim", "exchange", "grant", "artifact", "record", "announce"} {
		h := after.since(before, "rekindle_refresh_step_seconds", "step", step)
		t.row(step, h.quantile(.5), h.quantile(.99))
	}
	t.print(r.out)
}

// measureLists asks for lists while secrets fall due.
func (r *rig) measureLists() error {
	t := newTable(fmt.Sprintf("Lists of a fleet with %d secrets, at %d refreshes/s", r.secrets, r.rate), "property of", "question", "asked", "p50", "p99", "most")
	questions := []struct{ name, query string }{
		{"first page of 25", ""},
		{"page 3 of 100, by name", "sort=name&page[number]=3&page[size]=100"},
		{"page 9 of 100, by -updated_at, one status", "sort=-updated_at&filter[status]=EQ succeeded&page[number]=9&page[size]=100"},
		{"name contains 77", "filter[name]=CONTAINS 77&page[size]=100"},
		{"one status", "filter[status]=EQ pending&page[size]=100"},
		{"name contains 77, by name", "filter[name]=CONTAINS 77&sort=-name&page[size]=100"},
	}
	sizes := r.loader.sizes()
	each := r.listing / time.Duration(3*len(questions))
	for _, property := range []int{2, 1, 0} {
		for _, q := range questions {
			took, err := r.ask(r.loader.properties[property], q.query, each)
			if err != nil {
				return err
			}
			t.row(sizes[property], q.name, len(took), quantile(took, .5), quantile(took, .99), quantile(took, 1))
		}
	}
	t.print(r.out)
	return nil
}

// ask asks for a list, again and again, one at a time.
func (r *rig) ask(property, query string, d time.Duration) (took []time.Duration, err error) {
	values, err := url.ParseQuery(query)
	if err != nil {
		return nil, err
	}
	for until := time.Now().Add(d); time.Now().Before(until) || len(took) == 0; {
		began := time.Now()
		body, err := fetch(r.ctx, r.process.api+"/properties/"+property+"/secrets?"+values.Encode(), token)
		if err != nil {
			return nil, err
		}
		_, err = io.Copy(io.Discard, body)
		body.Close()
		if err != nil {
			return nil, err
		}
		took = append(took, time.Since(began))
	}
	return took, nil
}

// sizes is how many secrets each property has.
func (l *loader) sizes() []int {
	n := make([]int, len(l.properties))
	for i := range l.table.secrets {
		n[l.propertyOf(i)]++
	}
	return n
}
