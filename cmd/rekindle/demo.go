package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/rekindle-dev/rekindle/pkg/config"
	"github.com/rekindle-dev/rekindle/services/api/client"
	"github.com/rekindle-dev/rekindle/services/sandbox"
)

func newDemo() *cobra.Command {
	var rounds int
	c := command(envPrefix+"_DEMO", cobra.Command{
		Use:   "demo",
		Short: "Watch a fleet keep a few secrets fresh",
		Long: "Start a fleet and a sandbox in this process, with validity windows of seconds,\n" +
			"create a few secrets, and show live how they are exchanged and refreshed again\n" +
			"and again. Nothing is left behind.",
	}, func(c *cobra.Command) error {
		if rounds < 0 {
			return &usageError{errors.New("--rounds must not be negative")}
		}
		return demo(c.Context(), rounds, c.OutOrStdout())
	})
	c.Flags().IntVar(&rounds, "rounds", 0, "stop when every secret that expires has been refreshed that often; 0 for never")
	return c
}

// The windows of the demo: the contract's, an hour to a second.
const (
	demoValidity = 8 * time.Second
	demoInterval = 4 * time.Second
)

// demoSecrets is what the demo creates: each shows something.
var demoSecrets = []struct {
	name     string
	kind     string
	lifetime time.Duration // of its client's tokens; 0 for kinds that do not expire
	script   []sandbox.Step
}{
	{name: "crm", kind: "oauth2-client_credentials", lifetime: 8 * time.Second},
	{name: "billing", kind: "oauth2-client_credentials", lifetime: 11 * time.Second},
	{name: "search", kind: "oauth2", lifetime: 14 * time.Second},
	{name: "flaky", kind: "oauth2-client_credentials", lifetime: 9 * time.Second, script: []sandbox.Step{{Times: 2}, {Times: 1, Status: 503}}},
	{name: "too-short", kind: "oauth2-client_credentials", lifetime: 5 * time.Second},
	{name: "legacy-login", kind: "simple-http"},
	{name: "webhook-key", kind: "token"},
}

func demo(ctx context.Context, rounds int, out io.Writer) (err error) {
	dir, err := os.MkdirTemp("", "rekindle-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	provider := sandbox.New(sandbox.Config{})
	tokenURL := "http://" + ln.Addr().String() + "/token"
	fmt.Fprintf(out, "A fleet and an authorization server, in this process. One hour of the real\nvalidity windows is one second here.\n\n")

	ctx, stop := context.WithCancel(ctx)
	defer stop()
	g, ctx := errgroup.WithContext(ctx)
	serving := make(chan string, 1)
	g.Go(func() error { return provider.Serve(ctx, ln) })
	g.Go(func() error { return serve(ctx, demoSettings(dir, serving), io.Discard) })
	g.Go(func() error {
		defer stop()
		select {
		case base := <-serving:
			token, err := readToken(filepath.Join(dir, bootstrapFile))
			if err != nil {
				return err
			}
			d := demonstration{
				client: client.New(base, token), provider: provider, rounds: rounds, out: out,
				values: map[string]time.Time{}, count: map[string]int{},
			}
			return d.run(ctx, tokenURL)
		case <-ctx.Done():
			return nil
		}
	})
	err = g.Wait()
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

func demoSettings(dir string, serving chan<- string) *settings {
	s := &settings{
		target: targetAll, listen: "127.0.0.1:0", opsListen: "127.0.0.1:0", dataDir: dir, logLevel: "info",
		serving: func(base string) { serving <- base },
	}
	validity, interval := config.Duration(demoValidity), config.Duration(demoInterval)
	s.egressAllow = []string{netip.MustParsePrefix("127.0.0.0/8").String()}
	s.file.Windows = map[string]windowSettings{
		"oauth2": {MinValidity: &validity, MinInterval: &interval, DefaultOffset: &interval},
	}
	return s
}

// demonstration is a demo under way.
type demonstration struct {
	client   *client.Client
	provider *sandbox.Server
	rounds   int
	out      io.Writer
	values   map[string]time.Time // when a secret's present value was activated, by id
	count    map[string]int       // how many values it has had
}

// run creates the secrets and shows them until ctx ends or all have been
// refreshed often enough.
func (d demonstration) run(ctx context.Context, tokenURL string) error {
	property, err := d.create(ctx, tokenURL)
	if err != nil {
		return err
	}
	screen := newScreen(d.out)
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		secrets, err := d.client.Secrets(ctx, property, nil)
		if err != nil {
			return err
		}
		lines, done := d.lines(secrets, time.Now())
		screen.show(lines)
		if done {
			fmt.Fprintf(d.out, "\nEvery secret that expires was refreshed %d times or more.\n", d.rounds)
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// create makes a property with an environment and the secrets.
func (d demonstration) create(ctx context.Context, tokenURL string) (property string, err error) {
	c := d.client
	companies, err := c.Companies(ctx)
	if err != nil {
		return "", err
	}
	p, err := c.CreateProperty(ctx, companies[0].ID.ID, "demo")
	if err != nil {
		return "", err
	}
	env, err := c.CreateEnvironment(ctx, p.ID.ID, "development", "development")
	if err != nil {
		return "", err
	}
	for _, s := range demoSecrets {
		n := client.NewSecret{Name: s.name, TypeOf: s.kind, Environment: env.ID.ID}
		switch s.kind {
		case "token":
			n.Credentials = map[string]any{"token": "demo-token"}
		case "simple-http":
			n.Credentials = map[string]any{"username": "demo", "password": "demo-password"}
		default:
			step := sandbox.Step{Lifetime: new(sandbox.Duration(s.lifetime))}
			script := append([]sandbox.Step{}, s.script...)
			for i := range script {
				script[i].Lifetime = step.Lifetime
			}
			if err := d.provider.Put(sandbox.Client{ID: s.name, Secret: "demo-secret", Script: script, Default: step}); err != nil {
				return "", err
			}
			n.Credentials = map[string]any{"client_id": s.name, "client_secret": "demo-secret", "token_url": tokenURL}
		}
		if _, err := c.CreateSecret(ctx, p.ID.ID, n); err != nil {
			return "", err
		}
	}
	return p.ID.ID, nil
}
