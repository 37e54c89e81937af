package exchanger

import (
	"strings"
	"testing"
	"time"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/services/sandbox"
)

// instead makes the sandbox carry a request out, for both tokens have to be in the
// answer, and answer something else.
func instead(status int, body string) sandbox.Step {
	body = strings.Replace(body, "TOKENS", "{{access_token}}{{refresh_token}}", 1)
	return sandbox.Step{Times: 1, Status: status, Body: &body}
}

// What is no verdict of an OAuth server says nothing of the refresh token that was
// sent: it is replayed within the grace, and without one never said to be revoked.
func TestNoVerdict(t *testing.T) {
	t.Parallel()
	for name, step := range map[string]sandbox.Step{
		"server_error with 200":            instead(200, `{"error":"server_error","x":"TOKENS"}`),
		"temporarily_unavailable with 400": instead(400, `{"error":"temporarily_unavailable","x":"TOKENS"}`),
		"an unknown error with 400":        instead(400, `{"error":"x-TOKENS"}`),
		"an unknown error with 200":        instead(200, `{"error":{"message":"TOKENS"}}`),
		"a page with 400":                  instead(400, "<html>TOKENS"),
		"a page with 401":                  instead(401, "<html>TOKENS"),
		"a page with 403":                  instead(403, "<html>TOKENS"),
		"408":                              instead(408, "TOKENS"),
		"499":                              instead(499, "TOKENS"),
		"302":                              instead(302, "TOKENS"),
		"500":                              instead(500, `{"error":"invalid_grant","x":"TOKENS"}`),
		"nothing with 204":                 {Times: 1, Status: 204, Fields: fields()},
		"a page with 201":                  instead(201, "<html>TOKENS"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			s := w.rotating(lenient(30 * time.Second))
			w.script(s, step, sandbox.Step{})
			x := w.exchanger()
			w.run(x, w.job(s.ID))
			if got := w.secret(s.ID); !got.NextAttemptAt.Equal(got.RefreshAt.Add(replayPause)) || w.grant(s.ID).Lost == nil {
				t.Errorf("it is not replayed: %s", show(got))
			}
			w.runDue(x, s.ID)
			w.checkServes(s.ID)
		})
		t.Run(name+", without grace", func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			s := w.rotating(strict())
			w.script(s, step, sandbox.Step{})
			w.checkUnknown(w.untilDead(w.exchanger(), s.ID).ID)
		})
	}
}

// A verdict that is known is no lost answer, whatever its status.
func TestVerdict(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		step   sandbox.Step
		reason events.Reason
	}{
		"too many requests":        {sandbox.Step{Status: 429}, events.ReasonThrottled},
		"slow_down with 200":       {sandbox.Step{Status: 200, Error: "slow_down"}, events.ReasonThrottled},
		"invalid_client":           {sandbox.Step{Status: 401, Error: "invalid_client"}, events.ReasonAppRefused},
		"invalid_request with 403": {sandbox.Step{Status: 403, Error: "invalid_request"}, events.ReasonAppRefused},
		"invalid_grant with 200":   {sandbox.Step{Status: 200, Error: "invalid_grant"}, events.ReasonGrantEnded},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			s := w.rotating(lenient(30 * time.Second))
			w.script(s, tt.step)
			w.run(w.exchanger(), w.job(s.ID))
			got := w.secret(s.ID)
			if reason(got) != string(tt.reason) || got.RefreshStatus != secret.Pending || w.grant(s.ID).Lost != nil {
				t.Errorf("lost: %s, record: %s", show(w.grant(s.ID).Lost), show(got))
			}
			w.script(s)
			w.runDue(w.exchanger(), s.ID)
			w.checkServes(s.ID)
		})
	}
}

// Somebody has to consent again when nobody knows how a refresh ended. That the grant
// has ended is not said.
func TestUnknownIsNoEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.rotating(strict())
	w.dies(s.ID, 2)
	w.again(s.ID)
	w.untilDead(w.exchanger(), s.ID)
	var due []events.ReauthorizationDue
	for _, e := range w.events.about(s.ID) {
		if d, ok := e.Data.(events.ReauthorizationDue); ok {
			due = append(due, d)
		}
	}
	if len(due) != 1 || due[0].Ended {
		t.Errorf("said: %s", show(due))
	}
}
