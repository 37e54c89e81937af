package main

import (
	"maps"
	"net/url"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/rekindle-dev/rekindle/pkg/bus"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/services/sandbox"
)

// TestChaosWithoutNATS takes NATS away while exchangers wait for answers, for so long
// that every claim runs out and every job is given to others at its return. Whoever
// waits is alive: nobody else may send what it has sent.
func TestChaosWithoutNATS(t *testing.T) {
	l := newLane(t)
	secrets := l.born(2, firstLife)
	ids := slices.Collect(maps.Keys(secrets))
	select {
	case <-l.arrange(death{at: stepPost}, 2):
	case <-time.After(patience):
		t.Fatalf("not all of %d refreshes came to the provider in %v", len(ids), patience)
	}
	claimed := map[string]*secret.Claim{}
	for _, id := range ids {
		claimed[id], _ = l.claim(id)
		if claimed[id] == nil {
			t.Fatalf("nobody has claimed %s", id)
		}
	}
	at, err := url.Parse(l.processes["nats"].wait(t, "nats"))
	if err != nil {
		t.Fatal(err)
	}
	l.signal(syscall.SIGKILL, "nats")
	l.gone(-1, "nats")
	<-time.After(bus.AckWait + time.Second) // what is due to happen at its return hangs on the time it was away
	l.start("nats", "nats-server", "-a", at.Hostname(), "-p", at.Port(), "-js", "-sd", filepath.Join(l.dir, "nats"))
	for _, id := range ids {
		for deadline := time.Now().Add(patience); ; {
			if now, known := l.claim(id); known && (now == nil || !now.Until.Equal(claimed[id].Until)) {
				break // renewed, or given up
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s is claimed as before after %v", id, patience)
			}
			<-time.After(10 * time.Millisecond)
		}
	}
	for _, r := range rotations() {
		l.provide(r, laterLife, sandbox.Step{})
		if err := l.provider.Release(r.name); err != nil {
			t.Fatal(err)
		}
	}
	settled := l.records.await(t, "refreshed", ids, atRest)
	for _, id := range ids {
		if f := l.wire.fate(id); f.requests != 1 {
			t.Errorf("%s: %d requests, %v after the first: %s", secrets[id].name, f.requests, f.after, says(settled[id]))
		}
	}
	l.end()
}

// claim is the claim on a secret, nil if there is none, or not known: then NATS is away.
func (l *lane) claim(id string) (c *secret.Claim, known bool) {
	g, _, err := l.wire.vault.Grant(l.t.Context(), id)
	if err != nil {
		return nil, false
	}
	return g.Claim, true
}
