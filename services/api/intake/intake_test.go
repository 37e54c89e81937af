package intake_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rekindle-dev/rekindle/events"
	upstream "github.com/rekindle-dev/rekindle/events/intake"
	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/services/api"
	"github.com/rekindle-dev/rekindle/services/api/intake"
)

// ask puts an event into the queue, waits until it is dealt with, and returns the reply.
func (s *site) ask(t *testing.T, typ upstream.Type, id, body string, headers ...string) events.Data {
	t.Helper()
	s.queue.put(letter(typ, id, body, headers...))
	s.queue.settled(t)
	return s.lastReply(t)
}

func TestAccepted(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	made, ok := s.ask(t, upstream.TypeSecretCreated, "e1", s.create("crm"), "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").(events.Accepted)
	if !ok || made.AuthorizationURL == "" || made.AuthorizeUntil.IsZero() {
		t.Fatalf("the reply is %#v", s.lastReply(t))
	}
	id := s.secrets(t)["crm"]
	want := events.Accepted{
		Event: "e1", EventSource: "/crm", EventType: "dev.rekindle.intake.v1.SecretCreated",
		Secret: id, Property: s.property, Name: "crm", Kind: "oauth2-acme",
	}
	if diff := cmp.Diff([]events.Data{want}, s.answers()["e1"]); diff != "" {
		t.Errorf("the answer among the facts (-want +got):\n%s", diff)
	}
	found, err := s.Service.Secret(t.Context(), api.Caller{Org: api.DefaultOrg}, id)
	if err != nil || found.CreatedBy.DisplayName != "/crm" {
		t.Errorf("created by %v, %v", found.CreatedBy, err)
	}

	by := fmt.Sprintf(`{"property":%q,"name":"crm"}`, s.property)
	steps := []struct {
		typ  upstream.Type
		body string
		name string
		url  bool
	}{
		{upstream.TypeRetryRequested, by, "crm", true}, // nobody has consented yet
		{upstream.TypeReauthorizeRequested, `{"secret":"` + id + `"}`, "crm", true},
		{upstream.TypeSecretUpdated, strings.TrimSuffix(by, "}") + `,"new_name":"crm-2"}`, "crm-2", true},
		{upstream.TypeSecretUpdated, `{"secret":"` + id + `","credentials":{"scopes":["all","more"]}}`, "crm-2", true},
		{upstream.TypeSecretDeleted, `{"secret":"` + id + `"}`, "crm-2", false},
	}
	for i, step := range steps {
		event := fmt.Sprint("step-", i)
		got, ok := s.ask(t, step.typ, event, step.body).(events.Accepted)
		if !ok || got.Secret != id || got.Name != step.name || got.Duplicate || (got.AuthorizationURL != "") != step.url {
			t.Errorf("%s %s: the reply is %#v", step.typ, step.body, s.lastReply(t))
		}
		if n := len(s.answers()[event]); n != 1 {
			t.Errorf("%s: %d answers among the facts", event, n)
		}
	}
	if left := s.secrets(t); len(left) > 0 {
		t.Errorf("%v is left", left)
	}
	if len(s.queue.erased) > 0 {
		t.Error("what was accepted was erased")
	}
}

// TestRepeated has the same event come twice: it is carried out once and answered twice.
func TestRepeated(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	first := s.ask(t, upstream.TypeSecretCreated, "e1", s.create("crm")).(events.Accepted)
	again, ok := s.ask(t, upstream.TypeSecretCreated, "e1", s.create("crm")).(events.Accepted)
	if !ok || !again.Duplicate || again.Secret != first.Secret || again.AuthorizationURL != "" {
		t.Errorf("the second reply is %#v", s.lastReply(t))
	}
	if n := len(s.answers()["e1"]); n != 1 {
		t.Errorf("%d answers among the facts", n)
	}
	if !s.queue.erased[s.queue.last] {
		t.Error("a repeat, which nobody has looked into, is not erased")
	}
	// The id is that of its source: another's is another event.
	other := s.ask(t, upstream.TypeSecretCreated, "e1", s.create("erp"), "ce-source: /erp").(events.Accepted)
	if other.Duplicate || other.Secret == first.Secret {
		t.Errorf("another source's event is taken for the first: %#v", other)
	}
}

// TestNothingToDo is answered and remembered: what it asked for stood already, whatever
// becomes of the secret.
func TestNothingToDo(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	made := s.ask(t, upstream.TypeSecretCreated, "e1", fmt.Sprintf(`{"property":%q,"name":"crm","type_of":"oauth2-acme"}`, s.property)).(events.Accepted)
	if _, ok := s.ask(t, upstream.TypeSecretUpdated, "e2", `{"secret":"`+made.Secret+`"}`).(events.Accepted); !ok {
		t.Errorf("the reply is %#v", s.lastReply(t))
	}
	s.ask(t, upstream.TypeSecretDeleted, "e3", `{"secret":"`+made.Secret+`"}`)
	if again, ok := s.ask(t, upstream.TypeSecretUpdated, "e2", `{"secret":"`+made.Secret+`"}`).(events.Accepted); !ok || !again.Duplicate {
		t.Errorf("the second reply is %#v", s.lastReply(t))
	}
	if n := len(s.answers()["e2"]); n != 1 {
		t.Errorf("%d answers among the facts", n)
	}
}

// TestRejected wants each bad event answered with pointers into its data, erased, and nothing
// changed by it.
func TestRejected(t *testing.T) {
	t.Parallel()
	const nobody = "00000000000040008000000000000000"
	s := newSite(t)
	made := s.ask(t, upstream.TypeSecretCreated, "first", s.create("taken")).(events.Accepted)
	created := func(members string) string { return fmt.Sprintf(`{"property":%q,%s}`, s.property, members) }
	tests := []struct {
		name    string
		typ     upstream.Type
		body    string
		headers []string
		want    []string // code and pointer
	}{
		{"no data", upstream.TypeSecretCreated, ``, nil, []string{"invalid-json "}},
		{"no object", upstream.TypeSecretCreated, `[]`, nil, []string{"invalid-json "}},
		{"not JSON", upstream.TypeSecretCreated, `{"property":`, nil, []string{"invalid-json "}},
		{"two objects", upstream.TypeSecretCreated, `{}{}`, nil, []string{"invalid-json "}},
		{"a member twice", upstream.TypeSecretCreated, `{"name":"a","name":"b"}`, nil, []string{"invalid-json "}},
		{"not UTF-8", upstream.TypeSecretCreated, "{\"name\":\"\xff\"}", nil, []string{"invalid-json "}},
		{"too deep", upstream.TypeSecretCreated, `{"name":` + strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000) + `}`, nil, []string{"invalid-json "}},
		{"too large", upstream.TypeSecretCreated, `{"name":"` + strings.Repeat("x", events.MaxBody) + `"}`, nil, []string{"invalid-json "}},
		{"nothing in it", upstream.TypeSecretCreated, `{}`, nil, []string{"invalid-secret /property", "invalid-secret /name"}},
		{"nobody's property", upstream.TypeSecretCreated, `{"property":"PR` + nobody + `","name":"x","type_of":"token"}`, nil, []string{"not-found /property"}},
		{"no property at all", upstream.TypeSecretCreated, `{"property":"*.>","name":"x","type_of":"token"}`, nil, []string{"not-found /property"}},
		{"taken", upstream.TypeSecretCreated, s.create("taken"), nil, []string{"not-unique /name"}},
		{
			"several", upstream.TypeSecretCreated, created(`"name":"","type_of":"x","environment":7`), nil,
			[]string{"invalid-secret /name", "invalid-secret /environment", "invalid-secret /type_of"},
		},
		{"nobody's environment", upstream.TypeSecretCreated, created(`"name":"x","type_of":"oauth2-acme","environment":"EN` + nobody + `"`), nil, []string{"not-found /environment"}},
		{"in plain text", upstream.TypeSecretCreated, created(`"name":"x","type_of":"token","credentials":{"token":"hunter2"}`), nil, []string{"invalid-secret /credentials/token"}},
		{"under another name", upstream.TypeSecretCreated, created(`"name":"x","type_of":"oauth2-acme","credentials":{"clientSecret":"hunter2"}`), nil, []string{"invalid-secret /credentials/clientSecret"}},
		{"in an object", upstream.TypeSecretCreated, created(`"name":"x","type_of":"oauth2-acme","credentials":{"password":{"value":"hunter2"}}`), nil, []string{"invalid-secret /credentials/password"}},
		{"beside what is sealed", upstream.TypeSecretCreated, created(`"name":"x","type_of":"oauth2-acme","credentials":{"password":{"sealed":"AAAA","value":"hunter2"}}`), nil, []string{"invalid-secret /credentials/password"}},
		{"beside the credentials", upstream.TypeSecretUpdated, `{"secret":"` + made.Secret + `","client_secret":"hunter2","token":null}`, nil, []string{"invalid-secret /client_secret"}},
		{"sealed beside them", upstream.TypeSecretUpdated, `{"secret":"` + made.Secret + `","client_secret":{"sealed":"AAAA"}}`, nil, []string{"invalid-secret /client_secret"}},
		{"to delete by", upstream.TypeSecretDeleted, `{"secret":"` + made.Secret + `","credentials":{"password":"hunter2"}}`, nil, []string{"invalid-secret /credentials/password"}},
		{"to retry with", upstream.TypeRetryRequested, `{"secret":"` + made.Secret + `","credentials":{"token":"hunter2","password":["hunter2"]}}`, nil, []string{"invalid-secret /credentials/token", "invalid-secret /credentials/password"}},
		{"to reauthorize with", upstream.TypeReauthorizeRequested, `{"secret":"` + made.Secret + `","credentials":{"private_key":"hunter2"}}`, nil, []string{"invalid-secret /credentials/private_key"}},
		{"credentials a text", upstream.TypeSecretCreated, created(`"name":"x","type_of":"oauth2-acme","credentials":"hunter2"`), nil, []string{"invalid-secret /credentials"}},
		{"nobody's secret", upstream.TypeSecretDeleted, `{"secret":"SE` + nobody + `"}`, nil, []string{"not-found /secret"}},
		{"no secret's name", upstream.TypeSecretDeleted, created(`"name":"x"`), nil, []string{"not-found /name"}},
		{"in nobody's property", upstream.TypeSecretDeleted, `{"property":"PR` + nobody + `","name":"x"}`, nil, []string{"not-found /property"}},
		{"named twice", upstream.TypeRetryRequested, `{"secret":"` + made.Secret + `","name":"taken"}`, nil, []string{"invalid-secret /secret"}},
		{"named not at all", upstream.TypeRetryRequested, `{}`, nil, []string{"invalid-secret /property", "invalid-secret /name"}},
		{"an id that is none", upstream.TypeSecretUpdated, `{"secret":7}`, nil, []string{"invalid-secret /secret"}},
		{"a new name that is none", upstream.TypeSecretUpdated, `{"secret":"` + made.Secret + `","new_name":""}`, nil, []string{"invalid-secret /new_name"}},
		{"about something else", upstream.TypeSecretDeleted, `{"secret":"` + made.Secret + `"}`, []string{"ce-subject: other"}, []string{"invalid-secret "}},
		{"no source", upstream.TypeSecretDeleted, `{"secret":"` + made.Secret + `"}`, []string{"ce-source:"}, []string{"invalid-event "}},
		{"another version", upstream.TypeSecretDeleted, `{"secret":"` + made.Secret + `"}`, []string{"ce-specversion: 2.0"}, []string{"invalid-event "}},
		{"another type", upstream.TypeSecretDeleted, `{"secret":"` + made.Secret + `"}`, []string{"ce-type: dev.rekindle.v1.SecretDeleted"}, []string{"invalid-event "}},
		{"another organisation", upstream.TypeSecretDeleted, `{"secret":"` + made.Secret + `"}`, []string{"ce-org: other"}, []string{"invalid-event "}},
		{"no type of ours", "SecretMade", `{}`, nil, []string{"invalid-event "}},
	}
	for i, tt := range tests {
		id := fmt.Sprint("bad-", i)
		got, ok := s.ask(t, tt.typ, id, tt.body, tt.headers...).(events.Rejected)
		if !ok {
			t.Errorf("%s: the reply is %#v", tt.name, s.lastReply(t))
			continue
		}
		var problems []string
		for _, p := range got.Problems {
			problems = append(problems, p.Code+" "+p.Pointer)
			if p.Detail == "" {
				t.Errorf("%s: no detail", tt.name)
			}
		}
		if diff := cmp.Diff(tt.want, problems); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
		if diff := cmp.Diff([]events.Data{got}, s.answers()[id]); diff != "" {
			t.Errorf("%s: the answer among the facts (-reply +fact):\n%s", tt.name, diff)
		}
		if !s.queue.erased[s.queue.last] {
			t.Errorf("%s: it was not erased", tt.name)
		}
	}
	if diff := cmp.Diff(map[string]string{"taken": made.Secret}, s.secrets(t)); diff != "" {
		t.Errorf("the secrets (-want +got):\n%s", diff)
	}
	if strings.Contains(s.Log.String(), "hunter2") {
		t.Error("the log quotes what was refused")
	}
	for _, e := range s.Events.Published() {
		if _, body, err := events.Encode(e); err != nil || strings.Contains(string(body), "hunter2") {
			t.Errorf("an answer quotes what was refused: %v", err)
		}
	}
}

// TestRejectedAtLength: a refusal is bounded by what an event can hold, as it is written.
func TestRejectedAtLength(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	var members []string
	for i := range 60 {
		members = append(members, fmt.Sprintf(`"%d%s":1`, i, strings.Repeat("<", 900))) // six bytes each in JSON
	}
	body := fmt.Sprintf(`{"property":%q,"name":"x","type_of":"oauth2-acme","credentials":{%s}}`, s.property, strings.Join(members, ","))
	got, ok := s.ask(t, upstream.TypeSecretCreated, "e1", body).(events.Rejected)
	if !ok || len(got.Problems) < 10 || got.Problems[0].Code != "invalid-secret" {
		t.Errorf("the reply is %.200v", s.lastReply(t))
	}
	if strings.Contains(s.Log.String(), "fault") {
		t.Error("it is taken for a fault of the program")
	}
}

// TestRefusedOverAgain: a door that could not answer a refusal refuses once more, for another
// reason; another process may not.
func TestRefusedOverAgain(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	e := &api.Errand{Source: "/crm", ID: "e1"}
	if found, err := s.Service.Recall(t.Context(), api.DefaultOrg, e); found != nil || err != nil {
		t.Fatal(found, err)
	}
	for range 2 {
		if err := s.Service.Refuse(t.Context(), api.DefaultOrg, e); err != nil {
			t.Error(err)
		}
	}
	if err := s.Service.Refuse(t.Context(), api.DefaultOrg, &api.Errand{Source: "/crm", ID: "e1"}); !errors.Is(err, api.ErrRepeated) {
		t.Error(err)
	}
}

// TestRefusedIsNotRemembered: an event that was refused can be published again once what
// kept it from being carried out is mended.
func TestRefusedIsNotRemembered(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.ask(t, upstream.TypeSecretCreated, "first", s.create("crm"))
	for range 2 {
		if _, ok := s.ask(t, upstream.TypeSecretCreated, "e1", s.create("crm")).(events.Rejected); !ok {
			t.Fatalf("the reply is %#v", s.lastReply(t))
		}
	}
	s.ask(t, upstream.TypeSecretDeleted, "second", fmt.Sprintf(`{"property":%q,"name":"crm"}`, s.property))
	if made, ok := s.ask(t, upstream.TypeSecretCreated, "e1", s.create("crm")).(events.Accepted); !ok || made.Duplicate {
		t.Errorf("the reply is %#v", s.lastReply(t))
	}
	if n := len(s.answers()["e1"]); n != 3 {
		t.Errorf("%d answers among the facts, want two refusals and an acceptance", n)
	}
}

// TestNameless is about an event without an id: it is called by its place.
func TestNameless(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	got, ok := s.ask(t, upstream.TypeSecretDeleted, "", `{}`, "ce-id:").(events.Rejected)
	if !ok || got.Event != "INTAKE.1" {
		t.Errorf("the reply is %#v", s.lastReply(t))
	}
}

// faulty panics at what is called poison, as a use case with a bug would. It finds the state
// away as often as it is told.
type faulty struct {
	intake.UseCases
	away atomic.Int64
}

func (f *faulty) Recall(ctx context.Context, org string, e *api.Errand) (*events.Accepted, error) {
	if e.ID == "poison" {
		panic("poison")
	}
	return f.UseCases.Recall(ctx, org, e)
}

func (f *faulty) CarryOut(ctx context.Context, who api.Caller, t upstream.Type, subject string, body []byte) (*api.Changed, error) {
	if strings.Contains(string(body), "poison") {
		panic("poison")
	}
	if f.away.Add(-1) >= 0 {
		return nil, api.ErrUnavailable
	}
	return f.UseCases.CarryOut(ctx, who, t, subject, body)
}

// TestPoison holds up what is behind it for a while, and is refused then.
func TestPoison(t *testing.T) {
	t.Parallel()
	first := newSite(t)
	first.Stop()
	s := start(t, first.State, newQueue(), wiring{use: func(u intake.UseCases) intake.UseCases { return &faulty{UseCases: u} }})
	s.property = first.property
	s.queue.put(letter(upstream.TypeSecretCreated, "bad", s.create("poison")))
	s.queue.put(letter(upstream.TypeSecretCreated, "poison", s.create("erp")))
	s.queue.put(letter(upstream.TypeSecretCreated, "good", s.create("crm")))
	s.queue.settled(t)
	if len(s.secrets(t)) != 1 {
		t.Errorf("the secrets are %v", s.secrets(t))
	}
	for place, id := range map[uint64]string{1: "bad", 2: "poison"} {
		answer, ok := s.answers()[id][0].(events.Rejected)
		if !ok || answer.Problems[0].Code != "internal-error" || !s.queue.erased[place] {
			t.Errorf("the answer is %#v, erased: %v", answer, s.queue.erased)
		}
	}
	if strings.Contains(s.Log.String(), "poison") {
		t.Error("the log quotes it")
	}
}

// TestAway: what is away for a while refuses nothing, however often the event comes again.
func TestAway(t *testing.T) {
	t.Parallel()
	first := newSite(t)
	first.Stop()
	s := start(t, first.State, newQueue(), wiring{use: func(u intake.UseCases) intake.UseCases {
		f := &faulty{UseCases: u}
		f.away.Store(20)
		return f
	}})
	s.property = first.property
	if _, ok := s.ask(t, upstream.TypeSecretCreated, "e1", s.create("crm")).(events.Accepted); !ok {
		t.Errorf("the reply is %#v", s.lastReply(t))
	}
	if n := len(s.answers()["e1"]); n != 1 {
		t.Errorf("%d answers among the facts", n)
	}
}

// TestDamaged: records that cannot be read have the event refused in the end, and not come
// again for ever.
func TestDamaged(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	made := s.ask(t, upstream.TypeSecretCreated, "e1", s.create("crm")).(events.Accepted)
	damage := func(key string) {
		_, rev, err := s.State.Get(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.State.Commit(t.Context(), state.Write{Key: key, Value: []byte("{"), Expect: rev}); err != nil {
			t.Fatal(err)
		}
	}
	damage(state.CredentialKey(made.Secret))
	damage(state.IntakeKey(api.DefaultOrg, "/crm", "e1"))
	for _, id := range []string{"e1", "e2"} {
		got, ok := s.ask(t, upstream.TypeSecretUpdated, id, `{"secret":"`+made.Secret+`","new_name":"n"}`).(events.Rejected)
		if !ok || got.Problems[0].Code != "internal-error" {
			t.Errorf("%s: the reply is %#v", id, s.lastReply(t))
		}
	}
}

// forgetful lets the note of a refusal end its life right after it was found.
type forgetful struct {
	intake.UseCases
	state state.Store
}

func (f *forgetful) Recall(ctx context.Context, org string, e *api.Errand) (*events.Accepted, error) {
	accepted, err := f.UseCases.Recall(ctx, org, e)
	key := state.IntakeKey(org, e.Source, e.ID)
	if _, rev, there := f.state.Get(ctx, key); there == nil && accepted == nil {
		_, err = f.state.Commit(ctx, state.Write{Key: key, Expect: rev})
	}
	return accepted, err
}

// TestRefusalForgotten: what is noted of a refusal may go between the moment when it is looked
// for and the commit that is to write over it.
func TestRefusalForgotten(t *testing.T) {
	t.Parallel()
	first := newSite(t)
	first.Stop()
	s := start(t, first.State, newQueue(), wiring{use: func(u intake.UseCases) intake.UseCases { return &forgetful{u, first.State} }})
	s.property = first.property
	s.ask(t, upstream.TypeSecretUpdated, "e1", fmt.Sprintf(`{"property":%q,"name":"crm"}`, s.property))
	if _, ok := s.ask(t, upstream.TypeSecretCreated, "e1", s.create("crm")).(events.Accepted); !ok {
		t.Errorf("the reply is %#v", s.lastReply(t))
	}
	if _, ok := s.ask(t, upstream.TypeSecretUpdated, "e2", fmt.Sprintf(`{"property":%q,"name":"erp"}`, s.property)).(events.Rejected); !ok {
		t.Errorf("the reply is %#v", s.lastReply(t))
	}
	if _, ok := s.ask(t, upstream.TypeSecretDeleted, "e2", fmt.Sprintf(`{"property":%q,"name":"crm"}`, s.property)).(events.Accepted); !ok {
		t.Errorf("the reply is %#v", s.lastReply(t))
	}
}
