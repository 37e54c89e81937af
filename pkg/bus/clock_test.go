package bus

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// far is how exactly the clocks of two processes have to agree in a test: by less than
// the least that is said to be wrong, and by more than any machine that tests run on
// takes to answer.
const far = 5 * time.Second

// Whatever the clock of a machine says, its processes go by that of the server.
func TestTimeOfTheFleet(t *testing.T) {
	t.Parallel()
	s := serve(t)
	for name, tt := range map[string]struct {
		off   time.Duration
		level string
	}{
		"right": {0, ""}, "ahead": {30 * time.Second, "ERROR"}, "behind": {-30 * time.Second, "ERROR"}, "little": {-7 * time.Second, "WARN"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := configFor(t, s)
			cfg.Local = func() time.Time { return time.Now().Add(tt.off) }
			var log func() string
			cfg.Logger, log = logged()
			b := connect(t, cfg, usual())
			if off := time.Since(b.Now()).Abs(); off > far {
				t.Errorf("the clock of the fleet is %v off", off)
			}
			if got := gather(t, b.Clock())["rekindle_clock_offset_seconds"]; (got-tt.off.Seconds())*(got-tt.off.Seconds()) > far.Seconds()*far.Seconds() {
				t.Errorf("told to be off by %v s", got)
			}
			if err := b.measure(patient(t)); err != nil {
				t.Error(err)
			}
			if said := strings.Count(log(), "let NTP set both"); said != min(1, len(tt.level)) || said > 0 && !strings.Contains(log(), "level="+tt.level) {
				t.Errorf("said %d times:\n%s", said, log())
			}
		})
	}
}

// A measurement corrects what it proves wrong, and no more.
func TestMeasured(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	local := start.Add(30 * time.Second) // ahead
	c := &clock{local: func() time.Time { return local }}
	for i, tt := range []struct {
		passes, trip  time.Duration // by the local clock, until it is asked; and until it is told
		server, after time.Duration // what the server says, and what it is then, from start
		step          time.Duration
	}{
		{0, 100 * time.Millisecond, 0, 50 * time.Millisecond, 0},
		{time.Second, 2 * time.Second, 2 * time.Second, 3050 * time.Millisecond, 0}, // slow, and tells nothing new
		{0, 10 * time.Millisecond, 3070 * time.Millisecond, 3070 * time.Millisecond, 10 * time.Millisecond},
		{0, 10 * time.Millisecond, 3065 * time.Millisecond, 3075 * time.Millisecond, -5 * time.Millisecond},
		{10 * time.Second, 0, 23075 * time.Millisecond, 23075 * time.Millisecond, 10 * time.Second}, // set
	} {
		local = local.Add(tt.passes)
		asked := local
		local = local.Add(tt.trip)
		step, offset := c.measured(asked, local, start.Add(tt.server))
		if got := c.reads(local).Sub(start); got != tt.after || step != tt.step || offset != local.Sub(c.reads(local)) {
			t.Errorf("measurement %d: it is %v, want %v; step %v, want %v; offset %v", i+1, got, tt.after, step, tt.step, offset)
		}
	}
}

// The clock of the fleet stands still rather than go back, but not for long.
func TestClockGoesForward(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	local := start
	c := &clock{local: func() time.Time { return local }}
	set := func(server time.Time) { c.measured(local, local, server) }
	expect := func(want time.Time) {
		t.Helper()
		if got := c.now(); !got.Equal(want) {
			t.Errorf("it is %v, want %v", got, want)
		}
	}
	set(start)
	expect(start)
	set(start.Add(-30 * time.Second))
	expect(start)
	local = local.Add(29 * time.Second)
	expect(start)
	local = local.Add(2 * time.Second)
	expect(start.Add(time.Second))
	set(start.Add(-time.Hour))
	expect(start.Add(-time.Hour))
}

// After an interruption the server is asked again, because it may be another.
func TestTimeIsKept(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	cfg := s.config(t)
	var log func() string
	cfg.Logger, log = logged()
	b := connect(t, cfg, usual())
	kept := make(chan struct{})
	ctx, stop := context.WithCancel(patient(t))
	defer func() { stop(); <-kept }()
	go func() { defer close(kept); b.KeepTime(ctx) }()
	b.clock.mu.Lock()
	b.clock.fleet = b.clock.fleet.Add(-time.Hour) // as if the server's had been set
	b.clock.mu.Unlock()
	b.said.Store(int64(slog.LevelError))
	s.stop()
	s.start(t)
	until(t, "asked again", func() bool { return strings.Contains(log(), "right again") })
	if off := time.Since(b.Now()).Abs(); off > far {
		t.Errorf("the clock of the fleet is %v off", off)
	}
}
