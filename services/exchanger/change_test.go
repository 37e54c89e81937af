package exchanger

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/pkg/work"
)

// checkRest fails the test unless all that is left of a secret to which nothing
// is due is what should be.
func (w *world) checkRest(id string) {
	w.t.Helper()
	w.checkClaims(id)
	w.checkAnnounced(id)
	for decision, n := range w.store.requestsOf(id) {
		if n > 1 && decision != noDecision {
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
	if claim := w.grant(id).Claim; claim != nil && claim.Decision >= s.Decision {
		w.t.Errorf("decision %d is claimed", claim.Decision)
	}
	found := w.artifacts(id)
	if s.Environment == "" {
		if len(found) != 0 {
			w.t.Errorf("an artifact nobody knows of: %s", show(found))
		}
		return
	}
	if s.Kind.Expires() && s.Plan().Action != secret.Refresh {
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

// What a late exchanger deploys while its value is being withdrawn does not
// stay.
func TestDeployedDuringWithdrawal(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.create(secret.OAuth2)
	first := w.job(s.ID)
	stalls, goesOn, ended := make(chan struct{}), make(chan struct{}), make(chan struct{})
	slow := &saboteur{inner: w.store, events: w.events, at: 3, meanwhile: func() {
		close(stalls)
		<-goesOn
	}}
	x := w.exchanger(slow.sabotaged)
	go func() {
		defer close(ended)
		if err := x.Handle(context.Background(), first); err != nil {
			t.Error(err)
		}
	}()
	<-stalls // before its artifact
	w.update(s.ID, func(s *secret.Secret) { s.Detach(w.now()) })
	w.advance(claimLife)
	clears := &saboteur{inner: w.store, events: w.events, at: 1, meanwhile: func() { close(goesOn); <-ended }}
	again := w.job(s.ID)
	again.Delivery = 2
	if err := w.exchanger(clears.sabotaged).Handle(t.Context(), again); err != nil {
		t.Error(err)
	}
	w.checkRest(s.ID)
}

// An outcome that is found after its environment is gone is not deployed, so
// that a death right then leaves nothing that is forgotten by the next decision.
func TestOutcomeFoundAfterWithdrawal(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.create(secret.OAuth2)
	die := func(before string) {
		t.Helper()
		sab := &saboteur{inner: w.store, events: w.events, named: before, mode: diesBefore}
		if lived, _ := process(w.exchanger(sab.sabotaged), w.job(s.ID)); lived {
			t.Fatal("it lived")
		}
	}
	die("commit artifact")
	w.update(s.ID, func(s *secret.Secret) { s.Detach(w.now()) })
	if err := w.exchanger().Handle(t.Context(), w.job(s.ID)); err != nil { // withdraws
		t.Fatal(err)
	}
	die("commit secret")
	w.update(s.ID, func(s *secret.Secret) { s.Ask(w.now()) })
	w.run(w.exchanger(), w.job(s.ID))
	w.checkRest(s.ID)
	w.wantRequests(s.ID, 2)
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
			result{secret.Succeeded, false, []string{"1.succeeded", "2.interrupted"}, 2, []string{"credential", "grant", "secret"}},
		},
		{
			"asked again, first exchange", false, func(w *world, s *secret.Secret) { s.Ask(w.now()) },
			result{secret.Succeeded, true, []string{"1.interrupted", "2.succeeded"}, 2, all},
		},
		{
			"asked again, refresh", true, func(w *world, s *secret.Secret) { s.Ask(w.now()) },
			result{secret.Succeeded, true, []string{"1.succeeded", "2.interrupted", "3.succeeded"}, 3, all},
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

// What cannot be read is erased like everything else.
func TestEraseDamaged(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	x := w.exchanger()
	s := w.create(secret.OAuth2)
	w.run(x, w.job(s.ID))
	w.overwrite(state.GrantKey(s.ID), "damaged")
	w.update(s.ID, func(s *secret.Secret) { s.Detach(w.now()) })
	w.run(x, w.job(s.ID))
	if got := w.secret(s.ID); got.Deployed != "" || len(w.artifacts(s.ID)) != 0 {
		t.Errorf("not withdrawn: %s", show(got))
	}
	w.update(s.ID, func(s *secret.Secret) { s.Delete(w.now()) })
	m := w.job(s.ID)
	m.Delivery = 2
	w.run(x, m)
	if keys := w.keys(s.ID); len(keys) != 0 {
		t.Errorf("left: %v", keys)
	}
}

// For an exchange a grant must be readable: what it says is not to be forgotten.
func TestNoExchangeWithDamagedGrant(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.create(secret.OAuth2)
	w.run(w.exchanger(), w.job(s.ID))
	w.overwrite(state.GrantKey(s.ID), "damaged")
	w.update(s.ID, func(s *secret.Secret) { s.Ask(w.now()) })
	if err := w.exchanger().Handle(t.Context(), w.job(s.ID)); !errors.Is(err, secret.ErrDamaged) {
		t.Errorf("error is %v", err)
	}
	w.wantRequests(s.ID, 1)
}
