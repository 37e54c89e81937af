package exchanger

import (
	"strings"
	"testing"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/services/sandbox"
)

// tokensIn makes an answer of the sandbox's tokens and what is around them.
func tokensIn(step sandbox.Step, body string) sandbox.Step {
	body = strings.NewReplacer("ACCESS", `"access_token":"{{access_token}}"`, "REFRESH", `"refresh_token":"{{refresh_token}}","expires_in":36000`).Replace(body)
	step.Body = &body
	return step
}

// An answer is read however it is wrapped.
func TestStrangeAnswers(t *testing.T) {
	t.Parallel()
	for name, step := range map[string]sandbox.Step{
		"201":                  {Status: 201},
		"202":                  {Status: 202},
		"203":                  {Status: 203},
		"byte order mark":      tokensIn(sandbox.Step{}, "\ufeff{ACCESS,REFRESH}"),
		"JSON called a form":   tokensIn(sandbox.Step{ContentType: "application/x-www-form-urlencoded"}, "{ACCESS,REFRESH}"),
		"id_token of objects":  tokensIn(sandbox.Step{}, `{ACCESS,"id_token":{"a":1},REFRESH}`),
		"error of zero":        tokensIn(sandbox.Step{}, `{"error":"0",ACCESS,REFRESH}`),
		"no members of error":  tokensIn(sandbox.Step{}, `{"error":{},ACCESS,REFRESH}`),
		"no errors of a list":  tokensIn(sandbox.Step{}, `{"error":[],ACCESS,REFRESH}`),
		"an error that is not": tokensIn(sandbox.Step{}, `{"error":"",ACCESS,REFRESH}`),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			s := w.rotating(strict())
			step.Times = 1
			w.script(s, step, sandbox.Step{})
			w.run(w.exchanger(), w.job(s.ID))
			w.checkServes(s.ID)
			w.wantRequests(s.ID, 2)
		})
	}
}

// The refresh token that came with an answer that is otherwise of no use takes the
// place of the one that was sent. The failure is told, and the next attempt succeeds.
func TestFlawedAnswers(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		step   sandbox.Step
		reason events.Reason
	}{
		"no access token":        {tokensIn(sandbox.Step{}, `{"x":{ACCESS},REFRESH}`), events.ReasonMalformed},
		"access token not ASCII": {tokensIn(sandbox.Step{}, `{"access_token":"é","x":{ACCESS},REFRESH}`), events.ReasonMalformed},
		"access token twice":     {tokensIn(sandbox.Step{}, `{ACCESS,REFRESH,ACCESS}`), events.ReasonMalformed},
		"giant access token":     {tokensIn(sandbox.Step{}, `{"x":{ACCESS},REFRESH,"access_token":"`+strings.Repeat("a", 33<<10)+`"}`), events.ReasonMalformed},
		"a comment behind":       {tokensIn(sandbox.Step{}, `{ACCESS,REFRESH}<!-- x -->`), events.ReasonMalformed},
		"broken off":             {tokensIn(sandbox.Step{}, `{REFRESH,ACCESS,"scope":`), events.ReasonMalformed},
		"no access token, 201":   {tokensIn(sandbox.Step{Status: 201}, `{"x":{ACCESS},REFRESH}`), events.ReasonMalformed},
		"no lifetime":            {sandbox.Step{Omit: []string{"expires_in"}}, events.ReasonNoLifetime},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			s := w.rotating(strict())
			tt.step.Times = 1
			w.script(s, tt.step, sandbox.Step{})
			w.run(w.exchanger(), w.job(s.ID))
			got, g := w.secret(s.ID), w.grant(s.ID)
			if reason(got) != string(tt.reason) || got.RefreshStatus != secret.Pending || !got.NextAttemptAt.Equal(secondPlace(got)) ||
				g.Lost != nil || g.Consent.Generation != g.Outcome.Decision {
				t.Errorf("lost: %s, record: %s", show(g.Lost), show(got))
			}
			w.checkKept(got)
			w.runDue(w.exchanger(), s.ID)
			w.checkServes(s.ID)
		})
	}
}
