package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// endpoint is a token endpoint (RFC 6749 section 4.4) that knows when it should
// be asked. It answers as fast as net/http does, or after a while; scripting and faults
// are the sandbox's business.
type endpoint struct {
	urls   []string      // one for each host it plays
	period time.Duration // from one refresh of a secret to the next; 0 for once
	answer time.Duration // how long it takes to answer
	until  time.Time     // no refresh is to fall due at or after it

	mu       sync.Mutex
	due      []time.Time // by secret; zero for none
	lateness []time.Duration
	total    int // requests in all
	asked    int // requests since take
	early    int // requests in all for secrets that were not due
	first    time.Time
}

// clientPrefix begins the client ids of secrets that are due at known times.
// That of the bare loop has another.
const clientPrefix = "c"

func clientID(i int) string { return clientPrefix + strconv.Itoa(i) }

// offset is how long before their end tokens are refreshed.
const offset = 10 * time.Minute

// lasting is from when a secret is done with to its next refresh, which this run
// does not live to see.
const lasting = 24 * time.Hour

// accessToken has the length of a usual JWT.
var accessToken = strings.Repeat("eyJhbGci", 100)

func (e *endpoint) serve(ctx context.Context, hosts int) (stop func(), err error) {
	srv := &http.Server{Handler: e, ReadHeaderTimeout: time.Minute}
	var serving sync.WaitGroup
	stop = func() { srv.Close(); serving.Wait() }
	for range hosts {
		ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			stop()
			return nil, err
		}
		e.urls = append(e.urls, "http://"+ln.Addr().String()+"/token")
		serving.Go(func() { _ = srv.Serve(ln) }) // http.ErrServerClosed
	}
	return stop, nil
}

func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	now := time.Now()
	body, err := io.ReadAll(io.LimitReader(r.Body, 4<<10))
	if err != nil {
		return // the client is gone
	}
	lifetime := lasting
	if i, ok := asking(body); ok {
		lifetime = e.arrived(i, now)
	}
	if e.answer > 0 && pause(r.Context(), e.answer) != nil {
		return // the client is gone
	}
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"access_token":%q,"token_type":"Bearer","expires_in":%d}`, accessToken, int((lifetime+offset)/time.Second))
}

// asking tells which secret a form is about.
func asking(form []byte) (int, bool) {
	_, rest, ok := bytes.Cut(form, []byte("client_id="+clientPrefix))
	if !ok {
		return 0, false
	}
	number, _, _ := bytes.Cut(rest, []byte("&"))
	i, err := strconv.Atoi(string(number))
	return i, err == nil
}

// tolerance is how much later than the exchanger this endpoint may think that a
// secret is due: as long as a request takes to get here.
const tolerance = 500 * time.Millisecond

// arrived notes a request and returns how long its token is good for, less the
// offset. From the second round on, the due time is reckoned from here: it is some
// hundreds of microseconds after the exchanger's, so lateness is as much too small.
func (e *endpoint) arrived(i int, now time.Time) time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.total++
	e.asked++
	if e.first.IsZero() {
		e.first = now
	}
	if i >= len(e.due) || e.due[i].IsZero() || now.Before(e.due[i].Add(-tolerance)) {
		e.early++
		return lasting
	}
	e.lateness = append(e.lateness, max(0, now.Sub(e.due[i])))
	if again := now.Truncate(time.Millisecond).Add(e.period); e.period > 0 && again.Before(e.until) {
		e.due[i] = again
		return e.period
	}
	e.due[i] = time.Time{}
	return lasting
}

// seen is what an endpoint has seen since it was last asked.
type seen struct {
	asked    int
	first    time.Time // request
	lateness []time.Duration
}

// take returns what was seen, and begins anew.
func (e *endpoint) take() seen {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := seen{e.asked, e.first, e.lateness}
	e.asked, e.first = 0, time.Time{}
	e.lateness = make([]time.Duration, 0, cap(e.lateness))
	return s
}

// check holds what was asked against what fell due: everything once, and nothing
// else. It is called when nothing is left.
func (e *endpoint) check(t timetable) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if want := 1 + t.steady + t.burst; e.early > 0 || e.period == 0 && e.total != want {
		return fmt.Errorf("%d requests, %d of them for secrets that were not due; %d fell due", e.total, e.early, want)
	}
	return nil
}

// waiting is how many secrets were due before the time and have not been asked for.
func (e *endpoint) waiting(before time.Time) (n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, due := range e.due {
		if !due.IsZero() && due.Before(before) {
			n++
		}
	}
	return n
}

// postpone has all that is still to fall due do so at a time.
func (e *endpoint) postpone(to time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for i, due := range e.due {
		if !due.IsZero() {
			e.due[i] = to
		}
	}
}

// drained waits until nothing that was due before the time is left.
func (e *endpoint) drained(ctx context.Context, before time.Time, patience time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for e.waiting(before) > 0 {
		if pause(ctx, 50*time.Millisecond) != nil {
			return fmt.Errorf("%d secrets that were due were not asked for in %v", e.waiting(before), patience)
		}
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func sleepUntil(ctx context.Context, t time.Time) error { return pause(ctx, time.Until(t)) }
