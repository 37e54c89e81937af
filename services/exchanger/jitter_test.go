package exchanger

import (
	"testing"
	"time"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/secret"
)

// The moment of the next refresh is decided with the exchange: earlier than the
// refresh_at that is shown and told, and told as well.
func TestRefreshBeginsEarly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	window := secret.DefaultPolicy().Window(secret.OAuth2)
	window.Jitter = 12 * time.Hour
	x := w.exchanger(func(x *Exchanger) { x.Policy = secret.Policy{secret.OAuth2: window} })
	s := w.create(secret.OAuth2)
	began := w.now()
	w.run(x, w.job(s.ID))
	got := w.secret(s.ID)
	refreshAt := began.Add(tokenLifetime - tokenOffset)
	next := window.NextAt(s.ID, 1, began, refreshAt)
	if !next.Before(refreshAt) || !got.RefreshAt.Equal(refreshAt) || !got.NextAttemptAt.Equal(next) {
		t.Errorf("refresh at %v, next attempt at %v; want %v and, before that, %v", got.RefreshAt, got.NextAttemptAt, refreshAt, next)
	}
	told := w.events.about(s.ID)[0].Data.(events.ExchangeSucceeded)
	if !told.RefreshAt.Equal(refreshAt) || !told.NextAttemptAt.Equal(next) {
		t.Errorf("told of %v and %v", told.RefreshAt, told.NextAttemptAt)
	}
	w.advance(next.Sub(w.now()))
	w.run(x, w.job(s.ID))
	if got := w.secret(s.ID); got.Generation != 2 || got.RefreshAt.Sub(next) != tokenLifetime-tokenOffset {
		t.Errorf("refreshed early: %s", show(got))
	}
}
