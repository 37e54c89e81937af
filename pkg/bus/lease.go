package bus

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"github.com/rekindle-dev/rekindle/pkg/state"
)

const (
	// leaseTTL is after how long a dead leader's lease is free. The server
	// counts in whole seconds.
	leaseTTL = 2 * time.Second
	// leaseRenew is how often the leader renews, and how often the others look.
	leaseRenew = 500 * time.Millisecond
	// leaseCourtesy is how long a lease has to be free before somebody takes it who
	// would rather have another lead: long enough for others to look twice.
	leaseCourtesy = 2 * leaseRenew
	// leaseTrust is for how long after its last renewal the leader trusts its
	// lease. It is shorter than the server's TTL, and counts from before the
	// request that renewed it.
	leaseTrust = leaseTTL - leaseRenew
	// resignedTTL is how long the marker of a resigned lease stays.
	resignedTTL = time.Minute
)

// Leases elects leaders. A lease saves work; nothing may depend on there being
// only one leader: a leader whose process stood still learns late that it is
// none any more.
type Leases struct {
	stream
	b      *Bus
	holder string
}

// Leases returns the fleet's leases; holder is this process's name for whoever
// looks at them.
func (b *Bus) Leases(ctx context.Context, holder string) (*Leases, error) {
	s, err := b.open(ctx, streamLeases, prefixLeases)
	if err != nil {
		return nil, err
	}
	return &Leases{s, b, holder + " " + nuid.Next()}, nil
}

// Hold waits for the lease, calls lead with a context that ends when the lease
// is lost, and begins again when lead has returned, until ctx ends. An error
// of lead ends it, too, except for that of a lost lease; so does a connection
// that is closed for good. Until able is closed, whoever waits as well goes first.
func (l *Leases) Hold(ctx context.Context, name string, able <-chan struct{}, lead func(context.Context) error) error {
	for {
		held, err := l.acquire(ctx, name, able)
		if err != nil {
			return err
		}
		term, lost := context.WithCancel(ctx)
		kept := make(chan lease, 1)
		go func() {
			defer lost()
			kept <- l.keep(term, name, held)
		}()
		err = lead(term)
		over := term.Err() != nil && ctx.Err() == nil
		lost()
		l.resign(name, <-kept)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil && !over:
			return err
		}
	}
}

// lease is one term, or one renewal of it.
type lease struct {
	rev   state.Revision
	until time.Time // when the leader stops trusting it
}

// acquire waits until the lease is ours.
func (l *Leases) acquire(ctx context.Context, name string, able <-chan struct{}) (lease, error) {
	for {
		held, err := l.take(ctx, name, able)
		if err == nil {
			return held, nil
		}
		if err := l.b.closed(); err != nil {
			return lease{}, err
		}
		if !errors.Is(err, state.ErrConflict) && !errors.Is(err, ErrUnavailable) && ctx.Err() == nil {
			l.b.log.WarnContext(ctx, "a lease cannot be taken", "lease", name, "error", err)
		}
		if err := pause(ctx, leaseRenew); err != nil {
			return lease{}, err
		}
	}
}

// take takes the lease if nobody holds it.
func (l *Leases) take(ctx context.Context, name string, able <-chan struct{}) (lease, error) {
	var free state.Revision
	switch last, err := l.last(ctx, name); {
	case errors.Is(err, state.ErrNotFound):
	case err != nil:
		return lease{}, err
	case removed(last.Header):
		free = state.Revision(last.Sequence)
	default:
		return lease{}, state.ErrConflict
	}
	select {
	case <-able:
	case <-time.After(leaseCourtesy): // if another has taken it since, the write says so
	case <-ctx.Done():
		return lease{}, ctx.Err()
	}
	return l.write(ctx, name, free, time.Now().Add(leaseTrust))
}

// write takes or renews the lease, and gives up at the deadline.
func (l *Leases) write(ctx context.Context, name string, expect state.Revision, deadline time.Time) (lease, error) {
	// What is on its way is waited for, lest resign not know the revision.
	ctx, cancel := context.WithDeadline(context.WithoutCancel(ctx), deadline)
	defer cancel()
	until := time.Now().Add(leaseTrust)
	m := l.message(name, []byte(l.holder), uint64(expect))
	m.Header.Set(jetstream.MsgTTLHeader, leaseTTL.String())
	rev, err := l.put(ctx, m)
	return lease{rev, until}, err
}

// keep renews the lease until ctx ends, another holds it, or it could not be
// renewed for so long that it may be another's. It returns what it held last.
func (l *Leases) keep(ctx context.Context, name string, held lease) lease {
	for {
		if pause(ctx, min(leaseRenew, time.Until(held.until))) != nil {
			return held
		}
		next, err := l.write(ctx, name, held.rev, held.until)
		switch {
		case err == nil:
			held = next
		case errors.Is(err, state.ErrConflict), !time.Now().Before(held.until):
			return held
		}
	}
}

// resign frees the lease at once, if it still is the one that was held.
func (l *Leases) resign(name string, held lease) {
	ctx, cancel := context.WithTimeout(context.Background(), leaseTTL)
	defer cancel()
	m := l.message(name, nil, uint64(held.rev))
	m.Header.Set(headerOperation, operationDelete)
	m.Header.Set(jetstream.MsgTTLHeader, resignedTTL.String())
	_, _ = l.put(ctx, m) //nolint:errcheck // it ends by itself after leaseTTL
}
