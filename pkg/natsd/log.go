package natsd

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
)

// logger hands the server's log lines to slog. Its notices are of no use to
// the operator of an embedded server, so they are told at the debug level.
type logger struct {
	log *slog.Logger

	mu    sync.Mutex
	fatal error
}

func (l *logger) Noticef(format string, v ...any) { l.log.Debug(say(format, v)) }
func (l *logger) Debugf(format string, v ...any)  { l.log.Debug(say(format, v)) }
func (l *logger) Tracef(format string, v ...any)  { l.log.Debug(say(format, v)) }
func (l *logger) Warnf(format string, v ...any)   { l.log.Warn(say(format, v)) }
func (l *logger) Errorf(format string, v ...any)  { l.log.Error(say(format, v)) }

// Fatalf notes what a server in a process of its own would die of.
func (l *logger) Fatalf(format string, v ...any) {
	l.log.Error(say(format, v))
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fatal == nil {
		l.fatal = errors.New(say(format, v))
	}
}

// failed returns the first thing that Fatalf was told, or nil.
func (l *logger) failed() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fatal
}

func say(format string, v []any) string { return "nats: " + fmt.Sprintf(format, v...) }
