package bus

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/pkg/work"
)

// secrets is how many secrets a benchmark's jobs are for.
const secrets = 1000

// BenchmarkCycle is a refresh without the exchange: the job is offered and
// taken, the record read and written by compare-and-swap, the event said, the
// job acknowledged and confirmed. Client and server share the machine.
func BenchmarkCycle(b *testing.B) {
	for _, workers := range []int{1, 64, 256} {
		b.Run(fmt.Sprint("workers=", workers), func(b *testing.B) {
			bus := open(b)
			st := openState(b, bus)
			for i := range secrets {
				commit(b, st, put(state.SecretKey(fmt.Sprint("SE", i)), string(make([]byte, 1500))))
			}
			cycle := func(ctx context.Context, m work.Message) error {
				value, rev, err := st.Get(ctx, state.SecretKey(m.Subject))
				if err != nil {
					return err
				}
				_, err = st.Commit(ctx, state.Write{Key: state.SecretKey(m.Subject), Value: value, Expect: rev})
				if err != nil {
					return err
				}
				return bus.Publish(ctx, events.Event{
					ID: m.ID, Source: "/rekindle/bench", Time: due("").Time,
					Data: events.ExchangeSucceeded{Secret: m.Subject, Generation: 1},
				})
			}
			b.ResetTimer()
			benchmarkJobs(b, bus, workers, cycle)
		})
	}
}

// benchmarkJobs has b.N jobs worked on, with some always waiting.
func benchmarkJobs(b *testing.B, bus *Bus, workers int, handle work.Handler) {
	ahead := make(chan struct{}, 2*workers) // fewer than secrets, so that no job is refused
	w := startWork(b, bus, workers, func(ctx context.Context, m work.Message) error {
		if err := handle(ctx, m); err != nil {
			b.Error(err)
		}
		<-ahead
		return nil
	})
	var offering sync.WaitGroup
	for n := range b.N {
		ahead <- struct{}{}
		offering.Go(func() {
			e := due(fmt.Sprint("SE", n%secrets))
			e.ID = fmt.Sprint(n)
			if accepted, err := bus.Offer(b.Context(), e); !accepted || err != nil {
				b.Errorf("job %d: accepted %v, error %v", n, accepted, err)
			}
		})
	}
	offering.Wait()
	for range cap(ahead) { // until nothing is left
		ahead <- struct{}{}
	}
	w.soft()
	<-w.err
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "cycles/s")
}

// BenchmarkOutbox is what it costs to say of a change, in the same commit, what is to be
// told of it, and to take that away again.
func BenchmarkOutbox(b *testing.B) {
	for _, told := range []bool{false, true} {
		for _, writers := range []int{1, 8} {
			b.Run(fmt.Sprintf("told=%v/writers=%d", told, writers), func(b *testing.B) {
				st := openState(b, open(b))
				record, parcel := make([]byte, 1500), make([]byte, 2000)
				var each sync.WaitGroup
				for w := range writers {
					each.Go(func() {
						var rev state.Revision
						for n := w; n < b.N; n += writers {
							writes := []state.Write{{Key: state.SecretKey(fmt.Sprint("SE", w)), Value: record, Expect: rev}}
							if told {
								writes = append([]state.Write{put(state.OutboxKey(fmt.Sprint(n)), string(parcel))}, writes...)
							}
							rev = commit(b, st, writes...)
							if told {
								commit(b, st, state.Write{Key: state.OutboxKey(fmt.Sprint(n)), Expect: rev - 1})
							}
						}
					})
				}
				each.Wait()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "changes/s")
			})
		}
	}
}

// BenchmarkFollowReplay is the start of a scheduler or of an api: every record,
// 1.5 KB each, told once.
func BenchmarkFollowReplay(b *testing.B) {
	const records = 100_000
	bus := open(b)
	st := openState(b, bus)
	value := make([]byte, 1500)
	for i := range records {
		m := nats.NewMsg(prefixOf(state.Main) + state.SecretKey(fmt.Sprint("SE", i)))
		m.Data = value
		if _, err := bus.js.PublishMsgAsync(m); err != nil {
			b.Fatal(err)
		}
	}
	<-bus.js.PublishAsyncComplete()
	b.ResetTimer()
	for b.Loop() {
		ctx, stop := context.WithCancel(b.Context())
		told := 0
		_ = st.Follow(ctx, []string{"secret.*"}, func(state.Change) { told++ }, stop)
		if told != records {
			b.Fatalf("%d records were told, want %d", told, records)
		}
	}
	b.ReportMetric(float64(records)*float64(b.N)/b.Elapsed().Seconds(), "records/s")
}

// BenchmarkHistory reads the time-line of one secret, 60 events spread over a log
// of 100,000 of other secrets, by one caller.
func BenchmarkHistory(b *testing.B) {
	const others, of, own = 100_000, 20_000, 60
	bus := open(b)
	for i := range others {
		id := fmt.Sprint("SE", i%of)
		if i%(others/own) == 0 {
			happened(b, bus, historyOrg, "SEmine", i)
		}
		h, body, err := events.Encode(events.Event{
			ID: fmt.Sprint(i), Source: "/rekindle/bench", Org: historyOrg, Time: due("").Time,
			Data: events.ExchangeFailed{Secret: id, Kind: "oauth2", Action: "refresh", Reason: events.ReasonTimeout, Detail: "no complete answer came within 10 s"},
		})
		if err != nil {
			b.Fatal(err)
		}
		m := &nats.Msg{Subject: events.EventSubject(historyOrg, events.TypeExchangeFailed, id), Header: nats.Header(h), Data: body}
		if _, err := bus.js.PublishMsgAsync(m); err != nil {
			b.Fatal(err)
		}
	}
	<-bus.js.PublishAsyncComplete()
	for name, q := range map[string]struct {
		id    string
		after uint64
		most  int
		want  int
	}{
		"whole": {"SEmine", 0, 100, own}, "page of 25": {"SEmine", 0, 25, 25}, "one": {"SEmine", 0, 1, 1},
		"end": {"SEmine", others, 25, 0}, "unknown": {"SEnone", 0, 25, 0},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				got, _, err := bus.History(b.Context(), historyOrg, q.id, q.after, q.most)
				if err != nil || len(got) < q.want {
					b.Fatalf("%d entries, error %v", len(got), err)
				}
			}
		})
	}
}
