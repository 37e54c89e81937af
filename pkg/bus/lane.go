package bus

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/rekindle-dev/rekindle/pkg/work"
)

// limits are the times and counts of a lane.
type limits struct {
	// ackWait is AckWait.
	ackWait time.Duration
	// heartbeat is how often the server is told that a job is being worked on:
	// often enough that two lost ones do no harm within ackWait.
	heartbeat time.Duration
	// maxDeliveries is after how many deliveries a job that always fails is
	// parked.
	maxDeliveries int
	// firstPause and maxPause bound the growing pause between deliveries of a
	// failing job.
	firstPause, maxPause time.Duration
}

func usual() limits {
	return limits{
		ackWait: AckWait, heartbeat: time.Second, maxDeliveries: 20,
		firstPause: 200 * time.Millisecond, maxPause: 10 * time.Second,
	}
}

// Work takes jobs and hands each to handle, up to workers at a time, until ctx
// ends; then it takes no more, waits for those in hand and returns nil. Jobs
// run under hard, not under ctx: what was begun is finished unless hard ends,
// too. Parked, if not nil, is told of each job that was set aside, perhaps twice, if
// it can be read. Work goes on after interruptions of the connection.
func (b *Bus) Work(ctx, hard context.Context, workers int, handle, parked work.Handler) error {
	p, err := newPuller(b.nc, streamJobs, consumerExchanger)
	if err != nil {
		return fmt.Errorf("consumer %s: %w", consumerExchanger, translate(err))
	}
	defer p.stop()
	defer context.AfterFunc(ctx, p.drain)()

	l := &lane{b: b, handle: handle, parked: parked, hard: hard, held: map[*nats.Msg]time.Time{}, slots: make(chan struct{}, workers)}
	beat, stopBeat := context.WithCancel(context.WithoutCancel(hard))
	var beating sync.WaitGroup
	beating.Go(func() { l.beat(beat) })
	defer beating.Wait()
	defer stopBeat()
	defer l.running.Wait()
	return l.run(ctx, p)
}

// lane is what the jobs of one call of Work share.
type lane struct {
	b       *Bus
	handle  work.Handler
	parked  work.Handler
	hard    context.Context
	running sync.WaitGroup
	slots   chan struct{} // one for each worker that is busy

	mu   sync.Mutex
	held map[*nats.Msg]time.Time // jobs in hand, and when the server last heard of them
}

func (l *lane) run(ctx context.Context, p *puller) error {
	for {
		err := l.take(ctx, p)
		if errors.Is(err, errSilent) {
			l.b.steady.broke()
		}
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, errEnded):
			continue
		}
		if err := l.check(ctx, err); err != nil && ctx.Err() == nil {
			return fmt.Errorf("consumer %s: %w", consumerExchanger, err)
		}
		if pause(ctx, retryPause) != nil {
			return nil
		}
	}
}

// check returns an error when there is no use in going on after err.
func (l *lane) check(ctx context.Context, err error) error {
	if closed := l.b.closed(); closed != nil {
		return closed
	}
	if err = translate(err); !errors.Is(err, ErrUnavailable) {
		return err
	}
	if !l.b.Connected() {
		return nil // and the connection has been reported
	}
	l.b.log.WarnContext(ctx, "jobs cannot be taken for the moment", "error", err)
	_, err = l.b.js.Consumer(ctx, streamJobs, consumerExchanger)
	if errors.Is(err, jetstream.ErrConsumerNotFound) || errors.Is(err, jetstream.ErrStreamNotFound) {
		return err
	}
	return nil
}

// take asks for as many jobs as there are free workers, again and again, until
// an error.
func (l *lane) take(ctx context.Context, p *puller) error {
	for {
		free, err := l.free(ctx)
		if err != nil {
			return err
		}
		if err := p.ask(free); err != nil {
			return err
		}
		for free > 0 {
			m, err := p.next()
			switch {
			case errors.Is(err, errIdle):
			case err != nil:
				return err
			default:
				l.start(ctx, m)
				free--
			}
		}
	}
}

// free waits for a free worker and returns how many there are. Only its caller
// gives them work, so they are still free afterwards.
func (l *lane) free(ctx context.Context) (int, error) {
	select {
	case l.slots <- struct{}{}:
		<-l.slots
		return cap(l.slots) - len(l.slots), ctx.Err()
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// start hands a job to a worker, or gives it back when ctx has ended. There may
// be no free worker when an earlier request, thought lost, was not.
func (l *lane) start(ctx context.Context, m *nats.Msg) {
	l.hold(m)
	select {
	case <-ctx.Done():
	case l.slots <- struct{}{}:
		if ctx.Err() == nil {
			l.running.Go(func() {
				defer func() { <-l.slots }()
				defer l.release(m)
				l.job(m)
			})
			return
		}
		<-l.slots
	}
	l.release(m)
	_ = m.Nak() //nolint:errcheck // it comes back after AckWait in any case
}

func (l *lane) hold(m *nats.Msg) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held[m] = time.Now()
}

func (l *lane) release(m *nats.Msg) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.held, m)
}

// beat keeps the jobs in hand from being given to others.
func (l *lane) beat(ctx context.Context) {
	tick := time.NewTicker(l.b.lane.heartbeat / 2)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			for _, m := range l.silent(now) {
				_ = m.InProgress() //nolint:errcheck // the next beat is soon
			}
		}
	}
}

// silent returns the jobs the server has not heard of for a heartbeat, and
// counts them as heard of.
func (l *lane) silent(now time.Time) (due []*nats.Msg) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for m, last := range l.held {
		if now.Sub(last) >= l.b.lane.heartbeat {
			l.held[m] = now
			due = append(due, m)
		}
	}
	return due
}
