// Package sandboxtest runs a sandbox for the length of a test, on a loopback port
// of its own, as net/http/httptest does for handlers.
package sandboxtest

import (
	"context"
	"net"
	"testing"

	"github.com/rekindle-dev/rekindle/services/sandbox"
)

// Start serves a new sandbox and returns it with its base URL. When the test
// ends, requests that still wait are cut off and the server is stopped.
func Start(t testing.TB, cfg sandbox.Config) (srv *sandbox.Server, url string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("sandbox: %v", err)
	}
	srv = sandbox.New(cfg)
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ctx, ln) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Errorf("sandbox: %v", err)
		}
	})
	return srv, "http://" + ln.Addr().String()
}
