package ops

import (
	"context"
	"encoding"
	"fmt"
	"io"
	"log/slog"
	"os"
	"reflect"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
)

// LogFormat is how log lines are written.
type LogFormat string

// The log formats. LogAuto is text on a terminal and JSON elsewhere.
const (
	LogAuto LogFormat = ""
	LogText LogFormat = "text"
	LogJSON LogFormat = "json"
)

// newHandler returns the handler behind every log line of the process.
func newHandler(w io.Writer, format LogFormat, level slog.Leveler, refused prometheus.Counter) (slog.Handler, error) {
	if format == LogAuto {
		format = LogJSON
		if terminal(w) {
			format = LogText
		}
	}
	switch format {
	case LogText:
		return &handler{slog.NewTextHandler(w, &slog.HandlerOptions{Level: level}), refused}, nil
	case LogJSON:
		return &handler{slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level, ReplaceAttr: seconds}), refused}, nil
	}
	return nil, fmt.Errorf("log format %q: want %q or %q", format, LogText, LogJSON)
}

func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// seconds writes a duration as a number of seconds, where slog has nanoseconds.
func seconds(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		a.Value = slog.Float64Value(a.Value.Duration().Seconds())
	}
	return a
}

// handler lets through what is known to be harmless: attributes whose key is in
// the closed list and whose value is a scalar or says itself what its text is.
// Whatever else, a struct above all, might hold secret material; it is left out
// and counted, and the line is written without it. Groups do not exist: a group's
// attributes are taken as the line's own by WithGroup, refused as a value.
// It adds the trace and span of the context.
type handler struct {
	next    slog.Handler
	refused prometheus.Counter
}

func (h *handler) Enabled(ctx context.Context, l slog.Level) bool { return h.next.Enabled(ctx, l) }

func (h *handler) Handle(ctx context.Context, r slog.Record) error {
	out := slog.NewRecord(r.Time, r.Level, r.Message, r.PC)
	r.Attrs(func(a slog.Attr) bool {
		if a, ok := h.admit(a); ok {
			out.AddAttrs(a)
		}
		return true
	})
	if sc := trace.SpanContextFromContext(ctx); sc.IsValid() {
		out.AddAttrs(slog.String(KeyTrace, sc.TraceID().String()), slog.String(KeySpan, sc.SpanID().String()))
	}
	return h.next.Handle(ctx, out)
}

func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	var admitted []slog.Attr
	for _, a := range attrs {
		if a, ok := h.admit(a); ok {
			admitted = append(admitted, a)
		}
	}
	return &handler{h.next.WithAttrs(admitted), h.refused}
}

func (h *handler) WithGroup(string) slog.Handler { return h }

func (h *handler) admit(a slog.Attr) (slog.Attr, bool) {
	if KnownKey(a.Key) {
		if v, ok := plain(a.Value.Resolve()); ok {
			return slog.Attr{Key: a.Key, Value: v}, true
		}
	}
	if !a.Equal(slog.Attr{}) { // which handlers ignore
		h.refused.Inc()
	}
	return slog.Attr{}, false
}

// plain returns v as a scalar, if it is one or has a text of its own.
func plain(v slog.Value) (slog.Value, bool) {
	switch v.Kind() {
	case slog.KindGroup:
		return v, false
	case slog.KindAny:
		text, ok := textOf(v.Any())
		return slog.StringValue(text), ok
	}
	return v, true
}

// textOf returns the text v gives itself, or that of a named scalar type. A
// method that panics, as on a nil pointer, must not take the process with it.
func textOf(v any) (text string, ok bool) {
	defer func() {
		if recover() != nil {
			text, ok = "", false
		}
	}()
	switch v := v.(type) {
	case error:
		return v.Error(), true
	case fmt.Stringer:
		return v.String(), true
	case encoding.TextMarshaler:
		b, err := v.MarshalText()
		return string(b), err == nil
	}
	switch rv := reflect.ValueOf(v); {
	case rv.Kind() == reflect.String, rv.CanInt(), rv.CanUint(), rv.CanFloat(), rv.Kind() == reflect.Bool:
		return fmt.Sprint(v), true
	}
	return "", false
}
