package exchanger

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/pkg/work"
)

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

// Once the provider has answered, nothing stops what follows, and nothing stops
// a withdrawal.
func TestHardStopBetweenEffects(t *testing.T) {
	t.Parallel()
	for _, sc := range scenarios() {
		effects := sc.effects(t)
		for i, effect := range effects {
			t.Run(fmt.Sprintf("%s: before %d. %s", sc.name, i+1, effect), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				id := sc.prepare(w, w.exchanger()).ID
				m := w.job(id)
				stopped := w.now()
				before := len(w.provider.AllRequests())
				ctx, stop := context.WithCancel(t.Context())
				sab := &saboteur{inner: w.store, events: w.events, at: i + 1, meanwhile: stop}
				err := w.exchanger(sab.sabotaged).Handle(ctx, m)
				asked := len(w.provider.AllRequests()) > before
				mayStop := sc.name == "erase" || sc.name == "reminder" || strings.HasPrefix(sc.name, "giving up")
				if mayStop = mayStop || i+1 < sc.outcome && !asked; err != nil && !mayStop {
					t.Errorf("stopped: %v", err)
				}
				if err != nil {
					m.Delivery++
					w.run(w.exchanger(), m)
				}
				if !w.now().Equal(stopped) {
					t.Errorf("it took %v of waiting", w.now().Sub(stopped))
				}
				sc.check(w, id)
				w.wantRequests(id, sc.requests)
			})
		}
	}
}

// An outcome is held while the store does not take it, whatever the clock says, and
// given up at last. One that may be nowhere else, a refresh token, is given up by
// nobody but a process that was told to hurry.
func TestStoreAway(t *testing.T) {
	t.Parallel()
	code := func(w *world) *secret.Secret { return w.create(secret.OAuth2) }
	renewal := func(w *world) *secret.Secret { return w.rotating(strict()) }
	for name, tt := range map[string]struct {
		due      func(w *world) *secret.Secret
		patience time.Duration
		hurried  bool
		given    bool
	}{
		"value":                 {code, commitPatience, false, false},
		"value, out of time":    {code, 0, false, true},
		"token":                 {renewal, commitPatience, false, false},
		"token, out of time":    {renewal, 0, false, false},
		"token, hurried":        {renewal, commitPatience, true, false},
		"token, hurried to end": {renewal, 0, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			s := tt.due(w)
			before := len(w.provider.AllRequests())
			m := w.job(s.ID)
			ctx, hurry := context.WithCancel(t.Context())
			defer hurry()
			p := &outage{Store: w.store, world: w, from: 2, lasts: 2 * commitPatience}
			if tt.hurried {
				p.begins = hurry
			}
			x := w.exchanger(using(p))
			x.pace.patience = tt.patience
			if err := x.Handle(ctx, m); (err != nil) != tt.given {
				t.Errorf("error is %v", err)
			}
			if given := p.commits == 2; given != tt.given {
				t.Errorf("it tried %d times", p.commits-1)
			}
			if tt.given && name != "value, out of time" {
				return // what follows is about lost answers
			}
			m.Delivery++
			w.advance(claimLife)
			w.run(w.exchanger(), m)
			w.checkRest(s.ID)
			want := 1
			if tt.given {
				want = 2
			}
			if got := len(w.provider.AllRequests()) - before; got != want {
				t.Errorf("%d requests, want %d", got, want)
			}
		})
	}
}

// outage is a store that goes away at a commit for some time by the clock. With
// each attempt to reach it a second goes by.
type outage struct {
	state.Store
	world  *world
	from   int
	lasts  time.Duration
	begins func() // unless nil, it is told

	commits int
	since   time.Time
}

func (o *outage) Commit(ctx context.Context, writes ...state.Write) (state.Revision, error) {
	if o.commits++; o.commits == o.from {
		o.since = o.world.now()
		if o.begins != nil {
			o.begins()
		}
	}
	if o.commits >= o.from && o.world.now().Before(o.since.Add(o.lasts)) {
		o.world.advance(time.Second)
		return 0, errPartition
	}
	return o.Store.Commit(ctx, writes...)
}
