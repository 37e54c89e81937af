package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/rekindle-dev/rekindle/services/api/client"
)

// fared says what came of a try.
func fared(t client.Try) string {
	switch {
	case t.Problem == "overflow":
		return strconv.Itoa(t.Count) + " were dropped, the oldest first, for too many were waiting"
	case t.Status != 0:
		return "answered " + strconv.Itoa(t.Status)
	default:
		return strings.ReplaceAll(t.Problem, "_", " ")
	}
}

// printTry prints what came of a try. It is an error that the receiver did not take the message.
func (s *session) printTry(of written, t client.Try) error {
	s.print(of, func(w io.Writer) { fmt.Fprintf(w, "%s: %s\n", t.Outcome, fared(t)) })
	if t.Outcome != "delivered" {
		return errors.New("the receiver did not take the message")
	}
	return nil
}

func newCallbackDeliveries(r *remote) *cobra.Command {
	var filter client.DeliveryFilter
	c := r.command(cobra.Command{
		Use:   "deliveries ID",
		Short: "List the tries to tell a callback something",
		Long: "List the tries to tell a callback something, the last first: the last 500, of seven days. How\n" +
			"many messages wait for it, and when the next is due, is told on standard error.",
		Example: "  rekindle callback deliveries CB4f0c…\n" +
			"  rekindle callback deliveries CB4f0c… --outcome failed",
		ValidArgsFunction: r.completion((*session).callbackIDs),
	}, oneCallback, func(ctx context.Context, s *session, args []string) error {
		id, err := callbackID(args)
		if err != nil {
			return err
		}
		tries, standing, err := s.client.Deliveries(ctx, id, filter)
		if err != nil {
			return err
		}
		list, t := make([]written, len(tries)), table{head: []string{"TIME", "EVENT", "ABOUT", "MESSAGE", "TRY", "OUTCOME", "ANSWER", "NEXT"}}
		for i, d := range tries {
			a := d.Attributes
			list[i] = written{d.ID, d.Source}
			t.add(relative(&a.CreatedAt, s.now()), a.TypeOf, a.EntityID, a.MessageID, strconv.Itoa(a.Attempt), a.Outcome, fared(a), relative(a.NextAt, s.now()))
		}
		s.printAll(list, "nothing was sent of late", t.write)
		fmt.Fprintf(s.err, "%d waiting", standing.Waiting)
		if standing.NextAt != nil {
			fmt.Fprintf(s.err, ", the next try %s", relative(standing.NextAt, s.now()))
		}
		fmt.Fprintln(s.err)
		return nil
	})
	c.Flags().StringVar(&filter.Message, "message", "", "only those of the message")
	c.Flags().StringVar(&filter.Entity, "about", "", "only those about what has the id")
	c.Flags().StringVar(&filter.Outcome, "outcome", "", "only those that were delivered, failed or dropped")
	return c
}

func newCallbackRedeliver(r *remote) *cobra.Command {
	return r.command(cobra.Command{
		Use:   "redeliver ID MESSAGE",
		Short: "Send a message again, and say what came of it",
		Long: "Send a message again, at once and once, whatever waits, and say what came of it. Messages are\n" +
			"told by the ids that rekindle callback deliveries lists, and keep them. The exit code is 1 when\n" +
			"the receiver did not take it.",
		Example:           "  rekindle callback redeliver CB4f0c… msg_5b0f…",
		ValidArgsFunction: r.completion((*session).callbackIDs),
	}, positional{2, 2, "one id of a callback and one of a message"}, func(ctx context.Context, s *session, args []string) error {
		id, err := callbackID(args)
		if err != nil {
			return err
		}
		sent, err := s.client.Redeliver(ctx, id, args[1])
		if err != nil {
			return err
		}
		if sent.Meta.Redelivery == nil {
			return errors.New("the server did not say what came of it")
		}
		return s.printTry(written{sent.ID, sent.Source}, *sent.Meta.Redelivery)
	})
}

func newCallbackReplay(r *remote) *cobra.Command {
	var from replayFrom
	var wait bool
	c := r.command(cobra.Command{
		Use:   "replay ID",
		Short: "Tell a callback again what has happened since then",
		Long: "Tell a callback again what the audit trail holds that it is subscribed to, from a time or a\n" +
			"position on. Messages keep their ids: a receiver that remembers those takes what it has not had.\n" +
			"Another replay takes the place of one that is under way; rekindle callback show tells how far\n" +
			"it is.",
		Example: "  rekindle callback replay CB4f0c… --since 2h\n" +
			"  rekindle callback replay CB4f0c… --from 4711 --wait",
		ValidArgsFunction: r.completion((*session).callbackIDs),
	}, oneCallback, func(ctx context.Context, s *session, args []string) error {
		id, err := callbackID(args)
		if err != nil {
			return err
		}
		start, err := from.start(s.now())
		if err != nil {
			return err
		}
		asked, err := s.client.Replay(ctx, id, start)
		if err == nil && wait {
			asked, err = s.awaitReplay(ctx, asked)
		}
		if err != nil {
			return err
		}
		s.printCallback(asked)
		return nil
	})
	c.Flags().StringVar(&from.since, "since", "", "what was written down since then: for how long, like 2h, or a time like 2026-11-01T00:00:00Z")
	c.Flags().Uint64Var(&from.position, "from", 0, "what is in the trail from the position on")
	c.Flags().BoolVar(&wait, "wait", false, "wait until the last message of it was made to be sent")
	return c
}

// replayFrom is from where on is told again.
type replayFrom struct {
	since    string
	position uint64
}

// start returns what the API is told: a position or a time.
func (f replayFrom) start(now time.Time) (client.ReplayStart, error) {
	if (f.since == "") == (f.position == 0) {
		return client.ReplayStart{}, &usageError{errors.New("either --since or --from is required")}
	}
	if f.position > 0 {
		return client.ReplayStart{Position: f.position}, nil
	}
	if ago, err := time.ParseDuration(f.since); err == nil && ago > 0 {
		return client.ReplayStart{Since: now.Add(-ago)}, nil
	}
	at, err := time.Parse(time.RFC3339, f.since)
	if err != nil {
		return client.ReplayStart{}, &usageError{errors.New("--since: write it like 2h or 2026-11-01T00:00:00Z")}
	}
	return client.ReplayStart{Since: at}, nil
}

// awaitReplay asks for a callback until its replay is over, or another takes its place.
func (s *session) awaitReplay(ctx context.Context, c client.Callback) (client.Callback, error) {
	defer s.progress("")
	asked := c.Meta.Replay
	for pause := firstPause; asked != nil && c.Meta.Replay != nil && c.Meta.Replay.Status != "done"; pause = min(2*pause, mostPause) {
		s.progress(replayed(c.Meta.Replay, s.now()))
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return c, ctx.Err()
		}
		var err error
		if c, err = s.client.Callback(ctx, c.ID.ID); err != nil {
			return c, err
		}
		if r := c.Meta.Replay; r == nil || !r.AskedAt.Equal(asked.AskedAt) {
			return c, errors.New("another replay has taken the place of this one")
		}
	}
	return c, nil
}

// replayed says how far a replay is, "" for none.
func replayed(r *client.CallbackReplay, now time.Time) string {
	if r == nil {
		return ""
	}
	from := "from position " + strconv.FormatUint(r.From, 10)
	if r.Since != nil {
		from = "since " + moment(r.Since, now)
	}
	switch r.Status {
	case "running":
		return fmt.Sprintf("%s: at position %d of %d, %d messages", from, r.Position, r.Until, r.Messages)
	case "done":
		return fmt.Sprintf("%s: done, %d messages", from, r.Messages)
	default:
		return from + ": " + r.Status
	}
}
