package exchanger

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state"
)

// On a cluster any read may be answered from behind. It costs time, at most.
func TestReadsFromBehind(t *testing.T) {
	t.Parallel()
	for _, sc := range scenarios() {
		if sc.name == "erase" {
			continue // what is removed, and how, is the vault's to know
		}
		for _, lost := range []int{0, sc.outcome} {
			for n := 1; ; n++ {
				w := newWorld(t)
				id := sc.prepare(w, w.exchanger()).ID
				m := w.job(id)
				lag := &lagging{audit: w.store, at: n}
				sab := &saboteur{inner: lag, events: w.events, at: lost, mode: answerLost}
				err := w.exchanger(sab.sabotaged).Handle(t.Context(), m)
				if lag.reads < n {
					break
				}
				t.Run(fmt.Sprintf("%s: read %d of %s, answer %d lost", sc.name, n, lag.key, lost), func(t *testing.T) {
					w.t = t
					if err != nil {
						m.Delivery++
						w.run(w.exchanger(), m)
					}
					if s := w.secret(id); s != nil && s.Plan().Due(w.now()) {
						w.run(w.exchanger(), w.job(id))
					}
					sc.check(w, id)
					w.wantRequests(id, sc.requests)
					w.checkClaims(id)
				})
			}
		}
	}
}

// An exchanger that cannot tell whether its commit was made is not misled by a
// read from before its claim.
func TestRereadFromBeforeTheClaim(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.create(secret.OAuth2)
	w.run(w.exchanger(), w.job(s.ID))
	w.clock.Store(w.secret(s.ID).NextAttemptAt.UnixMilli())
	body, rev, err := w.store.Get(t.Context(), state.GrantKey(s.ID))
	if err != nil {
		t.Fatal(err)
	}
	past := &past{Store: w.store, key: state.GrantKey(s.ID), body: body, rev: rev}
	sab := &saboteur{inner: past, events: w.events, at: 2, mode: answerLost, meanwhile: func() { past.on = true }}
	if err := w.exchanger(sab.sabotaged).Handle(t.Context(), w.job(s.ID)); err != nil {
		t.Error(err)
	}
	if past.on {
		t.Error("the grant was not read again")
	}
	w.checkRest(s.ID)
	w.wantRequests(s.ID, 2)
}

// Neither is one who reads that there never was a grant, although it has written it.
// Where the secret is gone, that is so.
func TestRereadFromBeforeTheGrant(t *testing.T) {
	t.Parallel()
	for _, deleted := range []bool{false, true} {
		t.Run(fmt.Sprintf("deleted=%t", deleted), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			s := w.create(secret.OAuth2)
			past := &past{Store: w.store, key: state.GrantKey(s.ID)}
			sab := &saboteur{inner: past, events: w.events, at: 2, mode: answerLost, meanwhile: func() {
				past.on = true
				if deleted {
					w.update(s.ID, func(s *secret.Secret) { s.Delete(w.now()) })
				}
			}}
			m := w.job(s.ID)
			err := w.exchanger(sab.sabotaged).Handle(t.Context(), m)
			if past.on || errors.Is(err, errFenced) != deleted || err != nil != deleted {
				t.Errorf("read again: %t, error is %v", !past.on, err)
			}
			if deleted {
				m.Delivery++
				w.run(w.exchanger(), m)
			}
			w.checkRest(s.ID)
			w.wantRequests(s.ID, 1)
		})
	}
}

// past is a store that, when it is on, answers one read with an old record.
type past struct {
	state.Store
	key  string
	body []byte
	rev  state.Revision
	on   bool
}

func (p *past) Get(ctx context.Context, key string) ([]byte, state.Revision, error) {
	if p.on && key == p.key {
		p.on = false
		if p.rev == 0 {
			return nil, 0, state.ErrNotFound
		}
		return p.body, p.rev, nil
	}
	return p.Store.Get(ctx, key)
}

// lagging is a store whose at-th read does not know of the last change.
type lagging struct {
	*audit
	at, reads int
	key       string
}

func (l *lagging) Get(ctx context.Context, key string) ([]byte, state.Revision, error) {
	if l.reads++; l.reads != l.at {
		return l.audit.Get(ctx, key)
	}
	l.key, _ = state.Split(key)
	return l.before(key)
}

// unreadable is a store that cannot read a record.
type unreadable struct {
	state.Store
	key string
}

func (u *unreadable) Get(ctx context.Context, key string) ([]byte, state.Revision, error) {
	if key == u.key {
		return nil, 0, errPartition
	}
	return u.Store.Get(ctx, key)
}
