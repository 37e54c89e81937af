// Package golden holds the form of messages still, for tests: a golden file is the
// header of one, a blank line and its body.
package golden

import (
	"bytes"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

// Check compares what is written with a golden file, which it writes first if that is
// to be updated.
func Check(t testing.TB, path string, got []byte, update bool) {
	t.Helper()
	if update {
		if err := os.WriteFile(path, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s:\ngot\n%s\nwant\n%s", path, got, want)
	}
}

// Format writes a message as text, its headers in order of their names.
func Format(header map[string][]string, body []byte) []byte {
	var b bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(header)) {
		for _, value := range header[name] {
			b.WriteString(name + ": " + value + "\n")
		}
	}
	b.WriteString("\n")
	b.Write(body)
	b.WriteString("\n")
	return b.Bytes()
}

// Parse is the reverse of [Format].
func Parse(t testing.TB, text string) (header map[string][]string, body []byte) {
	t.Helper()
	head, rest, ok := strings.Cut(text, "\n\n")
	if !ok {
		t.Fatalf("no blank line in\n%s", text)
	}
	header = map[string][]string{}
	for line := range strings.Lines(head) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		header[name] = append(header[name], value)
	}
	return header, []byte(strings.TrimSuffix(rest, "\n"))
}
