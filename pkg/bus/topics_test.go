package bus

import (
	"crypto/rand"
	"strconv"
	"sync"
	"testing"

	watermill "github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/tests"
	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/rekindle-dev/rekindle/events"
)

const testStream = "TOPICS"

// topicsOf returns a bus to a server with a stream for topics.
func topicsOf(t *testing.T, s *natsServer) *Bus {
	t.Helper()
	b, err := Connect(t.Context(), s.config(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	_, err = b.js.CreateOrUpdateStream(t.Context(), jetstream.StreamConfig{
		Name: testStream, Subjects: []string{"topics.>"}, MaxBytes: 1 << 30,
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func topics(group string, inFlight int) Topics {
	return Topics{Stream: testStream, Prefix: "topics.", Group: group, InFlight: inFlight}
}

// TestWatermill runs Watermill's own suite for publishers and subscribers. What it
// skips is below: its test of reconnects wants a broker that a command restarts, and
// compares with what was published before the last publisher has said so.
func TestWatermill(t *testing.T) {
	t.Parallel()
	for name, inFlight := range map[string]int{"ordered": 0, "in flight": 50} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, nil)
			open := func(t *testing.T, group string) (watermill.Publisher, watermill.Subscriber) {
				b := topicsOf(t, s)
				return b.Publisher(topics(group, inFlight)), b.Subscriber(topics(group, inFlight))
			}
			features := tests.Features{
				ConsumerGroups: true, Persistent: true, GuaranteedOrder: inFlight == 0, ForceShort: true,
			}
			tests.TestPubSub(t, features, func(t *testing.T) (watermill.Publisher, watermill.Subscriber) {
				return open(t, "suite")
			}, open)
		})
	}
}

// TestWatermillNewGroup is the part of the suite that wants each subscriber to be a
// group of its own.
func TestWatermillNewGroup(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	features := tests.Features{NewSubscriberReceivesOldMessages: true}
	tests.TestNewSubscriberReceivesOldMessages(t, tests.TestContext{TestID: tests.NewTestID(), Features: features},
		func(t *testing.T) (watermill.Publisher, watermill.Subscriber) {
			b, own := topicsOf(t, s), topics(rand.Text(), 0)
			return b.Publisher(own), b.Subscriber(own)
		})
}

// TestTopicsOutliveTheServer stops and starts the server while messages are
// published and delivered, and wants each of them.
func TestTopicsOutliveTheServer(t *testing.T) {
	t.Parallel()
	const publishers, each = 20, 100
	s := newServer(t, nil)
	b := topicsOf(t, s)
	pub, sub := b.Publisher(topics("all", 50)), b.Subscriber(topics("all", 50))
	messages, err := sub.Subscribe(t.Context(), "numbers")
	if err != nil {
		t.Fatal(err)
	}
	var publishing sync.WaitGroup
	for p := range publishers {
		publishing.Go(func() {
			for i := range each {
				id := strconv.Itoa(p*each + i)
				if err := pub.Publish("numbers", watermill.NewMessage(id, []byte(id))); err != nil {
					t.Errorf("message %s: %v", id, err)
				}
			}
		})
	}
	got := map[string]bool{}
	for len(got) < publishers*each {
		m := <-messages
		if got[m.UUID] = true; len(got) == each || len(got) == 2*each {
			s.stop()
			s.start(t)
		}
		m.Ack()
	}
	publishing.Wait()
	if err := sub.Close(); err != nil {
		t.Error(err)
	}
	if _, open := <-messages; open {
		t.Error("a closed subscriber delivers")
	}
}

// TestRefusedMessageComesAgain wants a message that was refused delivered again
// before the next one.
func TestRefusedMessageComesAgain(t *testing.T) {
	t.Parallel()
	b := topicsOf(t, newServer(t, nil))
	pub, sub := b.Publisher(topics("one", 0)), b.Subscriber(topics("one", 0))
	defer sub.Close()
	for _, id := range []string{"first", "second"} {
		if err := pub.Publish("t", watermill.NewMessage(id, nil)); err != nil {
			t.Fatal(err)
		}
	}
	messages, err := sub.Subscribe(t.Context(), "t")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for range 3 {
		m := <-messages
		if got = append(got, m.UUID); len(got) == 1 {
			m.Nack()
		} else {
			m.Ack()
		}
	}
	if diff := cmp.Diff([]string{"first", "first", "second"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestPublishedAgain publishes a message twice to one topic, where it is kept once,
// and to another, where it is another message.
func TestPublishedAgain(t *testing.T) {
	t.Parallel()
	b := topicsOf(t, newServer(t, nil))
	pub := b.Publisher(topics("", 0))
	for _, topic := range []string{"a", "a", "b"} {
		if err := pub.Publish(topic, watermill.NewMessage("same", nil)); err != nil {
			t.Fatal(err)
		}
	}
	stream, err := b.js.Stream(t.Context(), testStream)
	if err != nil {
		t.Fatal(err)
	}
	if kept := stream.CachedInfo().State.Msgs; kept != 2 {
		t.Errorf("%d messages are kept, want 2", kept)
	}
}

func TestUnpublishable(t *testing.T) {
	t.Parallel()
	b := topicsOf(t, newServer(t, nil))
	pub := b.Publisher(topics("", 0))
	tests := []struct {
		name, topic, id, header, value string
	}{
		{"a wildcard", "t.*", "", "", ""},
		{"all that follows", "t.>", "", "", ""},
		{"an empty token", "t..u", "", "", ""},
		{"no topic", "", "", "", ""},
		{"a blank", "t u", "", "", ""},
		{"an id of two lines", "t", "a\nb", "", ""},
		{"a value of two lines", "t", "", "name", "a\r\nb"},
		{"a value that would lose its blanks", "t", "", "name", " a"},
		{"a name that is none", "t", "", "a:b", "c"},
		{"no name", "t", "", "", "c"},
		{"a word to the server", "t", "", "Nats-Expected-Stream", "OTHER"},
		{"the same, written otherwise", "t", "", "nats-rollup", "all"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := watermill.NewMessage(tt.id, nil)
			if tt.header+tt.value != "" {
				m.Metadata.Set(tt.header, tt.value)
			}
			if err := pub.Publish(tt.topic, m); err == nil {
				t.Error("it was published")
			}
		})
	}
}

func TestUnwrap(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		header nats.Header
		id     string
		want   watermill.Metadata
	}{
		{"ours", nats.Header{headerUUID: {"u"}, "a": {"b", "c"}, "Nats-Msg-Id": {"x"}}, "u", watermill.Metadata{"a": "b"}},
		{"an event", nats.Header{events.HeaderID: {"e"}}, "e", watermill.Metadata{events.HeaderID: "e"}},
		{"anybody's", nil, "TOPICS.7", watermill.Metadata{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m := &nats.Msg{Header: tt.header, Reply: "$JS.ACK.TOPICS.group.1.7.1.0.0", Sub: &nats.Subscription{}}
			got := unwrap(m)
			if got.UUID != tt.id {
				t.Errorf("id %q, want %q", got.UUID, tt.id)
			}
			if diff := cmp.Diff(tt.want, got.Metadata); diff != "" {
				t.Errorf("metadata (-want +got):\n%s", diff)
			}
		})
	}
}
