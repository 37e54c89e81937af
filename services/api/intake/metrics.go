package intake

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// How events end.
const (
	resultAccepted  = "accepted"
	resultUnchanged = "unchanged" // accepted, and there was nothing to do
	resultRepeated  = "repeated"  // accepted before
	resultRejected  = "rejected"
)

type metrics struct {
	results *prometheus.CounterVec
	lag     prometheus.Histogram
	again   prometheus.Counter
	faults  prometheus.Counter
}

func newMetrics(to prometheus.Registerer) *metrics {
	with := promauto.With(to)
	m := &metrics{
		results: with.NewCounterVec(prometheus.CounterOpts{
			Name: "rekindle_intake_events_total",
			Help: "Events from upstream that were dealt with, by result. One that comes again counts again.",
		}, []string{"result"}),
		lag: with.NewHistogram(prometheus.HistogramOpts{
			Name:    "rekindle_intake_lag_seconds",
			Help:    "How long events from upstream lay in the queue until they were dealt with.",
			Buckets: []float64{.01, .03, .1, .3, 1, 3, 10, 30, 100, 300, 1000},
		}),
		again: with.NewCounter(prometheus.CounterOpts{
			Name: "rekindle_intake_retries_total",
			Help: "Attempts at events from upstream that are made again, because something was away.",
		}),
		faults: with.NewCounter(prometheus.CounterOpts{
			Name: "rekindle_intake_faults_total",
			Help: "Attempts at events from upstream that met a fault of the program.",
		}),
	}
	for _, r := range []string{resultAccepted, resultUnchanged, resultRepeated, resultRejected} {
		m.results.WithLabelValues(r)
	}
	return m
}

// settled counts an event that has ended.
func (d *Door) settled(r *request, result string) {
	d.metrics.results.WithLabelValues(result).Inc()
	d.metrics.lag.Observe(max(0, d.deps.Now().Sub(r.At).Seconds()))
}
