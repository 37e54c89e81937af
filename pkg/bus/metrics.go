package bus

import (
	"context"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
)

// scrapeTimeout bounds what a scrape waits for the server.
const scrapeTimeout = 2 * time.Second

// Queues is a Prometheus collector that asks the server, at each scrape, how
// much work is waiting. Its figures are of the whole fleet, so one process of
// it is enough to collect them.
type Queues struct {
	b                                                *Bus
	waiting, inFlight, oldest, parked, unheard, down *prometheus.Desc
	asked, oldestAsked                               *prometheus.Desc
}

var _ prometheus.Collector = (*Queues)(nil)

// Queues returns a collector of the fleet's queues.
func (b *Bus) Queues() *Queues {
	d := func(name, help string) *prometheus.Desc { return prometheus.NewDesc(name, help, nil, nil) }
	return &Queues{
		b:           b,
		waiting:     d("rekindle_jobs_waiting", "Jobs no exchanger has taken yet."),
		inFlight:    d("rekindle_jobs_in_flight", "Jobs that exchangers hold."),
		oldest:      d("rekindle_jobs_oldest_seconds", "Age of the oldest job that is not done, 0 when there is none."),
		parked:      d("rekindle_parked_messages", "Messages set aside for a person."),
		unheard:     d("rekindle_audit_waiting", "Events of what the fleet did that are not written into the audit trail yet."),
		asked:       d("rekindle_intake_waiting", "Events from upstream systems that are not dealt with yet."),
		oldestAsked: d("rekindle_intake_oldest_seconds", "Age of the oldest event from upstream that is not dealt with, 0 when there is none."),
		down:        d("rekindle_queues_unreadable", "1 when the server did not say how much work is waiting, else 0."),
	}
}

// Describe implements prometheus.Collector.
func (q *Queues) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{q.waiting, q.inFlight, q.oldest, q.parked, q.unheard, q.asked, q.oldestAsked, q.down} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (q *Queues) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	gauge := func(d *prometheus.Desc, v float64) { ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v) }
	depth, err := q.b.depth(ctx)
	if err != nil {
		gauge(q.down, 1)
		return
	}
	gauge(q.down, 0)
	gauge(q.waiting, float64(depth.waiting))
	gauge(q.inFlight, float64(depth.inFlight))
	gauge(q.oldest, depth.oldest.Seconds())
	gauge(q.parked, float64(depth.parked))
	gauge(q.unheard, float64(depth.unheard))
	gauge(q.asked, float64(depth.asked))
	gauge(q.oldestAsked, depth.oldestAsked.Seconds())
}

type depth struct {
	waiting, parked, unheard, asked uint64
	inFlight                        int
	oldest, oldestAsked             time.Duration
}

func (b *Bus) depth(ctx context.Context) (d depth, err error) {
	jobs, err := b.js.Stream(ctx, streamJobs)
	if err != nil {
		return d, err
	}
	c, err := jobs.Consumer(ctx, consumerExchanger)
	if err != nil {
		return d, err
	}
	parked, err := b.js.Stream(ctx, streamParked)
	if err != nil {
		return d, err
	}
	heard, err := b.js.Consumer(ctx, streamEvents, consumerAudit)
	if err != nil {
		return d, err
	}
	asked, err := b.js.Stream(ctx, streamIntake)
	if err != nil {
		return d, err
	}
	d.unheard = heard.CachedInfo().NumPending + uint64(heard.CachedInfo().NumAckPending)
	d.waiting = c.CachedInfo().NumPending
	d.inFlight = c.CachedInfo().NumAckPending
	d.parked = parked.CachedInfo().State.Msgs
	d.asked = asked.CachedInfo().State.Msgs
	d.oldest, d.oldestAsked = b.ageOf(jobs), b.ageOf(asked)
	return d, nil
}

// ageOf is the age of the oldest message of a stream, as it was described last.
func (b *Bus) ageOf(s jetstream.Stream) time.Duration {
	st := s.CachedInfo().State
	if st.Msgs == 0 {
		return 0
	}
	return max(0, b.Now().Sub(st.FirstTime))
}
