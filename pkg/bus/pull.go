package bus

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	// pullExpires is how long the server keeps a pull request. AckWait is longer
	// by more than a heartbeat of a job: what a process held that fell silent with
	// its connection open must not be handed to a request of that same process.
	pullExpires = 2 * time.Second
	// pullHeartbeat is how often it says that it still does, when it has
	// nothing to deliver. After two without a word the request is lost.
	pullHeartbeat = 500 * time.Millisecond
	// pullBytes bounds what is on its way to us for one request.
	pullBytes = 8 << 20
)

var (
	// errIdle: nothing to deliver at the moment; see heartbeat.
	errIdle = errors.New("no message")
	// errEnded: the request is over, and another may be made.
	errEnded = errors.New("pull request ended")
	// errSilent: so it is, because the server does not say anything about it.
	errSilent = fmt.Errorf("%w: the server is silent", errEnded)
)

// puller takes the messages of a consumer, one pull request at a time.
//
// It stands where the client's own iterators could, because it says what they
// hide: how many messages are on their way, so that no job waits in a buffer
// where no heartbeat keeps it; what the server had delivered before it fell
// silent, so that a lost last message is noticed; and who is speaking. What the
// server says about a request comes under the request's own subject. A message,
// whatever its headers pretend, comes under the subject it was published to.
//
// A puller is used from one goroutine; stop and drain may be called from
// others.
type puller struct {
	nc      *nats.Conn
	subject string // where requests go
	inbox   string // where answers come to, with the request's number behind it
	sub     *nats.Subscription
	number  int // of the last request
}

func newPuller(nc *nats.Conn, stream, consumer string) (*puller, error) {
	p := &puller{
		nc:      nc,
		subject: "$JS.API.CONSUMER.MSG.NEXT." + stream + "." + consumer,
		inbox:   nc.NewInbox() + ".",
	}
	var err error
	p.sub, err = nc.SubscribeSync(p.inbox + "*")
	return p, err
}

// ask requests up to n messages.
func (p *puller) ask(n int) error { return p.askFor(n, pullBytes) }

// askFor requests up to n messages, and no more bytes than most. The server refuses if
// a message alone has more.
func (p *puller) askFor(n, most int) error {
	body, err := json.Marshal(map[string]int64{
		"batch": int64(n), "max_bytes": int64(most),
		"expires": int64(pullExpires), "idle_heartbeat": int64(pullHeartbeat),
	})
	if err != nil {
		return err
	}
	p.number++
	return p.nc.PublishRequest(p.subject, p.inbox+strconv.Itoa(p.number), body)
}

// next waits for the next message. With errIdle it returns the heartbeat,
// with errEnded, of which errSilent is one, or another error nothing. After drain it returns what was on
// its way, then an error.
func (p *puller) next() (*nats.Msg, error) {
	for {
		m, err := p.sub.NextMsg(2 * pullHeartbeat)
		switch {
		case errors.Is(err, nats.ErrTimeout):
			return nil, errSilent
		case err != nil:
			return nil, err
		case !strings.HasPrefix(m.Subject, p.inbox):
			return m, nil
		case m.Subject != p.inbox+strconv.Itoa(p.number):
			continue // the last words about an earlier request
		}
		return status(m)
	}
}

// arrived is how much has come that next has not returned yet.
func (p *puller) arrived() int {
	n, _, _ := p.sub.Pending() //nolint:errcheck // 0 once it was stopped
	return n
}

// status says what the server's word about the request means.
func status(m *nats.Msg) (*nats.Msg, error) {
	code := m.Header.Get("Status")
	switch {
	case code == "100":
		return m, errIdle
	case code == "503": // nobody listens for requests: no such consumer now
		return nil, nats.ErrNoResponders
	case m.Header.Get("Nats-Pending-Messages") != "": // it expired, or was filled in bytes
		return nil, errEnded
	}
	return nil, fmt.Errorf("%w: pull request: %.3s %.80q", ErrUnavailable, code, m.Header.Get("Description"))
}

// heartbeat returns how many messages the consumer has delivered in all, and
// up to which sequence it has looked at the stream.
func heartbeat(m *nats.Msg) (delivered, position uint64) {
	delivered, _ = strconv.ParseUint(m.Header.Get("Nats-Last-Consumer"), 10, 64) //nolint:errcheck // 0, as good as not said
	position, _ = strconv.ParseUint(m.Header.Get("Nats-Last-Stream"), 10, 64)    //nolint:errcheck // 0, as good as not said
	return delivered, position
}

// drain takes no more, but lets next return what is on its way.
func (p *puller) drain() {
	if !p.nc.IsConnected() {
		p.stop() // nothing is, and the server would be waited for
		return
	}
	_ = p.sub.Drain() //nolint:errcheck // fails only when there is nothing left to drain
}

// stop takes no more and lets next return at once.
func (p *puller) stop() { _ = p.sub.Unsubscribe() } //nolint:errcheck // fails only when it has been done
