package bus

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/rekindle-dev/rekindle/pkg/state"
)

const (
	// followBatch is how many records are asked for at a time.
	followBatch = 1000
	// followIdle is after how long the server forgets a follower that asks for
	// nothing.
	followIdle = 30 * time.Second
	// maxAway is how long a follower may hear nothing and go on from where it
	// was: markers of what was removed meanwhile must still be there.
	maxAway = markerTTL / 2
)

// What a follower cannot mend by going on.
var (
	errAway   = errors.New("no connection for so long that removals may have been missed")
	errRewind = errors.New("the stream has lost records that were told; it was restored or lost power")
)

// errGap: a message did not arrive.
var errGap = fmt.Errorf("%w: a message was lost on its way", ErrUnavailable)

// Follow implements state.Store. It goes on after interruptions; it fails when
// it cannot know what it missed, and whoever called it has to begin anew.
func (s *State) Follow(ctx context.Context, patterns []string, apply func(state.Change), caughtUp func()) error {
	if err := state.CheckPatterns(patterns); err != nil {
		return err
	}
	kept, err := s.of(patterns[0])
	if err != nil {
		return err
	}
	f := &follower{stream: kept, apply: apply, caughtUp: caughtUp}
	for _, p := range patterns {
		f.subjects = append(f.subjects, f.prefix+p)
	}
	return f.run(ctx)
}

// run follows until ctx ends, or cannot go on.
func (f *follower) run(ctx context.Context) error {
	for {
		err := translate(f.session(ctx))
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case f.b.closed() != nil:
			err = f.b.closed()
			fallthrough
		case !errors.Is(err, ErrUnavailable):
			return fmt.Errorf("follow %s: %w", strings.Join(f.subjects, " "), err)
		}
		if f.b.Connected() { // else the connection has been reported
			f.b.log.WarnContext(ctx, "following the state was interrupted and goes on", "error", err)
		}
		if err := pause(ctx, retryPause); err != nil {
			return err
		}
	}
}

// follower is one call of Follow, over all interruptions.
type follower struct {
	stream
	subjects []string
	// stamps tells to follow the stamps of what may be made again: nothing else of it
	// is sent, and in a stream that was made anew it has to begin anew.
	stamps   bool
	apply    func(state.Change)
	caughtUp func() // nil when it has been called

	// start is the last sequence of the stream before the replay: removals up
	// to it are history, and what comes after it shows that the replay is over.
	start uint64
	// last is the sequence of the last message that was seen, and heard when
	// the server was last heard of. Its clock is the wall's, which goes on
	// while the machine is suspended.
	last  uint64
	heard time.Time
	made  time.Time // the stream
}

// session follows with a consumer of its own until an error.
func (f *follower) session(ctx context.Context) error {
	pending, p, err := f.open(ctx)
	if err != nil {
		return err
	}
	defer p.stop()
	defer context.AfterFunc(ctx, p.stop)()
	if pending == 0 {
		f.ready()
	}
	var delivered uint64 // by this consumer
	for {
		if err := p.ask(followBatch); err != nil {
			return err
		}
		for left := followBatch; left > 0; {
			m, err := p.next()
			if errors.Is(err, errEnded) {
				break
			}
			if errors.Is(err, errIdle) {
				err = f.idle(m, delivered)
			} else if err == nil {
				delivered++
				left--
				err = f.message(m, delivered)
			}
			if err != nil {
				return err
			}
			f.heard = time.Now().Round(0)
		}
	}
}

// open makes a consumer that begins behind what was seen, and returns how many
// messages it has to tell. It reads the stream in order rather than asking for
// the last message of each subject, which is the same in a stream that keeps
// one: a consumer of the latter kind stands still for a heartbeat wherever a
// record was overwritten since it was made.
func (f *follower) open(ctx context.Context) (pending uint64, p *puller, err error) {
	info, err := f.s.Info(ctx)
	if err != nil {
		return 0, nil, err
	}
	if f.last == 0 {
		f.start = info.State.LastSeq
	}
	if f.made.IsZero() {
		f.made = info.Created
	}
	switch {
	case info.State.LastSeq < f.last, f.stamps && !info.Created.Equal(f.made):
		return 0, nil, errRewind
	case !f.heard.IsZero() && time.Since(f.heard) > maxAway:
		return 0, nil, errAway
	}
	cfg := jetstream.ConsumerConfig{
		// Whoever knows a name may take what is delivered: nobody guesses this one.
		Name: rand.Text(), FilterSubjects: f.subjects, AckPolicy: jetstream.AckNonePolicy, HeadersOnly: f.stamps,
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: f.last + 1,
		MemoryStorage: true, Replicas: 1, InactiveThreshold: followIdle,
	}
	if len(f.subjects) == 1 {
		// What is asked for stands in the subject of the request then, for permissions
		// to see.
		cfg.FilterSubject, cfg.FilterSubjects = f.subjects[0], nil
	}
	c, err := f.b.js.CreateConsumer(ctx, f.name, cfg)
	if err != nil {
		return 0, nil, err
	}
	p, err = newPuller(f.b.nc, f.name, c.CachedInfo().Name)
	return c.CachedInfo().NumPending, p, err
}

// message tells one change. It is the consumer's message number delivered.
func (f *follower) message(m *nats.Msg, delivered uint64) error {
	meta, err := m.Metadata()
	if err != nil {
		return err
	}
	if meta.Sequence.Consumer != delivered {
		return errGap
	}
	f.last = meta.Sequence.Stream
	if f.last > f.start {
		f.ready()
	}
	c := state.Change{Key: strings.TrimPrefix(m.Subject, f.prefix), Revision: state.Revision(f.last)}
	if gone := removed(m.Header); !gone {
		c.Value = f.value(m)
		f.apply(c)
	} else if f.last > f.start || f.stamps {
		f.apply(c)
	}
	if meta.NumPending == 0 {
		f.ready()
	}
	return nil
}

// value is what is told of a record that is there, never nil.
func (f *follower) value(m *nats.Msg) []byte {
	switch {
	case f.stamps:
		return stampOf(m.Header)
	case m.Data == nil:
		return []byte{}
	default:
		return m.Data
	}
}

// idle checks that what the server says it delivered has arrived. The last
// message of the replay may never come, when its record was overwritten or its
// marker ran out: the consumer's position tells that the replay is over.
func (f *follower) idle(m *nats.Msg, arrived uint64) error {
	delivered, position := heartbeat(m)
	if delivered != arrived {
		return errGap
	}
	if position >= f.start {
		f.ready()
	}
	return nil
}

func (f *follower) ready() {
	if f.caughtUp != nil {
		f.caughtUp()
		f.caughtUp = nil
	}
}
