package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/user"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/rekindle-dev/rekindle/pkg/bus"
	"github.com/rekindle-dev/rekindle/pkg/config"
	"github.com/rekindle-dev/rekindle/pkg/natsd"
	"github.com/rekindle-dev/rekindle/pkg/seal"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/transfer"
	"github.com/rekindle-dev/rekindle/services/exchanger"
)

// exportFlags is what a person says of an export.
type exportFlags struct {
	to, property     string
	handOver, yes    bool
	dataDir, keyring string
	nats             natsFlags
}

func newExport() *cobra.Command {
	var f exportFlags
	c := command(envPrefix, cobra.Command{
		Use:   "export",
		Short: "Export secrets, sealed to whoever is to import them",
		Long: "Export secrets to standard output, one JSON object a line, as rekindle import reads\n" +
			"them. What is hidden is sealed to a public key: rekindle keygen makes one for whoever\n" +
			"is to import the rows. That each secret was read stands in its time-line.\n\n" +
			"It opens what is stored, so it runs where an exchanger does, with the fleet's keyring,\n" +
			"and asks no API. A fleet that is one process has to be stopped for it.\n\n" +
			"With --hand-over another system keeps the secrets fresh from then on, and this fleet\n" +
			"sends nothing for them any more, so that two do not use the same grant.",
		Example: "  rekindle export --to elsewhere.pub > rows.ndjson\n" +
			"  rekindle export --to elsewhere.pub --hand-over --nats-url nats://nats:4222 --keyring keyring.json > rows.ndjson",
	}, func(c *cobra.Command) error {
		s := &session{remote: &remote{}, in: c.InOrStdin(), out: c.OutOrStdout(), err: c.ErrOrStderr(), now: time.Now}
		return s.export(c.Context(), f)
	})
	fl := c.Flags()
	fl.StringVar(&f.to, "to", "", "file with the public key that the rows are sealed to")
	fl.StringVar(&f.property, "property", "", "id of the one property to export (default: all)")
	fl.BoolVar(&f.handOver, "hand-over", false, "leave the secrets to another system from now on")
	fl.StringVar(&f.nats.url, "nats-url", "", "NATS server of the fleet (default: the data directory of a fleet that is stopped)")
	f.nats.bindIdentity(fl)
	fl.StringVar(&f.dataDir, "data-dir", defaultDataDir, "directory of the fleet's data")
	fl.StringVar(&f.keyring, "keyring", "", "file with the private keys of the exchangers (default: keyring.json in the data directory)")
	bindYes(c, &f.yes)
	return c
}

// export writes the rows to standard output.
func (s *session) export(ctx context.Context, f exportFlags) error {
	switch {
	case f.to == "":
		return &usageError{errors.New("--to: name the file of a public key; rekindle keygen makes one")}
	case f.property != "" && !secret.ValidID(secret.PrefixProperty, f.property):
		return &usageError{errors.New("--property: not the id of a property")}
	}
	var errs config.Errors
	f.nats.check(&errs)
	if err := errs.Err(); err != nil {
		return &usageError{err}
	}
	to, err := transfer.LoadRecipient(f.to)
	if err != nil {
		return err
	}
	ring, err := seal.LoadKeyring(cmp.Or(f.keyring, filepath.Join(f.dataDir, "keyring.json")))
	if err != nil {
		return err
	}
	if f.handOver {
		if err := s.confirm(ctx, f.yes, "leave the secrets to another system? This fleet refreshes them no more"); err != nil {
			return err
		}
	}
	b, stop, err := s.connect(ctx, f)
	if err != nil {
		return err
	}
	defer stop()
	st, err := b.State(ctx)
	if err != nil {
		return err
	}
	by := "somebody with the keyring"
	if who, err := user.Current(); err == nil {
		by = who.Username
	}
	return s.writeRows(ctx, exchanger.NewExporter(exchanger.ExportDeps{
		State: st, Events: b, Keyring: ring, To: to, Property: f.property, HandOver: f.handOver, By: by, Now: b.Now, Steady: b.Steady,
	}))
}

// connect connects to the fleet's NATS server, and starts the embedded one when the
// fleet has no other.
func (s *session) connect(ctx context.Context, f exportFlags) (_ *bus.Bus, stop func(), err error) {
	log := slog.New(slog.NewTextHandler(s.err, &slog.HandlerOptions{Level: slog.LevelError}))
	cfg := f.nats.config(bus.RoleExchanger)
	cfg.Name, cfg.Logger = "rekindle export", log
	end := func() {}
	if f.nats.url == "" {
		nats, err := natsd.Start(ctx, natsd.Config{StoreDir: filepath.Join(f.dataDir, "nats"), Logger: log})
		if err != nil {
			return nil, nil, fmt.Errorf("%w: stop the fleet first, or name its NATS server with --nats-url", err)
		}
		end = func() { nats.Stop() } //nolint:errcheck // what was to be written is
		cfg.URL = nats.URL()
		cfg.User, cfg.Password = nats.Credentials()
	}
	b, err := bus.Connect(ctx, cfg)
	if err != nil {
		end()
		return nil, nil, err
	}
	return b, func() { b.Close(); end() }, nil
}

// writeRows writes the rows of an export.
func (s *session) writeRows(ctx context.Context, e *exchanger.Exporter) error {
	began, n := s.now(), 0
	defer s.progress("")
	out := json.NewEncoder(s.out)
	out.SetEscapeHTML(false)
	err := e.Run(ctx, func(row exchanger.Exported) error {
		if row.Doubt != "" {
			s.progress("")
			fmt.Fprintf(s.err, "%s (%s): %s\n", oneLine(row.Name), row.ID, row.Doubt)
		}
		n++
		s.progress(fmt.Sprintf("%d secrets, %s", n, roughly(s.now().Sub(began))))
		return out.Encode(row.Row)
	})
	s.progress("")
	fmt.Fprintln(s.err, plural(n, "secret was", "secrets were"), "exported")
	return err
}

func newKeygen() *cobra.Command {
	c := &cobra.Command{
		Use:   "keygen FILE",
		Short: "Make a key pair to export secrets to",
		Long: "Make a key pair: the private key in FILE, and the public key, which is no secret, in\n" +
			"FILE.pub. Whoever is to import secrets makes it, keeps FILE (rekindle import\n" +
			"--identity) and gives FILE.pub to whoever exports them (rekindle export --to).",
		Example: "  rekindle keygen elsewhere.key",
		Args:    positional{1, 1, "one file"}.check,
		RunE: func(c *cobra.Command, args []string) error {
			return keygen(args[0], c.ErrOrStderr())
		},
	}
	c.DisableFlagsInUseLine = true
	return c
}

// keygen makes a pair. It does not overwrite a private key.
func keygen(path string, stderr io.Writer) error {
	ring, created, err := seal.CreateKeyring(path, time.Now())
	if err != nil {
		return err
	}
	if !created {
		fmt.Fprintf(stderr, "%s is there already: only the public key is written again\n", oneLine(path))
	}
	public, err := json.Marshal(ring.Keyset())
	if err != nil {
		return err
	}
	return os.WriteFile(path+".pub", append(public, '\n'), 0o644) //nolint:gosec // it is public
}
