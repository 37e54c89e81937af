package exchanger

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/provider"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/services/sandbox"
)

// rotationQuirks are about what using a refresh token does to it.
func rotationQuirks() []quirk {
	return []quirk{
		{"20_rotation_without_grace", committedFirst},
		{"21_replay_returns_the_same_pair", func(t *testing.T) {
			survivesLoss(t, "workos", 20*time.Second, 0, sandbox.RefreshTokens{Grace: sandbox.Duration(30 * time.Second), Replay: true})
		}},
		{"22_grace_of_a_minute", func(t *testing.T) {
			survivesLoss(t, "cognito", 50*time.Second, time.Minute, sandbox.RefreshTokens{Grace: sandbox.Duration(time.Minute)})
		}},
		{"23_leeway_of_ten_minutes", func(t *testing.T) {
			survivesLoss(t, "atlassian", 9*time.Minute, 0, sandbox.RefreshTokens{Grace: sandbox.Duration(10 * time.Minute)})
		}},
		{"24_leeway_of_one_generation", func(t *testing.T) {
			survivesLoss(t, "auth0", 6*time.Hour, 30*day, sandbox.RefreshTokens{Grace: sandbox.Duration(30 * day)})
		}},
		{"25_same_value_or_a_day_of_both", func(t *testing.T) {
			survivesLoss(t, "quickbooks", 6*time.Hour, 0, sandbox.RefreshTokens{Grace: sandbox.Duration(day)})
			w := newWorld(t)
			x := w.exchanger()
			s := w.consented(x, sandbox.CodeFlow{RefreshTokens: sandbox.RefreshTokens{Rotation: sandbox.RotationRepeat}}, like(t, "quickbooks"))
			w.refreshes(x, s.ID, 3)
		}},
		{"26_no_refresh_token_in_the_answer", func(t *testing.T) {
			w := newWorld(t)
			x := w.exchanger()
			s := w.consented(x, sandbox.CodeFlow{Lifetime: sandbox.Duration(time.Hour)}, like(t, "google"))
			w.refreshes(x, s.ID, 3)
		}},
		{"27_rotation_left_out", rotationLeftOut},
		{"28_no_refresh_token_with_second_consent", noTokenWithSecondConsent},
	}
}

// refreshes has the secret refreshed n times, and fails the test unless each
// time it is with a refresh token that goes on working.
func (w *world) refreshes(x *Exchanger, id string, n int) {
	w.t.Helper()
	before := len(w.provider.AllRequests())
	for range n {
		w.runDue(x, id)
		if got := w.secret(id); got.RefreshStatus != secret.Succeeded || got.Attempts != 0 {
			w.t.Fatalf("record: %s", show(got))
		}
	}
	w.checkValue(w.secret(id))
	w.wantRequests(id, before+n)
	w.checkRefreshable(id)
}

// dying makes an exchanger die where it comes to a step.
func dying(at Step) func(*Exchanger) {
	return func(x *Exchanger) {
		x.Reached = func(s Step) {
			if s == at {
				runtime.Goexit()
			}
		}
	}
}

// loseAnswer has the provider answer a refresh to an exchanger that dies with it.
func (w *world) loseAnswer(id string) {
	w.t.Helper()
	w.clock.Store(max(w.clock.Load(), w.secret(id).Plan().At.UnixMilli()))
	if lived, err := process(w.exchanger(dying(StepExchange)), w.job(id)); lived {
		w.t.Fatalf("it lived: %v", err)
	}
}

// redeliver runs the job that the queue hands out once more.
func (w *world) redeliver(x *Exchanger, id string) {
	w.t.Helper()
	m := w.job(id)
	m.Delivery++
	w.run(x, m)
}

// survivesLoss has an answer lost at a provider that rotates and would end the
// grant over a token that it takes for stolen, and fails the test unless after
// an outage of the fleet the secret is refreshed all the same.
func survivesLoss(t *testing.T, name string, outage, grace time.Duration, rules sandbox.RefreshTokens) {
	t.Helper()
	w := newWorld(t)
	x := w.exchanger()
	rules.Rotation, rules.DetectReuse = sandbox.RotationRotate, true
	s := w.consented(x, sandbox.CodeFlow{RefreshTokens: rules}, like(t, name, func(d *provider.Descriptor) {
		if grace > 0 {
			d.Refresh.Rotates, d.Refresh.Grace, d.Refresh.GraceGenerations = true, grace, 1
		}
	}))
	w.runDue(x, s.ID)
	w.loseAnswer(s.ID)
	w.advance(outage)
	w.redeliver(w.exchanger(), s.ID)
	if got := w.secret(s.ID); got.RefreshStatus != secret.Succeeded || got.Authorization.Required {
		t.Fatalf("record: %s", show(got))
	}
	grant := w.grants(s.ID)[0]
	for _, token := range grant.RefreshTokens {
		if token.Number == 1 && token.Presented != 1 || token.Presented > 2 {
			t.Errorf("refresh token %d was sent %d times", token.Number, token.Presented)
		}
	}
	if grant.Ended != "" {
		t.Errorf("the grant has ended: %s", grant.Ended)
	}
	w.refreshes(x, s.ID, 2)
}

// What came is committed, with the refresh token in it, before anything else is
// done, and whoever comes after a crash goes on without another request.
func committedFirst(t *testing.T) {
	w := newWorld(t)
	x := w.exchanger()
	s := w.consented(x, sandbox.CodeFlow{RefreshTokens: strict()}, like(t, "okta", func(d *provider.Descriptor) { d.Refresh.Grace = 0 }))
	w.clock.Store(w.secret(s.ID).Plan().At.UnixMilli())
	var mu sync.Mutex
	var order []string
	note := func(what string) {
		mu.Lock()
		defer mu.Unlock()
		order = append(order, what)
	}
	told := *w.provider.arrival.Load()
	arrived := func(id string) { note("request"); told(id) }
	w.provider.arrival.Store(&arrived)
	sab := &saboteur{inner: w.store, events: w.events, named: "commit artifact", mode: diesBefore}
	y := w.exchanger(sab.sabotaged)
	y.Reached = func(at Step) { note(string(at)) }
	if lived, err := process(y, w.job(s.ID)); lived {
		t.Fatalf("it lived: %v", err)
	}
	i := slices.Index(order, "request")
	if rest := strings.Join(order[i:], " "); rest != "request exchange grant" || sab.effects[len(sab.effects)-2] != "commit grant" {
		t.Errorf("after the request: %s, effects %q", rest, sab.effects)
	}
	w.advance(claimLife)
	w.redeliver(w.exchanger(), s.ID)
	w.wantRequests(s.ID, 2)
	w.refreshes(x, s.ID, 2)
}

// A provider that is known to rotate and does not: the value is good, and the
// refresh token that was used stays, for there is no other. It is said as long as
// that is so.
func rotationLeftOut(t *testing.T) {
	w := newWorld(t)
	x := w.exchanger()
	s := w.consented(x, sandbox.CodeFlow{}, like(t, "okta"))
	w.warns(s.ID)
	sealed := w.grant(s.ID).Consent.Sealed
	w.runDue(x, s.ID)
	if got := w.grant(s.ID).Consent.Sealed; string(got) != string(sealed) {
		t.Error("the refresh token was replaced by nothing")
	}
	w.warns(s.ID, events.WarningRotationLeftOut)
	w.register(s, w.apps[acme].Provider, sandbox.CodeFlow{RefreshTokens: sandbox.RefreshTokens{Rotation: sandbox.RotationRotate}})
	w.runDue(x, s.ID)
	w.warns(s.ID)
	w.refreshes(x, s.ID, 1)
}

// Without forced consent a second one brings no refresh token: the one there is
// serves on with the scopes that were granted now, it is said, and the next dialog
// forces consent. That it is surely the same account's is a condition, and that it
// was not refused.
func noTokenWithSecondConsent(t *testing.T) {
	offline := sandbox.CodeFlow{Lifetime: sandbox.Duration(time.Hour), RefreshTokens: sandbox.RefreshTokens{Issue: sandbox.IssueOffline}}
	unforced := func(d *provider.Descriptor) { delete(d.AuthorizeParams, "approval_prompt") }
	again := func(edits ...func(*provider.Descriptor)) (*world, *Exchanger, *secret.Secret) {
		w := newWorld(t)
		x := w.exchanger()
		s := w.consented(x, offline, like(t, "google", append(edits, unforced)...))
		w.advance(time.Minute)
		w.consent(s.ID)
		return w, x, s
	}
	w, x, s := again()
	before, stored := w.secret(s.ID), w.grant(s.ID).Consent
	w.run(x, w.job(s.ID))
	got := w.secret(s.ID)
	if a := got.Authorization; a.Failure != nil || !a.ConsentedAt.IsZero() || !a.ForceConsent || got.Generation == before.Generation {
		t.Errorf("record: %s", show(got))
	}
	w.warns(s.ID, events.WarningRefreshTokenKept)
	if now := w.grant(s.ID).Consent; string(now.Sealed) != string(stored.Sealed) || !now.AuthorizedAt.Equal(stored.AuthorizedAt) || !now.EndsAt.Equal(stored.EndsAt) {
		t.Errorf("in place of the stored one: %s", show(now))
	}
	w.runDue(x, s.ID)
	w.warns(s.ID)
	w.consent(s.ID)
	w.run(x, w.job(s.ID))
	now := w.grant(s.ID).Consent
	if a := w.secret(s.ID).Authorization; a.ForceConsent || string(now.Sealed) == string(stored.Sealed) {
		t.Errorf("with forced consent: %s", show(a))
	}
	w.refreshes(x, s.ID, 1)

	for name, otherwise := range map[string]func(w *world, s *secret.Secret){
		"refused before": func(w *world, s *secret.Secret) {
			w.update(s.ID, func(s *secret.Secret) { s.Authorization.Strikes = 1 })
		},
		"ended before": func(w *world, s *secret.Secret) {
			w.update(s.ID, func(s *secret.Secret) { s.Authorization.EndedAt = w.now() })
		},
		"of another app": func(w *world, s *secret.Secret) {
			w.regrant(s.ID, func(c *secret.ConsentGrant) { c.ClientID = "another" })
		},
		"account unknown": func(w *world, s *secret.Secret) { w.regrant(s.ID, func(c *secret.ConsentGrant) { c.Account = "" }) },
		"account never told": func(w *world, s *secret.Secret) {
			w.regrant(s.ID, func(c *secret.ConsentGrant) { c.Account = "" })
			w.script(s, sandbox.Step{Omit: []string{"id_token"}})
		},
		"another account": func(w *world, s *secret.Secret) {
			w.regrant(s.ID, func(c *secret.ConsentGrant) { c.Account = "another" })
		},
	} {
		w, x, s := again()
		otherwise(w, s)
		w.run(x, w.job(s.ID))
		a := w.secret(s.ID).Authorization
		if a.Failure == nil || a.Failure.Reason != string(events.ReasonNoRefreshToken) || !a.ForceConsent {
			t.Errorf("%s: %s", name, show(a))
		}
	}
}

// regrant changes what the consent in use yielded, which nobody but a fault does.
func (w *world) regrant(id string, change func(*secret.ConsentGrant)) {
	w.t.Helper()
	g := w.grant(id)
	change(g.Consent)
	w.overwrite(state.GrantKey(id), g)
}

// warns fails the test unless these are the warnings of the secret: in the record,
// and in the event that was published last.
func (w *world) warns(id string, want ...events.WarningCode) {
	w.t.Helper()
	var stands, said []events.WarningCode
	for _, warned := range w.secret(id).Warnings {
		stands = append(stands, events.WarningCode(warned.Code))
		counted := fmt.Sprintf("rekindle_exchange_warnings_total{warning=%q}", warned.Code)
		if n, _ := w.metric(counted); n == 0 {
			w.t.Errorf("%s is not counted", warned.Code)
		}
	}
	about := w.events.about(id)
	if last, ok := about[len(about)-1].Data.(events.ExchangeSucceeded); ok {
		for _, warned := range last.Warnings {
			said = append(said, warned.Code)
		}
	}
	if !slices.Equal(stands, want) || !slices.Equal(said, want) {
		w.t.Errorf("warnings %q, announced %q, want %q", stands, said, want)
	}
}

// lossQuirks are about answers that do not arrive.
func lossQuirks() []quirk {
	return []quirk{
		{"51_broken_after_send", brokenAfterSend},
		{"52_timeout_then_late_success", lateSuccess},
		{"66_same_access_token_again", sameAccessToken},
		{"68_two_at_the_same_generation", twoAtOneGeneration},
		{"69_killed_at_each_step", killedAtEachStep},
	}
}

// leeway is a provider that rotates and leaves time for an answer that was lost.
func leeway() (sandbox.CodeFlow, func(*provider.Descriptor)) {
	rules := strict()
	rules.Grace = sandbox.Duration(30 * time.Second)
	return sandbox.CodeFlow{RefreshTokens: rules}, func(d *provider.Descriptor) {
		d.Refresh = provider.Refresh{Rotates: true, Grace: 30 * time.Second, GraceGenerations: 1}
	}
}

// Whether the token was rotated, nobody knows: it is sent again within the grace.
func brokenAfterSend(t *testing.T) {
	for name, step := range map[string]sandbox.Step{
		"reset":   {Times: 1, Fault: sandbox.FaultReset},
		"dropped": {Times: 1, Fault: sandbox.FaultDropAfterCommit},
		"503":     {Times: 1, Status: 503, Body: new("{{access_token}}")},
		"cut":     {Times: 1, Fault: sandbox.FaultTruncated},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			x := w.exchanger()
			flow, rules := leeway()
			s := w.consented(x, flow, rules)
			w.script(s, step, sandbox.Step{})
			w.runDue(x, s.ID)
			if got := w.secret(s.ID); got.Authorization.Required {
				t.Fatalf("taken for the end of the grant: %s", show(got))
			}
			for range secret.MaxAttempts {
				if w.secret(s.ID).RefreshStatus != secret.Succeeded {
					w.runDue(x, s.ID)
				}
			}
			w.wantRequests(s.ID, 3)
			w.refreshes(x, s.ID, 2)
		})
	}
}

func lateSuccess(t *testing.T) {
	w := newWorld(t)
	x := w.exchanger()
	flow, rules := leeway()
	s := w.consented(x, flow, rules)
	hasty := w.exchanger(func(x *Exchanger) {
		x.Client = newClientFor(t, EgressConfig{Allow: loopback, Timeout: 200 * time.Millisecond})
	})
	w.script(s, sandbox.Step{Times: 1, Hold: true}, sandbox.Step{})
	w.runDue(hasty, s.ID)
	if err := w.provider.Release(s.ID); err != nil {
		t.Fatal(err)
	}
	for range secret.MaxAttempts {
		if w.secret(s.ID).RefreshStatus != secret.Succeeded {
			w.runDue(x, s.ID)
		}
	}
	w.wantRequests(s.ID, 3)
	w.refreshes(x, s.ID, 2)
}

// The same access token with a new end is a success like any other, of which
// nothing more is said.
func sameAccessToken(t *testing.T) {
	w := newWorld(t)
	x := w.exchanger()
	s := w.consented(x, sandbox.CodeFlow{})
	before := w.secret(s.ID)
	token := w.value(w.artifacts(s.ID)[0])
	w.script(s, sandbox.Step{Fields: fields("access_token", `"`+token+`"`)})
	w.runDue(x, s.ID)
	got := w.secret(s.ID)
	if got.RefreshStatus != secret.Succeeded || !got.ExpiresAt.After(before.ExpiresAt) || w.value(w.artifacts(s.ID)[0]) != token {
		t.Errorf("record: %s", show(got))
	}
	for _, e := range w.events.about(s.ID) {
		if _, ok := e.Data.(events.ExchangeSucceeded); !ok {
			t.Errorf("announced: %T", e.Data)
		}
	}
}

func twoAtOneGeneration(t *testing.T) {
	w := newWorld(t)
	s := w.consented(w.exchanger(), sandbox.CodeFlow{RefreshTokens: strict()})
	for range 8 {
		w.clock.Store(w.secret(s.ID).Plan().At.UnixMilli())
		m := w.job(s.ID)
		start := make(chan struct{})
		var all sync.WaitGroup
		for range 4 {
			x := w.exchanger()
			all.Go(func() {
				<-start
				_ = x.Handle(context.Background(), m) // all but one find somebody at work
			})
		}
		close(start)
		all.Wait()
		m.Delivery++
		w.run(w.exchanger(), m)
	}
	client, err := w.provider.Client(s.ID)
	if err != nil || client.Counters.Refreshes != 8 || client.Counters.MaxInFlight != 1 {
		t.Errorf("counters: %+v, %v", client.Counters, err)
	}
	w.wantRequests(s.ID, 9)
	w.checkRefreshable(s.ID)
}

// Wherever a process dies, the grant lives on, and each decision is one request.
func killedAtEachStep(t *testing.T) {
	check := func(t *testing.T, w *world, s *secret.Secret) {
		t.Helper()
		w.advance(claimLife)
		w.redeliver(w.exchanger(), s.ID)
		w.advance(claimLife)
		if got := w.secret(s.ID); got.RefreshStatus != secret.Succeeded || w.grants(s.ID)[0].Ended != "" {
			t.Errorf("record: %s", show(got))
		}
		w.checkAnnounced(s.ID)
		w.refreshes(w.exchanger(), s.ID, 1)
	}
	for _, step := range Steps() {
		t.Run(string(step), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			flow, rules := leeway()
			s := w.consented(w.exchanger(), flow, rules)
			w.clock.Store(w.secret(s.ID).Plan().At.UnixMilli())
			m := w.job(s.ID)
			if lived, err := process(w.exchanger(dying(step)), m); lived {
				t.Fatalf("it lived: %v", err)
			}
			m.Delivery++
			w.advance(claimLife)
			w.run(w.exchanger(), m)
			check(t, w, s)
		})
	}
	t.Run("during the request", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		flow, rules := leeway()
		s := w.consented(w.exchanger(), flow, rules)
		w.clock.Store(w.secret(s.ID).Plan().At.UnixMilli())
		h := w.hold(s)
		w.advance(2 * claimLife)
		m := w.job(s.ID)
		m.Delivery++
		w.run(w.exchanger(), m)
		_ = h.release() // whoever was thought dead is fenced
		check(t, w, s)
	})
}
