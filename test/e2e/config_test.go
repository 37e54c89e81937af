package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/rekindle-dev/rekindle/pkg/secret"
)

// probe is a field that no configuration has.
const probe = "no-such-field"

// TestExampleIsComplete asks the program itself which fields there are: it is
// given the example with an unknown field in every mapping, and names the known
// ones in its answer. That it complains of nothing else shows that the example
// is valid.
func TestExampleIsComplete(t *testing.T) {
	var doc yaml.Node
	if err := yaml.Unmarshal(readFile(t, inRepository(t, "deploy/config/rekindle.yaml")), &doc); err != nil {
		t.Fatal(err)
	}
	fields := map[string]string{} // of each mapping, by its path
	addProbes(doc.Content[0], "", fields)
	probed, err := yaml.Marshal(&doc)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "rekindle.yaml")
	if err := os.WriteFile(path, probed, 0o600); err != nil {
		t.Fatal(err)
	}
	out, code, err := runProgram(t.Context(), "serve", "--config", path)
	if err != nil || code == 0 {
		t.Fatalf("the probed example was accepted: %d, %v\n%s", code, err, out)
	}
	known := map[string]string{}
	for line := range strings.Lines(strings.TrimPrefix(out, "rekindle: ")) {
		at, list, ok := strings.Cut(strings.TrimSpace(line), `unknown field "`+probe+`", want one of `)
		switch {
		case ok:
			at = regexp.MustCompile(`^.*?:\d+:\d+: `).ReplaceAllString(at, "")
			known[strings.TrimSuffix(at, ": ")] = list
		case !strings.Contains(line, "windows."+probe+": "): // by kind, its names are not fields
			t.Errorf("the example is not valid: %s", line)
		}
	}
	delete(fields, "windows")
	if diff := cmp.Diff(known, fields); diff != "" {
		t.Errorf("the example has not the fields of the program (-program +example):\n%s", diff)
	}
}

func addProbes(n *yaml.Node, path string, fields map[string]string) {
	if n.Kind != yaml.MappingNode {
		return
	}
	var names []string
	for i := 0; i < len(n.Content); i += 2 {
		name := n.Content[i].Value
		names = append(names, name)
		addProbes(n.Content[i+1], strings.TrimPrefix(path+"."+name, "."), fields)
	}
	slices.Sort(names)
	fields[path] = strings.Join(names, ", ")
	n.Content = append(n.Content,
		&yaml.Node{Kind: yaml.ScalarNode, Value: probe}, &yaml.Node{Kind: yaml.ScalarNode, Value: "0"})
}

// TestExampleHasTheDefaultWindows checks what the example says of itself.
func TestExampleHasTheDefaultWindows(t *testing.T) {
	var file struct {
		Windows map[secret.Kind]struct {
			MinValidity   time.Duration `yaml:"min_validity"`
			MinInterval   time.Duration `yaml:"min_interval"`
			DefaultOffset time.Duration `yaml:"default_offset"`
			Jitter        time.Duration `yaml:"jitter"`
		}
	}
	if err := yaml.Unmarshal(readFile(t, inRepository(t, "deploy/config/rekindle.yaml")), &file); err != nil {
		t.Fatal(err)
	}
	got := secret.Policy{}
	for kind, w := range file.Windows {
		got[kind] = secret.Window(w)
	}
	if diff := cmp.Diff(secret.DefaultPolicy(), got); diff != "" {
		t.Errorf("its windows are not the defaults (-default +example):\n%s", diff)
	}
}
