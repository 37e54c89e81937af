package bus

import (
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

var update = flag.Bool("update", false, "write the files of deploy/nats and the table of docs/permissions.md")

const deployed = "../../deploy/nats"

// shipped are the organisations of the configuration that is shipped.
func shipped() []Organisation {
	return []Organisation{{Name: "REKINDLE@LocalOrg", Upstreams: []string{"upstream"}}}
}

// TestShippedAccounts compares the file that is shipped with the table.
func TestShippedAccounts(t *testing.T) {
	path := filepath.Join(deployed, serverDir, accountsFile)
	if *update {
		if err := os.WriteFile(path, []byte(Accounts(shipped())), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != Accounts(shipped()) {
		t.Errorf("%s is not what the table of permissions says: go test ./pkg/bus -run TestShippedAccounts -update", path)
	}
}

// guarded is a server with the configuration that is shipped, and keys of its own.
type guarded struct {
	dir string
	url string
	ns  *server.Server
}

const (
	orgA = "ORG@A"
	orgB = "ORG@B"
)

func guardedOrgs() []Organisation {
	return []Organisation{{orgA, []string{"billing", "crm"}}, {orgB, []string{"billing"}}}
}

func newGuarded(t *testing.T) *guarded {
	t.Helper()
	return newGuardedIn(t, t.TempDir(), Admit)
}

// byEach runs a test with servers that admit by nkeys and by JWTs.
func byEach(t *testing.T, test func(t *testing.T, g *guarded)) {
	for name, admit := range map[string]func(string, []Organisation) error{"nkeys": Admit, "JWTs": AdmitByJWT} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, newGuardedIn(t, t.TempDir(), admit))
		})
	}
}

func newGuardedIn(t *testing.T, dir string, admit func(string, []Organisation) error) *guarded {
	t.Helper()
	g := &guarded{dir: dir}
	if err := admit(g.dir, guardedOrgs()); err != nil {
		t.Fatal(err)
	}
	conf, err := os.ReadFile(filepath.Join(deployed, "nats.conf"))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(g.dir, "nats.conf")
	if err := os.WriteFile(path, conf, 0o600); err != nil {
		t.Fatal(err)
	}
	g.start(t, path)
	return g
}

// start starts the server with a configuration.
func (g *guarded) start(t *testing.T, path string) {
	t.Helper()
	ns, err := server.NewServer(g.options(t, path))
	if err != nil {
		t.Fatal(err)
	}
	ns.Start()
	t.Cleanup(func() { ns.Shutdown(); ns.WaitForShutdown() })
	if !ns.ReadyForConnections(patience) {
		t.Fatal("the server is not ready")
	}
	g.url, g.ns = ns.ClientURL(), ns
}

func (g *guarded) options(t *testing.T, path string) *server.Options {
	t.Helper()
	opts, err := server.ProcessConfigFile(path)
	if err != nil {
		t.Fatal(err)
	}
	opts.Host, opts.Port, opts.HTTPHost, opts.HTTPPort, opts.StoreDir = "127.0.0.1", server.RANDOM_PORT, "", 0, g.store()
	opts.NoLog, opts.NoSigs = true, true
	return opts
}

// reload has the server read its configuration anew, while it runs.
func (g *guarded) reload(t *testing.T) {
	t.Helper()
	if err := g.ns.ReloadOptions(g.options(t, filepath.Join(g.dir, "nats.conf"))); err != nil {
		t.Fatal(err)
	}
}

// store is the directory of the server's streams.
func (g *guarded) store() string { return filepath.Join(g.dir, "js") }

func (g *guarded) config(t testing.TB, role Role) Config {
	cfg := Config{
		URL: g.url, Name: t.Name() + " " + string(role), Logger: slog.New(slog.DiscardHandler),
		Role: role, Credentials: User{Role: role}.File(g.dir),
	}
	if vault := vaultOf(role); vault != role {
		cfg.Vault = User{Role: vault}.File(g.dir)
	}
	return cfg
}

// setUp declares all streams, and the copies of readers.
func (g *guarded) setUp(t *testing.T) *Bus {
	t.Helper()
	b := connect(t, g.config(t, RoleAdmin), usual())
	for _, org := range []string{orgA, orgB} {
		cfg := g.config(t, RoleReaderAdmin)
		cfg.Credentials = User{RoleReaderAdmin, org, ""}.File(g.dir)
		if err := SetUpReader(patient(t), cfg, org); err != nil {
			t.Fatal(err)
		}
		g.copying(t, org)
	}
	return b
}

// copying waits until the readers of an organisation have what there is. Until then the
// server does not stop in order.
func (g *guarded) copying(t *testing.T, org string) {
	t.Helper()
	reader := g.client(t, User{RoleReader, org, ""})
	for _, c := range copies(org) {
		until(t, "copied", func() bool {
			s, err := reader.js.Stream(patient(t), c.name)
			return err == nil && s.CachedInfo().Mirror.Active >= 0
		})
	}
}

// client is a plain connection of a user, and what the server refuses it.
type client struct {
	*nats.Conn
	js      jetstream.JetStream
	refused chan string
}

func (g *guarded) client(t *testing.T, u User) *client {
	t.Helper()
	c := &client{refused: make(chan string, 1000)}
	proof, err := credentials(u.File(g.dir))
	if err != nil {
		t.Fatal(err)
	}
	c.Conn, err = nats.Connect(g.url, proof, nats.CustomInboxPrefix(inboxOf(u.Role)), nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
		what, _ := forbidden(err)
		c.refused <- what
	}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	if c.js, err = jetstream.New(c.Conn); err != nil {
		t.Fatal(err)
	}
	return c
}

// next returns what the server refuses next.
func (c *client) next(t *testing.T) string {
	t.Helper()
	select {
	case what := <-c.refused:
		return what
	case <-patient(t).Done():
		t.Fatal("nothing is refused")
		return ""
	}
}

// mayNotPublish publishes and expects the server to refuse that. What it did not refuse
// shows in the next refusal, which is of something that nobody may.
func (c *client) mayNotPublish(t *testing.T, subject string) {
	t.Helper()
	if err := c.PublishRequest(subject, inboxOf(RoleAdmin)+".x", []byte("{}")); err != nil {
		t.Fatal(err)
	}
	if err := c.Publish(forbidding, nil); err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("Publish to %q", subject)
	if got := c.next(t); got != want {
		t.Errorf("may publish to %s", subject)
		return
	}
	c.next(t)
}

// forbidding is a subject that nobody may publish to or listen to, but for admins.
const forbidding = "nobody.may"

func (c *client) mayNotHear(t *testing.T, subject string) {
	t.Helper()
	for _, s := range []string{subject, forbidding} {
		if _, err := c.SubscribeSync(s); err != nil {
			t.Fatal(err)
		}
	}
	want := fmt.Sprintf("Subscription to %q", subject)
	if got := c.next(t); got != want {
		t.Errorf("may listen to %s", subject)
		return
	}
	c.next(t)
}

// ask sends a request that is to be answered.
func (c *client) ask(t *testing.T, subject string, body any) *nats.Msg {
	t.Helper()
	data, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	m, err := c.RequestWithContext(patient(t), subject, data)
	if err != nil {
		t.Fatalf("%s: %v", subject, err)
	}
	return m
}

const (
	permissionsPage = "../../docs/permissions.md"
	generated       = "<!-- from here on written by go test ./pkg/bus -run TestPermissionsPage -update -->\n"
)

// TestPermissionsPage compares the page with the table.
func TestPermissionsPage(t *testing.T) {
	page, err := os.ReadFile(permissionsPage)
	if err != nil {
		t.Fatal(err)
	}
	head, got, ok := strings.Cut(string(page), generated)
	if !ok {
		t.Fatalf("%s has no line %q", permissionsPage, generated)
	}
	want := describePermissions()
	if *update {
		if err := os.WriteFile(permissionsPage, []byte(head+generated+want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got != want {
		t.Errorf("%s is not what the table says: go test ./pkg/bus -run TestPermissionsPage -update", permissionsPage)
	}
}

func describePermissions() string {
	var b strings.Builder
	code := func(subjects []string) string {
		quoted := make([]string, len(subjects))
		for i, s := range subjects {
			quoted[i] = "`" + s + "`"
		}
		return strings.Join(quoted, " ")
	}
	for _, role := range []Role{RoleAPI, RoleScheduler, RoleExchanger, RoleVault, RoleUpstream, RoleReader} {
		fmt.Fprintf(&b, "\n## %s\n\n| to | publishes | listens to |\n|---|---|---|\n", role)
		for _, p := range Permissions(role, "ORG") {
			fmt.Fprintf(&b, "| %s | %s | %s |\n", p.What, code(p.Publish), code(p.Subscribe))
		}
		if denied := Denied(role); denied != nil {
			fmt.Fprintf(&b, "\nBut it does not publish %s.\n", code(denied))
		}
	}
	return b.String()
}
