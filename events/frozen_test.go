package events_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// frozen lists all golden files and what they hold.
const frozen = "testdata/frozen.txt"

// TestFrozen: what a version has said once, each later one can read. So no golden file
// is edited or removed; what is new has files of its own. -update adds those to the
// list and changes nothing that is on it.
func TestFrozen(t *testing.T) {
	list, err := os.ReadFile(frozen)
	if err != nil {
		t.Fatal(err)
	}
	sums := map[string]string{}
	for line := range strings.Lines(string(list)) {
		sum, path, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "  ")
		sums[path] = sum
	}
	left := maps.Clone(sums)
	for _, pattern := range []string{"testdata/*.golden", "testdata/*.json", "intake/testdata/*.golden"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %d files, error %v", pattern, len(files), err)
		}
		for _, path := range files {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			delete(left, path)
			switch sum := fmt.Sprintf("%x", sha256.Sum256(text)); {
			case sums[path] == "" && *update:
				sums[path] = sum
			case sums[path] == "":
				t.Errorf("%s is not on the list: go test ./events -update adds it", path)
			case sums[path] != sum:
				t.Errorf("%s was edited: what was said once is to be read for ever; what is new has a file of its own", path)
			}
		}
	}
	if len(left) > 0 {
		t.Errorf("removed were %q", slices.Sorted(maps.Keys(left)))
	}
	if !*update {
		return
	}
	var b bytes.Buffer
	for _, path := range slices.Sorted(maps.Keys(sums)) {
		fmt.Fprintf(&b, "%s  %s\n", sums[path], path)
	}
	if err := os.WriteFile(frozen, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}
