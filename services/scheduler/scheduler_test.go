package scheduler_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/services/scheduler"
)

const ms = time.Millisecond

func TestOfferedWhenDue(t *testing.T) {
	inWorld(t, func(w *world) {
		soon, later := w.create(1500*ms), w.create(26*time.Hour)
		r := w.start()
		if !r.ready.Load() {
			t.Fatal("not ready after the replay")
		}
		w.until(time.Second)
		created := w.create(1501 * ms) // beside what is awaited
		w.until(27*time.Hour - time.Minute)
		for id, want := range map[string]string{soon: "refresh@1.5s", created: "refresh@1.501s", later: "refresh@26h0m0s"} {
			if got, _, _ := strings.Cut(w.offered(id), " "); got != want {
				t.Errorf("first offer: %s, want %s", got, want)
			}
		}
	})
}

func TestJob(t *testing.T) {
	inWorld(t, func(w *world) {
		id := w.create(time.Second)
		w.start()
		w.until(time.Minute)
		offers := w.jobs.all(id)
		want := events.Event{
			Source: "/rekindle/scheduler", Org: "acme", Time: w.at(time.Second),
			Data: events.RefreshDue{Secret: id, Action: "refresh", Decision: 2, DueAt: w.at(time.Second).UTC()},
		}
		got := offers[0].event
		got.ID = ""
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("job (-want +got):\n%s", diff)
		}
		seen := map[string]bool{"": true}
		for _, o := range offers {
			if seen[o.event.ID] {
				t.Errorf("job id %q was empty or used before", o.event.ID)
			}
			seen[o.event.ID] = true
		}
	})
}

func TestEveryAction(t *testing.T) {
	inWorld(t, func(w *world) {
		w.start()
		w.until(10 * time.Second)
		tests := []struct {
			want string
			edit func(*secret.Secret)
		}{
			{"exchange", func(s *secret.Secret) { s.Status, s.Deployed, s.NextAttemptAt = secret.Pending, "", time.Now() }},
			{"refresh", func(s *secret.Secret) { s.NextAttemptAt = time.Now() }},
			{"withdraw", func(s *secret.Secret) { s.Environment, s.UpdatedAt = "", time.Now() }},
			{"erase", func(s *secret.Secret) { s.DeletedAt = time.Now() }},
			{"", func(s *secret.Secret) { s.Status, s.NextAttemptAt = secret.Failed, time.Time{} }},
			{"", func(s *secret.Secret) { s.Status = "a status of tomorrow" }},
		}
		for i, test := range tests {
			id := w.create(time.Hour, test.edit)
			w.until(10*time.Second + time.Duration(i+1)*ms)
			want := test.want
			if want != "" {
				want = fmt.Sprintf("%s@%v", want, 10*time.Second+time.Duration(i)*ms)
			}
			w.expect(id, want)
		}
	})
}

// What fell due while nobody was there is offered at once.
func TestOverdueAtStart(t *testing.T) {
	inWorld(t, func(w *world) {
		var ids []string
		for i := range 200 {
			ids = append(ids, w.create(time.Duration(i)*time.Second))
		}
		w.until(time.Hour)
		w.start()
		for _, id := range ids {
			w.expect(id, "refresh@1h0m0s")
		}
	})
}

// reading is a Follower that is not done with one kind of record before it is told
// to be.
type reading struct {
	scheduler.Follower
	kind string
	done <-chan struct{}
}

func (r reading) Follow(ctx context.Context, patterns []string, apply func(state.Change), caughtUp func()) error {
	if kind, _ := state.Split(patterns[0]); kind != r.kind {
		return r.Follower.Follow(ctx, patterns, apply, caughtUp)
	}
	return r.Follower.Follow(ctx, patterns, apply, func() {
		select {
		case <-r.done:
			caughtUp()
		case <-ctx.Done():
		}
	})
}

// Before it is known which hosts have asked for patience, nothing is sent to any.
func TestNothingIsOfferedBeforeHostsAreKnown(t *testing.T) {
	inWorld(t, func(w *world) {
		id := w.create(0)
		done := make(chan struct{})
		r := w.start(func(d *scheduler.Deps) { d.State = reading{d.State, "endpoint", done} })
		w.until(time.Second)
		w.expect(id, "")
		if r.ready.Load() {
			t.Error("ready before anything may be offered")
		}
		close(done)
		w.until(2 * time.Second)
		w.expect(id, "refresh@1s")
		if !r.ready.Load() {
			t.Error("not ready when everything had been read")
		}
	})
}

// What is due is offered while the records are still read, once: what becomes of it
// is told only behind them.
func TestOfferedWhileRecordsAreRead(t *testing.T) {
	inWorld(t, func(w *world) {
		due, later := w.create(0), w.create(2*time.Second)
		done := make(chan struct{})
		r := w.start(func(d *scheduler.Deps) { d.State = reading{d.State, "secret", done} })
		w.until(time.Second)
		w.refreshed(due, time.Hour)
		w.until(20 * time.Second)
		w.expect(due, "refresh@0s")
		w.expect(later, "refresh@2s")
		if r.ready.Load() {
			t.Error("ready before all records were read")
		}
		close(done)
		w.until(50 * time.Second)
		if !r.ready.Load() {
			t.Error("not ready when all records had been read")
		}
		w.jobs.done(later) // the job is lost
		w.until(70 * time.Second)
		w.expect(due, "refresh@0s")
		w.expect(later, "refresh@2s refresh@1m2s refresh@1m8s?")
	})
}

func TestOfferedAgainUntilTheRecordChanges(t *testing.T) {
	inWorld(t, func(w *world) {
		id := w.create(0)
		w.start()
		w.until(20 * time.Second)
		w.jobs.done(id) // the job is lost
		w.until(4 * time.Minute)
		const until4m = "refresh@0s refresh@3s? refresh@9s? refresh@21s refresh@45s? refresh@1m33s? refresh@2m33s? refresh@3m33s?"
		w.expect(id, until4m)
		w.refreshed(id, 10*time.Minute)
		w.until(10*time.Minute + 5*time.Second)
		w.expect(id, until4m+" refresh@10m0s refresh@10m3s?")
	})
}

// The job that brings a change is still there when the change is followed.
func TestRefusedByItsPredecessor(t *testing.T) {
	inWorld(t, func(w *world) {
		id := w.create(0)
		w.start()
		w.until(time.Second)
		w.update(id, func(s *secret.Secret) { s.Interrupt(s.Decision, nil, time.Time{}) })
		w.until(time.Second + ms)
		w.jobs.done(id)
		w.until(2 * time.Second)
		w.expect(id, "refresh@0s refresh@1s? refresh@1.25s")
	})
}

func TestChanges(t *testing.T) {
	tests := map[string]struct {
		want string // for a secret due at 10 s, changed at 5 s
		edit func(w *world, s *secret.Secret)
	}{
		"earlier":       {"refresh@7s", func(w *world, s *secret.Secret) { s.NextAttemptAt = w.at(7 * time.Second) }},
		"into the past": {"refresh@5s", func(w *world, s *secret.Secret) { s.NextAttemptAt = w.at(2 * time.Second) }},
		"later":         {"refresh@11s", func(w *world, s *secret.Secret) { s.NextAttemptAt = w.at(11 * time.Second) }},
		"never":         {"", func(_ *world, s *secret.Secret) { s.NextAttemptAt = time.Time{} }},
		"asked for":     {"exchange@5s", func(w *world, s *secret.Secret) { s.Status, s.NextAttemptAt = secret.Pending, w.at(5*time.Second) }},
		"detached":      {"withdraw@5s", func(w *world, s *secret.Secret) { s.Environment, s.UpdatedAt = "", w.at(5*time.Second) }},
		"deleted":       {"erase@5s", func(w *world, s *secret.Secret) { s.DeletedAt = w.at(5 * time.Second) }},
		"other members": {"refresh@10s", func(_ *world, s *secret.Secret) { s.UpdatedBy.Email = "a@b.test" }},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				id := w.create(10 * time.Second)
				w.start()
				w.until(5 * time.Second)
				w.update(id, func(s *secret.Secret) { test.edit(w, s) })
				w.until(12 * time.Second)
				got := slices.DeleteFunc(strings.Fields(w.offered(id)), func(word string) bool { return strings.HasSuffix(word, "?") })
				if diff := cmp.Diff(test.want, strings.Join(got, " ")); diff != "" {
					t.Errorf("offers (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// A record that changes without changing what is due starts no new round.
func TestOtherMembersChangeWhileOffered(t *testing.T) {
	inWorld(t, func(w *world) {
		id := w.create(0)
		w.start()
		w.until(time.Second)
		w.update(id, func(s *secret.Secret) { s.UpdatedBy.Email = "a@b.test" })
		w.until(4 * time.Second)
		w.expect(id, "refresh@0s refresh@3s?")
	})
}

// What is parked is not offered again until a person requeues it, or something else
// is due.
func TestParkedIsNotOffered(t *testing.T) {
	for name, test := range map[string]struct {
		edit func(w *world, s *secret.Secret)
		want string
	}{
		"requeued": {func(_ *world, s *secret.Secret) { s.Parked = nil }, "refresh@0s refresh@1h0m0s"},
		"retried":  {func(w *world, s *secret.Secret) { s.Ask(w.at(time.Hour)) }, "refresh@0s exchange@1h0m0s"},
		"deleted":  {func(w *world, s *secret.Secret) { s.Delete(w.at(time.Hour)) }, "refresh@0s erase@1h0m0s"},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				id := w.create(0)
				w.start()
				w.until(time.Second)
				w.update(id, func(s *secret.Secret) { s.Park(s.Decision, w.at(time.Second)) })
				w.jobs.done(id)
				w.until(time.Hour)
				w.expect(id, "refresh@0s")
				w.update(id, func(s *secret.Secret) { test.edit(w, s) })
				w.until(time.Hour + time.Second)
				w.expect(id, test.want)
			})
		})
	}
}

func TestErased(t *testing.T) {
	inWorld(t, func(w *world) {
		id := w.create(time.Hour)
		w.start()
		w.update(id, func(s *secret.Secret) { s.DeletedAt = time.Now() })
		w.until(time.Second)
		s, _, err := w.store().Get(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if err := (secret.Vault{State: w.state}).Erase(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		w.until(2 * time.Hour)
		w.expect(id, "erase@0s")
	})
}

func TestDamagedRecords(t *testing.T) {
	inWorld(t, func(w *world) {
		good, spoilt := w.create(time.Minute), w.create(time.Minute)
		other := secret.NewID(secret.PrefixSecret)
		w.put(state.SecretKey(other), `{"id":"`+good+`"}`)
		w.put("secret.canary", `{}`)
		r := w.start()
		w.put(state.SecretKey(spoilt), `{"id":"`+spoilt+`","updated_at":"canary"}`)
		w.until(time.Minute)
		w.expect(good, "refresh@1m0s")
		w.expect(spoilt, "")
		w.expect(other, "")
		if n := r.metric(t, "rekindle_records_damaged_total"); n != 3 {
			t.Errorf("%v damaged records were counted, want 3", n)
		}
		for _, key := range []string{state.SecretKey(spoilt), state.SecretKey(other), "secret.canary"} {
			if !strings.Contains(r.log.String(), "key="+key+" ") {
				t.Errorf("the log does not name %s", key)
			}
		}
		if strings.Count(r.log.String(), "canary") != 1 {
			t.Error("the log shows what is in a record")
		}
	})
}

// failing is a Follower and Members that give up when asked to.
type failing struct {
	scheduler.Follower
	scheduler.Members
	fail <-chan struct{}
}

var errBroken = errors.New("broken")

func (f failing) wait(ctx context.Context) error {
	select {
	case <-f.fail:
		return errBroken
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (f failing) Follow(ctx context.Context, _ []string, _ func(state.Change), caughtUp func()) error {
	caughtUp()
	return f.wait(ctx)
}

func (f failing) Join(ctx context.Context, _ string, _ <-chan struct{}, _ func(string, []string)) error {
	return f.wait(ctx)
}

func TestRunEnds(t *testing.T) {
	fail := make(chan struct{})
	close(fail)
	tests := map[string]struct {
		want error
		edit func(*scheduler.Deps)
	}{
		"the state fails":                {errBroken, func(d *scheduler.Deps) { d.State = failing{fail: fail} }},
		"the members fail":               {errBroken, func(d *scheduler.Deps) { d.Members = failing{fail: fail} }},
		"asked to":                       {context.Canceled, func(*scheduler.Deps) {}},
		"asked to while it is no member": {context.Canceled, func(d *scheduler.Deps) { d.Members = failing{} }},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.create(0)
				r := w.start(test.edit)
				if errors.Is(test.want, context.Canceled) {
					r.kill()
				}
				<-r.ended
				if !errors.Is(r.err, test.want) {
					t.Errorf("Run returned %v, want %v", r.err, test.want)
				}
			})
		})
	}
}
