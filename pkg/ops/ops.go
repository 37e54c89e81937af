// Package ops is how a process is seen from outside: logs, traces, metrics, and
// the listener that serves health, readiness, metrics and profiles.
//
// It keeps no global state and sets none. [New] returns what the other packages
// are handed: a logger, a tracer provider, a propagator, a registry. [Ops.Run]
// is the listener, the first task to start and the last to stop.
//
// It promises that a log line carries no key outside the closed list (see
// [Keys]), that nothing is sent anywhere unless the standard OTEL_* variables
// ask for it, and that a broken collector is a number and one log line.
package ops

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// Config of a process's observability.
type Config struct {
	Service string // in traces; OTEL_SERVICE_NAME wins
	Target  string // the part of the program this process is
	Version string // of the program

	LogFormat LogFormat
	LogLevel  slog.Level

	Listen string // host:port of the ops listener; empty: none
}

// Ops is what a process is seen by. Its fields are read-only.
type Ops struct {
	Logger         *slog.Logger
	TracerProvider trace.TracerProvider
	Propagator     propagation.TextMapPropagator // W3C trace context
	Registry       *prometheus.Registry
	Readiness      *Readiness

	listen string
	addr   atomic.Pointer[string]
}

// New writes logs to stderr. shutdown exports the spans that are still held, for
// as long as its context allows; call it when everything that traces has ended.
func New(ctx context.Context, cfg Config, stderr io.Writer) (o *Ops, shutdown func(context.Context) error, err error) {
	registry := prometheus.NewRegistry()
	refused := prometheus.NewCounter(prometheus.CounterOpts{
		Name: "rekindle_log_keys_refused_total",
		Help: "Log attributes left out because their key is not in the closed list or their value is not plain.",
	})
	lost := prometheus.NewCounter(prometheus.CounterOpts{
		Name: "rekindle_spans_lost_total",
		Help: "Trace spans that could not be exported.",
	})
	registry.MustRegister(refused, lost, buildInfo(cfg),
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))

	h, err := newHandler(stderr, cfg.LogFormat, cfg.LogLevel, refused)
	if err != nil {
		return nil, nil, err
	}
	log := slog.New(h).With(KeyTarget, cfg.Target)

	tracers, err := newTracerProvider(ctx, cfg, log, lost)
	if err != nil {
		return nil, nil, err
	}
	shutdown = func(ctx context.Context) error {
		if err := tracers.Shutdown(ctx); err != nil {
			return fmt.Errorf("shut down tracing: %s", exportReason(err))
		}
		return nil
	}
	return &Ops{
		Logger:         log,
		TracerProvider: tracers,
		Propagator:     propagation.TraceContext{},
		Registry:       registry,
		Readiness:      new(Readiness),
		listen:         cfg.Listen,
	}, shutdown, nil
}

// buildInfo is the constant 1, for joining its labels to other metrics.
func buildInfo(cfg Config) prometheus.Collector {
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name:        "rekindle_build_info",
		Help:        "What this process is; always 1.",
		ConstLabels: prometheus.Labels{"version": cfg.Version, "target": cfg.Target},
	})
	info.Set(1)
	return info
}
