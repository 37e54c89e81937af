package exchanger

import (
	"cmp"
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/pkg/state/statetest"
	"github.com/rekindle-dev/rekindle/pkg/work"
	"github.com/rekindle-dev/rekindle/services/sandbox"
)

// mode is what happens at an effect.
type mode int

const (
	works mode = iota
	fails
	answerLost
	diesBefore
	diesAfter
	behind // a read answers with what was there before the last change
)

func (m mode) String() string {
	return [...]string{"works", "fails", "answer lost", "dies before", "dies after", "behind"}[m]
}

// saboteur stands between an exchanger and the world. It counts effects, which
// are commits and announcements, and lets something happen at one of them. With
// its death the exchanger's goroutine ends where it is, as a killed process does:
// what was deferred finds a world that does nothing any more.
type saboteur struct {
	inner  state.Store
	events Events

	mu      sync.Mutex
	effects []string
	at      int    // at which of them: counted from 1,
	named   string // or the first of this name
	mode    mode
	dead    bool
	// meanwhile is what others do right before effect at.
	meanwhile func()
}

func (s *saboteur) Get(ctx context.Context, key string) ([]byte, state.Revision, error) {
	s.alive()
	return s.inner.Get(ctx, key)
}

func (s *saboteur) Follow(ctx context.Context, patterns []string, apply func(state.Change), caughtUp func()) error {
	return s.inner.Follow(ctx, patterns, apply, caughtUp)
}

func (s *saboteur) Commit(ctx context.Context, writes ...state.Write) (rev state.Revision, err error) {
	name := "commit"
	for _, w := range writes {
		kind, _ := state.Split(w.Key)
		if w.Value == nil {
			kind = "no " + kind
		}
		name += " " + kind
	}
	err = s.effect(name, func() error {
		// What is sent arrives, also when nobody waits for the answer any more.
		rev, err = s.inner.Commit(context.WithoutCancel(ctx), writes...)
		return cmp.Or(err, ctx.Err())
	})
	return rev, err
}

func (s *saboteur) Publish(ctx context.Context, e events.Event) error {
	return s.effect("announce", func() error { return s.events.Publish(ctx, e) })
}

func (s *saboteur) effect(name string, do func() error) error {
	s.alive()
	s.mu.Lock()
	s.effects = append(s.effects, name)
	mode := works
	struck := len(s.effects) == s.at || name == s.named
	if struck {
		mode, s.named = s.mode, ""
	}
	s.mu.Unlock()
	if struck && s.meanwhile != nil {
		s.meanwhile()
	}
	switch mode {
	case diesBefore:
		s.die()
	case fails:
		return statetest.ErrFault
	}
	if err := do(); err != nil {
		return err
	}
	switch mode {
	case diesAfter:
		s.die()
	case answerLost:
		return statetest.ErrFault
	}
	return nil
}

func (s *saboteur) alive() {
	s.mu.Lock()
	dead := s.dead
	s.mu.Unlock()
	if dead {
		runtime.Goexit()
	}
}

func (s *saboteur) die() {
	s.mu.Lock()
	s.dead = true
	s.mu.Unlock()
	runtime.Goexit()
}

// sabotaged makes an exchanger work with the saboteur.
func (s *saboteur) sabotaged(x *Exchanger) {
	using(s)(x)
	x.Events = s
}

// process handles a job in a goroutine of its own, and reports whether it came
// to its end.
func process(x *Exchanger, m work.Message) (lived bool, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		err = x.Handle(context.Background(), m)
		lived = true
	}()
	<-done
	return lived, err
}

// scenario is one thing that an exchanger does to a secret.
type scenario struct {
	name string
	// prepare returns a secret for which a job is due.
	prepare func(w *world, x *Exchanger) *secret.Secret
	// check looks at the secret after everything has been done.
	check func(w *world, id string)
	// requests is how many there are without a fault, those of prepare included.
	requests int
	// outcome is the number of the effect that makes an answer safe. Who dies
	// before it has lost the answer.
	outcome int
	// lost looks at the secret instead when the answer was lost; nil where check
	// holds then, too.
	lost func(w *world, id string)
	// once tells that what is sent, by who has claimed it with the first effect, is
	// good for one request. Nobody else sends it again: it is lost, too, with a
	// claim whose maker did not get to send it.
	once bool
}

// struck is what there is to see after something has happened at an effect.
func (sc scenario) struck(at int, mode mode) (requests int, check func(w *world, id string)) {
	switch lost := at == sc.outcome && mode == diesBefore; {
	case sc.once && at == 1 && (mode == answerLost || mode == diesAfter):
		return sc.requests - 1, sc.lost
	case lost && sc.once:
		return sc.requests, sc.lost
	case lost && sc.lost != nil:
		return sc.requests + 1, sc.lost
	case lost:
		return sc.requests + 1, sc.check
	default:
		return sc.requests, sc.check
	}
}

func scenarios() []scenario {
	exchanged := func(w *world, x *Exchanger) *secret.Secret {
		s := w.create(secret.OAuth2)
		w.run(x, w.job(s.ID))
		return s
	}
	due := func(w *world, x *Exchanger) *secret.Secret {
		s := exchanged(w, x)
		w.clock.Store(w.secret(s.ID).NextAttemptAt.UnixMilli())
		return s
	}
	killed := func(at ...int) func(w *world, x *Exchanger) *secret.Secret {
		return func(w *world, _ *Exchanger) *secret.Secret {
			s := w.create(secret.OAuth2)
			for _, at := range at {
				sab := &saboteur{inner: w.store, events: w.events, at: at, mode: diesBefore}
				process(w.exchanger(sab.sabotaged), w.job(s.ID))
				w.advance(claimLife)
			}
			return s
		}
	}
	current := func(status secret.Status) func(w *world, id string) {
		return func(w *world, id string) {
			w.t.Helper()
			s := w.secret(id)
			if s.Status != secret.Succeeded || s.RefreshStatus != status || s.Plan().Action != secret.Refresh || s.Attempts != 0 {
				w.t.Errorf("record: %s", show(s))
			}
			w.checkValue(s)
		}
	}
	return append([]scenario{
		{"first exchange", func(w *world, _ *Exchanger) *secret.Secret { return w.create(secret.OAuth2) }, current(""), 1, 2, nil, false},
		{"without environment", func(w *world, _ *Exchanger) *secret.Secret { return w.create(secret.OAuth2, loose) }, func(w *world, id string) {
			s := w.secret(id)
			if s.Status != secret.Succeeded || s.Plan().Action != secret.Rest {
				w.t.Errorf("record: %s", show(s))
			}
			w.checkValue(s)
		}, 1, 2, nil, false},
		{"refresh", due, current(secret.Succeeded), 2, 2, nil, false},
		{"refresh that fails", func(w *world, x *Exchanger) *secret.Secret {
			s := due(w, x)
			w.script(s, sandbox.Step{Status: 500})
			return s
		}, func(w *world, id string) {
			s := w.secret(id)
			if s.Status != secret.Succeeded || s.RefreshStatus != secret.Pending || s.Attempts != 1 || s.Plan().Action != secret.Refresh {
				w.t.Errorf("record: %s", show(s))
			}
			w.checkKept(s)
		}, 2, 2, nil, false},
		{"after a death before the answer was safe", killed(2), current(""), 2, 5, nil, false},
		{"after two deaths before the answer was safe", killed(2, 5), current(""), 3, 5, nil, false},
		{"after a death before the artifact", killed(3), current(""), 1, 0, nil, false},
		{"after a death before the record", killed(4), current(""), 1, 0, nil, false},
		{"withdraw", func(w *world, x *Exchanger) *secret.Secret {
			s := exchanged(w, x)
			w.update(s.ID, func(s *secret.Secret) { s.Detach(w.now()) })
			return s
		}, func(w *world, id string) {
			if s := w.secret(id); s.Deployed != "" || s.Plan().Action != secret.Rest || len(w.artifacts(id)) != 0 {
				w.t.Errorf("%d artifacts, record: %s", len(w.artifacts(id)), show(s))
			}
		}, 1, 0, nil, false},
		{"erase", func(w *world, x *Exchanger) *secret.Secret {
			s := exchanged(w, x)
			w.update(s.ID, func(s *secret.Secret) { s.Delete(w.now()) })
			return s
		}, func(w *world, id string) {
			if keys := w.keys(id); len(keys) != 0 {
				w.t.Errorf("left: %v", keys)
			}
		}, 1, 0, nil, false},
	}, consents()...)
}

// Whatever an exchanger does, something happens to it at every one of its
// effects, and another exchanger takes the job up.
func TestCrashes(t *testing.T) {
	t.Parallel()
	var table strings.Builder
	rows := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	fmt.Fprintln(rows, "scenario\teffect\twhat happens\trequests\tclaims\tannounced")
	for _, sc := range scenarios() {
		effects := append(sc.effects(t), "ack")
		for i, effect := range effects {
			for _, mode := range []mode{fails, answerLost, diesBefore, diesAfter} {
				if effect == "ack" && mode != diesBefore {
					continue // not the handler's
				}
				w := newWorld(t)
				id := sc.strike(w, i+1, mode)
				requests, check := sc.struck(i+1, mode)
				sent, announced := len(w.provider.AllRequests()), len(w.events.list) // check sends one more
				what := fmt.Sprintf("%s: %s at %d. %s", sc.name, mode, i+1, effect)
				ok := t.Run(what, func(t *testing.T) {
					w.t = t
					check(w, id)
					w.wantRequests(id, requests)
					w.checkClaims(id)
					w.checkAnnounced(id)
				})
				if !ok {
					t.Log(w.logs)
				}
				fmt.Fprintf(rows, "%s\t%d. %s\t%s\t%d\t%v\t%d\n",
					sc.name, i+1, effect, mode, sent, w.store.claims[id], announced)
			}
		}
	}
	rows.Flush()
	t.Logf("\n%s", table.String())
}

// effects lists the effects of the scenario without a fault.
func (sc scenario) effects(t *testing.T) []string {
	t.Helper()
	w := newWorld(t)
	sab := &saboteur{inner: w.store, events: w.events}
	s := sc.prepare(w, w.exchanger())
	if lived, err := process(w.exchanger(sab.sabotaged), w.job(s.ID)); err != nil || !lived {
		t.Fatalf("%s: %v", sc.name, err)
	}
	sc.check(w, s.ID)
	w.wantRequests(s.ID, sc.requests)
	if len(sab.effects) == 0 {
		t.Fatalf("%s: no effects", sc.name)
	}
	return sab.effects
}

// strike runs the scenario, with a fault, to its end.
func (sc scenario) strike(w *world, at int, mode mode) (id string) {
	w.t.Helper()
	id = sc.prepare(w, w.exchanger()).ID
	m := w.job(id)
	sab := &saboteur{inner: w.store, events: w.events, at: at, mode: mode}
	x := w.exchanger(sab.sabotaged)
	lived, _ := process(x, m)
	if lived == sab.dead {
		w.t.Fatalf("%s: the exchanger lived=%t", sc.name, lived)
	}
	m.Delivery++
	w.run(w.exchanger(), m)
	return id
}

// checkClaims fails the test unless claims were made in order, each of another
// decision.
func (w *world) checkClaims(id string) {
	w.t.Helper()
	claims := w.store.claims[id]
	if !slices.IsSorted(claims) || len(slices.Compact(slices.Clone(claims))) != len(claims) {
		w.t.Errorf("claims of decisions %v", claims)
	}
}

// checkAnnounced fails the test unless every outcome that was ever in the record
// was announced, as one event, and none of them as interrupted.
func (w *world) checkAnnounced(id string) {
	w.t.Helper()
	settled := w.store.settledOf(id)
	announced := map[string]bool{}
	for _, e := range w.events.about(id) {
		if strings.Contains(e.ID, ".reauthorize.") || strings.HasSuffix(e.ID, ".foreign") {
			continue // is about no outcome
		}
		if w.checkAlarm(e) {
			continue
		}
		i, interrupted := e.Data.(events.ExchangeInterrupted)
		if !interrupted {
			announced[e.ID] = true
		} else if slices.Contains(settled, fmt.Sprintf("%s.%d.succeeded", id, i.Generation)) {
			w.t.Errorf("%s was announced, but it was not: %v", e.ID, settled)
		}
	}
	for _, event := range settled {
		if !announced[event] {
			w.t.Errorf("%s was not announced: %v", event, announced)
		}
	}
	if len(announced) != len(settled) {
		w.t.Errorf("announced %v, settled %v", announced, settled)
	}
}
