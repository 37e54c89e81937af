package bus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/rekindle-dev/rekindle/events"
)

const historyOrg = "org@Test"

// happened publishes the n-th event about a secret of an organisation.
func happened(t testing.TB, b *Bus, org, id string, n int) {
	t.Helper()
	e := events.Event{ID: fmt.Sprint(org, id, n), Source: "/rekindle/test", Org: org, Time: time.Now()}
	switch n % 3 {
	case 0:
		e.Data = events.RetryRequested{Secret: id}
	case 1:
		e.Data = events.ExchangeFailed{Secret: id, Reason: events.ReasonTimeout}
	default:
		e.Data = events.ExchangeSucceeded{Secret: id}
	}
	if err := b.Publish(patient(t), e); err != nil {
		t.Fatal(err)
	}
}

// history reads the whole history of a secret in pages.
func history(t testing.TB, b *Bus, org, id string, size int) (ids []string) {
	t.Helper()
	for after, more := uint64(0), true; more; {
		var entries []events.Entry
		var err error
		entries, more, err = b.History(patient(t), org, id, after, size)
		if err != nil || len(entries) > size || more && len(entries) < size {
			t.Fatalf("%d entries of at most %d, more %v, error %v", len(entries), size, more, err)
		}
		for _, e := range entries {
			if e.Err != nil || e.Sequence <= after || e.Stored.IsZero() || e.Event.Data.About() != id || e.Event.Org != org || e.Type != e.Event.Data.Type() {
				t.Errorf("after %d: %+v", after, e)
			}
			after = e.Sequence
			ids = append(ids, e.Event.ID)
		}
	}
	return ids
}

// All events of one secret come, in order, in pages of any size, and nobody
// else's.
func TestHistory(t *testing.T) {
	t.Parallel()
	b := open(t)
	var want []string
	for n := range 10 {
		happened(t, b, historyOrg, "SE1", n)
		happened(t, b, historyOrg, "SE2", n)
		happened(t, b, "other", "SE1", n)
		want = append(want, fmt.Sprint(historyOrg, "SE1", n))
	}
	for _, size := range []int{1, 3, 5, 10, 11, 1_000_000} {
		if got := history(t, b, historyOrg, "SE1", size); !slices.Equal(got, want) {
			t.Errorf("in pages of %d: %v", size, got)
		}
	}
	for _, none := range []struct{ org, id string }{
		{historyOrg, "SE3"}, {"", "SE1"}, {"*", "SE1"}, {">", "SE1"}, {historyOrg, "*"}, {historyOrg, ">"}, {historyOrg, ""},
	} {
		if got := history(t, b, none.org, none.id, 10); len(got) != 0 {
			t.Errorf("of %q in %q: %v", none.id, none.org, got)
		}
	}
	for _, at := range []uint64{30, 1 << 63, 1<<64 - 1} {
		if got, more, err := b.History(patient(t), historyOrg, "SE1", at, 10); len(got) > 0 || more || err != nil {
			t.Errorf("after %d: %v, %v, %v", at, got, more, err)
		}
	}
}

// Of one type and one secret the last event comes, and nobody else's.
func TestLast(t *testing.T) {
	t.Parallel()
	b := open(t)
	for n := range 7 {
		happened(t, b, historyOrg, "SE1", n)
	}
	happened(t, b, "other", "SE1", 0)
	happened(t, b, historyOrg, "SE2", 0)
	got, found, err := b.Last(patient(t), historyOrg, "SE1", events.TypeRetryRequested)
	if err != nil || !found || got.Err != nil || got.Event.ID != fmt.Sprint(historyOrg, "SE1", 6) || got.Sequence != 7 || got.Stored.IsZero() {
		t.Errorf("got %+v, %v, %v", got, found, err)
	}
	for _, none := range []struct {
		org, id string
		t       events.Type
	}{
		{historyOrg, "SE1", events.TypeSecretDeleted},
		{historyOrg, "SE3", events.TypeRetryRequested},
		{"*", "SE1", events.TypeRetryRequested},
		{historyOrg, "*", events.TypeRetryRequested},
		{"", "", events.TypeRetryRequested},
	} {
		if got, found, err := b.Last(patient(t), none.org, none.id, none.t); found || err != nil {
			t.Errorf("of %v: %+v, %v, %v", none, got, found, err)
		}
	}
}

// What is no event shows as that and hides nothing, whatever it pretends.
func TestHistoryOfWhatIsNoEvent(t *testing.T) {
	t.Parallel()
	b := open(t)
	happened(t, b, historyOrg, "SE1", 0)
	subject := events.EventSubject(historyOrg, "SecretForgotten", "SE1")
	for _, m := range []*nats.Msg{
		{Subject: subject},
		{Subject: subject, Data: []byte("CANARY")},
		{Subject: subject, Data: []byte("CANARY"), Header: nats.Header{
			"Status": {"204"}, "Nats-Sequence": {"7"}, "Nats-Stream": {"x"}, "Nats-Num-Pending": {"0"}, "Nats-Last-Sequence": {"99"},
			"Nats-Time-Stamp": {"never"}, "Nats-Subject": {events.EventSubject("other", events.TypeSecretCreated, "SE1")},
		}},
	} {
		if _, err := b.js.PublishMsg(patient(t), m); err != nil {
			t.Fatal(err)
		}
	}
	happened(t, b, historyOrg, "SE1", 1)
	for _, size := range []int{2, 10} {
		var got []string
		for after, more := uint64(0), true; more; {
			var entries []events.Entry
			var err error
			if entries, more, err = b.History(patient(t), historyOrg, "SE1", after, size); err != nil || len(entries) == 0 {
				t.Fatalf("after %d: %v, %v", after, entries, err)
			}
			for _, e := range entries {
				got = append(got, fmt.Sprint(e.Sequence, " ", e.Type, " ", e.Err == nil))
				after = e.Sequence
			}
		}
		want := []string{
			"1 RetryRequested true", "2 SecretForgotten false", "3 SecretForgotten false", "4 SecretForgotten false", "5 ExchangeFailed true",
		}
		if !slices.Equal(got, want) {
			t.Errorf("in pages of %d: %q", size, got)
		}
	}
}

// Without a server, or without the log, there is an error and not an empty
// history.
func TestHistoryUnavailable(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	b := connect(t, s.config(t), never())
	happened(t, b, historyOrg, "SE1", 0)
	if err := b.js.DeleteStream(patient(t), streamEvents); err != nil {
		t.Fatal(err)
	}
	if got, _, err := b.History(patient(t), historyOrg, "SE1", 0, 10); !errors.Is(err, ErrUnavailable) || got != nil {
		t.Errorf("without the log: %v, %v", got, err)
	}
	if _, found, err := b.Last(patient(t), historyOrg, "SE1", events.TypeRetryRequested); !errors.Is(err, ErrUnavailable) || found {
		t.Errorf("the last without the log: %v, %v", found, err)
	}
	s.stop()
	until(t, "disconnected", func() bool { return !b.Connected() })
	if got, _, err := b.History(patient(t), historyOrg, "SE1", 0, 10); !errors.Is(err, ErrUnavailable) || got != nil {
		t.Errorf("without a server: %v, %v", got, err)
	}
	if _, found, err := b.Last(patient(t), historyOrg, "SE1", events.TypeRetryRequested); !errors.Is(err, ErrUnavailable) || found {
		t.Errorf("the last without a server: %v, %v", found, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := b.History(ctx, historyOrg, "SE1", 0, 10); err == nil {
		t.Error("no error after the end of the context")
	}
}

// An answer of which a part is missing is no answer.
func TestHistoryGap(t *testing.T) {
	t.Parallel()
	message := func(seq, previous string) *nats.Msg {
		return &nats.Msg{Header: nats.Header{
			"Nats-Stream": {"EVENTS"}, "Nats-Sequence": {seq}, "Nats-Last-Sequence": {previous}, "Nats-Time-Stamp": {"2026-11-22T01:00:00Z"},
		}}
	}
	if e, err := entryOf(message("5", "3"), 3); err != nil || e.Sequence != 5 {
		t.Errorf("behind the message before it: %v, %v", e, err)
	}
	if _, err := entryOf(message("5", "4"), 3); !errors.Is(err, errGap) {
		t.Errorf("behind another message: %v", err)
	}
	for _, bad := range []string{"", "x", "-1"} {
		if _, err := entryOf(message(bad, "3"), 3); err == nil {
			t.Errorf("an entry with the sequence %q", bad)
		}
	}
	end := &nats.Msg{Header: nats.Header{"Status": {"204"}, "Nats-Last-Sequence": {"5"}, "Nats-Num-Pending": {"2"}}}
	if ended, more, err := endOfRange(end, 5); !ended || !more || err != nil {
		t.Errorf("the end: %v, %v, %v", ended, more, err)
	}
	if _, _, err := endOfRange(end, 4); !errors.Is(err, errGap) {
		t.Errorf("the end after a gap: %v", err)
	}
	if _, _, err := endOfRange(&nats.Msg{Header: nats.Header{"Status": {"408"}}}, 0); err == nil {
		t.Error("a refusal is no end")
	}
}
