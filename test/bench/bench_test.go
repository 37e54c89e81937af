package main

import (
	"context"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestShort goes through every part with a few secrets, to prove that the bench
// runs and that its counts come out: all that fell due was refreshed, nothing was
// asked for that was not due. It asserts no time.
func TestShort(t *testing.T) {
	t.Parallel()
	program := filepath.Join(t.TempDir(), "rekindle")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "../../cmd/rekindle").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	tables := map[string]int{partFleet: 9, partSeveral: 3, partIntake: 2}
	for part, want := range tables {
		t.Run(part, func(t *testing.T) {
			t.Parallel()
			var out strings.Builder
			o := options{
				program: program, dir: t.TempDir(), parts: []string{part}, progress: t.Output(), profile: true,
				secrets: 2000, rate: 200, steady: 3 * time.Second, listing: time.Second, burst: 500, concurrency: 64,
				bare: time.Second, settle: time.Second, several: 100, upstream: 1000, slow: 200 * time.Millisecond, outage: 1200 * time.Millisecond,
				order: orderRandom, patience: 40 * time.Second,
			}
			ctx, stop := context.WithTimeout(t.Context(), 90*time.Second)
			defer stop()
			if err := run(ctx, o, &out); err != nil {
				t.Fatal(err)
			}
			t.Log(out.String())
			if got := strings.Count(out.String(), "###"); got != want {
				t.Errorf("%d tables were printed, want %d", got, want)
			}
		})
	}
}
