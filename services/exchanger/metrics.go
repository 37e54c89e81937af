package exchanger

import (
	"context"
	"errors"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/rekindle-dev/rekindle/pkg/secret"
)

// What became of a job.
const (
	jobDone        = "done"
	jobFinished    = "finished"    // an exchange made earlier was brought to its end
	jobDeferred    = "deferred"    // its provider is not to be asked now: it is offered again
	jobStale       = "stale"       // nothing was due any more
	jobEarly       = "early"       // it comes again when it is due
	jobBusy        = "busy"        // somebody else holds the claim: it comes again
	jobFenced      = "fenced"      // a later claim was made meanwhile: it comes again
	jobInterrupted = "interrupted" // the process stopped in the middle: it comes again
	jobError       = "error"       // something around it failed: it comes again, or is set aside
)

// jobResult is what became of a job that was not done.
func jobResult(err error) string {
	switch {
	case errors.Is(err, errInterrupted), errors.Is(err, context.Canceled):
		return jobInterrupted
	case errors.Is(err, errFenced):
		return jobFenced
	case errors.Is(err, errBusy):
		return jobBusy
	case errors.Is(err, errHeld):
		return jobDeferred
	case errors.Is(err, errEarly):
		return jobEarly
	default:
		return jobError
	}
}

// What became of an exchange, besides the reasons of failures.
const (
	exchangeSucceeded = "succeeded"
	exchangeUnknown   = "unknown" // it was interrupted: nobody knows
	exchangeHeld      = "held"    // the consent was another account's
)

type metrics struct {
	jobs      *prometheus.CounterVec
	exchanges *prometheus.CounterVec
	warnings  *prometheus.CounterVec
	alarms    *prometheus.CounterVec
	resigned  prometheus.Counter
	duration  *prometheus.HistogramVec
	lateness  *prometheus.HistogramVec
	steps     *prometheus.HistogramVec
	pauses    prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	return &metrics{
		jobs: f.NewCounterVec(prometheus.CounterOpts{
			Name: "rekindle_jobs_total", Help: "Jobs taken, by what became of them.",
		}, []string{"result"}),
		exchanges: f.NewCounterVec(prometheus.CounterOpts{
			Name: "rekindle_exchanges_total",
			Help: "Exchanges, by kind, by action (exchange: somebody asked; refresh: it was time; authorize: a person consented; test: to see the answer) and by outcome: succeeded, held, the reason of the failure, or unknown after an interruption.",
		}, []string{"kind", "action", "outcome"}),
		warnings: f.NewCounterVec(prometheus.CounterOpts{
			Name: "rekindle_exchange_warnings_total", Help: "What exchanges that succeeded have noticed and somebody should know.",
		}, []string{"warning"}),
		alarms: f.NewCounterVec(prometheus.CounterOpts{
			Name: "rekindle_alarms_total",
			Help: "Announcements that a value in use is about to end without another in its place (CredentialExpiring), or has ended (CredentialExpired).",
		}, []string{"event"}),
		resigned: f.NewCounter(prometheus.CounterOpts{
			Name: "rekindle_jwts_resigned_total", Help: "JWTs that were signed and sent once more because the provider's clock is another.",
		}),
		duration: f.NewHistogramVec(prometheus.HistogramOpts{
			Name: "rekindle_exchange_duration_seconds", Help: "Time an exchange took, from opening the credentials to sealing the answer.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"kind"}),
		pauses: f.NewCounter(prometheus.CounterOpts{
			Name: "rekindle_pauses_total",
			Help: "How often a provider asked for fewer requests, and its client was left alone for it.",
		}),
		lateness: f.NewHistogramVec(prometheus.HistogramOpts{
			Name: "rekindle_refresh_lateness_seconds", Help: "Time from when an exchange was due to when an exchanger began it.",
			Buckets: []float64{.001, .002, .005, .01, .02, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 1800},
		}, []string{"action"}),
		steps: f.NewHistogramVec(prometheus.HistogramOpts{
			Name: "rekindle_refresh_step_seconds", Help: "Time each step of the refresh cycle took, from the end of the one before: plan, claim, exchange, grant, artifact, record, announce.",
			Buckets: []float64{.0002, .0005, .001, .002, .005, .01, .02, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"step"}),
	}
}

// count counts an exchange.
func (m *metrics) count(s *secret.Secret, action secret.Action, outcome string) {
	m.exchanges.WithLabelValues(string(s.Kind.Canonical()), string(action), outcome).Inc()
}
