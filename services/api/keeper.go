package api

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/audit"
)

// Heard is what the fleet announces of what it does by itself.
type Heard interface {
	// Hear hands over events, in parts, until ctx ends; it then returns ctx's error.
	// What handle returns an error for is handed over again, to this process or another.
	Hear(ctx context.Context, handle func(context.Context, []events.Entry) error) error
}

// keeper writes the audit trail down.
type keeper struct {
	inner          *audit.Keeper // nil when there is no trail
	pages, entries prometheus.Counter
	failures       prometheus.Counter
}

func newKeeper(deps Deps) *keeper {
	counter := func(name, help string) prometheus.Counter {
		return promauto.With(deps.Metrics).NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	k := &keeper{
		pages:    counter("rekindle_audit_pages_total", "Pages of the audit trail that this process has written."),
		entries:  counter("rekindle_audit_entries_total", "Entries of the audit trail that this process has written."),
		failures: counter("rekindle_audit_failures_total", "Failed attempts to write the audit trail down; another is made later."),
	}
	if deps.Audit != nil {
		k.inner = audit.NewKeeper(deps.Audit, deps.Now)
	}
	return k
}

// keep writes entries of an organisation down.
func (k *keeper) keep(ctx context.Context, org string, entries []audit.Entry) error {
	if k.inner == nil || len(entries) == 0 {
		return nil
	}
	kept, err := k.inner.Keep(ctx, org, entries)
	k.pages.Add(float64(kept.Pages))
	k.entries.Add(float64(kept.Entries))
	if err != nil && ctx.Err() == nil {
		k.failures.Inc()
	}
	return unavailable(err)
}

// listen writes down what the fleet does by itself, until ctx ends, and returns ctx's
// error.
func (s *Service) listen(ctx context.Context) error {
	if s.deps.Heard == nil || s.deps.Audit == nil {
		return nil
	}
	return s.deps.Heard.Hear(ctx, s.noteHeard)
}

// noteHeard writes a part of what was heard down. What nobody can read, or belongs to no
// organisation here, is passed over: whoever may publish events must not make it stop, or
// begin trails.
func (s *Service) noteHeard(ctx context.Context, list []events.Entry) error {
	byOrg := map[string][]audit.Entry{}
	for _, heard := range list {
		if heard.Err != nil || heard.Event.Source == source { // what the api did is in the outbox
			continue
		}
		if entry, ok := s.entryOfHeard(heard.Event); ok {
			byOrg[heard.Event.Org] = append(byOrg[heard.Event.Org], entry)
		}
	}
	for org, entries := range byOrg {
		if err := s.keeper.keep(ctx, org, entries); err != nil {
			return err
		}
	}
	return nil
}

// entryOfHeard makes an entry of what the fleet has done.
func (s *Service) entryOfHeard(e events.Event) (audit.Entry, bool) {
	entry := audit.Entry{
		ID: audit.NewID(e.Org, e.Source+" "+e.ID, e.Time), At: e.Time.UTC(),
		Resource: "secret", Verb: audit.Refreshed, Entity: audit.Entity{ID: bounded(e.Data.About())},
	}
	switch d := e.Data.(type) {
	case events.ExchangeSucceeded:
		entry.Action, entry.Outcome, entry.Entity.Property = d.Action, "succeeded", d.Property
	case events.ExchangeFailed:
		entry.Action, entry.Outcome, entry.Reason, entry.Entity.Property = d.Action, "failed", bounded(string(d.Reason)), d.Property
	case events.ExchangeInterrupted:
		entry.Action, entry.Outcome, entry.Entity.Property = d.Action, "interrupted", d.Property
	case events.JobParked:
		entry.Action, entry.Outcome, entry.Entity.Property = d.Action, "parked", d.Property
	case events.ConsentHeld:
		entry.Verb, entry.Outcome, entry.Entity.Property = audit.Reauthorized, "held", d.Property
	case events.SecretExported:
		entry.Verb, entry.Action, entry.Name, entry.Entity.Property = audit.Read, "export", bounded(d.By), d.Property
	case events.ReauthorizationDue:
		if entry.Verb, entry.Entity.Property = audit.ReauthorizationDue, d.Property; d.Ended {
			entry.Outcome = "ended"
		}
	case events.CredentialExpiring:
		entry.Verb, entry.Reason, entry.Entity.Property = audit.Expiring, bounded(string(d.Reason)), d.Property
	case events.CredentialExpired:
		entry.Verb, entry.Reason, entry.Entity.Property = audit.Expired, bounded(string(d.Reason)), d.Property
	default:
		return entry, false
	}
	entry.Action, entry.Entity.Property = bounded(entry.Action), bounded(entry.Entity.Property)
	s.view.mu.RLock()
	defer s.view.mu.RUnlock()
	if about, ok := s.view.secrets.get(entry.Entity.ID); ok {
		entry.Entity.Name = about.name
	}
	if of, ok := s.view.properties.get(entry.Entity.Property); ok {
		entry.Entity.PropertyName = of.Name
	}
	return entry, len(s.view.companies.by(0, e.Org)) > 0
}

// collector tells of what is in the outbox.
func (o *outbox) collector(now func() time.Time) prometheus.Collector {
	return outboxCollector{
		o, now,
		prometheus.NewDesc("rekindle_outbox_messages", "Changes that are not told yet, as this process sees it.", nil, nil),
		prometheus.NewDesc("rekindle_outbox_oldest_seconds", "For how long this process has seen a change that is not told yet, 0 when there is none.", nil, nil),
	}
}

type outboxCollector struct {
	o                *outbox
	now              func() time.Time
	messages, oldest *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (c outboxCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- c.messages
	ch <- c.oldest
}

// Collect implements prometheus.Collector.
func (c outboxCollector) Collect(ch chan<- prometheus.Metric) {
	c.o.mu.Lock()
	messages, oldest := len(c.o.waiting), time.Duration(0)
	for _, w := range c.o.waiting {
		oldest = max(oldest, c.now().Sub(w.since))
	}
	c.o.mu.Unlock()
	ch <- prometheus.MustNewConstMetric(c.messages, prometheus.GaugeValue, float64(messages))
	ch <- prometheus.MustNewConstMetric(c.oldest, prometheus.GaugeValue, oldest.Seconds())
}
