package exchanger

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/pkg/work"
	"github.com/rekindle-dev/rekindle/services/sandbox"
)

// checkRest fails the test unless all that is left of a secret to which nothing
// is due is what should be.
func (w *world) checkRest(id string) {
	w.t.Helper()
	w.checkClaims(id)
	w.checkAnnounced(id)
	for decision, n := range w.store.requestsOf(id) {
		if n > 1 {
			w.t.Errorf("%d requests for decision %d", n, decision)
		}
	}
	s := w.secret(id)
	if s == nil || !s.DeletedAt.IsZero() {
		if keys := w.keys(id); len(keys) != 0 {
			w.t.Errorf("erased, but there still is %v", keys)
		}
		return
	}
	if s.Status != secret.Succeeded || s.Plan().Due(w.now()) || s.Deployed != s.Environment {
		w.t.Errorf("not at rest: %s", show(s))
	}
	if claim := w.grant(id).Claim; claim != nil && claim.Live(w.now()) {
		w.t.Errorf("the claim of decision %d is open", claim.Decision)
	}
	found := w.artifacts(id)
	if s.Environment == "" {
		if len(found) != 0 {
			w.t.Errorf("an artifact nobody knows of: %s", show(found))
		}
		return
	}
	if s.Plan().Action != secret.Refresh {
		w.t.Errorf("no refresh is planned: %s", show(s))
	}
	if len(found) != 1 || found[0].Environment != s.Environment || found[0].Generation != s.Generation {
		w.t.Errorf("artifacts %s of generation %d", show(found), s.Generation)
	}
}

// interference is what others do to a secret in the middle of its exchange.
type interference struct {
	name string
	do   func(w *world, m work.Message)
}

func interferences() []interference {
	change := func(change func(w *world, s *secret.Secret)) func(w *world, m work.Message) {
		return func(w *world, m work.Message) { w.update(m.Subject, func(s *secret.Secret) { change(w, s) }) }
	}
	overtake := func(w *world, m work.Message) {
		w.advance(claimLife)
		m.Delivery++
		w.run(w.exchanger(), m)
	}
	both := func(first, second func(w *world, m work.Message)) func(w *world, m work.Message) {
		return func(w *world, m work.Message) { first(w, m); second(w, m) }
	}
	remove := change(func(w *world, s *secret.Secret) { s.Delete(w.now()) })
	detach := change(func(w *world, s *secret.Secret) { s.Detach(w.now()) })
	ask := change(func(w *world, s *secret.Secret) { s.Ask(w.now()) })
	move := change((*world).move)
	return []interference{
		{"overtake", overtake},
		{"delete", remove},
		{"delete and erase", both(remove, overtake)},
		{"overtake, delete and erase", both(overtake, both(remove, overtake))},
		{"detach", detach},
		{"detach and clear", both(detach, overtake)},
		{"overtake, detach and clear", both(overtake, both(detach, overtake))},
		{"ask", ask},
		{"ask and exchange", both(ask, overtake)},
		{"move", move},
		{"move and exchange", both(move, overtake)},
	}
}

// move puts a secret into another environment, which clients cannot, but which
// is the worst that can happen between two reads.
func (w *world) move(s *secret.Secret) {
	s.Detach(w.now())
	s.Attach(secret.NewID(secret.PrefixEnvironment), "production")
	s.Ask(w.now())
}

// Whatever others do, and whenever they do it, an exchanger in the middle of its
// work leaves nothing behind.
func TestInterference(t *testing.T) {
	t.Parallel()
	for _, sc := range scenarios()[:3] {
		effects := sc.effects(t)
		for _, other := range interferences() {
			for i, effect := range effects {
				t.Run(fmt.Sprintf("%s: %s before %d. %s", sc.name, other.name, i+1, effect), func(t *testing.T) {
					t.Parallel()
					w := newWorld(t)
					id := sc.prepare(w, w.exchanger()).ID
					m := w.job(id)
					sab := &saboteur{inner: w.store, events: w.events, at: i + 1, meanwhile: func() { other.do(w, m) }}
					if w.exchanger(sab.sabotaged).Handle(t.Context(), m) != nil {
						m.Delivery++
						w.run(w.exchanger(), m)
					}
					if s := w.secret(id); s != nil && s.Plan().Due(w.now()) {
						w.run(w.exchanger(), w.job(id))
					}
					w.checkRest(id)
				})
			}
		}
	}
}

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
	before, err := w.provider.Client(s.Credentials.ClientID)
	w.script(s, sandbox.Step{Times: 1, Hold: true})
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
	if n := len(w.events.about(id)); n != 1 {
		t.Errorf("%d events, want 1", n)
	}
	w.checkRest(id)
	w.wantRequests(id, 2)
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

// An exchanger that finds itself overtaken does not wait for the answer.
func TestOvertakenExchangeEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	partition := &partition{Store: w.store}
	h := w.hold(w.create(secret.OAuth2), over(partition), renewing)
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

// A hard stop in the middle of an exchange gives the claim back: another goes on
// at once, and no attempt is burnt.
func TestHardStop(t *testing.T) {
	t.Parallel()
	for _, refresh := range []bool{false, true} {
		t.Run(fmt.Sprintf("refresh=%t", refresh), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			s := w.create(secret.OAuth2)
			second := w.exchanger()
			if refresh {
				w.run(second, w.job(s.ID))
				w.clock.Store(w.secret(s.ID).NextAttemptAt.UnixMilli())
			}
			before := len(w.provider.AllRequests())
			h := w.hold(s)
			again := w.job(s.ID)
			again.Delivery = 2
			h.stop()
			err := <-h.done
			if _, retry := work.Retry(err); !errors.Is(err, errInterrupted) || retry || jobResult(err) != jobInterrupted {
				t.Errorf("error is %v", err)
			}
			stopped := w.now()
			w.run(second, again)
			if !w.now().Equal(stopped) {
				t.Errorf("it took %v of waiting", w.now().Sub(stopped))
			}
			got := w.secret(s.ID)
			if got.Attempts != 0 || (got.RefreshStatus == secret.Succeeded) != refresh {
				t.Errorf("record: %s", show(got))
			}
			w.checkRest(s.ID)
			w.wantRequests(s.ID, before+2)
			action := "exchange"
			if refresh {
				action = "refresh"
			}
			line := `rekindle_exchanges_total{action="` + action + `",kind="oauth2",outcome="unknown"}`
			if n, _ := w.metric(line); n != 1 {
				t.Errorf("%s is %v, want 1", line, n)
			}
		})
	}
}

// Once the provider has answered, nothing stops what follows.
func TestHardStopAfterTheAnswer(t *testing.T) {
	t.Parallel()
	for at := 2; at <= 5; at++ {
		t.Run(fmt.Sprint(at), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			s := w.create(secret.OAuth2)
			ctx, stop := context.WithCancel(t.Context())
			sab := &saboteur{inner: w.store, events: w.events, at: at, meanwhile: stop}
			if err := w.exchanger(sab.sabotaged).Handle(ctx, w.job(s.ID)); err != nil {
				t.Error(err)
			}
			w.checkRest(s.ID)
			w.wantRequests(s.ID, 1)
		})
	}
}

// An outcome is held as long as the store does not take it, and given up at
// last.
func TestStoreAway(t *testing.T) {
	t.Parallel()
	for _, away := range []time.Duration{commitPatience - time.Second, commitPatience + time.Second} {
		t.Run(away.String(), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			s := w.create(secret.OAuth2)
			m := w.job(s.ID)
			p := &outage{Store: w.store, world: w, from: 2, lasts: away}
			err := w.exchanger(over(p)).Handle(t.Context(), m)
			given := away > commitPatience
			if (err != nil) != given {
				t.Errorf("error is %v", err)
			}
			m.Delivery++
			w.run(w.exchanger(), m)
			w.checkRest(s.ID)
			requests := 1
			if given {
				requests = 2
			}
			w.wantRequests(s.ID, requests)
		})
	}
}

// outage is a store that goes away at a commit for some time. Each attempt to
// reach it takes a second.
type outage struct {
	state.Store
	world *world
	from  int
	lasts time.Duration

	commits int
	since   time.Time
}

func (o *outage) Commit(ctx context.Context, writes ...state.Write) (state.Revision, error) {
	if o.commits++; o.commits == o.from {
		o.since = o.world.now()
	}
	if o.commits >= o.from && o.world.now().Before(o.since.Add(o.lasts)) {
		o.world.advance(time.Second)
		return 0, errPartition
	}
	return o.Store.Commit(ctx, writes...)
}

// A person changes their mind while an exchange runs.
func TestChangeDuringExchange(t *testing.T) {
	t.Parallel()
	type result struct {
		Status   secret.Status
		Active   bool
		Events   []string
		Requests int
		Kept     []string // kinds of records that are left
	}
	all := []string{"artifact", "credential", "grant", "secret"}
	for _, tt := range []struct {
		name    string
		refresh bool
		change  func(w *world, s *secret.Secret)
		want    result
	}{
		{"delete, first exchange", false, func(w *world, s *secret.Secret) { s.Delete(w.now()) }, result{Requests: 1}},
		{"delete, refresh", true, func(w *world, s *secret.Secret) { s.Delete(w.now()) }, result{Events: []string{"1.succeeded"}, Requests: 2}},
		{
			"environment deleted, first exchange", false, func(w *world, s *secret.Secret) { s.Detach(w.now()) },
			// What a person waits for is brought to its end.
			result{secret.Succeeded, false, []string{"1.succeeded"}, 1, []string{"credential", "grant", "secret"}},
		},
		{
			"environment deleted, refresh", true, func(w *world, s *secret.Secret) { s.Detach(w.now()) },
			result{secret.Succeeded, false, []string{"1.succeeded"}, 2, []string{"credential", "grant", "secret"}},
		},
		{
			"asked again, first exchange", false, func(w *world, s *secret.Secret) { s.Ask(w.now()) },
			result{secret.Succeeded, true, []string{"2.succeeded"}, 2, all},
		},
		{
			"asked again, refresh", true, func(w *world, s *secret.Secret) { s.Ask(w.now()) },
			result{secret.Succeeded, true, []string{"1.succeeded", "3.succeeded"}, 3, all},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			s := w.create(secret.OAuth2)
			if tt.refresh {
				w.run(w.exchanger(), w.job(s.ID))
				w.clock.Store(w.secret(s.ID).NextAttemptAt.UnixMilli())
			}
			h := w.hold(s)
			w.update(s.ID, func(s *secret.Secret) { tt.change(w, s) })
			if err := h.release(); err != nil {
				t.Fatal(err)
			}
			if s := w.secret(s.ID); s != nil && s.Plan().Due(w.now()) {
				w.run(w.exchanger(), w.job(s.ID))
			}
			got := result{Requests: len(w.provider.AllRequests())}
			if s := w.secret(s.ID); s != nil {
				got.Status, got.Active = s.Status, !s.ActivatedAt.IsZero()
			}
			for _, e := range w.events.about(s.ID) {
				got.Events = append(got.Events, strings.TrimPrefix(e.ID, s.ID+"."))
			}
			for _, key := range w.keys(s.ID) {
				kind, _ := state.Split(key)
				got.Kept = append(got.Kept, kind)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			w.checkRest(s.ID)
		})
	}
}

func (a *audit) requestsOf(id string) map[uint64]int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return maps.Clone(a.requests[id])
}
