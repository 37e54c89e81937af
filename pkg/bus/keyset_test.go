package bus

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/rekindle-dev/rekindle/events"
)

// answering has a Bus answer requests for the keyset until the test ends, or stop is
// called.
func answering(t *testing.T, b *Bus, keyset func() ([]byte, error)) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- b.AnswerKeyset(ctx, keyset) }()
	stop = func() {
		cancel()
		if err, ok := <-ended; ok && err != nil {
			t.Error(err)
		}
	}
	return stop
}

// asked returns the first answer to a request for the keyset. There may be nobody yet
// who answers.
func asked(t *testing.T, nc *nats.Conn, body []byte) *nats.Msg {
	t.Helper()
	for ctx := patient(t); ; {
		m, err := nc.RequestWithContext(ctx, events.KeysetSubject, body)
		if errors.Is(err, nats.ErrNoResponders) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
}

func TestAnswerKeyset(t *testing.T) {
	t.Parallel()
	s := serve(t)
	one, other, stranger := connect(t, configFor(t, s), never()), connect(t, configFor(t, s), never()), connect(t, configFor(t, s), never())
	defer answering(t, one, func() ([]byte, error) { return []byte("the keyset"), nil })()
	defer answering(t, other, func() ([]byte, error) { return []byte("the keyset"), nil })()
	for _, body := range []string{"", "{}", "\x00\xff", strings.Repeat("x", 1<<19)} {
		if m := asked(t, stranger.nc, []byte(body)); string(m.Data) != "the keyset" || len(m.Header) != 0 {
			t.Errorf("asked with %d bytes: %q, %v", len(body), m.Data, m.Header)
		}
	}
}

func TestAnswerNoKeyset(t *testing.T) {
	t.Parallel()
	s := serve(t)
	b := connect(t, configFor(t, s), never())
	defer answering(t, b, func() ([]byte, error) { return nil, errors.New("not known yet") })()
	m := asked(t, b.nc, nil)
	if len(m.Data) != 0 || m.Header.Get("Nats-Service-Error-Code") != "503" || m.Header.Get("Nats-Service-Error") != "not known yet" {
		t.Errorf("the answer is %q, %v", m.Data, m.Header)
	}
}

// TestForgedKeysetReply asks for the answer in places where it would do harm.
func TestForgedKeysetReply(t *testing.T) {
	t.Parallel()
	s := serve(t)
	b, stranger := connect(t, configFor(t, s), never()), connect(t, configFor(t, s), never())
	st := openState(t, b)
	defer answering(t, b, func() ([]byte, error) { return []byte("the keyset"), nil })()
	asked(t, stranger.nc, nil) // while nobody else listens there
	published, err := stranger.nc.SubscribeSync(">")
	if err != nil {
		t.Fatal(err)
	}
	if err := stranger.nc.Publish(events.KeysetSubject, nil); err != nil { // which asks for no answer
		t.Fatal(err)
	}
	for _, reply := range []string{"$KV.state.keyset.fleet", events.JobSubject("SE1"), "$JS.API.STREAM.DELETE.KV_state", events.EventSubject("o", "SecretDeleted", "SE1")} {
		if err := stranger.nc.PublishRequest(events.KeysetSubject, reply, nil); err != nil {
			t.Fatal(err)
		}
	}
	asked(t, stranger.nc, nil) // by then those before it were dealt with
	for {
		n, _, err := published.Pending()
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			break
		}
		m, err := published.NextMsgWithContext(patient(t))
		if err != nil {
			t.Fatal(err)
		}
		if string(m.Data) == "the keyset" && !strings.HasPrefix(m.Subject, "_INBOX.") {
			t.Errorf("answered on %s", m.Subject)
		}
	}
	if _, _, err := st.Get(patient(t), "keyset.fleet"); err == nil {
		t.Error("the answer is a record now")
	}
}
