package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/services/api/client"
)

func newSecretTimeline(r *remote) *cobra.Command {
	var follow bool
	c := r.command(cobra.Command{
		Use:   "timeline NAME",
		Short: "Tell what happened to a secret",
		Long: "Say why a secret is as it is and when it will work again, and tell what happened to\n" +
			"it within the last 30 days, oldest first: every attempt, change and test, and who\n" +
			"asked for it. A deleted secret is named by its id. With --follow -o json each entry is\n" +
			"a document of its own. Who follows it while no server answers hears of it, and goes on\n" +
			"when one does.",
		Example: "  rekindle secret timeline crm\n" +
			"  rekindle secret timeline crm --follow",
		ValidArgsFunction: r.completion((*session).secretNames),
	}, oneRef, func(ctx context.Context, s *session, args []string) error {
		id, err := s.secretID(ctx, args[0])
		if err != nil {
			return err
		}
		return s.showTimeline(ctx, id, follow)
	})
	c.Flags().BoolVarP(&follow, "follow", "f", false, "go on with what happens, until the secret is deleted")
	return c
}

// secretID returns the id of the secret that is called ref. The server looks
// whether an id is right: the secret may be deleted.
func (s *session) secretID(ctx context.Context, ref string) (string, error) {
	if secret.ValidID(secret.PrefixSecret, ref) {
		return ref, nil
	}
	found, err := s.secretOf(ctx, ref)
	return found.ID.ID, err
}

// showTimeline prints a time-line, and what comes to it if it is to be followed.
// To be interrupted, or that the secret is deleted, is how following ends.
func (s *session) showTimeline(ctx context.Context, id string, follow bool) error {
	line, err := s.client.Timeline(ctx, id, "")
	if err != nil {
		return missing("secret", id, err)
	}
	switch {
	case s.output == outputText || !follow:
		s.printTimeline(line.Explanation, line.Entries)
	default:
		s.printEach(line.Entries)
	}
	if !follow {
		return nil
	}
	f := follower{
		ask: func(ctx context.Context, after string) (client.Timeline, error) {
			return s.client.Timeline(ctx, id, after)
		},
		tell: s.printEach,
		note: func(text string) { fmt.Fprintln(s.err, oneLine(text)) },
	}
	return missing("secret", id, f.run(ctx, line))
}

// printTimeline prints a time-line as a whole.
func (s *session) printTimeline(explanation string, entries []client.TimelineEntry) {
	list := make([]written, len(entries))
	for i, e := range entries {
		list[i] = written{e.ID, e.Source}
	}
	if s.output == outputText {
		fmt.Fprintf(s.out, "%s\n\n", oneLine(explanation))
	}
	s.printAll(list, "nothing is remembered of it: what happened is kept for 30 days", func(w io.Writer) {
		printRow(w, "TIME", "WHAT", "BY", "DETAIL")
		for _, e := range entries {
			printEntry(w, e)
		}
	})
}

// printEach prints entries one by one.
func (s *session) printEach(entries []client.TimelineEntry) {
	for _, e := range entries {
		s.print(written{e.ID, e.Source}, func(w io.Writer) { printEntry(w, e) })
	}
}

func printEntry(w io.Writer, e client.TimelineEntry) {
	a := e.Attributes
	var detail []string
	if a.Detail != "" {
		detail = append(detail, a.Detail)
	}
	if a.NextAttemptAt != nil {
		detail = append(detail, "next at "+a.NextAttemptAt.UTC().Format(time.RFC3339))
	}
	if a.WorksUntil != nil {
		detail = append(detail, "works until "+a.WorksUntil.UTC().Format(time.RFC3339))
	}
	printRow(w, a.At.UTC().Format(time.RFC3339), what(a.Event, a.Action), a.By, strings.Join(detail, "; "))
}

// printRow prints a line of columns whose widths do not depend on what comes
// later.
func printRow(w io.Writer, when, what, by, detail string) {
	fmt.Fprintf(w, "%-20s   %-22s   %-24s   %s\n", oneLine(when), oneLine(what), oneLine(by), oneLine(detail))
}

// what writes the type of an event in words, of an exchange by what it was made
// for: "refresh failed".
func what(event, action string) string {
	var b strings.Builder
	for i, r := range event {
		if unicode.IsUpper(r) && i > 0 {
			b.WriteByte(' ')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	words := b.String()
	if rest, ok := strings.CutPrefix(words, "exchange "); ok && action != "" {
		return action + " " + rest
	}
	return words
}
