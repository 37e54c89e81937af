package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/rekindle-dev/rekindle/pkg/state/statetest"
	"github.com/rekindle-dev/rekindle/services/api"
	"github.com/rekindle-dev/rekindle/services/api/apitest"
	"github.com/rekindle-dev/rekindle/services/api/auth"
	"github.com/rekindle-dev/rekindle/services/api/reactor"
)

// manyRows is how many rows a stream of many has here. By hand, with processes of
// their own, it was 100,000: docs/import.md has the figures.
const manyRows = 10_000

// TestImportOfMany: a stream of rows that is nowhere as a whole goes into the API,
// every row once, with a result in its place; and again, without a change.
func TestImportOfMany(t *testing.T) {
	const token = "administrator-token-of-the-tests"
	st := statetest.New()
	apitest.PublishKeyset(t, st)
	p := apitest.Start(t, st, api.Config{Apps: apitest.Apps(t)})
	server := httptest.NewServer(reactor.New(reactor.Deps{
		Service: p.Service, Gate: auth.NewGate(auth.NewBootstrap(token, auth.Administrator(api.DefaultOrg))),
		Logger: p.Log.Logger(), Metrics: prometheus.NewRegistry(), Tracer: noop.NewTracerProvider(),
	}))
	t.Cleanup(server.Close)
	t.Setenv(envToken, token)
	t.Setenv("REKINDLE_SERVER", server.URL)
	rows := manyRows
	if raceDetector {
		rows /= 10
	}
	runs(t, nil, "property", "create", "shop")
	for _, want := range []string{"created", "exists"} {
		out := runs(t, manyNamed(rows), "import", "-", "-o", "json")
		lines := bufio.NewScanner(out)
		n := 0
		for lines.Scan() {
			if n++; !strings.HasPrefix(lines.Text(), fmt.Sprintf(`{"line":%d,"name":"many-%d","id":"SE`, n, n)) ||
				!strings.Contains(lines.Text(), `"result":"`+want+`"`) {
				t.Fatalf("result %d: %s", n, lines.Text())
			}
		}
		if n != rows {
			t.Errorf("%d results, want %d", n, rows)
		}
	}
	if got := len(p.Events.Published()); got != rows {
		t.Errorf("%d events, want one for each of %d secrets", got, rows)
	}
	if log := p.Log.String(); strings.Contains(log, "canary") {
		t.Error("the log of the server has what is hidden")
	}
}

// manyNamed is a stream of rows, some with a consent that was given elsewhere.
func manyNamed(rows int) io.Reader {
	from, to := io.Pipe()
	go func() {
		for n := 1; n <= rows; n++ {
			kind := `"type_of":"token","credentials":{"token":"canary"}`
			if n%10 == 0 {
				kind = `"type_of":"oauth2-acme","grant":{"refresh_token":"canary","authorized_at":"2024-05-01T12:00:00Z"}`
			}
			fmt.Fprintf(to, "{\"name\":\"many-%d\",%s}\n", n, kind)
		}
		to.Close()
	}()
	return from
}

// runs runs a command that must succeed, and returns what it prints.
func runs(t *testing.T, in io.Reader, args ...string) *bytes.Buffer {
	t.Helper()
	if in == nil {
		in = strings.NewReader("")
	}
	var out, said bytes.Buffer
	if code := execute(args, in, &out, &said); code != 0 {
		t.Fatalf("%v ended with %d: %s", args, code, said.String())
	}
	if strings.Contains(out.String()+said.String(), "canary") {
		t.Errorf("%v shows what is hidden", args)
	}
	return &out
}
