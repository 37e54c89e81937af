package sandbox_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rekindle-dev/rekindle/services/sandbox"
)

// brokenListener accepts nothing.
type brokenListener struct{}

func (brokenListener) Accept() (net.Conn, error) { return nil, net.ErrClosed }
func (brokenListener) Close() error              { return nil }
func (brokenListener) Addr() net.Addr            { return &net.TCPAddr{} }

// TestStepAnswers holds what a script can put into an answer that arrives whole.
func TestStepAnswers(t *testing.T) {
	t.Parallel()
	const token = `"access_token":"T"`
	for name, tc := range map[string]struct {
		step   string
		status int
		body   string // with the token as T
		issued uint64
		header string
	}{
		"plain":             {`{}`, 200, `{` + token + `,"expires_in":36000,"token_type":"Bearer"}`, 1, "Content-Type: application/json"},
		"lifetime":          {`{"lifetime": 60}`, 200, `{` + token + `,"expires_in":60,"token_type":"Bearer"}`, 1, ""},
		"lifetime in words": {`{"lifetime": "1h30m"}`, 200, `{` + token + `,"expires_in":5400,"token_type":"Bearer"}`, 1, ""},
		"lifetime zero":     {`{"lifetime": 0}`, 200, `{` + token + `,"expires_in":0,"token_type":"Bearer"}`, 1, ""},
		"lifetime negative": {`{"lifetime": -5}`, 200, `{` + token + `,"expires_in":-5,"token_type":"Bearer"}`, 1, ""},
		"as string":         {`{"fields": {"expires_in": "3600"}}`, 200, `{` + token + `,"expires_in":"3600","token_type":"Bearer"}`, 1, ""},
		"as float":          {`{"fields": {"expires_in": 3599.0}}`, 200, `{` + token + `,"expires_in":3599.0,"token_type":"Bearer"}`, 1, ""},
		"as exponent":       {`{"fields": {"expires_in": 3.6e3}}`, 200, `{` + token + `,"expires_in":3.6e3,"token_type":"Bearer"}`, 1, ""},
		"as null":           {`{"fields": {"expires_in": null}}`, 200, `{` + token + `,"expires_in":null,"token_type":"Bearer"}`, 1, ""},
		"missing":           {`{"omit": ["expires_in"]}`, 200, `{` + token + `,"token_type":"Bearer"}`, 1, ""},
		"alias":             {`{"omit": ["expires_in", "token_type"], "fields": {"expires": 7}}`, 200, `{` + token + `,"expires":7}`, 1, ""},
		"bad token":         {`{"omit": ["expires_in", "token_type"], "fields": {"access_token": "a\r\nb"}}`, 200, `{"access_token":"a\r\nb"}`, 1, ""},
		"form encoded":      {`{"body": "access_token={{access_token}}&expires_in=60", "content_type": "application/x-www-form-urlencoded"}`, 200, "access_token=T&expires_in=60", 1, "Content-Type: application/x-www-form-urlencoded"},
		"nested":            {`{"body": "{\"data\":{\"token\":\"{{access_token}}\"}}"}`, 200, `{"data":{"token":"T"}}`, 1, ""},
		"empty":             {`{"body": ""}`, 200, "", 0, ""},
		"created":           {`{"status": 201, "omit": ["expires_in"]}`, 201, `{` + token + `,"token_type":"Bearer"}`, 1, ""},
		"error":             {`{"error": "invalid_scope"}`, 400, `{"error":"invalid_scope"}`, 0, ""},
		"error of client":   {`{"error": "invalid_client"}`, 401, `{"error":"invalid_client"}`, 0, ""},
		"error with fields": {`{"error": "slow_down", "status": 429, "fields": {"error_description": "so"}, "headers": {"retry-after": "7"}}`, 429, `{"error":"slow_down","error_description":"so"}`, 0, "Retry-After: 7"},
		"status":            {`{"status": 503, "headers": {"Date": "Thu, 01 Jan 1970 00:00:00 GMT"}}`, 503, "Service Unavailable", 0, "Date: Thu, 01 Jan 1970 00:00:00 GMT"},
		"200 with error":    {`{"fault": "200-with-error"}`, 200, `{"error":"invalid_grant"}`, 0, ""},
		"200 with a code":   {`{"fault": "200-with-error", "error": "bad_verification_code"}`, 200, `{"error":"bad_verification_code"}`, 0, ""},
		"html":              {`{"fault": "html"}`, 200, "<!DOCTYPE html><html><head><title>Log in</title></head><body><form><input name=\"user\"></form></body></html>", 0, "Content-Type: text/html; charset=utf-8"},
		"html of a WAF":     {`{"fault": "html", "status": 403}`, 403, "<!DOCTYPE html><html><head><title>Log in</title></head><body><form><input name=\"user\"></form></body></html>", 0, ""},
		"redirect":          {`{"fault": "redirect"}`, 307, "Temporary Redirect", 0, "Location: /token"},
		"redirect away":     {`{"fault": "redirect", "status": 302, "headers": {"location": "http://there/"}}`, 302, "Found", 0, "Location: http://there/"},
		"truncated":         {`{"fault": "truncated", "body": "{\"access_token\":\"x\"}"}`, 200, `{"access_t`, 0, ""},
		"huge":              {`{"fault": "huge-body", "size": 100000, "error": "x"}`, 400, strings.Repeat(" ", 100000) + `{"error":"x"}`, 0, ""},
		"slow drip":         {`{"fault": "slow-drip", "bytes_per_second": 1048576, "error": "invalid_scope"}`, 400, `{"error":"invalid_scope"}`, 0, ""},
		"after a delay":     {`{"delay": 0.001, "error": "x"}`, 400, `{"error":"x"}`, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := start(t, sandbox.Config{})
			r := e.control("PUT", "/sandbox/clients/a", `{"secret": "s", "script": [`+tc.step+`]}`)
			if r.status != 200 {
				t.Fatalf("script: %d %s", r.status, r.body)
			}
			got := e.exchange()
			if got.err != nil || got.status != tc.status {
				t.Fatalf("status %d, want %d (%v)", got.status, tc.status, got.err)
			}
			if diff := cmp.Diff(tc.body, strings.TrimSuffix(hideToken(got.body), "\n")); diff != "" {
				t.Error(diff)
			}
			if key, value, ok := strings.Cut(tc.header, ": "); ok && got.header.Get(key) != value {
				t.Errorf("%s: %q, want %q", key, got.header.Get(key), value)
			}
			if c := e.counters(); c.Issued != tc.issued || c.Requests != 1 || c.InFlight != 0 {
				t.Errorf("counters %+v", c)
			}
		})
	}
}

// hideToken puts T in place of a token.
func hideToken(body string) string {
	before, rest, ok := strings.Cut(body, "sandbox-token-")
	if !ok {
		return body
	}
	end := strings.IndexAny(rest, `"&`)
	return before + "T" + rest[end:]
}

func TestScriptOrder(t *testing.T) {
	t.Parallel()
	once, twice := sandbox.Step{Error: "once"}, sandbox.Step{Error: "twice", Times: 2}
	for name, tc := range map[string]struct {
		client sandbox.Client
		want   string
	}{
		"last repeats":        {sandbox.Client{Script: []sandbox.Step{twice, once}}, "twice twice once once once"},
		"limited, then plain": {sandbox.Client{Script: []sandbox.Step{once, twice}}, "once twice twice - -"},
		"limited, then own":   {sandbox.Client{Script: []sandbox.Step{twice}, Default: once}, "twice twice once once once"},
		"no script":           {sandbox.Client{}, "- - - - -"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := start(t, sandbox.Config{})
			tc.client.ID, tc.client.Secret = "a", "s"
			if err := e.Put(tc.client); err != nil {
				t.Fatal(err)
			}
			var got []string
			for range 5 {
				e.form("/token", credentials("a", "wrong")) // takes no step
				a := decode[tokenAnswer](t, e.exchange())
				if a.AccessToken != "" {
					a.Error = "-"
				}
				got = append(got, a.Error)
			}
			if s := strings.Join(got, " "); s != tc.want {
				t.Errorf("got %s, want %s", s, tc.want)
			}
		})
	}
}

// TestConnectionFaults reads the raw connection: what the caller's TCP sees, and
// what the provider has done meanwhile.
func TestConnectionFaults(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		fault  sandbox.Fault
		want   error
		issued uint64
	}{
		{sandbox.FaultReset, syscall.ECONNRESET, 0},
		{sandbox.FaultDropAfterCommit, io.EOF, 1},
	} {
		t.Run(string(tc.fault), func(t *testing.T) {
			t.Parallel()
			e := start(t, sandbox.Config{})
			e.script(sandbox.Step{Fault: tc.fault, Times: 1})
			conn := e.dial()
			defer conn.Close()
			if _, err := bufio.NewReader(conn).ReadByte(); !errors.Is(err, tc.want) {
				t.Errorf("read: %v, want %v", err, tc.want)
			}
			c := e.counters()
			if c.Requests != 1 || c.Issued != tc.issued || c.Faults[tc.fault] != 1 || c.InFlight != 0 {
				t.Errorf("counters %+v", c)
			}
			if r := e.exchange(); r.status != 200 {
				t.Errorf("next request: %d", r.status)
			}
		})
	}
}

// dial sends a token request of client "a" on a connection of its own.
func (e env) dial() net.Conn {
	e.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(e.url, "http://"))
	if err != nil {
		e.t.Fatal(err)
	}
	req := e.request("POST", "/token", credentials("a", "s").Encode())
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if err := req.Write(conn); err != nil {
		e.t.Fatal(err)
	}
	return conn
}

// waiting are the steps that keep a caller waiting for longer than any test.
var waiting = map[string]sandbox.Step{
	"delay":        {Delay: sandbox.Duration(24 * time.Hour)},
	"hold":         {Hold: true},
	"never-answer": {Fault: sandbox.FaultNeverAnswer},
	"slow-drip":    {Fault: sandbox.FaultSlowDrip},
}

func TestWaitingEndsWhenTheCallerLeaves(t *testing.T) {
	t.Parallel()
	for name, step := range waiting {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := sandbox.New(sandbox.Config{})
			ended := make(chan struct{})
			host := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				defer close(ended)
				s.Handler().ServeHTTP(w, r)
			}))
			defer host.Close()
			e := env{Server: s, t: t, url: host.URL}
			e.script(step)
			conn := e.dial()
			if err := e.WaitRequests(t.Context(), "a", 1); err != nil {
				t.Fatal(err)
			}
			conn.Close()
			<-ended
			if c := e.counters(); c.InFlight != 0 || c.MaxInFlight != 1 {
				t.Errorf("counters %+v", c)
			}
		})
	}
}

func TestWaitingEndsWhenTheServerStops(t *testing.T) {
	t.Parallel()
	for name, step := range waiting {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			e := env{Server: sandbox.New(sandbox.Config{}), t: t, url: "http://" + ln.Addr().String()}
			e.script(step)
			ctx, stop := context.WithCancel(t.Context())
			served := make(chan error, 1)
			go func() { served <- e.Serve(ctx, ln) }()
			conn := e.dial()
			defer conn.Close()
			if err := e.WaitRequests(t.Context(), "a", 1); err != nil {
				t.Fatal(err)
			}
			stop()
			if err := <-served; err != nil {
				t.Errorf("serve: %v", err)
			}
			if _, err := io.Copy(io.Discard, conn); err != nil {
				t.Errorf("connection: %v, want its end", err)
			}
		})
	}
}

func TestHoldAndRelease(t *testing.T) {
	t.Parallel()
	e := start(t, sandbox.Config{})
	e.script(sandbox.Step{Hold: true, Times: 2})
	replies := make(chan reply, 2)
	for range 2 {
		go func() { replies <- e.exchange() }()
	}
	if err := e.WaitRequests(t.Context(), "a", 2); err != nil {
		t.Fatal(err)
	}
	if c := e.counters(); c.Issued != 2 || c.InFlight != 2 {
		t.Errorf("while held: %+v", c)
	}
	if r := e.control("POST", "/sandbox/clients/a/release", ""); r.status != 204 {
		t.Errorf("release: %d %s", r.status, r.body)
	}
	for range 2 {
		if r := <-replies; r.status != 200 {
			t.Errorf("released: %d %v", r.status, r.err)
		}
	}
}

func TestDeleteReleases(t *testing.T) {
	t.Parallel()
	e := start(t, sandbox.Config{})
	e.script(sandbox.Step{Hold: true})
	replies, waited := make(chan reply, 1), make(chan error, 1)
	go func() { replies <- e.exchange() }()
	if err := e.WaitRequests(t.Context(), "a", 1); err != nil {
		t.Fatal(err)
	}
	go func() { waited <- e.WaitRequests(t.Context(), "a", 9) }()
	if err := e.Delete("a"); err != nil {
		t.Fatal(err)
	}
	if r := <-replies; r.status != 200 {
		t.Errorf("held: %d %v", r.status, r.err)
	}
	if err := <-waited; !errors.Is(err, sandbox.ErrUnknownClient) {
		t.Errorf("waiter: %v", err)
	}
}

// TestTimes runs the handler in virtual time, without sockets.
func TestTimes(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		step sandbox.Step
		want time.Duration
	}{
		"delay":        {sandbox.Step{Error: "x", Delay: sandbox.Duration(90 * time.Minute)}, 90 * time.Minute},
		"drip":         {sandbox.Step{Body: new("0123456789"), Fault: sandbox.FaultSlowDrip}, 9 * time.Second},
		"faster drip":  {sandbox.Step{Body: new(strings.Repeat("x", 1000)), Fault: sandbox.FaultSlowDrip, BytesPerSecond: 100}, 9900 * time.Millisecond},
		"delayed drip": {sandbox.Step{Body: new("01"), Fault: sandbox.FaultSlowDrip, Delay: sandbox.Duration(time.Hour)}, time.Hour + time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := sandbox.New(sandbox.Config{})
				if err := s.Put(sandbox.Client{ID: "a", Secret: "s", Script: []sandbox.Step{tc.step}}); err != nil {
					t.Fatal(err)
				}
				began, rec := time.Now(), httptest.NewRecorder()
				s.Handler().ServeHTTP(rec, tokenRequest(t.Context()))
				if took := time.Since(began); took != tc.want {
					t.Errorf("took %v, want %v", took, tc.want)
				}
				if rec.Body.Len() == 0 {
					t.Error("no answer")
				}
			})
		})
	}
}

// TestGivingUpAborts shows that a caller who leaves during a drip, and one on a
// connection that cannot be taken over, gets net/http's abort.
func TestGivingUpAborts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := sandbox.New(sandbox.Config{})
		step := sandbox.Step{Body: new("0123456789"), Fault: sandbox.FaultSlowDrip}
		if err := s.Put(sandbox.Client{ID: "a", Secret: "s", Script: []sandbox.Step{step}}); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 2500*time.Millisecond)
		defer cancel()
		rec := httptest.NewRecorder()
		defer func() {
			if got := recover(); got != http.ErrAbortHandler {
				t.Errorf("recovered %v", got)
			}
			if rec.Body.String() != "012" {
				t.Errorf("sent %q", rec.Body)
			}
		}()
		s.Handler().ServeHTTP(rec, tokenRequest(ctx))
	})
}

func tokenRequest(ctx context.Context) *http.Request {
	r := httptest.NewRequestWithContext(ctx, "POST", "/token", strings.NewReader(credentials("a", "s").Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r
}

func TestHugeBodyOutweighsAnyReader(t *testing.T) {
	t.Parallel()
	e := start(t, sandbox.Config{})
	e.script(sandbox.Step{Fault: sandbox.FaultHugeBody, Size: 2 << 20})
	r := e.exchange()
	if len(r.body) < 2<<20 || strings.TrimSpace(r.body[:1<<20]) != "" {
		t.Errorf("%d bytes, or none of them blank", len(r.body))
	}
	if a := decode[tokenAnswer](t, r); a.AccessToken == "" {
		t.Error("not a token answer to who reads it all")
	}
}

func TestStepsAreCopied(t *testing.T) {
	t.Parallel()
	e := start(t, sandbox.Config{})
	step := sandbox.Step{Fields: map[string]json.RawMessage{"x": json.RawMessage("1")}, Omit: []string{"expires_in"}}
	e.script(step)
	step.Fields["x"][0], step.Omit[0] = '2', "access_token"
	state, err := e.Client("a")
	if err != nil {
		t.Fatal(err)
	}
	state.Script[0].Fields["x"][0] = '3'
	if body := e.exchange().body; !strings.Contains(body, `"x":1`) || strings.Contains(body, "expires_in") {
		t.Error("a change after Put reached the script")
	}
}
