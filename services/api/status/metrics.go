package status

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	members      prometheus.Gauge
	put, removed prometheus.Counter
	failures     prometheus.Counter
	delay        prometheus.Histogram
}

func newMetrics(reg prometheus.Registerer, b *Board) *metrics {
	auto := promauto.With(reg)
	written := auto.NewCounterVec(prometheus.CounterOpts{
		Name: "rekindle_status_written_total",
		Help: "Statuses written for whoever watches, or removed.",
	}, []string{"what"})
	auto.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "rekindle_status_waiting",
		Help: "Statuses of this process's share that are not written yet.",
	}, func() float64 { n, _ := b.delay(); return float64(n) })
	auto.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "rekindle_status_oldest_seconds",
		Help: "For how long the status has waited that has waited longest, 0 when none does.",
	}, func() float64 { _, oldest := b.delay(); return oldest.Seconds() })
	return &metrics{
		members: auto.NewGauge(prometheus.GaugeOpts{
			Name: "rekindle_status_members",
			Help: "Processes that share the writing of statuses, as this one sees it; 0 while it writes none.",
		}),
		put:     written.WithLabelValues("put"),
		removed: written.WithLabelValues("removed"),
		failures: auto.NewCounter(prometheus.CounterOpts{
			Name: "rekindle_status_failures_total",
			Help: "Failed attempts to write a status; each is followed by another.",
		}),
		delay: auto.NewHistogram(prometheus.HistogramOpts{
			Name:    "rekindle_status_delay_seconds",
			Help:    "From when a change of a secret was seen until its status was written.",
			Buckets: []float64{.001, .002, .005, .01, .02, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300},
		}),
	}
}

// wrote counts a status that was written, or removed, after it had waited.
func (m *metrics) wrote(removed bool, waited time.Duration) {
	if removed {
		m.removed.Inc()
	} else {
		m.put.Inc()
	}
	m.delay.Observe(waited.Seconds())
}
