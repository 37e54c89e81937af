package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rekindle-dev/rekindle/pkg/bus"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/services/api/client"
	"github.com/rekindle-dev/rekindle/services/sandbox"
)

// What a search for leaks looks for: every code and token of the provider begins
// so, and so does the client secret of each app.
const chaosCanary = "canary-of-chaos"

// rotation is a way in which providers treat refresh tokens: what the provider
// does, and what the fleet has been told of it.
type rotation struct {
	name  string
	does  sandbox.RefreshTokens
	known string // refresh of its descriptor
}

func rotations() []rotation {
	const month = sandbox.Duration(30 * 24 * time.Hour)
	rotate := sandbox.RotationRotate
	return []rotation{
		{"none", sandbox.RefreshTokens{}, ""},
		{"repeat", sandbox.RefreshTokens{Rotation: sandbox.RotationRepeat}, ""},
		{"grace-10s", sandbox.RefreshTokens{Rotation: rotate, Grace: sandbox.Duration(10 * time.Second), DetectReuse: true}, "rotates: true, grace: 10s, grace_generations: 1, "},
		{"leeway", sandbox.RefreshTokens{Rotation: rotate, Grace: month}, "rotates: true, grace: 720h, grace_generations: 1, "},
		{"no-grace", sandbox.RefreshTokens{Rotation: rotate, DetectReuse: true}, "rotates: true, "},
	}
}

// The lifetimes of the tokens of codes, which are refreshed at half of it, and of
// those of refresh tokens.
const (
	firstLife  = 12 * time.Second
	longerLife = time.Minute
	laterLife  = 10 * time.Hour
)

// lane is a fleet of processes and the provider that it asks. It goes through
// one death after another.
type lane struct {
	t           *testing.T
	dir         string
	gate        gate
	wire        *wire
	provider    *sandbox.Server
	processes   map[string]*process
	exchangers  []string // the processes that may die
	launched    int      // exchangers, so far
	round       int
	flags, envs []string
	client      *client.Client
	records     *records
	property    string
	environment string
}

func newLane(t *testing.T) *lane {
	t.Helper()
	l := &lane{t: t, dir: t.TempDir(), processes: map[string]*process{}}
	l.provider = sandbox.New(sandbox.Config{TokenPrefix: chaosCanary + "-"})
	l.wire = newWire(l.provider.Handler())
	at := httptest.NewServer(l.wire)
	t.Cleanup(at.Close)
	gate := httptest.NewServer(&l.gate)
	t.Cleanup(gate.Close)
	for _, r := range rotations() {
		l.provide(r, firstLife, sandbox.Step{})
	}
	l.start("nats", "nats-server", "-a", "127.0.0.1", "-p", "-1", "-js", "-sd", filepath.Join(l.dir, "nats"))
	nats := l.processes["nats"].wait(t, "nats")
	l.envs = []string{envBootstrap + "=" + scenarioToken, envGate + "=" + gate.URL}
	l.flags = []string{
		"--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0", "--data-dir", "data", "--nats-url", nats, "--config", l.configure(at.URL),
		"--egress-allow", "127.0.0.0/8", "--log-format", "json", "--log-level", "debug",
	}
	l.exchange()
	l.serve("scheduler", targetScheduler, -clocksOff)
	l.serve("api", targetAPI, clocksOff)
	l.watch(nats)
	l.client = client.New(l.processes["api"].wait(t, "api"), scenarioToken)
	l.settle()
	return l
}

// configure writes the configuration: an app with a provider for each rotation.
func (l *lane) configure(provider string) string {
	var text strings.Builder
	text.WriteString("providers:\n")
	for _, r := range rotations() {
		fmt.Fprintf(&text, "  %s: {label: %s, authorize_url: %s/authorize, token_url: %s/token, auth_style: params, pkce: S256, client_id: %s, client_secret_file: app-secret, refresh: {%soffset: 1h}}\n",
			r.name, r.name, provider, provider, r.name, r.known)
	}
	for name, body := range map[string]string{"providers.yaml": text.String(), "app-secret": chaosCanary + "-app-secret"} {
		if err := os.WriteFile(filepath.Join(l.dir, name), []byte(body), 0o600); err != nil {
			l.t.Fatal(err)
		}
	}
	return "providers.yaml"
}

// provide has the provider treat a client so: with access tokens of this life,
// and this way to answer.
func (l *lane) provide(r rotation, life time.Duration, answers sandbox.Step) {
	c := sandbox.Client{ID: r.name, Default: answers, CodeFlow: &sandbox.CodeFlow{
		AnyRedirect: true, RequirePKCE: true, Lifetime: sandbox.Duration(life), RefreshTokens: r.does,
	}}
	if err := l.provider.Put(c); err != nil {
		l.t.Fatal(err)
	}
}

func (l *lane) start(name, program string, args ...string) *process {
	l.t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		l.t.Fatal(err)
	}
	p, err := startProcess(l.dir, name, path, append([]string{program}, args...), l.envs...)
	if err != nil {
		l.t.Fatal(err)
	}
	l.processes[name] = p
	l.t.Cleanup(p.kill)
	return p
}

// clocksOff is how far the clocks of all processes are off, in one direction or the
// other, and so how far apart: nothing may come of it.
const clocksOff = 30 * time.Second

// serve starts a process of the fleet on a machine whose clock is ahead by off.
func (l *lane) serve(name, target string, off time.Duration) {
	envs := l.envs
	l.envs = append(slices.Clone(envs), envOff+"="+off.String())
	p := l.start(name, "rekindle-watched", append([]string{"--target", target}, l.flags...)...)
	l.envs = envs
	p.wait(l.t, "ready "+target)
}

// exchange starts two exchangers, in place of those there were.
func (l *lane) exchange() {
	l.exchangers = nil
	for range 2 {
		l.launched++
		name := fmt.Sprintf("exchanger-%d", l.launched)
		off := clocksOff
		if l.launched%2 == 0 {
			off = -clocksOff
		}
		l.serve(name, targetExchanger, off)
		l.exchangers = append(l.exchangers, name)
	}
}

// signal signals processes.
func (l *lane) signal(sig syscall.Signal, names ...string) {
	for _, name := range names {
		if err := l.processes[name].cmd.Process.Signal(sig); err != nil {
			l.t.Fatal(err)
		}
	}
}

// gone waits until processes have ended, each with that exit code; a process that
// was killed has none, and that is -1.
func (l *lane) gone(code int, names ...string) {
	for _, name := range names {
		p := l.processes[name]
		select {
		case <-p.done:
		case <-time.After(patience):
			l.t.Fatalf("%s did not end in %v:\n%s", name, patience, tail(l.dir, name))
		}
		if got := p.cmd.ProcessState.ExitCode(); got != code {
			l.t.Errorf("%s ended with the exit code %d, want %d:\n%s", name, got, code, tail(l.dir, name))
		}
	}
}

// settle makes the place for secrets.
func (l *lane) settle() {
	ctx := l.t.Context()
	companies, err := l.client.Companies(ctx)
	if err != nil {
		l.t.Fatal(err)
	}
	p, err := l.client.CreateProperty(ctx, companies[0].ID.ID, "chaos")
	if err != nil {
		l.t.Fatal(err)
	}
	e, err := l.client.CreateEnvironment(ctx, p.ID.ID, "dev", "development")
	if err != nil {
		l.t.Fatal(err)
	}
	l.property, l.environment = p.ID.ID, e.ID.ID
}

// create makes a secret and consents for it, as a person does, who asks once more
// when the store does not answer in time.
func (l *lane) create(r rotation, name string) (id string, err error) {
	wanted := client.NewSecret{
		Name: name, TypeOf: "oauth2-" + r.name, Credentials: map[string]any{"scopes": []string{"all"}}, Environment: l.environment,
	}
	made, err := l.client.CreateSecret(l.t.Context(), l.property, wanted)
	if e, ok := errors.AsType[*client.Error](err); ok && client.Away(e.Status) {
		wanted.Name += " again" // the first may be there
		made, err = l.client.CreateSecret(l.t.Context(), l.property, wanted)
	}
	if err != nil {
		return "", err
	}
	id = made.ID.ID
	jar, err := cookiejar.New(nil)
	if err != nil {
		return "", err
	}
	browser := &http.Client{Jar: jar, CheckRedirect: func(to *http.Request, _ []*http.Request) error {
		if code := to.URL.Query().Get("code"); code != "" {
			l.wire.learn(code, id)
		}
		return nil
	}}
	resp, err := browser.Get(made.Meta.AuthorizationURL)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	if page, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("consent ended with %d: %s", resp.StatusCode, page)
	}
	return id, nil
}

// watch follows the records of the fleet, as its services do.
func (l *lane) watch(nats string) {
	ctx, stop := context.WithCancel(context.Background())
	b, err := bus.Connect(ctx, bus.Config{URL: nats, Name: "chaos", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		l.t.Fatal(err)
	}
	st, err := b.State(ctx)
	if err != nil {
		l.t.Fatal(err)
	}
	l.wire.vault = secret.Vault{State: st}
	l.records = &records{secrets: map[string]*secret.Secret{}, changed: make(chan struct{})}
	ended := make(chan error, 1)
	go func() {
		ended <- st.Follow(ctx, []string{state.SecretKey("*")}, l.records.apply, func() {})
	}()
	l.t.Cleanup(func() {
		stop()
		<-ended
		b.Close()
	})
}

// absent fails the test if a code, a token or a client secret is readable in
// anything that the fleet has written.
func (l *lane) absent() {
	files := 0
	for _, dir := range []string{"data", "log", "nats"} {
		err := filepath.WalkDir(filepath.Join(l.dir, dir), func(path string, d os.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			files++
			body, err := os.ReadFile(path)
			if how := shows(body, chaosCanary); how != "" {
				l.t.Errorf("%s holds a code, a token or a client secret (%s)", path, how)
			}
			return err
		})
		if err != nil {
			l.t.Fatal(err)
		}
	}
	if files < 10 {
		l.t.Errorf("searched %d files for leaks: where are the others?", files)
	}
}
