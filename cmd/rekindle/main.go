// Command rekindle is the one program of Rekindle: the whole fleet, each of its
// services, and the tools around it. It parses, wires and calls; what the
// services do is in services.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log" //nolint:depguard // to silence it
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"
)

// version is set when the program is built; see Makefile.
var version = ""

func main() {
	// net/http prints what a server sends unasked to the standard logger, and
	// that may be a token. Nothing of ours uses that logger.
	log.SetOutput(io.Discard)
	os.Exit(execute(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// execute is main with everything it touches as an argument. It returns the exit
// code, see newExitCodes.
func execute(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	// The first signal asks to stop; a second one is not caught any more.
	context.AfterFunc(ctx, stop)

	root := newRoot()
	understood := false
	root.PersistentPreRun = func(*cobra.Command, []string) { understood = true }
	root.SetArgs(args)
	root.SetIn(stdin)
	out := &output{to: stdout}
	root.SetOut(out)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	code := exitUsage
	if understood {
		code = exitCode(err)
	}
	if err == nil || errors.Is(err, out.err) {
		err, code = out.lost(), exitFailed
	}
	if err == nil {
		return 0
	}
	fmt.Fprintln(stderr, "rekindle:", err)
	return code
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "rekindle",
		Short: "Keep credentials alive",
		Long: "Rekindle keeps credentials alive: it exchanges them for tokens, refreshes these\n" +
			"before they expire, and says in good time when only a person can help.\n\n" +
			"Every flag of serve, sandbox and demo, and the global flags of the other commands,\n" +
			"can be given as an environment variable as well: --ops-listen is\n" +
			"REKINDLE_OPS_LISTEN. A flag wins over its variable, a variable over the\n" +
			"configuration file.",
		Version:       buildVersion(),
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetVersionTemplate("rekindle {{.Version}}\n")
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return &usageError{fmt.Errorf("%w (see %s --help)", flagProblem(err), c.CommandPath())}
	})
	root.AddCommand(newServe(), newSandbox(), newDemo(), newExitCodes())
	root.AddCommand(newSecret(), newProperty(), newEnvironment(), newCompany(), newParked(), newToken(), newAudit(), newCallback(), newEvents())
	root.AddCommand(newImport(), newExport(), newKeygen(), newSeal(), newNATS())
	return root
}

// buildVersion is the version given at build time, or what the Go toolchain
// knows of it.
func buildVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "devel"
}
