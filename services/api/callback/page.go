package callback

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // pages.html
	"encoding/base64"
	"html/template"
	"net/http"
	"net/url"
	"strings"
)

//go:embed pages.html
var source string

// page names a template in pages.html, and is the value of the metric: a
// [Result], or one of those that follow.
type page string

const (
	noDialog    page = "unknown"     // the state is unknown, used or expired
	invalid     page = "invalid"     // the query is no redirect
	wrongMethod page = "method"      // not a GET
	unavailable page = "unavailable" // to be tried again
	fault       page = "error"       // ours
)

func (r Result) known() bool {
	switch r {
	case Authorized, Held, Refused, Failed, Working:
		return true
	default:
		return false
	}
}

// status is the HTTP status of a page. How a consent ended is no matter of the
// request, which was handled.
func (p page) status() int {
	switch p {
	case noDialog, invalid:
		return http.StatusBadRequest
	case wrongMethod:
		return http.StatusMethodNotAllowed
	case unavailable:
		return http.StatusServiceUnavailable
	case fault:
		return http.StatusInternalServerError
	default:
		return http.StatusOK
	}
}

// content is what a page may show.
type content struct {
	Verdict
	Request string // the id of the request
}

// Link is where to go on, if that is a web page.
func (c content) Link() string {
	u, err := url.Parse(c.URL)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return ""
	}
	return u.String()
}

// pages writes pages.
type pages struct {
	templates *template.Template
	policy    string
	https     bool
}

func newPages(https bool) *pages {
	return &pages{
		templates: template.Must(template.New("pages").Parse(source)),
		policy: "default-src 'none'; style-src '" + styleHash() +
			"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
		https: https,
	}
}

// styleHash names the one style that a browser may apply (CSP3 section 2.3.1).
func styleHash() string {
	_, style, _ := strings.Cut(source, "<style>")
	style, _, _ = strings.Cut(style, "</style>")
	sum := sha256.Sum256([]byte(style))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

func (p *pages) send(w http.ResponseWriter, show page, c content) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", p.policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Request-Id", c.Request)
	if p.https {
		h.Set("Strict-Transport-Security", "max-age=31536000")
	}
	switch show {
	case wrongMethod:
		h.Set("Allow", http.MethodGet)
	case unavailable:
		h.Set("Retry-After", "2")
	}
	var body bytes.Buffer
	if err := p.templates.ExecuteTemplate(&body, string(show), c); err != nil {
		body.Reset() // every page is tested; a status alone is an answer, too
	}
	w.WriteHeader(show.status())
	w.Write(body.Bytes())
}
