package exchanger

import (
	"context"
	"errors"
	"testing"

	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/pkg/work"
)

// After an outage of the store the job may come again before the outcome is stored
// that was held meanwhile. Its exchanger does not give it up for lost.
func TestJobComesBackBeforeTheOutcomeIsStored(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.create(secret.OAuth2)
	out := &blackout{Store: w.store}
	x := w.exchanger(using(out))
	x.Reached = func(at Step) {
		if at != StepExchange || out.was {
			return
		}
		out.back = func() {
			w.advance(2 * claimLife)
			again := w.job(s.ID)
			again.Delivery = 2
			if _, retry := work.Retry(x.Handle(t.Context(), again)); !retry {
				t.Error("the job is not to come again")
			}
		}
	}
	w.run(x, w.job(s.ID))
	if !out.was {
		t.Error("the store never failed")
	}
	if got := w.secret(s.ID); got.Status != secret.Succeeded || got.Generation != 1 {
		t.Errorf("record: %s", show(got))
	}
	w.checkRest(s.ID)
	w.wantRequests(s.ID, 1)
}

// blackout is a store that fails to commit once; back is what happens when it is back.
type blackout struct {
	state.Store
	back func()
	was  bool
}

func (o *blackout) Commit(ctx context.Context, writes ...state.Write) (state.Revision, error) {
	if back := o.back; back != nil {
		o.back, o.was = nil, true
		back()
		return 0, errors.New("no connection")
	}
	return o.Store.Commit(ctx, writes...)
}
