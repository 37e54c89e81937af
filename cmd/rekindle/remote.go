package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/rekindle-dev/rekindle/pkg/config"
	"github.com/rekindle-dev/rekindle/services/api/client"
)

// envToken holds the bearer token to show to a server. It has no flag, as the
// first administrator's has none.
const envToken = envPrefix + "_TOKEN"

// defaultDataDir is where serve keeps its data unless told otherwise.
const defaultDataDir = "data"

// remote says which server the commands of a group ask, and for whom they print
// the answer.
type remote struct {
	server    string
	tokenFile string
	output    string
	org       string
	property  string
}

// group is a command that holds others, which share the flags of one remote.
// Those come from the environment, too; the flags of the commands do not.
func group(c cobra.Command, build func(*cobra.Command, *remote)) *cobra.Command {
	r := &remote{}
	c.Args = func(c *cobra.Command, args []string) error {
		if len(args) > 0 {
			return &usageError{fmt.Errorf("%s has no such command (see %s --help)", c.CommandPath(), c.CommandPath())}
		}
		return nil
	}
	c.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
	c.DisableFlagsInUseLine = true
	r.bind(c.PersistentFlags())
	_ = c.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(outputs, cobra.ShellCompDirectiveNoFileComp)) //nolint:errcheck // it fails for an unknown flag only
	build(&c, r)
	return &c
}

// single is a command of its own that asks the server, with flags as a group has
// them for its commands.
func single(r *remote, c *cobra.Command) *cobra.Command {
	r.bind(c.PersistentFlags())
	completeFixed(c, "output", outputs)
	r.bindProperty(c)
	c.DisableFlagsInUseLine = true
	return c
}

func (r *remote) bind(f *pflag.FlagSet) {
	f.StringVar(&r.server, "server", "http://127.0.0.1:8080", "base URL of the server")
	f.StringVar(&r.tokenFile, "token-file", "", "file with the bearer token, unless that is in "+envToken+" (default: "+bootstrapFile+" in the data directory)")
	f.StringVar(&r.org, "org", "", "organisation that is meant, if the bearer token belongs to several (default: its first)")
	f.StringVarP(&r.output, "output", "o", outputText, "text for people, json as the server wrote it, or id")
}

// bindProperty is for the groups whose things belong to a property.
func (r *remote) bindProperty(c *cobra.Command) {
	c.PersistentFlags().StringVar(&r.property, "property", "", "name or id of the property; may be left out when there is just one")
	r.complete(c, "property", (*session).propertyNames)
}

// session is a command at work: the server it asks, and its streams.
type session struct {
	*remote
	client   *client.Client
	tokenOf  string // where the bearer token is from
	in       io.Reader
	out, err io.Writer
	now      func() time.Time
}

// positional says how many arguments a command takes, and what they are.
type positional struct {
	least, most int
	what        string
}

// check does not show the arguments: one may be a secret that was to be a
// flag's file.
func (p positional) check(c *cobra.Command, args []string) error {
	if len(args) < p.least || len(args) > p.most {
		return &usageError{fmt.Errorf("%s takes %s (see %s --help)", c.CommandPath(), p.what, c.CommandPath())}
	}
	return nil
}

// The arguments of most commands.
var (
	noName  = positional{0, 0, "flags only"}
	oneName = positional{1, 1, "one name"}
	oneRef  = positional{1, 1, "one name or id"}
)

// command makes a command that asks the server.
func (r *remote) command(c cobra.Command, p positional, do func(context.Context, *session, []string) error) *cobra.Command {
	c.Args = p.check
	c.RunE = func(c *cobra.Command, args []string) error {
		signal.Ignore(syscall.SIGPIPE) // a reader who has had enough is no failure: see output
		s, err := r.open(c)
		if err != nil {
			return err
		}
		return s.explain(c.Context(), do(c.Context(), s, args))
	}
	if p.most == 0 || c.ValidArgsFunction == nil {
		c.ValidArgsFunction = cobra.NoFileCompletions
	}
	return &c
}

// open reads the flags of the remote and the bearer token.
func (r *remote) open(c *cobra.Command) (*session, error) {
	s, err := r.stranger(c)
	if err != nil {
		return nil, err
	}
	token, from, err := r.token()
	if err != nil {
		return nil, &codedError{exitNoServer, err}
	}
	s.client, s.tokenOf = client.New(r.server, token).In(r.org), from
	return s, nil
}

// stranger reads the flags of the remote for a session without a bearer token, which
// can ask what anybody may.
func (r *remote) stranger(c *cobra.Command) (*session, error) {
	for _, flags := range []*pflag.FlagSet{c.InheritedFlags(), c.PersistentFlags()} {
		if err := config.BindEnv(flags, envPrefix, os.LookupEnv); err != nil {
			return nil, &usageError{err}
		}
	}
	if !slices.Contains(outputs, r.output) {
		return nil, &usageError{errors.New("--output: there is no such form; use " + strings.Join(outputs, ", "))}
	}
	if u, err := url.Parse(r.server); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
		return nil, &usageError{errors.New("--server: not the base URL of a server; use one like https://rekindle.example.com")}
	}
	if unprintable := func(c rune) bool { return c < ' ' || c > '~' }; strings.ContainsFunc(r.org, unprintable) {
		return nil, &usageError{errors.New("--org: not an organisation; use printable ASCII characters")}
	}
	return &session{
		remote: r, client: client.New(r.server, ""),
		in: c.InOrStdin(), out: c.OutOrStdout(), err: c.ErrOrStderr(), now: time.Now,
	}, nil
}

// token returns the bearer token and where it is from: a file that was named,
// the environment, or the file that a fleet on this machine has written.
func (r *remote) token() (token, from string, err error) {
	if token := os.Getenv(envToken); token != "" && r.tokenFile == "" {
		from = envToken
		if !isToken(token) {
			return "", "", fmt.Errorf("%s: not a bearer token; use %s", from, tokenForm)
		}
		return token, from, nil
	}
	from = r.tokenFile
	if from == "" {
		from = filepath.Join(cmp.Or(os.Getenv(config.EnvName(envPrefix, "data-dir")), defaultDataDir), bootstrapFile)
	}
	file, err := os.Open(from) //nolint:gosec // it is named by whoever runs the program
	if err != nil {
		return "", "", fmt.Errorf("no bearer token: %w; set %s, or name its file with --token-file", err, envToken)
	}
	defer file.Close()
	body, err := io.ReadAll(io.LimitReader(file, maxToken+3)) // a line's end, and one too much
	if err != nil {
		return "", "", fmt.Errorf("bearer token: %w", err)
	}
	if token = strings.TrimSpace(string(body)); !isToken(token) {
		return "", "", fmt.Errorf("%s: not a bearer token; it must hold %s", from, tokenForm)
	}
	return token, from, nil
}

// explain says what to do about errors that are not about the question.
func (s *session) explain(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return errors.New("interrupted")
	}
	if failed, ok := errors.AsType[*url.Error](err); ok {
		return &codedError{exitNoServer, fmt.Errorf("no server answers at %s: %w; start one with rekindle serve, or name another with --server", s.server, failed.Err)}
	}
	if _, ok := errors.AsType[*client.ForeignError](err); ok {
		return &codedError{exitNoServer, fmt.Errorf("%w: check --server", err)}
	}
	if answer, ok := errors.AsType[*client.Error](err); ok && answer.Status == http.StatusUnauthorized {
		return fmt.Errorf("%w (it is from %s)", err, s.tokenOf)
	}
	return err
}
