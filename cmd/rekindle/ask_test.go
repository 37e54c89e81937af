package main

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
)

// TestReadHidden: of what is piped in only the end of the last line is left out,
// and no error quotes it.
func TestReadHidden(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ in, want, problem string }{
		"a line":              {in: "canary\n", want: "canary"},
		"a line of Windows":   {in: "canary\r\n", want: "canary"},
		"no line":             {in: "canary", want: "canary"},
		"blanks belong to it": {in: " canary \n\n", want: " canary \n"},
		"as long as may be":   {in: strings.Repeat("c", maxHidden), want: strings.Repeat("c", maxHidden)},
		"empty":               {in: "", problem: "the client secret is empty"},
		"an empty line":       {in: "\n", problem: "the client secret is empty"},
		"too long":            {in: strings.Repeat("canary", maxHidden), problem: "longer than 65536 bytes"},
		"not text":            {in: "canary\xff\n", problem: "the client secret is not text"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &session{in: strings.NewReader(tt.in), err: io.Discard}
			got, err := s.readHidden(t.Context(), "client_secret", fromStdin)
			if string(got.Reveal()) != tt.want {
				t.Errorf("read %d bytes, want %d", got.Len(), len(tt.want))
			}
			if tt.problem == "" && err != nil || tt.problem != "" && (err == nil || !strings.HasPrefix(err.Error(), tt.problem) || !isUsage(err)) {
				t.Errorf("the error is %v, want a usage error with %q", err, tt.problem)
			}
			if err != nil && strings.Contains(err.Error(), "canary") {
				t.Errorf("the error shows the value: %v", err)
			}
		})
	}
	s := &session{in: strings.NewReader(""), err: io.Discard}
	if _, err := s.readHidden(t.Context(), "client_secret", "/nowhere/at/all"); err == nil {
		t.Error("read a file that is not there")
	}
}

// TestHearGivesUp: whoever interrupts a question is not kept waiting.
func TestHearGivesUp(t *testing.T) {
	t.Parallel()
	nobody, end := io.Pipe()
	defer end.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := hear(ctx, func() ([]byte, error) { return io.ReadAll(nobody) })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v, want %v", err, context.Canceled)
	}
}
