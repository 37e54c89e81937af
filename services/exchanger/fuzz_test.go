package exchanger

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/provider"
	"github.com/rekindle-dev/rekindle/pkg/seal"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/work"
)

// planted is looked for in what is told of an answer that holds it.
const planted = "planted-in-an-answer"

// FuzzRefused: whatever a provider refuses with becomes one of our reasons, in
// words of which none is the provider's.
func FuzzRefused(f *testing.F) {
	f.Add(400, "application/json", "", []byte(`{"error":"invalid_grant","error_description":"`+planted+`"}`))
	f.Add(401, "application/json", "120", []byte(`{"error":"invalid_client","refresh_token":"`+planted+`"}`))
	f.Add(403, "text/html", "", []byte("<html>"+planted))
	f.Add(429, "text/plain", "Wed, 21 Oct 2026 07:28:00 GMT", []byte(nil))
	f.Add(503, "application/x-www-form-urlencoded", "-1", []byte("error="+planted))
	set := provider.Defaults()
	f.Fuzz(func(t *testing.T, status int, media, after string, body []byte) {
		header := http.Header{"Content-Type": {media}, "Retry-After": {after}}
		all := []error{refused(status, header, body)}
		for _, name := range set.Names() {
			d, _ := set.Get(name)
			got := response{status, header, body}
			all = append(all, refusedBy(d, got, events.ReasonGrantEnded))
			if _, err := d.Read(media, body); err != nil {
				all = append(all, unread(err, got, events.ReasonGrantEnded))
			}
		}
		for _, err := range all {
			e, ok := err.(*ExchangeError)
			if !ok || e.Reason == "" || e.Status != status && e.Status != http.StatusOK || e.RetryAfter < 0 || e.RetryAfter > maxRetryAfter {
				t.Fatalf("%T: %v", err, err)
			}
			if strings.Contains(e.Error(), planted) {
				t.Errorf("the error quotes the answer: %v", e)
			}
		}
	})
}

// FuzzRetryAfter: a provider is left alone for a day at most, whatever it and its
// clock say.
func FuzzRetryAfter(f *testing.F) {
	for _, form := range retryAfters() {
		value, second := "", ""
		for _, v := range form.values {
			value, second = second, v
		}
		f.Add(value, second, "")
		f.Add(value, second, "Sun, 22 Nov 2026 12:00:00 GMT")
		f.Add(value, second, value)
	}
	f.Fuzz(func(t *testing.T, value, second, date string) {
		all := retryAfter(http.Header{"Retry-After": {value, second}, "Date": {date}})
		if all < 0 || all > maxRetryAfter {
			t.Errorf("%v", all)
		}
		if one := retryAfter(http.Header{"Retry-After": {second}, "Date": {date}}); one > all {
			t.Errorf("%v, and %v of the second alone", all, one)
		}
	})
}

// FuzzTokens: what a provider's answer comes to is of use or not there at all.
func FuzzTokens(f *testing.F) {
	f.Add([]byte(`{"access_token":"a","expires_in":3600,"expires_at":1792567680,"refresh_token":"r"}`), int64(1792567680))
	f.Add([]byte(`{"access_token":"a.eyJleHAiOjE3OTI1Njc2ODB9.c","expires_in":3600}`), int64(0))
	set := provider.Defaults()
	f.Fuzz(func(t *testing.T, body []byte, now int64) {
		for _, name := range set.Names() {
			d, _ := set.Get(name)
			read, err := d.Read("application/json", body)
			if err != nil {
				continue
			}
			tokens := newTokens(read, time.Unix(now, 0))
			if tokens.Access.IsZero() || tokens.Lifetime < 0 || tokens.Lifetime > secret.MaxLifetime || tokens.Lifetime%time.Second != 0 {
				t.Errorf("%s: %v of %v", name, tokens.Lifetime, read.Lifetime)
			}
			tokens.Wipe()
		}
	})
}

// FuzzMembers: what is read of an object is what encoding/json reads of it.
func FuzzMembers(f *testing.F) {
	for _, body := range []string{
		`{"access_token":"a","expires_in":3600}`, " {\t\"error\" : [ {\"}\":\"\\\\\"} , \"]\\\"\" ] , \"access\\u005ftoken\":\"\\u0061\" } ", `{}`, `{"":{},"expires_in":1e3}`,
		`{"error":null,"error":null}`, `[{"error":1}]`, `"error"`, "{\"error\xff\":\"\xff\"}", `{"error":true}x`,
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		m, err := readMembers(body)
		var all map[string]json.RawMessage
		if json.Unmarshal(body, &all) != nil || all == nil {
			if err == nil {
				t.Fatalf("%q is read", body)
			}
			return
		}
		for name, got := range map[string]json.RawMessage{"access_token": m.accessToken, "expires_in": m.expiresIn, "error": m.failure} {
			if err != nil || all[name] == nil {
				continue
			}
			if !bytes.Equal(got, all[name]) {
				t.Errorf("%s is %q, want %q", name, got, all[name])
			}
			var want string
			isText := got[0] == '"' && json.Unmarshal(got, &want) == nil
			if s, ok := text(got); s != want || ok != isText {
				t.Errorf("%s has the text %q, %t, want %q", name, s, ok, want)
			}
		}
	})
}

// FuzzMember: what names an account fits on one line of text.
func FuzzMember(f *testing.F) {
	f.Add([]byte(`{"sub":"ada","user":{"id":12345678901234567890}}`), "user.id")
	f.Add([]byte(`{"sub":null}`), "sub")
	f.Add([]byte(`[1]`), "0.")
	f.Fuzz(func(t *testing.T, body []byte, path string) {
		if name := member(body, path); len(name) > maxSubjectBytes || strings.ContainsAny(name, "\r\n\x00") {
			t.Errorf("%q", name)
		}
	})
}

// FuzzOrder: a job that is none is parked, and not tried again; one for a secret
// that is not there is done.
func FuzzOrder(f *testing.F) {
	w := newWorldOf(f)
	w.provider = new(tokenServer)
	x := w.exchanger()
	const id = "SE3c9d1f7ab2e84d6f8a50c7e1b4d2f903"
	for kind, data := range map[events.Type]any{
		events.TypeRefreshDue:    events.RefreshDue{Secret: id, Action: "refresh", Decision: 7},
		events.TypeTestRequested: events.TestRequested{Secret: id, Key: []byte("key"), Before: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)},
		"Unheard":                nil,
	} {
		body, err := json.Marshal(data)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(kind), body)
		f.Add(string(kind), body[:len(body)/2])
	}
	f.Fuzz(func(t *testing.T, kind string, data []byte) {
		before := slices.Clone(data)
		err := x.Handle(t.Context(), work.Message{Type: kind, Data: data, Delivery: 2, Answer: func(context.Context, []byte) error {
			t.Error("answered")
			return nil
		}})
		if err != nil && !work.Rejected(err) {
			t.Errorf("it would come again: %v", err)
		}
		if !slices.Equal(before, data) {
			t.Error("the job was changed")
		}
	})
}

// FuzzCustomClaims: whatever a secret's own claims are, those of the JWT that say
// who it is for are not among them.
func FuzzCustomClaims(f *testing.F) {
	key, err := secret.SigningKey([]byte(signingKeyPEM()))
	if err != nil {
		f.Fatal(err)
	}
	for _, custom := range []string{"", "{}", `{"role":"reader"}`, `{"iss":"x","sub":"x","exp":1e30,"aud":null}`, `{"a":1,"a":2}`, "null", "[]", `{"\u0069ss":"x"}`} {
		f.Add([]byte(custom))
	}
	f.Fuzz(func(t *testing.T, custom []byte) {
		jwt, iat, err := signJWT(secret.Credentials{Iss: "issuer", Aud: "audience", TTL: 60, CustomClaims: custom}, key, time.Unix(1792567680, 0))
		if err != nil {
			return
		}
		var said struct {
			Iss, Aud, Sub string
			Iat, Exp      int64
		}
		payload, err := base64.RawURLEncoding.DecodeString(strings.Split(string(jwt.Reveal()), ".")[1])
		if err != nil {
			t.Fatal(err)
		}
		var members map[string]json.RawMessage
		if err := json.Unmarshal(payload, &members); err != nil {
			t.Fatal(err)
		}
		for name, to := range map[string]any{"iss": &said.Iss, "aud": &said.Aud, "iat": &said.Iat, "exp": &said.Exp} {
			if err := json.Unmarshal(members[name], to); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		if said.Iss != "issuer" || said.Aud != "audience" || members["sub"] != nil || said.Iat != iat.Unix() || said.Exp != iat.Unix()+60 {
			t.Errorf("claims %s", payload)
		}
	})
}

// FuzzIntrospect: what introspection says of a token's life is of use or not
// there.
func FuzzIntrospect(f *testing.F) {
	for _, body := range []string{`{"active":true,"exp":1792567680}`, `{"active":false,"exp":1}`, `{"active":true,"exp":-9223372036854775808}`, `{"active":true,"exp":9223372036854775807}`, `{"active":"x"}`, `[]`} {
		f.Add(200, []byte(body))
		f.Add(401, []byte(body))
	}
	var status int
	var said []byte
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write(said)
	}))
	f.Cleanup(srv.Close)
	c := NewClient(EgressConfig{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	f.Cleanup(c.Close)
	app := App{Provider: provider.Descriptor{IntrospectURL: srv.URL, AuthStyle: provider.AuthParams}}
	f.Fuzz(func(t *testing.T, code int, body []byte) {
		status, said = 200+((code%400)+400)%400, body
		life := c.introspect(t.Context(), app, seal.NewPlaintext("token"))
		if life < 0 || life > secret.MaxLifetime || life > 0 && status != http.StatusOK {
			t.Errorf("status %d, lifetime %v", status, life)
		}
	})
}
