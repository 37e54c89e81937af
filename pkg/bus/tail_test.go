package bus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/ledger"
)

// followed is one running Tail, which ends with the test.
type followed struct {
	parts chan ledger.Part
	err   chan error
	stop  context.CancelFunc
}

func tailFrom(t testing.TB, b *Bus, which ledger.Selection, from ledger.Start) *followed {
	t.Helper()
	f := &followed{parts: make(chan ledger.Part, 10_000), err: make(chan error, 1)}
	var ctx context.Context
	ctx, f.stop = context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		f.err <- b.Tail(ctx, which, from, func(p ledger.Part) error {
			f.parts <- p
			return nil
		})
	}()
	t.Cleanup(func() {
		f.stop()
		<-done
	})
	return f
}

// read returns the ids of the events that come until there are n, what is missing before
// them, and the position behind them.
func (f *followed) read(t testing.TB, n int) (ids []string, gaps []ledger.Gap, position uint64) {
	t.Helper()
	for len(ids) < n {
		p := next(t, f.parts)
		ids = append(ids, idsOf(p.Entries)...)
		if p.Gap != nil {
			gaps = append(gaps, *p.Gap)
		}
		position = p.Position
	}
	return ids, gaps, position
}

// upToNow returns what comes until all there was has been handed over.
func (f *followed) upToNow(t testing.TB) (ids []string, gaps []ledger.Gap, position uint64) {
	t.Helper()
	for {
		p := next(t, f.parts)
		ids = append(ids, idsOf(p.Entries)...)
		if p.Gap != nil {
			gaps = append(gaps, *p.Gap)
		}
		if p.Present {
			return ids, gaps, p.Position
		}
	}
}

func idsOf(entries []events.Entry) (ids []string) {
	for _, e := range entries {
		id := e.Event.ID
		if e.Err != nil {
			id = "unreadable"
		}
		ids = append(ids, id)
	}
	return ids
}

// started is the position of one who follows, once it does.
func (f *followed) started(t testing.TB) uint64 {
	t.Helper()
	return next(t, f.parts).Position
}

func allOf(org string) ledger.Selection { return ledger.Selection{Org: org} }

func ids(org, id string, numbers ...int) (want []string) {
	for _, n := range numbers {
		want = append(want, fmt.Sprint(org, id, n))
	}
	return want
}

// What is selected comes, in order, and nothing of others.
func TestTailSelects(t *testing.T) {
	t.Parallel()
	b := open(t)
	for n := range 6 {
		happened(t, b, historyOrg, "SE1", n)
		happened(t, b, historyOrg, "SE2", n)
		happened(t, b, "other", "SE1", n)
	}
	e := events.Event{ID: "of nobody", Source: "/rekindle/test", Time: time.Now(), Data: events.RegistrationExpiring{Provider: "SE1"}}
	if err := b.Publish(patient(t), e); err != nil {
		t.Fatal(err)
	}
	failed, succeeded := events.TypeExchangeFailed, events.TypeExchangeSucceeded
	for _, row := range []struct {
		name  string
		which ledger.Selection
		want  []string
	}{
		{"a secret", ledger.Selection{Org: historyOrg, Secrets: []string{"SE1"}}, ids(historyOrg, "SE1", 0, 1, 2, 3, 4, 5)},
		{"the same twice", ledger.Selection{Org: historyOrg, Secrets: []string{"SE1", "SE1"}, Types: []events.Type{failed, failed}}, ids(historyOrg, "SE1", 1, 4)},
		{"types", ledger.Selection{Org: historyOrg, Secrets: []string{"SE1"}, Types: []events.Type{failed, succeeded}}, ids(historyOrg, "SE1", 1, 2, 4, 5)},
		{"a type", ledger.Selection{Org: historyOrg, Types: []events.Type{failed}}, []string{historyOrg + "SE11", historyOrg + "SE21", historyOrg + "SE14", historyOrg + "SE24"}},
		{"another organisation", allOf("other"), ids("other", "SE1", 0, 1, 2, 3, 4, 5)},
		{"no organisation's", ledger.Selection{Org: "*"}, nil},
		{"wildcards", ledger.Selection{Org: historyOrg, Secrets: []string{"*", ">"}}, nil},
	} {
		f := tailFrom(t, b, row.which, ledger.Start{After: new(uint64)})
		got, gaps, position := f.upToNow(t)
		if !slices.Equal(got, row.want) || len(gaps) > 0 {
			t.Errorf("%s: %v, want %v; missing %v", row.name, got, row.want, gaps)
		}
		if len(row.want) == 0 && position != 19 {
			t.Errorf("%s: the position is %d, want that of the last event", row.name, position)
		}
	}
	everything, _, position := tailFrom(t, b, allOf(historyOrg), ledger.Start{After: new(uint64)}).upToNow(t)
	if len(everything) != 12 || slices.ContainsFunc(everything, func(id string) bool { return !strings.HasPrefix(id, historyOrg) }) || position < 17 {
		t.Errorf("all of an organisation: %v, up to %d", everything, position)
	}
}

// Following begins where it was said: with nothing twice, and nothing left out.
func TestTailBegins(t *testing.T) {
	t.Parallel()
	b := open(t)
	for n := range 4 {
		happened(t, b, historyOrg, "SE1", n)
	}
	middle := storedAt(t, b, 3)
	fresh := tailFrom(t, b, allOf(historyOrg), ledger.Start{})
	if at := fresh.started(t); at != 4 {
		t.Errorf("from now on: began behind %d, want 4", at)
	}
	for n := 4; n < 6; n++ {
		happened(t, b, historyOrg, "SE1", n)
	}
	for _, row := range []struct {
		name string
		from ledger.Start
		want []string
	}{
		{"behind an event", ledger.Start{After: new(uint64(2))}, ids(historyOrg, "SE1", 2, 3, 4, 5)},
		{"behind the last", ledger.Start{After: new(uint64(6))}, nil},
		{"from a time", ledger.Start{Since: middle}, ids(historyOrg, "SE1", 2, 3, 4, 5)},
		{"from before all", ledger.Start{Since: middle.Add(-time.Hour)}, ids(historyOrg, "SE1", 0, 1, 2, 3, 4, 5)},
		{"from the future", ledger.Start{Since: middle.Add(time.Hour)}, nil},
		{"behind an event, whatever the time", ledger.Start{After: new(uint64(5)), Since: middle}, ids(historyOrg, "SE1", 5)},
	} {
		got, gaps, position := tailFrom(t, b, allOf(historyOrg), row.from).upToNow(t)
		if !slices.Equal(got, row.want) || len(gaps) > 0 || position != 6 {
			t.Errorf("%s: %v up to %d, want %v; missing %v", row.name, got, position, row.want, gaps)
		}
	}
	if got, _, _ := fresh.read(t, 2); !slices.Equal(got, ids(historyOrg, "SE1", 4, 5)) {
		t.Errorf("from now on: %v", got)
	}
}

// storedAt is when the log took an event.
func storedAt(t testing.TB, b *Bus, sequence uint64) time.Time {
	t.Helper()
	s, err := b.js.Stream(patient(t), streamEvents)
	if err != nil {
		t.Fatal(err)
	}
	m, err := s.GetMsg(patient(t), sequence)
	if err != nil {
		t.Fatal(err)
	}
	return m.Time
}

// What was asked for and is not kept is told before anything else, with how much it is as
// far as that is known.
func TestTailTellsGaps(t *testing.T) {
	t.Parallel()
	b := open(t)
	for n := range 5 {
		happened(t, b, historyOrg, "SE1", n)
	}
	early, oldest := storedAt(t, b, 1), storedAt(t, b, 4)
	s, err := b.js.Stream(patient(t), streamEvents)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Purge(patient(t), jetstream.WithPurgeSequence(4)); err != nil {
		t.Fatal(err)
	}
	check := func(name string, from ledger.Start, want *ledger.Gap, events ...string) {
		t.Helper()
		got, gaps, _ := tailFrom(t, b, allOf(historyOrg), from).upToNow(t)
		if !slices.Equal(got, events) {
			t.Errorf("%s: %v, want %v", name, got, events)
		}
		if want == nil && len(gaps) > 0 || want != nil && (len(gaps) != 1 || gaps[0] != *want) {
			t.Errorf("%s: missing %v, want %v", name, gaps, want)
		}
	}
	check("behind an event that is gone", ledger.Start{After: new(uint64(1))}, &ledger.Gap{AtMost: 2, OldestAt: oldest}, ids(historyOrg, "SE1", 3, 4)...)
	check("behind the last that is gone", ledger.Start{After: new(uint64(3))}, nil, ids(historyOrg, "SE1", 3, 4)...)
	check("from a time that is gone", ledger.Start{Since: early}, &ledger.Gap{OldestAt: oldest}, ids(historyOrg, "SE1", 3, 4)...)
	check("from the oldest", ledger.Start{Since: oldest}, nil, ids(historyOrg, "SE1", 3, 4)...)
	check("behind what there never was", ledger.Start{After: new(uint64(1 << 40))}, &ledger.Gap{SetBack: true, OldestAt: oldest}, ids(historyOrg, "SE1", 3, 4)...)
	if err := s.Purge(patient(t)); err != nil {
		t.Fatal(err)
	}
	check("behind an event, of a log with nothing in it", ledger.Start{After: new(uint64(1))}, &ledger.Gap{AtMost: 4})
	check("from a time, of a log with nothing in it", ledger.Start{Since: early}, &ledger.Gap{})
	check("since it is empty", ledger.Start{Since: time.Now().Add(time.Minute)}, nil)
	check("from now on", ledger.Start{}, nil)
}

// What cannot be read is handed over as that, and what lies on a subject that is not its own.
func TestTailOfTheUnreadable(t *testing.T) {
	t.Parallel()
	b := open(t)
	h, body, err := events.Encode(events.Event{ID: "foreign", Source: "/x", Org: "other", Time: time.Now(), Data: events.RetryRequested{Secret: "SE1"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range []*nats.Msg{
		{Subject: events.EventSubject(historyOrg, "FromTheFuture", "SE1"), Data: []byte("{}")},
		{Subject: events.EventSubject(historyOrg, events.TypeRetryRequested, "SE1"), Header: nats.Header(h), Data: body},
		{Subject: events.EventSubject(historyOrg, events.TypeRetryRequested, "SE1"), Header: nats.Header{"Status": {"409"}}, Data: []byte("\x00")},
	} {
		if _, err := b.js.PublishMsg(patient(t), m); err != nil {
			t.Fatal(err)
		}
	}
	happened(t, b, historyOrg, "SE1", 0)
	got, _, position := tailFrom(t, b, allOf(historyOrg), ledger.Start{After: new(uint64)}).upToNow(t)
	if want := append([]string{"unreadable", "unreadable", "unreadable"}, ids(historyOrg, "SE1", 0)...); !slices.Equal(got, want) || position != 4 {
		t.Errorf("%v up to %d, want %v", got, position, want)
	}
}

// The server goes away and comes back in the middle: nothing is lost, and nothing comes
// twice.
func TestTailSurvivesTheServer(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	b, err := Connect(patient(t), s.config(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	const each = 50
	f := tailFrom(t, b, allOf(historyOrg), ledger.Start{})
	f.started(t)
	var want []string
	for round := range 3 {
		for n := range each {
			n += round * each
			until(t, "an event is stored", func() bool {
				ctx, stop := context.WithTimeout(t.Context(), time.Second) // an answer may be lost with the server
				defer stop()
				return b.Publish(ctx, exchanged(n)) == nil
			})
			want = append(want, fmt.Sprint("e", n))
		}
		if round < 2 {
			s.stop()
			s.start(t)
		}
	}
	got, gaps, position := f.read(t, len(want))
	if !slices.Equal(got, want) || len(gaps) > 0 || position != uint64(len(want)) {
		t.Errorf("%d events up to %d, want %d; missing %v", len(got), position, len(want), gaps)
	}
}

func exchanged(n int) events.Event {
	return events.Event{ID: fmt.Sprint("e", n), Source: "/rekindle/test", Org: historyOrg, Time: time.Now(), Data: events.ExchangeSucceeded{Secret: "SE1"}}
}

// A log that is set back while it is followed is told, and begun anew.
func TestTailOfALogThatIsSetBack(t *testing.T) {
	t.Parallel()
	b := open(t)
	for n := range 3 {
		happened(t, b, historyOrg, "SE1", n)
	}
	f := tailFrom(t, b, allOf(historyOrg), ledger.Start{})
	f.started(t)
	if err := b.js.DeleteStream(patient(t), streamEvents); err != nil {
		t.Fatal(err)
	}
	cfg := b.streams()[slices.IndexFunc(b.streams(), func(c jetstream.StreamConfig) bool { return c.Name == streamEvents })]
	if _, err := b.js.CreateStream(patient(t), cfg); err != nil {
		t.Fatal(err)
	}
	happened(t, b, historyOrg, "SE9", 7)
	got, gaps, position := f.read(t, 1)
	if !slices.Equal(got, ids(historyOrg, "SE9", 7)) || len(gaps) != 1 || !gaps[0].SetBack || position != 1 {
		t.Errorf("%v up to %d, missing %+v", got, position, gaps)
	}
}

// Who takes nothing holds up nobody, and has little waiting for it; who refuses a part ends
// with its own error.
func TestTailWaitsForItsReader(t *testing.T) {
	t.Parallel()
	b := open(t)
	const many = 3 * tailBatch
	for n := range many {
		happened(t, b, historyOrg, "SE1", n)
	}
	taken, enough := 0, errors.New("enough")
	release, blocked := make(chan struct{}), make(chan struct{})
	ended := make(chan error, 1)
	go func() {
		ended <- b.Tail(t.Context(), allOf(historyOrg), ledger.Start{After: new(uint64)}, func(p ledger.Part) error {
			if taken == 0 && len(p.Entries) > 0 {
				close(blocked)
				<-release
			}
			if len(p.Entries) > tailBatch {
				t.Errorf("a part of %d", len(p.Entries))
			}
			if taken += len(p.Entries); taken == many {
				return enough
			}
			return nil
		})
	}()
	next(t, blocked)
	if got, _, _ := tailFrom(t, b, allOf(historyOrg), ledger.Start{After: new(uint64)}).upToNow(t); len(got) != many {
		t.Errorf("another reader has %d events, want %d", len(got), many)
	}
	s, err := b.js.Stream(patient(t), streamEvents)
	if err != nil {
		t.Fatal(err)
	}
	for c := range s.ListConsumers(patient(t)).Info() {
		if c.Config.Durable == "" && c.Delivered.Consumer > tailBatch && c.NumPending > 0 {
			t.Errorf("a consumer has sent %d events, more than were asked for", c.Delivered.Consumer)
		}
	}
	close(release)
	if err := next(t, ended); !errors.Is(err, enough) {
		t.Errorf("ended with %v", err)
	}
}

// What was read before following is interrupted, and not handed over, is read again.
func TestTailReadsAgainWhatItDidNotHandOver(t *testing.T) {
	t.Parallel()
	b := open(t)
	for n := range 8 {
		happened(t, b, historyOrg, "SE1", n)
	}
	f := &tail{b: b, subjects: []string{"rekindle.v1.event.>"}, from: ledger.Start{After: new(uint64)}, tell: func(p ledger.Part) error {
		if len(p.Entries) > 0 {
			t.Error("a part was handed over")
		}
		return nil
	}}
	p, _, err := f.open(patient(t))
	if err != nil {
		t.Fatal(err)
	}
	other, err := newPuller(b.nc, streamEvents, p.subject[strings.LastIndexByte(p.subject, '.')+1:]) // who takes one away
	if err != nil {
		t.Fatal(err)
	}
	for _, who := range []*puller{p, p, other, p} {
		if err := who.askFor(1, tailBytes); err != nil {
			t.Fatal(err)
		}
	}
	until(t, "the events have come", func() bool { return p.arrived() >= 3 })
	if _, _, err := f.take(t.Context(), p, tailBatch, 0); !errors.Is(err, errGap) || f.position != 0 {
		t.Errorf("%v; goes on behind %d", err, f.position)
	}
}
