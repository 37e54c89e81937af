package callback

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // pages.html
	"encoding/base64"
	"html/template"
	"net/http"
	"strings"

	"github.com/rekindle-dev/rekindle/services/api"
)

//go:embed pages.html
var source string

// page names a template in pages.html, and is the value of the metric.
type page string

// The pages of consents that were taken.
const (
	authorized page = "authorized" // the secret has a new grant
	held       page = "held"       // another account's consent waits for a decision
	refused    page = "refused"    // the person, or the provider in the dialog, said no
	failed     page = "failed"     // there was a consent, and no grant came of it
	working    page = "working"    // not known yet
)

// The pages of all else.
const (
	noDialog    page = "unknown"     // the state is unknown, used or expired
	invalid     page = "invalid"     // the query is no redirect
	wrongMethod page = "method"      // not a GET
	busy        page = "busy"        // too many from there
	unavailable page = "unavailable" // to be tried again
	fault       page = "error"       // ours
)

// pageOf says how a consent ended.
func pageOf(v api.Verdict, given api.Consent) page {
	switch {
	case !v.Known:
		return working
	case v.Held:
		return held
	case v.Failure == nil:
		return authorized
	case given.Error != "":
		return refused
	default:
		return failed
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
	case busy:
		return http.StatusTooManyRequests
	case unavailable:
		return http.StatusServiceUnavailable
	case fault:
		return http.StatusInternalServerError
	default:
		return http.StatusOK
	}
}

// content is what a page may show. All texts are for the person, and are shown as
// text whatever they hold.
type content struct {
	Secret   string // its name
	Provider string
	Detail   string // a sentence of ours, or empty
	Request  string // the id of the request
}

func contentOf(v api.Verdict) content {
	c := content{Provider: v.Provider}
	if v.Secret != nil {
		c.Secret = v.Secret.Name
	}
	if v.Failure != nil {
		c.Detail = v.Failure.Detail
	}
	return c
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
	case busy, unavailable:
		h.Set("Retry-After", "2")
	}
	var body bytes.Buffer
	if err := p.templates.ExecuteTemplate(&body, string(show), c); err != nil {
		body.Reset() // every page is tested; a status alone is an answer, too
	}
	w.WriteHeader(show.status())
	w.Write(body.Bytes())
}
