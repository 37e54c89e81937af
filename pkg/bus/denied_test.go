package bus

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/events/intake"
	"github.com/rekindle-dev/rekindle/pkg/state"
)

// everyWay are the requests by which the messages of subjects can be read.
func everyWay(stream, subjects string) []string {
	var all []string
	for _, format := range []string{
		"DIRECT.GET.%s.%s", "DIRECT.GET.%s", "STREAM.MSG.GET.%s",
		"CONSUMER.CREATE.%s", "CONSUMER.CREATE.%s.x", "CONSUMER.CREATE.%s.x.%s", "CONSUMER.CREATE.%s.x.>", "CONSUMER.DURABLE.CREATE.%s.x",
		"CONSUMER.MSG.NEXT.%s.x", "CONSUMER.NAMES.%s", "CONSUMER.LIST.%s", "STREAM.SNAPSHOT.%s",
	} {
		args := []any{stream, subjects}
		all = append(all, "$JS.API."+fmt.Sprintf(format, args[:strings.Count(format, "%s")]...))
	}
	return all
}

// everyHarm are the requests by which a stream, or what is in it, is changed or lost.
func everyHarm(stream string) []string {
	var all []string
	for _, format := range []string{
		"STREAM.CREATE.%s", "STREAM.UPDATE.%s", "STREAM.DELETE.%s", "STREAM.PURGE.%s", "STREAM.RESTORE.%s", "STREAM.SNAPSHOT.%s",
		"STREAM.LEADER.STEPDOWN.%s", "STREAM.PEER.REMOVE.%s", "CONSUMER.PAUSE.%s.x", "CONSUMER.UNPIN.%s.x", "CONSUMER.RESET.%s.x",
		"CONSUMER.LEADER.STEPDOWN.%s.x",
	} {
		all = append(all, "$JS.API."+fmt.Sprintf(format, stream))
	}
	return all
}

// fleetStreams are the streams of the fleet's account.
func fleetStreams() []string {
	return []string{
		streamOf(state.Main), streamOf(state.Hosts), streamOf(state.Deliveries), streamStatus,
		streamLeases, streamJobs, streamEvents, streamAudit, streamParked, streamIntake,
	}
}

// unreadable are streams and subjects in them that a role may not read in any way.
type unreadable struct{ stream, subjects string }

func of(bucket state.Bucket, keys ...string) (all []unreadable) {
	for _, key := range keys {
		all = append(all, unreadable{streamOf(bucket), prefixOf(bucket) + key})
	}
	return all
}

// sealedKeys are the keys of what is sealed, or is nobody's business.
func sealedKeys() []string {
	return []string{"credential.SE1", "consent.SE1", "host.HO1", "environment.EN1", "outbox.x", "token.AT1", "callback.CB1", "registration.x", "*.SE1", ">"}
}

// TestDenied tries, as each role, what that role may not.
func TestDenied(t *testing.T) {
	t.Parallel()
	byEach(t, testDenied)
}

func testDenied(t *testing.T, g *guarded) {
	t.Helper()
	g.setUp(t)
	everything := slices.Concat(
		of(state.Main, append(sealedKeys(), "secret.SE1")...), of(state.Vault, "grant.SE1", "artifact.EN1.SE1"), of(state.Hosts, "endpoint.x"), of(state.Deliveries, "delivery.CB1.x"),
		[]unreadable{
			{streamLeases, prefixLeases + "scheduler"},
			{streamJobs, events.JobSubject("SE1")},
			{streamAudit, events.AuditSubject(orgA)},
			{streamParked, events.ParkedSubject(laneJob, "SE1")},
			{streamIntake, intake.Subject(orgA, "SecretCreated", "x")},
			{streamEvents, eventsOf(orgA) + "SecretCreated.SE1"},
			{streamStatus, prefixStatus + events.Token(orgA) + ".PR1.oauth2.SE1"},
		})
	stranger := slices.Concat([]string{
		"$KV.state.secret.SE1", "$KV.state.keyset.fleet", "$KV.vault.grant.SE1", "$KV.status.x", "$KV.leases.scheduler",
		events.JobSubject("SE1"), events.AuditSubject(orgA), events.ParkedSubject(laneJob, "SE1"), events.NewAnswerSubject(),
		eventsOf(orgA) + "SecretCreated.SE1", eventsOf(orgA) + "Accepted.x", intake.NewReplySubject(orgA),
		"$JS.ACK.JOBS.exchanger.1.1.1.1.1", copyAPI + ".CONSUMER.CREATE.EVENTS.x.>", copyDeliver(orgA) + ".x", "_INBOX.api.x", "_R_.x", "$SYS.REQ.SERVER.PING",
	})
	for name, tc := range map[string]struct {
		user    User
		read    []unreadable
		publish []string
		hear    []string
	}{
		"api": {
			user: User{Role: RoleAPI}, read: slices.Concat(of(state.Vault, "grant.SE1", "artifact.EN1.SE1"), of(state.Hosts, "endpoint.x"),
				[]unreadable{{streamJobs, events.JobSubject("SE1")}}),
			publish: []string{
				"$KV.vault.grant.SE1", "$KV.state.keyset.fleet", "$KV.state.registration.x", "$KV.hosts.endpoint.x", "$KV.leases.scheduler", "$JS.ACK.JOBS.exchanger.1.1.1.1.1",
				events.NewAnswerSubject(), events.ParkedSubject(laneJob, "SE1"), intake.Subject(orgA, "SecretCreated", "x"), "_INBOX.exchanger.x",
				"$JS.API.STREAM.MSG.DELETE." + streamOf(state.Main), "$JS.API.STREAM.MSG.DELETE." + streamAudit, "$JS.API.STREAM.MSG.DELETE." + streamEvents,
			},
			hear: []string{"_INBOX.exchanger.>", "_INBOX.>", "$KV.vault.>", "$KV.state.>", events.AllJobs, "$JS.ACK.>", "$JS.API.>"},
		},
		"scheduler": {
			user: User{Role: RoleScheduler}, read: slices.Concat(of(state.Main, sealedKeys()...), of(state.Vault, "grant.SE1"), of(state.Deliveries, "delivery.CB1.x"), []unreadable{
				{streamJobs, events.JobSubject("SE1")},
				{streamEvents, eventsOf(orgA) + "SecretCreated.SE1"},
				{streamAudit, events.AuditSubject(orgA)},
				{streamParked, events.ParkedSubject(laneJob, "SE1")},
				{streamIntake, intake.AllIntake},
				{streamStatus, prefixStatus + ">"},
			}),
			publish: []string{
				"$KV.state.secret.SE1", "$KV.state.keyset.fleet", "$KV.vault.grant.SE1", "$KV.hosts.endpoint.x", "$KV.status.x", "$JS.ACK.JOBS.exchanger.1.1.1.1.1",
				eventsOf(orgA) + "SecretCreated.SE1", events.AuditSubject(orgA), events.NewAnswerSubject(), intake.Subject(orgA, "SecretCreated", "x"),
				"$JS.API.STREAM.MSG.DELETE." + streamLeases, "$JS.API.STREAM.MSG.DELETE." + streamJobs,
			},
			hear: []string{"_INBOX.api.>", "_INBOX.>", "$KV.state.>", "$KV.state.credential.*", events.AllJobs, events.Root + ".answer.*", events.KeysetSubject, "$JS.API.>"},
		},
		"exchanger": {
			user: User{Role: RoleExchanger}, read: slices.Concat(of(state.Main, "outbox.x", "token.AT1", "callback.CB1", ">"), of(state.Deliveries, "delivery.CB1.x"), []unreadable{
				{streamEvents, eventsOf(orgA) + "SecretCreated.SE1"},
				{streamAudit, events.AuditSubject(orgA)},
				{streamParked, events.ParkedSubject(laneJob, "SE1")},
				{streamIntake, intake.AllIntake},
				{streamStatus, prefixStatus + ">"},
			}),
			publish: []string{
				"$KV.state.token.AT1", "$KV.state.outbox.x", "$KV.state.callback.CB1", "$KV.vault.grant.SE1", "$KV.leases.scheduler", "$KV.status.x", events.JobSubject("SE1"),
				events.AuditSubject(orgA), intake.Subject(orgA, "SecretCreated", "x"), intake.NewReplySubject(orgA),
				"$JS.API.STREAM.MSG.DELETE." + streamJobs,
			},
			hear: []string{"_INBOX.api.>", "_INBOX.>", "$KV.state.>", events.AllJobs, events.Root + ".answer.*", events.KeysetSubject, "$JS.API.>"},
		},
		"vault": {
			user: User{Role: RoleVault}, publish: append(everyHarm(streamOf(state.Vault)), "$JS.API.STREAM.MSG.DELETE."+streamOf(state.Vault)),
			hear: []string{"_INBOX.vault-admin.>", "_INBOX.>", "$KV.vault.>"},
		},
		"upstream": {
			user: User{RoleUpstream, orgA, "billing"}, read: everything,
			publish: append(slices.Clone(stranger), intake.Subject(orgB, "SecretCreated", "x"), events.Root+".intake."+events.Token(orgA)+".SecretCreated",
				"$JS.API.DIRECT.GET.EVENTS."+eventsOf(orgB)+"Accepted.x"),
			hear: []string{
				">", "$KV.>", "$JS.API.>", events.KeysetSubject, intake.AllIntake, events.Root + ".answer.*", intake.RepliesTo(orgB), allReplies, eventsOf(orgA) + ">",
				eventsOf(orgB) + "Accepted.*", copyDeliver(orgA) + ".>",
			},
		},
		"reader": {
			user: User{RoleReader, orgA, ""}, read: everything,
			publish: append(slices.Clone(stranger), slices.Concat(everyHarm(ReaderEvents)[:8], everyHarm("KV_" + ReaderStatus)[:8],
				[]string{intake.Subject(orgA, "SecretCreated", "x"), "$JS.FC.EVENTS.x.1"})...),
			hear: []string{">", "$KV.>", "$JS.API.>", events.KeysetSubject, intake.AllIntake, allReplies, events.AllEvents, copyDeliver(orgB) + ".>"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := g.client(t, tc.user)
			for _, u := range tc.read {
				for _, subject := range everyWay(u.stream, u.subjects) {
					if !mayForOthers(tc.user.Role, subject) {
						c.mayNotPublish(t, subject)
					}
				}
			}
			for _, stream := range fleetStreams() {
				for _, subject := range everyHarm(stream) {
					c.mayNotPublish(t, subject)
				}
			}
			for _, subject := range tc.publish {
				c.mayNotPublish(t, subject)
			}
			for _, subject := range tc.hear {
				c.mayNotHear(t, subject)
			}
		})
	}
}

// mayForOthers are requests by which a role reads something else of a stream. What these say
// in their body is held against their subject, or a name that nobody knows; see
// TestFilterIsInSubject.
func mayForOthers(role Role, subject string) bool {
	follows := []string{streamOf(state.Main), streamOf(state.Hosts)}
	return (role == RoleScheduler || role == RoleExchanger) && slices.ContainsFunc(follows, func(stream string) bool {
		return subject == "$JS.API.CONSUMER.MSG.NEXT."+stream+".x"
	})
}

// TestFilterIsInSubject: who may follow some subjects of a stream cannot ask for others in the
// body of the request.
func TestFilterIsInSubject(t *testing.T) {
	t.Parallel()
	g := newGuarded(t)
	admin := g.setUp(t)
	c := g.client(t, User{Role: RoleScheduler})
	allowed := prefixOf(state.Main) + state.SecretKey("*")
	request := "$JS.API.CONSUMER.CREATE." + streamOf(state.Main) + ".x." + allowed
	for name, config := range map[string]jetstream.ConsumerConfig{
		"another filter":     {FilterSubject: "$KV.state.credential.*"},
		"several":            {FilterSubjects: []string{allowed, "$KV.state.credential.*"}},
		"several and one":    {FilterSubject: allowed, FilterSubjects: []string{"$KV.state.>"}},
		"none":               {},
		"everything":         {FilterSubject: "$KV.state.>"},
		"another's, by name": {Name: "y", Durable: "y", FilterSubject: allowed},
	} {
		config.AckPolicy = jetstream.AckNonePolicy
		answer := c.ask(t, request, map[string]any{"stream_name": streamOf(state.Main), "config": config})
		if !strings.Contains(string(answer.Data), `"error"`) {
			t.Errorf("%s: %s", name, answer.Data)
		}
	}
	s, err := admin.js.Stream(patient(t), streamOf(state.Main))
	if err != nil || s.CachedInfo().State.Consumers != 0 {
		t.Errorf("%d consumers have come of that (%v)", s.CachedInfo().State.Consumers, err)
	}
	// Nor in that of a request for the last message.
	answer := g.client(t, User{Role: RoleExchanger}).ask(t, "$JS.API.DIRECT.GET.KV_state.$KV.state.secret.SE1", map[string]any{"multi_last": []string{"$KV.state.>"}})
	if answer.Header.Get("Status") != "408" {
		t.Errorf("asked for everything besides: %v", answer.Header)
	}
}

// TestDeputies: the server sends what it answers wherever who asks wants, and what a consumer
// delivers, without holding that against their permissions. That must not lead out of their
// account, into what is guarded.
func TestDeputies(t *testing.T) {
	t.Parallel()
	byEach(t, testDeputies)
}

func testDeputies(t *testing.T, g *guarded) {
	t.Helper()
	admin := g.setUp(t)
	exchanger := g.client(t, User{Role: RoleVault})
	if _, err := exchanger.RequestWithContext(patient(t), "$KV.vault.grant.SE1", []byte("sealed")); err != nil {
		t.Fatal(err)
	}

	// An api process may write what it likes, have it sent where it likes, and so ask for
	// anything in its account.
	api := g.client(t, User{Role: RoleAPI})
	loot, err := api.SubscribeSync(inboxOf(RoleAPI) + ".loot")
	if err != nil {
		t.Fatal(err)
	}
	api.ask(t, "$KV.state.outbox.x", map[string]any{"stream_name": "KV_vault", "config": map[string]any{
		"name": "x", "deliver_subject": loot.Subject, "ack_policy": "none", "deliver_policy": "all",
	}})
	// The same for a stream of its own account: it works, which is why there are accounts.
	api.ask(t, "$KV.state.outbox.y", map[string]any{"stream_name": "KV_hosts", "config": map[string]any{
		"name": "x", "deliver_subject": loot.Subject, "ack_policy": "none", "deliver_policy": "all",
	}})
	if _, err := admin.js.Publish(patient(t), "$KV.hosts.endpoint.x", []byte("not for the api")); err != nil {
		t.Fatal(err)
	}
	for _, at := range []struct{ key, stream string }{{"x", "KV_vault"}, {"y", "KV_hosts"}} {
		if err := api.PublishRequest("$JS.API.DIRECT.GET.KV_state.$KV.state.outbox."+at.key, "$JS.API.CONSUMER.CREATE."+at.stream+".x", nil); err != nil {
			t.Fatal(err)
		}
	}
	m, err := loot.NextMsgWithContext(patient(t))
	if err != nil || string(m.Data) != "not for the api" {
		t.Errorf("got %v, %v: if the server holds this against permissions now, the vault may do without its account", m, err)
	}
	if n, _, err := loot.Pending(); n != 0 || err != nil {
		t.Error("there is more than that")
	}
	vault, err := admin.vault.js.Stream(patient(t), "KV_vault")
	if err != nil || vault.CachedInfo().State.Consumers != 0 || vault.CachedInfo().State.Msgs != 1 {
		t.Errorf("the vault has %d consumers and %d messages (%v)", vault.CachedInfo().State.Consumers, vault.CachedInfo().State.Msgs, err)
	}
}

// TestStrangersAreNoDeputies: what strangers have the server send stays in their account.
func TestStrangersAreNoDeputies(t *testing.T) {
	t.Parallel()
	byEach(t, testStrangers)
}

func testStrangers(t *testing.T, g *guarded) {
	t.Helper()
	admin := g.setUp(t)
	for _, org := range []string{orgA, orgB} {
		for _, m := range []string{eventsOf(org) + "Accepted.x", prefixStatus + events.Token(org) + ".PR1.oauth2.SE1", "$KV.state.secret.SE1"} {
			if _, err := admin.js.Publish(patient(t), m, []byte(`{"stream_name":"EVENTS"}`)); err != nil {
				t.Fatal(err)
			}
		}
	}
	before := holdings(t, admin)
	targets := []string{
		"$KV.state.secret.SE1", "$JS.API.STREAM.PURGE.KV_state", "$JS.API.STREAM.PURGE.EVENTS", events.JobSubject("SE1"), eventsOf(orgB) + "Accepted.y",
		intake.Subject(orgB, "SecretCreated", "x"),
	}
	upstream, reader := g.client(t, User{RoleUpstream, orgA, "billing"}), g.client(t, User{RoleReader, orgA, ""})
	copied := waitForCopy(t, reader)
	request := copyAPI + ".CONSUMER.CREATE.EVENTS.x." + eventsOf(orgA) + ">"
	for i, to := range append(targets, request) {
		if err := upstream.PublishRequest("$JS.API.DIRECT.GET.EVENTS."+eventsOf(orgA)+"Accepted.x", to, nil); err != nil {
			t.Fatal(err)
		}
		// A consumer that delivers there, and what the server says of it, sent there and
		// where it might do as the request for another.
		name := fmt.Sprintf("x%d", i)
		reader.ask(t, "$JS.API.CONSUMER.CREATE."+ReaderEvents+"."+name+"."+eventsOf(orgA)+">", map[string]any{
			"stream_name": ReaderEvents, "config": map[string]any{
				"name": name, "deliver_subject": to, "ack_policy": "none", "filter_subject": eventsOf(orgA) + ">", "inactive_threshold": time.Hour,
			},
		})
		for _, asked := range []string{"CONSUMER.INFO." + ReaderEvents + "." + name, "STREAM.INFO." + ReaderEvents, "DIRECT.GET." + ReaderEvents + "." + copied} {
			for _, reply := range []string{to, request} {
				if err := reader.PublishRequest("$JS.API."+asked, reply, nil); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	// Whatever came of that has come of it when these are answered.
	upstream.ask(t, "$JS.API.DIRECT.GET.EVENTS."+eventsOf(orgA)+"Accepted.x", nil)
	reader.ask(t, "$JS.API.STREAM.INFO."+ReaderEvents, nil)
	if after := holdings(t, admin); !slices.Equal(before, after) {
		t.Errorf("before, streams had\n%v\nand then\n%v", before, after)
	}
}

// waitForCopy waits until the reader's copy of the events is complete, and returns the subject
// of one.
func waitForCopy(t *testing.T, reader *client) string {
	t.Helper()
	subject := eventsOf(orgA) + "Accepted.x"
	until(t, "copied", func() bool {
		return reader.ask(t, "$JS.API.DIRECT.GET."+ReaderEvents+"."+subject, nil).Header.Get(jetstream.SubjectHeader) == subject
	})
	return subject
}

// holdings are the numbers of messages and consumers of the fleet's streams.
func holdings(t *testing.T, admin *Bus) (all []string) {
	t.Helper()
	for _, name := range fleetStreams() {
		s, err := admin.js.Stream(patient(t), name)
		if err != nil {
			t.Fatal(err)
		}
		st := s.CachedInfo().State
		all = append(all, fmt.Sprintf("%s: %d up to %d, %d consumers", name, st.Msgs, st.LastSeq, st.Consumers))
	}
	return all
}

// TestDeletedByNothing: an answer without content does as the request to delete a stream, which
// is what docs/permissions.md says of processes. It ends at their account.
func TestDeletedByNothing(t *testing.T) {
	t.Parallel()
	g := newGuarded(t)
	admin := connect(t, g.config(t, RoleAdmin), usual())
	c := g.client(t, User{Role: RoleScheduler})
	stream, followed := streamOf(state.Main), prefixOf(state.Main)+state.SecretKey("*")
	c.ask(t, "$JS.API.CONSUMER.CREATE."+stream+".x."+followed, map[string]any{
		"stream_name": stream, "config": map[string]any{"name": "x", "ack_policy": "none", "filter_subject": followed},
	})
	for _, name := range []string{streamOf(state.Vault), streamAudit} {
		if err := c.PublishRequest("$JS.API.CONSUMER.MSG.NEXT."+stream+".x", "$JS.API.STREAM.DELETE."+name, []byte(`{"batch":1,"no_wait":true}`)); err != nil {
			t.Fatal(err)
		}
	}
	until(t, "deleted", func() bool {
		_, err := admin.js.Stream(patient(t), streamAudit)
		return errors.Is(err, jetstream.ErrStreamNotFound)
	})
	if _, err := admin.vault.js.Stream(patient(t), streamOf(state.Vault)); err != nil {
		t.Error(err)
	}
}
