package exchanger

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/provider"
	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/pkg/state/statetest"
)

// deployment is a fleet of announcers in a bubble of testing/synctest, where time
// begins at midnight on 1 January 2000.
type deployment struct {
	t      *testing.T
	store  state.Store
	events *bulletin
}

func newDeployment(t *testing.T) *deployment {
	return &deployment{t, statetest.New(), &bulletin{}}
}

// start runs an announcer; stop ends it.
func (d *deployment) start(apps provider.Apps, edits ...func(*RegistrationsDeps)) (stop func()) {
	d.t.Helper()
	deps := RegistrationsDeps{Apps: apps, State: d.store, Events: d.events, Logger: slog.New(slog.DiscardHandler), Registry: prometheus.NewPedanticRegistry()}
	for _, edit := range edits {
		edit(&deps)
	}
	r := NewRegistrations(deps)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := r.Run(ctx); err != nil {
			d.t.Error(err)
		}
	})
	return func() { cancel(); running.Wait() }
}

// said is what was announced, each id once, with when.
func (d *deployment) said() []string {
	d.events.mu.Lock()
	defer d.events.mu.Unlock()
	var said []string
	ids := map[string]bool{}
	for _, e := range d.events.list {
		data := e.Data.(events.RegistrationExpiring)
		if e.Org != "" || e.Source != Source || data.Provider != e.Data.About() {
			d.t.Errorf("event of %q by %q about %q", e.Org, e.Source, e.Data.About())
		}
		if !ids[e.ID] {
			said = append(said, e.Time.UTC().Format(time.DateTime)+" "+data.Provider+" "+data.ClientID+" "+(time.Duration(data.DaysLeft)*day).String())
		}
		ids[e.ID] = true
	}
	return said
}

func (d *deployment) wants(want ...string) {
	d.t.Helper()
	if diff := cmp.Diff(want, d.said()); diff != "" {
		d.t.Errorf("said (-want +got):\n%s", diff)
	}
}

func registered(client string, end time.Time) provider.Apps {
	const name = "google"
	return provider.Apps{name: {Registration: provider.Registration{Provider: name, ClientID: client, SecretExpiresAt: end}}}
}

func until(t time.Time) {
	time.Sleep(time.Until(t))
	synctest.Wait()
}

func date(year int, month time.Month, day int) time.Time {
	return time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
}

// A year of a fleet of three: each notice at its second, once.
func TestRegistrationsAreAnnounced(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDeployment(t)
		apps := registered("g", date(2000, 12, 31))
		apps["acme"] = provider.App{Registration: provider.Registration{Provider: "acme", ClientID: "a"}} // does not end
		for range 3 {
			defer d.start(apps)()
		}
		until(date(2001, 3, 1))
		d.wants(
			"2000-09-30 00:00:00 google g 2208h0m0s", // 92 days: September has no 31st
			"2000-12-01 00:00:00 google g 720h0m0s",
			"2000-12-17 00:00:00 google g 336h0m0s",
			"2000-12-24 00:00:00 google g 168h0m0s",
			"2000-12-30 00:00:00 google g 24h0m0s",
		)
		if n := len(d.events.list); n > 15 {
			t.Errorf("%d events for five notices of three exchangers", n)
		}
	})
}

// After a downtime the last of what was missed is said, and nothing again.
func TestRegistrationsAfterADowntime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDeployment(t)
		end := date(2000, 7, 1)
		stop := d.start(registered("g", end))
		until(date(2000, 4, 2))
		stop()
		until(date(2000, 6, 25))
		stop = d.start(registered("g", end))
		until(date(2000, 6, 26))
		stop()
		defer d.start(registered("g", end))()
		until(date(2000, 6, 27))
		d.wants("2000-04-01 00:00:00 google g 2184h0m0s", "2000-06-25 00:00:00 google g 144h0m0s")
	})
}

func TestRegistrationThatHasEnded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDeployment(t)
		until(date(2000, 3, 1))
		defer d.start(registered("g", date(2000, 2, 1)))()
		until(date(2000, 6, 1))
		d.wants("2000-03-01 00:00:00 google g 0s")
	})
}

// A new client secret, or another app, is announced for itself.
func TestRegistrationsThatChange(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDeployment(t)
		for _, apps := range []provider.Apps{
			registered("g", date(2000, 1, 5)), registered("g", date(2000, 1, 5)),
			registered("g", date(2000, 1, 20)), registered("h", date(2000, 1, 20)),
			registered("h", date(2002, 1, 1)),
		} {
			stop := d.start(apps)
			synctest.Wait()
			stop()
		}
		d.wants("2000-01-01 00:00:00 google g 96h0m0s", "2000-01-01 00:00:00 google g 456h0m0s", "2000-01-01 00:00:00 google h 456h0m0s")
	})
}

// A notice is published before it is noted, and whatever fails is done again.
func TestRegistrationsAtLeastOnce(t *testing.T) {
	t.Parallel()
	for _, when := range []statetest.When{statetest.Before, statetest.After} {
		synctest.Test(t, func(t *testing.T) {
			d := newDeployment(t)
			faulty := statetest.NewFaulty(d.store)
			faulty.FailCommit(1, when)
			d.store = faulty
			defer d.start(registered("g", date(2000, 1, 20)))()
			until(date(2000, 1, 2))
			d.wants("2000-01-01 00:00:00 google g 456h0m0s")
			if got, want := len(d.events.list), map[statetest.When]int{statetest.Before: 2, statetest.After: 1}[when]; got != want {
				t.Errorf("%v: published %d times, want %d", when, got, want)
			}
		})
	}
}

// unpublished is an event log that is away.
type unpublished struct{}

func (unpublished) Publish(context.Context, events.Event) error { return errors.New("away") }

func TestRegistrationsUnpublished(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDeployment(t)
		apps := registered("g", date(2000, 1, 20))
		stop := d.start(apps, func(deps *RegistrationsDeps) { deps.Events = unpublished{} })
		until(time.Now().Add(time.Hour))
		stop()
		if _, _, err := d.store.Get(t.Context(), state.RegistrationKey("google")); !errors.Is(err, state.ErrNotFound) {
			t.Errorf("noted without being said: %v", err)
		}
		defer d.start(apps)()
		synctest.Wait()
		d.wants("2000-01-01 01:00:00 google g 456h0m0s")
	})
}

// A record that cannot be read is written anew.
func TestRegistrationRecordDamaged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDeployment(t)
		if _, err := d.store.Commit(t.Context(), state.Write{Key: state.RegistrationKey("google"), Value: []byte("?")}); err != nil {
			t.Fatal(err)
		}
		defer d.start(registered("g", date(2000, 1, 20)))()
		synctest.Wait()
		d.wants("2000-01-01 00:00:00 google g 456h0m0s")
		body, _, err := d.store.Get(t.Context(), state.RegistrationKey("google"))
		if want := `{"client_id":"g","secret_expires_at":"2000-01-20T00:00:00Z","announced":30}`; err != nil || string(body) != want {
			t.Errorf("record %s, want %s: %v", body, want, err)
		}
	})
}

func TestDaysLeft(t *testing.T) {
	t.Parallel()
	end := date(2000, 7, 1)
	for _, tt := range []struct {
		left time.Duration
		want int
	}{
		{7 * day, 7},
		{7*day - time.Millisecond, 7}, // as a notice is given
		{7*day - 11*time.Hour, 7},
		{7*day - 13*time.Hour, 6},
		{day - time.Second, 1},
		{time.Hour, 0},
		{0, 0},
		{-3 * day, 0},
	} {
		if got := daysLeft(end, end.Add(-tt.left)); got != tt.want {
			t.Errorf("%v before the end: %d days left, want %d", tt.left, got, tt.want)
		}
	}
}

func TestRegistrationMetric(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewPedanticRegistry()
	apps := registered("g", date(2000, 1, 20))
	apps["acme"] = provider.App{}
	NewRegistrations(RegistrationsDeps{Apps: apps, Registry: registry})
	const want = `
# HELP rekindle_registration_secret_expires_timestamp_seconds When the client secret of the app that is registered with a provider ends, in Unix time. Absent where it does not end, or nobody said.
# TYPE rekindle_registration_secret_expires_timestamp_seconds gauge
rekindle_registration_secret_expires_timestamp_seconds{provider="google"} 9.483264e+08
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
}
