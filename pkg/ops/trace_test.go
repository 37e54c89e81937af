package ops

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// clearEnv makes the test independent of where it runs; t.Setenv restores.
func clearEnv(t *testing.T) {
	t.Helper()
	for _, kv := range os.Environ() {
		if name, value, _ := strings.Cut(kv, "="); strings.HasPrefix(name, "OTEL_") {
			t.Setenv(name, value)
			os.Unsetenv(name)
		}
	}
}

func newOps(t *testing.T, cfg Config) (*Ops, func(context.Context) error, *bytes.Buffer) {
	t.Helper()
	var stderr bytes.Buffer
	cfg.Service, cfg.Version, cfg.LogFormat = "rekindle", "v1.2.3", LogText
	cfg.Target = "exchanger"
	o, shutdown, err := New(t.Context(), cfg, &stderr)
	if err != nil {
		t.Fatal(err)
	}
	return o, shutdown, &stderr
}

func TestTracesWithoutExporterPropagate(t *testing.T) {
	for _, env := range []struct{ name, value string }{
		{"OTEL_TRACES_EXPORTER", ""},
		{"OTEL_TRACES_EXPORTER", "none"},
		{"OTEL_SDK_DISABLED", "true"},
	} {
		t.Run(env.name+"="+env.value, func(t *testing.T) {
			clearEnv(t)
			t.Setenv(env.name, env.value)
			o, shutdown, _ := newOps(t, Config{})
			if exporting() {
				t.Error("an exporter would be made")
			}
			carrier := propagation.MapCarrier{"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
			asked := o.Propagator.Extract(t.Context(), carrier)
			for begun, ctx := range map[bool]context.Context{true: t.Context(), false: asked} {
				ctx, span := o.TracerProvider.Tracer("test").Start(ctx, "work")
				if sc := span.SpanContext(); !sc.IsValid() || sc.IsSampled() == begun {
					t.Errorf("begun here: %t, span context %v", begun, sc)
				}
				o.Propagator.Inject(ctx, carrier)
				got := trace.SpanContextFromContext(o.Propagator.Extract(t.Context(), carrier))
				if got.TraceID() != span.SpanContext().TraceID() || got.IsSampled() == begun {
					t.Errorf("begun here: %t, across the wire: %v", begun, got)
				}
				span.End()
			}
			if err := shutdown(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestSamplerOfTheEnvironment(t *testing.T) {
	for sampler, sampled := range map[string]bool{"always_off": false, "always_on": true} {
		t.Run(sampler, func(t *testing.T) {
			clearEnv(t)
			t.Setenv("OTEL_TRACES_SAMPLER", sampler)
			o, shutdown, _ := newOps(t, Config{})
			defer shutdown(t.Context())
			_, span := o.TracerProvider.Tracer("test").Start(t.Context(), "work")
			if sc := span.SpanContext(); !sc.IsValid() || sc.IsSampled() != sampled {
				t.Errorf("span context %v", sc)
			}
		})
	}
}

func TestUnknownExporter(t *testing.T) {
	clearEnv(t)
	t.Setenv("OTEL_TRACES_EXPORTER", "pigeon")
	if _, _, err := New(t.Context(), Config{}, new(bytes.Buffer)); err == nil {
		t.Error("exporter pigeon is taken")
	}
}

// The console exporter holds os.Stdout from the start of the process, so what
// it prints is looked at from outside: the test runs itself as a child.
func TestConsoleExporter(t *testing.T) {
	const child = "OPS_TEST_CONSOLE"
	if os.Getenv(child) != "" {
		o, shutdown, _ := newOps(t, Config{})
		_, span := o.TracerProvider.Tracer("test").Start(t.Context(), "work")
		span.End()
		if err := shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		return
	}
	clearEnv(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, "-test.run=^TestConsoleExporter$")
	cmd.Env = append(os.Environ(), child+"=1", "OTEL_TRACES_EXPORTER=console", "OTEL_SERVICE_NAME=mine")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var span struct {
		Name     string
		Resource []struct {
			Key   string
			Value struct{ Value string }
		}
	}
	if err := json.NewDecoder(bytes.NewReader(out)).Decode(&span); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	resource := map[string]string{}
	for _, a := range span.Resource {
		resource[a.Key] = a.Value.Value
	}
	if span.Name != "work" || resource["service.name"] != "mine" ||
		resource["service.version"] != "v1.2.3" || resource["rekindle.target"] != "exchanger" {
		t.Errorf("printed %s", out)
	}
}

func TestOTLPExporter(t *testing.T) {
	clearEnv(t)
	var broken atomic.Bool
	var posts atomic.Int32
	collector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/traces" {
			posts.Add(1)
		}
		if broken.Load() {
			http.Error(w, "your key s3cret is not good", http.StatusUnauthorized)
		}
	}))
	defer collector.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)

	o, shutdown, stderr := newOps(t, Config{})
	trace := func() {
		t.Helper()
		_, span := o.TracerProvider.Tracer("test").Start(t.Context(), "work")
		span.End()
		if err := o.TracerProvider.(*sdktrace.TracerProvider).ForceFlush(t.Context()); err != nil {
			t.Error(err)
		}
	}
	trace()
	broken.Store(true)
	trace()
	trace()
	broken.Store(false)
	trace()
	if err := shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if got := posts.Load(); got != 4 {
		t.Errorf("%d requests to the collector", got)
	}
	log := stderr.String()
	if strings.Count(log, "\n") != 2 || strings.Contains(log, "s3cret") ||
		!strings.Contains(log, `msg="traces are being lost" target=exchanger reason="refused by the collector"`) ||
		!strings.Contains(log, `msg="traces are exported again"`) {
		t.Errorf("logged:\n%s", log)
	}
	if got := gathered(t, o, "rekindle_spans_lost_total").GetCounter().GetValue(); got != 2 {
		t.Errorf("%v spans lost", got)
	}
}

func TestExportReason(t *testing.T) {
	for want, err := range map[string]error{
		"no answer in time":        fmt.Errorf("x: %w", context.DeadlineExceeded),
		"collector not reachable":  fmt.Errorf("x: %w", &net.OpError{Op: "dial", Err: errors.New("refused")}),
		"refused by the collector": errors.New("body: s3cret"),
	} {
		if got := exportReason(err); got != want {
			t.Errorf("%v: %q", err, got)
		}
	}
}

func TestShutdownDoesNotWaitForACollectorThatHangs(t *testing.T) {
	clearEnv(t)
	ctx, cancel := context.WithCancel(t.Context())
	release := make(chan struct{})
	collector := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		cancel()
		<-release
	}))
	defer collector.Close()
	defer close(release)
	t.Setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", collector.URL)

	o, shutdown, _ := newOps(t, Config{})
	_, span := o.TracerProvider.Tracer("test").Start(t.Context(), "work")
	span.End()
	if err := shutdown(ctx); err == nil || err.Error() != "shut down tracing: no answer in time" {
		t.Error(err)
	}
}

// Without an exporter a span costs what its ids and attributes cost.
func BenchmarkSpanWithoutExporter(b *testing.B) {
	tp, err := newTracerProvider(b.Context(), Config{}, slog.New(slog.DiscardHandler), prometheus.NewCounter(prometheus.CounterOpts{Name: "lost"}))
	if err != nil {
		b.Fatal(err)
	}
	tracer := tp.Tracer("test")
	b.ReportAllocs()
	for b.Loop() {
		_, span := tracer.Start(b.Context(), "work")
		span.End()
	}
}
