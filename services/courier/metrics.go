package courier

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/rekindle-dev/rekindle/pkg/webhook"
)

// Why deliveries are dropped.
const (
	droppedTries    = "tries"    // the last try has failed
	droppedOverflow = "overflow" // too many were waiting
)

type metrics struct {
	tries   *prometheus.CounterVec
	dropped *prometheus.CounterVec
}

func newMetrics(to prometheus.Registerer, waiting func() int) *metrics {
	promauto.With(to).NewGaugeFunc(prometheus.GaugeOpts{
		Name: "rekindle_callback_deliveries_waiting",
		Help: "Deliveries to callbacks that wait for a try, as this process sees it.",
	}, func() float64 { return float64(waiting()) })
	m := &metrics{
		tries: promauto.With(to).NewCounterVec(prometheus.CounterOpts{
			Name: "rekindle_callback_tries_total",
			Help: "Tries to tell a callback something, by outcome.",
		}, []string{"outcome"}),
		dropped: promauto.With(to).NewCounterVec(prometheus.CounterOpts{
			Name: "rekindle_callback_dropped_total",
			Help: "Deliveries that were given up: the last try failed, or too many were waiting.",
		}, []string{"reason"}),
	}
	for _, o := range []webhook.Outcome{webhook.Delivered, webhook.Failed, webhook.Dropped} {
		m.tries.WithLabelValues(string(o))
	}
	for _, why := range []string{droppedTries, droppedOverflow} {
		m.dropped.WithLabelValues(why)
	}
	return m
}

func (m *metrics) tried(t *webhook.Try) { m.tries.WithLabelValues(string(t.Outcome)).Inc() }
