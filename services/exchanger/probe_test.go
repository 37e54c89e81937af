package exchanger

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/seal"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/pkg/work"
	"github.com/rekindle-dev/rekindle/services/sandbox"
)

// question is a test that somebody waits for.
type question struct {
	work.Message
	w       *world
	id      string
	key     *seal.Reply
	answers chan []byte
}

// ask is what the api does to have a secret tested.
func (w *world) ask(id string) *question {
	w.t.Helper()
	key, err := seal.NewReply()
	if err != nil {
		w.t.Fatal(err)
	}
	body, err := json.Marshal(events.TestRequested{Secret: id, Key: key.Key(), Before: w.now().Add(13 * time.Second)})
	if err != nil {
		w.t.Fatal(err)
	}
	q := &question{w: w, id: id, key: key, answers: make(chan []byte, 4)}
	q.Message = work.Message{ID: secret.NewUUID(), Type: string(events.TypeTestRequested), Subject: id, Data: body, Delivery: 1}
	q.Answer = func(_ context.Context, body []byte) error {
		q.answers <- body
		return nil
	}
	return q
}

// answer opens the only answer that came.
func (q *question) answer() (a events.TestAnswer) {
	q.w.t.Helper()
	if len(q.answers) != 1 {
		q.w.t.Fatalf("%d answers", len(q.answers))
	}
	plain, err := q.key.Open(seal.Binding{Secret: q.id, Field: events.FieldTestAnswer}, <-q.answers)
	if err != nil {
		q.w.t.Fatal(err)
	}
	if err := json.Unmarshal(plain.Reveal(), &a); err != nil {
		q.w.t.Fatal(err)
	}
	return a
}

// unclaimed is the state without the claim of a secret.
func (w *world) unclaimed(id string) map[string]string {
	w.t.Helper()
	all := map[string]string{}
	for key, body := range w.store.dump(w.t) {
		all[key] = string(body)
	}
	g := w.grant(id)
	g.Claim = nil
	all[state.GrantKey(id)] = show(g)
	return all
}

// A test shows what the provider says, and leaves everything as it was.
func TestTest(t *testing.T) {
	t.Parallel()
	short := sandbox.Duration(time.Hour)
	tests := []struct {
		name     string
		kind     secret.Kind
		step     sandbox.Step
		outcome  string
		want     map[string]any // of the answer; nil is any
		warning  string
		requests int
	}{
		{"success", secret.OAuth2, sandbox.Step{}, "succeeded", map[string]any{"expires_in": 36000.0, "token_type": "Bearer"}, "", 1},
		{"members of its own", secret.OAuth2ClientCredentials, sandbox.Step{Fields: map[string]json.RawMessage{"own": json.RawMessage(`[1]`)}}, "succeeded", map[string]any{"own": []any{1.0}}, "", 1},
		{"too short a life", secret.OAuth2, sandbox.Step{Lifetime: &short}, "succeeded", map[string]any{"expires_in": 3600.0}, "28800", 1},
		{"refused", secret.OAuth2, sandbox.Step{Error: "invalid_client"}, "rejected", map[string]any{"error": "rejected", "status": 401.0}, "", 1},
		{"down", secret.OAuth2, sandbox.Step{Status: 503}, "provider_error", map[string]any{"error": "provider_error", "status": 503.0}, "", 1},
		{"reset", secret.OAuth2, sandbox.Step{Fault: sandbox.FaultReset}, "disconnected", map[string]any{"error": "disconnected"}, "", 1},
		{"no lifetime", secret.OAuth2, sandbox.Step{Omit: []string{"expires_in"}}, "no_lifetime", map[string]any{"error": "no_lifetime", "status": 200.0}, "", 1},
		{"a JWT that is not exchanged", secret.OAuth2JWT, sandbox.Step{}, "succeeded", map[string]any{"expires_in": 36000.0, "token_type": "Bearer"}, "", 0},
		{"a kind without a test", secret.Token, sandbox.Step{}, "unsupported", map[string]any{"error": "unsupported"}, "", 0},
	}
	for _, tt := range tests {
		for _, exchanged := range []bool{false, true} {
			name := tt.name + ", new"
			if exchanged {
				name = tt.name + ", in use"
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				x := w.exchanger()
				s := w.create(tt.kind)
				if exchanged {
					w.run(x, w.job(s.ID))
				}
				if s.Credentials.ClientID != "" {
					w.script(s, tt.step)
				}
				before, said, requests := w.unclaimed(s.ID), len(w.events.about(s.ID)), len(w.provider.AllRequests())
				q := w.ask(s.ID)
				if err := x.Handle(t.Context(), q.Message); err != nil {
					t.Fatal(err)
				}
				got := q.answer()
				var members map[string]any
				if err := json.Unmarshal(got.Exchange, &members); err != nil || got.Busy || !strings.Contains(got.Warning, tt.warning) || (got.Warning == "") != (tt.warning == "") {
					t.Errorf("busy=%t, warning %q: %v", got.Busy, got.Warning, err)
				}
				for name, want := range tt.want {
					if diff := cmp.Diff(want, members[name]); diff != "" {
						t.Errorf("%s (-want +got):\n%s", name, diff)
					}
				}
				if _, token := members["access_token"]; token != (tt.outcome == "succeeded") {
					t.Errorf("an access token is there: %t", token)
				}
				if diff := cmp.Diff(before, w.unclaimed(s.ID)); diff != "" {
					t.Errorf("state (-before +after):\n%s", diff)
				}
				if claim := w.grant(s.ID).Claim; claim != nil {
					t.Errorf("the claim is still there: %s", show(claim))
				}
				if n := len(w.provider.AllRequests()) - requests; n != tt.requests || len(w.events.about(s.ID)) != said {
					t.Errorf("%d requests and %d events", n, len(w.events.about(s.ID))-said)
				}
				line := `rekindle_exchanges_total{action="test",kind="` + string(tt.kind.Canonical()) + `",outcome="` + tt.outcome + `"}`
				if n, _ := w.metric(line); n != 1 {
					t.Errorf("%s is %v, want 1", line, n)
				}
			})
		}
	}
}

// What a test finds is nowhere but in its answer, and the answer opens with
// nothing but the key of who asked.
func TestTestIsNotReadable(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	x := w.exchanger()
	s := w.create(secret.OAuth2)
	q := w.ask(s.ID)
	if err := x.Handle(t.Context(), q.Message); err != nil {
		t.Fatal(err)
	}
	sealed := <-q.answers
	if _, err := seal.NewOpener(w.ring).Open(seal.Binding{Secret: s.ID, Field: events.FieldTestAnswer}, sealed); err == nil {
		t.Error("the fleet can open it")
	}
	for _, other := range []seal.Binding{
		{Secret: secret.NewID(secret.PrefixSecret), Field: events.FieldTestAnswer},
		{Secret: s.ID, Field: fieldValue},
		{Secret: s.ID, Field: events.FieldTestAnswer, Generation: 1},
	} {
		if _, err := q.key.Open(other, sealed); err == nil {
			t.Errorf("it opens as %+v", other)
		}
	}
	q.answers <- sealed
	if got := q.answer(); !strings.Contains(string(got.Exchange), plantedPrefix) {
		t.Errorf("no token in %s", got.Exchange)
	}
	for sink, text := range map[string]string{
		"state": w.store.written.String(), "log": w.logs.String(), "metrics": scrape(t, w.metrics),
		"spans": w.shownSpans(), "answer": string(sealed),
	} {
		for _, planted := range []string{plantedSecret, plantedPrefix} {
			for form, sought := range forms(planted) {
				if strings.Contains(text, sought) {
					t.Errorf("%s is in the %s, %s", planted, sink, form)
				}
			}
		}
	}
}

// What cannot be tested is not: too late, gone, or nothing that anybody asked.
func TestNotTested(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	x := w.exchanger()
	s := w.create(secret.OAuth2)
	late := w.ask(s.ID)
	w.advance(13 * time.Second)
	nobody := w.ask(s.ID)
	nobody.Answer = nil
	gone := w.ask(secret.NewID(secret.PrefixSecret))
	for name, q := range map[string]*question{"late": late, "nobody waits": nobody, "gone": gone} {
		if err := x.Handle(t.Context(), q.Message); err != nil || len(q.answers) != 0 {
			t.Errorf("%s: %d answers, %v", name, len(q.answers), err)
		}
	}
	for name, body := range map[string]string{"not JSON": "{", "no id": `{"secret":"x"}`} {
		q := w.ask(s.ID)
		q.Data = []byte(body)
		if err := x.Handle(t.Context(), q.Message); !work.Rejected(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	w.update(s.ID, func(s *secret.Secret) { s.Delete(w.now()) })
	deleted := w.ask(s.ID)
	if err := x.Handle(t.Context(), deleted.Message); err != nil || len(deleted.answers) != 0 {
		t.Errorf("deleted: %d answers, %v", len(deleted.answers), err)
	}
	if len(w.provider.AllRequests()) != 0 || w.grant(s.ID).Claim != nil {
		t.Errorf("%d requests", len(w.provider.AllRequests()))
	}
}
