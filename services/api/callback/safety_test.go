package callback_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rekindle-dev/rekindle/pkg/seal"
	"github.com/rekindle-dev/rekindle/services/api/callback"
)

func TestHeaders(t *testing.T) {
	t.Parallel()
	for publicURL, sts := range map[string]string{
		"https://api.example/base": "max-age=31536000",
		"HTTPS://api.example":      "max-age=31536000",
		"http://localhost:8080":    "",
	} {
		t.Run(publicURL, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, verdict(callback.Verdict{Result: callback.Authorized}), publicURL)
			for _, query := range []string{"?code=c&state=s", "", "?error=e&state=s"} {
				a := s.call(t, http.MethodGet, query)
				_, style, _ := strings.Cut(a.body, "<style>")
				style, _, _ = strings.Cut(style, "</style>")
				sum := sha256.Sum256([]byte(style))
				got := map[string]string{}
				for name := range a.header {
					got[name] = a.header.Get(name)
				}
				for _, name := range []string{"Date", "Content-Length", "X-Request-Id"} {
					delete(got, name)
				}
				want := map[string]string{
					"Content-Type": "text/html; charset=utf-8",
					"Content-Security-Policy": "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
						"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
					"X-Content-Type-Options":       "nosniff",
					"X-Frame-Options":              "DENY",
					"Referrer-Policy":              "no-referrer",
					"Cross-Origin-Opener-Policy":   "same-origin",
					"Cross-Origin-Resource-Policy": "same-origin",
					"Cache-Control":                "no-store",
				}
				if sts != "" {
					want["Strict-Transport-Security"] = sts
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("headers (-want +got):\n%s", diff)
				}
			}
		})
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	for _, err := range []error{callback.ErrUnavailable, context.DeadlineExceeded} {
		s := newSite(t, failure(err), "")
		a := s.call(t, http.MethodGet, "?code=c&state=s")
		s.server.Close()
		if a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") != "2" {
			t.Errorf("%v: status %d, retry after %q", err, a.status, a.header.Get("Retry-After"))
		}
		if !strings.Contains(s.log.String(), err.Error()) {
			t.Errorf("%v is not in the log", err)
		}
	}
}

// TestScripts puts into a verdict what would be more than text in a browser.
func TestScripts(t *testing.T) {
	t.Parallel()
	for _, hostile := range []string{
		`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `</title></style><svg onload=alert(1)>`,
		`' onmouseover='alert(1)`, `{{.Request}}`, `<!--`, "\x00<b>", "\u202etxet",
	} {
		v := callback.Verdict{Secret: hostile, Provider: hostile, Detail: hostile, URL: "https://app.example/" + strings.Trim(hostile, "\x00")}
		plain := callback.Verdict{Secret: "x", Provider: "x", Detail: "x", URL: "https://app.example/x"}
		for _, result := range []callback.Result{callback.Authorized, callback.Held, callback.Refused, callback.Failed, callback.Working} {
			v.Result, plain.Result = result, result
			got, want := elements(t, v), elements(t, plain)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s, %q changes the page (-want +got):\n%s", result, hostile, diff)
			}
		}
	}
}

// elements returns the tags of a page, without the one attribute that a verdict
// may set.
func elements(t *testing.T, v callback.Verdict) []string {
	t.Helper()
	s := newSite(t, verdict(v), "")
	body := s.call(t, http.MethodGet, "?code=c&state=s").body
	s.server.Close()
	var tags []string
	for part := range strings.SplitSeq(body, "<") {
		tag, _, _ := strings.Cut(part, ">")
		if strings.HasPrefix(tag, "a ") {
			_, after, _ := strings.Cut(strings.TrimPrefix(tag, `a href="`), `"`)
			tag = "a" + after
		}
		tags = append(tags, tag)
	}
	return tags[1:]
}

func TestLinks(t *testing.T) {
	t.Parallel()
	for url, shown := range map[string]bool{
		"https://app.example/secrets": true,
		"http://localhost:8080":       true,
		"":                            false,
		"/secrets":                    false,
		"//elsewhere.example":         false,
		"https:///x":                  false,
		"javascript:alert(1)":         false,
		"data:text/html,x":            false,
		"https://a b":                 false,
	} {
		s := newSite(t, verdict(callback.Verdict{Result: callback.Authorized, URL: url}), "")
		body := s.call(t, http.MethodGet, "?code=c&state=s").body
		s.server.Close()
		if got := strings.Contains(body, "<a "); got != shown {
			t.Errorf("%q: a link is shown: %v, want %v", url, got, shown)
		}
	}
}

// TestCanaries sends marked queries, good and bad, to services that end in every
// way, and looks for the marks in all that comes out.
func TestCanaries(t *testing.T) {
	t.Parallel()
	const canary = "canary-51d7e0"
	services := map[string]serviceFunc{
		"unknown result": verdict(callback.Verdict{Result: canary}),
		"no dialog":      failure(callback.ErrNoDialog),
		"unavailable":    failure(callback.ErrUnavailable),
		"a fault":        failure(errors.New("a fault")),
		"a panic": func(_ context.Context, c callback.Consent) (callback.Verdict, error) {
			panic(string(c.Code.Reveal()) + c.State + c.Error)
		},
		"a panic with a consent": func(_ context.Context, c callback.Consent) (callback.Verdict, error) { panic(c) },
		"a printed consent": func(_ context.Context, c callback.Consent) (callback.Verdict, error) {
			return callback.Verdict{}, fmt.Errorf("%v %+v %#v %s %q", c, c, c, c, &c)
		},
		"a broken service": func(_ context.Context, c callback.Consent) (callback.Verdict, error) {
			return callback.Verdict{}, fmt.Errorf("%d", []int{}[len(c.State)])
		},
	}
	for _, r := range []callback.Result{callback.Authorized, callback.Held, callback.Refused, callback.Failed, callback.Working} {
		services[string(r)] = verdict(callback.Verdict{Result: r})
	}
	for name, service := range services {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, service, "")
			var out strings.Builder
			for _, query := range []string{
				"?code=C&state=C&scope=C&C=C", "?error=C&error_description=C&state=C", "?code=C", "?code=C&error=C&state=C", "?state=C&code=%C",
			} {
				for _, method := range []string{http.MethodGet, http.MethodPost} {
					a := s.call(t, method, strings.ReplaceAll(query, "C", canary))
					fmt.Fprintln(&out, a.header, a.body)
				}
			}
			s.server.Close()
			families, err := s.metrics.Gather()
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&out, "%s\n%v\n%+v\n", s.log.String(), families, s.spans.GetSpans())
			if at := strings.Index(out.String(), "51d7e0"); at >= 0 {
				t.Errorf("the canary has come out: …%s…", out.String()[max(0, at-200):at])
			}
			for _, there := range []string{"rekindle_callbacks_total", `"msg":"callback"`, "http.route"} {
				if !strings.Contains(out.String(), there) {
					t.Errorf("%s is not there: the test looks in the wrong place", there)
				}
			}
		})
	}
}

func TestAConsentDoesNotPrint(t *testing.T) {
	t.Parallel()
	c := callback.Consent{State: "canary", Code: seal.NewPlaintext("canary"), Params: map[string]string{"x": "canary"}}
	if got := fmt.Sprintf("%v %+v %#v %s %d", c, c, c, &c, []callback.Consent{c}); strings.Contains(got, "canary") {
		t.Error(got)
	}
	if got := c.LogValue().String(); strings.Contains(got, "canary") {
		t.Error(got)
	}
}

func TestAPanicIsAPage(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil, "") // without a Service every consent is a nil dereference
	a := s.call(t, http.MethodGet, "?code=c&state=s")
	s.server.Close()
	if a.status != http.StatusInternalServerError || strings.Contains(a.body, "nil pointer") {
		t.Errorf("status %d: %s", a.status, a.body)
	}
	s.counted(t, "error")
	line, _, _ := strings.Cut(s.log.String(), "\n")
	var logged struct{ Error, Request string }
	if err := json.Unmarshal([]byte(line), &logged); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(logged.Error, "nil pointer") || logged.Request != a.header.Get("X-Request-Id") {
		t.Errorf("logged %q for %q", logged.Error, logged.Request)
	}
}
