package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/rekindle-dev/rekindle/pkg/bus"
	"github.com/rekindle-dev/rekindle/pkg/config"
	"github.com/rekindle-dev/rekindle/services/api"
)

// natsFlags say how to reach the fleet's NATS server, and who this is there.
type natsFlags struct{ url, creds, vault, ca string }

// bindIdentity leaves the URL to who binds: without one, each command does something else.
func (n *natsFlags) bindIdentity(f *pflag.FlagSet) {
	f.StringVar(&n.creds, "nats-creds", "", "file that proves to the NATS server who this is: the seed of an nkey, or a JWT and a seed")
	f.StringVar(&n.vault, "nats-vault-creds", "", "the same for the account of the vault, for exchangers, where that is an account of its own")
	f.StringVar(&n.ca, "nats-ca", "", "file with the certificates that vouch for the NATS server (default: those that the machine trusts)")
}

func (n *natsFlags) check(errs *config.Errors) {
	n.checkServer(errs)
	errs.Check(n.url != "" || n.creds == "" && n.vault == "" && n.ca == "", "--nats-creds, --nats-vault-creds, --nats-ca",
		"for a NATS server that is not named", "name it with --nats-url")
	errs.Check(n.vault == "" || n.creds != "", "--nats-vault-creds", "only one of two accounts has credentials", "give --nats-creds too")
	checkCredentials(errs, "--nats-creds", n.creds)
	checkCredentials(errs, "--nats-vault-creds", n.vault)
}

func (n *natsFlags) checkServer(errs *config.Errors) {
	errs.Check(n.url == "" || bus.CheckURL(n.url) == nil, "--nats-url", "not the URL of a NATS server",
		"use one like nats://host:4222, with special letters of a password percent-encoded")
}

func checkCredentials(errs *config.Errors, flag, path string) {
	if path == "" {
		return
	}
	if err := bus.CheckCredentials(path); err != nil {
		errs.Check(false, flag, err.Error(), "name a file that rekindle nats init has made, or one like it")
	}
}

// config says how to connect. Who has no credentials may do everything.
func (n *natsFlags) config(role bus.Role) bus.Config {
	cfg := bus.Config{URL: n.url, Credentials: n.creds, Vault: n.vault, CA: n.ca}
	if n.creds != "" {
		cfg.Role = role
	}
	return cfg
}

func newNATS() *cobra.Command {
	c := &cobra.Command{
		Use:   "nats",
		Short: "Prepare a NATS server that admits each for what it does",
		Args: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				return &usageError{fmt.Errorf("%s has no such command (see %s --help)", c.CommandPath(), c.CommandPath())}
			}
			return nil
		},
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.DisableFlagsInUseLine = true
	c.AddCommand(newNATSInit(), newNATSSetup())
	return c
}

func newNATSInit() *cobra.Command {
	var orgs, upstreams []string
	var byJWT bool
	c := &cobra.Command{
		Use:   "init DIR",
		Short: "Make credentials for all who connect to NATS, and what its configuration includes",
		Long: "Make an nkey for every role and organisation, and what the configuration of the NATS\n" +
			"server includes to admit them: DIR/server, which holds no secret. The seeds are\n" +
			"secret. They are in directories by who is to have them: DIR/admin, DIR/api,\n" +
			"DIR/scheduler, DIR/exchanger, and one in DIR/orgs for each organisation. Seeds that are\n" +
			"there are kept, so it may be run again when there is another organisation: name all.",
		Example: "  rekindle nats init deploy/nats\n" +
			"  rekindle nats init deploy/nats --org ORG@One --org ORG@Two --upstream billing --upstream crm",
		Args: positional{1, 1, "one directory"}.check,
		RunE: func(c *cobra.Command, args []string) error {
			var errs config.Errors
			checkNames(&errs, "--org", orgs)
			checkNames(&errs, "--upstream", upstreams)
			if err := errs.Err(); err != nil {
				return &usageError{err}
			}
			all := organisations(orgs, upstreams)
			admit := bus.Admit
			if byJWT {
				admit = bus.AdmitByJWT
			}
			if err := admit(args[0], all); err != nil {
				return err
			}
			tellUsers(c.OutOrStdout(), args[0], all)
			return nil
		},
	}
	c.Flags().StringArrayVar(&orgs, "org", []string{api.DefaultOrg}, "organisation, once for each")
	c.Flags().BoolVar(&byJWT, "jwt", false, "have the server admit by JWTs: make an operator, accounts and .creds files")
	c.Flags().StringArrayVar(&upstreams, "upstream", []string{"upstream"}, "system that says what is to be done, once for each; every organisation has them all")
	c.DisableFlagsInUseLine = true
	return c
}

func checkNames(errs *config.Errors, flag string, names []string) {
	for i, name := range names {
		errs.Check(name != "", flag, "empty", "name one")
		errs.Check(!slices.Contains(names[:i], name), flag, fmt.Sprintf("has %q twice", name), "name each once")
	}
}

func organisations(names, upstreams []string) []bus.Organisation {
	all := make([]bus.Organisation, len(names))
	for i, name := range names {
		all[i] = bus.Organisation{Name: name, Upstreams: upstreams}
	}
	return all
}

// tellUsers lists who is admitted, and by which file.
func tellUsers(out io.Writer, dir string, orgs []bus.Organisation) {
	for _, u := range bus.Users(orgs) {
		fmt.Fprintf(out, "%-13s %-24s %-12s %s\n", u.Role, oneLine(cmp.Or(u.Org, "-")), oneLine(cmp.Or(u.Name, "-")), u.File(dir))
	}
}

// setupFlags is what a person says of setting up a server.
type setupFlags struct {
	url, ca, configFile string
	orgs                []string
}

func newNATSSetup() *cobra.Command {
	var f setupFlags
	c := &cobra.Command{
		Use:   "setup DIR",
		Short: "Declare the fleet's streams, as admin",
		Long: "Declare the streams and consumers of the fleet, and those that readers read: what is\n" +
			"missing is made, what an earlier version has declared is brought up to date. DIR is what\n" +
			"rekindle nats init has written. Processes whose credentials are of one role declare\n" +
			"nothing: run this before they start first, and before each upgrade.\n\n" +
			"Its flags can be given as environment variables, as those of serve can.",
		Example: "  rekindle nats setup deploy/nats --nats-url nats://nats:4222",
		Args:    positional{1, 1, "one directory"}.check,
		RunE: func(c *cobra.Command, args []string) error {
			if err := config.BindEnv(c.Flags(), envPrefix, os.LookupEnv); err != nil {
				return &usageError{err}
			}
			return setUpNATS(c.Context(), args[0], f, c.ErrOrStderr())
		},
	}
	c.Flags().StringVar(&f.url, "nats-url", "", "NATS server of the fleet")
	c.Flags().StringVar(&f.ca, "nats-ca", "", "file with the certificates that vouch for the NATS server (default: those that the machine trusts)")
	c.Flags().StringVar(&f.configFile, "config", "", "configuration file (YAML) of the fleet, for its nats.replicas and audit")
	c.Flags().StringArrayVar(&f.orgs, "org", []string{api.DefaultOrg}, "organisation whose readers are served, once for each")
	c.DisableFlagsInUseLine = true
	return c
}

// setUpPatience is for how long a server is awaited that is not up yet.
const setUpPatience = time.Minute

func setUpNATS(ctx context.Context, dir string, f setupFlags, stderr io.Writer) error {
	var s settings
	var errs config.Errors
	var unread error
	if f.configFile != "" {
		s.file.addShipped()
		errs.At, unread = config.Load(f.configFile, &s.file)
	}
	n := natsFlags{url: f.url, creds: seedOf(dir, bus.RoleAdmin), vault: seedOf(dir, bus.RoleVaultAdmin), ca: f.ca}
	errs.Check(f.url != "", "--nats-url", "missing", "name the NATS server of the fleet")
	n.checkServer(&errs)
	for _, path := range f.files(dir) {
		if err := bus.CheckCredentials(path); err != nil {
			errs.Check(false, path, err.Error(), "run rekindle nats init first, naming all organisations")
		}
	}
	s.checkStreams(&errs)
	if err := errors.Join(unread, errs.Err()); err != nil {
		return &usageError{err}
	}
	ctx, cancel := context.WithTimeout(ctx, setUpPatience)
	defer cancel()
	cfg := n.config(bus.RoleAdmin)
	cfg.Name, cfg.Logger = "rekindle nats setup", slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	cfg.Replicas, cfg.Audit = s.file.NATS.Replicas, s.auditKept()
	b, err := bus.Connect(ctx, cfg)
	if err != nil {
		return err
	}
	defer b.Close()
	for _, org := range f.orgs {
		cfg.Credentials = readerAdmin(dir, org)
		if err := bus.SetUpReader(ctx, cfg, org); err != nil {
			return err
		}
	}
	return nil
}

// files are the credentials that it takes to set up a server.
func (f *setupFlags) files(dir string) []string {
	files := []string{seedOf(dir, bus.RoleAdmin), seedOf(dir, bus.RoleVaultAdmin)}
	for _, org := range f.orgs {
		files = append(files, readerAdmin(dir, org))
	}
	return files
}

func readerAdmin(dir, org string) string {
	return bus.User{Role: bus.RoleReaderAdmin, Org: org}.File(dir)
}

func seedOf(dir string, role bus.Role) string {
	return bus.User{Role: role}.File(dir)
}

// auditKept is how much of the audit trail is to be kept.
func (s *settings) auditKept() bus.AuditKept {
	return bus.AuditKept{Keep: time.Duration(s.file.Audit.Keep), Bytes: s.file.Audit.Bytes}
}
