package bus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/rekindle-dev/rekindle/pkg/natsd"
)

// term is one call of a leader's function, which lasts until its context ends
// or end is sent to.
type term struct {
	who int
	ctx context.Context
	end chan error
}

// candidate is one process that wants to lead.
type candidate struct {
	b    *Bus
	stop context.CancelFunc
	err  chan error // holds what Hold returned
}

// candidates returns n that are able to lead.
func candidates(t *testing.T, s *natsd.Server, n int) ([]*candidate, <-chan term) {
	t.Helper()
	able := make(chan struct{})
	close(able)
	return candidatesOf(t, s, slices.Repeat([]<-chan struct{}{able}, n)...)
}

// candidatesOf returns one candidate for each channel, able when it is closed.
func candidatesOf(t *testing.T, s *natsd.Server, able ...<-chan struct{}) ([]*candidate, <-chan term) {
	t.Helper()
	terms := make(chan term, 100)
	all := make([]*candidate, len(able))
	for i := range all {
		ctx, stop := context.WithCancel(t.Context())
		c := &candidate{connect(t, configFor(t, s), usual()), stop, make(chan error, 1)}
		all[i] = c
		l, err := c.b.Leases(patient(t), fmt.Sprint("candidate ", i))
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			c.err <- l.Hold(ctx, "lead", able[i], func(ctx context.Context) error {
				me := term{i, ctx, make(chan error, 1)}
				terms <- me
				select {
				case <-ctx.Done():
					return ctx.Err()
				case err := <-me.end:
					return err
				}
			})
		}()
		t.Cleanup(func() {
			stop()
			<-done
		})
	}
	return all, terms
}

// watchLease returns every write to the lease.
func watchLease(t *testing.T, s *natsd.Server) <-chan *nats.Msg {
	t.Helper()
	ch := make(chan *nats.Msg, 1000)
	b := connect(t, configFor(t, s), usual())
	if _, err := b.nc.ChanSubscribe(prefixLeases+"lead", ch); err != nil {
		t.Fatal(err)
	}
	return ch
}

// TestLease has three candidates: one leads, for longer than an unrenewed
// lease lasts; then it resigns, and another leads because of that.
func TestLease(t *testing.T) {
	t.Parallel()
	s := serve(t)
	all, terms := candidates(t, s, 3)
	first := next(t, terms)
	writes := watchLease(t, s)
	for range leaseTTL/leaseRenew + 2 {
		next(t, writes)
	}
	if first.ctx.Err() != nil || len(terms) != 0 {
		t.Fatal("the leader changed although the lease was renewed")
	}
	all[first.who].stop()
	if err := next(t, all[first.who].err); !errors.Is(err, context.Canceled) {
		t.Errorf("hold returned %v, want context.Canceled", err)
	}
	second := next(t, terms)
	resigned := false
	for m := next(t, writes); !strings.HasPrefix(string(m.Data), fmt.Sprint("candidate ", second.who)); m = next(t, writes) {
		resigned = m.Header.Get(headerOperation) == operationDelete
	}
	if !resigned || second.who == first.who {
		t.Error("the second leader did not take what the first had given back")
	}
}

// TestLeaseCourtesy has candidates that are not able to lead yet, and one that
// becomes it. Who is not able leads while nobody else is there, and not after that.
func TestLeaseCourtesy(t *testing.T) {
	t.Parallel()
	heirs, never := make(chan struct{}), make(chan struct{})
	all, terms := candidatesOf(t, serve(t), heirs, never, never, never, never, heirs)
	first := next(t, terms)
	close(heirs)
	all[first.who].stop()
	if second := next(t, terms); second.who != 0 && second.who != 5 {
		t.Error("one leads that is not able to, though another is")
	}
}

// TestLeaseTakeover takes the connection from the leader.
func TestLeaseTakeover(t *testing.T) {
	t.Parallel()
	all, terms := candidates(t, serve(t), 2)
	first := next(t, terms)
	all[first.who].b.nc.Close()
	if second := next(t, terms); second.who == first.who {
		t.Error("the leader without a connection leads again")
	}
	next(t, first.ctx.Done())
	if err := next(t, all[first.who].err); !errors.Is(err, nats.ErrConnectionClosed) {
		t.Errorf("hold returned %v, want that the connection is closed", err)
	}
}

// TestLeaseLost takes the lease from the leader.
func TestLeaseLost(t *testing.T) {
	t.Parallel()
	all, terms := candidates(t, serve(t), 1)
	first := next(t, terms)
	taken := nats.NewMsg(prefixLeases + "lead")
	taken.Header.Set(headerOperation, operationDelete)
	if _, err := all[0].b.js.PublishMsg(patient(t), taken); err != nil {
		t.Fatal(err)
	}
	next(t, first.ctx.Done())
	second := next(t, terms)
	// A term that ends of itself is followed by another.
	second.end <- nil
	third := next(t, terms)
	// An error ends it all.
	broken := errors.New("broken")
	third.end <- broken
	if err := next(t, all[0].err); !errors.Is(err, broken) {
		t.Errorf("hold returned %v, want what the leader returned", err)
	}
}
