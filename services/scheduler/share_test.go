package scheduler_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/services/scheduler"
)

// at is an edit that has a secret ask a host.
func at(host string) func(*secret.Secret) {
	return func(s *secret.Secret) { s.Credentials.TokenURL = "https://" + host + "/token" }
}

// accepted is how many jobs for the secret were accepted.
func (w *world) accepted(id string) int {
	n := 0
	for _, o := range w.jobs.all(id) {
		if o.accepted {
			n++
		}
	}
	return n
}

// Who is no member offers nothing, and takes up at once what fell due meanwhile.
func TestNoMember(t *testing.T) {
	inWorld(t, func(w *world) {
		early, late := w.create(time.Second), w.create(10*time.Second)
		r := w.start()
		members := func(want float64) {
			t.Helper()
			if got := r.metric(t, "rekindle_scheduler_members"); got != want {
				t.Errorf("%v members, want %v", got, want)
			}
		}
		w.until(5 * time.Second)
		members(1)
		w.members.silence(true)
		members(0)
		w.jobs.done(early) // and lost while another offered it
		w.until(time.Hour)
		w.expect(early, "refresh@1s refresh@4s?")
		w.expect(late, "")
		w.members.silence(false)
		synctest.Wait()
		members(1)
		w.until(time.Hour + 5*time.Second)
		w.expect(early, "refresh@1s refresh@4s? refresh@1h0m0s refresh@1h0m3s?") // as if for the first time
		w.expect(late, "refresh@1h0m0s refresh@1h0m3s?")
	})
}

// What is under way when it becomes another's is no failure, and is not lost.
func TestNoMemberWhileOffering(t *testing.T) {
	inWorld(t, func(w *world) {
		var ids []string
		for range 2 * publishers {
			ids = append(ids, w.create(0))
		}
		w.jobs.behave(nil, time.Second)
		r := w.start()
		w.until(500 * ms)
		w.members.silence(true)
		w.until(10 * time.Second)
		if n := len(w.jobs.all()); n != publishers+1 { // the last was in the hands of the feeder
			t.Errorf("%d were offered, want what was under way: %d", n, publishers+1)
		}
		w.members.silence(false)
		w.until(20 * time.Second)
		for _, id := range ids {
			if w.accepted(id) != 1 {
				t.Errorf("not offered again: %s", w.offered(id))
			}
		}
		if n := r.metric(t, "rekindle_jobs_offered_total", "error"); n != 0 || strings.Contains(r.log.String(), "level=ERROR") {
			t.Errorf("%v errors were counted; the log:\n%s", n, r.log)
		}
	})
}

// Two that both think they are alone do no harm: the queue keeps one job for each secret.
func TestTwoAlone(t *testing.T) {
	inWorld(t, func(w *world) {
		id := w.create(time.Second)
		w.start()
		w.members = new(members)
		w.start()
		w.until(2 * time.Second)
		if n := w.accepted(id); n != 1 {
			t.Errorf("%d jobs for one decision: %s", n, w.offered(id))
		}
	})
}

// Schedulers share the secrets out, each host is one's alone, and whoever comes or goes,
// nothing is forgotten or late.
func TestShared(t *testing.T) {
	inWorld(t, func(w *world) {
		const hosts, secrets = 40, 400
		var ids []string
		for i := range secrets {
			host := at(fmt.Sprintf("host-%d.example", i%hosts))
			if i%2 == 0 {
				host = func(*secret.Secret) {} // asks nobody
			}
			ids = append(ids, w.create(time.Duration(i)*100*ms, host))
		}
		var all []*running
		for range 3 {
			all = append(all, w.start())
		}
		w.until(10 * time.Second)
		owned := 0.
		for i, r := range all {
			n := r.metric(t, "rekindle_jobs_offered_total", "accepted")
			if n < 10 || n > 60 {
				t.Errorf("scheduler %d had %v of 100 jobs accepted", i, n)
			}
			if n := r.metric(t, "rekindle_scheduler_members"); n != 3 {
				t.Errorf("scheduler %d sees %v members", i, n)
			}
			owned += r.metric(t, "rekindle_scheduler_hosts")
		}
		if owned != hosts/2 {
			t.Errorf("%v hosts have somebody, of %d", owned, hosts/2)
		}
		all[1].kill()
		w.until(20 * time.Second)
		fourth := w.start()
		w.until(time.Minute)
		if n := fourth.metric(t, "rekindle_jobs_offered_total", "accepted"); n < 10 {
			t.Errorf("the scheduler that was added had %v jobs accepted", n)
		}
		for i, id := range ids {
			first := w.jobs.all(id)[0]
			if late := first.at.Sub(w.at(time.Duration(i) * 100 * ms)); late != 0 || w.accepted(id) != 1 {
				t.Errorf("secret %d, %v late: %s", i, late, w.offered(id))
			}
		}
	})
}

// A job that is lost with the scheduler that offered it is offered by who comes after it.
func TestAnotherTakesOver(t *testing.T) {
	inWorld(t, func(w *world) {
		id := w.create(3*time.Second, at("host.example"))
		first, second := w.start(), w.start()
		w.until(9500 * ms)
		w.jobs.done(id)
		if second.metric(t, "rekindle_scheduler_hosts") == 1 {
			first, second = second, first
		}
		first.kill()
		synctest.Wait()
		w.expect(id, "refresh@3s refresh@6s? refresh@9.5s")
		if n := second.metric(t, "rekindle_job_lateness_seconds"); n != 1 {
			t.Errorf("lateness was noted %v times, want once", n)
		}
	})
}

// The budget of a host holds while it goes from one to another, but for a burst.
func TestBudgetMoves(t *testing.T) {
	inWorld(t, func(w *world) {
		const rate, burst, moves = 10, 5, 4
		for range 1000 {
			w.create(0, at("host.example"))
		}
		budgets := func(d *scheduler.Deps) {
			d.Budgets = scheduler.Budgets{Default: scheduler.Budget{Rate: rate, Burst: burst, Concurrency: 1000}}
		}
		a := w.start(budgets)
		for i := range moves {
			b := w.start(budgets)
			w.until(time.Duration(5*i+5) * time.Second)
			a.kill()
			a = b
		}
		n := 0
		for _, o := range w.jobs.all() {
			if o.accepted {
				n++
			}
		}
		if most := rate*5*moves + burst*(1+2*moves); n > most || n < rate*5*moves {
			t.Errorf("%d jobs in %d s over %d schedulers, want at most %d", n, 5*moves, moves+1, most)
		}
	})
}

// withdrawn is Members that nobody but the test tells.
type withdrawn struct{ tell chan []string }

func (m withdrawn) Join(ctx context.Context, _ string, _ <-chan struct{}, tell func(string, []string)) error {
	for {
		select {
		case all := <-m.tell:
			tell("me", all)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Nothing is offered that is another's, also when it is created or changes meanwhile.
func TestOnlyWhatIsOurs(t *testing.T) {
	inWorld(t, func(w *world) {
		m := withdrawn{make(chan []string)}
		w.start(func(d *scheduler.Deps) { d.Members = m })
		before := w.create(0)
		w.until(time.Second)
		if n := len(w.jobs.all()); n != 0 {
			t.Fatalf("%d jobs were offered by one that is no member", n)
		}
		m.tell <- []string{"me"}
		w.until(2 * time.Second)
		w.expect(before, "refresh@1s")
		m.tell <- []string{"another"}
		w.refreshed(before, 3*time.Second)
		after := w.create(3 * time.Second)
		w.until(time.Minute)
		w.expect(before, "refresh@1s")
		w.expect(after, "")
	})
}
