package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/rekindle-dev/rekindle/pkg/transfer"
)

// The results that an import is told of here; the others are the API's.
const (
	resultFailed  = "failed"
	resultDiffers = "differs"
)

// importReport tells how an import goes, and how it went.
type importReport struct {
	*session
	lines  int // of the file; 0 if nobody knows
	at     int // the last line that is done
	counts map[string]int
	failed int // rows that are not in the fleet as they stand in the file
	said   int // of them

	began, shown time.Time
	first        int // the line that it began behind, by the journal
}

func newImportReport(s *session) *importReport {
	return &importReport{session: s, counts: map[string]int{}, began: s.now()}
}

// mostSaid is how many failed rows people are told of one by one.
const mostSaid = 20

// add tells of a row that is done.
func (r *importReport) add(result transfer.Result) {
	r.at = result.Line
	r.counts[result.Result]++
	if result.Error != "" {
		r.failed++
	}
	switch {
	case r.output == outputJSON:
		line, _ := json.Marshal(result) //nolint:errcheck // it has nothing that cannot be written
		fmt.Fprintf(r.out, "%s\n", line)
	case r.output == outputID && result.ID != "":
		fmt.Fprintln(r.out, result.ID)
	}
	if result.Error != "" && r.output != outputJSON {
		r.complain(result)
	}
	r.show(false)
}

func (r *importReport) complain(result transfer.Result) {
	if r.said++; r.said > mostSaid {
		return
	}
	r.progress("")
	name := ""
	if result.Name != "" {
		name = " (" + oneLine(result.Name) + ")"
	}
	fmt.Fprintf(r.err, "line %d%s: %s\n", result.Line, name, oneLine(result.Error))
	if r.said == mostSaid {
		fmt.Fprintln(r.err, "of the rows that fail from here on, only the number is told: for all of them, use -o json")
	}
}

// How often it is shown how far an import is: on a terminal, and elsewhere.
const (
	showEvery = 200 * time.Millisecond
	sayEvery  = 10 * time.Second
)

// show shows how far the import is.
func (r *importReport) show(end bool) {
	_, screen := terminal(r.err)
	every := sayEvery
	if screen {
		every = showEvery
	}
	now := r.now()
	if since := now.Sub(r.shown); end || r.shown.IsZero() && !screen || since < every {
		if r.shown.IsZero() {
			r.shown = now
		}
		return
	}
	r.shown = now
	if screen {
		r.progress(r.line(now))
		return
	}
	fmt.Fprintln(r.err, r.line(now))
}

// barWidth is how many characters a full bar has.
const barWidth = 24

// line is how far the import is, in a line.
func (r *importReport) line(now time.Time) string {
	text := fmt.Sprintf("%d rows", r.at)
	took := now.Sub(r.began)
	rate := float64(r.at-r.first) / max(took.Seconds(), 1)
	if r.lines > 0 {
		full := min(barWidth, barWidth*r.at/r.lines)
		text = fmt.Sprintf("[%s%s] %d of %d", strings.Repeat("=", full), strings.Repeat(" ", barWidth-full), r.at, r.lines)
	}
	text += fmt.Sprintf(", %.0f/s", rate)
	if left := r.lines - r.at; left > 0 && rate > 0 {
		text += ", " + roughly(time.Duration(float64(left)/rate*float64(time.Second))) + " left"
	}
	if r.failed > 0 {
		text += fmt.Sprintf(", %d failed", r.failed)
	}
	return text
}

// end tells how the import went, all of it or as far as it came.
func (r *importReport) end(all bool) error {
	r.progress("")
	if r.output == outputText {
		var t table
		t.head = []string{"RESULT", "ROWS"}
		for _, result := range []string{"new", "created", "taken_over", "exists", resultDiffers, resultFailed} {
			if n := r.counts[result]; n > 0 {
				t.add(words(result), fmt.Sprint(n))
			}
		}
		t.write(r.out)
	}
	switch {
	case !all:
		fmt.Fprintf(r.err, "stopped behind line %d; to import the same again does no harm\n", r.at)
		return nil
	case r.failed > 0:
		return errors.New(plural(r.failed, "row was", "rows were") + " not imported")
	default:
		return nil
	}
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
