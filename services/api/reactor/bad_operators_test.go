package reactor_test

import (
	"strings"
	"testing"
)

// badOperatorRequests are bad requests about tokens and the audit trail.
func badOperatorRequests() []bad {
	const nobody = "00000000000040008000000000000000"
	row := func(name, request, body string, status int, want ...string) bad {
		return bad{name: name, request: request, body: body, status: status, want: want}
	}
	const create, change = "POST /tokens", "PATCH /tokens/{bearer}"
	return []bad{
		row("token of nothing", create, `{"data":{}}`, 422, "invalid-token /data/attributes/name", "invalid-token /data/attributes/rights"),
		row("token of another type", create, `{"data":{"type":"keys"}}`, 409, "conflict /data/type"),
		row("token, attributes a list", create, `{"data":{"attributes":[]}}`, 422, "invalid-token /data/attributes"),
		row("token with all wrong", create, attributes(`"name":7,"rights":"develop","expires_at":"tomorrow"`), 422,
			"invalid-token /data/attributes/rights", "invalid-token /data/attributes/expires_at", "invalid-token /data/attributes/name"),
		row("token with a right of numbers", create, attributes(`"name":"x","rights":[1]`), 422, "invalid-token /data/attributes/rights"),
		row("token with rights that there are not", create, attributes(`"name":"x","rights":["develop","everything","hunter2"]`), 422,
			"invalid-token /data/attributes/rights/1", "invalid-token /data/attributes/rights/2"),
		row("token without a name", create, attributes(`"name":"","rights":[]`), 422, "invalid-token /data/attributes/name"),
		row("token with a long name", create, attributes(`"name":"`+strings.Repeat("n", 513)+`","rights":[]`), 422, "invalid-token /data/attributes/name"),
		row("token that has ended", create, attributes(`"name":"x","rights":[],"expires_at":"2020-01-01T00:00:00Z"`), 422, "invalid-token /data/attributes/expires_at"),
		row("token for ever", create, attributes(`"name":"x","rights":[],"expires_at":"9999-01-01T00:00:00Z"`), 422, "invalid-token /data/attributes/expires_at"),
		row("token, no action", change, `{"data":{}}`, 422, "invalid-action /data/meta/action"),
		row("token, another action", change, `{"data":{"meta":{"action":"revive"}}}`, 422, "invalid-action /data/meta/action"),
		row("token, an action of numbers", change, `{"data":{"meta":{"action":1}}}`, 422, "invalid-action /data/meta/action"),
		row("token, another id", change, `{"data":{"id":"AT`+nobody+`","meta":{"action":"revoke"}}}`, 409, "conflict /data/id"),
		row("token of nobody", "PATCH /tokens/AT"+nobody, `{"data":{"meta":{"action":"revoke"}}}`, 404, "not-found"),
		row("tokens, method", "PUT /tokens/{bearer}", `{"data":{}}`, 405, "not-found"),

		row("audit event of nobody", "GET /audit_events/AE"+nobody, "", 404, "not-found"),
		row("audit event, malformed", "GET /audit_events/{bearer}", "", 404, "not-found"),
		row("audit events, method", "DELETE /audit_events/AE"+nobody, "", 405, "not-found"),
		row("audit pages after what is no number", "GET /audit_pages?page[after]=hunter2", "", 400, "invalid-parameter"),
		row("audit pages after less than nothing", "GET /audit_pages?page[after]=-1", "", 400, "invalid-parameter"),
		row("audit pages, method", "POST /audit_pages", `{"data":{}}`, 405, "not-found"),
	}
}

func TestBadOperatorRequests(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.plant(t)
	bearer := s.make(t, "/tokens", attributes(`"name":"b","rights":[]`))
	before := everything(t, s.State)
	s.refuseAll(t, badOperatorRequests(), strings.NewReplacer("{bearer}", bearer))
	if !same(before, everything(t, s.State)) {
		t.Error("the state has changed")
	}
}
