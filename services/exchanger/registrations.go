package exchanger

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/provider"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state"
)

const (
	// longestRest is after how long the clock is read again. Timers stand still
	// while a machine is suspended, and do not follow a clock that is set.
	longestRest = time.Hour
	// retryPause is how long to wait when an announcement has failed.
	retryPause = time.Minute
)

// RegistrationsDeps is what [Registrations] are made of.
type RegistrationsDeps struct {
	// Apps are the registrations of this deployment.
	Apps     provider.Apps
	State    state.Store
	Events   Events
	Logger   *slog.Logger
	Registry prometheus.Registerer
}

// Registrations announces that the client secret of an app registration ends:
// three calendar months, 30, 14, 7 and 1 days before, each once for the whole
// fleet, however many secrets and exchangers there are. After a downtime only the
// last of what was missed is made up for.
//
// What was announced is in a record. It is written after the event was published,
// so that none is lost; one that is published twice has the same id.
type Registrations struct{ RegistrationsDeps }

// NewRegistrations returns the announcer of a process, and shows in its metrics
// when each client secret ends.
func NewRegistrations(d RegistrationsDeps) *Registrations {
	ends := promauto.With(d.Registry).NewGaugeVec(prometheus.GaugeOpts{
		Name: "rekindle_registration_secret_expires_timestamp_seconds",
		Help: "When the client secret of the app that is registered with a provider ends, in Unix time. Absent where it does not end, or nobody said.",
	}, []string{"provider"})
	for name, app := range d.Apps {
		if end := app.Registration.SecretExpiresAt; !end.IsZero() {
			ends.WithLabelValues(name).Set(float64(end.Unix()))
		}
	}
	return &Registrations{d}
}

// Run announces until ctx ends. What fails is logged and tried again.
func (r *Registrations) Run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			timer.Reset(r.round(ctx))
		case <-ctx.Done():
			return nil
		}
	}
}

// round announces what is due, and returns after how long to look again.
func (r *Registrations) round(ctx context.Context) time.Duration {
	rest := longestRest
	for _, name := range slices.Sorted(maps.Keys(r.Apps)) {
		now := time.Now()
		due, next := notice(name, r.Apps[name].Registration, now)
		if !next.IsZero() {
			rest = min(rest, next.Sub(now))
		}
		if due == nil {
			continue
		}
		if err := r.announce(ctx, due, now); err != nil && ctx.Err() == nil {
			r.Logger.ErrorContext(ctx, "could not announce that a client secret ends", "key", state.RegistrationKey(name), "error", err)
			rest = min(rest, retryPause)
		}
	}
	return rest
}

// announced is the record of the last notice that was given of a registration.
type announced struct {
	provider        string
	ClientID        string    `json:"client_id"`
	SecretExpiresAt time.Time `json:"secret_expires_at"`
	// Days are what the notice is called by: how long before the end it is due.
	Days int `json:"announced"`
}

const day = 24 * time.Hour

// notice returns the last notice that is due at the time now, nil if none is, and
// when the next one will be; zero if none will.
func notice(name string, reg provider.Registration, now time.Time) (due *announced, next time.Time) {
	end := reg.SecretExpiresAt.UTC()
	if end.IsZero() {
		return nil, time.Time{}
	}
	// Nobody says when a client secret began. With the zero time as its beginning
	// the first half of its life is long over, and no notice falls into it.
	for _, at := range secret.DefaultReminders().Notices(time.Time{}, end) {
		if at.After(now) {
			return due, at
		}
		due = &announced{name, reg.ClientID, end, int(end.Sub(at) / day)}
	}
	return due, time.Time{}
}

// covers reports whether whoever was given the notice a needs no b.
func (a announced) covers(b *announced) bool {
	return a.ClientID == b.ClientID && a.SecretExpiresAt.Equal(b.SecretExpiresAt) && a.Days <= b.Days
}

// announce gives a notice, unless it or a later one has been given.
func (r *Registrations) announce(ctx context.Context, due *announced, now time.Time) error {
	key := state.RegistrationKey(due.provider)
	value, err := json.Marshal(due)
	if err != nil {
		return err
	}
	for {
		body, rev, err := r.State.Get(ctx, key)
		if err != nil && !errors.Is(err, state.ErrNotFound) {
			return err
		}
		var last announced
		if err == nil && json.Unmarshal(body, &last) == nil && last.covers(due) {
			return nil
		}
		if err := r.Events.Publish(ctx, due.event(now)); err != nil {
			return err
		}
		_, err = r.State.Commit(ctx, state.Write{Key: key, Value: value, Expect: rev})
		if errors.Is(err, state.ErrConflict) && ctx.Err() == nil {
			continue // somebody else gave this notice, or another
		}
		if err == nil {
			r.Logger.WarnContext(ctx, "announced that a client secret ends", "key", key, "due", due.SecretExpiresAt)
		}
		return err
	}
}

// event is the notice as it is published. Its id is the same whoever gives it.
func (a *announced) event(now time.Time) events.Event {
	client := sha256.Sum256([]byte(a.ClientID))
	return events.Event{
		ID:     fmt.Sprintf("%s.%x.%d.%d", a.provider, client[:8], a.SecretExpiresAt.Unix(), a.Days),
		Source: Source, Time: now,
		Data: events.RegistrationExpiring{
			Provider: a.provider, ClientID: a.ClientID, SecretExpiresAt: a.SecretExpiresAt,
			DaysLeft: daysLeft(a.SecretExpiresAt, now),
		},
	}
}
