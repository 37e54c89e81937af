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
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/services/api"
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
			s := newSite(t, verdict(api.Verdict{Known: true}), publicURL)
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
	for _, err := range []error{api.ErrUnavailable, api.ErrNotReady, context.DeadlineExceeded} {
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
		v := api.Verdict{Secret: &secret.Secret{Name: hostile}, Provider: hostile}
		plain := api.Verdict{Secret: &secret.Secret{Name: "x"}, Provider: "x"}
		for name, end := range endings() {
			got, want := elements(t, end.of(v, hostile), end.query), elements(t, end.of(plain, "x"), end.query)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s, %q changes the page (-want +got):\n%s", name, hostile, diff)
			}
		}
	}
}

// ending is how a consent may end.
type ending struct {
	known, held, failed bool
	query               string
}

func endings() map[string]ending {
	return map[string]ending{
		"authorized": {known: true, query: good},
		"held":       {known: true, held: true, query: good},
		"refused":    {known: true, failed: true, query: refusal},
		"failed":     {known: true, failed: true, query: good},
		"working":    {query: good},
	}
}

// of returns the verdict v with this ending.
func (e ending) of(v api.Verdict, detail string) api.Verdict {
	v.Known, v.Held = e.known, e.held
	if e.failed {
		v.Failure = &secret.Failure{Detail: detail}
	}
	return v
}

// elements returns the tags of a page, without the one attribute that a verdict
// may set.
func elements(t *testing.T, v api.Verdict, query string) []string {
	t.Helper()
	s := newSite(t, verdict(v), "")
	body := s.call(t, http.MethodGet, query).body
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

// TestCanaries sends marked queries, good and bad, to services that end in every
// way, and looks for the marks in all that comes out.
func TestCanaries(t *testing.T) {
	t.Parallel()
	const canary = "canary-51d7e0"
	services := map[string]serviceFunc{
		"no dialog":   failure(api.ErrNoDialog),
		"unavailable": failure(api.ErrUnavailable),
		"a fault":     failure(errors.New("a fault")),
		"a panic": func(_ context.Context, c api.Consent) (api.Verdict, error) {
			panic(string(c.Code.Reveal()) + c.State + c.Error)
		},
		"a panic with a consent": func(_ context.Context, c api.Consent) (api.Verdict, error) { panic(c) },
		"a printed consent": func(_ context.Context, c api.Consent) (api.Verdict, error) {
			return api.Verdict{}, fmt.Errorf("%v %+v %#v %s %q", c, c, c, c, &c)
		},
		"a broken service": func(_ context.Context, c api.Consent) (api.Verdict, error) {
			return api.Verdict{}, fmt.Errorf("%d", []int{}[len(c.State)])
		},
	}
	for name, end := range endings() {
		services[name] = verdict(end.of(api.Verdict{}, ""))
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
	c := api.Consent{State: "canary", Code: seal.NewPlaintext("canary"), Params: map[string]string{"x": "canary"}}
	if got := fmt.Sprintf("%v %+v %#v %s %d", c, c, c, &c, []api.Consent{c}); strings.Contains(got, "canary") {
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
