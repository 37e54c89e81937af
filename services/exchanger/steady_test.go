package exchanger

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/pkg/state/statetest"
	"github.com/rekindle-dev/rekindle/pkg/work"
)

// steadied is how long an exchanger has seen the store without a break.
type steadied struct{ atomic.Int64 }

func (s *steadied) edit(x *Exchanger) {
	x.Steady = func() time.Duration { return time.Duration(s.Load()) }
}

// A claim that could not be renewed, because the store was away, is not given up
// before its holder has had the time for it: it is alive, and waits for its answer.
func TestStoreWasAway(t *testing.T) {
	t.Parallel()
	for name, due := range map[string]func(w *world) *secret.Secret{
		"refresh token":      func(w *world) *secret.Secret { return w.rotating(strict()) },
		"client credentials": func(w *world) *secret.Secret { return w.create(secret.OAuth2) },
		"asked anew meanwhile": func(w *world) *secret.Secret {
			s := w.rotating(strict())
			told := *w.provider.arrival.Load()
			again := func(id string) {
				told(id)
				if id == s.ID && w.secret(id).Status == secret.Succeeded {
					w.update(id, func(s *secret.Secret) { s.Ask(w.now()) })
				}
			}
			w.provider.arrival.Store(&again)
			return s
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			store := &partition{Store: w.store}
			s := due(w)
			h := w.hold(s, using(store), renewing)
			requests := len(w.provider.AllRequests())
			heal := store.cut()
			w.advance(2 * claimLife)
			again := w.job(s.ID)
			again.Delivery = 2
			var steady steadied
			second := w.exchanger(steady.edit)
			for _, seen := range []time.Duration{0, time.Second, claimLife - 1} {
				steady.Store(int64(seen))
				err := second.Handle(t.Context(), again)
				if pause, _ := work.Retry(err); !errors.Is(err, errBusy) || pause != claimLife-seen {
					t.Fatalf("steady for %v: error is %v, to be tried after %v", seen, err, pause)
				}
			}
			heal()
			w.await(s.ID, func(g *secret.Grant) bool { return g.Claim.Until.Equal(w.now().Add(claimLife)) })
			steady.Store(int64(claimLife))
			if err := second.Handle(t.Context(), again); !errors.Is(err, errBusy) {
				t.Errorf("error is %v", err)
			}
			if got := len(w.provider.AllRequests()); got != requests {
				t.Errorf("%d requests while the first was waiting, want %d", got, requests)
			}
			if err := h.release(); err != nil {
				t.Error(err)
			}
			w.run(second, again)
			w.checkRest(s.ID)
		})
	}
}

// Whoever does not come back is thought dead when the store was there for as long as a
// claim lives; and before it is, nobody tests the secret either.
func TestSteadyStore(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.create(secret.OAuth2)
	sab := &saboteur{inner: w.store, events: w.events, at: 2, mode: diesBefore}
	process(w.exchanger(sab.sabotaged), w.job(s.ID))
	w.update(s.ID, func(s *secret.Secret) { s.Ask(w.now()) })
	w.advance(claimLife)
	var steady steadied
	x := w.exchanger(steady.edit)
	q := w.ask(s.ID)
	if err := x.Handle(t.Context(), q.Message); err != nil || !q.answer().Busy {
		t.Errorf("tested: %v", err)
	}
	again := w.job(s.ID)
	again.Delivery = 2
	if err := x.Handle(t.Context(), again); !errors.Is(err, errBusy) {
		t.Errorf("error is %v", err)
	}
	steady.Store(int64(claimLife))
	w.run(x, again)
	w.checkRest(s.ID)
	w.wantRequests(s.ID, 2)
}

// A claim is renewed as soon as the store is back, whether the write that fell into its
// absence failed or has still no answer.
func TestRenewedWhenTheStoreIsBack(t *testing.T) {
	t.Parallel()
	for name, away := range map[string]func(ctx context.Context) error{
		"refused":    func(context.Context) error { return errPartition },
		"unanswered": func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				st := &absence{Store: statetest.New(), away: away, from: began.Add(990 * time.Millisecond), to: began.Add(1100 * time.Millisecond)}
				x, err := New(Deps{
					Name: "exchanger-1", State: st, Keyring: newRing(t, began), Registry: prometheus.NewPedanticRegistry(),
					Logger: slog.New(slog.DiscardHandler),
				})
				if err != nil {
					t.Fatal(err)
				}
				c := &claim{x: x, secret: &secret.Secret{ID: "SE1", Decision: 1}, grant: new(secret.Grant)}
				if err := c.write(t.Context(), c.claimed(began, began.Add(claimLife))); err != nil {
					t.Fatal(err)
				}
				err = c.whileKept(t.Context(), func(ctx context.Context) {
					time.Sleep(writePatience + time.Second + 2*x.pace.retry)
				})
				if err != nil {
					t.Error(err)
				}
				// Since the store is back nobody may look at the claim yet, and it is renewed.
				if renewed := c.grant.Claim.Until.Add(-claimLife); !renewed.After(st.to) || !renewed.Before(st.to.Add(claimLife)) {
					t.Errorf("renewed %v after the start, the store was back after %v", renewed.Sub(began), st.to.Sub(began))
				}
			})
		})
	}
}

// absence is a store that is away for a while.
type absence struct {
	state.Store
	away     func(context.Context) error
	from, to time.Time
}

func (a *absence) Commit(ctx context.Context, writes ...state.Write) (state.Revision, error) {
	if now := time.Now(); now.After(a.from) && now.Before(a.to) {
		return 0, a.away(ctx)
	}
	return a.Store.Commit(ctx, writes...)
}
