package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"runtime"
	"time"

	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state"
)

// crowd is a fleet of many processes, on a NATS server in this one. The server is
// not killed: what a fleet does without its store is not a question of speed.
type crowd struct {
	options
	dir       string
	store     *store
	endpoint  *endpoint
	stop      func() // of the endpoint
	table     timetable
	processes map[string]*process
}

// outage is a process that is killed and started again after a while.
type outage struct{ name, what string }

// tokenHosts is how many hosts the secrets of a crowd ask, in turn. Schedulers share
// the work by host, each with an even chance of every one.
const tokenHosts = 16

// outages are the kills, one after another.
func outages() []outage {
	return []outage{
		{"", "nobody"},
		{"exchanger-1", "one of two exchangers"},
		{"scheduler-1", "one of two schedulers"},
		{"scheduler-2", "the other scheduler"},
		{"api-1", "the api"},
	}
}

func measureSeveral(ctx context.Context, o options, out io.Writer) error {
	if err := measureAdding(ctx, o, out); err != nil {
		return err
	}
	return measureKills(ctx, o, out)
}

// newCrowd returns a fleet that has a store and a provider, and no processes yet.
func newCrowd(ctx context.Context, o options, name string) (*crowd, error) {
	c := &crowd{options: o, dir: filepath.Join(o.dir, name), endpoint: new(endpoint), processes: map[string]*process{}}
	var err error
	if c.stop, err = c.endpoint.serve(ctx, tokenHosts); err != nil {
		return nil, err
	}
	if c.store, err = openStore(ctx, c.dir); err != nil {
		c.stop()
		return nil, err
	}
	return c, nil
}

func measureKills(ctx context.Context, o options, out io.Writer) error {
	c, err := newCrowd(ctx, o, "several")
	if err != nil {
		return err
	}
	defer c.close()
	whole := time.Duration(len(outages())) * c.outage
	from := time.Now().Add(4 * c.settle).Truncate(time.Second)
	steady := int(whole.Seconds() * float64(c.several)) // a secret for each refresh
	if _, err := c.load(ctx, timetable{
		first: from.Add(-5 * time.Minute), secrets: 1 + steady, steady: steady, rate: c.several, from: from, at: from.Add(whole),
	}); err != nil {
		return err
	}
	if err := c.launch(ctx, "exchanger-1", "exchanger-2", "scheduler-1", "scheduler-2", "api-1"); err != nil {
		return err
	}
	if err := c.kill(ctx); err != nil {
		return err
	}
	return c.report(ctx, out)
}

// load gives the fleet the secrets of a timetable.
func (c *crowd) load(ctx context.Context, t timetable) (*loader, error) {
	c.table, c.endpoint.due = t, t.dues()
	l, err := newLoader(c.store, c.dir, c.endpoint.urls, t)
	if err != nil {
		return nil, err
	}
	if err := l.tree(); err != nil {
		return nil, err
	}
	return l, l.load(ctx, l.secret)
}

func (c *crowd) launch(ctx context.Context, names ...string) error {
	for _, name := range names {
		target := name[:len(name)-len("-1")]
		p, err := launch(ctx, c.options, name, c.dir, "--target", target, "--nats-url", c.store.url())
		if err != nil {
			return err
		}
		c.processes[name] = p
	}
	return nil
}

// kill kills each in its turn, a fifth into its time, and starts it again.
func (c *crowd) kill(ctx context.Context) error {
	for i, o := range outages() {
		began := c.table.from.Add(time.Duration(i) * c.outage)
		if o.name == "" {
			continue
		}
		if err := sleepUntil(ctx, began.Add(c.outage/5)); err != nil {
			return err
		}
		c.processes[o.name].kill()
		if err := sleepUntil(ctx, began.Add(c.outage*4/5)); err != nil {
			return err
		}
		if err := c.launch(ctx, o.name); err != nil {
			return err
		}
	}
	return c.endpoint.drained(ctx, c.table.at, c.patience)
}

// report says how late the values of the secrets were in their places, by what
// was killed while they were due.
func (c *crowd) report(ctx context.Context, out io.Writer) error {
	late, err := c.late(ctx)
	if err != nil {
		return err
	}
	seen := c.endpoint.take()
	t := newTable(fmt.Sprintf("Killed with SIGKILL for %v, at %d due per second, at %d token hosts, on %d cores", c.outage*3/5, c.several, tokenHosts, runtime.NumCPU()),
		"killed", "refreshes", "from due until the record is committed: p50", "p99", "most")
	for i, o := range outages() {
		t.row(o.what, len(late[i]), quantile(late[i], .5), quantile(late[i], .99), quantile(late[i], 1))
	}
	t.print(out)
	fmt.Fprintf(out, "%d requests for %d refreshes: what an exchanger had claimed when it died is asked for again.\n\n", seen.asked, 1+c.table.steady)
	return nil
}

// late reads from the records when the values came to be, by outage. It waits
// until all of them have.
func (c *crowd) late(ctx context.Context) ([][]time.Duration, error) {
	st, err := c.store.bus.State(ctx)
	if err != nil {
		return nil, err
	}
	late := make([][]time.Duration, len(outages()))
	seen := make(map[string]bool, c.table.steady)
	ctx, stop := context.WithTimeout(ctx, c.patience)
	defer stop()
	err = st.Follow(ctx, []string{state.SecretKey("*")}, func(change state.Change) {
		var s secret.Secret
		var i int
		if json.Unmarshal(change.Value, &s) != nil || s.Generation < 2 || seen[s.ID] {
			return
		}
		if _, err := fmt.Sscanf(s.Credentials.ClientID, clientPrefix+"%d", &i); err != nil || c.table.turn(i) == 0 {
			return
		}
		due := c.table.due(i)
		during := int(due.Sub(c.table.from) / c.outage)
		late[during] = append(late[during], s.ActivatedAt.Sub(due))
		if seen[s.ID] = true; len(seen) == c.table.steady {
			stop()
		}
	}, func() {})
	if left := c.table.steady - len(seen); left > 0 {
		return nil, fmt.Errorf("%d secrets that were due were not refreshed: %w", left, err)
	}
	return late, nil
}

func (c *crowd) close() {
	for _, p := range c.processes {
		p.kill()
	}
	_ = c.store.close() // its data goes with it
	c.stop()
}
