package bus

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/events/intake"
	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/pkg/work"
)

// TestRoles: each process of the fleet finds what it needs, and is refused nothing.
func TestRoles(t *testing.T) {
	t.Parallel()
	byEach(t, testRoles)
}

func testRoles(t *testing.T, g *guarded) {
	t.Helper()
	g.setUp(t)
	keys := map[Role][]string{
		RoleAPI:       {state.SecretKey("SE1"), state.CredentialKey("SE1"), state.DeliveryKey("CB1", "x")},
		RoleScheduler: nil, // it follows
		RoleExchanger: {state.SecretKey("SE1"), state.CredentialKey("SE1"), state.GrantKey("SE1"), state.EndpointKey("x")},
	}
	for role, readable := range keys {
		b := connect(t, g.config(t, role), usual())
		st, err := b.State(patient(t))
		if err != nil {
			t.Fatal(role, err)
		}
		for _, key := range readable {
			if _, _, err := st.Get(patient(t), key); !errors.Is(err, state.ErrNotFound) {
				t.Errorf("%s reads %s: %v", role, key, err)
			}
		}
		if _, _, err := st.Get(patient(t), state.GrantKey("SE1")); (role == RoleExchanger) != errors.Is(err, state.ErrNotFound) {
			t.Errorf("%s reads a grant: %v", role, err)
		}
		following, stop := context.WithCancel(patient(t))
		if err := st.Follow(following, []string{state.SecretKey("*")}, func(state.Change) {}, stop); !errors.Is(err, context.Canceled) {
			t.Errorf("%s follows secrets: %v", role, err)
		}
		if what := b.refusals.first(); what != "" {
			t.Errorf("%s is refused to %s", role, what)
		}
	}
}

// TestUpstream is a system that says what is to be done, and hears what became of it.
func TestUpstream(t *testing.T) {
	t.Parallel()
	byEach(t, testUpstream)
}

func testUpstream(t *testing.T, g *guarded) {
	t.Helper()
	g.setUp(t)
	api, upstream := g.client(t, User{Role: RoleAPI}), g.client(t, User{RoleUpstream, orgA, "billing"})

	stored, err := upstream.js.Publish(patient(t), intake.Subject(orgA, "SecretCreated", "k"), []byte("{}"))
	if err != nil || stored.Stream != streamIntake {
		t.Fatalf("stored in %v, %v", stored, err)
	}
	reply := intake.NewReplySubject(orgA)
	for _, subject := range []string{reply, eventsOf(orgA) + "Accepted.x"} {
		sub, err := upstream.SubscribeSync(subject)
		if err != nil {
			t.Fatal(err)
		}
		if err := upstream.FlushWithContext(patient(t)); err != nil {
			t.Fatal(err)
		}
		if err := api.Publish(subject, []byte("accepted")); err != nil {
			t.Fatal(err)
		}
		if m, err := sub.NextMsgWithContext(patient(t)); err != nil || string(m.Data) != "accepted" {
			t.Errorf("%s: %v, %v", subject, m, err)
		}
	}
	if m := upstream.ask(t, "$JS.API.DIRECT.GET.EVENTS."+eventsOf(orgA)+"Accepted.x", nil); string(m.Data) != "accepted" {
		t.Errorf("asked later it is told %v %q", m.Header, m.Data)
	}

	keyset, err := api.SubscribeSync(events.KeysetSubject)
	if err != nil {
		t.Fatal(err)
	}
	if err := api.FlushWithContext(patient(t)); err != nil {
		t.Fatal(err)
	}
	inbox, err := upstream.SubscribeSync(upstream.NewInbox())
	if err != nil {
		t.Fatal(err)
	}
	if err := upstream.PublishRequest(events.KeysetSubject, inbox.Subject, nil); err != nil {
		t.Fatal(err)
	}
	asked, err := keyset.NextMsgWithContext(patient(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := asked.Respond([]byte("the keyset")); err != nil {
		t.Fatal(err)
	}
	if m, err := inbox.NextMsgWithContext(patient(t)); err != nil || string(m.Data) != "the keyset" {
		t.Errorf("the keyset is %v, %v", m, err)
	}
	nothingRefused(t, api, upstream)
}

// nothingRefused shows that nothing was: a refusal that is provoked is the first.
func nothingRefused(t *testing.T, clients ...*client) {
	t.Helper()
	for _, c := range clients {
		c.mayNotPublish(t, forbidding)
	}
}

// TestReader is whoever follows the status of secrets, and replays events, with what every
// client of NATS has for that.
func TestReader(t *testing.T) {
	t.Parallel()
	byEach(t, testReader)
}

func testReader(t *testing.T, g *guarded) {
	t.Helper()
	admin := g.setUp(t)
	say := func(subject, body string) {
		t.Helper()
		if _, err := admin.js.Publish(patient(t), subject, []byte(body)); err != nil {
			t.Fatal(err)
		}
	}
	mine, theirs := prefixStatus+events.Token(orgA)+".PR1.oauth2.SE1", prefixStatus+events.Token(orgB)+".PR2.oauth2.SE2"
	say(theirs, "not for us")
	say(mine, "one")
	reader := g.client(t, User{RoleReader, orgA, ""})
	kv, err := reader.js.KeyValue(patient(t), ReaderStatus)
	if err != nil {
		t.Fatal(err)
	}
	watch, err := kv.Watch(patient(t), events.Token(orgA)+".*.oauth2.*", jetstream.IncludeHistory())
	if err != nil {
		t.Fatal(err)
	}
	said := []string{}
	for len(said) < 2 {
		if entry := <-watch.Updates(); entry != nil {
			said = append(said, string(entry.Value()))
			say(mine, "two")
		}
	}
	if err := watch.Stop(); err != nil {
		t.Error(err)
	}
	if strings.Join(said[:2], " ") != "one two" {
		t.Errorf("watching shows %q", said)
	}

	say(eventsOf(orgB)+"SecretCreated.SE2", "not for us")
	say(eventsOf(orgA)+"SecretCreated.SE1", "first")
	say(eventsOf(orgA)+"SecretUpdated.SE1", "second")
	from := time.Now().Add(-time.Hour)
	ordered, err := reader.js.OrderedConsumer(patient(t), ReaderEvents, jetstream.OrderedConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartTimePolicy, OptStartTime: &from, FilterSubjects: []string{eventsOf(orgA) + "SecretUpdated.*"},
	})
	if err != nil {
		t.Fatal(err)
	}
	m, err := ordered.Next(jetstream.FetchMaxWait(patience))
	if err != nil || string(m.Data()) != "second" || m.Subject() != eventsOf(orgA)+"SecretUpdated.SE1" {
		t.Errorf("replayed %v, %v", m, err)
	}
	// One that is remembered, as a system that must not miss any would have it.
	durable, err := reader.js.CreateOrUpdateConsumer(patient(t), ReaderEvents, jetstream.ConsumerConfig{Durable: "billing", AckPolicy: jetstream.AckExplicitPolicy})
	if err != nil {
		t.Fatal(err)
	}
	m, err = durable.Next(jetstream.FetchMaxWait(patience))
	if err != nil || string(m.Data()) != "first" {
		t.Fatalf("taken %v, %v", m, err)
	}
	if err := m.DoubleAck(patient(t)); err != nil {
		t.Error(err)
	}
	nothingRefused(t, reader)
}

// TestNotSetUp: who may not declare streams says who does, at once.
func TestNotSetUp(t *testing.T) {
	t.Parallel()
	g := newGuarded(t)
	for _, role := range []Role{RoleAPI, RoleScheduler, RoleExchanger} {
		_, err := start(patient(t), g.config(t, role), usual())
		if err == nil || !strings.Contains(err.Error(), "there is no stream KV_state: run rekindle nats setup") {
			t.Errorf("%s: got error %v", role, err)
		}
	}
	cfg := g.config(t, RoleExchanger)
	cfg.Credentials = User{Role: RoleScheduler}.File(g.dir)
	connect(t, g.config(t, RoleAdmin), usual())
	if _, err := start(patient(t), cfg, usual()); err == nil || !strings.Contains(err.Error(), "the role exchanger needs") {
		t.Errorf("with the credentials of another role: got error %v", err)
	}
}

// TestOlderStreams: what an earlier version has declared is not good enough.
func TestOlderStreams(t *testing.T) {
	t.Parallel()
	g := newGuarded(t)
	admin := connect(t, g.config(t, RoleAdmin), usual())
	s, err := admin.js.Stream(patient(t), streamJobs)
	if err != nil {
		t.Fatal(err)
	}
	cfg := s.CachedInfo().Config
	cfg.Metadata = map[string]string{topologyKey: "1"}
	if _, err := admin.js.UpdateStream(patient(t), cfg); err != nil {
		t.Fatal(err)
	}
	if _, err := start(patient(t), g.config(t, RoleScheduler), usual()); err == nil || !strings.Contains(err.Error(), "the stream JOBS is as an earlier version declared it: run rekindle nats setup") {
		t.Errorf("got error %v", err)
	}
	connect(t, g.config(t, RoleAdmin), usual())
	connect(t, g.config(t, RoleScheduler), usual())
}

// TestNothingDeclaredAnew: what is as it should be is not touched.
func TestNothingDeclaredAnew(t *testing.T) {
	t.Parallel()
	g := newGuarded(t)
	admin := g.setUp(t)
	heard, err := admin.nc.SubscribeSync("$JS.EVENT.ADVISORY.>")
	if err != nil {
		t.Fatal(err)
	}
	if err := admin.nc.FlushWithContext(patient(t)); err != nil {
		t.Fatal(err)
	}
	connect(t, g.config(t, RoleAdmin), usual())
	cfg := g.config(t, RoleReaderAdmin)
	cfg.Credentials = User{RoleReaderAdmin, orgA, ""}.File(g.dir)
	if err := SetUpReader(patient(t), cfg, orgA); err != nil {
		t.Error(err)
	}
	// What is announced then is this.
	if err := admin.js.DeleteStream(patient(t), streamIntake); err != nil {
		t.Fatal(err)
	}
	m, err := heard.NextMsgWithContext(patient(t))
	for err == nil && strings.HasPrefix(m.Subject, "$JS.EVENT.ADVISORY.API") {
		m, err = heard.NextMsgWithContext(patient(t))
	}
	if err != nil || m.Subject != "$JS.EVENT.ADVISORY.STREAM.DELETED."+streamIntake {
		t.Errorf("%v, %v", m, err)
	}
}

func TestCredentialsFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := Admit(dir, nil); err != nil {
		t.Fatal(err)
	}
	good := User{Role: RoleAPI}.SeedFile(dir)
	if err := CheckCredentials(good); err != nil {
		t.Error(err)
	}
	write := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const broken = "SUAHUNTER2HUNTER2"
	seed, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct{ path, want string }{
		"missing":     {filepath.Join(dir, "nowhere"), "no such file"},
		"a directory": {dir, "not a regular file"},
		"exposed":     {write("exposed.nk", string(seed), 0o644), "make that 0600"},
		"empty":       {write("empty.nk", "", 0o600), "holds neither"},
		"broken":      {write("broken.nk", broken+"\n", 0o600), "holds neither"},
		"an account":  {write("account.nk", strings.Replace(string(seed), "SU", "SA", 1), 0o600), "holds neither"},
	} {
		err := CheckCredentials(tc.path)
		if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), broken) || strings.Contains(err.Error(), dir) {
			t.Errorf("%s: got error %v, want %q", name, err, tc.want)
		}
	}
}

// TestAdmitAgain: who is known keeps its key when others come.
func TestAdmitAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := Admit(dir, nil); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(User{Role: RoleAPI}.SeedFile(dir))
	if err != nil {
		t.Fatal(err)
	}
	if err := Admit(dir, shipped()); err != nil {
		t.Fatal(err)
	}
	after, err := os.ReadFile(User{Role: RoleAPI}.SeedFile(dir))
	if err != nil || string(after) != string(before) {
		t.Errorf("another key was made (%v)", err)
	}
	if _, err := os.Stat(User{RoleUpstream, "REKINDLE@LocalOrg", "upstream"}.SeedFile(dir)); err != nil {
		t.Error(err)
	}
}

// TestNamesDiffer: no two users share a variable, and no two an account that are not of one
// organisation, whatever they are called.
func TestNamesDiffer(t *testing.T) {
	t.Parallel()
	keys, names := map[string]User{}, map[string]account{}
	orgs := []Organisation{
		{"A", []string{"b_c", "b-c", "b.c", "5Fb_c"}}, {"A_b", []string{"c", "5Fc"}}, {"A-b", []string{"c"}}, {"A=5Fb", []string{"c"}}, {"A@b", nil}, {"A.b", []string{"c"}},
	}
	for _, a := range accounts(orgs) {
		if other, twice := names[a.name]; twice {
			t.Errorf("%v and %v are both in %s", a.users, other.users, a.name)
		}
		names[a.name] = a
		for _, u := range a.users {
			if other, twice := keys[u.Key()]; twice {
				t.Errorf("%v and %v are both %s", u, other, u.Key())
			}
			keys[u.Key()] = u
		}
	}
}

// TestMoveIn: a fleet that was on a server without accounts goes on with them, once what the
// server has stored is moved as docs/permissions.md says.
func TestMoveIn(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	old := newServer(t, func(o *server.Options) { o.StoreDir = filepath.Join(dir, "js") })
	b := connect(t, old.config(t), usual())
	st := openState(t, b)
	commit(t, st, put(state.SecretKey("SE1"), "a secret"))
	commit(t, st, put(state.GrantKey("SE1"), "a grant"))
	if accepted, err := b.Offer(patient(t), due("SE1")); !accepted || err != nil {
		t.Fatal(accepted, err)
	}
	b.Close()
	old.stop()

	streams := func(account string) string { return filepath.Join(dir, "js", "jetstream", account, "streams") }
	for _, account := range []string{accountFleet, accountVault} {
		if err := os.MkdirAll(streams(account), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	all, err := os.ReadDir(streams("$G"))
	if err != nil {
		t.Fatal(err)
	}
	for _, stream := range all {
		account := accountFleet
		if stream.Name() == streamOf(state.Vault) {
			account = accountVault
		}
		if err := os.Rename(filepath.Join(streams("$G"), stream.Name()), filepath.Join(streams(account), stream.Name())); err != nil {
			t.Fatal(err)
		}
	}

	g := newGuardedIn(t, dir, Admit)
	connect(t, g.config(t, RoleAdmin), usual())
	b = connect(t, g.config(t, RoleExchanger), usual())
	st, err = b.State(patient(t))
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{state.SecretKey("SE1"): "a secret", state.GrantKey("SE1"): "a grant"} {
		if got, _, err := st.Get(patient(t), key); string(got) != want {
			t.Errorf("%s is %q, %v", key, got, err)
		}
	}
	ctx, stop := context.WithCancel(patient(t))
	err = b.Work(ctx, patient(t), 1, func(_ context.Context, m work.Message) error {
		if m.Subject != "SE1" {
			t.Errorf("given the job of %s", m.Subject)
		}
		stop()
		return nil
	}, nil)
	if err != nil {
		t.Error(err)
	}
}
