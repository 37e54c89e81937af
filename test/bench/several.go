package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
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
	table     timetable
	processes map[string]*process
}

// outage is a process that is killed and started again after a while.
type outage struct{ name, what string }

// outages are the kills, one after another. One of the schedulers leads.
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
	c := &crowd{options: o, dir: filepath.Join(o.dir, "several"), endpoint: new(endpoint), processes: map[string]*process{}}
	stop, err := c.endpoint.serve(ctx)
	if err != nil {
		return err
	}
	defer stop()
	if c.store, err = openStore(ctx, c.dir); err != nil {
		return err
	}
	defer c.close()
	if err := c.load(ctx); err != nil {
		return err
	}
	for _, name := range []string{"exchanger-1", "exchanger-2", "scheduler-1", "scheduler-2", "api-1"} {
		if err := c.launch(ctx, name); err != nil {
			return err
		}
	}
	if err := c.kill(ctx); err != nil {
		return err
	}
	return c.report(ctx, out)
}

// load gives the fleet one secret for each refresh of the run.
func (c *crowd) load(ctx context.Context) error {
	whole := time.Duration(len(outages())) * c.outage
	from := time.Now().Add(4 * c.settle).Truncate(time.Second)
	steady := int(whole.Seconds() * float64(c.several))
	c.table = timetable{first: from.Add(-5 * time.Minute), secrets: 1 + steady, steady: steady, rate: c.several, from: from, at: from.Add(whole)}
	c.endpoint.due = c.table.dues()
	l, err := newLoader(c.store, c.dir, c.endpoint.url, c.table)
	if err != nil {
		return err
	}
	if err := l.tree(); err != nil {
		return err
	}
	return l.load(ctx, l.secret)
}

func (c *crowd) launch(ctx context.Context, name string) (err error) {
	target := name[:len(name)-len("-1")]
	c.processes[name], err = launch(ctx, c.options, name, c.dir, "--target", target, "--nats-url", c.store.url())
	return err
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
	t := newTable(fmt.Sprintf("Killed with SIGKILL for %v, at %d due per second", c.outage*3/5, c.several),
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
		if p != nil {
			p.kill()
		}
	}
	_ = c.store.close() // its data goes with it
}
