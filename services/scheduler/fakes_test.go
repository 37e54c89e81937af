package scheduler_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/rekindle-dev/rekindle/events"
)

// offer is one call of Offer.
type offer struct {
	at       time.Time
	event    events.Event
	accepted bool
	failed   bool
}

func (o offer) due() events.RefreshDue { return o.event.Data.(events.RefreshDue) }

// jobs is a queue that holds one job for each secret, as the real one does.
type jobs struct {
	mu     sync.Mutex
	held   map[string]bool
	offers []offer
	err    error         // what Offer answers
	took   time.Duration // how long Offer takes
	now    int           // how many calls are under way
	most   int           // and how many ever were at once
}

func (j *jobs) Offer(ctx context.Context, e events.Event) (bool, error) {
	at := time.Now()
	j.mu.Lock()
	j.now++
	j.most = max(j.most, j.now)
	took := j.took
	j.mu.Unlock()
	select {
	case <-time.After(took):
	case <-ctx.Done():
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.now--
	o := offer{at: at, event: e}
	if err := errors.Join(ctx.Err(), j.err); err != nil {
		o.failed = true
		j.offers = append(j.offers, o)
		return false, err
	}
	id := e.Data.About()
	o.accepted = !j.held[id]
	j.held[id] = true
	j.offers = append(j.offers, o)
	return o.accepted, nil
}

// done frees a secret's place in the queue.
func (j *jobs) done(id string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	delete(j.held, id)
}

// behave sets how the queue answers from now on.
func (j *jobs) behave(err error, took time.Duration) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.err, j.took = err, took
}

// all returns the offers for the secret until now, or for all secrets.
func (j *jobs) all(ids ...string) []offer {
	j.mu.Lock()
	defer j.mu.Unlock()
	var found []offer
	for _, o := range j.offers {
		if len(ids) == 0 || o.due().Secret == ids[0] {
			found = append(found, o)
		}
	}
	return found
}

// lease is held by one at a time.
type lease struct {
	free chan struct{} // holds a token while somebody holds the lease
	mu   sync.Mutex
	lose context.CancelFunc
}

func (l *lease) Hold(ctx context.Context, _ string, _ <-chan struct{}, lead func(context.Context) error) error {
	for {
		select {
		case l.free <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
		term, lose := context.WithCancel(ctx)
		l.mu.Lock()
		l.lose = lose
		l.mu.Unlock()
		err := lead(term)
		lose()
		<-l.free
		if err != nil {
			return err
		}
	}
}

// take takes the lease from its holder, and keeps it.
func (l *lease) take() {
	l.mu.Lock()
	l.lose()
	l.mu.Unlock()
	l.free <- struct{}{}
}

// give frees the lease that was taken.
func (l *lease) give() { <-l.free }

// log keeps what is logged.
type log struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
