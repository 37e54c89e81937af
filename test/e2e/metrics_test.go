package e2e

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// exposed is what a fleet exposes: the values of each label of each series.
type exposed map[string]map[string][]string

// add adds what the process at addr exposes; job is the label that Prometheus
// will give it.
func (e exposed) add(t *testing.T, job, addr string) {
	t.Helper()
	resp, err := http.Get("http://" + addr + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		body, err := io.ReadAll(resp.Body)
		t.Fatalf("%s: metrics: %s %s %v", job, resp.Status, body, err)
	}
	p := expfmt.NewTextParser(model.UTF8Validation)
	families, err := p.TextToMetricFamilies(resp.Body)
	if err != nil {
		t.Fatalf("%s: %v", job, err)
	}
	for name, f := range families {
		for _, m := range f.Metric {
			for _, series := range seriesOf(name, f.GetType()) {
				e.series(series, job, m.Label)
			}
		}
	}
	e.series("up", job, nil)
}

func (e exposed) series(name, job string, pairs []*dto.LabelPair) {
	values := e[name]
	if values == nil {
		values = map[string][]string{"instance": nil, "le": nil}
		e[name] = values
	}
	values["job"] = append(values["job"], job)
	for _, p := range pairs {
		values[p.GetName()] = append(values[p.GetName()], p.GetValue())
	}
}

// seriesOf returns the names of the series of a metric.
func seriesOf(name string, kind dto.MetricType) []string {
	switch kind {
	case dto.MetricType_HISTOGRAM:
		return []string{name + "_bucket", name + "_sum", name + "_count"}
	case dto.MetricType_SUMMARY:
		return []string{name, name + "_sum", name + "_count"}
	}
	return []string{name}
}

// missing returns what an expression asks for that is not exposed: metrics,
// labels, and values that a label is compared with.
func (e exposed) missing(expr parser.Expr) (problems []string) {
	parser.Inspect(expr, func(n parser.Node, _ []parser.Node) error {
		switch n := n.(type) {
		case *parser.VectorSelector:
			problems = append(problems, e.missingOf(n)...)
		case *parser.AggregateExpr:
			for _, label := range n.Grouping {
				if !e.labelled(n.Expr, label) {
					problems = append(problems, fmt.Sprintf("by (%s): nothing in it has that label: %s", label, n))
				}
			}
		}
		return nil
	})
	return problems
}

func (e exposed) missingOf(s *parser.VectorSelector) (problems []string) {
	have, ok := e[s.Name]
	if !ok {
		return []string{"no process exposes " + s.Name}
	}
	for _, m := range s.LabelMatchers {
		values, ok := have[m.Name]
		switch {
		case m.Name == model.MetricNameLabel:
		case !ok:
			problems = append(problems, fmt.Sprintf("%s has no label %s", s.Name, m.Name))
		case m.Type != labels.MatchRegexp && !slices.Contains(values, m.Value):
			problems = append(problems, fmt.Sprintf("%s has no %s=%q, only %q", s.Name, m.Name, m.Value, slices.Compact(slices.Sorted(slices.Values(values)))))
		}
	}
	return problems
}

// labelled reports whether a metric in the expression has the label.
func (e exposed) labelled(expr parser.Expr, label string) (has bool) {
	parser.Inspect(expr, func(n parser.Node, _ []parser.Node) error {
		if s, ok := n.(*parser.VectorSelector); ok {
			_, found := e[s.Name][label]
			has = has || found
		}
		return nil
	})
	return has
}

// TestMissingIsFound tests the test: it would be worth little if it found nothing.
func TestMissingIsFound(t *testing.T) {
	e := exposed{}
	e.series("jobs_total", "api", []*dto.LabelPair{{Name: new("result"), Value: new("done")}})
	for text, want := range map[string]int{
		`sum by (result) (rate(jobs_total{result="done", job="api"}[5m]))`: 0,
		`jobs_total{result=~"d.*"}`:                                        0,
		`job_total`:                                                        1,
		`jobs_total{outcome="done"}`:                                       1,
		`jobs_total{result!="finished"}`:                                   1,
		`sum by (kind) (jobs_total)`:                                       1,
		`max(jobs_total) > on () (lateness{job="api"} or waiting)`:         2,
	} {
		expr, err := promQL().ParseExpr(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := e.missing(expr); len(got) != want {
			t.Errorf("%s: found %q, want %d", text, got, want)
		}
	}
}
