package natsd

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
)

// After a failed write the server refuses all others until it is started anew,
// so whoever runs it has to hear of it.
func TestAServerThatCannotWriteIsOver(t *testing.T) {
	t.Parallel()
	s, err := Start(t.Context(), Config{StoreDir: t.TempDir(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	}()
	ended, end := context.WithCancel(t.Context())
	end()
	if err := s.Wait(ended); err != nil {
		t.Errorf("a server that was asked to stop: %v", err)
	}
	// As the server says it.
	s.ns.Errorf("JetStream stream '%s > %s' critical write error: %v", "$G", "KV_state", "no space left on device")
	if err := s.Wait(t.Context()); err == nil || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("a server that cannot write: %v", err)
	}
}

func TestOurPasswordIsNoNews(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	s, err := Start(t.Context(), Config{StoreDir: t.TempDir(), Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Stop(); err != nil {
		t.Error(err)
	}
	if log.Len() > 0 {
		t.Errorf("a start and a stop say\n%s", log.String())
	}
}
