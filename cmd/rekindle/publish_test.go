package main

import (
	"context"
	"path/filepath"
	"syscall"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rogpeppe/go-internal/testscript"
)

// cmdPublish publishes what no part of the fleet would: "publish subject file". The
// embedded server admits nobody, so in the all topology the fleet must have ended,
// and a server of its own serves its files meanwhile.
func cmdPublish(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg)
	f := fleetOf(ts)
	server := f.processes["nats"]
	if f.topology == "all" {
		server = f.launch(ts, "publish", "nats-server", "-a", "127.0.0.1", "-p", "-1", "-js", "-sd", filepath.Join(f.dir, "data", "nats"))
		defer server.end(ts, syscall.SIGTERM)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var opts []nats.Option
	if f.topology == "split" {
		proof, err := nats.NkeyOptionFromSeed(filepath.Join(f.guard(), "admin", "admin.nk"))
		ts.Check(err)
		opts = append(opts, proof)
	}
	nc, err := nats.Connect(server.wait(ts, "nats"), opts...)
	ts.Check(err)
	defer nc.Close()
	js, err := jetstream.New(nc)
	ts.Check(err)
	_, err = js.Publish(ctx, args[0], []byte(ts.ReadFile(args[1])))
	ts.Check(err)
}
