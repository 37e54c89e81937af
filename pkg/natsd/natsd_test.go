package natsd

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(t *testing.T, dir string) *Server {
	t.Helper()
	s, err := Start(t.Context(), Config{StoreDir: dir, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func stop(t *testing.T, s *Server) {
	t.Helper()
	if err := s.Stop(); err != nil {
		t.Error(err)
	}
}

func connect(t *testing.T, s *Server) jetstream.JetStream {
	t.Helper()
	nc, err := nats.Connect(s.URL(), nats.UserInfo(s.Credentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

func TestRestart(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "not", "there", "yet")
	s := start(t, dir)
	js := connect(t, s)
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}}); err != nil {
		t.Fatal(err)
	}
	ack, err := js.Publish(t.Context(), "s.1", []byte("kept"))
	if err != nil {
		t.Fatal(err)
	}
	_, before := s.Credentials()
	stop(t, s)

	s = start(t, dir)
	defer stop(t, s)
	if _, after := s.Credentials(); after == before {
		t.Error("the credential of an earlier start is good for this one")
	}
	stream, err := connect(t, s).Stream(t.Context(), "S")
	if err != nil {
		t.Fatal(err)
	}
	m, err := stream.GetMsg(t.Context(), ack.Sequence)
	if err != nil || string(m.Data) != "kept" {
		t.Errorf("after a restart: %v, %v", m, err)
	}
}

func TestSecondServer(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := start(t, dir)
	_, err := Start(t.Context(), Config{StoreDir: dir, Logger: slog.New(slog.DiscardHandler)})
	if want := filepath.Join(dir, "lock") + " is held by another process: stop it, or choose another --data-dir"; err == nil || err.Error() != want {
		t.Errorf("got error %v, want %q", err, want)
	}
	// The first is as well as before, and the directory free after it.
	connect(t, s)
	stop(t, s)
	stop(t, start(t, dir))
}

func TestCredentials(t *testing.T) {
	t.Parallel()
	s := start(t, t.TempDir())
	defer stop(t, s)
	user, password := s.Credentials()
	if len(password) < 20 {
		t.Errorf("the password has %d letters", len(password))
	}
	for name, opts := range map[string][]nats.Option{
		"nobody":         nil,
		"no password":    {nats.UserInfo(user, "")},
		"wrong password": {nats.UserInfo(user, password+"x")},
		"wrong user":     {nats.UserInfo("admin", password)},
		"token":          {nats.Token(password)},
	} {
		nc, err := nats.Connect(s.URL(), opts...)
		if !errors.Is(err, nats.ErrAuthorization) {
			t.Errorf("%s: got error %v, want %v", name, err, nats.ErrAuthorization)
		}
		nc.Close()
	}
	u, err := url.Parse(s.URL())
	if err != nil || u.User != nil {
		t.Errorf("URL %s shows a credential, or is none: %v", s.URL(), err)
	}
}

// TestLoopback looks for the server at every address of the machine.
func TestLoopback(t *testing.T) {
	t.Parallel()
	s := start(t, t.TempDir())
	defer stop(t, s)
	u, err := url.Parse(s.URL())
	if err != nil || u.Hostname() != "127.0.0.1" {
		t.Fatalf("URL is %s, %v; want one of 127.0.0.1", s.URL(), err)
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		ip, _, err := net.ParseCIDR(a.String())
		if err != nil {
			t.Fatal(err)
		}
		var d net.Dialer
		conn, err := d.DialContext(t.Context(), "tcp", net.JoinHostPort(ip.String(), u.Port()))
		if err == nil {
			conn.Close()
		}
		if (err == nil) != (ip.String() == "127.0.0.1") {
			t.Errorf("dial %s: %v", ip, err)
		}
	}
}

func TestStartFails(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		prepare func(dir string) error
		want    string
	}{
		"no directory": {func(dir string) error { return os.WriteFile(dir, nil, 0o600) }, "store directory"},
		"no JetStream": {func(dir string) error {
			return errors.Join(os.Mkdir(dir, 0o700), os.WriteFile(filepath.Join(dir, "jetstream"), nil, 0o600))
		}, "JetStream"},
		"lock is a dir": {func(dir string) error { return os.MkdirAll(filepath.Join(dir, "lock"), 0o700) }, "store directory"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "data")
			if err := tc.prepare(dir); err != nil {
				t.Fatal(err)
			}
			s, err := Start(t.Context(), Config{StoreDir: dir, Logger: slog.New(slog.DiscardHandler)})
			if err == nil {
				stop(t, s)
				t.Fatal("started")
			}
			if !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), dir) {
				t.Errorf("got error %q, want %q and the directory in it", err, tc.want)
			}
		})
	}
}

func TestStartInterrupted(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	dir := t.TempDir()
	s, err := Start(ctx, Config{StoreDir: dir, Logger: slog.New(slog.DiscardHandler)})
	if err == nil {
		stop(t, s) // it was faster
	} else if !errors.Is(err, context.Canceled) {
		t.Errorf("got error %v, want context.Canceled", err)
	}
	stop(t, start(t, dir)) // nothing is held
}

// TestLog holds what of the server's talk an operator sees.
func TestLog(t *testing.T) {
	t.Parallel()
	var buf bytes.Buffer
	l := newLogger(slog.New(slog.NewTextHandler(&buf, nil)))
	l.Noticef("notice")
	l.Debugf("debug")
	l.Tracef("trace")
	l.Warnf("warn %d", 1)
	l.Errorf("error %d", 2)
	if l.failed() != nil {
		t.Error("failed without a fatal error")
	}
	l.Fatalf("fatal %d", 3)
	l.Fatalf("fatal %d", 4)
	got := buf.String()
	for _, want := range []string{`level=WARN msg="nats: warn 1"`, `level=ERROR msg="nats: error 2"`, `level=ERROR msg="nats: fatal 3"`} {
		if !strings.Contains(got, want) {
			t.Errorf("%s is missing in\n%s", want, got)
		}
	}
	if strings.Count(got, "\n") != 4 {
		t.Errorf("more was said:\n%s", got)
	}
	if err := l.failed(); err == nil || err.Error() != "nats: fatal 3" {
		t.Errorf("failed with %v, want the first reason", err)
	}
}
