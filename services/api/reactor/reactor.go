// Package reactor is the front door for HTTP: it speaks the JSON:API dialect of
// Adobe's Reactor API (contract part A) and hands every question and every
// change to package api.
//
// It promises
//   - the contract's documents, member for member, errors included: whatever a
//     request is like, the answer to it is a document of the contract. Only
//     what net/http refuses before any handler sees it (a request line it
//     cannot read, no Host, a header beyond all bounds) is refused in plain
//     text;
//   - that no request can make it panic, grow without limit or wait for ever,
//     and that a bug is a 500 without a word about its cause;
//   - that log lines, metrics and spans name routes, never ids, queries, bodies
//     or tokens.
//
// The way of a request:
//
//	observe ─► route ─► admit ─► negotiate ─► endpoint ─► document
//	(span, log,  404   401, 429  400, 406          │
//	 metrics)    405     403       415         package api
package reactor

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/services/api"
	"github.com/rekindle-dev/rekindle/services/api/auth"
)

// Deps is what the handler stands on.
type Deps struct {
	Service *api.Service
	Gate    *auth.Gate
	// Limiter holds requests to what a deployment admits; nil admits all.
	Limiter *auth.Limiter
	// Origins are those whose pages may use the API from a browser.
	Origins []string
	// PublicURL is where clients find the handler; all links begin with it.
	// If it is https, clients are told to use nothing else for its host.
	PublicURL string
	Logger    *slog.Logger
	Metrics   prometheus.Registerer
	Tracer    trace.TracerProvider
	// Now is the clock. Default time.Now.
	Now func() time.Time
	// Stopping, if not nil, is closed when the answers that have no end are to end.
	Stopping <-chan struct{}
}

// New returns the handler of the whole API.
func New(d Deps) http.Handler {
	if d.Now == nil {
		d.Now = time.Now
	}
	door := &door{
		service:  d.Service,
		gate:     d.Gate,
		limiter:  d.Limiter,
		origins:  d.Origins,
		base:     base(strings.TrimRight(d.PublicURL, "/")),
		log:      d.Logger,
		now:      d.Now,
		streams:  newStreams(d.Metrics),
		stopping: d.Stopping,
		mux:      http.NewServeMux(),
	}
	door.mux.HandleFunc("GET /heartbeat", heartbeat)
	door.mux.HandleFunc("GET /openapi.yaml", description)
	door.mux.HandleFunc("GET /keyset", door.keyset)
	door.mux.HandleFunc("GET /asyncapi.yaml", busDescription)
	door.mux.HandleFunc("GET /schema/{file}", door.eventSchema)
	for _, r := range door.routes() {
		door.mux.HandleFunc(r.pattern, door.handler(r))
	}
	return newObserver(d, door)
}

// door answers requests.
type door struct {
	service  *api.Service
	gate     *auth.Gate
	limiter  *auth.Limiter
	origins  []string
	base     base
	log      *slog.Logger
	now      func() time.Time
	streams  *streams
	stopping <-chan struct{}
	mux      *http.ServeMux
}

// route is an endpoint, where it is, and the right it takes. Reading takes
// none: what belongs to the organisation can be seen by all of it. What is about
// the running of the fleet takes one.
type route struct {
	pattern string
	right   auth.Right
	serve   endpoint
}

// media is the media type of a route's answers.
func (rt route) media() string {
	if rt.pattern == eventsPattern {
		return eventStream
	}
	return jsonAPI
}

// itself stands for the right of a route whose endpoint looks at it: which one it
// takes depends on what is asked for.
const itself auth.Right = ""

// endpoint answers a request that was admitted.
type endpoint func(ctx context.Context, r *request) (reply, error)

// routes is the API.
func (d *door) routes() []route {
	return append([]route{
		{"GET /profile", "", d.getProfile},

		{eventsPattern, "", d.followEvents},

		{"GET /companies", "", d.listCompanies},
		{"GET /companies/{id}", "", d.getCompany},
		{"GET /companies/{id}/properties", "", d.listProperties},
		{"POST /companies/{id}/properties", auth.ManageProperties, d.createProperty},

		{"GET /properties/{id}", "", d.getProperty},
		{"PATCH /properties/{id}", auth.EditProperty, d.changeProperty},
		{"DELETE /properties/{id}", auth.ManageProperties, d.deleteProperty},
		{"GET /properties/{id}/company", "", d.getCompanyOfProperty},
		{"GET /properties/{id}/callbacks", "", d.listCallbacks},
		{"POST /properties/{id}/callbacks", auth.EditProperty, d.createCallback},
		{"GET /properties/{id}/environments", "", d.listEnvironments},
		{"POST /properties/{id}/environments", auth.ManageEnvironments, d.createEnvironment},
		{"GET /properties/{id}/hosts", "", d.listHosts},
		{"POST /properties/{id}/hosts", auth.ManageEnvironments, d.createHost},
		{"GET /properties/{id}/notes", "", d.listNotes(secret.PrefixProperty)},
		{"POST /properties/{id}/notes", auth.Develop, d.createNote(secret.PrefixProperty)},
		{"GET /properties/{id}/secrets", "", d.listSecretsOfProperty},
		{"POST /properties/{id}/secrets", auth.Develop, d.createSecret},
		{"POST /properties/{id}/imports", auth.Develop, d.importSecret},

		{"GET /environments/{id}", "", d.getEnvironment},
		{"PATCH /environments/{id}", auth.ManageEnvironments, d.changeEnvironment},
		{"DELETE /environments/{id}", auth.ManageEnvironments, d.deleteEnvironment},
		{"GET /environments/{id}/property", "", d.getPropertyOfEnvironment},
		{"GET /environments/{id}/library", "", d.getLibraryOfEnvironment},
		{"GET /environments/{id}/builds", "", buildsReply(d.service.BuildsOfEnvironment)},
		{"GET /environments/{id}/host", "", d.getHostOfEnvironment},
		{"GET /environments/{id}/relationships/host", "", d.linkHostOfEnvironment},
		{"GET /environments/{id}/secrets", "", d.listSecretsOfEnvironment},

		{"GET /callbacks/{id}", "", d.getCallback},
		{"PATCH /callbacks/{id}", auth.EditProperty, d.changeCallback},
		{"PUT /callbacks/{id}", auth.EditProperty, d.changeCallback}, // contract C, row 13
		{"DELETE /callbacks/{id}", auth.EditProperty, d.deleteCallback},
		{"GET /callbacks/{id}/property", "", d.getPropertyOfCallback},
		{"GET /callbacks/{id}/deliveries", "", d.listDeliveries},

		{"GET /hosts/{id}", "", d.getHost},
		{"PATCH /hosts/{id}", auth.ManageEnvironments, d.changeHost},
		{"DELETE /hosts/{id}", auth.ManageEnvironments, d.deleteHost},
		{"GET /hosts/{id}/property", "", d.getPropertyOfHost},

		{"GET /notes/{id}", "", d.getNote},

		{"GET /secrets/{id}", "", d.getSecret},
		{"PATCH /secrets/{id}", auth.Develop, d.changeSecret},
		{"PUT /secrets/{id}", auth.Develop, d.changeSecret}, // contract A6, row 15
		{"DELETE /secrets/{id}", auth.Develop, d.deleteSecret},
		{"GET /secrets/{id}/environment", "", d.getEnvironmentOfSecret},
		{"GET /secrets/{id}/property", "", d.getPropertyOfSecret},
		{"GET /secrets/{id}/timeline", "", d.timelineOfSecret},
		{"GET /secrets/{id}/notes", "", d.listNotes(secret.PrefixSecret)},
		{"POST /secrets/{id}/notes", auth.Develop, d.createNote(secret.PrefixSecret)},
		{"GET /secrets/{id}/data_elements", "", d.listDataElementsOfSecret},

		{"GET /tokens", auth.ManageTokens, d.listTokens},
		{"POST /tokens", auth.ManageTokens, d.createToken},
		{"GET /tokens/{id}", auth.ManageTokens, d.getToken},
		{"PATCH /tokens/{id}", auth.ManageTokens, d.changeToken},
		{"DELETE /tokens/{id}", auth.ManageTokens, d.deleteToken},

		{"GET /audit_events", auth.ReadAudit, d.listAuditEvents},
		{"GET /audit_events/{id}", auth.ReadAudit, d.getAuditEvent},
		{"GET /audit_pages", auth.ReadAudit, d.listAuditPages},

		{"GET /parked", auth.Operate, d.listParked},
		{"GET /parked/{id}", auth.Operate, d.getParked},
		{"PATCH /parked/{id}", auth.Operate, d.changeParked},
		{"DELETE /parked/{id}", auth.Operate, d.discardParked},
	}, d.libraryRoutes()...)
}

// heartbeat says that the process answers, to anybody, without a body
// (contract A15.8).
func heartbeat(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }

// keyset sends the fleet's public keyset, to anybody: what publishers seal to. A cache in
// between asks whether it is the same still: who is told to fetch it again must not get the old one.
func (d *door) keyset(w http.ResponseWriter, r *http.Request) {
	body, tag, err := d.service.PublicKeyset()
	if err != nil {
		d.refuse(w, r, err)
		return
	}
	w.Header().Set("Cache-Control", "public, no-cache")
	w.Header().Set("ETag", `"`+tag+`"`)
	if strings.Contains(r.Header.Get("If-None-Match"), `"`+tag+`"`) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(body) // the client may have gone; there is nobody to tell
}
