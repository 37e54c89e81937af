package bus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/rekindle-dev/rekindle/pkg/natsd"
)

// peer is one process that shares work.
type peer struct {
	who  int
	told chan []string // whom it was told of
	me   string
	b    *Bus
	stop context.CancelFunc
	err  chan error // holds what Join returned
}

// company is some peers, on one server.
type company struct {
	t     *testing.T
	s     *natsd.Server
	able  chan struct{} // closed
	peers []*peer
}

func newCompany(t *testing.T) *company {
	t.Helper()
	c := &company{t: t, s: serve(t), able: make(chan struct{})}
	close(c.able)
	return c
}

// join adds a peer that comes in when able is closed.
func (c *company) join(able <-chan struct{}) *peer {
	c.t.Helper()
	ctx, stop := context.WithCancel(c.t.Context())
	p := &peer{who: len(c.peers), b: connect(c.t, configFor(c.t, c.s), usual()), stop: stop, err: make(chan error, 1), told: make(chan []string, 1000)}
	c.peers = append(c.peers, p)
	l, err := p.b.Members(patient(c.t), fmt.Sprint("peer ", p.who))
	if err != nil {
		c.t.Fatal(err)
	}
	p.me = l.me
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.err <- l.Join(ctx, "work", able, func(_ string, all []string) { p.told <- all })
	}()
	c.t.Cleanup(func() {
		stop()
		<-done
	})
	return p
}

// expect waits until the peer is told of just these.
func (p *peer) expect(t *testing.T, all ...*peer) {
	t.Helper()
	var want []string
	for _, o := range all {
		want = append(want, o.me)
	}
	slices.Sort(want)
	for got := next(t, p.told); !slices.Equal(got, want); got = next(t, p.told) {
	}
}

// Who is there, who comes and who goes is known to all who are there.
func TestMembers(t *testing.T) {
	t.Parallel()
	c := newCompany(t)
	a := c.join(c.able)
	a.expect(t, a)
	b, d := c.join(c.able), c.join(c.able)
	for _, p := range c.peers {
		p.expect(t, a, b, d)
	}
	b.stop()
	if err := next(t, b.err); !errors.Is(err, context.Canceled) {
		t.Errorf("join returned %v, want context.Canceled", err)
	}
	b.expect(t)
	a.expect(t, a, d)
	d.expect(t, a, d)
	d.b.nc.Close() // as if it had been killed
	if err := next(t, d.err); !errors.Is(err, nats.ErrConnectionClosed) {
		t.Errorf("join returned %v, want that the connection is closed", err)
	}
	d.expect(t)
	a.expect(t, a)
}

// Who is not able comes in while nobody is there, and only then.
func TestMembersCourtesy(t *testing.T) {
	t.Parallel()
	c := newCompany(t)
	later := make(chan struct{})
	a := c.join(make(chan struct{}))
	a.expect(t, a)
	b := c.join(later)
	d := c.join(c.able)
	a.expect(t, a, d)
	if len(b.told) > 0 {
		t.Error("one that is not able has come in beside others")
	}
	close(later)
	b.expect(t, a, b, d)
}

// Who was struck off, or finds nonsense in the place of the list, comes in again.
func TestMembersStruckOff(t *testing.T) {
	t.Parallel()
	c := newCompany(t)
	a, b := c.join(c.able), c.join(c.able)
	gone := nats.NewMsg(prefixLeases + "work")
	gone.Header.Set(headerOperation, operationDelete)
	strikes := []*nats.Msg{gone}
	for _, nonsense := range []string{"candidate 7", `{"gone":18446744073709551615}`} {
		strikes = append(strikes, &nats.Msg{Subject: gone.Subject, Data: []byte(nonsense)})
	}
	for _, m := range strikes {
		a.expect(t, a, b)
		b.expect(t, a, b)
		if _, err := a.b.js.PublishMsg(patient(t), m); err != nil {
			t.Fatal(err)
		}
		a.expect(t)
		b.expect(t)
	}
	a.expect(t, a, b)
	b.expect(t, a, b)
}

// owners counts who acts for each of some things, which are given by rendezvous.
type owners struct {
	mu     sync.Mutex
	things map[string]map[string]bool // by thing, who acts
	most   int
}

func (o *owners) tell(me string, all []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for thing, acting := range o.things {
		weight := func(name string) uint32 { return crc32.ChecksumIEEE([]byte(thing + name)) }
		if len(all) > 0 && slices.MaxFunc(all, func(a, b string) int { return cmp.Compare(weight(a), weight(b)) }) == me {
			acting[me] = true
		} else {
			delete(acting, me)
		}
		o.most = max(o.most, len(acting))
	}
}

// Whoever comes and goes, no two act for the same thing.
func TestMembersActAlone(t *testing.T) {
	t.Parallel()
	c, o := newCompany(t), &owners{things: map[string]map[string]bool{}}
	for i := range 100 {
		o.things[fmt.Sprint("thing ", i)] = map[string]bool{}
	}
	var running sync.WaitGroup
	defer running.Wait()
	for i := range 6 {
		b := connect(t, configFor(t, c.s), usual())
		running.Go(func() {
			for round := range 4 {
				l, err := b.Members(t.Context(), fmt.Sprint("peer ", i))
				if err != nil {
					t.Error(err)
					return
				}
				ctx, stop := context.WithTimeout(t.Context(), time.Duration(1+(i+round)%3)*memberRenew)
				err = l.Join(ctx, "work", c.able, o.tell)
				stop()
				if !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("join returned %v", err)
				}
			}
		})
	}
	running.Wait()
	if o.most != 1 {
		t.Errorf("%d acted for the same thing at once, want 1", o.most)
	}
}

// FuzzRoll: whatever stands in the place of the list is read as one.
func FuzzRoll(f *testing.F) {
	for _, seed := range []string{"", "null", "{}", `{"a b":7}`, `{"a":-1}`, `[]`, "candidate 7 x"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if r := readRoll(body); r == nil {
			t.Error("no list")
		} else {
			r["me"] = 1 // it can be added to
		}
	})
}
