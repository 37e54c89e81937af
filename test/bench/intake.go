package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/events/sealing"
	"github.com/rekindle-dev/rekindle/services/api/client"
)

// intakeProperties is how many properties upstream events are about.
const intakeProperties = 5

// slowest is how long an event may take on a machine that has much else to do.
const slowest = 50 * time.Millisecond

// post is a crowd that upstream systems publish to.
type post struct {
	*crowd
	author *author
	client *client.Client
	places []uint64 // in the stream, of the letters without an id
	kills  int
	began  time.Time
	took   time.Duration
}

// measureIntake publishes upstream events, good ones and bad ones, some twice and some
// before their time, while api processes are killed, and counts what becomes of them.
func measureIntake(ctx context.Context, o options, out io.Writer) error {
	c, err := newCrowd(ctx, o, "intake")
	if err != nil {
		return err
	}
	defer c.close()
	p := &post{crowd: c}
	if err := c.launch(ctx, "exchanger-1", "scheduler-1", "api-1", "api-2"); err != nil {
		return err
	}
	if err := p.settleIn(ctx); err != nil {
		return err
	}
	p.began = time.Now()
	ctx, stop := context.WithTimeout(ctx, p.patience+time.Duration(p.upstream)*slowest)
	defer stop()
	killing := make(chan error, 1)
	go func() { killing <- p.publish(ctx) }()
	if err := p.disturb(ctx, killing); err != nil {
		return err
	}
	found, err := p.answers(ctx)
	if err != nil {
		return err
	}
	p.report(out, found)
	return p.check(ctx, found)
}

// settleIn makes properties, and fetches what is sealed to.
func (p *post) settleIn(ctx context.Context) error {
	p.client = client.New(p.processes["api-1"].api, token)
	companies, err := p.client.Companies(ctx)
	if err != nil || len(companies) != 1 {
		return fmt.Errorf("companies: %v: %w", companies, err)
	}
	var properties []string
	for i := range intakeProperties {
		made, err := p.client.CreateProperty(ctx, companies[0].ID.ID, fmt.Sprint("upstream ", i))
		if err != nil {
			return err
		}
		properties = append(properties, made.ID.ID)
	}
	answer, err := p.store.nc.RequestWithContext(ctx, events.KeysetSubject, nil)
	if err != nil {
		return fmt.Errorf("keyset: %w", err)
	}
	keys, err := sealing.Parse(answer.Data)
	if err != nil {
		return err
	}
	p.author = newAuthor(keys, properties)
	return nil
}

// publish publishes all letters, in their order.
func (p *post) publish(ctx context.Context) error {
	var sent []jetstream.PubAckFuture
	nameless := map[int]bool{}
	for i := range p.upstream {
		l, err := p.author.next()
		if err != nil {
			return err
		}
		nameless[i] = l.id == ""
		stored, err := p.store.js.PublishMsgAsync(&nats.Msg{Subject: l.msg.Subject, Header: l.msg.Header, Data: l.msg.Data})
		if err != nil {
			return err
		}
		sent = append(sent, stored)
	}
	for i, future := range sent {
		select {
		case ack := <-future.Ok():
			if nameless[i] {
				p.places = append(p.places, ack.Sequence)
			}
		case err := <-future.Err():
			return fmt.Errorf("event %d was not stored: %w", i, err)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// disturb kills one api process after the other until all that was published is taken in.
func (p *post) disturb(ctx context.Context, published <-chan error) error {
	next := time.NewTicker(p.outage)
	defer next.Stop()
	look := time.NewTicker(100 * time.Millisecond)
	defer look.Stop()
	all := false
	for {
		select {
		case err := <-published:
			if err != nil {
				return err
			}
			all, published = true, nil
		case <-look.C:
			left, err := p.left(ctx)
			if err != nil {
				return err
			}
			if all && left == 0 {
				p.took = time.Since(p.began)
				return nil
			}
		case <-next.C:
			name := fmt.Sprintf("api-%d", 1+p.kills%2)
			p.kills++
			p.processes[name].kill()
			if err := p.launch(ctx, name); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// left is how many events wait to be taken in.
func (p *post) left(ctx context.Context) (uint64, error) {
	stream, err := p.store.js.Stream(ctx, "INTAKE")
	if err != nil {
		return 0, err
	}
	return stream.CachedInfo().State.Msgs, nil
}

// facts are what was announced of upstream events. What was announced again, which has the
// same id, is counted as such: events come at least once.
type facts struct {
	ids                map[string]bool // of the announcements
	again              int
	accepted, rejected map[string]int // by the id of the event
	problem            map[string]events.Problem
	created            map[string]bool // secrets
}

// answers reads what was announced, until every event has an answer.
func (p *post) answers(ctx context.Context) (*facts, error) {
	f := &facts{ids: map[string]bool{}, accepted: map[string]int{}, rejected: map[string]int{}, problem: map[string]events.Problem{}, created: map[string]bool{}}
	consumer, err := p.store.js.OrderedConsumer(ctx, "EVENTS", jetstream.OrderedConsumerConfig{FilterSubjects: []string{
		events.SubjectsOf(events.TypeAccepted), events.SubjectsOf(events.TypeRejected), events.SubjectsOf(events.TypeSecretCreated),
	}})
	if err != nil {
		return nil, err
	}
	reader, err := consumer.Messages()
	if err != nil {
		return nil, err
	}
	defer reader.Stop()
	missing := len(p.author.verdicts) + p.author.nameless
	quiet, stop := context.WithTimeout(ctx, p.patience)
	defer stop()
	for {
		if missing == 0 { // what else is there is too much
			quiet, stop = context.WithTimeout(ctx, p.settle)
			defer stop()
			missing = -1
		}
		m, err := reader.Next(jetstream.NextContext(quiet))
		if quiet.Err() != nil {
			return f, nil
		}
		if err != nil {
			return nil, err
		}
		e, err := events.Decode(events.Header(m.Headers()), m.Data())
		if err != nil {
			return nil, err
		}
		if f.note(e) && missing > 0 {
			missing--
		}
	}
}

// note counts a fact, and reports whether it is the first answer to an event.
func (f *facts) note(e events.Event) (first bool) {
	if f.ids[e.ID] {
		f.again++
		return false
	}
	f.ids[e.ID] = true
	id := e.Data.About()
	first = f.accepted[id]+f.rejected[id] == 0
	switch data := e.Data.(type) {
	case events.Accepted:
		f.accepted[id]++
	case events.Rejected:
		f.rejected[id]++
		f.problem[id] = data.Problems[0]
	case events.SecretCreated:
		f.created[id] = true
		first = false
	}
	return first
}

func (p *post) report(out io.Writer, f *facts) {
	t := newTable(fmt.Sprintf("%d upstream events in %v, %.0f per second, two api processes, one of them killed %d times", p.upstream, p.took.Round(time.Second), float64(p.upstream)/p.took.Seconds(), p.kills), "published", "how many")
	for _, kind := range slices.Sorted(maps.Keys(p.author.kinds)) {
		t.row(kind, p.author.kinds[kind])
	}
	t.print(out)
	accepted, again := 0, 0
	for _, v := range p.author.verdicts {
		if v.accepted {
			accepted++
			again += min(1, v.refused)
		}
	}
	c := newTable("What became of them", "counted", "by the model", "in the fleet")
	c.row("events with an id of their own", len(p.author.verdicts), len(p.author.verdicts))
	c.row("accepted", accepted, len(f.accepted))
	c.row("of those, refused before", again, both(f))
	c.row("refused, with an id", len(p.author.verdicts)-accepted+again, len(f.rejected)-p.author.nameless)
	c.row("refused, without one", p.author.nameless, nameless(f))
	c.row("secrets made", p.author.made, len(f.created))
	c.print(out)
	fmt.Fprintf(out, "%d announcements came twice, by the same id: whoever makes a change, and dies, may have told it.\n\n", f.again)
}

func both(f *facts) (n int) {
	for id := range f.accepted {
		n += min(1, f.rejected[id])
	}
	return n
}

func nameless(f *facts) (n int) {
	for id := range f.rejected {
		if strings.HasPrefix(id, "INTAKE.") {
			n++
		}
	}
	return n
}

// check compares the fleet with the model.
func (p *post) check(ctx context.Context, f *facts) error {
	var wrong []error
	fail := func(format string, args ...any) {
		if len(wrong) < 20 {
			wrong = append(wrong, fmt.Errorf(format, args...))
		}
	}
	for id, v := range p.author.verdicts {
		switch {
		case v.accepted && f.accepted[id] != 1:
			fail("%s was announced as accepted %d times", id, f.accepted[id])
		case !v.accepted && f.accepted[id] > 0:
			fail("%s is accepted, and must be refused with %s", id, v.code)
		case min(1, f.rejected[id]) != min(1, v.refused) || f.rejected[id] > v.refused+p.kills:
			fail("%s was refused %d times, which is not %d: %v", id, f.rejected[id], v.refused, f.problem[id])
		case !v.accepted && (f.problem[id].Code != v.code || f.problem[id].Pointer != v.pointer):
			fail("%s was refused for %s at %q, want %s at %q", id, f.problem[id].Code, f.problem[id].Pointer, v.code, v.pointer)
		}
	}
	for _, place := range p.places {
		if id := fmt.Sprintf("INTAKE.%d", place); f.rejected[id] == 0 {
			fail("%s was not refused", id)
		}
	}
	if unknown := len(f.accepted) + len(f.rejected) - both(f) - len(p.author.verdicts) - p.author.nameless; unknown != 0 {
		fail("%d answers are to nothing that was published", unknown)
	}
	if len(f.created) != p.author.made {
		fail("%d secrets were made, want %d", len(f.created), p.author.made)
	}
	wrong = append(wrong, p.checkSecrets(ctx), p.checkTraces())
	return errors.Join(wrong...)
}

// checkSecrets compares the secrets that there are with those of the model.
func (p *post) checkSecrets(ctx context.Context) error {
	there := map[string]bool{}
	reader := client.New(p.processes["api-1"].api, token)
	for _, property := range p.author.properties {
		secrets, err := reader.Secrets(ctx, property, nil)
		if err != nil {
			return err
		}
		for _, s := range secrets {
			there[property+"/"+s.Attributes.Name] = true
		}
	}
	for name := range p.author.taken {
		if !there[name] {
			return fmt.Errorf("there is no secret %s", name)
		}
	}
	if len(there) != len(p.author.taken) {
		return fmt.Errorf("there are %d secrets, want %d", len(there), len(p.author.taken))
	}
	return nil
}

// checkTraces looks for what was sent in plain text, in all that the fleet has written.
func (p *post) checkTraces() error {
	return filepath.WalkDir(p.options.dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		body, err := os.ReadFile(path)
		if err == nil && bytes.Contains(body, []byte(canary)) {
			err = fmt.Errorf("%s holds what was sent in plain text", path)
		}
		return err
	})
}
