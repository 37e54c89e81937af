package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
)

// TestOutput: what could not be printed is an error, but for a reader who has
// gone, and nothing follows it.
func TestOutput(t *testing.T) {
	t.Parallel()
	gone, pipe, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer pipe.Close()
	if err := gone.Close(); err != nil {
		t.Fatal(err)
	}
	closed, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		to   io.Writer
		want string
	}{
		"read":   {new(bytes.Buffer), ""},
		"gone":   {pipe, ""},
		"closed": {closed, "the answer is lost: write "},
	} {
		o := &output{to: tt.to}
		fmt.Fprintln(o, "one")
		first := o.err
		fmt.Fprintln(o, "two")
		got := ""
		if err := o.lost(); err != nil {
			got = err.Error()
		}
		if o.err != first || tt.want == "" && got != "" || !strings.HasPrefix(got, tt.want) {
			t.Errorf("%s: the error is %q, want %q", name, got, tt.want)
		}
	}
}

// TestLostOutputIsAnExitCode, also of what is no command of a server.
func TestLostOutputIsAnExitCode(t *testing.T) {
	t.Parallel()
	r, w := io.Pipe()
	if err := r.CloseWithError(io.ErrShortWrite); err != nil {
		t.Fatal(err)
	}
	for _, args := range []string{"help", "exit-codes --help", "--version", "completion bash", "secret"} {
		var stderr bytes.Buffer
		code := execute(strings.Fields(args), strings.NewReader(""), w, &stderr)
		if want := "rekindle: the answer is lost: short write\n"; code != exitFailed || stderr.String() != want {
			t.Errorf("rekindle %s ended with %d and %q, want %d and %q", args, code, stderr.String(), exitFailed, want)
		}
	}
}
