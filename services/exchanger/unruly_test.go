package exchanger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/pkg/state/statetest"
	"github.com/rekindle-dev/rekindle/services/sandbox"
)

// What a run of the unruly fleet is made of.
const (
	unrulyTime    = 90 * time.Second
	unrulyWorkers = 4
	unrulyLife    = 30 * time.Second // of a value that somebody consented to
)

// unruly lets a few exchangers work on the same secrets, much more of it at once
// than any queue would hand out, while calls of the store are slow, fail, lose
// their answers, take effect long after they have failed, or answer from behind;
// exchangers stall for longer than their claims live, are stopped, or die. Time
// is a bubble's. It returns what they did.
//
// Blind, if not nil, says which grants are written whatever was there before.
func unruly(t *testing.T, seed uint64, blind func(*secret.Grant) bool) *history {
	t.Helper()
	h := &history{}
	synctest.Test(t, func(t *testing.T) {
		w := newWorldOf(t)
		store := &replica{Store: w.store.Store, past: map[string][]version{}, blind: blind}
		w.clock.Store(time.Now().UnixMilli())
		w.provider = newPipedProvider(t)
		ids := []string{w.create(secret.OAuth2).ID, w.unrulyGrant(h)}
		var all sync.WaitGroup
		end := time.Now().Add(unrulyTime)
		for n := range unrulyWorkers {
			p := &unrulyProcess{w: w, h: h, dice: newDice(seed, n), store: store, name: fmt.Sprintf("exchanger-%d", n)}
			all.Go(func() { p.work(ids, end) })
		}
		p := &unrulyProcess{w: w, h: h, dice: newDice(seed, unrulyWorkers), store: store}
		all.Go(func() { p.asPeople(ids, end) })
		all.Wait()
		time.Sleep(time.Minute) // for what is late
	})
	return h
}

// unrulyGrant is a secret that somebody has consented to, at a provider of which it is
// said that it takes a refresh token once, so that one that may be lost is not sent
// again for seconds. It is kinder, so that there is something to do to the end.
func (w *world) unrulyGrant(h *history) (id string) {
	rules := sandbox.RefreshTokens{Rotation: sandbox.RotationRotate, Grace: sandbox.Duration(time.Hour)}
	s := w.consented(w.exchanger(), sandbox.CodeFlow{Lifetime: sandbox.Duration(unrulyLife), RefreshTokens: rules}, declared(strict()))
	g := w.grant(s.ID)
	h.add(act{secret: s.ID, does: starts, decision: g.Outcome.Decision, token: tokenIn(g)}, h.tick(), done)
	return s.ID
}

// tokenIn is the decision that yielded the refresh token in a grant.
func tokenIn(g *secret.Grant) uint64 {
	if g.Consent == nil {
		return 0
	}
	return g.Consent.Generation
}

// saved reports whether a grant has the refresh token of a claim that was given up.
func saved(g *secret.Grant) bool {
	return g.Claim != nil && g.Claim.Until.IsZero() && g.Claim.Decision != noDecision && tokenIn(g) == g.Claim.Decision
}

// overIn is the decision that is given up in a grant, 0 for none. A test that comes
// after one that died gives the claim up that was there before both.
func overIn(g *secret.Grant) uint64 {
	if g.Claim == nil || !g.Claim.Until.IsZero() {
		return noDecision
	}
	return max(g.Claim.Decision, g.Claim.Last)
}

// asPeople decides that secrets are to be exchanged, and looks at what there is.
// To people nothing happens.
func (p *unrulyProcess) asPeople(ids []string, end time.Time) {
	for time.Now().Before(end) {
		time.Sleep(p.dice.upTo(2 * time.Second))
		id := ids[p.dice.below(len(ids))]
		if id == ids[0] && p.dice.below(3) == 0 {
			_, _, err := secret.Store{State: p.store}.Update(context.Background(), id, func(s *secret.Secret) error {
				s.Ask(time.Now())
				return nil
			})
			if err != nil {
				panic(err)
			}
			continue
		}
		called := p.h.tick()
		g, _, err := secret.Vault{State: p.store}.Grant(context.Background(), id)
		if err != nil {
			panic(err)
		}
		p.h.add(act{secret: id, does: looks}, called, sight(g))
	}
}

func sight(g *secret.Grant) (was saw) {
	was.token = tokenIn(g)
	if g.Outcome != nil {
		was.ended, was.claimed = g.Outcome.Decision, g.Outcome.Decision
	}
	if g.Claim != nil {
		was.claimed = g.Claim.Decision // 0 for that of a test, which hides the last
	}
	return was
}

// unrulyProcess is one exchanger at work on one job after the other, whose
// deliveries overlap with those of others. It notes in the
// history what the steps of the refresh cycle amount to.
type unrulyProcess struct {
	w     *world
	h     *history
	dice  *dice
	store *replica
	name  string

	mu      sync.Mutex
	stalled time.Time // until when nothing of this process moves
	now     string    // the secret at work on
	tests   bool      // at work on a test, not on what is due
	attempt int
	called  int64  // when what is under way was called
	doing   verb   // what is under way, empty for nothing
	wrote   uint64 // the decision of the claim that was written last
	token   uint64 // with it, or with its outcome
	unsure  bool   // what is under way may have been done without an answer
}

func (p *unrulyProcess) exchanger() *Exchanger {
	st := turbulence{p}
	x, err := New(Deps{
		Name: p.name, State: st, Events: p.w.events, Keyring: p.w.ring, Client: p.w.provider.client,
		Policy: secret.DefaultPolicy(), Apps: p.w.apps, Tracer: p.w.tracer, Registry: prometheus.NewPedanticRegistry(),
		Logger: slog.New(slog.DiscardHandler), Reached: p.reached,
	})
	if err != nil {
		panic(err)
	}
	return x
}

func (p *unrulyProcess) work(ids []string, end time.Time) {
	x := p.exchanger()
	for time.Now().Before(end) {
		time.Sleep(p.dice.upTo(time.Second))
		p.now = ids[p.dice.below(len(ids))]
		p.w.clock.Store(time.Now().UnixMilli())
		m := p.w.job(p.now)
		if p.tests = p.dice.below(6) == 0; p.tests {
			m = p.w.ask(p.now).Message
		}
		m.Delivery = 1 + p.dice.below(2)
		ctx, stop := context.WithCancel(context.Background())
		if p.dice.below(8) == 0 {
			ctx, stop = context.WithTimeout(ctx, p.dice.upTo(4*time.Second))
		}
		died := errors.New("died")
		handled := make(chan struct{})
		go func() {
			defer close(handled)
			died = x.Handle(ctx, m)
		}()
		<-handled
		stop()
		p.over(died)
	}
}

// reached notes where the cycle of this process is.
func (p *unrulyProcess) reached(s Step) {
	switch s {
	case StepPlan:
		p.over(nil)
		p.begin(claims)
	case StepClaim, StepGrant:
		p.ended(done)
	case StepExchange:
		p.begin(commits)
		if p.dice.below(4) == 0 {
			p.stall() // with an answer that nobody else has
		}
	case StepArtifact:
		p.forget() // the outcome was there already
	}
	p.luck()
}

func (p *unrulyProcess) begin(does verb) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.doing, p.called, p.unsure = does, p.h.tick(), false
	if does == claims {
		p.attempt, p.wrote = p.h.attempt(), 0
	}
}

func (p *unrulyProcess) ended(came answer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.doing != "" {
		p.h.add(act{p.now, p.doing, p.attempt, p.wrote, p.token}, p.called, came)
	}
	p.doing = ""
}

func (p *unrulyProcess) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.doing = ""
}

// over notes the end of a handling, or of one round of it: what was under way
// has failed, or nobody knows.
func (p *unrulyProcess) over(err error) {
	switch {
	case p.doing == commits && errors.Is(err, errFenced) && !p.unsure:
		p.ended(fenced)
	case p.doing == commits || p.unsure:
		p.ended(unknown)
	default:
		p.forget() // no claim was written
	}
}

// stall has nothing of a process move for a while.
func (p *unrulyProcess) stall() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stalled = time.Now().Add(p.dice.upTo(3 * claimLife))
}

// luck lets a process stall or die.
func (p *unrulyProcess) luck() {
	if p.dice.below(60) == 0 {
		p.stall()
	}
	p.mu.Lock()
	stall := time.Until(p.stalled)
	p.mu.Unlock()
	time.Sleep(max(stall, 0) + p.dice.upTo(100*time.Millisecond))
	if p.dice.below(150) == 0 {
		runtime.Goexit()
	}
}

// turbulence is the store as a process sees it.
type turbulence struct{ *unrulyProcess }

var errTurbulence = errors.New("the store does not answer")

func (s turbulence) Get(ctx context.Context, key string) ([]byte, state.Revision, error) {
	s.luck()
	switch s.dice.below(20) {
	case 0:
		return nil, 0, errTurbulence
	case 1:
		return s.store.earlier(key, s.dice.below(4))
	default:
		return s.store.Get(ctx, key)
	}
}

func (s turbulence) Follow(context.Context, []string, func(state.Change), func()) error {
	panic("exchangers follow nothing")
}

// Commit notes what a write means: it is the claim of an attempt, its outcome, or
// the end of a claim, this attempt's or that of another.
func (s turbulence) Commit(ctx context.Context, writes ...state.Write) (state.Revision, error) {
	g := grantIn(writes[0])
	if g == nil {
		return s.commit(ctx, writes)
	}
	token := tokenIn(g)
	switch {
	case s.tests && g.Claim != nil && g.Claim.Decision == noDecision:
		return s.add(ctx, tests, noDecision, token, writes)
	case s.tests:
		return s.add(ctx, returns, overIn(g), token, writes)
	case g.Claim == nil:
		return s.noted(ctx, commits, s.wrote, token, writes)
	case g.Claim.Until.IsZero() && g.Claim.Decision == noDecision:
		return s.add(ctx, returns, overIn(g), token, writes) // for a tester who is thought dead
	case saved(g):
		return s.add(ctx, saves, g.Claim.Decision, token, writes)
	case g.Claim.Until.IsZero():
		return s.add(ctx, givesUp, g.Claim.Decision, token, writes)
	default:
		return s.noted(ctx, claims, g.Claim.Decision, g.Claim.Token, writes)
	}
}

// add makes a write that is an act of its own.
func (s turbulence) add(ctx context.Context, does verb, d, token uint64, writes []state.Write) (state.Revision, error) {
	called, came := s.h.tick(), unknown
	defer func() {
		if came != fenced {
			s.h.add(act{s.now, does, s.attempt, d, token}, called, came)
		}
	}()
	rev, err := s.commit(ctx, writes)
	came = cameOf(err)
	return rev, err
}

// noted makes a write of what is under way, or another one meanwhile.
func (s turbulence) noted(ctx context.Context, does verb, d, token uint64, writes []state.Write) (state.Revision, error) {
	s.mu.Lock()
	before := s.unsure
	if s.doing == does {
		s.wrote, s.token, s.unsure = d, token, true // should it die in there
	}
	s.mu.Unlock()
	rev, err := s.commit(ctx, writes)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.doing == does {
		s.unsure = before || cameOf(err) != fenced
	}
	return rev, err
}

func cameOf(err error) answer {
	switch {
	case err == nil:
		return done
	case errors.Is(err, state.ErrConflict):
		return fenced
	default:
		return unknown
	}
}

func (s turbulence) commit(ctx context.Context, writes []state.Write) (state.Revision, error) {
	s.luck()
	switch s.dice.below(25) {
	case 0:
		return 0, errTurbulence
	case 1:
		if rev, err := s.store.Commit(ctx, writes...); err != nil {
			return rev, err
		}
		return 0, errTurbulence
	case 2:
		late := s.dice.upTo(2 * claimLife)
		go func() {
			time.Sleep(late)
			_, _ = s.store.Commit(context.WithoutCancel(ctx), writes...) // nobody hears of it
		}()
		return 0, errTurbulence
	}
	rev, err := s.store.Commit(ctx, writes...)
	s.luck()
	return rev, err
}

func grantIn(w state.Write) *secret.Grant {
	g := new(secret.Grant)
	if kind, _ := state.Split(w.Key); kind != "grant" || json.Unmarshal(w.Value, g) != nil {
		return nil
	}
	return g
}

// replica is a store that remembers what was there before.
type replica struct {
	*statetest.Store
	blind func(*secret.Grant) bool

	mu   sync.Mutex
	past map[string][]version
}

type version struct {
	value    []byte
	revision state.Revision
}

func (r *replica) Commit(ctx context.Context, writes ...state.Write) (state.Revision, error) {
	if g := grantIn(writes[0]); g != nil && r.blind != nil && r.blind(g) && saved(g) {
		time.Sleep(claimLife) // for others to come in between
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, w := range writes {
		value, rev, err := r.Get(ctx, w.Key)
		if err != nil && !errors.Is(err, state.ErrNotFound) {
			return 0, err
		}
		if g := grantIn(w); g != nil && r.blind != nil && r.blind(g) {
			writes[i].Expect = rev
		}
		if w.Expect == rev {
			r.past[w.Key] = append(r.past[w.Key], version{value, rev})
		}
	}
	return r.Store.Commit(ctx, writes...)
}

// earlier answers from so many versions behind.
func (r *replica) earlier(key string, behind int) ([]byte, state.Revision, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	past := r.past[key]
	if behind >= len(past) {
		return r.Get(context.Background(), key)
	}
	was := past[len(past)-1-behind]
	if was.revision == 0 { // from before there was any
		return nil, 0, state.ErrNotFound
	}
	return was.value, was.revision, nil
}

// dice are safe for concurrent use.
type dice struct {
	mu sync.Mutex
	r  *rand.Rand
}

func newDice(seed uint64, n int) *dice {
	return &dice{r: rand.New(rand.NewPCG(seed, uint64(n)))}
}

func (d *dice) below(n int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.r.IntN(n)
}

func (d *dice) upTo(most time.Duration) time.Duration {
	return time.Duration(d.below(int(most)))
}

// newPipedProvider returns a sandbox that is reached without a network, so that
// it goes into a bubble. It takes its time.
func newPipedProvider(t *testing.T) *tokenServer {
	t.Helper()
	l := pipes{calls: make(chan net.Conn), closed: make(chan struct{})}
	p := &tokenServer{Server: sandbox.New(sandbox.Config{OpenClients: true, TokenPrefix: plantedPrefix, Lifetime: tokenLifetime}), url: "http://127.0.0.1"}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(time.Duration(rand.Int64N(int64(3 * time.Second))))
		p.Handler().ServeHTTP(w, r)
	})}
	go func() { _ = srv.Serve(l) }()
	p.client = NewClient(EgressConfig{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Dial: l.dial})
	t.Cleanup(func() {
		p.client.Close()
		_ = srv.Close()
	})
	return p
}

// pipes is a listener in memory.
type pipes struct {
	calls  chan net.Conn
	closed chan struct{}
}

func (l pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case l.calls <- there:
		return here, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (l pipes) Accept() (net.Conn, error) {
	select {
	case c := <-l.calls:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l pipes) Close() error   { close(l.closed); return nil }
func (l pipes) Addr() net.Addr { return &net.TCPAddr{} }

// String is the history, for people.
func (h *history) String() string {
	var b strings.Builder
	for _, op := range h.done {
		fmt.Fprintf(&b, "%6d-%-6d %s %s\n", op.Call, min(op.Return, 999999), op.Input.(act).secret[:6], registers().DescribeOperation(op.Input, op.Output))
	}
	return b.String()
}
