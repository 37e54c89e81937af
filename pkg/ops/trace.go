package ops

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/contrib/exporters/autoexport"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/sdk/trace"
)

// newTracerProvider returns a provider that obeys the standard OTEL_* variables:
// OTEL_TRACES_EXPORTER, OTEL_EXPORTER_OTLP_*, OTEL_TRACES_SAMPLER (by default
// parent based, always on), OTEL_SERVICE_NAME, OTEL_BSP_*. Without an exporter
// it makes and propagates trace ids and does nothing else: a trace that begins here
// is called sampled only if there is a sampler that says so, for nobody keeps it.
func newTracerProvider(ctx context.Context, cfg Config, log *slog.Logger, lost prometheus.Counter) (*trace.TracerProvider, error) {
	options := []trace.TracerProviderOption{trace.WithResource(resourceOf(cfg))}
	if exporting() {
		exporter, err := autoexport.NewSpanExporter(ctx)
		if err != nil {
			return nil, fmt.Errorf("trace exporter of OTEL_TRACES_EXPORTER: %w", err)
		}
		options = append(options, trace.WithBatcher(&watched{SpanExporter: exporter, log: log, lost: lost}))
	} else if os.Getenv("OTEL_TRACES_SAMPLER") == "" {
		options = append(options, trace.WithSampler(trace.ParentBased(trace.NeverSample())))
	}
	return trace.NewTracerProvider(options...), nil
}

// exporting reports whether the environment asks for an exporter. autoexport by
// itself would send to a collector on localhost when nothing is set.
func exporting() bool {
	if strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true") {
		return false
	}
	if exporter := os.Getenv("OTEL_TRACES_EXPORTER"); exporter != "" {
		return exporter != "none"
	}
	return cmp.Or(os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"), os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT")) != ""
}

// resourceOf describes this process; the SDK lets OTEL_RESOURCE_ATTRIBUTES add
// to it, and OTEL_SERVICE_NAME is taken here for it to win over cfg.
func resourceOf(cfg Config) *resource.Resource {
	return resource.NewSchemaless(
		attribute.String("service.name", cmp.Or(os.Getenv("OTEL_SERVICE_NAME"), cfg.Service)),
		attribute.String("service.version", cfg.Version),
		attribute.String("rekindle.target", cfg.Target),
	)
}

// watched is an exporter whose failures are counted, and logged once when they
// begin and once when they end. They are not returned, because the SDK would
// hand them to a global handler, and their text is not used, because it may hold
// a collector's answer.
type watched struct {
	trace.SpanExporter
	log     *slog.Logger
	lost    prometheus.Counter
	failing atomic.Bool
}

func (w *watched) ExportSpans(ctx context.Context, spans []trace.ReadOnlySpan) error {
	err := w.SpanExporter.ExportSpans(ctx, spans)
	if err != nil {
		w.lost.Add(float64(len(spans)))
	}
	if was := w.failing.Swap(err != nil); was == (err != nil) {
		return nil
	}
	if err != nil {
		w.log.WarnContext(ctx, "traces are being lost", KeyReason, exportReason(err))
	} else {
		w.log.InfoContext(ctx, "traces are exported again")
	}
	return nil
}

func exportReason(err error) string {
	var network *net.OpError
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return "no answer in time"
	case errors.As(err, &network):
		return "collector not reachable"
	}
	return "refused by the collector"
}
