package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"

	"github.com/rekindle-dev/rekindle/pkg/ops"
	"github.com/rekindle-dev/rekindle/pkg/run"
)

func newServe() *cobra.Command {
	var s settings
	c := command(envPrefix, cobra.Command{
		Use:   "serve",
		Short: "Run the fleet, or one of its services",
		Long: "Run the fleet. Without flags that is all of it in one process, on an embedded\n" +
			"NATS server with its data in ./data.\n\n" +
			"The first administrator's bearer token is read from REKINDLE_BOOTSTRAP_TOKEN, or\n" +
			"made at the first start and written to the data directory.",
		Example: "  rekindle serve\n" +
			"  rekindle serve --target exchanger --nats-url nats://nats:4222",
	}, func(c *cobra.Command) error {
		s.bootstrap = os.Getenv(envBootstrap)
		if limit := memoryLimit(os.DirFS("/")); limit > 0 && os.Getenv("GOMEMLIMIT") == "" {
			debug.SetMemoryLimit(limit)
		}
		if os.Getenv("GOGC") == "" {
			go tuneCollector(c.Context())
		}
		return serve(c.Context(), &s, c.ErrOrStderr())
	})
	s.bind(c.Flags())
	_ = c.RegisterFlagCompletionFunc("target", cobra.FixedCompletions(targets, cobra.ShellCompDirectiveNoFileComp)) //nolint:errcheck // it fails for an unknown flag only
	return c
}

// serve runs the tasks of the target until ctx ends.
func serve(ctx context.Context, s *settings, stderr io.Writer) (err error) {
	if err := s.resolve(); err != nil {
		return err
	}
	o, shutdown, err := ops.New(ctx, ops.Config{
		Service: "rekindle", Target: s.target, Version: buildVersion(),
		LogFormat: ops.LogFormat(s.logFormat), LogLevel: s.level, Listen: s.opsListen,
	}, stderr)
	if err != nil {
		return err
	}
	defer func() {
		flush, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if e := shutdown(flush); e != nil {
			err = errors.Join(err, fmt.Errorf("export the last traces: %w", e))
		}
	}()
	f := &fleet{settings: s, name: processName(), ops: o}
	return run.All(ctx, run.Options{Logger: o.Logger}, f.tasks()...)
}
