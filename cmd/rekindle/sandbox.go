package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/spf13/cobra"

	"github.com/rekindle-dev/rekindle/services/sandbox"
)

func newSandbox() *cobra.Command {
	var listen, prefix string
	var lifetime time.Duration
	var closed bool
	c := command(envPrefix+"_SANDBOX", cobra.Command{
		Use:   "sandbox",
		Short: "Run an OAuth 2 authorization server to try things with",
		Long: "Run a scriptable OAuth 2 authorization server, for demos and tests. It admits\n" +
			"any client with any secret until it is told otherwise; what each client gets can\n" +
			"be scripted over HTTP. Its front page says how.\n\n" +
			"It guards nothing: never let anyone but yourself reach it.",
		Example: "  rekindle sandbox --lifetime 30s\n" +
			"  curl -d grant_type=client_credentials -d client_id=a -d client_secret=b http://127.0.0.1:8089/token",
	}, func(c *cobra.Command) error {
		if lifetime < 0 {
			return &usageError{fmt.Errorf("--lifetime must not be negative")}
		}
		cfg := sandbox.Config{OpenClients: !closed, Lifetime: lifetime, TokenPrefix: prefix}
		return serveSandbox(c.Context(), listen, cfg, c.OutOrStdout())
	})
	c.Flags().StringVar(&listen, "listen", "127.0.0.1:8089", "address of the server")
	c.Flags().DurationVar(&lifetime, "lifetime", 10*time.Hour, "lifetime of the tokens of clients without a script")
	c.Flags().StringVar(&prefix, "token-prefix", "", "what every access token begins with (default: sandbox-token-)")
	c.Flags().BoolVar(&closed, "registered-only", false, "admit only clients that were registered over HTTP")
	return c
}

func serveSandbox(ctx context.Context, listen string, cfg sandbox.Config, stdout io.Writer) error {
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", listen)
	if err != nil {
		return fmt.Errorf("--listen: %w", err)
	}
	fmt.Fprintf(stdout, "sandbox: token endpoint at http://%s/token\n", ln.Addr())
	return sandbox.New(cfg).Serve(ctx, ln)
}
