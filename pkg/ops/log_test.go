package ops

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"go.opentelemetry.io/otel/trace"
)

type (
	name     string
	material struct{ Token string }
	hidden   struct{ token string }
	nested   struct{ Token string }
	nilError struct{ text string }
)

func (hidden) String() string         { return "(hidden)" }
func (n nested) LogValue() slog.Value { return slog.GroupValue(slog.String("token", n.Token)) }
func (e *nilError) Error() string     { return e.text }

func TestHandler(t *testing.T) {
	tests := []struct {
		name    string
		args    []any
		json    string // without the time, level and message
		text    string
		refused float64
	}{
		{"scalars", []any{KeySecret, "SE1", KeyCount, 3}, `,"secret":"SE1","count":3`, ` secret=SE1 count=3`, 0},
		{"a duration is seconds in JSON", []any{KeyTook, 1500 * time.Millisecond}, `,"took":1.5`, ` took=1.5s`, 0},
		{"a time", []any{KeyDue, time.Unix(0, 0).UTC()}, `,"due":"1970-01-01T00:00:00Z"`, ` due=1970-01-01T00:00:00.000Z`, 0},
		{"error", []any{KeyError, errors.New("boom")}, `,"error":"boom"`, ` error=boom`, 0},
		{"named scalar", []any{KeySecret, name("SE1")}, `,"secret":"SE1"`, ` secret=SE1`, 0},
		{"text marshaler", []any{KeyAddr, netip.MustParseAddr("::1")}, `,"addr":"::1"`, ` addr=::1`, 0},
		{"stringer", []any{KeySecret, hidden{"s3cret"}}, `,"secret":"(hidden)"`, ` secret=(hidden)`, 0},
		{"unknown key", []any{"token", "s3cret", KeyKind, "oauth2"}, `,"kind":"oauth2"`, ` kind=oauth2`, 1},
		{"struct", []any{KeySecret, material{"s3cret"}}, ``, ``, 1},
		{"pointer to a struct", []any{KeySecret, &material{"s3cret"}}, ``, ``, 1},
		{"map and slice", []any{KeySecret, map[string]string{"a": "s3cret"}, KeyKey, []byte("s3cret")}, ``, ``, 2},
		{"value that is a group", []any{KeySecret, nested{"s3cret"}}, ``, ``, 1},
		{"group", []any{slog.Group(KeySecret, "token", "s3cret")}, ``, ``, 1},
		{"inline group", []any{slog.Group("", "token", "s3cret")}, ``, ``, 1},
		{"method that panics", []any{KeyError, (*nilError)(nil)}, ``, ``, 1},
		{"nil", []any{KeyError, nil}, ``, ``, 1},
		{"no value", []any{"s3cret"}, ``, ``, 1},
		{"empty attribute", []any{slog.Attr{}}, ``, ``, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			refused := prometheus.NewCounter(prometheus.CounterOpts{Name: "refused"})
			check := func(format LogFormat, want string) {
				t.Helper()
				var b bytes.Buffer
				h, err := newHandler(&b, format, slog.LevelInfo, refused)
				if err != nil {
					t.Fatal(err)
				}
				record := slog.NewRecord(time.Time{}, slog.LevelInfo, "m", 0)
				record.Add(tt.args...)
				if err := h.Handle(t.Context(), record); err != nil {
					t.Error(err)
				}
				slog.New(h.WithGroup("g")).With(tt.args...).Debug("not at this level")
				if diff := cmp.Diff(want, b.String()); diff != "" {
					t.Error(diff)
				}
				b.Reset()
				with := slog.NewRecord(time.Time{}, slog.LevelInfo, "m", 0)
				if err := slog.New(h.WithGroup("g")).With(tt.args...).Handler().Handle(t.Context(), with); err != nil {
					t.Error(err)
				}
				if diff := cmp.Diff(want, b.String()); diff != "" {
					t.Errorf("by With: %s", diff)
				}
			}
			check(LogJSON, `{"level":"INFO","msg":"m"`+tt.json+"}\n")
			check(LogText, `level=INFO msg=m`+tt.text+"\n")
			if got := valueOf(t, refused); got != 6*tt.refused {
				t.Errorf("%v attributes refused in 6 lines", got)
			}
		})
	}
}

func TestHandlerAddsTraceAndSpan(t *testing.T) {
	var b bytes.Buffer
	h, err := newHandler(&b, LogText, slog.LevelInfo, prometheus.NewCounter(prometheus.CounterOpts{Name: "refused"}))
	if err != nil {
		t.Fatal(err)
	}
	sc := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}})
	ctx := trace.ContextWithSpanContext(t.Context(), sc)
	if err := h.Handle(ctx, slog.NewRecord(time.Time{}, slog.LevelWarn, "m", 0)); err != nil {
		t.Fatal(err)
	}
	want := "level=WARN msg=m trace=01000000000000000000000000000000 span=0200000000000000\n"
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Error(diff)
	}
}

func TestLogFormats(t *testing.T) {
	refused := prometheus.NewCounter(prometheus.CounterOpts{Name: "refused"})
	if _, err := newHandler(new(bytes.Buffer), "xml", slog.LevelInfo, refused); err == nil {
		t.Error("format xml is taken")
	}
	file, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	device, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0) // a character device, as a terminal is
	if err != nil {
		t.Fatal(err)
	}
	defer device.Close()
	if terminal(file) || terminal(new(bytes.Buffer)) || !terminal(device) {
		t.Error("a terminal is not told from a file")
	}
	h, err := newHandler(file, LogAuto, slog.LevelInfo, refused)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Handle(context.Background(), slog.NewRecord(time.Time{}, slog.LevelInfo, "m", 0)); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(file.Name())
	if err != nil || string(got) != `{"level":"INFO","msg":"m"}`+"\n" {
		t.Errorf("a file got %s (%v)", got, err)
	}
}

func valueOf(t *testing.T, c prometheus.Metric) float64 {
	t.Helper()
	var m dto.Metric
	if err := c.Write(&m); err != nil {
		t.Fatal(err)
	}
	return m.GetCounter().GetValue()
}
