package scheduler

import (
	"cmp"
	"math"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
)

// maxNamed is how many hosts metrics name. The others count together, as other.
const (
	maxNamed   = 50
	otherHosts = "other"
)

// queues tells what waits for its provider, when it is asked.
type queues struct {
	scheduler                     *Scheduler
	waiting, drain, nearest, open *prometheus.Desc
}

func newQueues(s *Scheduler) *queues {
	gauge := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, []string{"host"}, nil)
	}
	return &queues{
		scheduler: s,
		waiting:   gauge("rekindle_budget_waiting", "Secrets that are due and wait until their provider may be asked."),
		drain:     gauge("rekindle_budget_drain_seconds", "How long it will take to be done with what waits, by the rate that is allowed or observed."),
		nearest:   gauge("rekindle_budget_nearest_expiry_seconds", "From now to the first end of a value among what waits; +Inf when nothing is still to be saved."),
		open:      gauge("rekindle_breaker_open", "1 while the host is left alone because it fails, and until it has answered again, else 0."),
	}
}

// Describe implements prometheus.Collector.
func (q *queues) Describe(ch chan<- *prometheus.Desc) {
	ch <- q.waiting
	ch <- q.drain
	ch <- q.nearest
	ch <- q.open
}

// Collect implements prometheus.Collector.
func (q *queues) Collect(ch chan<- prometheus.Metric) {
	for _, s := range q.scheduler.standings() {
		gauge := func(d *prometheus.Desc, v float64) {
			ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, s.host)
		}
		gauge(q.waiting, float64(s.waiting))
		gauge(q.drain, s.drain)
		gauge(q.nearest, s.toNearest())
		gauge(q.open, float64(s.open))
	}
}

// standing is how a host stands.
type standing struct {
	host    string
	waiting int
	drain   float64 // seconds
	nearest int64   // milliseconds from now, or never
	open    int     // 1 or 0
}

// toNearest is nearest in seconds.
func (s standing) toNearest() float64 {
	if s.nearest == never {
		return math.Inf(1)
	}
	return float64(s.nearest) / 1000
}

// standings are those of the hosts that have a budget of their own, and of those
// where something waits or fails: the longest queues by name, then one for all
// the others, which is there when there are none: what is asked for must exist.
func (s *Scheduler) standings() []standing {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.deps.Now().UnixMilli()
	var all []standing
	for name := range s.deps.Budgets.Hosts {
		if number, known := s.lanes.x.hosts.numbers[name]; !known || s.lanes.hosts[number] == nil {
			all = append(all, standing{host: name, nearest: never})
		}
	}
	for _, h := range s.lanes.hosts {
		name := s.lanes.x.hosts.names[h.number]
		at := h.standing(now)
		at.host = name
		if _, named := s.deps.Budgets.Hosts[name]; named || at.waiting > 0 || at.open > 0 {
			all = append(all, at)
		}
	}
	slices.SortFunc(all, func(a, b standing) int {
		return cmp.Or(cmp.Compare(b.open, a.open), cmp.Compare(b.waiting, a.waiting), cmp.Compare(a.host, b.host))
	})
	named := min(len(all), maxNamed)
	other := standing{host: otherHosts, nearest: never}
	for _, at := range all[named:] {
		other.waiting += at.waiting
		other.drain, other.nearest, other.open = max(other.drain, at.drain), min(other.nearest, at.nearest), max(other.open, at.open)
	}
	return append(all[:named], other)
}

// standing is how the host stands, but for its name.
func (h *host) standing(now int64) standing {
	s := standing{nearest: never}
	if h.isOpen(now) {
		s.open = 1
	}
	observed := h.done.perSecond(now)
	for _, n := range h.lanes {
		rate := n.bucket.perSecond(now)
		if rate == 0 {
			rate = max(observed, 1) // nobody knows yet: not faster than one a second
		}
		wait := float64(max(0, max(n.paused, h.blocked(now))-now)) / 1000
		if n.waiting() > 0 {
			s.waiting += n.waiting()
			s.drain = max(s.drain, wait+float64(n.waiting())/rate)
		}
		if end := n.nearest(now); end != never {
			s.nearest = min(s.nearest, end-now)
		}
	}
	return s
}

// nearest is the first end among the values in use of what waits, or never.
func (n *lane) nearest(now int64) int64 {
	n.bury(now)
	if end := n.living.first(); end > someoneWaits/2 {
		return end
	}
	end := int64(never)
	for _, q := range n.living.places {
		if q.at > someoneWaits/2 {
			end = min(end, q.at)
		}
	}
	return end
}
