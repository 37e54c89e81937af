// Package natsd runs a NATS server with JetStream inside the process, for the
// fleet in one command. It is a real server on a real port: it listens on the
// loopback interface, on a port of the system's choosing, and admits whoever
// knows the credential made at its start. The rest of the process connects to
// it as to any other server, so that the fleet in one process and the fleet in
// many are the same program.
//
// State lives in files under the store directory. What was acknowledged
// survives the death of the process; against the death of the machine, files
// are synced every [SyncInterval]. Two servers must not share a directory: the
// second start is refused.
//
// A server that has failed to write, because the disk was full for example,
// refuses every further write until it is started anew, also when there is space
// again. [Server.Run] does so, at the same address, once the disk takes writes:
// whoever is connected finds it again, and holds what it could not store till then.
package natsd

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// SyncInterval is how much of the latest writes a power failure may take. One
// second costs nothing measurable at a thousand refreshes per second.
const SyncInterval = time.Second

const (
	startTimeout = 60 * time.Second
	readyPoll    = 100 * time.Millisecond
	// maxStore is what the server may be promised of the disk: more than any disk
	// has. Else it would hold the sizes of streams against three quarters of what
	// is free when it starts, and refuse those that it has taken before (10047).
	maxStore = 1 << 60
)

// Config of an embedded server.
type Config struct {
	// StoreDir holds the streams; it is created when missing.
	StoreDir string
	// Logger receives the server's warnings and errors.
	Logger *slog.Logger
}

// Server is a running embedded server. Its methods may be called from anywhere,
// but Stop not before Run has returned.
type Server struct {
	cfg            Config
	port           int
	url            string
	user, password string
	unlock         func() error

	// Those of the latest start.
	ns  *server.Server
	log *logger
}

// Start starts a server and returns when it accepts connections.
func Start(ctx context.Context, cfg Config) (*Server, error) {
	if err := os.MkdirAll(cfg.StoreDir, 0o700); err != nil {
		return nil, fmt.Errorf("store directory: %w", err)
	}
	unlock, err := lock(filepath.Join(cfg.StoreDir, "lock"))
	if err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, port: server.RANDOM_PORT, user: "rekindle", password: rand.Text(), unlock: unlock}
	if err := s.start(ctx); err != nil {
		return nil, errors.Join(err, unlock())
	}
	s.url = s.ns.ClientURL()
	if addr, ok := s.ns.Addr().(*net.TCPAddr); ok {
		s.port = addr.Port
	}
	return s, nil
}

func (s *Server) start(ctx context.Context) error {
	ns, err := server.NewServer(&server.Options{
		ServerName: "rekindle",
		Host:       "127.0.0.1",
		Port:       s.port,
		Username:   s.user, Password: s.password,
		JetStream: true, StoreDir: s.cfg.StoreDir, SyncInterval: SyncInterval, JetStreamMaxStore: maxStore,
		DisableJetStreamBanner: true,
		NoSigs:                 true, // the process has its own way to stop
	})
	if err != nil {
		return fmt.Errorf("embedded NATS server: %w", err)
	}
	s.ns = ns
	s.log = newLogger(s.cfg.Logger)
	ns.SetLoggerV2(s.log, false, false, false)
	ns.Start()
	if err := ready(ctx, ns, s.log); err != nil {
		s.stop()
		return fmt.Errorf("embedded NATS server in %s: %w", s.cfg.StoreDir, err)
	}
	return nil
}

// ready waits until the server accepts connections.
func ready(ctx context.Context, ns *server.Server, log *logger) error {
	for deadline := time.Now().Add(startTimeout); ; {
		up := ns.ReadyForConnections(readyPoll)
		switch {
		case log.failed() != nil:
			return log.failed()
		case up:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case time.Now().After(deadline):
			return fmt.Errorf("not ready after %v", startTimeout)
		}
	}
}

// URL is where the server listens, however often it is started anew.
func (s *Server) URL() string { return s.url }

// Credentials returns the user name and the password that the server admits.
func (s *Server) Credentials() (user, password string) { return s.user, s.password }

// Stop flushes the store, stops the server and waits until it has stopped.
func (s *Server) Stop() error {
	s.stop()
	return s.unlock()
}

func (s *Server) stop() {
	s.ns.Shutdown()
	s.ns.WaitForShutdown()
}
