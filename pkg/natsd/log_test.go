package natsd

import (
	"bytes"
	"log/slog"
	"testing"
)

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
