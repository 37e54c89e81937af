package e2e

import (
	"encoding/json"
	"log/slog"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"go.yaml.in/yaml/v3"
)

// Where the containers of Prometheus and Grafana find what is mounted.
const (
	prometheusDir = "/etc/prometheus"
	grafanaDir    = "/etc/grafana"
)

// promQL is what Prometheus understands without feature flags.
func promQL() parser.Parser { return parser.NewParser(parser.Options{}) }

// query is a PromQL expression of ours and where it stands.
type query struct {
	where string
	expr  parser.Expr
}

// rules returns the alerting rules.
func rules(t *testing.T) []rulefmt.Rule {
	t.Helper()
	var warnings strings.Builder
	log := slog.New(slog.NewTextHandler(&warnings, nil))
	groups, errs := rulefmt.ParseFile(inRepository(t, "deploy/prometheus/rules.yml"), false, model.UTF8Validation, promQL(), log)
	for _, err := range errs {
		t.Error(err)
	}
	if warnings.Len() > 0 {
		t.Error(warnings.String())
	}
	var all []rulefmt.Rule
	if groups != nil {
		for _, g := range groups.Groups {
			all = append(all, g.Rules...)
		}
	}
	if len(all) == 0 {
		t.Fatal("there are no rules")
	}
	return all
}

func TestAlertsSayWhatTheyMean(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range rules(t) {
		if seen[r.Alert] {
			t.Errorf("%s: there are two", r.Alert)
		}
		seen[r.Alert] = true
		if !slices.Contains([]string{"warning", "critical"}, r.Labels["severity"]) {
			t.Errorf("%s: severity is %q, want warning or critical", r.Alert, r.Labels["severity"])
		}
		if r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
			t.Errorf("%s: wants a summary and a description", r.Alert)
		}
	}
}

// scrape is what Prometheus is told to scrape.
type scrape struct {
	Services []string
	Port     int
}

// prometheusConfig returns what Prometheus scrapes, and the files of rules it
// reads as paths in its container.
func prometheusConfig(t *testing.T) (scrapes []scrape, ruleFiles []string) {
	t.Helper()
	var cfg struct {
		RuleFiles []string `yaml:"rule_files"`
		Scrapes   []struct {
			DNS []struct {
				Names []string
				Type  string
				Port  int
			} `yaml:"dns_sd_configs"`
			Relabel []struct {
				From []string `yaml:"source_labels"`
				To   string   `yaml:"target_label"`
			} `yaml:"relabel_configs"`
		} `yaml:"scrape_configs"`
	}
	if err := yaml.Unmarshal(readFile(t, inRepository(t, "deploy/prometheus/prometheus.yml")), &cfg); err != nil {
		t.Fatal(err)
	}
	for _, s := range cfg.Scrapes {
		// The rules and dashboards know a process by its service.
		if len(s.Relabel) != 1 || !slices.Equal(s.Relabel[0].From, []string{"__meta_dns_name"}) || s.Relabel[0].To != "job" {
			t.Errorf("prometheus.yml: relabels by %+v, want the name looked up as the job", s.Relabel)
		}
		for _, d := range s.DNS {
			if d.Type != "A" { // anything else has a port of its own
				t.Errorf("prometheus.yml: looks up %s records, want A", d.Type)
			}
			scrapes = append(scrapes, scrape{d.Names, d.Port})
		}
	}
	if len(scrapes) == 0 {
		t.Fatal("prometheus.yml scrapes nothing")
	}
	for _, f := range cfg.RuleFiles {
		if !filepath.IsAbs(f) {
			f = filepath.Join(prometheusDir, f)
		}
		ruleFiles = append(ruleFiles, f)
	}
	return scrapes, ruleFiles
}

// TestPrometheusConfig checks that every process of the fleet is scraped at a
// port it listens on, and that the rules are read.
func TestPrometheusConfig(t *testing.T) {
	c := loadCompose(t)
	scrapes, ruleFiles := prometheusConfig(t)
	var scraped []string
	for _, s := range scrapes {
		for _, name := range s.Services {
			c.reaches(t, "prometheus", name, strconv.Itoa(s.Port))
			scraped = append(scraped, name)
		}
	}
	var serving []string
	for name, s := range c.ours() {
		if s.Command[0] == "serve" {
			serving = append(serving, name)
		}
	}
	slices.Sort(scraped)
	slices.Sort(serving)
	if diff := cmp.Diff(serving, scraped); diff != "" {
		t.Errorf("not what serves is scraped (-serving +scraped):\n%s", diff)
	}
	mounts := c.mounts(c.Services["prometheus"])
	var read []string
	for _, f := range ruleFiles {
		target, rest, _ := within(mounts, f)
		read = append(read, mounts[target]+rest)
	}
	if diff := cmp.Diff([]string{inRepository(t, "deploy/prometheus/rules.yml")}, read); diff != "" {
		t.Errorf("the rules are not read (-want +got):\n%s", diff)
	}
}

// dashboard is a dashboard of Grafana, as far as these tests look.
type dashboard struct {
	UID, Title string
	Panels     []struct {
		ID          int
		Title       string
		Description string
		Datasource  struct{ Type, UID string }
		GridPos     struct{ X, Y, W, H int }
		Targets     []struct{ RefID, Expr string }
	}
}

// dashboards returns the dashboards, by file name.
func dashboards(t *testing.T) map[string]dashboard {
	t.Helper()
	files, err := filepath.Glob(inRepository(t, "deploy/grafana/dashboards/*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("there are no dashboards: %v", err)
	}
	all := map[string]dashboard{}
	for _, f := range files {
		var d dashboard
		if err := json.Unmarshal(readFile(t, f), &d); err != nil {
			t.Fatalf("%s: %v", f, err)
		}
		all[filepath.Base(f)] = d
	}
	return all
}

func TestDashboards(t *testing.T) {
	source := datasource(t)
	for name, d := range dashboards(t) {
		if d.UID == "" || d.Title == "" || len(d.Panels) == 0 {
			t.Errorf("%s: wants a uid, a title and panels", name)
		}
		taken := map[[2]int]string{} // cells of the grid
		ids := map[int]bool{}
		for _, p := range d.Panels {
			if p.Title == "" || p.Description == "" || len(p.Targets) == 0 {
				t.Errorf("%s: panel %q wants a title, a description and queries", name, p.Title)
			}
			if p.Datasource.UID != source.UID || p.Datasource.Type != source.Type {
				t.Errorf("%s: panel %q asks %+v, which is not provisioned", name, p.Title, p.Datasource)
			}
			if ids[p.ID] {
				t.Errorf("%s: two panels have the id %d", name, p.ID)
			}
			ids[p.ID] = true
			for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
				for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
					if other := taken[[2]int{x, y}]; other != "" || x >= 24 {
						t.Fatalf("%s: panel %q lies on %q or beyond the edge", name, p.Title, other)
					}
					taken[[2]int{x, y}] = p.Title
				}
			}
		}
	}
}

// provisioned is the data source that Grafana is given.
type provisioned struct{ UID, Type, URL string }

func datasource(t *testing.T) provisioned {
	t.Helper()
	var cfg struct{ Datasources []provisioned }
	if err := yaml.Unmarshal(readFile(t, inRepository(t, "deploy/grafana/provisioning/datasources/prometheus.yaml")), &cfg); err != nil {
		t.Fatal(err)
	}
	if len(cfg.Datasources) != 1 {
		t.Fatalf("Grafana is given %d data sources, want one", len(cfg.Datasources))
	}
	return cfg.Datasources[0]
}

func TestGrafanaProvisioning(t *testing.T) {
	c := loadCompose(t)
	m := address.FindStringSubmatch(datasource(t).URL)
	if m == nil {
		t.Fatalf("the data source is at %q, want host:port", datasource(t).URL)
	}
	c.reaches(t, "grafana", m[1], m[2])

	var cfg struct {
		Providers []struct{ Options struct{ Path string } }
	}
	if err := yaml.Unmarshal(readFile(t, inRepository(t, "deploy/grafana/provisioning/dashboards/rekindle.yaml")), &cfg); err != nil {
		t.Fatal(err)
	}
	mounts := c.mounts(c.Services["grafana"])
	for _, p := range cfg.Providers {
		if got, want := mounts[p.Options.Path], inRepository(t, "deploy/grafana/dashboards"); got != want {
			t.Errorf("dashboards are read from %s, which is %q, want %s", p.Options.Path, got, want)
		}
	}
	if got, want := mounts[grafanaDir+"/provisioning"], inRepository(t, "deploy/grafana/provisioning"); got != want {
		t.Errorf("%s/provisioning, where Grafana looks, is %q, want %s", grafanaDir, got, want)
	}
	if got, want := mounts[prometheusDir], inRepository(t, "deploy/prometheus"); c.mounts(c.Services["prometheus"])[prometheusDir] != want {
		t.Errorf("%s, where Prometheus looks, is %q, want %s", prometheusDir, got, want)
	}
}

// queries returns every expression of the rules and the dashboards.
func queries(t *testing.T) []query {
	t.Helper()
	var all []query
	add := func(where, text string) {
		expr, err := promQL().ParseExpr(text)
		if err != nil {
			t.Errorf("%s: %v", where, err)
			return
		}
		all = append(all, query{where, expr})
	}
	for _, r := range rules(t) {
		add(r.Alert, r.Expr)
	}
	for name, d := range dashboards(t) {
		for _, p := range d.Panels {
			for _, target := range p.Targets {
				// Grafana's own variable, for a range of four scrapes.
				add(name+": "+p.Title, strings.ReplaceAll(target.Expr, "$__rate_interval", "1m"))
			}
		}
	}
	return all
}

func TestQueriesAreUnderstood(t *testing.T) {
	if len(queries(t)) < 20 {
		t.Error("found fewer than 20 queries: are they read rightly?")
	}
}
