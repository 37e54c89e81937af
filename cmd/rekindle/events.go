package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/services/api/client"
)

func newEvents() *cobra.Command {
	return group(cobra.Command{
		Use:   "events",
		Short: "Follow what happens",
		Long:  "Follow what happens, as it happens or from some time on. Events are kept for 30 days.",
	}, func(c *cobra.Command, r *remote) {
		r.bindProperty(c)
		c.AddCommand(newEventsTail(r))
	})
}

// tailFlags choose events.
type tailFlags struct {
	since, from    string
	types, secrets []string
	untilNow       bool
	most           int
}

func newEventsTail(r *remote) *cobra.Command {
	var f tailFlags
	c := r.command(cobra.Command{
		Use:   "tail",
		Short: "Tell what happens, an event a line",
		Long: "Tell what happens, an event a line, until it is interrupted. It begins now, unless\n" +
			"--since or --from says otherwise. Who follows while no server answers hears of it, and\n" +
			"goes on right behind the last event when one does. With -o json each line is a\n" +
			"CloudEvent, with -o id the place of one, for --from. What happened may be told again\n" +
			"after a crash: the id of the CloudEvent is the same then.",
		Example: "  rekindle events tail --type ExchangeFailed --type JobParked\n" +
			"  rekindle events tail --since 24h --secret crm --until-now -o json",
	}, noName, func(ctx context.Context, s *session, _ []string) error { return s.tailEvents(ctx, f) })
	c.Flags().StringVar(&f.since, "since", "", "begin with what happened since then: a time like 2026-11-01T00:00:00Z, or how long ago, like 2h")
	c.Flags().StringVar(&f.from, "from", "", "begin right behind this place, as -o id has printed it; 0 is before all")
	c.Flags().StringArrayVar(&f.types, "type", nil, "only events of the type; may be repeated")
	c.Flags().StringArrayVar(&f.secrets, "secret", nil, "only events about the secret, by name or id; may be repeated")
	c.Flags().BoolVar(&f.untilNow, "until-now", false, "end when everything has been told that happened so far")
	c.Flags().IntVarP(&f.most, "limit", "n", 0, "end after so many events")
	r.complete(c, "secret", (*session).secretNames)
	completeFixed(c, "type", eventTypes())
	return c
}

func eventTypes() []string {
	var all []string
	for _, t := range events.EventTypes() {
		all = append(all, string(t))
	}
	return all
}

// eventQuery says what to ask the server for.
func (s *session) eventQuery(ctx context.Context, f tailFlags) (client.EventQuery, error) {
	q := client.EventQuery{Types: f.types, Since: f.since, After: f.from}
	for _, t := range f.types {
		if !slices.Contains(eventTypes(), t) {
			return q, &usageError{fmt.Errorf("--type: there are no events of this type; there are %s", strings.Join(eventTypes(), ", "))}
		}
	}
	switch {
	case f.most < 0:
		return q, &usageError{errors.New("--limit: use a number from 1")}
	case f.untilNow && f.since == "" && f.from == "":
		return q, &usageError{errors.New("--until-now goes with --since or --from: without them it begins now")}
	case f.since != "" && f.from != "":
		return q, &usageError{errors.New("use either --since or --from")}
	}
	if _, err := strconv.ParseUint(f.from, 10, 64); f.from != "" && err != nil {
		return q, &usageError{errors.New("--from: the place of an event is a whole number, as -o id prints it")}
	}
	for _, ref := range f.secrets {
		id, err := s.secretID(ctx, ref)
		if err != nil {
			return q, err
		}
		q.Secrets = append(q.Secrets, id)
	}
	if s.property == "" || len(q.Secrets) > 0 {
		return q, nil
	}
	p, err := s.propertyOf(ctx, s.property)
	q.Properties = []string{p.ID.ID}
	return q, err
}

// errTold: everything was told that was to be.
var errTold = errors.New("told")

// tailEvents tells what happens. To be interrupted is how it ends.
func (s *session) tailEvents(ctx context.Context, f tailFlags) error {
	q, err := s.eventQuery(ctx, f)
	if err != nil {
		return err
	}
	t := &eventTail{session: s, ask: s.client.Events, flags: f, query: q, names: map[string]string{}}
	return t.run(ctx)
}

// run tells what happens until there is no more to tell, ctx has ended, or a question
// fails that it would be no use to repeat.
func (t *eventTail) run(ctx context.Context) error {
	began := time.Now()
	for pause := followPause; ; {
		reached := t.query.After
		err := t.ask(ctx, t.query, func(m client.Message) error { return t.tell(ctx, m) })
		switch {
		case errors.Is(err, errTold), ctx.Err() != nil:
			return nil
		case err != nil && !mayPass(err):
			return err
		case t.query.After != reached:
			pause = followPause
		}
		if err != nil && pause == followPause {
			fmt.Fprintln(t.err, oneLine("what happens meanwhile is told later, for the server cannot be asked: "+brief(err)))
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil
		}
		pause = min(2*pause, mostFollowPause)
		if t.flags.since == "" && t.query.After == "" {
			t.query.Since = time.Since(began).String() // what happens meanwhile, by whichever clock
		}
	}
}

// eventTail is what is told, and up to where.
type eventTail struct {
	*session
	ask   func(context.Context, client.EventQuery, func(client.Message) error) error
	flags tailFlags
	query client.EventQuery
	told  int
	names map[string]string // of secrets, by their ids
}

// tell prints a message. It returns errTold behind the last.
func (t *eventTail) tell(ctx context.Context, m client.Message) error {
	switch m.Type {
	case "":
	case client.MessageGap:
		t.tellGap(m.Data)
	case client.MessagePresent:
		if t.flags.untilNow {
			return errTold
		}
	default:
		if err := t.tellEvent(ctx, m); err != nil {
			return err
		}
		t.told++
	}
	if m.Place != "" {
		t.query.After = m.Place
	}
	if t.flags.most > 0 && t.told >= t.flags.most {
		return errTold
	}
	return nil
}

// tellGap says that there was more.
func (t *eventTail) tellGap(data []byte) {
	var gap struct {
		Reason   string     `json:"reason"`
		Missing  *uint64    `json:"missing_at_most"`
		OldestAt *time.Time `json:"oldest_at"`
	}
	text := "events are missing here: they are not kept any more"
	if json.Unmarshal(data, &gap) == nil {
		if gap.Reason == "set_back" {
			text = "events may be missing here, or come again: the log of the server ends before the place that was asked for"
		}
		if gap.Missing != nil {
			text += fmt.Sprintf("; of all organisations, %d at the most", *gap.Missing)
		}
		if gap.OldestAt != nil {
			text += "; the oldest is of " + gap.OldestAt.UTC().Format(time.RFC3339)
		}
	}
	fmt.Fprintln(t.err, oneLine(text))
}

// happened is what people are told of an event.
type happened struct {
	Subject string    `json:"subject"`
	Time    time.Time `json:"time"`
	Data    struct {
		Secret        string     `json:"secret"`
		Name          string     `json:"name"`
		Action        string     `json:"action"`
		Reason        string     `json:"reason"`
		Detail        string     `json:"detail"`
		By            string     `json:"by"`
		NextAttemptAt *time.Time `json:"next_attempt_at"`
		RefreshAt     *time.Time `json:"refresh_at"`
		WorksUntil    *time.Time `json:"works_until"`
		ExpiresAt     *time.Time `json:"expires_at"`
	} `json:"data"`
}

// tellEvent prints an event on one line.
func (t *eventTail) tellEvent(ctx context.Context, m client.Message) error {
	var e happened
	if err := json.Unmarshal(m.Data, &e); err != nil {
		return errors.New("the server tells of an event in a form that is not known here: it may be of another version")
	}
	switch t.output {
	case outputJSON:
		fmt.Fprintf(t.out, "%s\n", m.Data)
	case outputID:
		fmt.Fprintln(t.out, oneLine(m.Place))
	default:
		printRow(t.out, e.Time.UTC().Format(time.RFC3339), what(m.Type, e.Data.Action), t.nameOf(ctx, e), e.detail())
	}
	return nil
}

// detail says what there is to say of an event besides what it is.
func (e happened) detail() string {
	var said []string
	add := func(prefix, text string) {
		if text != "" {
			said = append(said, prefix+text)
		}
	}
	add("", e.Data.Detail)
	if e.Data.Detail == "" {
		add("", e.Data.Reason)
	}
	next := e.Data.NextAttemptAt
	if next == nil {
		next = e.Data.RefreshAt
	}
	until := e.Data.WorksUntil
	if until == nil {
		until = e.Data.ExpiresAt
	}
	if next != nil {
		add("next at ", next.UTC().Format(time.RFC3339))
	}
	if until != nil {
		add("works until ", until.UTC().Format(time.RFC3339))
	}
	add("by ", e.Data.By)
	return strings.Join(said, "; ")
}

// nameOf is what an event is about: the name of its secret, if it can be known.
func (t *eventTail) nameOf(ctx context.Context, e happened) string {
	id := e.Data.Secret
	switch {
	case id == "":
		return e.Subject
	case e.Data.Name != "":
		t.names[id] = e.Data.Name
	case t.names[id] == "" && secret.ValidID(secret.PrefixSecret, id):
		t.names[id] = id
		if found, err := t.client.Secret(ctx, id); err == nil {
			t.names[id] = found.Attributes.Name
		}
	}
	return t.names[id]
}
