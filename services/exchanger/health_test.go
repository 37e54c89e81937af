package exchanger

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/rekindle-dev/rekindle/pkg/endpoint"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/pkg/work"
	"github.com/rekindle-dev/rekindle/services/sandbox"
)

// informed has an exchanger learn what the fleet has written down.
func (w *world) informed(xs ...*Exchanger) {
	w.t.Helper()
	for _, x := range xs {
		ctx, stop := context.WithCancel(context.Background())
		if err := x.health.follow(ctx, stop); !errors.Is(err, context.Canceled) {
			w.t.Fatal(err)
		}
	}
}

// host is the provider's.
func (w *world) host() string {
	u, err := url.Parse(w.provider.url)
	if err != nil {
		w.t.Fatal(err)
	}
	return u.Host
}

// asks lets an exchanger do once what is due, and returns how many requests the
// provider had for it.
func (w *world) asks(x *Exchanger, s *secret.Secret) int {
	w.t.Helper()
	before := w.requestsFor(s.ID)
	if err := x.Handle(context.Background(), w.job(s.ID)); err != nil {
		if _, again := work.Retry(err); !again {
			w.t.Fatal(err)
		}
	}
	return w.requestsFor(s.ID) - before
}

func (w *world) requestsFor(id string) (n int) {
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	for _, requests := range w.store.requests[id] {
		n += requests
	}
	return n
}

// due returns a secret that is refreshed now.
func (w *world) due(x *Exchanger, edits ...func(*secret.Secret)) *secret.Secret {
	w.t.Helper()
	s := w.create(secret.OAuth2, edits...)
	w.run(x, w.job(s.ID))
	if got := w.secret(s.ID); got.Status != secret.Succeeded {
		w.t.Fatalf("record: %s", show(got))
	}
	w.update(s.ID, func(s *secret.Secret) { s.NextAttemptAt = w.now() })
	return s
}

// finely gives an exchanger a clock that is finer than what records hold, as real
// ones are.
func (w *world) finely(x *Exchanger) {
	x.Now = func() time.Time { return w.now().Add(400 * time.Microsecond) }
	x.health = newHealth(x.Deps, x.metrics)
}

func clientOf(other *secret.Secret) func(*secret.Secret) {
	return func(s *secret.Secret) { s.Credentials.ClientID = other.Credentials.ClientID }
}

// What a provider asks of one exchanger, no other sends that client's requests
// before; everything else goes on.
func TestPauseHoldsForTheFleet(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		step sandbox.Step
		wait time.Duration
	}{
		"429":                {sandbox.Step{Status: 429, Headers: map[string]string{"Retry-After": "120"}}, 2 * time.Minute},
		"503":                {sandbox.Step{Status: 503, Headers: map[string]string{"Retry-After": "120"}}, 2 * time.Minute},
		"429 without a time": {sandbox.Step{Status: 429}, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			one, other := w.exchanger(w.finely), w.exchanger(w.finely)
			first := w.due(one)
			second, another := w.due(one, clientOf(first)), w.due(one)
			tt.step.Times = 1
			w.script(first, tt.step, sandbox.Step{})
			if n := w.asks(one, first); n != 1 {
				t.Fatalf("%d requests", n)
			}
			w.informed(other)
			for _, x := range []*Exchanger{one, other} {
				if n := w.asks(x, second); n != 0 {
					t.Errorf("%s sent %d requests of the client", x.Name, n)
				}
			}
			if n := w.asks(other, another); n != 1 {
				t.Errorf("%d requests of another client", n)
			}
			w.advance(tt.wait - time.Millisecond)
			if n := w.asks(other, second); n != 0 {
				t.Errorf("%d requests too early", n)
			}
			w.advance(time.Millisecond)
			if n := w.asks(other, second); n != 1 {
				t.Errorf("%d requests when the time had come", n)
			}
		})
	}
}

// A host that fails is left alone by all, then asked by one, until it answers.
func TestBreaker(t *testing.T) {
	t.Parallel()
	for name, step := range map[string]sandbox.Step{
		"fails":    {Status: 500},
		"hangs up": {Fault: sandbox.FaultReset},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			one, other := w.exchanger(w.finely), w.exchanger(w.finely)
			var secrets []*secret.Secret
			for range tripAfter + 3 {
				s := w.due(one)
				w.script(s, step)
				secrets = append(secrets, s)
			}
			for i, s := range secrets {
				want := 1
				if i >= tripAfter {
					want = 0
				}
				if n := w.asks(one, s); n != want {
					t.Fatalf("request %d: %d were sent", i, n)
				}
			}
			w.informed(other)
			last := secrets[len(secrets)-1]
			if n := w.asks(other, last); n != 0 {
				t.Errorf("the other exchanger sent %d requests", n)
			}
			w.advance(endpoint.FirstOpen)
			if a, b := w.asks(other, last), w.asks(one, secrets[tripAfter]); a != 1 || b != 0 {
				t.Errorf("%d and %d asked whether it is back", a, b)
			}
			if got := w.health(t); got.Trips != 2 || !got.OpenUntil.Equal(w.now().Add(2*endpoint.FirstOpen)) {
				t.Errorf("after its failure: %s", show(got))
			}
			w.advance(2 * endpoint.FirstOpen)
			back := secrets[tripAfter]
			w.script(back, sandbox.Step{})
			w.informed(one, other)
			if n := w.asks(one, back); n != 1 {
				t.Errorf("%d asked whether it is back", n)
			}
			w.informed(other)
			if n := w.asks(other, secrets[tripAfter+1]); n != 1 {
				t.Errorf("%d requests after it was back", n)
			}
		})
	}
}

func (w *world) health(t *testing.T) *endpoint.Health {
	t.Helper()
	key := state.EndpointKey(w.host())
	body, _, err := w.store.Get(t.Context(), key)
	if errors.Is(err, state.ErrNotFound) {
		return new(endpoint.Health)
	}
	if err != nil {
		t.Fatal(err)
	}
	h, err := endpoint.Decode(key, body, w.now())
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// Refusals, and failures that others' answers come between, open nothing.
func TestBreakerStaysClosed(t *testing.T) {
	t.Parallel()
	for name, steps := range map[string][]sandbox.Step{
		"refused":   {{Status: 401, Error: "invalid_client"}},
		"not found": {{Status: 404}},
		"a page":    {{Omit: []string{"access_token"}}},
		"answers":   {{Status: 500}, {}},
		"patience":  {{Status: 503, Headers: map[string]string{"Retry-After": "60"}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			x := w.exchanger()
			for i := range 3 * tripAfter {
				s := w.due(x)
				w.script(s, steps[i%len(steps)])
				if n := w.asks(x, s); n != 1 {
					t.Fatalf("request %d: %d were sent", i, n)
				}
			}
			if got := w.health(t); got.Open(w.now()) {
				t.Errorf("open: %s", show(got))
			}
		})
	}
}

// While its host is down a refresh is not given up before the value ends, and
// waits no longer than the breaker does.
func TestAttemptsOutliveABreaker(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	x := w.exchanger()
	s := w.due(x)
	others := make([]*secret.Secret, tripAfter-1)
	for i := range others {
		others[i] = w.due(x)
	}
	w.clock.Store(w.secret(s.ID).RefreshAt.UnixMilli())
	for _, s := range append(others, s) {
		w.script(s, sandbox.Step{Status: 500})
	}
	for _, other := range others {
		w.asks(x, other)
	}
	for w.secret(s.ID).Plan().Action != secret.Rest {
		if n := w.asks(x, s); n != 1 {
			t.Fatalf("%d requests at %v", n, w.now())
		}
		got := w.secret(s.ID)
		if got.Attempts != 0 || !got.NextAttemptAt.IsZero() && !got.NextAttemptAt.Equal(w.health(t).OpenUntil) {
			t.Fatalf("open until %v: %s", w.health(t).OpenUntil, show(got))
		}
		if got.ExpiresAt.Sub(w.now()) < endpoint.LastOpen {
			return
		}
		w.clock.Store(max(w.clock.Load(), got.NextAttemptAt.UnixMilli()))
	}
	t.Errorf("given up %v before the end", w.secret(s.ID).ExpiresAt.Sub(w.now()))
}

// A code is good for minutes: it waits for no breaker, only where it was asked to.
func TestCodesWaitForPausesOnly(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		said func(h *endpoint.Health, now time.Time) bool
		want int
	}{
		"open":   {func(h *endpoint.Health, now time.Time) bool { return h.Trip(now, false) }, 1},
		"paused": {func(h *endpoint.Health, now time.Time) bool { return h.Wait(0, now, time.Minute) }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			x := w.exchanger()
			s := w.consenting(sandbox.CodeFlow{})
			w.consent(s.ID)
			x.health.note(t.Context(), acme, func(h *endpoint.Health) bool { return tt.said(h, w.now()) })
			if err := x.Handle(t.Context(), w.job(s.ID)); err != nil {
				t.Fatal(err)
			}
			if got := w.secret(s.ID); got.ConsentWaits() != (tt.want == 0) {
				t.Errorf("record: %s", show(got))
			}
		})
	}
}

// A replay within a grace waits for nobody: when the breaker or the pause is over, so is
// the grace.
func TestReplaysWaitForNobody(t *testing.T) {
	t.Parallel()
	for name, said := range map[string]func(h *endpoint.Health, now time.Time) bool{
		"open":   func(h *endpoint.Health, now time.Time) bool { return h.Trip(now, false) },
		"paused": func(h *endpoint.Health, now time.Time) bool { return h.Wait(0, now, time.Minute) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			s := w.rotating(lenient(10 * time.Second))
			w.script(s, sandbox.Step{Times: 1, Fault: sandbox.FaultDropAfterCommit}, sandbox.Step{})
			x := w.exchanger()
			w.run(x, w.job(s.ID))
			x.health.note(t.Context(), acme, func(h *endpoint.Health) bool { return said(h, w.now()) })
			w.runDue(x, s.ID)
			w.checkServes(s.ID)
			w.wantRequests(s.ID, 3)
		})
		t.Run(name+", after a death", func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			s := w.rotating(lenient(10 * time.Second))
			w.dies(s.ID, 2)
			x := w.exchanger()
			x.health.note(t.Context(), acme, func(h *endpoint.Health) bool { return said(h, w.now()) })
			w.run(x, w.job(s.ID))
			w.checkServes(s.ID)
			w.wantRequests(s.ID, 3)
		})
	}
}

// Whoever tests a secret learns until when nothing is sent.
func TestTestWhileHeld(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		said func(h *endpoint.Health, now time.Time) bool
		want string
	}{
		"open":   {func(h *endpoint.Health, now time.Time) bool { return h.Trip(now, false) }, "provider_error"},
		"paused": {func(h *endpoint.Health, now time.Time) bool { return h.Wait(0, now, time.Minute) }, "throttled"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			x := w.exchanger()
			s := w.due(x)
			x.health.note(t.Context(), w.host(), func(h *endpoint.Health) bool { return tt.said(h, w.now()) })
			before := w.requestsFor(s.ID)
			q := w.ask(s.ID)
			if err := x.Handle(t.Context(), q.Message); err != nil {
				t.Fatal(err)
			}
			var got testFailure
			if err := json.Unmarshal(q.answer().Exchange, &got); err != nil {
				t.Fatal(err)
			}
			until := max(x.health.paused(s.Endpoint()).Unix(), x.health.open(s.Endpoint()).Unix())
			if got.Error != tt.want || !strings.Contains(got.Description, time.Unix(until, 0).UTC().Format(time.RFC3339)) {
				t.Errorf("answer: %s", show(got))
			}
			if n := w.requestsFor(s.ID); n != before {
				t.Error("a request was sent")
			}
		})
	}
}

// A damaged record holds up nobody.
func TestDamagedHealthHoldsNobody(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	x := w.exchanger()
	s := w.due(x)
	if _, err := w.store.Commit(t.Context(), state.Write{Key: state.EndpointKey(w.host()), Value: []byte(`{"host":"other","pauses":{"0":{"until":"9999-01-01T00:00:00Z"}}}`)}); err != nil {
		t.Fatal(err)
	}
	w.informed(x)
	if n := w.asks(x, s); n != 1 {
		t.Errorf("%d requests", n)
	}
	if !strings.Contains(w.logs.String(), "record is damaged") {
		t.Error("the log does not tell of it")
	}
}
