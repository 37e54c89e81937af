package exchanger

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/provider"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/services/sandbox"
)

// Within a grace what was lost is sent again, whichever attempt it was, and also
// when the value in use has ended with it.
func TestReplayAtAnyAttempt(t *testing.T) {
	t.Parallel()
	atExpiry := func(d *provider.Descriptor) { d.Refresh.MinGap = tokenLifetime }
	for _, tt := range []struct {
		name    string
		failed  int // attempts before
		edits   []func(*provider.Descriptor)
		replays int // in vain
	}{
		{"first", 0, nil, 0}, {"second", 1, nil, 0}, {"third", 2, nil, 1}, {"last", 3, nil, 1}, {"only", 0, []func(*provider.Descriptor){atExpiry}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			rules := lenient(10 * time.Second)
			x := w.exchanger()
			s := w.consented(x, sandbox.CodeFlow{RefreshTokens: rules}, append(tt.edits, declared(rules))...)
			if tt.edits != nil != w.secret(s.ID).RefreshAt.Equal(w.secret(s.ID).ExpiresAt) {
				t.Fatalf("record: %s", show(w.secret(s.ID)))
			}
			steps := []sandbox.Step{{Times: 1, Fault: sandbox.FaultDropAfterCommit}, {Times: tt.replays, Status: 503}, {}}
			if tt.replays == 0 {
				steps = append(steps[:1], steps[2])
			}
			if tt.failed > 0 {
				steps = append([]sandbox.Step{{Times: tt.failed, Status: 429}}, steps...)
			}
			w.script(s, steps...)
			for range tt.failed {
				w.runDue(x, s.ID)
			}
			w.runDue(x, s.ID)
			for range tt.replays + 1 {
				if got := w.secret(s.ID); !got.NextAttemptAt.Equal(w.now().Add(replayPause)) || got.RefreshStatus != secret.Pending {
					t.Fatalf("at %v: %s", w.now(), show(got))
				}
				w.runDue(x, s.ID)
			}
			w.wantRequests(s.ID, 3+tt.failed+tt.replays)
			w.checkServes(s.ID)
			w.checkAnnounced(s.ID)
		})
	}
}

// A replay that the provider wants to wait for, beyond the last place, leaves an
// attempt all the same.
func TestReplayThatWaits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.rotating(lenient(time.Hour))
	patience := sandbox.Step{Times: 1, Status: 503, Headers: map[string]string{"Retry-After": "960"}}
	w.script(s, patience, sandbox.Step{Times: 2, Status: 503}, sandbox.Step{})
	w.runDue(w.exchanger(), s.ID)
	if got := w.secret(s.ID); !got.NextAttemptAt.Equal(w.now().Add(16*time.Minute)) || !got.NextAttemptAt.After(got.LastAttempt()) {
		t.Errorf("at %v: %s", w.now(), show(got))
	}
	for range 3 {
		w.runDue(w.exchanger(), s.ID)
	}
	w.checkServes(s.ID)
	w.wantRequests(s.ID, 5)
}

// An exchange that somebody asked for goes on when its answer was lost: within a
// grace it is made again, and shows as pending, twice at most.
func TestReplayForWhoAsked(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		grace   time.Duration
		lost    int // answers in a row
		want    secret.Status
		replays int
	}{
		{time.Hour, 1, secret.Succeeded, 1}, {time.Hour, 2, secret.Succeeded, 2}, {time.Hour, 9, secret.Failed, 2}, {0, 1, secret.Failed, 0},
	} {
		t.Run(fmt.Sprintf("grace %v, %d lost", tt.grace, tt.lost), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			s := w.rotating(lenient(tt.grace))
			w.script(s, sandbox.Step{Times: tt.lost, Fault: sandbox.FaultDropAfterCommit}, sandbox.Step{})
			w.update(s.ID, func(s *secret.Secret) { s.Ask(w.now()) })
			w.run(w.exchanger(), w.job(s.ID))
			for range tt.replays {
				got := w.secret(s.ID)
				if got.Status != secret.Pending || reason(got) != string(events.ReasonDisconnected) || !got.NextAttemptAt.Equal(w.now().Add(replayPause)) {
					t.Fatalf("at %v: %s", w.now(), show(got))
				}
				w.checkKept(got)
				w.runDue(w.exchanger(), s.ID)
			}
			got := w.secret(s.ID)
			if got.Status != tt.want || got.StatusDetails != nil != (tt.want == secret.Failed) {
				t.Errorf("record: %s", show(got))
			}
			w.wantRequests(s.ID, 2+tt.replays)
			w.checkAnnounced(s.ID)
			if tt.want == secret.Succeeded {
				w.checkServes(s.ID)
			}
		})
	}
}

// So does the acceptance of a held consent.
func TestReplayOfAcceptance(t *testing.T) {
	t.Parallel()
	for _, grace := range []time.Duration{0, time.Hour} {
		t.Run(grace.String(), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			rules := lenient(grace)
			x := w.exchanger()
			s := w.consented(x, sandbox.CodeFlow{RefreshTokens: rules, Consents: people(alice, bob)}, declared(rules))
			w.advance(2 * dialog)
			w.consent(s.ID)
			w.run(x, w.job(s.ID))
			w.script(s, sandbox.Step{Times: 2, Fault: sandbox.FaultDropAfterCommit}, sandbox.Step{})
			w.update(s.ID, func(s *secret.Secret) { s.AcceptHeld(w.now()) })
			w.run(x, w.job(s.ID))
			if grace == 0 {
				if a := w.secret(s.ID).Authorization; a.Accept || a.Failure == nil || a.HeldAt.IsZero() || w.whose(s.ID) != alice {
					t.Errorf("authorization: %s", show(a))
				}
				return
			}
			for range 2 {
				got := w.secret(s.ID)
				if next := got.Plan(); next != (secret.Next{Action: secret.Authorize, At: w.now().Add(replayPause)}) || !got.Authorization.Accept || w.whose(s.ID) != alice {
					t.Fatalf("next is %v: %s", next, show(got))
				}
				w.runDue(x, s.ID)
			}
			if w.whose(s.ID) != bob {
				t.Errorf("record: %s", show(w.secret(s.ID)))
			}
			w.checkServes(s.ID)
			w.wantRequests(s.ID, 5)
			w.checkAnnounced(s.ID)
		})
	}
}

// A held consent whose replay is refused is gone, and is not sent a third time.
func TestRefusedReplayOfAcceptance(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	rules := lenient(time.Hour)
	x := w.exchanger()
	s := w.consented(x, sandbox.CodeFlow{RefreshTokens: rules, Consents: people(alice, bob)}, declared(rules))
	w.advance(2 * dialog)
	w.consent(s.ID)
	w.run(x, w.job(s.ID))
	w.script(s, sandbox.Step{Times: 1, Fault: sandbox.FaultDropAfterCommit}, sandbox.Step{Error: "invalid_grant"})
	w.update(s.ID, func(s *secret.Secret) { s.AcceptHeld(w.now()) })
	w.run(x, w.job(s.ID))
	w.runDue(x, s.ID)
	a, g := w.secret(s.ID).Authorization, w.grant(s.ID)
	if !a.ConsentedAt.IsZero() || !a.HeldAt.IsZero() || a.Failure == nil || g.Held != nil || g.Lost != nil {
		t.Errorf("authorization %s, grant %s", show(a), show(g))
	}
	w.wantRequests(s.ID, 4)
}

// A replay within a grace is not sent after it, wherever the process stands still
// before its request leaves. It takes no attempt away.
func TestReplayThatGotLate(t *testing.T) {
	t.Parallel()
	const grace = 10 * time.Second
	asClaimed := func(w *world) func(*Exchanger) {
		return func(x *Exchanger) {
			x.Reached = func(at Step) {
				if at == StepClaim {
					w.advance(grace)
				}
			}
		}
	}
	connecting := func(w *world) func(*Exchanger) {
		return func(x *Exchanger) {
			x.Client = newClientFor(t, EgressConfig{Allow: loopback, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
				w.advance(grace)
				return new(net.Dialer).DialContext(ctx, network, address)
			}})
		}
	}
	for name, stands := range map[string]func(*world) func(*Exchanger){"after its claim": asClaimed, "while it connects": connecting} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			s := w.rotating(lenient(grace))
			w.dies(s.ID, 2)
			w.redeliver(w.exchanger(stands(w)), s.ID)
			w.checkKeptBack(s.ID)
			w.wantRequests(s.ID, 2)
			if g := w.grant(s.ID); g.Lost == nil || g.Claim == nil || g.Claim.Live(w.now()) {
				t.Errorf("grant: %s", show(g))
			}
			w.checkClaims(s.ID)
		})
	}
	t.Run("somebody waits", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		s := w.rotating(lenient(grace))
		w.update(s.ID, func(s *secret.Secret) { s.Ask(w.now()) })
		w.dies(s.ID, 2)
		w.redeliver(w.exchanger(asClaimed(w)), s.ID)
		w.wantRequests(s.ID, 2)
		if got := w.secret(s.ID); got.Status != secret.Pending || !got.NextAttemptAt.Equal(got.LastAttempt()) {
			t.Errorf("record: %s", show(got))
		}
	})
}

// A provider that fails, and asks to be left alone for longer than its grace, may have
// replaced the refresh token: it is asked once more before the grace is over. One that
// says that it did nothing is obeyed.
func TestPatienceBeyondGrace(t *testing.T) {
	t.Parallel()
	const grace = 30 * time.Second
	for _, tt := range []struct {
		status, then, retryAfter int
		next                     []time.Duration // after the first request
	}{
		{503, 503, 20, []time.Duration{20 * time.Second}},
		{503, 503, 28, []time.Duration{28 * time.Second}},
		{503, 503, 60, []time.Duration{28 * time.Second, 15 * time.Minute}}, // the last attempt's place
		{429, 429, 60, []time.Duration{time.Minute}},
		{503, 429, 26, []time.Duration{26 * time.Second, 15 * time.Minute}},
	} {
		t.Run(fmt.Sprintf("%d, %d, %d s", tt.status, tt.then, tt.retryAfter), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			s := w.rotating(lenient(grace))
			patience := map[string]string{"Retry-After": strconv.Itoa(tt.retryAfter)}
			w.script(s, sandbox.Step{Times: 1, Status: tt.status, Headers: patience}, sandbox.Step{Status: tt.then, Headers: patience})
			first, x := w.now(), w.exchanger()
			w.run(x, w.job(s.ID))
			for i, want := range tt.next {
				if i > 0 {
					w.runDue(x, s.ID)
				}
				if got := w.secret(s.ID).NextAttemptAt.Sub(first); got != want {
					t.Errorf("attempt %d is after %v, want %v", i+2, got, want)
				}
			}
			w.wantRequests(s.ID, 1+len(tt.next))
		})
	}
}

// However a request is written, and whether or not its connection was used before,
// what is late does not arrive.
func TestRequestThatGotLate(t *testing.T) {
	t.Parallel()
	for format, theirs := range map[provider.Format]sandbox.RequestFormat{
		provider.FormatForm: sandbox.FormatForm, provider.FormatJSON: sandbox.FormatJSON, provider.FormatQuery: sandbox.FormatQuery,
	} {
		t.Run(string(format), func(t *testing.T) {
			t.Parallel()
			q := newWire(t, sandbox.Client{Requests: &sandbox.Requests{Format: theirs}}, func(d *provider.Descriptor) {
				d.RequestFormat, d.PKCE = format, ""
			})
			token := q.granted().Refresh
			for _, asked := range []string{"a connection that was used", "a new one"} {
				if _, err := q.tokenServer.client.Refresh(t.Context(), q.app, token, func() bool { return true }); !errors.Is(err, errLate) {
					t.Errorf("on %s: error is %v", asked, err)
				}
				q.tokenServer.client.Close()
			}
			q.counts(1)
			times := 0
			if _, err := q.tokenServer.client.Refresh(t.Context(), q.app, token, func() bool { times++; return times > 1 }); err != nil || times != 1 {
				t.Errorf("asked %d times: %v", times, err)
			}
			q.counts(2)
		})
	}
}
