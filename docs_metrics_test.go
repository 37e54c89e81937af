package rekindle_test

import (
	"go/ast"
	"go/token"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/ops"
)

// TestMetricsAreDocumented compares the metrics that the code names with those
// that docs/metrics.md explains, and what that says of alerts with the alerts.
func TestMetricsAreDocumented(t *testing.T) {
	inCode := metricsInCode(t)
	alerting := map[string][]string{}
	for alert, metrics := range alerts(t) {
		for _, m := range metrics {
			alerting[m] = append(alerting[m], alert)
		}
	}
	var documented []string
	for row := range tableRows(readFile(t, "docs/metrics.md")) {
		name := code(row[0])
		if !strings.HasPrefix(name, "rekindle_") {
			continue
		}
		documented = append(documented, name)
		if len(row) != 5 {
			t.Errorf("%s: the row has %d cells, want metric, type, labels, meaning, alerts", name, len(row))
			continue
		}
		if counts := row[1] == "counter"; counts != strings.HasSuffix(name, "_total") {
			t.Errorf("%s is documented as a %s; counters, and no others, end in _total", name, row[1])
		}
		slices.Sort(alerting[name])
		if diff := cmp.Diff(strings.Join(alerting[name], ", "), row[4]); diff != "" {
			t.Errorf("%s: the alerts in deploy/prometheus/rules.yml differ from the documented (-rules +document):\n%s", name, diff)
		}
		delete(alerting, name)
	}
	slices.Sort(documented)
	if diff := cmp.Diff(inCode, documented); diff != "" {
		t.Errorf("metrics (-code +docs/metrics.md):\n%s", diff)
	}
	for name, by := range alerting {
		t.Errorf("%v: there is no metric %s", by, name)
	}
}

// metricsInCode returns the string literals of the product that are names of
// metrics.
func metricsInCode(t *testing.T) []string {
	t.Helper()
	found := map[string]bool{}
	for _, s := range sources(t) {
		ast.Inspect(s.file, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				if text, err := strconv.Unquote(lit.Value); err == nil && metricName.FindString(text) == text && text != "" {
					found[text] = true
				}
			}
			return true
		})
	}
	if len(found) < 10 {
		t.Fatalf("found only %d metrics in the code", len(found))
	}
	return slices.Sorted(maps.Keys(found))
}

var (
	metricName = regexp.MustCompile(`\brekindle_[a-z0-9_]+`)
	alertName  = regexp.MustCompile(`^- alert: (\w+)$`)
)

// alerts returns the alerts with the metrics that each uses. What Prometheus
// makes of a histogram counts as the histogram.
func alerts(t *testing.T) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	alert := ""
	for line := range strings.Lines(readFile(t, "deploy/prometheus/rules.yml")) {
		if m := alertName.FindStringSubmatch(strings.TrimSpace(line)); m != nil {
			alert = m[1]
			all[alert] = nil
		}
		for _, name := range metricName.FindAllString(line, -1) {
			for _, suffix := range []string{"_bucket", "_sum", "_count"} {
				name = strings.TrimSuffix(name, suffix)
			}
			if !slices.Contains(all[alert], name) {
				all[alert] = append(all[alert], name)
			}
		}
	}
	if len(all) == 0 {
		t.Fatal("found no alerts")
	}
	return all
}

// TestRunbooks: each alert has a page, each page has an alert, and the list of
// pages is complete.
func TestRunbooks(t *testing.T) {
	files, err := filepath.Glob("docs/runbooks/Rekindle*.md")
	if err != nil {
		t.Fatal(err)
	}
	var pages []string
	for _, f := range files {
		pages = append(pages, strings.TrimSuffix(filepath.Base(f), ".md"))
	}
	want := slices.Sorted(maps.Keys(alerts(t)))
	if diff := cmp.Diff(want, pages); diff != "" {
		t.Errorf("runbooks (-alerts +docs/runbooks):\n%s", diff)
	}
	list := readFile(t, "docs/runbooks/README.md")
	for _, page := range pages {
		if !strings.Contains(list, "["+page+"]("+page+".md)") {
			t.Errorf("docs/runbooks/README.md does not list %s", page)
		}
	}
}

func TestWarningsAreDocumented(t *testing.T) {
	_, section, _ := strings.Cut(readFile(t, "docs/metrics.md"), "\n## Warnings\n")
	var want, got []string
	for _, w := range events.WarningCodes() {
		want = append(want, string(w))
	}
	for row := range tableRows(section) {
		got = append(got, code(row[0]))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("warnings (-events.WarningCodes +docs/metrics.md):\n%s", diff)
	}
}

func TestReasonsAreDocumented(t *testing.T) {
	_, section, _ := strings.Cut(readFile(t, "docs/metrics.md"), "\n## Reasons\n")
	section, _, _ = strings.Cut(section, "\n## Warnings\n")
	var want []string
	for _, r := range events.Reasons() {
		want = append(want, string(r)+" "+string(r.Verdict()))
	}
	var got []string
	for row := range tableRows(section) {
		got = append(got, code(row[0])+" "+code(row[1]))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("reasons (-events.Reasons +docs/metrics.md):\n%s", diff)
	}
}

func TestLogKeysAreDocumented(t *testing.T) {
	if diff := cmp.Diff(ops.Keys(), firstCells(readFile(t, "docs/logs.md"))); diff != "" {
		t.Errorf("log keys (-ops.Keys +docs/logs.md):\n%s", diff)
	}
}

func firstCells(text string) (cells []string) {
	for row := range tableRows(text) {
		cells = append(cells, code(row[0]))
	}
	return cells
}

// tableRows yields the cells of the table rows that begin with code, which the
// heads of our tables do not.
func tableRows(text string) iter.Seq[[]string] {
	return func(yield func([]string) bool) {
		for line := range outsideFences(text) {
			inner, ok := strings.CutPrefix(line, "| `")
			if !ok {
				continue
			}
			cells := strings.Split(strings.TrimSuffix(strings.TrimSpace("`"+inner), "|"), "|")
			for i := range cells {
				cells[i] = strings.TrimSpace(cells[i])
			}
			if !yield(cells) {
				return
			}
		}
	}
}

// code is the text of a cell that is code, without its marks.
func code(cell string) string { return strings.Trim(cell, "`") }

func readFile(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
