package natsd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

const (
	// firstPause and lastPause bound the growing pause before the server is started
	// anew. One that has served for lastPause begins again with the first.
	firstPause = 250 * time.Millisecond
	lastPause  = 10 * time.Second
	// room is how many bytes the disk must take before the server is started on it
	// again: enough to recover its streams and to serve for a while.
	room = 1 << 20
)

// Run keeps the server up until ctx ends, and returns nil. One that is of no use any
// more is stopped, and started anew when the disk takes writes: at the same address,
// with the same credential, as often as it takes. Up is told when the server
// has gone, with why for people, and when it is back; it must not block.
func (s *Server) Run(ctx context.Context, up func(ok bool, why string)) error {
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		began := time.Now()
		select {
		case <-ctx.Done():
			return nil
		case <-s.log.died:
		}
		failed := time.Now()
		up(false, "the embedded NATS server cannot store anything: see the log")
		s.cfg.Logger.ErrorContext(ctx, "the embedded NATS server has failed and is started anew when its disk takes writes: "+
			"see that it has space and can be written; what is under way waits", "path", s.cfg.StoreDir, "error", s.log.failed())
		s.stop()
		if failed.Sub(began) > lastPause {
			pause = firstPause
		}
		if pause = s.restart(ctx, pause); ctx.Err() != nil {
			return nil
		}
		s.cfg.Logger.InfoContext(ctx, "the embedded NATS server is up again", "took", time.Since(failed))
		up(true, "")
	}
}

// restart starts the server after a pause, again and again until it is up or ctx
// ends, and returns the last pause.
func (s *Server) restart(ctx context.Context, pause time.Duration) time.Duration {
	for ; ; pause = min(2*pause, lastPause) {
		select {
		case <-ctx.Done():
			return pause
		case <-time.After(pause):
		}
		err := writable(s.cfg.StoreDir)
		if err == nil {
			err = s.start(ctx)
		}
		if err == nil {
			return pause
		}
		s.cfg.Logger.WarnContext(ctx, "the embedded NATS server cannot be started yet", "path", s.cfg.StoreDir, "error", err)
	}
}

// writable reports why the disk does not take what a server would write at once. To
// start one there would be of no use, and tear what it finds.
func writable(dir string) error {
	path := filepath.Join(dir, "room")
	err := os.WriteFile(path, bytes.Repeat([]byte{1}, room), 0o600)
	if gone := os.Remove(path); !errors.Is(gone, os.ErrNotExist) {
		err = errors.Join(err, gone)
	}
	if err != nil {
		return fmt.Errorf("the disk takes no writes: %w", err)
	}
	return nil
}
