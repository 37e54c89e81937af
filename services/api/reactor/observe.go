package reactor

import (
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/rekindle-dev/rekindle/pkg/secret"
)

// headerRequestID is where an answer carries the id of its request.
const headerRequestID = "X-Request-Id"

// requestID returns the id of the request that w answers.
func requestID(w http.ResponseWriter) string { return w.Header().Get(headerRequestID) }

// observer gives every request an id, a span, a log line and its place in the
// metrics, and turns a panic into an answer.
type observer struct {
	door     *door
	log      *slog.Logger
	tracer   trace.Tracer
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	https    bool
}

func newObserver(d Deps, door *door) *observer {
	metrics := promauto.With(d.Metrics)
	return &observer{
		door:   door,
		https:  strings.HasPrefix(strings.ToLower(d.PublicURL), "https://"),
		log:    d.Logger,
		tracer: d.Tracer.Tracer("github.com/rekindle-dev/rekindle/services/api/reactor"),
		requests: metrics.NewCounterVec(prometheus.CounterOpts{
			Name: "rekindle_http_requests_total",
			Help: "Requests answered, by route pattern, method and status code.",
		}, []string{"route", "method", "code"}),
		duration: metrics.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "rekindle_http_request_duration_seconds",
			Help:    "Time from a request's header to the end of its answer, by route pattern.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"route"}),
	}
}

func (o *observer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	route, method := o.routeOf(r), methodOf(r)
	ctx := propagation.TraceContext{}.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
	ctx, span := o.tracer.Start(ctx, method+" "+route,
		trace.WithSpanKind(trace.SpanKindServer),
		trace.WithAttributes(attribute.String("http.request.method", method), attribute.String("http.route", route)))
	defer span.End()
	r = r.WithContext(ctx)

	sent := &sent{ResponseWriter: w}
	h := w.Header()
	h.Set(headerRequestID, secret.NewRequestID())
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	if o.https {
		h.Set("Strict-Transport-Security", "max-age=31536000")
	}
	o.serve(sent, r)

	took := time.Since(began)
	code := sent.code()
	span.SetAttributes(attribute.Int("http.response.status_code", code))
	if code >= http.StatusInternalServerError {
		span.SetStatus(codes.Error, "")
	}
	o.requests.WithLabelValues(route, method, strconv.Itoa(code)).Inc()
	o.duration.WithLabelValues(route).Observe(took.Seconds())
	o.log.InfoContext(ctx, "request", "method", method, "path", route, "code", code, "took", took,
		"request", requestID(w))
}

// serve calls the door and answers for it when it panics. An answer that has
// begun is broken off, so that the client does not take it for a whole one.
func (o *observer) serve(w *sent, r *http.Request) {
	defer func() {
		v := recover()
		if v == nil {
			return
		}
		err := fmt.Errorf("%w: %s\n%s", errPanic, describe(v), debug.Stack())
		if w.status != 0 {
			o.log.ErrorContext(r.Context(), "a request failed", "request", requestID(w), "error", err)
			panic(http.ErrAbortHandler)
		}
		o.door.refuse(w, r, err)
	}()
	o.door.ServeHTTP(w, r)
}

// describe names a panic's value, but only what is surely no data.
func describe(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case error:
		return v.Error()
	default:
		return fmt.Sprintf("%T", v)
	}
}

// routeOf returns the pattern of the path, one for all paths that have none.
func (o *observer) routeOf(r *http.Request) string {
	_, pattern := o.door.mux.Handler(r)
	_, route, ok := strings.Cut(pattern, " ")
	if !ok {
		return "unmatched"
	}
	return route
}

// methodOf returns the method, one for all that clients make up.
func methodOf(r *http.Request) string {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
		http.MethodOptions:
		return r.Method
	default:
		return "other"
	}
}

// sent remembers the status of an answer.
type sent struct {
	http.ResponseWriter
	status int
}

func (s *sent) WriteHeader(status int) {
	if s.status == 0 {
		s.status = status
	}
	s.ResponseWriter.WriteHeader(status)
}

func (s *sent) Write(b []byte) (int, error) {
	if s.status == 0 {
		s.status = http.StatusOK
	}
	return s.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the writer beneath.
func (s *sent) Unwrap() http.ResponseWriter { return s.ResponseWriter }

// code is the status that was sent. Handlers that write nothing send 200.
func (s *sent) code() int {
	if s.status == 0 {
		return http.StatusOK
	}
	return s.status
}
