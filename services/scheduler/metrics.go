package scheduler

import (
	"iter"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/rekindle-dev/rekindle/pkg/secret"
)

// metrics is what a scheduler tells of its work. What it tells of the secrets
// is in census.
type metrics struct {
	members  prometheus.Gauge
	damaged  prometheus.Counter
	lateness prometheus.Histogram
	// The offers, by result.
	offeredAccepted, offeredQueued, offeredError prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, s *Scheduler) *metrics {
	auto := promauto.With(reg)
	offered := auto.NewCounterVec(prometheus.CounterOpts{
		Name: "rekindle_jobs_offered_total",
		Help: "Jobs offered: accepted, refused because the secret's last job is still queued or in work, or failed.",
	}, []string{"result"})
	m := &metrics{
		members: auto.NewGauge(prometheus.GaugeOpts{
			Name: "rekindle_scheduler_members",
			Help: "Schedulers that share the work, as this one sees it; 0 while it offers nothing.",
		}),
		damaged: auto.NewCounter(prometheus.CounterOpts{
			Name: "rekindle_records_damaged_total",
			Help: "Changes of records of secrets and hosts that could not be read. Such a secret is not scheduled.",
		}),
		lateness: auto.NewHistogram(prometheus.HistogramOpts{
			Name:    "rekindle_job_lateness_seconds",
			Help:    "From due until a job was accepted, for the first accepted job of each decision.",
			Buckets: []float64{.001, .002, .005, .01, .02, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600},
		}),
		offeredAccepted: offered.WithLabelValues("accepted"),
		offeredQueued:   offered.WithLabelValues("queued"),
		offeredError:    offered.WithLabelValues("error"),
	}
	auto.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "rekindle_scheduler_hosts",
		Help: "Token hosts that are this scheduler's to ask for.",
	}, s.owned)
	if reg != nil {
		reg.MustRegister(newCensus(s), newQueues(s))
	}
	return m
}

// census counts the secrets when it is asked, by a walk through the index in
// small steps, so that nothing is late for it. Every scheduler counts all
// secrets, whoever offers them: take the maximum over schedulers.
type census struct {
	scheduler                                *Scheduler
	secrets, expiring, unauthorized, overdue *prometheus.Desc
}

func newCensus(s *Scheduler) *census {
	const all = " Every scheduler counts all secrets: take the maximum."
	return &census{
		scheduler: s,
		secrets: prometheus.NewDesc("rekindle_secrets",
			"Secrets by how they stand, without deleted ones."+all,
			[]string{"kind", "status", "refresh_status"}, nil),
		expiring: prometheus.NewDesc("rekindle_secrets_expiring",
			"Secrets whose value is in use, by the time to its end; each counts once, in the narrowest."+all,
			[]string{"within"}, nil),
		unauthorized: prometheus.NewDesc("rekindle_secrets_authorization_required",
			"Secrets for which somebody has to consent again, because the grant ends soon or has ended."+all,
			nil, nil),
		overdue: prometheus.NewDesc("rekindle_overdue_secrets",
			"Secrets for which something is due and not yet done, deleted ones to erase included."+all,
			nil, nil),
	}
}

// Describe implements prometheus.Collector.
func (c *census) Describe(ch chan<- *prometheus.Desc) {
	ch <- c.secrets
	ch <- c.expiring
	ch <- c.unauthorized
	ch <- c.overdue
}

// Collect implements prometheus.Collector.
func (c *census) Collect(ch chan<- prometheus.Metric) {
	t := c.scheduler.tally()
	gauge := func(d *prometheus.Desc, n int, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(n), labels...)
	}
	for k, n := range t.classes() {
		gauge(c.secrets, n, label(kinds(), k.kind, "other"), label(statuses(), k.status, "other"), label(statuses(), k.refresh, "none"))
	}
	for i, h := range horizons() {
		gauge(c.expiring, t.expiring[i], h.name)
	}
	gauge(c.unauthorized, t.unauthorized)
	gauge(c.overdue, t.overdue)
}

// label is the reverse of ordinal, with a name for what is not in the list.
func label[T ~string](list []T, ordinal uint8, other string) string {
	if ordinal == 0 {
		return other
	}
	return string(list[ordinal-1])
}

// horizon is a time to the end of a value.
type horizon struct {
	name   string
	within time.Duration
}

// horizons are in order; the last takes all that is beyond.
func horizons() [8]horizon {
	return [...]horizon{
		{"expired", 0},
		{"1h", time.Hour},
		{"4h", 4 * time.Hour},
		{"24h", 24 * time.Hour},
		{"72h", 72 * time.Hour},
		{"168h", 168 * time.Hour},
		{"720h", 720 * time.Hour},
		{"later", secret.MaxLifetime},
	}
}

// tally is a count of the secrets.
type tally struct {
	secrets  [256][4][4]int // by class; a map takes eight times as long
	expiring [8]int         // by horizon
	overdue  int
	// unauthorized is how many need somebody's consent.
	unauthorized int
}

// classes yields the classes that have secrets, and how many.
func (t *tally) classes() iter.Seq2[class, int] {
	return func(yield func(class, int) bool) {
		for kind := range t.secrets {
			for status := range t.secrets[kind] {
				for refresh, n := range t.secrets[kind][status] {
					if n > 0 && !yield(class{uint8(kind), uint8(status), uint8(refresh)}, n) {
						return
					}
				}
			}
		}
	}
}

// tally counts the secrets, one page at a time, so that nobody waits long for
// the index. A secret stays on its page, so none is counted twice or missed.
func (s *Scheduler) tally() *tally {
	now := s.deps.Now()
	t := new(tally)
	var ends [8]int64
	for i, h := range horizons() {
		ends[i] = now.Add(h.within).UnixMilli()
	}
	for page, more := 0, true; more; page++ {
		s.mu.Lock()
		if more = page < len(s.lanes.x.pages); more {
			s.lanes.x.page(page, func(e *entry) { t.add(&e.plan, now.UnixMilli(), &ends) })
		}
		s.mu.Unlock()
	}
	return t
}

func (t *tally) add(p *plan, now int64, ends *[8]int64) {
	due := p.action != rest && p.due <= now
	if due {
		t.overdue++
	}
	if p.action == erase {
		return
	}
	if p.human {
		t.unauthorized++
	}
	k := p.class
	if p.action == refresh && due { // as everyone is shown it; see secret.RefreshState
		k.refresh = ordinal(statuses(), secret.Pending)
	}
	t.secrets[k.kind][k.status][k.refresh]++
	if p.expires == 0 {
		return
	}
	for i, end := range ends {
		if p.expires <= end || i == len(ends)-1 {
			t.expiring[i]++
			return
		}
	}
}
