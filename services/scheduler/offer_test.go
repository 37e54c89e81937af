package scheduler_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// publishers is how many offers may be under way at once.
const publishers = 64

// A burst goes out as fast as it is taken, and what is due first goes first.
func TestBurst(t *testing.T) {
	inWorld(t, func(w *world) {
		const secrets = 100 * publishers
		for i := range secrets {
			w.create(time.Second + time.Duration(i)*ms/100)
		}
		w.start()
		w.jobs.behave(nil, ms)
		w.until(2 * time.Second)
		offers := w.jobs.all()
		if len(offers) != secrets || w.jobs.most != publishers {
			t.Fatalf("%d of %d jobs were offered, %d at once", len(offers), secrets, w.jobs.most)
		}
		for i, o := range offers {
			// The last falls due 64 ms after the first, and each round of
			// publishers takes 1 ms.
			if late := o.at.Sub(w.at(time.Second)); late < 0 || late > 100*ms {
				t.Fatalf("offer %d came %v after the first was due", i, late)
			}
			if i >= publishers && o.due().DueAt.Before(offers[i-publishers].due().DueAt) {
				t.Fatalf("offer %d overtook", i)
			}
		}
	})
}

// While nobody takes jobs, changes are followed all the same.
func TestFollowsWhilePublishersAreBusy(t *testing.T) {
	inWorld(t, func(w *world) {
		for range 2 * publishers {
			w.create(0)
		}
		w.jobs.behave(nil, time.Hour)
		r := w.start()
		w.create(time.Hour)
		synctest.Wait()
		if n := r.metric(t, "rekindle_secrets", "oauth2", "none", "succeeded"); n != 1 {
			t.Errorf("%v secrets that are not due are known, want 1", n)
		}
		if n := r.metric(t, "rekindle_overdue_secrets"); n != 2*publishers {
			t.Errorf("%v secrets are overdue, want %d", n, 2*publishers)
		}
	})
}

// An offer that is never answered is given up.
func TestOfferIsBounded(t *testing.T) {
	inWorld(t, func(w *world) {
		id := w.create(0)
		w.jobs.behave(nil, time.Hour)
		w.start()
		w.until(time.Second)
		w.jobs.behave(nil, 0)
		w.until(time.Minute)
		if got, want := w.offered(id), "refresh@0s! refresh@8s "; !strings.HasPrefix(got, want) {
			t.Errorf("offers: %s, want %s…", got, want)
		}
	})
}

func TestJobsCannotBeOffered(t *testing.T) {
	inWorld(t, func(w *world) {
		const secrets = 10 * publishers
		var ids []string
		for range secrets {
			ids = append(ids, w.create(time.Second))
		}
		r := w.start()
		down, up := time.Second, time.Minute
		w.until(down - ms)
		w.jobs.behave(errors.New("no servers"), 0)
		w.until(up)
		if n, most := len(w.jobs.all()), (publishers+1)*int((up-down)/time.Second+1); n > most {
			t.Errorf("%d offers while none could succeed, want at most %d", n, most)
		}
		w.jobs.behave(nil, 0)
		w.until(up + 4*time.Second)
		for _, id := range ids {
			offers := w.jobs.all(id)
			if last := offers[len(offers)-1]; last.failed {
				t.Errorf("after the failure was over: %s", w.offered(id))
			}
		}
		if n := r.metric(t, "rekindle_job_lateness_seconds"); n != secrets {
			t.Errorf("lateness was noted %v times for %d secrets", n, secrets)
		}
		for _, line := range []string{"jobs cannot be offered", "jobs can be offered again"} {
			if n := strings.Count(r.log.String(), line); n != 1 {
				t.Errorf("%q was logged %d times", line, n)
			}
		}
	})
}
