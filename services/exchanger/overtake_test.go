package exchanger

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/pkg/work"
	"github.com/rekindle-dev/rekindle/services/sandbox"
)

// Two exchangers that get the same job at the same time send one request.
func TestTwoAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	pair := []*Exchanger{w.exchanger(), w.exchanger()}
	for range 32 {
		s := w.create(secret.OAuth2)
		m := w.job(s.ID)
		start := make(chan struct{})
		var both sync.WaitGroup
		for i, x := range pair {
			both.Go(func() {
				m := m
				m.Delivery += i
				<-start
				if err := x.Handle(t.Context(), m); err != nil && !errors.Is(err, errBusy) {
					t.Error(err)
				}
			})
		}
		close(start)
		both.Wait()
		m.Delivery = 3
		w.run(pair[0], m)
		w.wantRequests(s.ID, 1)
		w.checkRest(s.ID)
	}
}

// held is an exchange that hangs at the provider.
type held struct {
	*world
	secret *secret.Secret
	first  *Exchanger
	stop   context.CancelFunc // the hard stop of first
	done   chan error
}

// hold lets an exchanger begin the exchange of a secret that a job is due for,
// and returns when the provider has its request. Later requests are answered.
func (w *world) hold(s *secret.Secret, edits ...func(*Exchanger)) *held {
	w.t.Helper()
	return w.holdWith(s, sandbox.Step{}, edits...)
}

// holdWith is hold for an answer that is not as usual.
func (w *world) holdWith(s *secret.Secret, answer sandbox.Step, edits ...func(*Exchanger)) *held {
	w.t.Helper()
	before, err := w.provider.Client(s.Credentials.ClientID)
	answer.Times, answer.Hold = 1, true
	w.script(s, answer)
	requests := before.Counters.Requests + 1
	if errors.Is(err, sandbox.ErrUnknownClient) {
		requests = 1
	}
	h := &held{world: w, secret: s, first: w.exchanger(edits...), done: make(chan error, 1)}
	ctx, cancel := context.WithCancel(context.Background())
	h.stop = cancel
	m := w.job(s.ID)
	go func() { h.done <- h.first.Handle(ctx, m) }()
	if err := w.provider.WaitRequests(context.Background(), s.Credentials.ClientID, requests); err != nil {
		w.t.Fatal(err)
	}
	return h
}

// release lets the provider answer, and returns what the first exchanger does.
func (h *held) release() error {
	h.t.Helper()
	if err := h.provider.Release(h.secret.Credentials.ClientID); err != nil {
		h.t.Fatal(err)
	}
	return <-h.done
}

// Nobody takes over while a claim is alive. Whoever was thought dead changes
// nothing.
func TestStalledExchanger(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.hold(w.create(secret.OAuth2))
	id := h.secret.ID
	second := w.exchanger()
	again := w.job(id)
	again.Delivery = 2

	w.advance(claimLife - time.Millisecond)
	err := second.Handle(t.Context(), again)
	if pause, _ := work.Retry(err); !errors.Is(err, errBusy) || pause != time.Millisecond {
		t.Fatalf("error is %v", err)
	}
	w.advance(time.Millisecond)
	w.run(second, again)
	w.wantRequests(id, 2)
	after := w.store.dump(t)

	err = h.release()
	if pause, _ := work.Retry(err); !errors.Is(err, errFenced) || pause != claimLife {
		t.Errorf("error is %v", err)
	}
	if diff := cmp.Diff(after, w.store.dump(t)); diff != "" {
		t.Errorf("state (-before +after):\n%s", diff)
	}
	told := w.events.about(id)
	if len(told) != 2 || told[1].Data.Type() != events.TypeExchangeSucceeded {
		t.Fatalf("%d events, want an interruption and a success", len(told))
	}
	interrupted := events.ExchangeInterrupted{
		Secret: id, Property: testProperty, Environment: h.secret.Environment, Kind: "oauth2", Action: "exchange", Generation: 1,
	}
	if diff := cmp.Diff(events.Data(interrupted), told[0].Data); diff != "" || told[0].Org != testOrg {
		t.Errorf("interruption (-want +got):\n%s", diff)
	}
	w.checkRest(id)
	w.wantRequests(id, 2)
}

// Until its claim is given up, the outcome of an exchanger that was thought dead
// is as good as any.
func TestAnswerJustInTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.hold(w.create(secret.OAuth2))
	again := w.job(h.secret.ID)
	again.Delivery = 2
	w.advance(claimLife)
	sab := &saboteur{inner: w.store, events: w.events, at: 1, meanwhile: func() {
		if err := h.release(); err != nil {
			t.Error(err)
		}
	}}
	second := w.exchanger(sab.sabotaged)
	if err := second.Handle(t.Context(), again); !errors.Is(err, errBusy) {
		t.Errorf("error is %v", err)
	}
	again.Delivery++
	w.run(second, again)
	w.checkRest(h.secret.ID)
	w.wantRequests(h.secret.ID, 1)
}

// From then on it is void.
func TestAnswerTooLate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.hold(w.create(secret.OAuth2))
	again := w.job(h.secret.ID)
	again.Delivery = 2
	w.advance(claimLife)
	sab := &saboteur{inner: w.store, events: w.events, named: "commit secret", meanwhile: func() {
		if err := h.release(); !errors.Is(err, errFenced) {
			t.Errorf("error is %v", err)
		}
	}}
	if err := w.exchanger(sab.sabotaged).Handle(t.Context(), again); err != nil {
		t.Error(err)
	}
	w.checkRest(h.secret.ID)
	w.wantRequests(h.secret.ID, 2)
}

// renewing makes an exchanger renew its claims all the time.
func renewing(x *Exchanger) { x.pace.renew = time.Millisecond }

// A claim is renewed as long as its exchange takes.
func TestClaimIsRenewed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.hold(w.create(secret.OAuth2), renewing)
	id := h.secret.ID
	again := w.job(id)
	again.Delivery = 2
	for range 3 {
		w.advance(2 * claimLife)
		w.await(id, func(g *secret.Grant) bool { return g.Claim.Until.Equal(w.now().Add(claimLife)) })
		if err := w.exchanger().Handle(t.Context(), again); !errors.Is(err, errBusy) {
			t.Errorf("error is %v", err)
		}
	}
	if err := h.release(); err != nil {
		t.Error(err)
	}
	w.checkRest(id)
	w.wantRequests(id, 1)
}

// await returns when the grant is as it should be.
func (w *world) await(id string, good func(*secret.Grant) bool) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	err := w.store.Follow(ctx, []string{state.GrantKey(id)}, func(state.Change) {
		if good(w.grant(id)) {
			cancel()
		}
	}, func() {})
	if !errors.Is(err, context.Canceled) {
		w.t.Fatal(err)
	}
}

// A renewal whose answer is lost, or which fails, is no loss.
func TestRenewalFails(t *testing.T) {
	t.Parallel()
	for _, mode := range []mode{fails, answerLost} {
		t.Run(mode.String(), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			struck := make(chan struct{})
			sab := &saboteur{inner: w.store, events: w.events, at: 2, mode: mode, meanwhile: func() { close(struck) }}
			h := w.hold(w.create(secret.OAuth2), sab.sabotaged, renewing)
			<-struck
			if err := h.release(); err != nil {
				t.Error(err)
			}
			w.checkRest(h.secret.ID)
			w.wantRequests(h.secret.ID, 1)
		})
	}
}

// An exchanger that finds itself overtaken does not wait for the answer.
func TestOvertakenExchangeEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	partition := &partition{Store: w.store}
	h := w.hold(w.create(secret.OAuth2), using(partition), renewing)
	id := h.secret.ID
	heal := partition.cut()
	w.advance(claimLife)
	again := w.job(id)
	again.Delivery = 2
	w.run(w.exchanger(), again)
	heal() // the first sees the state again
	if err := <-h.done; !errors.Is(err, errFenced) {
		t.Errorf("error is %v", err)
	}
	if strings.Contains(scrape(t, w.metrics), "rekindle_exchanges_total") {
		t.Error("it waited for the provider")
	}
	w.checkRest(id)
	w.wantRequests(id, 2)
}

// partition keeps an exchanger from the state.
type partition struct {
	state.Store
	mu  sync.RWMutex
	off bool
}

var errPartition = errors.New("cut off")

func (p *partition) cut() (heal func()) {
	set := func(off bool) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.off = off
	}
	set(true)
	return func() { set(false) }
}

func (p *partition) Commit(ctx context.Context, writes ...state.Write) (state.Revision, error) {
	p.mu.RLock() // what is under way when it is cut arrives before
	defer p.mu.RUnlock()
	if p.off {
		return 0, errPartition
	}
	return p.Store.Commit(ctx, writes...)
}
