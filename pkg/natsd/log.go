package natsd

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
)

// logger hands the server's log lines to slog. Its notices are of no use to
// the operator of an embedded server, so they are told at the debug level.
type logger struct {
	log *slog.Logger

	mu    sync.Mutex
	fatal error
	died  chan struct{} // closed when fatal is set
}

func newLogger(log *slog.Logger) *logger { return &logger{log: log, died: make(chan struct{})} }

func (l *logger) Noticef(format string, v ...any) { l.log.Debug(say(format, v)) }
func (l *logger) Debugf(format string, v ...any)  { l.log.Debug(say(format, v)) }
func (l *logger) Tracef(format string, v ...any)  { l.log.Debug(say(format, v)) }

// Warnf passes a warning on, but for that of a password in plain text: ours was
// made at the start and is nowhere but in this process's memory.
func (l *logger) Warnf(format string, v ...any) {
	if !strings.HasPrefix(format, "Plaintext passwords detected") {
		l.log.Warn(say(format, v))
	}
}

// Errorf passes an error on. After one of writing to the store the server
// refuses every further write, also when there is space again, until it is
// started anew: that is fatal, too.
func (l *logger) Errorf(format string, v ...any) {
	if strings.Contains(strings.ToLower(format), "critical write error") {
		l.Fatalf(format, v...)
		return
	}
	l.log.Error(say(format, v))
}

// Fatalf notes what a server in a process of its own would die of.
func (l *logger) Fatalf(format string, v ...any) {
	l.log.Error(say(format, v))
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fatal == nil {
		l.fatal = errors.New(say(format, v))
		close(l.died)
	}
}

// failed returns the first thing that Fatalf was told, or nil.
func (l *logger) failed() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fatal
}

func say(format string, v []any) string { return "nats: " + fmt.Sprintf(format, v...) }
