package reactor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"golang.org/x/time/rate"

	"github.com/rekindle-dev/rekindle/pkg/ledger"
	"github.com/rekindle-dev/rekindle/services/api"
	"github.com/rekindle-dev/rekindle/services/api/auth"
)

// eventStream is the media type of a stream.
const eventStream = "text/event-stream"

// The bounds of streams.
const (
	// maxStreams is how many one process has, and maxStreamsOf how many of them one token.
	maxStreams   = 1000
	maxStreamsOf = 20
	// maxBegunOf is how many one token begins at once, and begunPerSecond how many more it
	// begins in the long run: each costs the log a consumer, for half a minute at least.
	maxBegunOf     = 2 * maxStreamsOf
	begunPerSecond = 1
	// beat is how long a stream is silent at the most, and how often it is looked whether its
	// token is still good.
	beat = 15 * time.Second
	// maxWriting is how long a client may take for what is written at a time: some hundred
	// events at the most. One that is slower is cut off, and goes on when it comes again.
	maxWriting = 15 * time.Second
	// comeAgain and comeAgainWithin are after how long a client is to come again: not all of
	// those that a process has lost at once.
	comeAgain       = time.Second
	comeAgainWithin = 4 * time.Second
	// maxKeptBuffer bounds the memory that a stream keeps between two writes.
	maxKeptBuffer = 16 << 10
)

// Why a stream ends, besides that its client has gone.
var (
	errStreamStopped = errors.New("the process stops")
	errStreamToken   = errors.New("the token is not good any more")
	errStreamSlow    = errors.New("the client is too slow")
)

// errManyStreams refuses another stream.
var (
	errManyStreams = fmt.Errorf("there are %d streams of this token already", maxStreamsOf)
	errOftenBegun  = fmt.Errorf("this token begins streams too often: after the first %d, %d per second are admitted", maxBegunOf, begunPerSecond)
	errAllStreams  = fmt.Errorf("%w: there are %d streams already", api.ErrNotReady, maxStreams)
)

// streams counts those that are open. It is safe for concurrent use.
type streams struct {
	open  prometheus.Gauge
	ended *prometheus.CounterVec

	mu  sync.Mutex
	all int
	of  map[string]*following
}

// following is what one token follows.
type following struct {
	open  int
	begin *rate.Limiter
}

// idle reports whether there is nothing to remember.
func (f *following) idle(now time.Time) bool {
	return f.open == 0 && f.begin.TokensAt(now) >= maxBegunOf
}

func newStreams(r prometheus.Registerer) *streams {
	metrics := promauto.With(r)
	return &streams{
		of: map[string]*following{},
		open: metrics.NewGauge(prometheus.GaugeOpts{
			Name: "rekindle_event_streams", Help: "Clients that follow events over HTTP.",
		}),
		ended: metrics.NewCounterVec(prometheus.CounterOpts{
			Name: "rekindle_event_streams_ended_total",
			Help: "Streams of events over HTTP that ended, by why: client, slow, token, stop, failed.",
		}, []string{"reason"}),
	}
}

// enter admits another stream of a principal, until leave is called.
func (s *streams) enter(principal string, now time.Time) (leave func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	of := s.following(principal, now)
	switch {
	case of.open >= maxStreamsOf:
		return nil, errManyStreams
	case s.all >= maxStreams:
		return nil, errAllStreams
	case !of.begin.AllowN(now, 1):
		return nil, errOftenBegun
	}
	s.all++
	of.open++
	s.open.Inc()
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.all--
		of.open--
		s.open.Dec()
	}, nil
}

// following returns what a principal follows. Those of whom there is nothing to remember are
// forgotten when there are many. The caller holds mu.
func (s *streams) following(principal string, now time.Time) *following {
	if of := s.of[principal]; of != nil {
		return of
	}
	if len(s.of) >= maxStreams {
		maps.DeleteFunc(s.of, func(_ string, of *following) bool { return of.idle(now) })
	}
	of := &following{begin: rate.NewLimiter(begunPerSecond, maxBegunOf)}
	s.of[principal] = of
	return of
}

// stream tells a client what happens until one of both goes.
func (d *door) stream(w http.ResponseWriter, r *request, q api.EventQuery) {
	s := &stream{door: d, request: r, to: w, control: http.NewResponseController(w), checked: d.now(), said: d.now()}
	h := w.Header()
	h.Set("Content-Type", eventStream)
	h.Set("X-Accel-Buffering", "no") // a proxy is to pass on what comes when it comes
	w.WriteHeader(http.StatusOK)
	if r.http.Method == http.MethodHead {
		return
	}
	retry := comeAgain + rand.N(comeAgainWithin) //nolint:gosec // it spreads clients, and hides nothing
	fmt.Fprintf(&s.buffer, "retry: %d\n\n", retry.Milliseconds())
	err := s.flush()
	if err == nil {
		err = d.service.FollowEvents(r.http.Context(), r.caller, q, s.tell)
	}
	reason := endOf(r.http.Context(), err)
	d.streams.ended.WithLabelValues(reason).Inc()
	if reason == endFailed {
		d.log.WarnContext(r.http.Context(), "a stream of events was broken off", "request", r.caller.Request, "error", err)
	}
}

const endFailed = "failed"

// endOf is why a stream has ended, of a closed set.
func endOf(ctx context.Context, err error) string {
	switch {
	case errors.Is(err, errStreamStopped):
		return "stop"
	case errors.Is(err, errStreamToken):
		return "token"
	case errors.Is(err, errStreamSlow):
		return "slow"
	case errors.Is(err, errStreamGone) || ctx.Err() != nil:
		return "client"
	default:
		return endFailed
	}
}

// errStreamGone: what was written did not go out.
var errStreamGone = errors.New("the client has gone")

// stream is what one client is told. It is used from one goroutine.
type stream struct {
	*door
	*request
	to      http.ResponseWriter
	control *http.ResponseController
	buffer  bytes.Buffer
	// id is the last that was sent. The time of the last words, and when it was last looked
	// whether the token is good.
	id            uint64
	said, checked time.Time
	present       bool
}

// tell sends a part, or that there is nothing.
func (s *stream) tell(p api.EventPart) error {
	if err := s.stillGood(); err != nil {
		return err
	}
	switch {
	case p.Gap != nil && p.Gap.SetBack: // the client is to forget the place it has: all comes again
		s.id = 0
		s.block("0", "gap", gapOf(p.Gap))
	case p.Gap != nil:
		s.block("", "gap", gapOf(p.Gap))
	}
	for _, e := range p.Events {
		s.id = e.Sequence
		s.block(strconv.FormatUint(e.Sequence, 10), string(e.Type), e.Document)
	}
	switch {
	case p.Present && !s.present:
		s.present, s.id = true, p.Position
		s.block(strconv.FormatUint(p.Position, 10), "present", []byte("{}"))
	case s.buffer.Len() > 0 || s.now().Sub(s.said) < beat:
	case p.Position > s.id: // what does not concern the client moves it on, too
		s.id = p.Position
		fmt.Fprintf(&s.buffer, ":\nid: %d\n\n", p.Position)
	default:
		s.buffer.WriteString(":\n\n")
	}
	return s.flush()
}

// block writes an event of the stream. Nothing in it has a line break.
func (s *stream) block(id, event string, data []byte) {
	if id != "" {
		s.buffer.WriteString("id: " + id + "\n")
	}
	s.buffer.WriteString("event: " + event + "\ndata: ")
	s.buffer.Write(data)
	s.buffer.WriteString("\n\n")
}

// gapOf is what is said of what is missing.
func gapOf(g *ledger.Gap) []byte {
	said := struct {
		Reason string `json:"reason"`
		// MissingAtMost is null when nobody knows.
		MissingAtMost *uint64   `json:"missing_at_most"`
		OldestAt      timestamp `json:"oldest_at"`
	}{Reason: "expired", OldestAt: timestamp(g.OldestAt)}
	if g.SetBack {
		said.Reason = "set_back"
	}
	if g.AtMost > 0 {
		said.MissingAtMost = &g.AtMost
	}
	body, err := json.Marshal(said)
	if err != nil {
		panic(err) // one of our own types cannot be written: a bug
	}
	return body
}

// stillGood looks whether the stream may go on.
func (s *stream) stillGood() error {
	select {
	case <-s.stopping:
		return errStreamStopped
	default:
	}
	now := s.now()
	if now.Sub(s.checked) < beat {
		return nil
	}
	s.checked = now
	ctx, cancel := context.WithTimeout(s.http.Context(), maxServing)
	defer cancel()
	who, err := s.gate.Admit(s.http.WithContext(ctx))
	if err != nil || !sameCaller(who, s.caller) {
		return errStreamToken
	}
	return nil
}

// sameCaller reports whether a token still stands for whom it stood for.
func sameCaller(who auth.Principal, caller api.Caller) bool {
	return who.Key == caller.Principal && who.Org == caller.Org
}

// flush sends what is in the buffer, if anything.
func (s *stream) flush() error {
	if s.buffer.Len() == 0 {
		return nil
	}
	s.said = s.now()
	err := s.control.SetWriteDeadline(time.Now().Add(maxWriting))
	if errors.Is(err, http.ErrNotSupported) {
		err = nil // nobody can be slow: it does not go over a network
	}
	if err == nil {
		_, err = s.to.Write(s.buffer.Bytes())
	}
	if err == nil {
		err = s.control.Flush()
	}
	s.buffer.Reset()
	if s.buffer.Cap() > maxKeptBuffer {
		s.buffer = bytes.Buffer{}
	}
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return errStreamSlow
	case err != nil:
		return errStreamGone
	default:
		return nil
	}
}
