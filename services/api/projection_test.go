package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state"
)

func encoded(t testing.TB, key string, v any, rev state.Revision) state.Change {
	t.Helper()
	body, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return state.Change{Key: key, Value: body, Revision: rev}
}

func newTestProjection() *projection { return newProjection(slog.New(slog.DiscardHandler), nil) }

// TestLoadingInAnyOrder tells children before their parents, as a replay does
// when a parent was changed last: nothing may be taken for an orphan.
func TestLoadingInAnyOrder(t *testing.T) {
	t.Parallel()
	p := newTestProjection()
	p.apply(encoded(t, "secret.SE1", secret.Secret{ID: "SE1", Property: "PR1", Environment: "EN1"}, 1))
	p.apply(encoded(t, "secret.SE2", secret.Secret{ID: "SE2", Property: "PR2"}, 2))
	p.apply(encoded(t, "secret.SE3", secret.Secret{ID: "SE3", Property: "PR1", Environment: "EN9"}, 3))
	p.apply(encoded(t, "secret.SE4", secret.Secret{ID: "SE4", Property: "PR9", DeletedAt: time.Unix(1, 0)}, 4))
	p.apply(encoded(t, "environment.EN1", Environment{ID: "EN1", Property: "PR1"}, 5))
	p.apply(encoded(t, "environment.EN2", Environment{ID: "EN2", Property: "PR2"}, 6))
	p.apply(encoded(t, "property.PR1", Property{ID: "PR1"}, 7))
	if o, found := p.anOrphan(); found {
		t.Fatalf("%s is an orphan while loading", o.id)
	}
	p.ready()
	want := map[orphan]bool{
		{secret.PrefixSecret, "SE2"}: true, {secret.PrefixSecret, "SE3"}: true, {secret.PrefixEnvironment, "EN2"}: true,
	}
	if len(p.orphans) != len(want) {
		t.Errorf("orphans are %v, want %v", p.orphans, want)
	}
	for o := range want {
		if !p.orphans[o] {
			t.Errorf("%s is no orphan", o.id)
		}
	}
	if s, _ := p.secret("SE3"); s.Environment != "" || len(p.secrets.by(byEnvironment, "EN9")) != 0 {
		t.Error("a secret shows an environment that is gone")
	}
	// What is healed is an orphan no more.
	p.apply(encoded(t, "secret.SE3", secret.Secret{ID: "SE3", Property: "PR1"}, 8))
	p.apply(state.Change{Key: "environment.EN2", Revision: 9})
	p.apply(encoded(t, "secret.SE2", secret.Secret{ID: "SE2", Property: "PR2", DeletedAt: time.Unix(1, 0)}, 10))
	if o, found := p.anOrphan(); found {
		t.Errorf("%s is still an orphan", o.id)
	}
}

func TestWaitingForARevision(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newTestProjection()
		p.apply(state.Change{Key: "secret.SE1", Revision: 5})
		if err := p.wait(t.Context(), 5); err != nil {
			t.Errorf("a revision that is there: %v", err)
		}
		seven := make(chan error, 1)
		go func() { seven <- p.wait(t.Context(), 7) }()
		ctx, stop := context.WithCancel(t.Context())
		nine := make(chan error, 1)
		go func() { nine <- p.wait(ctx, 9) }()
		synctest.Wait()
		p.apply(state.Change{Key: "secret.SE1", Revision: 6})
		synctest.Wait()
		if len(seven) != 0 {
			t.Error("the wait for 7 ended at 6")
		}
		p.apply(state.Change{Key: "secret.SE1", Revision: 8})
		if err := <-seven; err != nil {
			t.Error(err)
		}
		stop()
		if err := <-nine; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want context.Canceled", err)
		}
		if len(p.waiting) != 0 {
			t.Errorf("%d still wait", len(p.waiting))
		}
	})
}

// BenchmarkProjection loads secrets and reports what one of them takes of the
// heap.
func BenchmarkProjection(b *testing.B) {
	const secrets = 20_000
	changes := make([]state.Change, secrets)
	for i := range changes {
		s := secret.Secret{
			ID: secret.NewID(secret.PrefixSecret), Org: "REKINDLE@LocalOrg",
			Property: fmt.Sprintf("PR%032d", i%10), Environment: fmt.Sprintf("EN%032d", i%30), Stage: "development",
			Name: fmt.Sprint("a secret ", i), Kind: secret.OAuth2, Status: secret.Succeeded,
			Credentials: secret.Credentials{
				ClientID: fmt.Sprint("client-", i), TokenURL: "https://idp.example.org/oauth2/token",
				RefreshOffset: new(int64(14400)), Options: map[string]string{"scope": "read"},
			},
			CreatedAt: time.UnixMilli(int64(i)), UpdatedAt: time.UnixMilli(int64(i)),
			CreatedBy: secret.Actor{Email: "ada@example.org"}, UpdatedBy: secret.Actor{Email: "ada@example.org"},
			Trace: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		}
		changes[i] = encoded(b, state.SecretKey(s.ID), s, state.Revision(i+1))
	}
	for b.Loop() {
		before := heap()
		p := newTestProjection()
		for _, c := range changes {
			p.apply(c)
		}
		p.ready()
		b.ReportMetric(float64(heap()-before)/secrets, "heap-B/secret")
		runtime.KeepAlive(p)
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
