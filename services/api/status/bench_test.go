package status_test

import (
	"context"
	"log/slog"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/bus"
	"github.com/rekindle-dev/rekindle/pkg/natsd"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/services/api/status"
)

// BenchmarkFill writes the statuses of b.N secrets into an empty bucket, with the server in
// this process: go test -run - -bench Fill -benchtime 100000x. B/secret is what the board
// keeps in memory, stored-B/secret what the server has.
func BenchmarkFill(b *testing.B) {
	quiet := slog.New(slog.DiscardHandler)
	server, err := natsd.Start(b.Context(), natsd.Config{StoreDir: b.TempDir(), Logger: quiet})
	if err != nil {
		b.Fatal(err)
	}
	defer server.Stop()
	user, password := server.Credentials()
	to, err := bus.Connect(b.Context(), bus.Config{URL: server.URL(), User: user, Password: password, Logger: quiet})
	if err != nil {
		b.Fatal(err)
	}
	defer to.Close()
	st, err := to.State(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	board := status.New(status.Deps{
		Bucket: to.Statuses(), Members: alone{}, Records: st, Logger: quiet, Metrics: prometheus.NewRegistry(),
	})
	now := time.Now()
	read := func(id string) (*secret.Secret, bool) {
		return &secret.Secret{
			ID: id, Org: "REKINDLE@LocalOrg", Property: "PR0123456789abcdef0123456789abcdef", Name: "a name of some length", Kind: secret.OAuth2,
			Environment: "EN0123456789abcdef0123456789abcdef", Status: secret.Succeeded, RefreshStatus: secret.Succeeded,
			CreatedAt: now, UpdatedAt: now, ActivatedAt: now, ExpiresAt: now, RefreshAt: now, NextAttemptAt: now, Generation: 1, Decision: 2,
		}, true
	}
	before := heap()
	for n := range b.N {
		board.Changed(secret.NewID(secret.PrefixSecret), state.Revision(n+2), true)
	}
	kept := heap() - before
	ctx, stop := context.WithCancel(b.Context())
	ended := make(chan struct{})
	b.ResetTimer()
	busy := processorTime(b)
	go func() { defer close(ended); board.Run(ctx, read) }()
	written, all := make(chan struct{}), 0
	go func() {
		_ = to.Statuses().Follow(ctx, func(state.Change) {
			if all++; all == b.N {
				close(written)
			}
		}, func() {})
	}()
	<-written
	b.ReportMetric(float64((processorTime(b)-busy).Microseconds())/float64(b.N), "cpu-µs/op")
	b.ReportMetric(float64(kept)/float64(b.N), "B/secret")
	b.StopTimer()
	b.ReportMetric(float64(stored(b, server))/float64(b.N), "stored-B/secret")
	stop()
	<-ended
}

// stored is how much the server has of statuses, in bytes.
func stored(b *testing.B, server *natsd.Server) uint64 {
	b.Helper()
	nc, err := nats.Connect(server.URL(), nats.UserInfo(server.Credentials()))
	if err != nil {
		b.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		b.Fatal(err)
	}
	s, err := js.Stream(b.Context(), "KV_"+events.StatusBucket)
	if err != nil {
		b.Fatal(err)
	}
	return s.CachedInfo().State.Bytes
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// processorTime is for how long this process has kept processors busy.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
