//go:build unix

package natsd

import (
	"context"
	"log/slog"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// running is a server that is kept up.
type running struct {
	*Server
	told chan string // why it is down, "" when it is up again
	log  said
}

// keepUp runs a server until the test ends.
func keepUp(t *testing.T) *running {
	t.Helper()
	log := make(said, 100)
	s, err := Start(t.Context(), Config{StoreDir: t.TempDir(), Logger: slog.New(log)})
	if err != nil {
		t.Fatal(err)
	}
	r := &running{s, make(chan string, 100), log}
	ctx, end := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() {
		ended <- r.Run(ctx, func(ok bool, why string) {
			if ok != (why == "") {
				t.Errorf("up is %t, because %q", ok, why)
			}
			r.told <- why
		})
	}()
	t.Cleanup(func() {
		end()
		if err := <-ended; err != nil {
			t.Errorf("asked to stop: %v", err)
		}
		stop(t, s)
	})
	return r
}

// client connects as the fleet does: for ever, and without a buffer.
func (r *running) client(t *testing.T) (jetstream.JetStream, <-chan struct{}) {
	t.Helper()
	back := make(chan struct{}, 100)
	nc, err := nats.Connect(r.URL(), nats.UserInfo(r.Credentials()), nats.MaxReconnects(-1), nats.ReconnectWait(firstPause),
		nats.ReconnectBufSize(-1), nats.ReconnectHandler(func(*nats.Conn) { back <- struct{}{} }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	return js, back
}

// said is a log that passes on what warnings and errors say.
type said chan string

func (s said) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelWarn }
func (s said) WithAttrs([]slog.Attr) slog.Handler           { return s }
func (s said) WithGroup(string) slog.Handler                { return s }
func (s said) Handle(_ context.Context, r slog.Record) error {
	select {
	case s <- r.Message:
	default: // enough was said
	}
	return nil
}

// await returns when what has been said begins with the text, before the server has
// been told to be up or down.
func (r *running) await(t *testing.T, text string) {
	t.Helper()
	for {
		select {
		case said := <-r.log:
			if strings.HasPrefix(said, text) {
				return
			}
		case why := <-r.told:
			t.Fatalf("told %q before it was said that %s", why, text)
		}
	}
}

// TestFullDisk lets no file of the process grow, which to the server is a disk that
// is full. It does not run in parallel: the limit is the process's.
func TestFullDisk(t *testing.T) {
	r := keepUp(t)
	js, back := r.client(t)
	s, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}})
	if err != nil {
		t.Fatal(err)
	}
	free := limitFiles(t, 64<<10)
	stored := uint64(0)
	for err == nil {
		var ack *jetstream.PubAck
		if ack, err = js.Publish(t.Context(), "s", make([]byte, 8<<10)); err == nil {
			stored = ack.Sequence
		}
	}
	if why := <-r.told; !strings.Contains(why, "see the log") {
		t.Errorf("of a full disk it is told %q", why)
	}
	r.await(t, "the embedded NATS server has failed and is started anew when its disk takes writes")
	for range 2 {
		r.await(t, "the embedded NATS server cannot be started yet")
	}
	if len(r.told)+len(back) > 0 {
		t.Error("started on a disk that takes no writes")
	}

	free()
	if why := <-r.told; why != "" {
		t.Fatalf("there is room again, and it is told %q", why)
	}
	<-back
	info, err := s.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if last := info.State.LastSeq; stored == 0 || last < stored {
		t.Errorf("%d messages were stored, and %d are there", stored, last)
	}
	if _, err := js.Publish(t.Context(), "s", nil); err != nil {
		t.Errorf("there is room again: %v", err)
	}
}

// limitFiles lets no file of the process grow beyond a size until it is called off.
func limitFiles(t *testing.T, size uint64) (free func()) {
	t.Helper()
	signal.Ignore(syscall.SIGXFSZ) // a write fails then
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	limit := before
	limit.Cur = size
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	free = func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(free)
	return free
}

// A server that fails again and again is started again and again, where it was.
func TestStartedAnew(t *testing.T) {
	t.Parallel()
	r := keepUp(t)
	url := r.URL()
	_, back := r.client(t)
	for range 3 {
		r.ns.Errorf("JetStream stream '%s > %s' critical write error: %v", "$G", "KV_state", "no space left on device")
		if down, up := <-r.told, <-r.told; down == "" || up != "" {
			t.Fatalf("told %q, then %q", down, up)
		}
		<-back
	}
	if r.URL() != url {
		t.Errorf("now it is at %s, before at %s", r.URL(), url)
	}
}

// What streams may grow to is not held against what is free: a server that has taken
// them once takes them again.
func TestSizesAreNoReason(t *testing.T) {
	t.Parallel()
	s := start(t, t.TempDir())
	defer stop(t, s)
	js := connect(t, s)
	_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}, MaxBytes: 1 << 58})
	if err != nil {
		t.Error(err)
	}
}
