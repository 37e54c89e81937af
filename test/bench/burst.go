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

// burstPatience is how long what falls due at once may take.
const burstPatience = 10 * time.Minute

// measureBurst has many secrets fall due at once, and holds how fast they are
// refreshed against a bare loop.
func (r *rig) measureBurst() error {
	if err := r.endpoint.drained(r.ctx, r.table.from.Add(r.steady+r.listing), burstPatience); err != nil {
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
	if err := r.endpoint.drained(r.ctx, r.table.at.Add(time.Second), burstPatience); err != nil {
		return err
	}
	after, done, err := r.finished()
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

// finished waits until the fleet has done a job for every request there was.
func (r *rig) finished() (metrics, time.Time, error) {
	requests := float64(r.endpoint.requests())
	ctx, cancel := context.WithTimeout(r.ctx, burstPatience)
	defer cancel()
	for {
		after, err := r.process.scrape(ctx)
		if err != nil {
			return nil, time.Time{}, err
		}
		if after.value("rekindle_jobs_total", "result", "done") >= requests {
			return after, time.Now(), nil
		}
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return nil, time.Time{}, err
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
		ClientID: "bare", ClientSecret: clientSecret, TokenURL: r.endpoint.url, AuthStyle: oauth2.AuthStyleInParams,
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
