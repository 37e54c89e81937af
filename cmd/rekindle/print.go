package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/rekindle-dev/rekindle/services/api/client"
)

// The rules of what the commands print: answers go to standard output, whatever
// else there is to say to standard error. Text is for people and may change;
// programs ask for json, which is the server's, or for ids.

// The forms of --output.
const (
	outputText = "text"
	outputJSON = "json"
	outputID   = "id"
)

var outputs = []string{outputText, outputJSON, outputID}

// written is a resource as the server wrote it.
type written struct {
	client.ID
	client.Source
}

// print prints one resource; text is how people see it.
func (s *session) print(w written, text func(io.Writer)) {
	switch s.output {
	case outputJSON:
		s.printJSON(w.JSON)
	case outputID:
		fmt.Fprintln(s.out, w.ID.ID)
	default:
		text(s.out)
	}
}

// printAll prints a list. When it is empty, people are told what to do.
func (s *session) printAll(all []written, empty string, text func(io.Writer)) {
	switch {
	case s.output == outputJSON:
		documents := make([]json.RawMessage, len(all))
		for i, w := range all {
			documents[i] = w.JSON
		}
		list, _ := json.Marshal(documents) //nolint:errcheck // they were decoded from JSON
		s.printJSON(list)
	case s.output == outputID:
		for _, w := range all {
			fmt.Fprintln(s.out, w.ID.ID)
		}
	case len(all) == 0:
		fmt.Fprintln(s.err, empty)
	default:
		text(s.out)
	}
}

func (s *session) printJSON(document json.RawMessage) {
	var indented bytes.Buffer
	_ = json.Indent(&indented, document, "", "  ") //nolint:errcheck // it was decoded before
	fmt.Fprintf(s.out, "%s\n", indented.Bytes())
}

// maxCell is how many characters of a cell are shown: some people choose names
// that would push all else off the screen.
const maxCell = 60

// table is text in columns. A column in which no row has anything is not shown.
type table struct {
	head []string
	rows [][]string
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

func (t *table) write(w io.Writer) {
	shown := make([]bool, len(t.head))
	for _, row := range t.rows {
		for i, cell := range row {
			shown[i] = shown[i] || cell != ""
		}
	}
	tw := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	for _, row := range append([][]string{t.head}, t.rows...) {
		var cells []string
		for i, cell := range row {
			if shown[i] {
				cells = append(cells, clip(oneLine(cell), maxCell))
			}
		}
		fmt.Fprintln(tw, strings.Join(cells, "\t"))
	}
	tw.Flush() //nolint:errcheck // the output keeps it
}

// sheet is what is known of one thing, line by line.
type sheet struct{ lines [][2]string }

// add adds a line unless there is nothing to say.
func (t *sheet) add(what, value string) {
	if value != "" {
		t.lines = append(t.lines, [2]string{what, value})
	}
}

func (t *sheet) write(w io.Writer) {
	tw := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	for _, l := range t.lines {
		fmt.Fprintf(tw, "%s\t%s\n", oneLine(l[0]), oneLine(l[1]))
	}
	tw.Flush() //nolint:errcheck // the output keeps it
}

// oneLine makes text that strangers wrote harmless: a provider's words must not
// move the cursor, nor break the table. Nothing is shown as a dash.
func oneLine(text string) string {
	if text == "" {
		return "-"
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '\uFFFD'
	}, text)
}

// moment is a time for people: exact, and how far away. Nil is "".
func moment(t *time.Time, now time.Time) string {
	if t == nil || t.IsZero() {
		return ""
	}
	return fmt.Sprintf("%s (%s)", t.UTC().Format(time.RFC3339), relative(t, now))
}

// relative says how far away a time is, as exactly as people want to know.
func relative(t *time.Time, now time.Time) string {
	if t == nil || t.IsZero() {
		return ""
	}
	switch away := t.Sub(now).Round(time.Second); {
	case away == 0:
		return "now"
	case away < 0:
		return roughly(-away) + " ago"
	default:
		return "in " + roughly(away)
	}
}

// roughly shortens a duration to its largest unit, or two while the first is
// small. Days are whole ones: nobody is to think that there is more time.
func roughly(d time.Duration) string {
	const day = 24 * time.Hour
	if d = d.Round(time.Second); d < time.Minute {
		return fmt.Sprintf("%d s", d/time.Second)
	}
	if d = d.Round(time.Minute); d < time.Hour {
		return fmt.Sprintf("%d min", d/time.Minute)
	}
	if d < 10*time.Hour {
		return strings.TrimSuffix(fmt.Sprintf("%d h %d min", d/time.Hour, d%time.Hour/time.Minute), " 0 min")
	}
	if d = d.Round(time.Hour); d < 2*day {
		return fmt.Sprintf("%d h", d/time.Hour)
	}
	return fmt.Sprintf("%d d", d/day)
}
