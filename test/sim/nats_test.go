package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// What docs/scale.md asks of NATS, asked of a server.

const patience = 20 * time.Second

// connect starts a server, or a cluster of several, and a client of it.
func connect(t *testing.T, servers int) jetstream.JetStream {
	t.Helper()
	var started []*server.Server
	ports, routes := freePorts(t, servers)
	for n := range servers {
		o := &server.Options{
			ServerName: fmt.Sprint("n", n), Host: "127.0.0.1", Port: server.RANDOM_PORT,
			JetStream: true, StoreDir: t.TempDir(), NoLog: true, NoSigs: true,
		}
		if servers > 1 {
			o.Cluster = server.ClusterOpts{Name: "cell", Host: "127.0.0.1", Port: ports[n]}
			o.Routes = routes
		}
		ns, err := server.NewServer(o)
		if err != nil {
			t.Fatal(err)
		}
		ns.Start()
		t.Cleanup(func() {
			ns.Shutdown()
			ns.WaitForShutdown()
		})
		started = append(started, ns)
	}
	for _, ns := range started {
		if !ns.ReadyForConnections(patience) {
			t.Fatal("a server is not ready")
		}
	}
	nc, err := nats.Connect(started[0].ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// freePorts returns ports for a cluster's routes, which its servers have to know of
// each other before they start.
func freePorts(t *testing.T, n int) (ports []int, routes []*url.URL) {
	t.Helper()
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
		routes = append(routes, &url.URL{Scheme: "nats", Host: l.Addr().String()})
	}
	return ports, routes
}

// create creates a stream. Servers that have not found together yet do not answer.
func create(t *testing.T, js jetstream.JetStream, config jetstream.StreamConfig) jetstream.Stream {
	t.Helper()
	end := time.Now().Add(patience)
	for {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		s, err := js.CreateOrUpdateStream(ctx, config)
		cancel()
		if err == nil {
			return s
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

func publish(t *testing.T, js jetstream.JetStream, subject, body string, options ...jetstream.PublishOpt) uint64 {
	t.Helper()
	ack, err := js.Publish(t.Context(), subject, []byte(body), options...)
	if err != nil {
		t.Fatal(err)
	}
	return ack.Sequence
}

// Codes of refusals.
const (
	changed   = jetstream.JSErrCodeStreamWrongLastSequence
	inProcess = 10164 // a check of what is just being written
)

func refused(err error, code jetstream.ErrorCode) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && api.ErrorCode == code
}

// claim publishes on the condition that the fence holds. It asks again while
// another with the same fence is on its way.
func claim(t *testing.T, js jetstream.JetStream, subject, body string, fence jetstream.PublishOpt) error {
	t.Helper()
	end := time.Now().Add(patience)
	for {
		_, err := js.Publish(t.Context(), subject, []byte(body), fence)
		if !refused(err, inProcess) || time.Now().After(end) {
			return err
		}
	}
}

// One message, without a batch, is stored only if another subject has not changed:
// a claim is refused from the moment in which the organisation has another home.
func TestAClaimIsFencedByTheOwner(t *testing.T) {
	for _, replicas := range []int{1, 3} {
		t.Run(fmt.Sprint("replicas=", replicas), func(t *testing.T) {
			t.Parallel()
			js := connect(t, replicas)
			create(t, js, jetstream.StreamConfig{Name: "HOMES", Subjects: []string{"owner.*", "claim.*"}, MaxMsgsPerSubject: 1, Replicas: replicas})
			first := publish(t, js, "owner.acme", "cell A")
			fence := func(owner uint64) jetstream.PublishOpt {
				return jetstream.WithExpectLastSequenceForSubject(owner, "owner.acme")
			}
			for range 2 { // what the claim's own subject holds does not matter
				if err := claim(t, js, "claim.SE1", "cell A", fence(first)); err != nil {
					t.Fatal(err)
				}
			}
			oneAtATime(t, js, fence(first))
			if err := claim(t, js, "owner.acme", "cell B", fence(first)); err != nil {
				t.Fatal(err)
			}
			if err := claim(t, js, "claim.SE1", "cell A", fence(first)); !refused(err, changed) {
				t.Errorf("a claim of the old home: %v", err)
			}
			if err := claim(t, js, "owner.acme", "cell C", fence(first)); !refused(err, changed) {
				t.Errorf("a second move from the old home: %v", err)
			}
		})
	}
}

// oneAtATime makes many claims at once. A cluster refuses a claim while another
// with the same fence is on its way to the replicas; it is granted afterwards.
func oneAtATime(t *testing.T, js jetstream.JetStream, fence jetstream.PublishOpt) {
	t.Helper()
	var claims []jetstream.PubAckFuture
	for n := range 50 {
		c, err := js.PublishAsync(fmt.Sprint("claim.SE", n), []byte("cell A"), fence)
		if err != nil {
			t.Fatal(err)
		}
		claims = append(claims, c)
	}
	granted := 0
	for _, c := range claims {
		select {
		case <-c.Ok():
			granted++
		case err := <-c.Err():
			if !refused(err, inProcess) {
				t.Fatal(err)
			}
			if err := claim(t, js, c.Msg().Subject, "cell A", fence); err != nil {
				t.Fatal(err)
			}
		case <-time.After(patience):
			t.Fatal("no answer to a claim")
		}
	}
	t.Logf("%d of %d claims were granted at once", granted, len(claims))
	if granted == 0 {
		t.Error("no claim was granted")
	}
}

// A mirror takes no writes. Made a stream of its own, it has the records under the
// revisions that they had, so that compare-and-swap goes on where it was.
func TestAPromotedMirrorKeepsRevisions(t *testing.T) {
	js := connect(t, 1)
	origin := jetstream.StreamConfig{
		Name: "KV_state", Subjects: []string{"$KV.state.>"}, MaxMsgsPerSubject: 1,
		AllowRollup: true, DenyDelete: true, AllowDirect: true, Discard: jetstream.DiscardNew, AllowAtomicPublish: true, AllowMsgTTL: true,
	}
	create(t, js, origin)
	standby := origin
	standby.Name, standby.Subjects, standby.AllowAtomicPublish = "KV_state_standby", nil, false // no mirror has these two
	standby.Mirror = &jetstream.StreamSource{Name: origin.Name}
	mirror := create(t, js, standby)
	publish(t, js, "$KV.state.secret.SE1", "old")
	other := publish(t, js, "$KV.state.secret.SE2", "other")
	last := publish(t, js, "$KV.state.secret.SE1", "new")
	await(t, mirror, last)

	if err := js.DeleteStream(t.Context(), origin.Name); err != nil { // the region is lost
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), "$KV.state.secret.SE1", nil, jetstream.WithRetryAttempts(0)); !errors.Is(err, jetstream.ErrNoStreamResponse) {
		t.Errorf("a write to a mirror: %v", err)
	}
	promoted := origin
	promoted.Name = standby.Name
	if _, err := js.UpdateStream(t.Context(), promoted); err != nil {
		t.Fatal(err)
	}
	for subject, revision := range map[string]uint64{"$KV.state.secret.SE1": last, "$KV.state.secret.SE2": other} {
		m, err := mirror.GetLastMsgForSubject(t.Context(), subject)
		if err != nil || m.Sequence != revision {
			t.Fatalf("%s: revision %v, error %v; want revision %d", subject, m, err, revision)
		}
	}
	if _, err := js.Publish(t.Context(), "$KV.state.secret.SE1", nil, jetstream.WithExpectLastSequencePerSubject(other)); !refused(err, changed) {
		t.Errorf("a write that expects another revision: %v", err)
	}
	publish(t, js, "$KV.state.secret.SE1", "newer", jetstream.WithExpectLastSequencePerSubject(last))
}

// await returns when the mirror has come to a sequence.
func await(t *testing.T, mirror jetstream.Stream, sequence uint64) {
	t.Helper()
	c, err := mirror.CreateOrUpdateConsumer(t.Context(), jetstream.ConsumerConfig{AckPolicy: jetstream.AckNonePolicy})
	if err != nil {
		t.Fatal(err)
	}
	for {
		m, err := c.Next(jetstream.FetchMaxWait(patience))
		if err != nil {
			t.Fatal(err)
		}
		if meta, err := m.Metadata(); err == nil && meta.Sequence.Stream >= sequence {
			return
		}
	}
}
