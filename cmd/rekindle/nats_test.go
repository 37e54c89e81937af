package main

import (
	"io"
	"path/filepath"
	"strings"
	"testing"
)

// TestNATSMisuse: what cannot be done is said before anything is, by what was given.
func TestNATSMisuse(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if code := execute([]string{"nats", "init", dir, "--org", "ORG@One"}, nil, io.Discard, io.Discard); code != 0 {
		t.Fatalf("init ends with %d", code)
	}
	const nowhere = "nats://127.0.0.1:1"
	for name, tc := range map[string]struct {
		args []string
		want string
	}{
		"an organisation twice": {[]string{"init", dir, "--org", "A", "--org", "A"}, `--org: has "A" twice; name each once`},
		"no organisation":       {[]string{"init", dir, "--org", ""}, "--org: empty"},
		"an upstream twice":     {[]string{"init", dir, "--upstream", "a", "--upstream", "a"}, `--upstream: has "a" twice`},
		"an empty upstream":     {[]string{"init", dir, "--upstream", ""}, "--upstream: empty"},
		"nothing initialised": {
			[]string{"setup", filepath.Join(dir, "other"), "--nats-url", nowhere, "--org", "ORG@One"},
			"admin.nk: no such file or directory; run rekindle nats init first",
		},
		"another organisation": {
			[]string{"setup", dir, "--nats-url", nowhere, "--org", "ORG@Two"},
			filepath.Join("ORG=40Two", "reader-admin.nk") + ": no such file or directory; run rekindle nats init first, naming all organisations",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var stderr strings.Builder
			if code := execute(append([]string{"nats"}, tc.args...), nil, io.Discard, &stderr); code != exitUsage {
				t.Errorf("ends with %d, want %d", code, exitUsage)
			}
			if !strings.Contains(stderr.String(), tc.want) || strings.Contains(stderr.String(), "--nats-creds") {
				t.Errorf("says %q, want %q", stderr.String(), tc.want)
			}
		})
	}
}
