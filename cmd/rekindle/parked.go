package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/services/api/client"
)

func newParked() *cobra.Command {
	return group(cobra.Command{
		Use:   "parked",
		Short: "See, requeue and discard messages that were set aside",
		Long: "See, requeue and discard messages that were set aside, because nobody could make\n" +
			"sense of them or bring them to an end. They are told by their number. Bodies are not\n" +
			"shown: nobody knows what is in them.",
	}, func(c *cobra.Command, r *remote) {
		r.bindProperty(c)
		c.AddCommand(newParkedList(r), newParkedShow(r), newParkedRequeue(r), newParkedDiscard(r))
	})
}

// selection chooses parked messages.
type selection struct{ secret, lane, reason string }

func (sel *selection) bind(r *remote, c *cobra.Command) {
	c.Flags().StringVar(&sel.secret, "secret", "", "only those about the secret, by name or id")
	c.Flags().StringVar(&sel.lane, "lane", "", "only those from the lane, like job")
	c.Flags().StringVar(&sel.reason, "reason", "", "only those whose reason contains this text")
	r.complete(c, "secret", (*session).secretNames)
	completeFixed(c, "lane", []string{"job"})
}

func (sel *selection) set() bool { return *sel != selection{} }

// parked lists what is selected, oldest first. The server filters by what can be
// said to it; the rest is done here.
func (s *session) parked(ctx context.Context, sel selection) ([]client.ParkedMessage, error) {
	about := sel.secret
	if about != "" && !secret.ValidID(secret.PrefixSecret, about) { // one that is gone has no name
		found, err := s.secretOf(ctx, about)
		if err != nil {
			return nil, err
		}
		about = found.ID.ID
	}
	all, err := s.client.ParkedMessages(ctx, client.Filter{"secret_id": about, "lane": sel.lane})
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(m client.ParkedMessage) bool {
		return sel.lane != "" && m.Attributes.Lane != sel.lane ||
			!strings.Contains(strings.ToLower(m.Attributes.Reason), strings.ToLower(sel.reason))
	})
	slices.Reverse(all)
	return all, nil
}

func newParkedList(r *remote) *cobra.Command {
	var sel selection
	c := r.command(cobra.Command{
		Use:   "list",
		Short: "List parked messages, oldest first",
		Example: "  rekindle parked list\n" +
			"  rekindle parked list --secret crm --reason 'unknown event type'",
	}, noName, func(ctx context.Context, s *session, _ []string) error {
		all, err := s.parked(ctx, sel)
		if err != nil {
			return err
		}
		nothing := "nothing is parked"
		if sel.set() {
			nothing = "nothing of the kind is parked"
		}
		s.printParked(all, nothing)
		return nil
	})
	sel.bind(r, c)
	return c
}

func (s *session) printParked(all []client.ParkedMessage, nothing string) {
	t := table{head: []string{"NUMBER", "PARKED", "LANE", "TYPE", "SECRET", "REASON"}}
	for _, m := range all {
		a := m.Attributes
		t.add(m.ID.ID, relative(&a.ParkedAt, s.now()), a.Lane, a.TypeOf, a.SecretID, a.Reason)
	}
	s.printAll(writtenParked(all), nothing, t.write)
}

func writtenParked(all []client.ParkedMessage) []written {
	list := make([]written, len(all))
	for i, m := range all {
		list[i] = written{m.ID, m.Source}
	}
	return list
}

// oneNumber is the argument of commands for one parked message.
var oneNumber = positional{1, 1, "one number"}

func newParkedShow(r *remote) *cobra.Command {
	return r.command(cobra.Command{
		Use:               "show NUMBER",
		Short:             "Show a parked message",
		Long:              "Show a parked message: why and when it was parked, what its header says, and the\nsize and the members of its body, without their values.",
		Example:           "  rekindle parked show 17",
		ValidArgsFunction: r.completion((*session).parkedNumbers),
	}, oneNumber, func(ctx context.Context, s *session, args []string) error {
		m, err := s.client.ParkedMessage(ctx, args[0])
		if err != nil {
			return notParked(args[0], err)
		}
		s.printParkedMessage(m)
		return nil
	})
}

// notParked is missing for a message: that there is none any more is how most end.
func notParked(id string, err error) error {
	if coded, ok := errors.AsType[*codedError](missing("parked message", id, err)); ok {
		return &codedError{coded.code, fmt.Errorf("%w; it may have been requeued or discarded already", coded.err)}
	}
	return err
}

func (s *session) printParkedMessage(m client.ParkedMessage) {
	s.print(written{m.ID, m.Source}, func(w io.Writer) {
		a := m.Attributes
		var t sheet
		t.add("number", m.ID.ID)
		t.add("reason", a.Reason)
		t.add("parked", moment(&a.ParkedAt, s.now()))
		if a.Deliveries != nil {
			t.add("deliveries", strconv.Itoa(*a.Deliveries))
		}
		t.add("lane", a.Lane)
		t.add("secret", a.SecretID)
		t.add("organisation", a.OrgID)
		t.add("type", a.TypeOf)
		t.add("id", a.MessageID)
		t.add("source", a.Source)
		t.add("made", moment(a.CreatedAt, s.now()))
		t.add("trace", a.Traceparent)
		t.add("body", fmt.Sprintf("%d bytes", a.BodySize))
		t.add("members", kinds(a.BodyMembers))
		t.write(w)
	})
}

// kinds writes the kinds of members behind their names.
func kinds(members map[string]string) string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(members)) {
		list = append(list, name+" ("+members[name]+")")
	}
	return strings.Join(list, ", ")
}

func newParkedRequeue(r *remote) *cobra.Command {
	return r.dealing("requeue", "requeued", cobra.Command{
		Use:   "requeue [NUMBER]",
		Short: "Give the secret of a parked message a new job",
		Long: "Give the secret of a parked message a new job, and delete the message. What is to be\n" +
			"done is planned anew from the secret's record. A secret that has a job already,\n" +
			"queued or being worked on, gets no other: its messages are left.",
		Example: "  rekindle parked requeue 17\n" +
			"  rekindle parked requeue --all --reason 'panicked'",
	}, func(ctx context.Context, s *session, id string) error {
		_, err := s.client.Requeue(ctx, id)
		return err
	})
}

func newParkedDiscard(r *remote) *cobra.Command {
	return r.dealing("discard", "discarded", cobra.Command{
		Use:   "discard [NUMBER]",
		Short: "Delete a parked message",
		Long:  "Delete a parked message for good. With the last one about a secret, what is due for it is offered again.",
		Example: "  rekindle parked discard 17\n" +
			"  rekindle parked discard --all --secret crm",
	}, func(ctx context.Context, s *session, id string) error {
		return s.client.Discard(ctx, id)
	})
}

// dealing makes a command that does something to one parked message, or to all
// that are selected.
func (r *remote) dealing(verb, done string, c cobra.Command, do func(context.Context, *session, string) error) *cobra.Command {
	var sel selection
	var all, yes bool
	c.ValidArgsFunction = r.completion((*session).parkedNumbers)
	made := r.command(c, positional{0, 1, "one number, or --all"}, func(ctx context.Context, s *session, args []string) error {
		d := deal{s: s, verb: verb, done: done, do: func(ctx context.Context, id string) error { return do(ctx, s, id) }}
		switch {
		case all == (len(args) == 1):
			return &usageError{errors.New("name the number of a message, or say --all")}
		case !all && sel.set():
			return &usageError{errors.New("--secret, --lane and --reason go with --all")}
		case !all:
			return d.one(ctx, args[0])
		}
		return d.all(ctx, sel, yes)
	})
	made.Flags().BoolVar(&all, "all", false, "all parked messages, or those that the other flags select")
	sel.bind(r, made)
	bindYes(made, &yes)
	return made
}

// deal is something that is done to parked messages.
type deal struct {
	s          *session
	verb, done string // what it is called
	do         func(ctx context.Context, id string) error
}

// one prints the message as it was.
func (d *deal) one(ctx context.Context, id string) error {
	m, err := d.s.client.ParkedMessage(ctx, id)
	if err == nil {
		err = d.do(ctx, id)
	}
	if err != nil {
		return notParked(id, err)
	}
	d.print([]client.ParkedMessage{m})
	return nil
}

// all goes on when a message is refused, and says so; one that somebody else has
// dealt with meanwhile does not count.
func (d *deal) all(ctx context.Context, sel selection, yes bool) error {
	found, err := d.s.parked(ctx, sel)
	if err != nil {
		return err
	}
	if err := d.s.confirm(ctx, yes || len(found) == 0, d.verb+" "+count(len(found))+"?"); err != nil {
		return err
	}
	var dealt []client.ParkedMessage
	left := 0
	for _, m := range found {
		err := d.do(ctx, m.ID.ID)
		answer, answered := errors.AsType[*client.Error](err)
		switch {
		case err == nil:
			dealt = append(dealt, m)
		case answered && answer.Status == http.StatusNotFound:
		case answered && (answer.Status == http.StatusConflict || answer.Status == http.StatusUnprocessableEntity):
			left++
			fmt.Fprintf(d.s.err, "%s: %s\n", m.ID.ID, oneLine(err.Error()))
		default:
			d.print(dealt)
			return err
		}
	}
	d.print(dealt)
	if left > 0 {
		return &codedError{exitRefused, fmt.Errorf("%s left", count(left))}
	}
	return nil
}

func (d *deal) print(dealt []client.ParkedMessage) {
	d.s.printAll(writtenParked(dealt), count(0)+" "+d.done, func(w io.Writer) {
		fmt.Fprintln(w, count(len(dealt)), d.done)
	})
}

func count(messages int) string {
	if messages == 1 {
		return "1 message"
	}
	return fmt.Sprintf("%d messages", messages)
}

func (s *session) parkedNumbers(ctx context.Context) ([]called, error) {
	all, err := s.client.ParkedMessages(ctx, nil)
	return callAll(all, func(m client.ParkedMessage) called {
		return called{m.ID.ID, m.ID.ID, m.Attributes.Reason}
	}), err
}
