package bus

import (
	"bufio"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
)

// natsServer is a server that can be stopped and started again in its place,
// and configured as nobody should.
type natsServer struct {
	opts server.Options
	ns   *server.Server
}

func newServer(t testing.TB, change func(*server.Options)) *natsServer {
	t.Helper()
	s := &natsServer{opts: server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, Username: "fleet", Password: "hunter2",
		JetStream: true, StoreDir: t.TempDir(), NoLog: true, NoSigs: true,
	}}
	if change != nil {
		change(&s.opts)
	}
	s.start(t)
	t.Cleanup(s.stop)
	return s
}

func (s *natsServer) start(t testing.TB) {
	t.Helper()
	opts := s.opts
	ns, err := server.NewServer(&opts)
	if err != nil {
		t.Fatal(err)
	}
	ns.Start()
	if !ns.ReadyForConnections(patience) {
		t.Fatal("the server is not ready")
	}
	s.ns = ns
	s.opts.Port = ns.Addr().(*net.TCPAddr).Port
}

func (s *natsServer) stop() {
	s.ns.Shutdown()
	s.ns.WaitForShutdown()
}

func (s *natsServer) config(t testing.TB) Config {
	return Config{
		URL: fmt.Sprintf("nats://127.0.0.1:%d", s.opts.Port), User: "fleet", Password: "hunter2",
		Name: t.Name(), Logger: slog.New(slog.DiscardHandler),
	}
}

// oldServer answers just enough to be connected to, as a server of the version.
// It returns its URL.
func oldServer(t *testing.T, version string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			fmt.Fprintf(conn, "INFO {\"server_id\":\"x\",\"version\":%q,\"headers\":true,\"max_payload\":1048576}\r\n", version)
			for lines := bufio.NewScanner(conn); lines.Scan(); {
				if strings.HasPrefix(lines.Text(), "PING") {
					fmt.Fprint(conn, "PONG\r\n")
				}
			}
			conn.Close()
		}
	}()
	return "nats://" + l.Addr().String()
}
