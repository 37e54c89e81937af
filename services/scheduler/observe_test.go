package scheduler_test

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/rekindle-dev/rekindle/pkg/secret"
)

const (
	traceID = "0af7651916cd43dd8448eb211c80319c"
	spanID  = "b7ad6b7169203331"
	parent  = "00-" + traceID + "-" + spanID + "-01"
)

// spans runs a secret, edited, until it is due and returns the one span of its
// job, and the trace that the job carries.
func (w *world) spans(edit func(*secret.Secret)) (sdktrace.ReadOnlySpan, string) {
	w.t.Helper()
	recorder := tracetest.NewSpanRecorder()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder))
	id := w.create(time.Second, edit)
	w.start(traced(provider.Tracer("test")))
	w.until(time.Second)
	ended := recorder.Ended()
	if len(ended) != 1 {
		w.t.Fatalf("%d spans, want 1", len(ended))
	}
	if ended[0].SpanKind() != trace.SpanKindProducer {
		w.t.Errorf("span kind is %v", ended[0].SpanKind())
	}
	attributes := attribute.NewSet(ended[0].Attributes()...)
	if v, _ := attributes.Value("rekindle.secret"); v.AsString() != id {
		w.t.Errorf("the span names secret %q, want %s", v.AsString(), id)
	}
	return ended[0], w.jobs.all(id)[0].event.Trace
}

func traceparent(sc trace.SpanContext) string {
	return "00-" + sc.TraceID().String() + "-" + sc.SpanID().String() + "-" + sc.TraceFlags().String()
}

func TestTraceOfTheRequestGoesOn(t *testing.T) {
	inWorld(t, func(w *world) {
		span, carried := w.spans(func(s *secret.Secret) { s.Status, s.Trace = secret.Pending, parent })
		if span.Name() != "exchange due" {
			t.Errorf("span %q", span.Name())
		}
		if got := traceparent(span.Parent()); got != parent || !span.Parent().IsRemote() {
			t.Errorf("parent is %s, want %s from elsewhere", got, parent)
		}
		if got := traceparent(span.SpanContext()); carried != got || span.SpanContext().TraceID().String() != traceID {
			t.Errorf("the job carries %s, its span is %s", carried, got)
		}
	})
}

func TestRefreshHasATraceOfItsOwn(t *testing.T) {
	inWorld(t, func(w *world) {
		span, carried := w.spans(func(s *secret.Secret) { s.Trace = parent })
		if span.Name() != "refresh due" || span.Parent().IsValid() {
			t.Errorf("span %q with parent %v", span.Name(), span.Parent().SpanID())
		}
		if len(span.Links()) != 1 || traceparent(span.Links()[0].SpanContext) != parent {
			t.Errorf("%d links, want one to %s", len(span.Links()), parent)
		}
		if got := traceparent(span.SpanContext()); carried != got || span.SpanContext().TraceID().String() == traceID {
			t.Errorf("the job carries %s, its span is %s", carried, got)
		}
	})
}

func TestTraceUnknown(t *testing.T) {
	for _, bad := range []string{"", "00-0-0-00", "ff-" + traceID + "-" + spanID + "-01"} {
		for _, status := range []secret.Status{secret.Pending, secret.Succeeded} {
			t.Run(string(status)+bad, func(t *testing.T) {
				inWorld(t, func(w *world) {
					span, carried := w.spans(func(s *secret.Secret) { s.Status, s.Trace = status, bad })
					if span.Parent().IsValid() || len(span.Links()) != 0 {
						t.Error("the span has a parent or a link")
					}
					if got := traceparent(span.SpanContext()); carried != got {
						t.Errorf("the job carries %s, its span is %s", carried, got)
					}
				})
			})
		}
	}
}

// Without a tracer the trace of the request is passed on.
func TestNoTracer(t *testing.T) {
	inWorld(t, func(w *world) {
		id := w.create(0, func(s *secret.Secret) { s.Status, s.Trace = secret.Pending, parent })
		w.start()
		if got := w.jobs.all(id)[0].event.Trace; got != parent {
			t.Errorf("the job carries %q, want %s", got, parent)
		}
	})
}

func TestOfferMetrics(t *testing.T) {
	inWorld(t, func(w *world) {
		id := w.create(time.Second)
		r := w.start()
		w.until(20 * time.Second)
		w.jobs.done(id) // lost, and accepted again: that is not late
		w.until(time.Minute)
		for result, want := range map[string]float64{"accepted": 2, "queued": 3, "error": 0} {
			if got := r.metric(t, "rekindle_jobs_offered_total", result); got != want {
				t.Errorf("%v offers were %s, want %v", got, result, want)
			}
		}
		if n := r.metric(t, "rekindle_job_lateness_seconds"); n != 1 {
			t.Errorf("lateness was noted %v times, want once", n)
		}
	})
}

func TestCensus(t *testing.T) {
	inWorld(t, func(w *world) {
		w.members.silence(true) // who offers nothing counts, too
		ends := func(d time.Duration) func(*secret.Secret) {
			return func(s *secret.Secret) { s.ExpiresAt, s.Kind = w.at(d), secret.OAuth2ClientCredentials }
		}
		for _, d := range []time.Duration{-1, 0, time.Hour, time.Hour + ms, 24 * time.Hour, 720 * time.Hour, 721 * time.Hour, 200 * 365 * 24 * time.Hour} {
			w.create(100*time.Hour, ends(d))
		}
		w.create(0)
		w.create(100*time.Hour, func(s *secret.Secret) {
			s.Kind, s.ExpiresAt, s.RefreshAt, s.NextAttemptAt = secret.Token, time.Time{}, time.Time{}, time.Time{}
		})
		w.create(time.Hour, func(s *secret.Secret) { s.Environment, s.Deployed, s.RefreshStatus = "", "", secret.Failed })
		w.create(time.Hour, func(s *secret.Secret) { s.Kind, s.Deployed, s.Status = "a kind of tomorrow", "", "new" })
		w.create(time.Hour, func(s *secret.Secret) { s.DeletedAt = w.began })
		r := w.start()
		for _, test := range []struct {
			name   string
			labels []string
			want   float64
		}{
			{"rekindle_secrets", []string{"oauth2", "none", "succeeded"}, 8},
			{"rekindle_secrets", []string{"oauth2", "pending", "succeeded"}, 1},
			{"rekindle_secrets", []string{"oauth2", "failed", "succeeded"}, 1},
			{"rekindle_secrets", []string{"token", "none", "succeeded"}, 1},
			{"rekindle_secrets", []string{"other", "none", "other"}, 1},
			{"rekindle_secrets_expiring", []string{"expired"}, 2},
			{"rekindle_secrets_expiring", []string{"1h"}, 2},
			{"rekindle_secrets_expiring", []string{"4h"}, 1},
			{"rekindle_secrets_expiring", []string{"24h"}, 1},
			{"rekindle_secrets_expiring", []string{"168h"}, 0},
			{"rekindle_secrets_expiring", []string{"720h"}, 1},
			{"rekindle_secrets_expiring", []string{"later"}, 2},
			{"rekindle_overdue_secrets", nil, 2},
		} {
			if got := r.metric(t, test.name, test.labels...); got != test.want {
				t.Errorf("%s%v is %v, want %v", test.name, test.labels, got, test.want)
			}
		}
		if got := w.jobs.all(); len(got) != 0 {
			t.Errorf("%d jobs were offered by one that is to offer none", len(got))
		}
		families, err := r.registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		problems, err := promlint.NewWithMetricFamilies(families).Lint()
		if err != nil || len(problems) != 0 {
			t.Errorf("names of metrics: %v %v", problems, err)
		}
	})
}
