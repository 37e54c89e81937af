package bus

import (
	"errors"
	"sync"
	"time"
)

// slow is after how long without an answer the server counts as away, whatever
// comes then. It is as long as a pull request may be without a word.
const slow = 2 * pullHeartbeat

// steadiness knows since when the server has answered whatever it was asked. It
// is safe for concurrent use.
type steadiness struct {
	mu    sync.Mutex
	since time.Time // with the monotonic clock; zero while there is no connection
}

// Steady is for how long the server has been there without a break, as far as
// this process has noticed, by a clock that nobody sets: 0 while it is not there.
// Whoever was silent for longer than that may have been silent for lack of a
// server, and not because it is dead.
func (b *Bus) Steady() time.Duration {
	b.steady.mu.Lock()
	defer b.steady.mu.Unlock()
	if b.steady.since.IsZero() {
		return 0
	}
	return time.Since(b.steady.since)
}

// connected notes that the connection stands, or has been lost.
func (s *steadiness) connected(stands bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.since = time.Time{}
	if stands {
		s.since = time.Now()
	}
}

// broke notes that the server did not answer. A connection may stand all the same.
func (s *steadiness) broke() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.since.IsZero() {
		s.since = time.Now()
	}
}

// asked notes how a question was answered that was put at the time began.
func (s *steadiness) asked(began time.Time, err error) {
	if errors.Is(err, ErrUnavailable) || time.Since(began) > slow {
		s.broke()
	}
}
