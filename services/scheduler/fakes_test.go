package scheduler_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
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

// members is who shares the work: whoever has joined.
type members struct {
	mu     sync.Mutex
	joined []*joined
	ever   int  // how many have
	mute   bool // nobody is to offer anything
}

type joined struct {
	me   string
	tell func(me string, all []string)
}

func (m *members) Join(ctx context.Context, _ string, _ <-chan struct{}, tell func(me string, all []string)) error {
	j := &joined{tell: tell}
	m.change(func() {
		m.ever++
		j.me = fmt.Sprint("member ", m.ever)
		m.joined = append(m.joined, j)
	})
	<-ctx.Done()
	j.tell(j.me, nil)
	m.change(func() { m.joined = slices.DeleteFunc(m.joined, func(o *joined) bool { return o == j }) })
	return ctx.Err()
}

// silence has nobody offer anything, or lets them again.
func (m *members) silence(mute bool) { m.change(func() { m.mute = mute }) }

// change changes who is there, and tells everybody.
func (m *members) change(change func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change()
	var all []string
	for _, j := range m.joined {
		if !m.mute {
			all = append(all, j.me)
		}
	}
	for _, j := range m.joined {
		j.tell(j.me, all)
	}
}

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
