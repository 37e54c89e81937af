package reactor_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/state/statetest"
	"github.com/rekindle-dev/rekindle/services/api"
	"github.com/rekindle-dev/rekindle/services/api/apitest"
	"github.com/rekindle-dev/rekindle/services/api/auth"
	"github.com/rekindle-dev/rekindle/services/api/reactor"
)

// pipes is a network within a bubble of synctest: connections that buffer nothing, so that
// whoever does not read is slow at once.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}
func (p *pipes) Close() error   { close(p.done); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 80} }

func (p *pipes) dial(context.Context, string, string) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case p.conns <- there:
		return here, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

// bubble is the API within a bubble of synctest.
type bubble struct {
	*apitest.Process
	client   *http.Client
	stopping chan struct{}
	close    func()
}

func newBubble(t *testing.T) *bubble {
	b := &bubble{stopping: make(chan struct{})}
	b.Process = apitest.Start(t, statetest.New(), api.Config{})
	handler := reactor.New(reactor.Deps{
		Service:   b.Service,
		Gate:      auth.NewGate(auth.NewBootstrap(token, auth.Administrator(api.DefaultOrg)), auth.NewBootstrap(elsewhere, auth.Administrator("ELSE@WhereOrg")), b.Service),
		PublicURL: publicURL, Logger: b.Log.Logger(), Metrics: b.Metrics, Tracer: noop.NewTracerProvider(), Stopping: b.stopping,
	})
	network := &pipes{make(chan net.Conn), make(chan struct{})}
	server := reactor.NewServer(handler, b.Log.Logger())
	served := make(chan error, 1)
	go func() { served <- server.Serve(network) }()
	transport := &http.Transport{DialContext: network.dial}
	b.client = &http.Client{Transport: transport}
	b.close = func() {
		transport.CloseIdleConnections()
		server.Close()
		<-served
		b.Stop()
	}
	return b
}

// ask sends a request; its answer is closed with the test.
func (b *bubble) ask(t *testing.T, method, path, bearer, body string) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "http://api"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+bearer)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	a, err := b.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Body.Close() })
	return a
}

// follow opens a stream, and returns it behind its first words.
func (b *bubble) follow(t *testing.T, bearer string) *bufio.Reader {
	t.Helper()
	a := b.ask(t, http.MethodGet, "/events", bearer, "")
	if a.StatusCode != http.StatusOK {
		t.Fatalf("status %d", a.StatusCode)
	}
	r := bufio.NewReader(a.Body)
	if first := said(t, r); !strings.HasPrefix(first, "retry: ") {
		t.Fatalf("it begins with %q", first)
	}
	return r
}

// said returns the next words of a stream, up to an empty line.
func said(t *testing.T, r *bufio.Reader) string {
	t.Helper()
	var words strings.Builder
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return words.String() + line + err.Error()
		}
		if line == "\n" {
			return words.String()
		}
		words.WriteString(line)
	}
}

// happen publishes an event of an organisation.
func (b *bubble) happen(t *testing.T, org string, n int, name string) {
	t.Helper()
	e := events.Event{ID: fmt.Sprint("e", n), Source: "/test", Org: org, Time: time.Now(), Data: events.SecretCreated{Secret: fmt.Sprint("SE", n), Name: name}}
	h, body, err := events.Encode(e)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Events.Forward(t.Context(), h, body); err != nil {
		t.Fatal(err)
	}
}

// ended fails the test unless the only stream has ended for that reason.
func (b *bubble) ended(t *testing.T, reason string) {
	t.Helper()
	synctest.Wait()
	if ended, open := counted(t, b.Metrics, reason), counted(t, b.Metrics, ""); ended != 1 || open != 0 {
		t.Errorf("%v streams ended by %s, %v are open; want 1 and 0", ended, reason, open)
	}
}

// counted is how many streams have ended for a reason, or are open if there is none.
func counted(t *testing.T, from prometheus.Gatherer, reason string) (n float64) {
	t.Helper()
	families, err := from.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			switch f.GetName() {
			case "rekindle_event_streams":
				if reason == "" {
					n = m.GetGauge().GetValue()
				}
			case "rekindle_event_streams_ended_total":
				if m.GetLabel()[0].GetValue() == reason {
					n = m.GetCounter().GetValue()
				}
			}
		}
	}
	return n
}

// TestStreamGoesOn: for hours, though requests end after seconds; silence is broken, and says how
// far the client is.
func TestStreamGoesOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t)
		defer b.close()
		r := b.follow(t, token)
		if got := said(t, r); got != "id: 0\nevent: present\ndata: {}\n" {
			t.Errorf("first %q", got)
		}
		for _, quiet := range []time.Duration{0, 5 * time.Second, time.Hour} {
			began := time.Now()
			for time.Since(began) < quiet {
				if got := said(t, r); got != ":\n" {
					t.Fatalf("within a silence: %q", got)
				}
			}
		}
		b.happen(t, "ELSE@WhereOrg", 1, "canary-of-others")
		if got := said(t, r); got != ":\nid: 1\n" {
			t.Errorf("what does not concern the client moves it on: %q", got)
		}
		b.happen(t, api.DefaultOrg, 2, "mine")
		if got := said(t, r); !strings.HasPrefix(got, "id: 2\nevent: SecretCreated\ndata: {") || strings.Contains(got, "canary") {
			t.Errorf("then %q", got)
		}
		b.client.CloseIdleConnections()
	})
}

// TestStreamEndsWithItsToken, within a minute.
func TestStreamEndsWithItsToken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t)
		defer b.close()
		made := b.ask(t, http.MethodPost, "/tokens", token, attributes(`"name":"t","rights":[],"expires_at":"`+time.Now().Add(30*time.Minute).UTC().Format(time.RFC3339)+`"`))
		body, err := io.ReadAll(made.Body)
		if err != nil {
			t.Fatal(err)
		}
		bearer := decode[struct {
			Data struct{ Meta struct{ Token string } }
		}](t, answer{made.StatusCode, made.Header, body}).Data.Meta.Token
		r := b.follow(t, bearer)
		began := time.Now()
		for {
			if got := said(t, r); strings.HasSuffix(got, "EOF") {
				break
			}
		}
		if lasted := time.Since(began); lasted < 30*time.Minute || lasted > 31*time.Minute {
			t.Errorf("it lasted %v, with a token of 30 minutes", lasted)
		}
		b.ended(t, "token")
	})
}

// TestStreamsEndWithTheProcess, so that it has not to wait for them.
func TestStreamsEndWithTheProcess(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t)
		defer b.close()
		r := b.follow(t, token)
		said(t, r)
		close(b.stopping)
		if got := said(t, r); got != "EOF" {
			t.Errorf("it ends with %q", got)
		}
		b.ended(t, "stop")
	})
}

// TestSlowReaderIsCutOff, and holds up nobody else meanwhile.
func TestSlowReaderIsCutOff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t)
		defer b.close()
		slow, fast := b.follow(t, token), b.follow(t, token)
		said(t, fast)
		for n := range 50 {
			b.happen(t, api.DefaultOrg, n+1, strings.Repeat("x", 1000))
		}
		began := time.Now()
		for n := range 50 {
			if got := said(t, fast); !strings.HasPrefix(got, fmt.Sprintf("id: %d\n", n+1)) {
				t.Fatalf("a fast reader gets %.40q", got)
			}
		}
		if lasted := time.Since(began); lasted > time.Second {
			t.Errorf("a fast reader was held up for %v", lasted)
		}
		go io.Copy(io.Discard, fast)
		time.Sleep(time.Minute) // of the bubble
		got, all := "", 0
		for ; !strings.HasSuffix(got, "EOF"); got = said(t, slow) {
			all++
		}
		if all > 50 {
			t.Errorf("a slow reader got everything: %d parts", all)
		}
		if n := counted(t, b.Metrics, "slow"); n != 1 {
			t.Errorf("%v streams were too slow", n)
		}
	})
}

// TestStreamsAreCounted: of one token there are only so many, and who leaves makes room.
func TestStreamsAreCounted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t)
		defer b.close()
		var leave []io.Closer
		for range 20 {
			a := b.ask(t, http.MethodGet, "/events", token, "")
			if a.StatusCode != http.StatusOK {
				t.Fatalf("status %d", a.StatusCode)
			}
			leave = append(leave, a.Body)
		}
		a := b.ask(t, http.MethodGet, "/events", token, "")
		if a.StatusCode != http.StatusTooManyRequests || a.Header.Get("Retry-After") == "" {
			t.Errorf("one too many: status %d, Retry-After %q", a.StatusCode, a.Header.Get("Retry-After"))
		}
		if a := b.ask(t, http.MethodGet, "/events", elsewhere, ""); a.StatusCode != http.StatusOK {
			t.Errorf("of another token: status %d", a.StatusCode)
		}
		if n := counted(t, b.Metrics, ""); n != 21 {
			t.Errorf("%v streams are open", n)
		}
		leave[7].Close()
		time.Sleep(time.Minute) // of the bubble: that a client has gone is seen by reading, or at the next words
		if a := b.ask(t, http.MethodGet, "/events", token, ""); a.StatusCode != http.StatusOK {
			t.Errorf("when one has left: status %d", a.StatusCode)
		}
	})
}

// TestStreamOfABrokenLog ends, and the log says so.
func TestStreamOfABrokenLog(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t)
		defer b.close()
		r := b.follow(t, token)
		said(t, r)
		b.Events.Break(errors.New("the log is gone"))
		if got := said(t, r); got != "EOF" {
			t.Errorf("it ends with %q", got)
		}
		b.ended(t, "failed")
		if !strings.Contains(b.Log.String(), "a stream of events was broken off") {
			t.Error("the log does not say so")
		}
	})
}
