package main

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/url"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/natsd"
	"github.com/rekindle-dev/rekindle/services/api/client"
)

// served is a whole fleet in this process, on a NATS server that the test can connect to.
type served struct {
	ctx    context.Context
	client *client.Client
	js     jetstream.JetStream
}

func serveAll(t *testing.T) *served {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	server, err := natsd.Start(ctx, natsd.Config{StoreDir: t.TempDir(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	at, err := url.Parse(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	at.User = url.UserPassword(server.Credentials())
	base := make(chan string, 1)
	s := &settings{
		target: targetAll, nats: natsFlags{url: at.String()}, listen: "127.0.0.1:0", opsListen: "127.0.0.1:0", dataDir: t.TempDir(),
		logLevel: "error", bootstrap: scenarioToken, serving: func(url string) { base <- url },
	}
	serving, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- serve(serving, s, io.Discard) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	f := &served{ctx: ctx}
	select {
	case url := <-base:
		f.client = client.New(url, scenarioToken)
	case <-ctx.Done():
		t.Fatal("the fleet is not serving")
	}
	nc, err := nats.Connect(at.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	if f.js, err = jetstream.New(nc); err != nil {
		t.Fatal(err)
	}
	return f
}

// newToken creates a secret that holds a token, and returns its id and its property's.
func (f *served) newToken(t *testing.T, token string) (property, id string) {
	t.Helper()
	companies, err := f.client.Companies(f.ctx)
	if err != nil {
		t.Fatal(err)
	}
	p, err := f.client.CreateProperty(f.ctx, companies[0].ID.ID, "shop")
	if err != nil {
		t.Fatal(err)
	}
	s, err := f.client.CreateSecret(f.ctx, p.ID.ID, client.NewSecret{Name: "mine", TypeOf: "token", Credentials: map[string]any{"token": token}})
	if err != nil {
		t.Fatal(err)
	}
	return p.ID.ID, s.ID.ID
}

// TestStatusCanBeWatched: whoever has nothing but nats.go and package events sees how a
// secret fares from its creation to its end, and nothing that is hidden.
func TestStatusCanBeWatched(t *testing.T) {
	t.Parallel()
	f := serveAll(t)
	kv, err := f.js.KeyValue(f.ctx, events.StatusBucket)
	if err != nil {
		t.Fatal(err)
	}
	watcher, err := kv.Watch(f.ctx, events.StatusKeys("", "", "token", ""))
	if err != nil {
		t.Fatal(err)
	}
	defer watcher.Stop()
	const hidden = "CANARY-of-a-token"
	property, id := f.newToken(t, hidden)
	var last events.Status
	for e := range watcher.Updates() {
		if e == nil {
			continue // that was all there was
		}
		if e.Operation() == jetstream.KeyValueDelete {
			break
		}
		if strings.Contains(string(e.Value()), hidden) {
			t.Errorf("it shows what is hidden: %s", e.Value())
		}
		last = events.Status{}
		if err := json.Unmarshal(e.Value(), &last); err != nil {
			t.Fatal(err)
		}
		if e.Key() != events.StatusKey(last.Org, last.Property, last.Kind, last.Secret) {
			t.Errorf("%s is under %s", e.Value(), e.Key())
		}
		if last.Status == "succeeded" {
			if err := f.client.DeleteSecret(f.ctx, id); err != nil {
				t.Fatal(err)
			}
		}
	}
	if last.Secret != id || last.Property != property || last.Name != "mine" || last.Status != "succeeded" || last.Generation != 1 {
		t.Errorf("it was last %+v", last)
	}
}

// TestStatusCanBeLeftOut: switched off, there is nobody who shows anything.
func TestStatusCanBeLeftOut(t *testing.T) {
	t.Parallel()
	s, wrong := resolveFile(t, targetAPI, "status:\n  publish: false\n", nil)
	if wrong != nil {
		t.Fatal(wrong)
	}
	if board, err := (&fleet{settings: s}).board(t.Context()); board != nil || err != nil {
		t.Errorf("%v, %v", board, err)
	}
}
