package bus

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/events/intake"
	"github.com/rekindle-dev/rekindle/pkg/work"
)

// upstream publishes as anybody who speaks NATS does.
func upstream(t *testing.T, b *Bus, subject, body string) {
	t.Helper()
	m := nats.NewMsg(events.Root + ".intake." + subject)
	m.Data = []byte(body)
	if _, err := b.js.PublishMsg(t.Context(), m); err != nil {
		t.Fatalf("publish to %s: %v", m.Subject, err)
	}
}

// takeIntake hands over to handle until the test ends, or the function that it returns was called.
func takeIntake(t *testing.T, b *Bus, handle func(context.Context, work.Letter) error) (stop func()) {
	t.Helper()
	queue, err := b.Intake(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- queue.Take(ctx, func() { close(ready) }, handle) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("it ended with %v", err)
		}
	})
	t.Cleanup(stop)
	select {
	case <-ready:
	case err := <-ended:
		t.Fatal(err)
	}
	return stop
}

// TestIntakeKeepsOrder has two processes share what several upstreams have published, of
// which every third message is refused at first, and wants the order of each key.
func TestIntakeKeepsOrder(t *testing.T) {
	t.Parallel()
	const orgs, keys, each = 2, 20, 6
	s := newServer(t, nil)
	var mu sync.Mutex
	got, tries, all := map[string][]string{}, map[uint64]int{}, make(chan struct{})
	handle := func(_ context.Context, l work.Letter) error {
		mu.Lock()
		defer mu.Unlock()
		if tries[l.Place]++; l.Place%3 == 0 && tries[l.Place] == 1 {
			return errors.New("not now")
		}
		if l.Place%17 == 0 && tries[l.Place] == 1 {
			panic("not now")
		}
		got[l.Subject] = append(got[l.Subject], string(l.Body))
		if len(got[l.Subject]) == each && len(got) == orgs*keys {
			for _, bodies := range got {
				if len(bodies) < each {
					return nil
				}
			}
			close(all)
		}
		return nil
	}
	b := connect(t, s.config(t), usual())
	want := map[string][]string{}
	for i := range each {
		for org := range orgs {
			for key := range keys {
				subject := fmt.Sprintf("o%d.SecretUpdated.k%d", org, key)
				upstream(t, b, subject, strconv.Itoa(i))
				want[events.Root+".intake."+subject] = append(want[events.Root+".intake."+subject], strconv.Itoa(i))
			}
		}
	}
	takeIntake(t, b, handle)
	takeIntake(t, connect(t, s.config(t), usual()), handle)
	<-all
	mu.Lock()
	defer mu.Unlock()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestIntakeErases looks for what was erased in every file of the server, before it is acked
// and when a process dies in between; what is behind it is handed over all the same.
func TestIntakeErases(t *testing.T) {
	t.Parallel()
	const canary = "plaintext-canary-5d1c"
	s := newServer(t, nil)
	b := connect(t, s.config(t), usual())
	queue, err := b.Intake(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	erased := make(chan bool)
	erase := func(ctx context.Context, l work.Letter) {
		for range 2 { // and again, which is no error
			if err := queue.Erase(ctx, l.Place); err != nil {
				t.Errorf("erase: %v", err)
			}
		}
		erased <- lies(t, s.opts.StoreDir, canary)
	}
	upstream(t, b, "org.SecretCreated.key", canary)
	upstream(t, b, "org.SecretCreated.key", "behind it")
	if !lies(t, s.opts.StoreDir, canary) {
		t.Fatal("the message was never in the files")
	}
	dying, died := make(chan uint64), make(chan struct{})
	stop := takeIntake(t, b, func(ctx context.Context, l work.Letter) error {
		if string(l.Body) != canary {
			return errors.New("not mine")
		}
		go erase(ctx, l)
		dying <- l.Place
		<-ctx.Done() // it dies here
		close(died)
		return ctx.Err()
	})
	<-dying
	if <-erased {
		t.Error("an erased message lies in the files")
	}
	stop()
	<-died
	bodies := make(chan string, 3)
	takeIntake(t, b, func(_ context.Context, l work.Letter) error {
		bodies <- string(l.Body)
		return nil
	})
	if body := <-bodies; body != "behind it" {
		t.Errorf("got %q", body)
	}
}

// lies reports whether a file below dir has the text.
func lies(t *testing.T, dir, text string) (found bool) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		body, err := os.ReadFile(path)
		found = found || bytes.Contains(body, []byte(text))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// TestIntakeRefusesToHoldMore: what is no subject of a request is stored by nobody, and
// neither is what is too large; both publishers are told.
func TestIntakeRefusesToHoldMore(t *testing.T) {
	t.Parallel()
	b := connect(t, newServer(t, nil).config(t), usual())
	publish := func(subject, body string) error {
		_, err := b.js.Publish(t.Context(), subject, []byte(body), jetstream.WithRetryAttempts(0))
		return err
	}
	for _, subject := range []string{".intake.org.SecretCreated", ".intake.0.org.SecretCreated.key", ".queued.0.org.SecretCreated.key"} {
		if err := publish(events.Root+subject, "{}"); !errors.Is(err, jetstream.ErrNoStreamResponse) {
			t.Errorf("%s: %v", subject, err)
		}
	}
	large := string(make([]byte, 2*events.MaxBody+1))
	if err := publish(events.Root+".intake.org.SecretCreated.key", large); err == nil {
		t.Error("too large a message was stored")
	}
}

// TestIntakeTakesNoOrders: no header that a publisher sends has the server do something to what
// others have published, or take what it publishes elsewhere.
func TestIntakeTakesNoOrders(t *testing.T) {
	t.Parallel()
	b := connect(t, newServer(t, nil).config(t), usual())
	upstream(t, b, "org.SecretCreated.key", "another's")
	orders := []nats.Header{
		{jetstream.MsgRollup: {jetstream.MsgRollupAll}},
		{jetstream.MsgRollup: {jetstream.MsgRollupSubject}},
		{jetstream.MsgTTLHeader: {"1s"}},
		{headerBatchID: {"b"}, headerBatchSeq: {"1"}, headerBatchCommit: {"1"}},
		{"Nats-Schedule": {"@at 2027-01-01T00:00:00Z"}, "Nats-Schedule-Target": {events.EventSubject("org", events.TypeAccepted, "e1")}},
		{"Nats-Scheduler": {"s"}, "Nats-Schedule-Next": {"purge"}},
		{"Nats-Incr": {"+1"}},
	}
	for _, h := range orders {
		m := nats.NewMsg(events.Root + ".intake.org.SecretCreated.key")
		m.Header = h
		if _, err := b.js.PublishMsg(t.Context(), m, jetstream.WithRetryAttempts(0)); err == nil {
			t.Errorf("%v was stored", h)
		}
	}
	bodies := make(chan string, len(orders)+1)
	takeIntake(t, b, func(_ context.Context, l work.Letter) error {
		bodies <- string(l.Body)
		return nil
	})
	if body := <-bodies; body != "another's" {
		t.Errorf("got %q", body)
	}
}

// TestReply sends answers to replies of their organisation, and to nothing else.
func TestReply(t *testing.T) {
	t.Parallel()
	b := connect(t, newServer(t, nil).config(t), usual())
	queue, err := b.Intake(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	answer := events.Event{
		ID: "answer", Source: "/test", Org: "org@Test", Time: time.Now(), Trace: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		Data: events.Rejected{Event: "e1", Problems: []events.Problem{{Code: "not-found", Pointer: "/secret", Detail: "there is none"}}},
	}
	all, err := b.nc.SubscribeSync(">")
	if err != nil {
		t.Fatal(err)
	}
	to := intake.NewReplySubject(answer.Org)
	for _, wrong := range []string{
		"", "anywhere", intake.NewReplySubject("other@Test"), to + ".more", to[:len(to)-20], strings.Replace(to, ".reply.", ".event.", 1),
		"$JS.API.STREAM.DELETE.EVENTS", strings.TrimSuffix(intake.RepliesTo(answer.Org), "*") + ">",
	} {
		if err := queue.Reply(t.Context(), wrong, answer); err == nil {
			t.Errorf("it was sent to %q", wrong)
		}
	}
	if err := queue.Reply(t.Context(), to, answer); err != nil {
		t.Fatal(err)
	}
	m, err := all.NextMsgWithContext(t.Context())
	if err != nil || m.Subject != to {
		t.Fatalf("%v on %q", err, m.Subject)
	}
	got, err := events.Decode(events.Header(m.Header), m.Data)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(answer.Data, got.Data); diff != "" || got.ID != answer.ID || got.Trace != answer.Trace {
		t.Errorf("%v (-want +got):\n%s", got, diff)
	}
}
