package bus

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/rekindle-dev/rekindle/pkg/state"
)

// following is one running Follow of a.*, which ends with the test.
type following struct {
	changes  chan state.Change
	caughtUp chan struct{}
	err      chan error
}

func follow(t testing.TB, st *State) *following {
	t.Helper()
	f := &following{make(chan state.Change, 10_000), make(chan struct{}, 10), make(chan error, 1)}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		f.err <- st.Follow(ctx, []string{"a.*"}, func(c state.Change) { f.changes <- c }, func() { f.caughtUp <- struct{}{} })
	}()
	t.Cleanup(func() {
		stop()
		<-done
	})
	return f
}

func commit(t testing.TB, st *State, writes ...state.Write) state.Revision {
	t.Helper()
	rev, err := st.Commit(patient(t), writes...)
	if err != nil {
		t.Fatal(err)
	}
	return rev
}

func put(key, value string) state.Write { return state.Write{Key: key, Value: []byte(value)} }

// expectChanges fails the test unless these keys are told, in this order.
func (f *following) expectChanges(t testing.TB, keys ...string) {
	t.Helper()
	for _, want := range keys {
		if got := next(t, f.changes); got.Key != want {
			t.Fatalf("told %s at revision %d, want %s", got.Key, got.Revision, want)
		}
	}
}

// TestFollowGoesOn takes the server away under a follower, in the middle of
// writes, and brings it back: nothing is missed, nothing told twice.
func TestFollowGoesOn(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	follower, writer := openState(t, connect(t, s.config(t), usual())), openState(t, connect(t, s.config(t), usual()))
	gone := commit(t, writer, put("a.0", "v"))
	f := follow(t, follower)
	next(t, f.caughtUp)
	f.expectChanges(t, "a.0")
	for round := range 3 {
		for i := range 5 {
			commit(t, writer, put(fmt.Sprintf("a.%d%d", round+1, i), "v"))
		}
		s.stop() // with some of them on their way
		until(t, "disconnected", func() bool { return !writer.b.Connected() })
		s.start(t)
		until(t, "connected", writer.b.Connected)
	}
	if _, err := writer.Commit(patient(t), state.Write{Key: "a.0", Expect: gone}, put("a.9", "v")); err != nil {
		t.Fatal(err)
	}
	for round := range 3 {
		for i := range 5 {
			f.expectChanges(t, fmt.Sprintf("a.%d%d", round+1, i))
		}
	}
	f.expectChanges(t, "a.0", "a.9")
	if len(f.caughtUp) != 0 {
		t.Error("caughtUp was called again")
	}
}

// TestFollowLostConsumer takes the consumer away, as a server does from who is
// silent for too long.
func TestFollowLostConsumer(t *testing.T) {
	t.Parallel()
	st := openState(t, open(t))
	f := follow(t, st)
	next(t, f.caughtUp)
	for i := range 3 {
		key := fmt.Sprintf("a.%d", i)
		commit(t, st, put(key, "v"))
		f.expectChanges(t, key)
		for name := range st.streams[state.Main].s.ConsumerNames(patient(t)).Name() {
			if err := st.b.js.DeleteConsumer(patient(t), streamOf(state.Main), name); err != nil {
				t.Fatal(err)
			}
		}
	}
	commit(t, st, put("a.last", "v"))
	f.expectChanges(t, "a.last")
}

// TestFollowCatchesUp ends the replay with what is not told: the marker of a
// record that is gone, and a record that is nobody's business.
func TestFollowCatchesUp(t *testing.T) {
	t.Parallel()
	st := openState(t, open(t))
	rev := commit(t, st, put("a.1", "v"), put("a.2", "v"))
	commit(t, st, state.Write{Key: "a.2", Expect: rev}, put("b.1", "v"))
	f := follow(t, st)
	f.expectChanges(t, "a.1")
	next(t, f.caughtUp)
	if len(f.changes) != 0 {
		t.Error("told more than there is")
	}
}

// TestFollowEnds holds that a follower which cannot know what it missed fails.
func TestFollowEnds(t *testing.T) {
	t.Parallel()
	st := openState(t, open(t))
	rev := commit(t, st, put("a.1", "v"))
	for _, tc := range []struct {
		follower follower
		want     error
	}{
		{follower{last: uint64(rev) + 1, heard: time.Now()}, errRewind},
		{follower{last: uint64(rev), heard: time.Now().Add(-maxAway - time.Minute)}, errAway},
	} {
		tc.follower.b, tc.follower.stream, tc.follower.subjects = st.b, st.streams[state.Main], []string{prefixOf(state.Main) + "a.*"}
		if _, _, err := tc.follower.open(patient(t)); !errors.Is(err, tc.want) {
			t.Errorf("got error %v, want %v", err, tc.want)
		}
	}
	f := follow(t, st)
	next(t, f.caughtUp)
	st.b.nc.Close()
	if err := next(t, f.err); !errors.Is(err, nats.ErrConnectionClosed) {
		t.Errorf("follow returned %v, want that the connection is closed", err)
	}
}

// TestFollowGap holds that a message which did not arrive is missed, be it
// followed by another or by a heartbeat.
func TestFollowGap(t *testing.T) {
	t.Parallel()
	f := &follower{stream: stream{prefix: prefixOf(state.Main)}}
	second := &nats.Msg{Subject: prefixOf(state.Main) + "a.1", Reply: "$JS.ACK.KV_state.x.1.9.2.1700000000000000000.0", Sub: &nats.Subscription{}}
	if err := f.message(second, 1); !errors.Is(err, errGap) {
		t.Errorf("a message out of turn: got error %v, want %v", err, errGap)
	}
	if err := f.idle(beat(2, 9), 1); !errors.Is(err, errGap) {
		t.Errorf("a heartbeat behind a lost message: got error %v, want %v", err, errGap)
	}
	if err := f.idle(beat(2, 9), 2); err != nil {
		t.Errorf("a heartbeat behind what arrived: got error %v", err)
	}
}

// TestFollowIdle ends a replay whose last messages never come.
func TestFollowIdle(t *testing.T) {
	t.Parallel()
	caughtUp := 0
	f := &follower{start: 9, caughtUp: func() { caughtUp++ }}
	for _, tc := range []struct {
		position uint64
		want     int
	}{{8, 0}, {9, 1}, {10, 1}} {
		if err := f.idle(beat(1, tc.position), 1); err != nil || caughtUp != tc.want {
			t.Errorf("at %d: caughtUp was called %d times, error %v", tc.position, caughtUp, err)
		}
	}
}

func beat(delivered, position uint64) *nats.Msg {
	m := nats.NewMsg("x")
	m.Header.Set("Nats-Last-Consumer", strconv.FormatUint(delivered, 10))
	m.Header.Set("Nats-Last-Stream", strconv.FormatUint(position, 10))
	return m
}

// TestFollowLarge tells records of which few fit into one pull request.
func TestFollowLarge(t *testing.T) {
	t.Parallel()
	st := openState(t, open(t))
	value := make([]byte, state.MaxValue)
	const records = 2*pullBytes/state.MaxValue + 1
	for i := range records {
		commit(t, st, state.Write{Key: "a." + strconv.Itoa(i), Value: value})
	}
	f := follow(t, st)
	for i := range records {
		f.expectChanges(t, "a."+strconv.Itoa(i))
	}
	next(t, f.caughtUp)
}

// TestBatchRefused has the server refuse a batch because another is under way,
// which it never says in as many words.
func TestBatchRefused(t *testing.T) {
	t.Parallel()
	s := newServer(t, func(o *server.Options) {
		o.JetStreamLimits.MaxBatchInflightPerStream, o.JetStreamLimits.MaxBatchTimeout = 1, 300*time.Millisecond
	})
	st := openState(t, connect(t, s.config(t), usual()))
	begun := nats.NewMsg(prefixOf(state.Main) + "a.0")
	begun.Header.Set(headerBatchID, "never ended")
	begun.Header.Set(headerBatchSeq, "1")
	if _, err := st.b.nc.RequestMsgWithContext(patient(t), begun); err != nil {
		t.Fatal(err)
	}
	if _, err := st.b.tryBatch(patient(t), []*nats.Msg{
		st.streams[state.Main].write(put("a.1", "v")), st.streams[state.Main].write(put("a.2", "v")),
	}); !hasCode(err, codeIncompleteBatch) {
		t.Fatalf("got error %v, want that of an incomplete batch", err)
	}
	commit(t, st, put("a.1", "v"), put("a.2", "v"), put("a.3", "v"))
}
