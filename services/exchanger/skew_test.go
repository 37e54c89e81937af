package exchanger

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/seal"
	"github.com/rekindle-dev/rekindle/pkg/secret"
)

// strictEndpoint takes a JWT that is good by its own clock.
type strictEndpoint struct {
	*countedServer
	ahead atomic.Int64           // of the exchangers' clock
	mute  atomic.Bool            // it does not tell its clock
	says  atomic.Pointer[string] // in place of any answer
}

func newStrictEndpoint(w *world, t *testing.T) *strictEndpoint {
	t.Helper()
	e := &strictEndpoint{}
	e.countedServer = newEndpoint(t, func(rw http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		form, _ := url.ParseQuery(string(body))
		_, claims := verifyJWT(t, seal.NewPlaintext(form.Get("assertion")))
		at := func(claim string) time.Time { return time.Unix(int64(claims[claim].(float64)), 0) }
		ahead := time.Duration(e.ahead.Load())
		theirs := w.now().Add(ahead)
		rw.Header().Set("Date", theirs.Format(http.TimeFormat))
		if e.mute.Load() {
			rw.Header()["Date"] = nil
		}
		refusal := `{"error":"invalid_grant","error_description":"Token must be a short-lived token"}`
		if say := e.says.Load(); say != nil {
			refusal = *say
		} else if !at("iat").After(theirs) && at("exp").After(theirs) {
			succeed(rw, r)
			return
		}
		rw.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(rw, refusal)
	})
	e.Start()
	return e
}

// secret is one whose JWTs are exchanged there.
func (e *strictEndpoint) secret(w *world) *secret.Secret {
	w.t.Helper()
	return w.create(secret.OAuth2JWT, func(s *secret.Secret) { s.Credentials.TokenURL = e.URL })
}

// A JWT of ours is not from the future of a server whose clock is a little behind.
// One whose clock is far from ours is sent another, signed by its clock, once; from
// then on that clock is known, until it has changed, or for a day.
func clockSkewed(t *testing.T) {
	for ahead, asked := range map[time.Duration]int64{-25 * time.Second: 1, -95 * time.Second: 2, 3 * tokenLifetime: 2} {
		w := newWorld(t)
		x, e := w.exchanger(), newStrictEndpoint(w, t)
		s := e.secret(w)
		var want []events.WarningCode
		if asked > 1 {
			want = []events.WarningCode{events.WarningClockSkew}
		}
		step := func(requests int64, run func(), want ...events.WarningCode) {
			t.Helper()
			before := e.requests.Load()
			run()
			if got := w.secret(s.ID); got.Status != secret.Succeeded || got.RefreshStatus == secret.Pending {
				t.Fatalf("%v ahead: %s", ahead, show(got))
			}
			e.wants(t, before+requests)
			w.warns(s.ID, want...)
		}
		due := func() { w.runDue(x, s.ID) }
		e.ahead.Store(int64(ahead))
		step(asked, func() { w.run(x, w.job(s.ID)) }, want...)
		step(1, due, want...)
		w.advance(clockLife)
		step(asked, due, want...)
		if n, _ := w.metric("rekindle_jwts_resigned_total"); n != float64(2*(asked-1)) {
			t.Errorf("%v ahead: %v signed once more", ahead, n)
		}
		e.ahead.Store(0)
		if ahead > 0 {
			step(asked, due) // it refuses the one from its future
		}
		w.advance(clockLife)
		step(1, due)
	}
}

// What is refused for another reason, or by a clock that agrees, is not sent again;
// and nothing more than once.
func TestRefusedWhateverTheTime(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		says  string
		ahead time.Duration
		mute  bool
		asked int64
	}{
		"another reason": {`{"error":"invalid_scope"}`, time.Hour, false, 1},
		"the same clock": {`{"error":"invalid_grant"}`, time.Second, false, 1},
		"an unsaid one":  {`{"error":"invalid_grant"}`, time.Hour, true, 1},
		"in any case":    {`{"error":"invalid_grant"}`, time.Hour, false, 2},
		"in its words":   {`{"error":"invalid_jwt"}`, -time.Hour, false, 2},
		"as Adobe does":  {`{"error":"invalid_token"}`, -time.Hour, false, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			x, e := w.exchanger(), newStrictEndpoint(w, t)
			s := e.secret(w)
			e.ahead.Store(int64(tt.ahead))
			e.mute.Store(tt.mute)
			e.says.Store(&tt.says)
			w.run(x, w.job(s.ID))
			e.wants(t, tt.asked)
			if got := w.secret(s.ID); got.StatusDetails == nil || got.StatusDetails.Reason != string(events.ReasonRejected) || len(got.Warnings) > 0 {
				t.Errorf("record: %s", show(got))
			}
			if x.clocks.of(s.Endpoint().Host, w.now()) != 0 {
				t.Error("a clock is remembered that was of no use")
			}
		})
	}
}

// A test goes by the same clock.
func TestTryOutGoesByTheProvidersClock(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e := newStrictEndpoint(w, t)
	e.ahead.Store(int64(-time.Hour))
	s := e.secret(w)
	q := w.ask(s.ID)
	if err := w.exchanger().Handle(t.Context(), q.Message); err != nil {
		t.Fatal(err)
	}
	e.wants(t, 2)
	if answer := q.answer(); string(answer.Exchange) != goodAnswer {
		t.Errorf("the answer is %s", answer.Exchange)
	}
}

func TestClocksAreBounded(t *testing.T) {
	t.Parallel()
	var k clocks
	now := time.Now()
	for i := range 2 * maxClocks {
		k.set(fmt.Sprintf("%d.test", i), time.Hour, now)
	}
	if n := len(k.known); n != maxClocks {
		t.Errorf("%d clocks are remembered", n)
	}
	last := fmt.Sprintf("%d.test", 2*maxClocks-1)
	if k.of(last, now) != time.Hour || k.of(last, now.Add(clockLife)) != 0 {
		t.Error("the last one is not remembered, or too long")
	}
	if k.set(last, 0, now); k.of(last, now) != 0 {
		t.Error("what agrees again is remembered")
	}
}
