package reactor_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/seal"
	"github.com/rekindle-dev/rekindle/pkg/secret"
)

// TestCanaries plants marked values in every hidden field, in requests that
// succeed and in such that fail in every way, and looks for them in all that
// comes out: answers, log, events, spans, metrics and state.
func TestCanaries(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	tr := s.plant(t)
	const canary = "canary-7f3a9c-do-not-show-canary"
	path := "/properties/" + tr.edge + "/secrets"
	var out bytes.Buffer
	post := func(body string, headers ...string) answer {
		a := s.call(t, http.MethodPost, path, body, headers...)
		fmt.Fprintln(&out, a.header, string(a.body))
		return a
	}

	kinds := map[string]string{
		"token":       `"token":"%[1]s"`,
		"simple-http": `"username":"u","password":"%[1]s"`,
		"oauth2":      `"client_id":"c","client_secret":"%[1]s","token_url":"https://idp.test/t"`,
	}
	ids := make(map[string]string)
	for kind, format := range kinds {
		good := fmt.Sprintf(format, canary)
		a := post(attributes(fmt.Sprintf(`"name":%q,"type_of":%q,"credentials":{%s}`, kind, kind, good)))
		ids[kind] = decode[struct{ Data shape }](t, a).Data.ID
		for _, bad := range []string{
			attributes(fmt.Sprintf(`"name":%q,"type_of":%q,"credentials":{%s}`, kind, kind, good)),     // taken
			attributes(fmt.Sprintf(`"name":"","type_of":%q,"credentials":{%s}`, kind, good)),           // no name
			attributes(fmt.Sprintf(`"name":"x","type_of":"other","credentials":{%s}`, good)),           // no kind
			attributes(fmt.Sprintf(`"name":"x","type_of":%q,"credentials":{%s,%s}`, kind, good, good)), // twice
			attributes(fmt.Sprintf(`"name":"x","type_of":%q,"credentials":{%s}`, kind, good)) + "x",    // trailing
			attributes(fmt.Sprintf(`"name":"x","type_of":%q,"credentials":{%s`, kind, good)),           // cut off
			attributes(fmt.Sprintf(`"name":"x","type_of":%q,"credentials":{%s}`, kind, strings.ReplaceAll(format, `"%[1]s"`, `["`+canary+`"]`))),
			attributes(fmt.Sprintf(`"name":"x","type_of":%q,"credentials":{%s}`, kind, strings.ReplaceAll(format, `"%[1]s"`, `"\ud800`+canary+`"`))),
			`"` + canary + `"`,
			canary,
		} {
			if a := post(bad); a.status < 400 || a.status >= 500 {
				t.Errorf("status %d for %s", a.status, bad)
			}
		}
	}
	post(attributes(`"name":"x","type_of":"oauth2","credentials":{"client_id":"c","client_secret":"` + canary + `","token_url":"https://u:` + canary + `@h/"}`))
	for _, body := range []string{
		attributes(`"name":"moved","type_of":"oauth2-acme","grant":{"refresh_token":"` + canary + `","authorized_at":"2024-05-01T12:00:00Z"}`),
		attributes(`"name":"moved","type_of":"oauth2-acme","grant":{"refresh_token":"` + canary + `","authorized_at":"` + canary + `"}`),
		attributes(`"name":"moved","type_of":"token","credentials":{"token":"` + canary + `"},"grant":{"refresh_token":["` + canary + `"]}`),
		attributes(`"name":"moved","type_of":"oauth2-acme","grant":{"refresh_token":"` + canary + `","extra":{"` + "shard" + `":["` + canary + `"]}}`),
	} {
		a := s.call(t, http.MethodPost, "/properties/"+tr.edge+"/imports", body)
		fmt.Fprintln(&out, a.header, string(a.body))
	}
	var host, environment string
	for _, request := range []string{
		"POST /properties/" + tr.edge + "/hosts", "POST /properties/" + tr.edge + "/environments",
	} {
		method, path, _ := strings.Cut(request, " ")
		for _, more := range []string{`"archive":true`, `"name":1`, `"archive":true,"archive_passphrase":["` + canary + `"],"encrypted_private_key":["` + canary + `"]`} {
			body := `"type_of":"sftp","server":"s","username":"u",` + more
			if !strings.Contains(more, canary) {
				body += `,"encrypted_private_key":"` + canary + `","archive_passphrase":"` + canary + `"`
			}
			if !strings.Contains(more, "name") || strings.Contains(more, canary) {
				body = `"name":"hidden",` + body
			}
			a := s.call(t, method, path, attributes(body))
			fmt.Fprintln(&out, a.header, string(a.body))
			if id := decode[struct{ Data shape }](t, a).Data.ID; strings.HasPrefix(id, "HT") {
				host = id
			} else if id != "" {
				environment = id
			}
		}
	}
	for path, name := range map[string]string{"/hosts/" + host: "encrypted_private_key", "/environments/" + environment: "archive_passphrase"} {
		for _, body := range []string{attributes(`"` + name + `":"` + canary + ` again"`), attributes(`"name":7,"` + name + `":"` + canary + `"`)} {
			a := s.call(t, http.MethodPatch, path, body)
			fmt.Fprintln(&out, a.header, string(a.body))
			if want := strings.Contains(body, "again"); want != (a.status == http.StatusOK) {
				t.Errorf("PATCH %s: status %d", path, a.status)
			}
		}
	}
	post("{}", "Authorization: Bearer "+canary)
	post("{}", "Traceparent: "+canary)
	for _, p := range []string{path, "/secrets/" + ids["token"], "/secrets/" + ids["oauth2"], "/secrets/" + ids["oauth2"] + "/timeline", "/nowhere/" + canary, "/companies?filter[name]=EQ%20" + canary} {
		a := s.call(t, http.MethodGet, p, "")
		fmt.Fprintln(&out, a.header, string(a.body))
	}
	for _, e := range s.Events.Published() {
		header, body, err := events.Encode(e)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(&out, header, string(body))
	}
	fmt.Fprintln(&out, s.Log.String())
	fmt.Fprintf(&out, "%+v\n", s.spans.GetSpans())
	families, err := s.Metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(&out, families)
	for key, body := range everything(t, s.State) {
		fmt.Fprintln(&out, key, string(body))
	}

	for _, form := range []string{
		canary, base64.StdEncoding.EncodeToString([]byte(canary))[:40], base64.RawURLEncoding.EncodeToString([]byte(canary))[:40],
		hex.EncodeToString([]byte(canary)), "7f3a9c-do-not",
	} {
		if at := strings.Index(out.String(), form); at >= 0 {
			t.Errorf("the canary has come out: …%s…", out.String()[max(0, at-200):min(out.Len(), at+100)])
		}
	}
	if !strings.Contains(out.String(), `"client_secret":{"generation":1,"sealed":`) {
		t.Error("not even the sealed fields are there: the test looks in the wrong place")
	}
	for kind, field := range map[string]string{"token": "token", "simple-http": "password", "oauth2": "client_secret"} {
		c, err := secret.Vault{State: s.State}.Credential(t.Context(), ids[kind])
		if err != nil {
			t.Fatal(err)
		}
		n, _, err := secret.Store{State: s.State}.Get(t.Context(), ids[kind])
		if err != nil {
			t.Fatal(err)
		}
		opened, err := s.opener.Open(seal.Binding{Secret: ids[kind], Field: n.Credentials.SealedAs(field), Generation: 1}, c.Fields[field].Sealed)
		if err != nil || !opened.Equal(seal.NewPlaintext(canary)) {
			t.Errorf("%s: the sealed field does not open to what was sent: %v", kind, err)
		}
	}
}
