package main

import (
	"bufio"
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/bus"
	"github.com/rekindle-dev/rekindle/pkg/natsd"
	"github.com/rekindle-dev/rekindle/pkg/state/statetest"
	"github.com/rekindle-dev/rekindle/services/api"
	"github.com/rekindle-dev/rekindle/services/api/apitest"
	"github.com/rekindle-dev/rekindle/services/api/auth"
	"github.com/rekindle-dev/rekindle/services/api/reactor"
)

// BenchmarkStreams has clients follow everything that happens, a thousand events a second,
// and tells what each event takes of the processors for each client: of server, api and
// clients together, which are one process here.
func BenchmarkStreams(b *testing.B) {
	for _, clients := range []int{1, 20, 100} {
		b.Run(fmt.Sprint(clients), func(b *testing.B) { benchmarkStreams(b, clients) })
	}
}

func benchmarkStreams(b *testing.B, clients int) {
	log := slog.New(slog.DiscardHandler)
	ns, err := natsd.Start(b.Context(), natsd.Config{StoreDir: b.TempDir(), Logger: log})
	if err != nil {
		b.Fatal(err)
	}
	defer ns.Stop()
	user, password := ns.Credentials()
	nats, err := bus.Connect(b.Context(), bus.Config{URL: ns.URL(), User: user, Password: password, Name: "bench", Logger: log})
	if err != nil {
		b.Fatal(err)
	}
	defer nats.Close()
	p := apitest.StartWith(b, api.Config{}, api.Deps{State: statetest.New(), Log: nats})
	var verifiers []auth.Verifier
	for i := range clients { // each has a token of its own: of one there are few streams
		who := auth.Administrator(api.DefaultOrg)
		who.Key = fmt.Sprint("client ", i)
		verifiers = append(verifiers, auth.NewBootstrap(fmt.Sprintf("a-token-of-client-%08d", i), who))
	}
	server := httptest.NewServer(reactor.New(reactor.Deps{
		Service: p.Service, Gate: auth.NewGate(verifiers...), PublicURL: "http://x", Logger: log, Metrics: prometheus.NewRegistry(), Tracer: noop.NewTracerProvider(),
	}))
	defer server.Close()
	var present, told sync.WaitGroup
	for i := range clients {
		present.Add(1)
		told.Go(func() { readStream(b, server.URL, fmt.Sprintf("a-token-of-client-%08d", i), b.N, present.Done) })
	}
	present.Wait()
	before := spent()
	b.ResetTimer()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for n := range b.N {
		if n%10 == 0 {
			<-tick.C
		}
		e := events.Event{ID: fmt.Sprint("e", n), Source: "/rekindle/bench", Org: api.DefaultOrg, Time: time.Now(), Data: events.ExchangeSucceeded{
			Secret: "SE0000000000004000800000000000000", Property: "PR00000000000040008000000000000001", Kind: "oauth2", Action: "refresh", Generation: 7, ExpiresAt: time.Now(), RefreshAt: time.Now(),
		}}
		if err := nats.Publish(b.Context(), e); err != nil {
			b.Fatal(err)
		}
	}
	told.Wait()
	b.ReportMetric(float64((spent()-before).Microseconds())/float64(b.N)/float64(clients), "cpu-µs/event/client")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

// readStream reads so many events, and calls present when it is there.
func readStream(b *testing.B, url, token string, n int, present func()) {
	r, err := http.NewRequestWithContext(b.Context(), http.MethodGet, url+"/events", nil)
	if err != nil {
		b.Error(err)
		return
	}
	r.Header.Set("Authorization", "Bearer "+token)
	a, err := http.DefaultClient.Do(r)
	if err != nil {
		b.Error(err)
		return
	}
	defer a.Body.Close()
	lines := bufio.NewScanner(a.Body)
	for n > 0 && lines.Scan() {
		switch {
		case bytes.Equal(lines.Bytes(), []byte("event: present")):
			present()
		case bytes.HasPrefix(lines.Bytes(), []byte("event: Exchange")):
			n--
		}
	}
	if n > 0 {
		b.Errorf("%d events did not come: %v", n, lines.Err())
	}
}

// spent is the time of the processors that this process has used.
func spent() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
