package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/events/intake"
	"github.com/rekindle-dev/rekindle/events/sealing"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/services/api"
	"github.com/rekindle-dev/rekindle/services/api/apitest"
	"github.com/rekindle-dev/rekindle/services/sandbox"
)

// publisher is an upstream system that has only nats.go.
type publisher struct {
	t       *testing.T
	d       *doors
	nc      *nats.Conn
	js      jetstream.JetStream
	keyset  sealing.Keyset
	answers *nats.Subscription // among the facts
	replies *nats.Subscription
}

func newPublisher(t *testing.T, d *doors) *publisher {
	t.Helper()
	p := &publisher{t: t, d: d}
	var err error
	if p.nc, err = nats.Connect(d.nats); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.nc.Close)
	if p.js, err = jetstream.New(p.nc); err != nil {
		t.Fatal(err)
	}
	apitest.Watch(t, d.state, state.KeysetKey, func(records map[string][]byte) bool {
		p.keyset, err = sealing.Parse(records[state.KeysetKey])
		return err == nil
	})
	if p.answers, err = p.nc.SubscribeSync(events.SubjectsIn(api.DefaultOrg, "", "")); err != nil {
		t.Fatal(err)
	}
	if p.replies, err = p.nc.SubscribeSync(intake.RepliesTo(api.DefaultOrg)); err != nil {
		t.Fatal(err)
	}
	return p
}

// create publishes an event that makes a secret, by way of package intake, and again without
// the id by which the server might know it.
func (p *publisher) create(id, name string) {
	p.t.Helper()
	subject, header, body, err := intake.Encode(intake.Event{
		ID: id, Source: "/crm", Org: api.DefaultOrg, Time: time.Now(), Reply: intake.NewReplySubject(api.DefaultOrg), Data: p.secret(name),
	})
	if err != nil {
		p.t.Fatal(err)
	}
	for range 2 {
		if _, err := p.js.PublishMsg(p.t.Context(), &nats.Msg{Subject: subject, Header: nats.Header(header), Data: body}); err != nil {
			p.t.Fatal(err)
		}
		delete(header, jetstream.MsgIDHeader)
	}
}

// publish publishes an event as nats.go alone does.
func (p *publisher) publish(typ intake.Type, id, key, body string) {
	p.t.Helper()
	m := nats.NewMsg(intake.Subject(api.DefaultOrg, typ, key))
	for name, value := range map[string]string{
		"ce-specversion": "1.0", "ce-id": id, "ce-source": "/crm", "ce-type": intake.TypePrefix + string(typ),
		intake.HeaderReply: intake.NewReplySubject(api.DefaultOrg),
	} {
		m.Header.Set(name, value)
	}
	m.Data = []byte(body)
	if _, err := p.js.PublishMsg(p.t.Context(), m); err != nil {
		p.t.Fatal(err)
	}
}

// await waits until every event is answered on a subscription, and returns the answers by
// the event: one of each id, as one that is said again has the id of the first.
func (p *publisher) await(from *nats.Subscription, ids map[string]bool) map[string][]events.Event {
	p.t.Helper()
	found, seen := map[string][]events.Event{}, map[string]bool{}
	for deadline := time.Now().Add(patience); len(found) < len(ids); {
		m, err := from.NextMsg(time.Until(deadline))
		if err != nil {
			p.t.Fatalf("%d of %d events are answered: %v", len(found), len(ids), err)
		}
		e, err := events.Decode(events.Header(m.Header), m.Data)
		if err != nil {
			p.t.Fatal(err)
		}
		if about := e.Data.About(); ids[about] && !seen[e.ID] {
			seen[e.ID] = true
			found[about] = append(found[about], e)
		}
	}
	return found
}

// secret is a new secret of a client of the sandbox.
func (p *publisher) secret(name string) intake.SecretCreated {
	p.t.Helper()
	if err := p.d.provider.Put(sandbox.Client{ID: name}); err != nil {
		p.t.Fatal(err)
	}
	made := intake.SecretCreated{
		Property: p.d.property, Name: name, TypeOf: "oauth2", Environment: p.d.environment,
		Credentials: intake.Credentials{ClientID: name, TokenURL: p.d.tokenURL},
	}
	if err := made.Credentials.Seal(p.keyset, api.DefaultOrg, made.About(), sealing.FieldClientSecret, []byte("the secret of "+name)); err != nil {
		p.t.Fatal(err)
	}
	return made
}

// TestUpstream publishes good and bad events, each of them twice, while one of two api
// processes is killed. Each is answered; each secret is made once, refreshed for real, and
// changed in order; what was refused is in no file.
func TestUpstream(t *testing.T) {
	t.Parallel()
	const secrets, canary = 24, "a-plaintext-that-must-go"
	d := newDoors(t)
	p := newPublisher(t, d)
	good, bad := map[string]bool{}, map[string]bool{}
	for i := range secrets {
		name := fmt.Sprint("crm-", i)
		by := func(name string) string { return fmt.Sprintf(`{"property":%q,"name":%q`, d.property, name) }
		twice := func(into map[string]bool, typ intake.Type, id, body string) {
			into[id] = true
			p.publish(typ, id, d.property+"/"+name, body)
			p.publish(typ, id, d.property+"/"+name, body)
		}
		good[name+"/create"] = true
		p.create(name+"/create", name)
		twice(bad, intake.TypeSecretCreated, name+"/garbage", `{"property":`)
		twice(bad, intake.TypeSecretUpdated, name+"/plain", by(name)+`,"credentials":{"client_secret":"`+canary+`"}}`)
		twice(good, intake.TypeSecretUpdated, name+"/first", by(name)+`,"new_name":"`+name+`-a"}`)
		twice(good, intake.TypeSecretUpdated, name+"/second", by(name+"-a")+`,"new_name":"`+name+`-b"}`)
		if i == secrets/2 {
			d.processes[1].end(t, syscall.SIGKILL)
		}
	}
	all := map[string]bool{}
	for id := range good {
		all[id] = true
	}
	for id := range bad {
		all[id] = true
	}
	for id, answers := range p.await(p.answers, all) {
		for _, a := range answers {
			if _, accepted := a.Data.(events.Accepted); accepted != good[id] {
				t.Errorf("%s is answered with %#v", id, a.Data)
			}
		}
		if good[id] && len(answers) > 1 {
			t.Errorf("%s is accepted %d times", id, len(answers))
		}
	}
	p.await(p.replies, good)
	apitest.Watch(t, d.state, state.SecretKey("*"), func(records map[string][]byte) bool {
		names := map[string]bool{}
		for _, body := range records {
			s, err := secret.Decode(body)
			if err != nil {
				t.Fatal(err)
			}
			if names[s.Name] {
				t.Fatalf("there are two secrets %s", s.Name)
			}
			if s.Status == secret.Succeeded && strings.HasSuffix(s.Name, "-b") {
				names[s.Name] = true
			}
		}
		return len(names) == secrets && len(records) == secrets
	})
	err := filepath.WalkDir(d.dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		body, err := os.ReadFile(path)
		if how := shows(body, canary); how != "" {
			t.Errorf("%s has what was refused (%s)", path, how)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
