package callback

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/services/api"
)

// maxServing is how long the Service may take.
const maxServing = 15 * time.Second

// Deps is what the handler stands on.
type Deps struct {
	Service Service
	// Admit refuses a request when there were too many like it; nil admits all.
	Admit func(*http.Request) error
	// PublicURL is where browsers find the API. If it is https they are told
	// to use nothing else for its host.
	PublicURL string
	// Names are the parameters of redirects that have names of a provider's own,
	// with those of RFC 6749 section 4.1.2.
	Names   map[string]string
	Logger  *slog.Logger
	Metrics prometheus.Registerer
	Tracer  trace.TracerProvider
}

// New returns the handler of [Path].
func New(d Deps) http.Handler {
	return &handler{
		service: d.Service,
		admit:   d.Admit,
		names:   d.Names,
		log:     d.Logger,
		tracer:  d.Tracer.Tracer("github.com/rekindle-dev/rekindle/services/api/callback"),
		pages:   newPages(strings.HasPrefix(strings.ToLower(d.PublicURL), "https://")),
		results: promauto.With(d.Metrics).NewCounterVec(prometheus.CounterOpts{
			Name: "rekindle_callbacks_total",
			Help: "Redirects from providers that were answered, by how the consent ended.",
		}, []string{"result"}),
	}
}

type handler struct {
	service Service
	admit   func(*http.Request) error
	names   map[string]string
	log     *slog.Logger
	tracer  trace.Tracer
	pages   *pages
	results *prometheus.CounterVec
}

// ServeHTTP answers a redirect. It does not end with the request: a browser
// that has gone does not take back the consent. Nor does it join a trace: the
// headers are a stranger's.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), maxServing)
	defer cancel()
	ctx, span := h.tracer.Start(ctx, "callback", trace.WithNewRoot(), trace.WithSpanKind(trace.SpanKindServer),
		trace.WithAttributes(attribute.String("http.route", Path)))
	defer span.End()

	request := secret.NewRequestID()
	show, shown, err := h.handle(ctx, r, request)
	if err != nil {
		span.SetStatus(codes.Error, "")
		h.log.ErrorContext(ctx, "a callback failed", "request", request, "error", err)
	}
	status := show.status()
	span.SetAttributes(attribute.Int("http.response.status_code", status))
	h.results.WithLabelValues(string(show)).Inc()
	h.log.InfoContext(ctx, "callback", "path", Path, "outcome", string(show), "code", status,
		"took", time.Since(began), "request", request)
	shown.Request = request
	h.pages.send(w, show, shown)
}

// handle decides which page to show, and what on it. Its error is for the log.
func (h *handler) handle(ctx context.Context, r *http.Request, request string) (page, content, error) {
	if r.Method != http.MethodGet {
		return wrongMethod, content{}, nil
	}
	if h.admit != nil && h.admit(r) != nil {
		return busy, content{}, nil
	}
	c, ok := readQuery(r.URL.RawQuery, h.names)
	if !ok {
		return invalid, content{}, nil
	}
	defer c.Code.Wipe()
	c.Request = request
	v, err := h.consent(ctx, c)
	switch {
	case errors.Is(err, api.ErrNoDialog):
		return noDialog, content{}, nil
	case errors.Is(err, api.ErrNotReady), errors.Is(err, api.ErrUnavailable), errors.Is(err, context.DeadlineExceeded):
		return unavailable, content{}, err
	case err != nil:
		return fault, content{}, err
	default:
		return pageOf(v, c), contentOf(v), nil
	}
}

// consent calls the service, and makes an error of a panic. Of its value only
// what the runtime itself says is told: any other may hold the consent.
func (h *handler) consent(ctx context.Context, c api.Consent) (v api.Verdict, err error) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case runtime.Error:
			err = fmt.Errorf("panic: %w\n%s", p, debug.Stack())
		default:
			err = fmt.Errorf("panic: a %T\n%s", p, debug.Stack())
		}
	}()
	return h.service.Consent(ctx, c)
}
