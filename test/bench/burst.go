package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

// measureBurst has many secrets fall due at once, and holds how fast they are
// refreshed against a bare loop.
func (r *rig) measureBurst() error {
	if err := r.endpoint.drained(r.ctx, r.table.from.Add(r.steady+r.listing), r.patience); err != nil {
		return err
	}
	before, err := r.process.scrape(r.ctx)
	if err != nil {
		return err
	}
	pid := r.process.cmd.Process.Pid
	if err := sleepUntil(r.ctx, r.table.at.Add(-100*time.Millisecond)); err != nil {
		return err
	}
	busy, err := processorTime(pid)
	if err != nil {
		return err
	}
	own := ownTime()
	if err := r.endpoint.drained(r.ctx, r.table.at.Add(time.Second), r.patience); err != nil {
		return err
	}
	after, done, err := finished(r.ctx, r.patience, r.process)
	if err != nil {
		return err
	}
	took := done.Sub(r.table.at)
	busyAfter, err := processorTime(pid)
	if err != nil {
		return err
	}
	own = ownTime() - own
	if err := r.endpoint.check(r.table); err != nil {
		return err
	}
	fleet := float64(r.burst) / took.Seconds()
	bare, each := r.bareLoop()
	t := newTable(fmt.Sprintf("Throughput: %d due at once, %d exchanges under way at most", r.burst, r.concurrency), "", "exchanges/s", "processor µs each, provider included")
	t.row("fleet: due, exchanged, sealed, committed, announced", fleet, float64((busyAfter-busy+own).Microseconds())/float64(r.burst))
	t.row("bare loop of x/oauth2, on the same machine and provider", bare, each)
	t.row("ratio", fmt.Sprintf("%.2f", fleet/bare), "")
	t.print(r.out)
	r.reportSteps("Steps of a refresh, when all workers are busy", before, after)
	return nil
}

// finished waits until nothing is due and no job is left, as these schedulers see it,
// and returns the metrics of the last. To wait for as many jobs as there were requests
// would be in vain after an exchange that was made again.
func finished(ctx context.Context, patience time.Duration, schedulers ...*process) (after metrics, at time.Time, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		var left float64
		for _, p := range schedulers {
			if after, err = p.scrape(ctx); err != nil {
				return nil, time.Time{}, err
			}
			for _, name := range []string{"rekindle_overdue_secrets", "rekindle_jobs_waiting", "rekindle_jobs_in_flight", "rekindle_queues_unreadable"} {
				left += after.value(name)
			}
		}
		if left == 0 {
			return after, time.Now(), nil
		}
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return nil, time.Time{}, fmt.Errorf("%v secrets or jobs were left of what was due at once: %w", left, err)
		}
	}
}

// bareLoop asks for tokens as a program does that keeps none: as many at a time
// as the fleet, over connections that are kept. It returns how many per second,
// and the processor time of each in microseconds.
func (r *rig) bareLoop() (perSecond, each float64) {
	client := &http.Client{Transport: &http.Transport{
		MaxIdleConnsPerHost: r.concurrency, DialContext: (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
	}}
	defer client.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(context.WithValue(r.ctx, oauth2.HTTPClient, client), r.bare)
	defer cancel()
	config := clientcredentials.Config{
		ClientID: "bare", ClientSecret: clientSecret, TokenURL: r.endpoint.urls[0], AuthStyle: oauth2.AuthStyleInParams,
	}
	var n atomic.Int64
	var loops sync.WaitGroup
	began, own := time.Now(), ownTime()
	for range r.concurrency {
		loops.Go(func() {
			for ctx.Err() == nil {
				if _, err := config.Token(ctx); err == nil {
					n.Add(1)
				}
			}
		})
	}
	loops.Wait()
	took := time.Since(began)
	return float64(n.Load()) / took.Seconds(), float64((ownTime() - own).Microseconds()) / float64(max(1, n.Load()))
}
