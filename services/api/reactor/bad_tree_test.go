package reactor_test

import (
	"net/http"
	"strings"
	"testing"
)

// badTreeRequests are bad requests about properties, environments, hosts and notes.
func badTreeRequests() []bad {
	const nobody = "00000000000040008000000000000000"
	row := func(name, request, body string, status int, want ...string) bad {
		return bad{name: name, request: request, body: body, status: status, want: want}
	}
	hidden := attributes(`"name":"x","type_of":"sftp","server":"s","username":"u","encrypted_private_key":"hunter2"`)
	rows := []bad{
		row("property name null", "PATCH /properties/{edge}", attributes(`"name":null`), 422, "invalid-property /data/attributes/name"),
		row("property name empty", "PATCH /properties/{edge}", attributes(`"name":" "`), 422, "invalid-property /data/attributes/name"),
		row("property platform", "PATCH /properties/{edge}", attributes(`"platform":"web"`), 409, "read-only /data/attributes/platform"),
		row("property type", "PATCH /properties/{edge}", `{"data":{"type":"hosts"}}`, 409, "conflict /data/type"),
		row("property id", "PATCH /properties/{edge}", `{"data":{"id":"{web}"}}`, 409, "conflict /data/id"),
		row("property attributes a list", "PATCH /properties/{edge}", `{"data":{"attributes":[]}}`, 422, "invalid-property /data/attributes"),
		row("property all wrong", "PATCH /properties/{edge}",
			attributes(`"name":1,"development":1,"domains":{},"privacy":[],"rule_component_sequencing_enabled":"","ssl_enabled":0,"undefined_vars_return_empty":"no"`), 422,
			"invalid-property /data/attributes/name", "invalid-property /data/attributes/development", "invalid-property /data/attributes/domains",
			"invalid-property /data/attributes/privacy", "invalid-property /data/attributes/rule_component_sequencing_enabled",
			"invalid-property /data/attributes/ssl_enabled", "invalid-property /data/attributes/undefined_vars_return_empty"),
		row("property of nobody", "PATCH /properties/PR"+nobody, attributes(`"name":"x"`), 404, "not-found"),
		row("property, method", "POST /properties/{edge}", `{"data":{}}`, 405, "not-found"),

		row("environment name null", "PATCH /environments/{development}", attributes(`"name":null`), 422, "invalid-environment /data/attributes/name"),
		row("environment stage", "PATCH /environments/{development}", attributes(`"stage":"production"`), 409, "read-only /data/attributes/stage"),
		row("environment type", "PATCH /environments/{development}", `{"data":{"type":"secrets"}}`, 409, "conflict /data/type"),
		row("environment id", "PATCH /environments/{development}", `{"data":{"id":"{foreign}"}}`, 409, "conflict /data/id"),
		row("environment's other host", "PATCH /environments/{development}", `{"data":{"relationships":{"host":{"data":{"id":"{foreignHost}","type":"hosts"}}}}}`, 409, "read-only /data/relationships/host"),
		row("environment's host of another type", "PATCH /environments/{development}", `{"data":{"relationships":{"host":{"data":{"id":"{host}","type":"environments"}}}}}`, 409, "conflict /data/relationships/host/data/type"),
		row("passphrase without archive", "PATCH /environments/{development}", attributes(`"archive_passphrase":"hunter2"`), 422, "invalid-environment /data/attributes/archive_passphrase"),
		row("passphrase with archive off", "POST /properties/{edge}/environments", attributes(`"name":"x","archive":false,"archive_passphrase":"hunter2"`), 422, "invalid-environment /data/attributes/archive_passphrase"),
		row("passphrase empty", "PATCH /environments/{development}", attributes(`"archive":true,"archive_passphrase":""`), 422, "invalid-environment /data/attributes/archive_passphrase"),
		row("passphrase a number", "PATCH /environments/{development}", attributes(`"archive":true,"archive_passphrase":7`), 422, "invalid-environment /data/attributes/archive_passphrase"),
		row("passphrase too long", "PATCH /environments/{development}", attributes(`"archive":true,"archive_passphrase":"`+strings.Repeat("hunter2", 200)+`"`), 422, "invalid-environment /data/attributes/archive_passphrase"),
		row("environment all wrong", "PATCH /environments/{development}", attributes(`"name":[],"path":7,"archive":"yes","include_debug_library":"no"`), 422,
			"invalid-environment /data/attributes/name", "invalid-environment /data/attributes/path", "invalid-environment /data/attributes/archive", "invalid-environment /data/attributes/include_debug_library"),
		row("host of another property", "POST /properties/{edge}/environments", `{"data":{"attributes":{"name":"x"},"relationships":{"host":{"data":{"id":"{foreignHost}","type":"hosts"}}}}}`, 422, "host-required /data/relationships/host"),
		row("host malformed", "POST /properties/{edge}/environments", `{"data":{"attributes":{"name":"x"},"relationships":{"host":{"data":{"id":"akamai","type":"hosts"}}}}}`, 404, "not-found /data/relationships/host"),
		row("host of nobody's environment", "GET /environments/EN"+nobody+"/host", "", 404, "not-found"),

		row("callback of nothing", "POST /properties/{edge}/callbacks", `{"data":{}}`, 422, "invalid-callback /data/attributes/url", "invalid-callback /data/attributes/subscriptions"),
		row("callback of another type", "POST /properties/{edge}/callbacks", `{"data":{"type":"hosts"}}`, 409, "conflict /data/type"),
		row("callback by http", "POST /properties/{edge}/callbacks", attributes(`"url":"http://example.com/","subscriptions":["*"]`), 422, "invalid-callback /data/attributes/url"),
		row("callback by ftp", "POST /properties/{edge}/callbacks", attributes(`"url":"ftp://example.com/","subscriptions":["*"]`), 422, "invalid-callback /data/attributes/url"),
		row("callback nowhere", "POST /properties/{edge}/callbacks", attributes(`"url":"https:///x","subscriptions":["*"]`), 422, "invalid-callback /data/attributes/url"),
		row("callback with a password", "POST /properties/{edge}/callbacks", attributes(`"url":"https://u:hunter2@example.com/","subscriptions":["*"]`), 422, "invalid-callback /data/attributes/url"),
		row("callback with a fragment", "POST /properties/{edge}/callbacks", attributes(`"url":"https://example.com/#hunter2","subscriptions":["*"]`), 422, "invalid-callback /data/attributes/url"),
		row("callback too long", "POST /properties/{edge}/callbacks", attributes(`"url":"https://example.com/`+strings.Repeat("hunter2", 300)+`","subscriptions":["*"]`), 422, "invalid-callback /data/attributes/url"),
		row("callback with all wrong", "POST /properties/{edge}/callbacks", attributes(`"url":7,"subscriptions":"*"`), 422, "invalid-callback /data/attributes/url", "invalid-callback /data/attributes/subscriptions"),
		row("callback without subscriptions", "POST /properties/{edge}/callbacks", attributes(`"url":"https://example.com/","subscriptions":[]`), 422, "invalid-callback /data/attributes/subscriptions"),
		row("callback of an unknown event", "POST /properties/{edge}/callbacks", attributes(`"url":"https://example.com/","subscriptions":["secret.created","secret.hunter2"]`), 422, "invalid-callback /data/attributes/subscriptions"),
		row("callback with a number", "POST /properties/{edge}/callbacks", attributes(`"url":"https://example.com/","subscriptions":[1]`), 422, "invalid-callback /data/attributes/subscriptions"),
		row("callback with too many", "POST /properties/{edge}/callbacks", attributes(`"url":"https://example.com/","subscriptions":["*"`+strings.Repeat(`,"*"`, 100)+`]`), 422, "invalid-callback /data/attributes/subscriptions"),
		row("callback in another order", "POST /properties/{edge}/callbacks", attributes(`"url":"https://example.com/","subscriptions":["*"],"ordering":"hunter2"`), 422, "invalid-callback /data/attributes/ordering"),
		row("callback in no order", "POST /properties/{edge}/callbacks", attributes(`"url":"https://example.com/","subscriptions":["*"],"ordering":7`), 422, "invalid-callback /data/attributes/ordering"),
		row("redelivery of nothing", "PATCH /callbacks/{callback}", `{"data":{"meta":{"action":"redeliver"}}}`, 422, "invalid-callback /data/meta/message_id"),
		row("redelivery of a number", "PATCH /callbacks/{callback}", `{"data":{"meta":{"action":"redeliver","message_id":7}}}`, 422, "invalid-callback /data/meta/message_id"),
		row("redelivery of nobody's", "PATCH /callbacks/{callback}", `{"data":{"meta":{"action":"redeliver","message_id":"msg_hunter2"}}}`, 422, "invalid-callback /data/meta/message_id"),
		row("replay from nowhere", "PATCH /callbacks/{callback}", `{"data":{"meta":{"action":"replay"}}}`, 422, "invalid-callback /data/meta/from"),
		row("replay from before the first", "PATCH /callbacks/{callback}", `{"data":{"meta":{"action":"replay","from":0}}}`, 422, "invalid-callback /data/meta/from"),
		row("replay from between two", "PATCH /callbacks/{callback}", `{"data":{"meta":{"action":"replay","from":1.5}}}`, 422, "invalid-callback /data/meta/from"),
		row("replay from far behind", "PATCH /callbacks/{callback}", `{"data":{"meta":{"action":"replay","from":1e300}}}`, 422, "invalid-callback /data/meta/from"),
		row("replay from a word", "PATCH /callbacks/{callback}", `{"data":{"meta":{"action":"replay","from":"hunter2"}}}`, 422, "invalid-callback /data/meta/from"),
		row("replay from the future", "PATCH /callbacks/{callback}", `{"data":{"meta":{"action":"replay","from":"2999-01-01T00:00:00Z"}}}`, 422, "invalid-callback /data/meta/from"),
		row("replay from a list", "PATCH /callbacks/{callback}", `{"data":{"meta":{"action":"replay","from":[1]}}}`, 422, "invalid-callback /data/meta/from"),
		row("callback with another action", "PATCH /callbacks/{callback}", `{"data":{"meta":{"action":"hunter2"}}}`, 422, "invalid-action /data/meta/action"),
		row("callback of nobody", "PATCH /callbacks/CB"+nobody, attributes(`"url":"https://example.com/"`), 404, "not-found"),
		row("callback malformed", "GET /callbacks/CB1", "", 404, "not-found"),
		row("deliveries of nobody's", "GET /callbacks/CB"+nobody+"/deliveries", "", 404, "not-found"),
		row("callbacks of nobody", "GET /properties/PR"+nobody+"/callbacks", "", 404, "not-found"),

		row("host of nothing", "POST /properties/{edge}/hosts", `{"data":{}}`, 422, "invalid-host /data/attributes/name", "invalid-host /data/attributes/type_of"),
		row("host type_of unknown", "POST /properties/{edge}/hosts", attributes(`"name":"x","type_of":"ftp"`), 422, "invalid-host /data/attributes/type_of"),
		row("host type", "POST /properties/{edge}/hosts", `{"data":{"type":"properties"}}`, 409, "conflict /data/type"),
		row("sftp without anything", "POST /properties/{edge}/hosts", attributes(`"name":"x","type_of":"sftp"`), 422,
			"invalid-host /data/attributes/server", "invalid-host /data/attributes/username", "invalid-host /data/attributes/encrypted_private_key"),
		row("sftp all wrong", "POST /properties/{edge}/hosts",
			attributes(`"name":"","type_of":"sftp","server":" ","username":"a\u0000b","path":[],"port":70000,"skip_symlinks":1,"encrypted_private_key":["hunter2"]`), 422,
			"invalid-host /data/attributes/name", "invalid-host /data/attributes/server", "invalid-host /data/attributes/username", "invalid-host /data/attributes/path",
			"invalid-host /data/attributes/port", "invalid-host /data/attributes/skip_symlinks", "invalid-host /data/attributes/encrypted_private_key"),
		row("port a text", "POST /properties/{edge}/hosts", strings.Replace(hidden, `"name"`, `"port":"22","name"`, 1), 422, "invalid-host /data/attributes/port"),
		row("port of halves", "POST /properties/{edge}/hosts", strings.Replace(hidden, `"name"`, `"port":22.5,"name"`, 1), 422, "invalid-host /data/attributes/port"),
		row("private key of an akamai host", "PATCH /hosts/{host}", attributes(`"encrypted_private_key":"hunter2"`), 422, "invalid-host /data/attributes/encrypted_private_key"),
		row("host type_of", "PATCH /hosts/{host}", attributes(`"type_of":"sftp"`), 409, "read-only /data/attributes/type_of"),
		row("host id", "PATCH /hosts/{host}", `{"data":{"id":"{foreignHost}"}}`, 409, "conflict /data/id"),
		row("host name null", "PATCH /hosts/{host}", attributes(`"name":null`), 422, "invalid-host /data/attributes/name"),
		row("host in use", "DELETE /hosts/{host}", "", 409, "host-in-use"),
		row("nobody's host", "GET /hosts/HT"+nobody, "", 404, "not-found"),
		row("property of nobody's host", "GET /hosts/HT"+nobody+"/property", "", 404, "not-found"),
		row("change of nobody's host", "PATCH /hosts/HT"+nobody, attributes(`"name":"x"`), 404, "not-found"),
		row("delete of nobody's host", "DELETE /hosts/HT"+nobody, "", 404, "not-found"),
		row("an environment as host", "GET /hosts/{development}", "", 404, "not-found"),
		row("hosts of nobody's property", "GET /properties/PR"+nobody+"/hosts", "", 404, "not-found"),
		row("host within nobody's property", "POST /properties/PR"+nobody+"/hosts", hidden, 404, "not-found"),

		row("note of nothing", "POST /secrets/{secret}/notes", `{"data":{}}`, 422, "invalid-note /data/attributes/text"),
		row("note null", "POST /secrets/{secret}/notes", attributes(`"text":null`), 422, "invalid-note /data/attributes/text"),
		row("note a number", "POST /secrets/{secret}/notes", attributes(`"text":7`), 422, "invalid-note /data/attributes/text"),
		row("note blank", "POST /secrets/{secret}/notes", attributes(`"text":" \n "`), 422, "invalid-note /data/attributes/text"),
		row("note too long", "POST /secrets/{secret}/notes", attributes(`"text":"`+strings.Repeat("é", 513)+`"`), 422, "invalid-note /data/attributes/text"),
		row("note with a control character", "POST /secrets/{secret}/notes", attributes(`"text":"a\u001bb"`), 422, "invalid-note /data/attributes/text"),
		row("note of half a character", "POST /secrets/{secret}/notes", attributes(`"text":"\ud83d"`), 422, "invalid-note /data/attributes/text"),
		row("note type", "POST /secrets/{secret}/notes", `{"data":{"type":"note","attributes":{"text":"x"}}}`, 409, "conflict /data/type"),
		row("note on nobody's secret", "POST /secrets/SE"+nobody+"/notes", attributes(`"text":"x"`), 404, "not-found"),
		row("note on nobody's property", "POST /properties/PR"+nobody+"/notes", attributes(`"text":"x"`), 404, "not-found"),
		row("note on a secret as property", "POST /properties/{secret}/notes", attributes(`"text":"x"`), 404, "not-found"),
		row("note on a property as secret", "POST /secrets/{edge}/notes", attributes(`"text":"x"`), 404, "not-found"),
		row("nobody's note", "GET /notes/NT"+nobody, "", 404, "not-found"),
		row("malformed note", "GET /notes/7", "", 404, "not-found"),
		row("note deleted", "DELETE /notes/NT"+nobody, "", 405, "not-found"),

		row("profile changed", "PATCH /profile", `{"data":{}}`, 405, "not-found"),
	}
	for _, match := range []string{"", " ", ",", "x", `"`, `"a`, `a"`, `"a" "b"`, `"a",`, `"a b"`, `*, "a"`, "W/", `w/"a"`} {
		rows = append(rows, bad{"If-Match " + match, "DELETE /properties/{web}", "", []string{"If-Match: " + match}, 400, []string{"invalid-header"}})
	}
	for _, match := range []string{`"a"`, `W/"a"`, `"a", "b"`, `"a" , W/"b"`, `""`} {
		for _, request := range []string{"DELETE /properties/{web}", "DELETE /environments/{development}", "DELETE /secrets/{secret}"} {
			rows = append(rows, bad{request + " if " + match, request, "", []string{"If-Match: " + match}, 412, []string{"precondition-failed"}})
		}
	}
	rows = append(rows, bad{
		"test of another than is seen", "PATCH /secrets/{oauth}", `{"data":{"attributes":{"type_of":"oauth2"},"meta":{"action":"test"}}}`,
		[]string{`If-Match: "a"`},
		412,
		[]string{"precondition-failed"},
	})
	return append(rows, notTheirs()...)
}

// notTheirs are requests of those who may only read, and of another organisation.
func notTheirs() (rows []bad) {
	for _, request := range []string{
		"PATCH /properties/{edge}", "PATCH /environments/{development}", "POST /properties/{edge}/hosts", "PATCH /hosts/{host}",
		"POST /secrets/{secret}/notes", "POST /properties/{edge}/notes", "DELETE /hosts/{foreignHost}",
	} {
		body := attributes(`"name":"x","text":"x"`)
		if strings.HasPrefix(request, http.MethodDelete) {
			body = ""
		}
		rows = append(rows,
			bad{request + " of a reader", request, body, []string{"Authorization: Bearer " + readToken}, 403, []string{"not-authorized"}},
			bad{request + " of another organisation", request, body, []string{"Authorization: Bearer " + elsewhere}, 404, []string{"not-found"}})
	}
	for _, request := range []string{
		"GET /properties/{edge}/hosts", "GET /hosts/{host}", "GET /hosts/{host}/property", "GET /environments/{development}/host",
		"GET /secrets/{secret}/notes", "GET /properties/{edge}/notes", "GET /notes/{note}",
	} {
		rows = append(rows, bad{request + " of another organisation", request, "", []string{"Authorization: Bearer " + elsewhere}, 404, []string{"not-found"}})
	}
	return rows
}

func TestBadTreeRequests(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	tr := s.plant(t)
	secret := s.make(t, "/properties/"+tr.edge+"/secrets", attributes(`"name":"taken","type_of":"token","credentials":{"token":"t"}`))
	other := s.make(t, "/properties/"+tr.edge+"/secrets", oauth("refresh_offset", "14400"))
	note := s.make(t, "/secrets/"+secret+"/notes", attributes(`"text":"x"`))
	hostOf := func(environment string) string {
		return decode[struct{ Data shape }](t, s.call(t, http.MethodGet, "/environments/"+environment+"/host", "")).Data.ID
	}
	callback := s.make(t, "/properties/"+tr.edge+"/callbacks", attributes(`"url":"https://hooks.example.com/","subscriptions":["secret.created"]`))
	before := everything(t, s.State)
	s.refuseAll(t, badTreeRequests(), strings.NewReplacer("{edge}", tr.edge, "{callback}", callback, "{web}", tr.web, "{secret}", secret, "{note}", note, "{oauth}", other,
		"{development}", tr.development, "{foreign}", tr.foreign, "{host}", hostOf(tr.development), "{foreignHost}", hostOf(tr.foreign)))
	if !same(before, everything(t, s.State)) {
		t.Error("the state has changed")
	}
	if log := s.Log.String(); strings.Contains(log, `"level":"ERROR"`) || strings.Contains(log, "hunter2") {
		t.Error("a bad request is logged as an error of ours, or with what is hidden")
	}
}
