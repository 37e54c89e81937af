package exchanger

import (
	"crypto/sha256"
	"encoding/hex"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/services/sandbox"
)

// lenient are refresh tokens of a provider that answers for a while as it did
// before.
func lenient(grace time.Duration) sandbox.RefreshTokens {
	t := strict()
	t.Grace = sandbox.Duration(grace)
	return t
}

// rotating is a secret of a provider that does so to refresh tokens, and says so,
// at the moment when its refresh is due.
func (w *world) rotating(tokens sandbox.RefreshTokens) *secret.Secret {
	w.t.Helper()
	s := w.consented(w.exchanger(), sandbox.CodeFlow{RefreshTokens: tokens}, declared(tokens))
	w.clock.Store(w.secret(s.ID).NextAttemptAt.UnixMilli())
	return s
}

// dies has an exchanger make the exchange that is due and die before its answer
// is safe, which is effect at. The claim has run out when it returns.
func (w *world) dies(id string, at int) {
	w.t.Helper()
	sab := &saboteur{inner: w.store, events: w.events, at: at, mode: diesBefore}
	if lived, err := process(w.exchanger(sab.sabotaged), w.job(id)); lived {
		w.t.Fatalf("it lived: %v", err)
	}
	w.advance(claimLife)
}

// again is the job that comes a second time.
func (w *world) again(id string) {
	w.t.Helper()
	m := w.job(id)
	m.Delivery = 2
	w.run(w.exchanger(), m)
}

// checkUnknown fails the test unless somebody has to consent again because nobody
// knows what became of the refresh token, and nothing is sent any more.
func (w *world) checkUnknown(id string) {
	w.t.Helper()
	s := w.secret(id)
	if s.Status != secret.Succeeded || s.RefreshStatus != secret.Failed || reason(s) != string(events.ReasonUnknown) ||
		!s.Authorization.Required || s.Plan().Action != secret.Rest || len(w.ends(id)) != 1 {
		w.t.Errorf("said at %v, record: %s", w.ends(id), show(s))
	}
	for _, e := range w.events.about(id) {
		if f, ok := e.Data.(events.ExchangeFailed); ok && f.Reason == events.ReasonGrantEnded {
			w.t.Errorf("said to be revoked: %+v", f)
		}
	}
	w.checkAnnounced(id)
}

// What is about to be sent is in the grant before it leaves.
func TestIntent(t *testing.T) {
	t.Parallel()
	code := func(w *world) *secret.Secret {
		s := w.consenting(sandbox.CodeFlow{})
		w.consent(s.ID)
		return s
	}
	for name, tt := range map[string]struct {
		due     func(w *world) *secret.Secret
		sends   func(g *secret.Grant) *secret.ConsentGrant
		attempt int
	}{
		"client credentials": {func(w *world) *secret.Secret { return w.create(secret.OAuth2) }, nil, 1},
		"code":               {code, nil, 1},
		"refresh": {
			func(w *world) *secret.Secret { return w.rotating(strict()) },
			func(g *secret.Grant) *secret.ConsentGrant { return g.Consent }, 1,
		},
		"second attempt": {func(w *world) *secret.Secret {
			s := w.rotating(sandbox.RefreshTokens{})
			w.script(s, sandbox.Step{Status: 503})
			w.run(w.exchanger(), w.job(s.ID))
			w.clock.Store(w.secret(s.ID).NextAttemptAt.UnixMilli())
			return s
		}, func(g *secret.Grant) *secret.ConsentGrant { return g.Consent }, 2},
		"acceptance": {func(w *world) *secret.Secret {
			s := w.heldBack(w.exchanger())
			w.update(s.ID, func(s *secret.Secret) { s.AcceptHeld(w.now()) })
			return s
		}, func(g *secret.Grant) *secret.ConsentGrant { return g.Held }, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			s := tt.due(w)
			h := w.hold(s)
			g := w.grant(s.ID)
			want := &secret.Claim{
				Decision: w.secret(s.ID).Decision, Holder: h.first.Name, Attempt: tt.attempt,
				StartedAt: w.now(), Until: w.now().Add(claimLife),
			}
			if tt.sends != nil {
				token := tt.sends(g)
				sum := sha256.Sum256(token.Sealed)
				want.Token, want.Fingerprint = token.Generation, hex.EncodeToString(sum[:8])
			}
			if diff := cmp.Diff(want, g.Claim); diff != "" {
				t.Errorf("claim (-want +got):\n%s", diff)
			}
			if err := h.release(); err != nil {
				t.Error(err)
			}
			if g := w.grant(s.ID); g.Claim != nil || g.Lost != nil {
				t.Errorf("left: %s", show(g))
			}
		})
	}
}

// An answer that is lost: when the refresh token is sent again, and what is made
// of it then.
func TestLostAnswer(t *testing.T) {
	t.Parallel()
	garbage := "a page with {{access_token}} and {{refresh_token}} in it"
	faults := map[string]struct {
		step    sandbox.Step
		carried bool // out, by the provider
		reason  events.Reason
	}{
		"disconnected, carried out": {sandbox.Step{Fault: sandbox.FaultDropAfterCommit}, true, events.ReasonDisconnected},
		"disconnected":              {sandbox.Step{Fault: sandbox.FaultReset}, false, events.ReasonDisconnected},
		"timeout":                   {sandbox.Step{Fault: sandbox.FaultNeverAnswer}, false, events.ReasonTimeout},
		"503":                       {sandbox.Step{Status: 503}, false, events.ReasonProviderError},
		"garbage, carried out":      {sandbox.Step{Body: &garbage}, true, events.ReasonMalformed},
	}
	for model, tt := range map[string]struct {
		tokens sandbox.RefreshTokens
		next   func(*secret.Secret) time.Time
	}{
		"none":          {sandbox.RefreshTokens{}, secondPlace},
		"repeat":        {sandbox.RefreshTokens{Rotation: sandbox.RotationRepeat}, secondPlace},
		"grace":         {lenient(10 * time.Second), func(s *secret.Secret) time.Time { return s.RefreshAt.Add(replayPause) }},
		"without grace": {strict(), (*secret.Secret).LastAttempt},
	} {
		for fault, lost := range faults {
			t.Run(model+", "+fault, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				s := w.rotating(tt.tokens)
				lost.step.Times = 1
				w.script(s, lost.step, sandbox.Step{})
				x := w.exchanger(impatient(t))
				w.run(x, w.job(s.ID))
				got := w.secret(s.ID)
				if got.RefreshStatus != secret.Pending || reason(got) != string(lost.reason) || got.Attempts != 1 || !got.NextAttemptAt.Equal(tt.next(got)) {
					t.Fatalf("next is not at %v: %s", tt.next(got), show(got))
				}
				w.checkKept(got)
				w.runDue(x, s.ID)
				w.wantRequests(s.ID, 3)
				if tokens := w.grants(s.ID)[0].RefreshTokens; tokens[0].Presented != 2 {
					t.Errorf("by the provider's books: %s", show(tokens))
				}
				if lost.carried && model == "without grace" {
					w.runDue(x, s.ID)
					w.checkUnknown(s.ID)
					return
				}
				w.checkServes(s.ID)
				if g := w.grant(s.ID); g.Lost != nil {
					t.Errorf("still lost: %s", show(g.Lost))
				}
			})
		}
	}
}

// secondPlace is where the schedule has the second attempt.
func secondPlace(s *secret.Secret) time.Time { return s.RefreshAt.Add(5 * time.Minute) }

// A grace counts from when the token was sent first, and two replays are all
// there are.
func TestReplaysInGrace(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		grace   time.Duration
		replays int
	}{
		{time.Second, 0}, {2 * time.Second, 0}, {2*time.Second + time.Millisecond, 1}, {3 * time.Second, 1}, {time.Minute, 2}, {time.Hour, 2},
	} {
		t.Run(tt.grace.String(), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			s := w.rotating(lenient(tt.grace))
			w.script(s, sandbox.Step{Status: 503})
			x := w.exchanger()
			first := w.now()
			w.run(x, w.job(s.ID))
			for range tt.replays {
				w.runDue(x, s.ID)
			}
			got := w.secret(s.ID)
			if !got.NextAttemptAt.Equal(got.LastAttempt()) || !w.now().Equal(first.Add(time.Duration(tt.replays)*replayPause)) {
				t.Errorf("at %v: %s", w.now(), show(got))
			}
			w.wantRequests(s.ID, 2+tt.replays)
			if lost := w.grant(s.ID).Lost; lost == nil || !lost.StartedAt.Equal(first) {
				t.Errorf("lost: %s", show(lost))
			}
			w.script(s)
			w.runDue(x, s.ID)
			w.checkServes(s.ID)
		})
	}
}

// A provider that asks for patience beyond the last attempt's place gets it.
func TestLostAnswerAndPatience(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.rotating(strict())
	w.script(s, sandbox.Step{Status: 503, Headers: map[string]string{"Retry-After": "1200"}})
	w.run(w.exchanger(), w.job(s.ID))
	got := w.secret(s.ID)
	if at := w.now().Add(20 * time.Minute); !got.NextAttemptAt.Equal(at) || !at.After(got.LastAttempt()) {
		t.Errorf("next is not at %v: %s", at, show(got))
	}
}

// All attempts are made, however the first one ended.
func TestLostAnswersUseNoAttemptUp(t *testing.T) {
	t.Parallel()
	for _, grace := range []time.Duration{0, time.Minute} {
		w := newWorld(t)
		s := w.rotating(lenient(grace))
		w.script(s, sandbox.Step{Status: 503})
		x := w.exchanger()
		for w.secret(s.ID).Plan().Action != secret.Rest {
			w.runDue(x, s.ID)
		}
		got := w.secret(s.ID)
		if got.Attempts != secret.MaxAttempts || got.RefreshStatus != secret.Failed || w.now().Before(got.LastAttempt()) || !w.now().Before(got.ExpiresAt) {
			t.Errorf("grace %v, at %v: %s", grace, w.now(), show(got))
		}
		w.wantRequests(s.ID, 1+secret.MaxAttempts)
	}
}

// What is refused for a reason of its own, or was never sent, does not bring a
// token into use that was lost before.
func TestLostTokenStaysBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.rotating(lenient(10 * time.Second))
	w.script(s, sandbox.Step{Times: 1, Fault: sandbox.FaultDropAfterCommit})
	w.run(w.exchanger(), w.job(s.ID))
	cutOff := w.exchanger(func(x *Exchanger) { x.Client = NewClient(EgressConfig{}); t.Cleanup(x.Client.Close) })
	w.runDue(cutOff, s.ID)
	got := w.secret(s.ID)
	if at := got.RefreshAt.Add(2 * replayPause); !got.NextAttemptAt.Equal(at) || reason(got) != string(events.ReasonAddressRefused) {
		t.Errorf("next is not at %v: %s", at, show(got))
	}
	w.runDue(cutOff, s.ID)
	if got := w.secret(s.ID); !got.NextAttemptAt.Equal(got.LastAttempt()) {
		t.Errorf("record: %s", show(got))
	}
	w.wantRequests(s.ID, 2)
}

// Whoever dies between request and answer has the next replay it within the grace.
func TestCrashInsideGrace(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.rotating(lenient(10 * time.Second))
	w.dies(s.ID, 2)
	before := w.now()
	w.again(s.ID)
	if !w.now().Equal(before) {
		t.Errorf("it took %v of waiting", w.now().Sub(before))
	}
	if token := w.grants(s.ID)[0].RefreshTokens[0]; token.Presented != 2 {
		t.Errorf("by the provider's books: %s", show(token))
	}
	w.wantRequests(s.ID, 3)
	w.runDue(w.exchanger(), s.ID) // as if nothing had been
	w.checkServes(s.ID)
}

// Where there is no grace, or it is over, the refresh token waits until the value
// in use has little left to lose. If it is refused then, that is not called revoked.
func TestCrashWithoutGrace(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		grace, down time.Duration
		arrives     bool // the request that nobody knows of
	}{
		"arrived":             {0, 0, true},
		"never arrived":       {0, 0, false},
		"grace over":          {10 * time.Second, 6 * time.Second, true},
		"grace almost over":   {claimLife + replayPause, 0, true},
		"grace over, nothing": {10 * time.Second, time.Minute, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			s := w.rotating(lenient(tt.grace))
			requests := 1
			if tt.arrives {
				w.dies(s.ID, 2)
				requests++
			} else {
				sab := &saboteur{inner: w.store, events: w.events, at: 1, mode: diesAfter}
				process(w.exchanger(sab.sabotaged), w.job(s.ID))
				w.advance(claimLife)
			}
			w.advance(tt.down)
			w.again(s.ID)
			w.checkKeptBack(s.ID)
			w.wantRequests(s.ID, requests)
			w.checkClaims(s.ID)

			w.runDue(w.exchanger(), s.ID)
			w.wantRequests(s.ID, requests+1)
			if !tt.arrives {
				w.checkServes(s.ID)
				return
			}
			got := w.secret(s.ID)
			if reason(got) != string(events.ReasonUnknown) || got.RefreshStatus != secret.Pending || got.Authorization.Required {
				t.Errorf("record: %s", show(got))
			}
			w.runDue(w.exchanger(), s.ID)
			w.checkUnknown(s.ID)
			w.wantRequests(s.ID, requests+2)
			w.consent(s.ID)
			w.run(w.exchanger(), w.job(s.ID))
			w.checkServes(s.ID)
		})
	}
}

// A replay that comes after the grace, because nobody was there, is not made.
func TestReplayTooLate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.rotating(lenient(10 * time.Second))
	w.script(s, sandbox.Step{Times: 1, Fault: sandbox.FaultDropAfterCommit}, sandbox.Step{})
	w.run(w.exchanger(), w.job(s.ID))
	w.advance(time.Minute)
	w.run(w.exchanger(), w.job(s.ID))
	got := w.secret(s.ID)
	if got.Attempts != 1 || reason(got) != string(events.ReasonUnknown) || !got.NextAttemptAt.Equal(got.LastAttempt()) {
		t.Errorf("record: %s", show(got))
	}
	w.checkKept(got)
	w.wantRequests(s.ID, 2)
}

// An exchange that somebody asked for is no licence to send again what may have been
// replaced: who sent it may live, and the value in use has long to live. Who asks
// when it is known what may be lost does not have to wait.
func TestAskedForAroundACrash(t *testing.T) {
	t.Parallel()
	ask := func(w *world, id string) { w.update(id, func(s *secret.Secret) { s.Ask(w.now()) }) }
	dies := func(w *world, id string) { w.dies(id, 2) }
	takenOver := func(w *world, id string) { w.again(id); w.advance(time.Minute) }
	for name, tt := range map[string]struct {
		first []func(w *world, id string)
		grace time.Duration
		now   bool // it is sent at once
	}{
		"before it":             {[]func(*world, string){ask, dies}, 0, false},
		"before it, with grace": {[]func(*world, string){ask, dies}, 10 * time.Second, true},
		"before it was known":   {[]func(*world, string){dies, ask}, 0, false},
		"when it was known":     {[]func(*world, string){dies, takenOver, ask}, 0, true},
		"again":                 {[]func(*world, string){ask, dies, takenOver, ask}, 0, true},
		"before and after":      {[]func(*world, string){dies, ask, takenOver, ask}, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			s := w.rotating(lenient(tt.grace))
			for _, do := range tt.first {
				do(w, s.ID)
			}
			w.again(s.ID)
			got := w.secret(s.ID)
			switch {
			case !tt.now:
				if got.Status != secret.Pending || reason(got) != string(events.ReasonUnknown) || !got.NextAttemptAt.Equal(got.LastAttempt()) || got.Asked(w.now()) {
					t.Errorf("record: %s", show(got))
				}
				w.wantRequests(s.ID, 2)
				w.runDue(w.exchanger(), s.ID)
			case tt.grace > 0:
				w.checkServes(s.ID)
				w.wantRequests(s.ID, 3)
				return
			}
			if got := w.secret(s.ID); got.Status != secret.Pending || got.Authorization.Required || !got.NextAttemptAt.Equal(w.now().Add(time.Second)) {
				t.Errorf("record: %s", show(got))
			}
			w.runDue(w.exchanger(), s.ID)
			got = w.secret(s.ID)
			if got.Status != secret.Failed || reason(got) != string(events.ReasonUnknown) || !got.Authorization.Required {
				t.Errorf("record: %s", show(got))
			}
			w.wantRequests(s.ID, 4)
			w.checkAnnounced(s.ID)
		})
	}
}

// A provider that was seen to replace refresh tokens is treated so, whatever its
// descriptor says: what was lost is sent again once, soon, and then kept back; and a
// refusal is not called the end of the grant.
func TestRotationThatNobodyDeclared(t *testing.T) {
	t.Parallel()
	seen := func(tokens sandbox.RefreshTokens) (*world, *secret.Secret) {
		w := newWorld(t)
		s := w.consented(w.exchanger(), sandbox.CodeFlow{RefreshTokens: tokens})
		w.runDue(w.exchanger(), s.ID)
		w.clock.Store(w.secret(s.ID).NextAttemptAt.UnixMilli())
		return w, w.secret(s.ID)
	}
	t.Run("killed, with a grace", func(t *testing.T) {
		t.Parallel()
		w, s := seen(lenient(30 * time.Second))
		w.dies(s.ID, 2)
		w.again(s.ID)
		w.checkServes(s.ID)
		w.wantRequests(s.ID, 4)
	})
	t.Run("killed, for long", func(t *testing.T) {
		t.Parallel()
		w, s := seen(strict())
		w.dies(s.ID, 2)
		w.advance(guessedGrace)
		w.again(s.ID)
		w.checkKeptBack(s.ID)
		w.wantRequests(s.ID, 3)
	})
	t.Run("answers lost", func(t *testing.T) {
		t.Parallel()
		w, s := seen(lenient(30 * time.Second))
		w.script(s, sandbox.Step{Times: 2, Fault: sandbox.FaultDropAfterCommit}, sandbox.Step{})
		x := w.exchanger()
		w.run(x, w.job(s.ID))
		if got := w.secret(s.ID); !got.NextAttemptAt.Equal(w.now().Add(replayPause)) {
			t.Errorf("record: %s", show(got))
		}
		w.runDue(x, s.ID)
		if got := w.secret(s.ID); !got.NextAttemptAt.Equal(got.LastAttempt()) {
			t.Errorf("record: %s", show(got))
		}
		w.wantRequests(s.ID, 4)
	})
	t.Run("refused", func(t *testing.T) {
		t.Parallel()
		w, s := seen(strict())
		w.dies(s.ID, 2)
		w.again(s.ID)
		if got := w.secret(s.ID); reason(got) != string(events.ReasonUnknown) {
			t.Errorf("record: %s", show(got))
		}
		w.runDue(w.exchanger(), s.ID)
		w.checkUnknown(s.ID)
	})
	t.Run("with the next consent", func(t *testing.T) {
		t.Parallel()
		w, s := seen(strict())
		w.consent(s.ID)
		w.run(w.exchanger(), w.job(s.ID))
		if !w.grant(s.ID).Consent.Rotated {
			t.Error("it was forgotten")
		}
	})
	for name, tokens := range map[string]sandbox.RefreshTokens{"none": {}, "the same": {Rotation: sandbox.RotationRepeat}} {
		t.Run("not replaced, "+name, func(t *testing.T) {
			t.Parallel()
			w, s := seen(tokens)
			w.script(s, sandbox.Step{Times: 1, Status: 503}, sandbox.Step{})
			w.run(w.exchanger(), w.job(s.ID))
			if got := w.secret(s.ID); !got.NextAttemptAt.Equal(secondPlace(got)) {
				t.Errorf("record: %s", show(got))
			}
		})
	}
}

// Who dies in a replay does not start the grace anew.
func TestTwoCrashesInGrace(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.rotating(lenient(8 * time.Second))
	w.dies(s.ID, 2)
	w.dies(s.ID, 5)
	w.wantRequests(s.ID, 3)
	w.advance(time.Second)
	w.again(s.ID)
	w.checkKeptBack(s.ID)
	w.wantRequests(s.ID, 3)
}

// A replay that was refused has nothing left to lose: it is confirmed soon, the
// grace being over or not.
func TestRefusedReplayIsConfirmed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.rotating(lenient(10 * time.Second))
	w.script(s, sandbox.Step{Times: 1, Fault: sandbox.FaultDropAfterCommit}, sandbox.Step{Times: 1, Error: "invalid_grant"}, sandbox.Step{})
	x := w.exchanger()
	w.run(x, w.job(s.ID))
	w.runDue(x, s.ID)
	if got := w.secret(s.ID); reason(got) != string(events.ReasonUnknown) || !got.NextAttemptAt.Equal(w.now().Add(time.Minute)) {
		t.Errorf("record: %s", show(got))
	}
	w.runDue(x, s.ID)
	w.checkUnknown(s.ID)
	w.wantRequests(s.ID, 4)
}

// A refusal that came before a token was lost is no licence to send it again.
func TestRefusedBeforeItWasLost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.rotating(lenient(10 * time.Second))
	w.script(s, sandbox.Step{Times: 1, Error: "invalid_grant"}, sandbox.Step{Times: 1, Fault: sandbox.FaultDropAfterCommit}, sandbox.Step{})
	x := w.exchanger()
	w.run(x, w.job(s.ID))
	w.runDue(x, s.ID)
	w.advance(time.Minute)
	w.run(x, w.job(s.ID))
	got := w.secret(s.ID)
	if got.Authorization.Strikes != 1 || !got.NextAttemptAt.Equal(got.LastAttempt()) {
		t.Errorf("record: %s", show(got))
	}
	w.checkKept(got)
	w.wantRequests(s.ID, 3)
}

// Neither is one that came before a death, when others come after the grace.
func TestRefusedBeforeADeath(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.rotating(lenient(10 * time.Second))
	w.script(s, sandbox.Step{Times: 1, Error: "invalid_grant"}, sandbox.Step{})
	w.run(w.exchanger(), w.job(s.ID))
	w.advance(time.Minute)
	w.dies(s.ID, 2)
	w.dies(s.ID, 4) // whoever gave it up, before the replay
	w.advance(10 * time.Second)
	w.run(w.exchanger(), w.job(s.ID))
	if got := w.secret(s.ID); !got.NextAttemptAt.Equal(got.LastAttempt()) {
		t.Errorf("record: %s", show(got))
	}
	w.wantRequests(s.ID, 3)
}

// What was answered at last is not lost any more, also where the answer has no
// refresh token.
func TestFoundAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.consented(w.exchanger(), sandbox.CodeFlow{}, declared(lenient(time.Minute)))
	w.script(s, sandbox.Step{Times: 1, Fault: sandbox.FaultDropAfterCommit}, sandbox.Step{})
	w.runDue(w.exchanger(), s.ID)
	if w.grant(s.ID).Lost == nil {
		t.Error("nothing is lost")
	}
	w.runDue(w.exchanger(), s.ID)
	if lost := w.grant(s.ID).Lost; lost != nil {
		t.Errorf("still lost: %s", show(lost))
	}
	w.checkServes(s.ID)
}

// Nor is what was sent of a consent in whose place there is another.
func TestLostWithItsConsent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.rotating(strict())
	w.dies(s.ID, 2)
	w.again(s.ID)
	if w.grant(s.ID).Lost == nil {
		t.Error("nothing is lost")
	}
	w.consent(s.ID)
	w.run(w.exchanger(), w.job(s.ID))
	if lost := w.grant(s.ID).Lost; lost != nil {
		t.Errorf("still lost: %s", show(lost))
	}
	w.checkServes(s.ID)
}
