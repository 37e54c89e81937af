package intake_test

import (
	"strings"
	"testing"

	"github.com/rekindle-dev/rekindle/events"
	upstream "github.com/rekindle-dev/rekindle/events/intake"
	"github.com/rekindle-dev/rekindle/pkg/work"
	"github.com/rekindle-dev/rekindle/services/api"
)

// FuzzDoor: whatever is published is answered, and holds up nothing.
func FuzzDoor(f *testing.F) {
	const header = "ce-specversion: 1.0\nce-id: e1\nce-source: /crm\nce-type: dev.rekindle.intake.v1."
	for _, typ := range upstream.Types() {
		f.Add(upstream.Subject(api.DefaultOrg, typ, "key"), header+string(typ), []byte(`{"property":"PR","name":"n","type_of":"oauth2-acme","credentials":{"scopes":["all"]}}`))
		f.Add(upstream.Subject(api.DefaultOrg, typ, "key"), header+string(typ)+"\nce-id: e2", []byte(`{"secret":"SE","new_name":"m"}`))
	}
	f.Add(upstream.Subject(api.DefaultOrg, upstream.TypeSecretUpdated, "key"), header+"SecretUpdated\nRekindle-Reply: $JS.API.STREAM.DELETE.EVENTS", []byte(`{"property":"PR","name":"n","environment":null,"credentials":{"a/b~c":{}}}`))
	f.Add("rekindle.v1.intake.=.SecretCreated.key", "", []byte(`{"name":"`+strings.Repeat("x", 1<<10)+`"}`))
	f.Add("rekindle.v1.intake.ELSE=40WhereOrg.RetryRequested.key", header+"RetryRequested", []byte(`{"secret":"*.>"}`))
	f.Add("", "ce-id: INTAKE.1", []byte(nil))
	f.Fuzz(func(t *testing.T, subject, header string, body []byte) {
		s := newSite(t)
		l := work.Letter{Subject: subject, Header: map[string][]string{}, Body: []byte(strings.ReplaceAll(string(body), `"PR"`, `"`+s.property+`"`))}
		for line := range strings.Lines(header) {
			name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
			l.Header[name] = append(l.Header[name], value)
		}
		s.queue.put(l)
		s.queue.put(letter(upstream.TypeSecretCreated, "behind it", s.create("behind")))
		s.queue.settled(t)
		answers := 0
		for about, found := range s.answers() {
			if about != "behind it" {
				answers += len(found)
			}
			for _, data := range found {
				if r, rejected := data.(events.Rejected); rejected != s.queue.erased[1] && about != "behind it" {
					t.Errorf("%#v, but erased: %v", r, s.queue.erased)
				}
			}
		}
		if answers != 1 {
			t.Errorf("%d answers: %v", answers, s.answers())
		}
		for _, e := range s.queue.replies {
			if e.Org != api.DefaultOrg && !strings.Contains(subject, events.Token(e.Org)) {
				t.Errorf("a reply of %s to %s", e.Org, subject)
			}
		}
		if _, made := s.answers()["behind it"][0].(events.Accepted); !made {
			t.Errorf("what is behind it is answered with %v", s.answers()["behind it"])
		}
	})
}
