package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/rogpeppe/go-internal/testscript"
)

// The test binary is the program, and a NATS server, too: a scenario starts
// real processes of both.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"rekindle": main, "nats-server": natsServer, "curl": curl, "rekindle-watched": watched,
	})
}

// natsServer is the main function of the NATS server, which is a package main
// of its own and cannot be imported.
func natsServer() {
	fs := flag.NewFlagSet("nats-server", flag.ExitOnError)
	opts, err := server.ConfigureOptions(fs, os.Args[1:], func() {}, fs.Usage, func() {})
	if err != nil {
		fmt.Fprintln(os.Stderr, "nats-server:", err)
		os.Exit(1)
	}
	s, err := server.NewServer(opts)
	if err != nil {
		fmt.Fprintln(os.Stderr, "nats-server:", err)
		os.Exit(1)
	}
	s.ConfigureLogger()
	if err := server.Run(s); err != nil {
		fmt.Fprintln(os.Stderr, "nats-server:", err)
		os.Exit(1)
	}
	s.WaitForShutdown()
}

// TestScenarios runs every scenario on each topology: all of the fleet in one
// process on its embedded server, and a process for each service over a NATS
// server of its own, which admits each for what it does. One runs on the mixture, too: one process for all of the
// fleet, over a NATS server outside of it. The commands of the scripts are in script_test.go.
func TestScenarios(t *testing.T) {
	everything, err := filepath.Glob("testdata/scenario/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	shipped, err := filepath.Abs("../../deploy/nats/nats.conf")
	if err != nil {
		t.Fatal(err)
	}
	for topology, scenarios := range map[string][]string{
		"all": everything, "split": everything, "outside": {"testdata/scenario/refresh.txtar"},
	} {
		t.Run(topology, func(t *testing.T) {
			t.Parallel()
			testscript.Run(t, testscript.Params{
				Files:               scenarios,
				RequireExplicitExec: true,
				RequireUniqueNames:  true,
				Setup: func(env *testscript.Env) error {
					f := &testFleet{topology: topology, dir: env.WorkDir, shipped: shipped, processes: map[string]*process{}}
					env.Values[theFleet{}] = f
					env.Defer(func() {
						if lines := f.refused(); lines != nil {
							env.T().Fatal("a process lacks a permission:\n" + strings.Join(lines, ""))
						}
					})
					return nil
				},
				Condition: func(name string) (bool, error) {
					switch name {
					case "all", "split", "outside":
						return name == topology, nil
					default:
						return false, fmt.Errorf("unknown condition %q", name)
					}
				},
				Cmds: map[string]func(*testscript.TestScript, bool, []string){
					"fleet": cmdFleet, "sandbox": cmdSandbox, "start": cmdStart, "signal": cmdSignal,
					"api": cmdAPI, "await": cmdAwait, "capture": cmdCapture, "tree": cmdTree,
					"exchanges": cmdExchanges, "bulk": cmdBulk, "absent": cmdAbsent, "one-trace": cmdOneTrace,
					"metrics": cmdMetrics, "private": cmdPrivate, "until-due": cmdUntilDue,
					"ready": cmdReady, "browse": cmdBrowse, "control": cmdControl, "consent-elsewhere": cmdConsentElsewhere, "expand": cmdExpand, "publish": cmdPublish,
					"patient": cmdPatient, "opens": cmdOpens, "probed": cmdProbed,
					"receiver": cmdReceiver, "received": cmdReceived,
				},
			})
		})
	}
}
