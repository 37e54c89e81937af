package bus

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rekindle-dev/rekindle/pkg/state"
)

const (
	// measureEvery is how often this machine's clock is held against the server's.
	measureEvery = 10 * time.Second
	// measurements are how many are made at the start; each can only make the last
	// more exact.
	measurements = 3
	// offWarning and offError are how far a clock may be off before it is said.
	offWarning = time.Second
	offError   = 10 * time.Second
	// maxStill is for how long the clock of the fleet stands still at most, so as not to
	// go back when the server's is set back. By more than that it does go back.
	maxStill = time.Minute
)

var errNoTime = errors.New("the server does not say what time it is")

// clock is the clock of the fleet: that of the server, as whoever leads the stream of
// the state tells it. All processes agree on it to within half a round trip, whatever
// the clocks of their machines say, and it does not jump when one of those is set: from
// one measurement to the next it goes by the monotonic clock. It is safe for concurrent
// use.
type clock struct {
	local func() time.Time // of this machine

	mu     sync.Mutex
	at     time.Time     // by the local clock, when
	fleet  time.Time     // this was the time; zero before the first measurement
	offset time.Duration // of the local clock then: positive when it is ahead
	last   time.Time     // what was told last
}

// Now is the time of the fleet, in UTC. It does not go back, unless the server's clock
// was set back by more than a minute.
func (b *Bus) Now() time.Time { return b.clock.now() }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.reads(c.local())
	if back := c.last.Sub(now); back > 0 && back < maxStill {
		return c.last
	}
	c.last = now
	return now
}

// reads is the time of the fleet at a time of the local clock.
func (c *clock) reads(local time.Time) time.Time {
	return c.fleet.Add(local.Sub(c.at)).UTC()
}

// measured takes in what the server said that the time was, between asked and told by
// the local clock. It corrects no more than that proves wrong. It returns by how much,
// and how far the local clock is ahead.
func (c *clock) measured(asked, told, server time.Time) (step, offset time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	earliest, latest := server, server.Add(told.Sub(asked)) // when it was told
	now := c.reads(told)
	switch first := c.fleet.IsZero(); {
	case first:
		now = server.Add(told.Sub(asked) / 2)
	case now.Before(earliest):
		step = earliest.Sub(now)
	case now.After(latest):
		step = latest.Sub(now)
	}
	c.at, c.fleet = told, now.Add(step)
	c.offset = told.Round(0).Sub(c.fleet)
	return step, c.offset
}

// measure asks the server for the time.
func (b *Bus) measure(ctx context.Context) error {
	asked := b.clock.local()
	s, err := b.js.Stream(ctx, streamOf(state.Main))
	told := b.clock.local()
	if err != nil {
		return translate(err)
	}
	server := s.CachedInfo().TimeStamp
	if server.IsZero() {
		return errNoTime
	}
	step, offset := b.clock.measured(asked, told, server)
	if step.Abs() > offWarning {
		b.steady.broke() // the age of what others wrote is not known
	}
	b.reportOffset(ctx, offset)
	return nil
}

// reportOffset says when the clock of this machine is wrong, and when it is right again.
func (b *Bus) reportOffset(ctx context.Context, offset time.Duration) {
	level := slog.LevelInfo
	switch off := offset.Abs(); {
	case off > offError:
		level = slog.LevelError
	case off > offWarning:
		level = slog.LevelWarn
	}
	if b.said.Swap(int64(level)) == int64(level) {
		return
	}
	if level == slog.LevelInfo {
		b.log.InfoContext(ctx, "the clock of this machine is right again", "offset", offset)
		return
	}
	b.log.Log(ctx, level, "the clock of this machine is not that of the NATS server, which is used instead: let NTP set both", "offset", offset)
}

// KeepTime holds the clock of the fleet against the server's until ctx ends: now and
// then, and after an interruption.
func (b *Bus) KeepTime(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-b.restored:
		case <-time.After(measureEvery):
		}
		if err := b.measure(ctx); err != nil && b.Connected() && ctx.Err() == nil {
			b.log.WarnContext(ctx, "the server was not asked for the time", "error", err)
		}
	}
}

// Clock returns a collector of how wrong this machine's clock is.
func (b *Bus) Clock() prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "rekindle_clock_offset_seconds",
		Help: "How far this machine's clock is ahead of the NATS server's, negative when it is behind. The fleet goes by the server's.",
	}, func() float64 {
		b.clock.mu.Lock()
		defer b.clock.mu.Unlock()
		return b.clock.offset.Seconds()
	})
}
