package bus

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/audit"
	"github.com/rekindle-dev/rekindle/pkg/audit/audittest"
)

func openAudit(t testing.TB, b *Bus) *AuditLog {
	t.Helper()
	l, err := b.Audit(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestAuditLog(t *testing.T) {
	t.Parallel()
	audittest.Suite(t, func(t *testing.T) audit.Log { return openAudit(t, open(t)) })
}

// TestAuditOfTheRawStream writes a trail, and then does to the stream what an administrator
// of the server can: takes it away, and puts another in its place.
func TestAuditOfTheRawStream(t *testing.T) {
	t.Parallel()
	b := open(t)
	l := openAudit(t, b)
	k := audit.NewKeeper(l, time.Now)
	for i := range 5 {
		if _, err := k.Keep(t.Context(), "acme", []audit.Entry{audittest.Entry(fmt.Sprint(i))}); err != nil {
			t.Fatal(err)
		}
	}
	whole := pagesOf(t, l)
	head := whole[4].Hash()
	s, err := b.js.Stream(t.Context(), streamAudit)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.DeleteMsg(t.Context(), 3); err == nil {
		t.Error("a page was deleted by a command")
	}
	if err := s.Purge(t.Context()); err == nil {
		t.Error("the trail was purged by a command")
	}
	altered := slices.Clone(whole)
	altered[2].Body = bytes.Replace(altered[2].Body, []byte("ada@"), []byte("eve@"), 1)
	swapped := slices.Clone(whole)
	swapped[1], swapped[2] = swapped[2], swapped[1]
	for name, row := range map[string]struct {
		pages []audit.Stored
		want  audit.Fault
	}{
		"nothing":     {whole, ""},
		"altered":     {altered, audit.Altered},
		"middle gone": {slices.Delete(slices.Clone(whole), 2, 3), audit.Missing},
		"end gone":    {whole[:3], audit.NoHead},
		"swapped":     {swapped, audit.Missing},
		"first gone":  {whole[1:], audit.Rewritten}, // by age it would leave the others where they are
	} {
		v := audit.NewVerifier("acme", head)
		for _, p := range pagesOf(t, rewritten(t, row.pages)) {
			v.Add(p)
		}
		if r := v.Report(); r.Sound() != (row.want == "") || !r.Sound() && r.Findings[0].Fault != row.want {
			t.Errorf("%s: %+v, want %q", name, r.Findings, row.want)
		}
	}
}

func pagesOf(t testing.TB, l audit.Log) (pages []audit.Stored) {
	t.Helper()
	for from := uint64(1); ; {
		s, err := l.Next(t.Context(), "acme", from)
		if errors.Is(err, audit.ErrNone) {
			return pages
		}
		if err != nil {
			t.Fatal(err)
		}
		pages, from = append(pages, s), s.Sequence+1
	}
}

// rewritten is a stream made anew, of these pages.
func rewritten(t testing.TB, pages []audit.Stored) *AuditLog {
	t.Helper()
	b := open(t)
	for _, p := range pages {
		if _, err := b.js.Publish(t.Context(), events.AuditSubject("acme"), p.Body); err != nil {
			t.Fatal(err)
		}
	}
	return openAudit(t, b)
}

// TestAuditKept: what a process is told of how much is kept is done, and what it is not told
// is left alone.
func TestAuditKept(t *testing.T) {
	t.Parallel()
	s := serve(t)
	for _, row := range []struct{ say, want AuditKept }{
		{AuditKept{}, AuditKept{DefaultAuditKeep, DefaultAuditBytes}},
		{AuditKept{Keep: 48 * time.Hour, Bytes: 64 << 20}, AuditKept{48 * time.Hour, 64 << 20}},
		{AuditKept{}, AuditKept{48 * time.Hour, 64 << 20}},
		{AuditKept{Bytes: 32 << 20}, AuditKept{48 * time.Hour, 32 << 20}},
	} {
		cfg := configFor(t, s)
		cfg.Audit = row.say
		b := connect(t, cfg, usual())
		info, err := b.js.Stream(t.Context(), streamAudit)
		if err != nil {
			t.Fatal(err)
		}
		if got := (AuditKept{info.CachedInfo().Config.MaxAge, info.CachedInfo().Config.MaxBytes}); got != row.want {
			t.Errorf("told %+v, the stream has %+v, want %+v", row.say, got, row.want)
		}
	}
}

// TestHear: what the fleet does is heard once by all who hear together, and again what could
// not be dealt with; the rest of the log is not heard.
func TestHear(t *testing.T) {
	t.Parallel()
	b := open(t)
	const some = 1200
	publish := func(from, to int) {
		for i := from; i < to; i++ {
			for _, data := range []events.Data{
				events.ExchangeSucceeded{Secret: fmt.Sprint("SE", i), Generation: 1},
				events.SecretCreated{Secret: fmt.Sprint("SE", i)},
			} {
				e := events.Event{ID: fmt.Sprint(data.Type(), i), Source: "/test", Org: "acme", Time: time.Now(), Data: data}
				if err := b.Publish(patient(t), e); err != nil {
					t.Error(err)
				}
			}
		}
	}
	publish(0, some)
	ctx, stop := context.WithCancel(t.Context())
	var parts atomic.Int64
	heard, failed := make(chan events.Entry, 2*some), make(chan struct{}, 1)
	failed <- struct{}{}
	ended := make(chan error)
	for range 2 {
		go func() {
			ended <- b.Hear(ctx, func(_ context.Context, list []events.Entry) error {
				select {
				case <-failed:
					return errors.New("not now")
				default:
				}
				parts.Add(1)
				for _, e := range list {
					heard <- e
				}
				return nil
			})
		}()
	}
	seen := map[string]bool{}
	for len(seen) < some {
		e := next(t, heard)
		if e.Err != nil || e.Type != events.TypeExchangeSucceeded {
			t.Fatalf("heard %s, %v", e.Type, e.Err)
		}
		seen[e.Event.ID] = true
	}
	if n := parts.Load(); n > some/50 {
		t.Errorf("%d parts for %d events", n, some)
	}
	stop()
	for range 2 {
		if err := next(t, ended); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
	c, err := b.js.Consumer(t.Context(), streamEvents, consumerAudit)
	if err != nil {
		t.Fatal(err)
	}
	if policy := c.CachedInfo().Config.AckPolicy; policy != jetstream.AckExplicitPolicy {
		t.Errorf("ack policy %v", policy)
	}
}

// TestEveryEventIsAccountedFor: what concerns users is heard, for the audit trail and so for
// callbacks, unless the api has written it down itself or it is no fact about a secret of theirs.
func TestEveryEventIsAccountedFor(t *testing.T) {
	t.Parallel()
	const (
		byAPI = "is written down by the api with the change that it is about"
		order = "is an order"
		ours  = "is about what an operator has registered"
		reply = "is said to who asked, and concerns nobody else"
	)
	other := map[events.Type]string{
		events.TypeSecretCreated: byAPI, events.TypeSecretUpdated: byAPI, events.TypeSecretDeleted: byAPI, events.TypeRetryRequested: byAPI,
		events.TypeSecretTested: byAPI, events.TypeSecretTakenOver: byAPI, events.TypeReauthorizeRequested: byAPI, events.TypeConsentReceived: byAPI,
		events.TypeRefreshDue: order, events.TypeTestRequested: order,
		events.TypeRegistrationExpiring: ours,
		events.TypeAccepted:             reply, events.TypeRejected: reply,
	}
	source, err := os.ReadFile("../../events/types.go")
	if err != nil {
		t.Fatal(err)
	}
	declared := regexp.MustCompile(`\bType\w+ +Type = "(\w+)"`).FindAllSubmatch(source, -1)
	if len(declared) < 22 {
		t.Fatalf("only %d types are found", len(declared))
	}
	for _, d := range declared {
		typ := events.Type(d[1])
		if _, known := other[typ]; known == slices.Contains(heardTypes(), typ) {
			t.Errorf("%s: say whether it is heard or why not", typ)
		}
	}
}
