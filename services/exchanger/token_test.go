package exchanger

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/seal"
	"github.com/rekindle-dev/rekindle/pkg/secret"
)

// The request as it arrives.
func TestTokenRequest(t *testing.T) {
	t.Parallel()
	type arrival struct {
		Target, Body  string
		Authorization string
	}
	tests := []struct {
		name    string
		request TokenRequest
		want    arrival
	}{
		{
			"no options",
			TokenRequest{Grant: grantClientCredentials, ClientID: "c1", ClientSecret: seal.NewPlaintext("s1")},
			arrival{"/token", "grant_type=client_credentials&client_id=c1&client_secret=s1", ""},
		},
		{
			"options in the order of their names",
			TokenRequest{
				Grant:    grantClientCredentials,
				ClientID: "c1", ClientSecret: seal.NewPlaintext("s1"),
				Options: map[string]string{"scope": "read write", "audience": "https://a.test/?b=c&d", "empty": ""},
			},
			arrival{"/token", "grant_type=client_credentials&client_id=c1&client_secret=s1&audience=https%3A%2F%2Fa.test%2F%3Fb%3Dc%26d&empty=&scope=read+write", ""},
		},
		{
			"query kept as it is",
			TokenRequest{Grant: grantClientCredentials, URL: "?tenant=7&b=%20x&a", ClientID: "c1", ClientSecret: seal.NewPlaintext("s1")},
			arrival{"/token?tenant=7&b=%20x&a", "grant_type=client_credentials&client_id=c1&client_secret=s1", ""},
		},
		{
			"fragment dropped",
			TokenRequest{Grant: grantClientCredentials, URL: "#part", ClientID: "c1", ClientSecret: seal.NewPlaintext("s1")},
			arrival{"/token", "grant_type=client_credentials&client_id=c1&client_secret=s1", ""},
		},
		{
			"grant_type overridden, credentials not",
			TokenRequest{
				Grant:    grantClientCredentials,
				ClientID: "c1", ClientSecret: seal.NewPlaintext("s1"),
				Options: map[string]string{"grant_type": "account_credentials", "client_id": "c2", "client_secret": "s2"},
			},
			arrival{"/token", "grant_type=account_credentials&client_id=c1&client_secret=s1", ""},
		},
		{
			"escaped",
			TokenRequest{Grant: grantClientCredentials, ClientID: "a b&c=ö", ClientSecret: seal.NewPlaintext("+/%\x00\xff~.-_")},
			arrival{"/token", "grant_type=client_credentials&client_id=a+b%26c%3D%C3%B6&client_secret=%2B%2F%25%00%FF~.-_", ""},
		},
		{
			"in the header, form-encoded before base64 (RFC 6749 section 2.3.1)",
			TokenRequest{Grant: grantClientCredentials, Style: InHeader, ClientID: "c:1", ClientSecret: seal.NewPlaintext("s 1/"), Options: map[string]string{"scope": "x"}},
			arrival{"/token", "grant_type=client_credentials&scope=x", "Basic YyUzQTE6cysxJTJG"}, // c%3A1:s+1%2F
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var got arrival
			var header http.Header
			e := newEndpoint(t, func(w http.ResponseWriter, r *http.Request) {
				body, err := io.ReadAll(r.Body)
				if err != nil || r.ContentLength != int64(len(body)) || r.Method != http.MethodPost {
					t.Errorf("%s of %d bytes, %d said: %v", r.Method, len(body), r.ContentLength, err)
				}
				got = arrival{r.RequestURI, string(body), r.Header.Get("Authorization")}
				header = r.Header.Clone()
				succeed(w, r)
			})
			e.Start()
			tt.request.URL = e.URL + "/token" + tt.request.URL
			answer, err := newClientFor(t, EgressConfig{Allow: loopback}).Exchange(t.Context(), tt.request)
			if err != nil {
				t.Fatal(err)
			}
			if string(answer.AccessToken.Reveal()) != canaryToken || answer.Lifetime != 10*time.Hour {
				t.Errorf("answer is %+v", answer)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("request (-want +got):\n%s", diff)
			}
			header.Del("Authorization")
			want := http.Header{
				"Accept":         {"application/json"},
				"Content-Length": {header.Get("Content-Length")},
				"Content-Type":   {"application/x-www-form-urlencoded"},
				"User-Agent":     {"rekindle"},
			}
			if diff := cmp.Diff(want, header); diff != "" {
				t.Errorf("header (-want +got):\n%s", diff)
			}
			if tt.request.ClientSecret.IsZero() {
				t.Error("the caller's client secret was wiped")
			}
		})
	}
}

func TestBadTokenURL(t *testing.T) {
	t.Parallel()
	c := newClientFor(t, EgressConfig{Allow: loopback})
	for _, bad := range []string{
		"", "token", "//host/token", "ftp://host/", "https:///token", "https://:443/", "https:host", "javascript:alert(1)",
		"https://user:" + canaryQuery + "@host/", "https://ho\nst/", "https://%zz/", "unix:///run/docker.sock",
	} {
		_, err := c.Exchange(t.Context(), newRequest(bad))
		wantReason(t, err, events.ReasonAddressRefused)
		neverShown(t, err)
	}
}

func TestAppendEscapedIsQueryEscape(t *testing.T) {
	t.Parallel()
	var all strings.Builder
	for b := range 256 {
		all.WriteByte(byte(b))
	}
	if got, want := string(appendEscaped(nil, all.String())), url.QueryEscape(all.String()); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// Neither the form nor an outgrown copy of it stays behind.
func TestFormIsWiped(t *testing.T) {
	t.Parallel()
	r := TokenRequest{
		Grant:        grantClientCredentials,
		ClientID:     "ü",
		ClientSecret: seal.NewPlaintext("%&="),
		Options:      map[string]string{"grant_type": "ö", "ä": "/"},
	}
	form := r.form()
	if cap(form) != cap(make([]byte, 0, r.room(r.parameters()))) {
		t.Errorf("%d bytes in %d: the form was copied as it grew", len(form), cap(form))
	}
	body := &formBody{form: form, rest: form}
	if _, err := body.Read(make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	if err := body.Close(); err != nil {
		t.Fatal(err)
	}
	if strings.Trim(string(form), "\x00") != "" {
		t.Error("the form is still there")
	}
	if n, err := body.Read(make([]byte, 10)); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("read after close: %d, %v", n, err)
	}
}

func TestBodyIsClosedByTransport(t *testing.T) {
	t.Parallel()
	e := newEndpoint(t, succeed)
	e.Start()
	c := newClientFor(t, EgressConfig{Allow: loopback})
	req, err := newRequest(e.URL).build(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	form := req.Body.(*formBody)
	resp, err := c.do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if _, err := readAnswer(resp); err != nil {
		t.Fatal(err)
	}
	form.mu.Lock()
	defer form.mu.Unlock()
	if strings.Trim(string(form.form), "\x00") != "" {
		t.Error("the form was not wiped with the exchange")
	}
}

// Bodies of a 200, quirks included.
var answers = []struct {
	name, body string
	lifetime   time.Duration // of a success
	reason     events.Reason // of a failure
	detail     string        // of a failure, behind "the token endpoint"
}{
	{name: "plain", body: goodAnswer, lifetime: 10 * time.Hour},
	{name: "unknown members", body: `{"scope":"a","access_token":"t","x":{"access_token":1},"expires_in":60,"y":[{}]}`, lifetime: time.Minute},
	{name: "blanks around", body: " \r\n\t" + `{"access_token":"t","expires_in":60}` + "\n", lifetime: time.Minute},
	{name: "escapes", body: `{"access_token":"a\/b\u002b","expires_in":60}`, lifetime: time.Minute},
	{name: "all of VSCHAR", body: `{"access_token":" !#~","expires_in":60}`, lifetime: time.Minute},
	{name: "longest token", body: `{"access_token":"` + strings.Repeat("x", 32<<10) + `","expires_in":60}`, lifetime: time.Minute},

	{name: "numeric string", body: `{"access_token":"t","expires_in":"3600"}`, lifetime: time.Hour},
	{name: "float", body: `{"access_token":"t","expires_in":3599.9}`, lifetime: 3599 * time.Second},
	{name: "float in a string", body: `{"access_token":"t","expires_in":"3599.0"}`, lifetime: 3599 * time.Second},
	{name: "exponent", body: `{"access_token":"t","expires_in":3.6e3}`, lifetime: time.Hour},
	{name: "one second", body: `{"access_token":"t","expires_in":1}`, lifetime: time.Second},
	{name: "largest int64", body: `{"access_token":"t","expires_in":9223372036854775807}`, lifetime: secret.MaxLifetime},
	{name: "huge", body: `{"access_token":"t","expires_in":1e300}`, lifetime: secret.MaxLifetime},
	{name: "beyond all bounds", body: `{"access_token":"t","expires_in":1e999}`, reason: events.ReasonNoLifetime, detail: "beyond all bounds"},
	{name: "very long number", body: `{"access_token":"t","expires_in":1` + strings.Repeat("0", 40) + `}`, reason: events.ReasonNoLifetime, detail: "not a number"},
	{name: "no expires_in", body: `{"access_token":"t"}`, reason: events.ReasonNoLifetime, detail: "has no expires_in"},
	{name: "null expires_in", body: `{"access_token":"t","expires_in":null}`, reason: events.ReasonNoLifetime, detail: "has no expires_in"},
	{name: "other name", body: `{"access_token":"t","expires":3600}`, reason: events.ReasonNoLifetime, detail: "has no expires_in"},
	{name: "other case", body: `{"access_token":"t","Expires_In":3600}`, reason: events.ReasonNoLifetime, detail: "has no expires_in"},
	{name: "absolute time", body: `{"access_token":"t","expires_at":1999999999}`, reason: events.ReasonNoLifetime, detail: "has no expires_in"},
	{name: "zero", body: `{"access_token":"t","expires_in":0}`, reason: events.ReasonNoLifetime, detail: "below one second"},
	{name: "zero string", body: `{"access_token":"t","expires_in":"0"}`, reason: events.ReasonNoLifetime, detail: "below one second"},
	{name: "negative", body: `{"access_token":"t","expires_in":-3600}`, reason: events.ReasonNoLifetime, detail: "below one second"},
	{name: "fraction of a second", body: `{"access_token":"t","expires_in":0.99}`, reason: events.ReasonNoLifetime, detail: "below one second"},
	{name: "duration", body: `{"access_token":"t","expires_in":"1h"}`, reason: events.ReasonNoLifetime, detail: "not a number"},
	{name: "empty string", body: `{"access_token":"t","expires_in":""}`, reason: events.ReasonNoLifetime, detail: "not a number"},
	{name: "infinity", body: `{"access_token":"t","expires_in":"Infinity"}`, reason: events.ReasonNoLifetime, detail: "not a number"},
	{name: "not a number", body: `{"access_token":"t","expires_in":"NaN"}`, reason: events.ReasonNoLifetime, detail: "not a number"},
	{name: "hexadecimal", body: `{"access_token":"t","expires_in":"0x10p4"}`, reason: events.ReasonNoLifetime, detail: "not a number"},
	{name: "underscore", body: `{"access_token":"t","expires_in":"3_600"}`, reason: events.ReasonNoLifetime, detail: "not a number"},
	{name: "blank in it", body: `{"access_token":"t","expires_in":" 3600"}`, reason: events.ReasonNoLifetime, detail: "not a number"},
	{name: "boolean", body: `{"access_token":"t","expires_in":true}`, reason: events.ReasonNoLifetime, detail: "not a number"},
	{name: "array", body: `{"access_token":"t","expires_in":[3600]}`, reason: events.ReasonNoLifetime, detail: "not a number"},

	{name: "no access_token", body: `{"expires_in":3600}`, reason: events.ReasonMalformed, detail: "no access_token"},
	{name: "other case of access_token", body: `{"Access_Token":"t","expires_in":3600}`, reason: events.ReasonMalformed, detail: "no access_token"},
	{name: "nested access_token", body: `{"data":{"access_token":"t"},"expires_in":3600}`, reason: events.ReasonMalformed, detail: "no access_token"},
	{name: "empty access_token", body: `{"access_token":"","expires_in":3600}`, reason: events.ReasonMalformed, detail: "not text or is empty"},
	{name: "null access_token", body: `{"access_token":null,"expires_in":3600}`, reason: events.ReasonMalformed, detail: "not text or is empty"},
	{name: "number access_token", body: `{"access_token":7,"expires_in":3600}`, reason: events.ReasonMalformed, detail: "not text or is empty"},
	{name: "object access_token", body: `{"access_token":{"a":"b"},"expires_in":3600}`, reason: events.ReasonMalformed, detail: "not text or is empty"},
	{name: "CR LF", body: `{"access_token":"a\r\nSet-Cookie: b","expires_in":3600}`, reason: events.ReasonMalformed, detail: "no header may hold"},
	{name: "NUL", body: `{"access_token":"a\u0000b","expires_in":3600}`, reason: events.ReasonMalformed, detail: "no header may hold"},
	{name: "DEL", body: `{"access_token":"a\u007fb","expires_in":3600}`, reason: events.ReasonMalformed, detail: "no header may hold"},
	{name: "not ASCII", body: `{"access_token":"aöb","expires_in":3600}`, reason: events.ReasonMalformed, detail: "no header may hold"},
	{name: "not UTF-8", body: "{\"access_token\":\"a\xffb\",\"expires_in\":3600}", reason: events.ReasonMalformed, detail: "no header may hold"},
	{name: "token too long", body: `{"access_token":"` + strings.Repeat("x", 32<<10+1) + `","expires_in":60}`, reason: events.ReasonMalformed, detail: "more than 32768 bytes"},
	{name: "two tokens", body: `{"access_token":"a","access_token":"b","expires_in":3600}`, reason: events.ReasonMalformed, detail: "twice"},
	{name: "two lifetimes", body: `{"access_token":"a","expires_in":1,"expires_in":3600}`, reason: events.ReasonMalformed, detail: "twice"},
	{name: "two of another", body: `{"scope":"a","scope":"b","access_token":"t","expires_in":60}`, lifetime: time.Minute},

	{name: "nothing", body: "", reason: events.ReasonMalformed, detail: "nothing"},
	{name: "blanks", body: " \n", reason: events.ReasonMalformed, detail: "nothing"},
	{name: "HTML", body: "\n<!DOCTYPE html><title>Log in</title>", reason: events.ReasonMalformed, detail: "HTML"},
	{name: "form", body: "access_token=t&expires_in=3600", reason: events.ReasonMalformed, detail: "not JSON"},
	{name: "truncated", body: goodAnswer[:40], reason: events.ReasonMalformed, detail: "not JSON"},
	{name: "garbage behind", body: goodAnswer + "x", reason: events.ReasonMalformed, detail: "not JSON"},
	{name: "two objects", body: goodAnswer + goodAnswer, reason: events.ReasonMalformed, detail: "not JSON"},
	{name: "byte order mark", body: "\ufeff" + goodAnswer, reason: events.ReasonMalformed, detail: "not JSON"},
	{name: "gzip", body: "\x1f\x8b\x08\x00", reason: events.ReasonMalformed, detail: "not JSON"},
	{name: "deep", body: strings.Repeat("[", 60000), reason: events.ReasonMalformed, detail: "not JSON"},
	{name: "array at the top", body: "[" + goodAnswer + "]", reason: events.ReasonMalformed, detail: "not an object"},
	{name: "string at the top", body: `"access_token"`, reason: events.ReasonMalformed, detail: "not an object"},
	{name: "null at the top", body: `null`, reason: events.ReasonMalformed, detail: "not an object"},

	{name: "error (GitHub)", body: `{"error":"bad_verification_code","error_description":"x"}`, reason: events.ReasonRejected, detail: "no registered OAuth error"},
	{name: "ok false (Slack)", body: `{"ok":false,"error":"invalid_refresh_token"}`, reason: events.ReasonRejected, detail: "no registered OAuth error"},
	{name: "registered error", body: `{"error":"invalid_client"}`, reason: events.ReasonRejected, detail: "answered 200 and the OAuth error invalid_client: check client_id and client_secret"},
	{name: "error beside a token", body: `{"access_token":"t","expires_in":3600,"error":"invalid_scope"}`, reason: events.ReasonRejected, detail: "invalid_scope"},
	{name: "error object", body: `{"error":{"code":401,"message":"x"}}`, reason: events.ReasonRejected, detail: "no registered OAuth error"},
	{name: "temporary error", body: `{"error":"temporarily_unavailable"}`, reason: events.ReasonProviderError, detail: "temporarily_unavailable"},
	{name: "empty error", body: `{"error":"","access_token":"t","expires_in":3600}`, lifetime: time.Hour},
	{name: "error of zero", body: `{"error":"0","access_token":"t","expires_in":3600}`, lifetime: time.Hour},
	{name: "error of nothing", body: `{"error":[ ],"access_token":"t","expires_in":3600}`, lifetime: time.Hour},
	{name: "error without members", body: `{"error":{},"access_token":"t","expires_in":3600}`, lifetime: time.Hour},
	{name: "null error", body: `{"error":null,"access_token":"t","expires_in":3600}`, lifetime: time.Hour},
}

func TestDecodeAnswer(t *testing.T) {
	t.Parallel()
	for _, tt := range answers {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := decodeAnswer([]byte(tt.body))
			if tt.reason == "" {
				if err != nil || got.Lifetime != tt.lifetime {
					t.Errorf("lifetime %v, error %v; want lifetime %v", got.Lifetime, err, tt.lifetime)
				}
				return
			}
			failure := wantReason(t, err, tt.reason)
			if !strings.Contains(failure.Detail, tt.detail) || failure.Status != http.StatusOK {
				t.Errorf("status %d, detail %q, want 200 and %q in it", failure.Status, failure.Detail, tt.detail)
			}
			if !got.AccessToken.IsZero() {
				t.Error("a token came with the error")
			}
		})
	}
}

func FuzzDecodeAnswer(f *testing.F) {
	var known []string
	for _, tt := range answers {
		if len(tt.body) < 4<<10 { // longer seeds only slow the fuzzer down
			f.Add([]byte(tt.body))
		}
		if _, err := decodeAnswer([]byte(tt.body)); err != nil {
			known = append(known, unnamed(err))
		}
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		before := slices.Clone(body)
		got, err := decodeAnswer(body)
		if !slices.Equal(before, body) {
			t.Error("the body was changed")
		}
		if err != nil {
			if !slices.Contains(known, unnamed(err)) {
				t.Errorf("a text that no known answer gives: %v", err)
			}
			return
		}
		token := got.AccessToken.Reveal()
		if len(token) == 0 || len(token) > maxAccessTokenBytes || slices.ContainsFunc(token, func(b byte) bool { return b < ' ' || b > '~' }) {
			t.Errorf("token of %d bytes", len(token))
		}
		if got.Lifetime < time.Second || got.Lifetime > secret.MaxLifetime || got.Lifetime%time.Second != 0 {
			t.Errorf("lifetime %v", got.Lifetime)
		}
	})
}

// unnamed is the error's text with a registered OAuth error code, should it
// have one, taken out together with what it leads to.
func unnamed(err error) string {
	failure, ok := errors.AsType[*ExchangeError](err)
	if !ok {
		return err.Error()
	}
	if before, after, found := strings.Cut(failure.Detail, "the OAuth error "); found {
		code, advice, _ := strings.Cut(after, ": ")
		if reason, want, registered := oauthError(code); registered && advice == want && reason == failure.Reason {
			return before
		}
	}
	return err.Error()
}

func BenchmarkExchange(b *testing.B) {
	e := newEndpoint(b, succeed)
	e.Start()
	c := newClientFor(b, EgressConfig{Allow: loopback})
	r := newRequest(e.URL)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Exchange(b.Context(), r); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeAnswer(b *testing.B) {
	body := []byte(goodAnswer)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := decodeAnswer(body); err != nil {
			b.Fatal(err)
		}
	}
}
