package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/rekindle-dev/rekindle/services/api/client"
)

const scenarioToken = "scenario-bearer-token-0123456789"

// cmdFleet starts the fleet: "fleet [flags of serve]". In the split topology
// that is a NATS server, an api, two schedulers and two exchangers.
func cmdFleet(ts *testscript.TestScript, neg bool, args []string) {
	f := fleetOf(ts)
	noNeg(ts, neg)
	f.token = scenarioToken
	f.flags = args
	if f.topology == "all" {
		f.serve(ts, "fleet")
		return
	}
	f.startNATS(ts)
	if f.topology == "outside" {
		f.serve(ts, "fleet")
		return
	}
	for _, name := range []string{"exchanger-1", "exchanger-2", "scheduler-1", "scheduler-2", "api"} {
		f.serve(ts, name)
	}
}

// startNATS starts the NATS server. In the split topology it is configured as it is shipped:
// each process may do what its role may, and nothing else.
func (f *testFleet) startNATS(ts *testscript.TestScript) {
	store := filepath.Join(f.dir, "nats")
	args := []string{"nats-server", "-a", "127.0.0.1", "-p", "-1"}
	if f.topology == "split" {
		ts.Check(ts.Exec("rekindle", "nats", "init", f.guard()))
		shipped, err := os.ReadFile(f.shipped)
		ts.Check(err)
		conf := filepath.Join(f.guard(), "nats.conf")
		ts.Check(os.WriteFile(conf, bytes.Replace(shipped, []byte("store_dir: /data"), []byte("store_dir: "+strconv.Quote(store)), 1), 0o600))
		args = append(args, "-c", conf, "-m", "-1")
		ts.Setenv("SEEDS", filepath.Join(f.guard(), targetExchanger))
	} else {
		args = append(args, "-js", "-sd", store)
	}
	f.processes["nats"] = f.launch(ts, "nats", args...)
	ts.Setenv("NATS", f.processes["nats"].wait(ts, "nats"))
	if f.topology == "split" {
		ts.Check(ts.Exec("rekindle", "nats", "setup", f.guard(), "--nats-url", f.processes["nats"].has("nats")))
	}
}

// guard is the directory of what the NATS server admits its clients by.
func (f *testFleet) guard() string { return filepath.Join(f.dir, "admitted") }

// refused returns what a fleet that is split was refused for lack of permission: by the logs
// of its processes, and of the server.
func (f *testFleet) refused() []string {
	var lines []string
	for name := range f.processes {
		log, err := os.ReadFile(filepath.Join(f.dir, "log", name+".log"))
		if err != nil {
			return []string{err.Error()}
		}
		for line := range bytes.Lines(log) {
			if bytes.Contains(line, []byte("NATS refuses")) || bytes.Contains(line, []byte("Violation")) {
				lines = append(lines, name+": "+string(line))
			}
		}
	}
	return lines
}

// serve starts one process of the fleet and waits until it is ready. Its name
// is its target, with a number where there are several.
func (f *testFleet) serve(ts *testscript.TestScript, name string) {
	args := []string{
		"rekindle", "serve", "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0", "--data-dir", "data",
		"--egress-allow", "127.0.0.0/8", "--log-format", "json", "--log-level", "debug",
	}
	last := targetAPI
	if f.topology == "split" {
		last, _, _ = strings.Cut(name, "-")
		args = append(args, "--target", last, "--nats-creds", filepath.Join(f.guard(), last, last+".nk"))
		if last == targetExchanger {
			args = append(args, "--nats-vault-creds", filepath.Join(f.guard(), last, "vault.nk"))
		}
	}
	if f.topology != "all" {
		args = append(args, "--nats-url", f.processes["nats"].has("nats"))
	}
	p := f.launch(ts, name, append(args, f.flags...)...)
	p.wait(ts, "ready "+last)
	if last == targetAPI {
		f.base = p.wait(ts, "api")
		ts.Setenv("API", f.base)
	}
	awaitReadiness(ts, p, http.StatusOK)
}

// cmdReady waits until a process is ready: "ready api". With "!" until it is not.
func cmdReady(ts *testscript.TestScript, neg bool, args []string) {
	want := http.StatusOK
	if neg {
		want = http.StatusServiceUnavailable
	}
	awaitReadiness(ts, fleetOf(ts).process(ts, args[0]), want)
}

// awaitReadiness asks a process until it answers with a status, and prints the
// answer.
func awaitReadiness(ts *testscript.TestScript, p *process, want int) {
	url := p.wait(ts, "ops") + "/readyz"
	var answer []byte
	eventually(ts, fmt.Sprintf("%s of %s answers %d", url, p.name, want), func() bool {
		resp, err := http.Get(url)
		ts.Check(err)
		defer resp.Body.Close()
		answer, err = io.ReadAll(resp.Body)
		ts.Check(err)
		return resp.StatusCode == want
	}, func() string { return string(answer) })
	fmt.Fprintf(ts.Stdout(), "%s", answer)
}

// cmdSandbox starts the authorization server: "sandbox [flags]".
func cmdSandbox(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg)
	f := fleetOf(ts)
	p := f.launch(ts, "sandbox", append([]string{"rekindle", "sandbox", "--listen", "127.0.0.1:0"}, args...)...)
	f.sandbox = p.wait(ts, "sandbox")
	ts.Setenv("SANDBOX", f.sandbox)
}

// cmdSignal signals a process and waits for its end: "signal KILL exchanger-1".
// In the all topology every service is the one process.
func cmdSignal(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg)
	signals := map[string]syscall.Signal{"KILL": syscall.SIGKILL, "TERM": syscall.SIGTERM, "INT": syscall.SIGINT}
	for _, name := range args[1:] {
		fleetOf(ts).process(ts, name).end(ts, signals[args[0]])
	}
}

// cmdStart starts processes again that have ended: "start exchanger-1".
func cmdStart(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg)
	f := fleetOf(ts)
	for _, name := range args {
		switch p := f.process(ts, name); {
		case p.name == "nats":
			at := p.has("nats")
			p = f.launch(ts, "nats", append([]string{"nats-server", "-a", "127.0.0.1", "-p", at[strings.LastIndexByte(at, ':')+1:]}, p.args[5:]...)...)
			p.wait(ts, "nats")
		default:
			f.serve(ts, p.name)
		}
	}
}

func (f *testFleet) process(ts *testscript.TestScript, name string) *process {
	if f.topology != "split" && name != "sandbox" && name != "nats" {
		name = "fleet"
	}
	p := f.processes[name]
	if p == nil {
		ts.Fatalf("there is no process %s", name)
	}
	return p
}

// cmdAPI makes a request: "api GET /path", "api 404 GET /path", "api POST /path
// body.json", where variables in the file are replaced. It prints the answer.
func cmdAPI(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg)
	want := 0
	if n, err := strconv.Atoi(args[0]); err == nil {
		want, args = n, args[1:]
	}
	var body []byte
	if len(args) > 2 {
		body = []byte(os.Expand(ts.ReadFile(args[2]), ts.Getenv))
	}
	status, answer := fleetOf(ts).request(ts, args[0], args[1], body)
	fmt.Fprintf(ts.Stdout(), "%s\n", answer)
	if want == 0 && status >= 300 || want != 0 && status != want {
		ts.Fatalf("%s %s answered %d: %s", args[0], args[1], status, answer)
	}
}

func (f *testFleet) request(ts *testscript.TestScript, method, path string, body []byte) (status int, answer []byte) {
	req, err := http.NewRequest(method, f.base+path, bytes.NewReader(body))
	ts.Check(err)
	req.Header.Set("Authorization", "Bearer "+f.token)
	req.Header.Set("Content-Type", "application/vnd.api+json")
	req.Header.Set("Accept", "application/vnd.api+json;revision=1")
	resp, err := http.DefaultClient.Do(req)
	ts.Check(err)
	defer resp.Body.Close()
	answer, err = io.ReadAll(resp.Body)
	ts.Check(err)
	return resp.StatusCode, answer
}

// cmdAwait asks until the answer matches: "await /secrets/$SE '"status":"succeeded"'".
func cmdAwait(ts *testscript.TestScript, neg bool, args []string) {
	f := fleetOf(ts)
	want := regexp.MustCompile(args[1])
	var answer []byte
	eventually(ts, "await "+strings.Join(args, " "), func() bool {
		_, answer = f.request(ts, http.MethodGet, args[0], nil)
		return want.Match(answer) != neg
	}, func() string { return string(answer) })
	fmt.Fprintf(ts.Stdout(), "%s\n", answer)
}

// eventually asks again and again, for patience. The API has no way yet to be
// told; what the sandbox can tell is awaited there.
func eventually(ts *testscript.TestScript, what string, ok func() bool, state func() string) {
	deadline := time.After(patience)
	for pause := 10 * time.Millisecond; ; pause = min(2*pause, 250*time.Millisecond) {
		if ok() {
			return
		}
		select {
		case <-time.After(pause):
		case <-deadline:
			ts.Fatalf("%s: not after %v: %s", what, patience, state())
		}
	}
}

// cmdCapture sets a variable to what a pattern's group matches in the last
// output: "capture SE '"id":"(SE\w+)"'".
func cmdCapture(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg)
	m := regexp.MustCompile(args[1]).FindStringSubmatch(ts.ReadFile("stdout"))
	if m == nil {
		ts.Fatalf("capture %s: no match in %s", args[0], ts.ReadFile("stdout"))
	}
	ts.Setenv(args[0], m[1])
}

// cmdTree makes a property and a development environment, and sets CO, PR and EN.
func cmdTree(ts *testscript.TestScript, neg bool, _ []string) {
	noNeg(ts, neg)
	ctx, c := context.Background(), fleetOf(ts).client()
	companies, err := c.Companies(ctx)
	ts.Check(err)
	p, err := c.CreateProperty(ctx, companies[0].ID.ID, "scenario")
	ts.Check(err)
	e, err := c.CreateEnvironment(ctx, p.ID.ID, "dev", "development")
	ts.Check(err)
	ts.Setenv("CO", companies[0].ID.ID)
	ts.Setenv("PR", p.ID.ID)
	ts.Setenv("EN", e.ID.ID)
}

func (f *testFleet) client() *client.Client { return client.New(f.base, f.token) }

// cmdExchanges waits until the sandbox has had so many requests of a client:
// "exchanges crm 3".
func cmdExchanges(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fleetOf(ts).sandbox+"/sandbox/requests?client="+args[0]+"&wait="+args[1], nil)
	ts.Check(err)
	resp, err := http.DefaultClient.Do(req)
	ts.Check(err)
	defer resp.Body.Close()
	if body, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusOK {
		ts.Fatalf("the sandbox answered %d: %s", resp.StatusCode, body)
	}
}

// cmdAbsent looks for a text, as it is and as records would hold it, in every
// file below directories and fails when it is there: "absent canary data log".
// With "!" it must be there.
func cmdAbsent(ts *testscript.TestScript, neg bool, args []string) {
	found, files := "", 0
	for _, dir := range args[1:] {
		err := filepath.WalkDir(ts.MkAbs(dir), func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			body, err := os.ReadFile(path)
			if how := shows(body, args[0]); how != "" {
				found = path + " (" + how + ")"
			}
			files++
			return err
		})
		ts.Check(err)
	}
	switch {
	case files == 0:
		ts.Fatalf("absent: there are no files in %v", args[1:])
	case found != "" && !neg:
		ts.Fatalf("%s holds %q", found, args[0])
	case found == "" && neg:
		ts.Fatalf("%q is in none of %d files", args[0], files)
	}
}

// cmdPrivate fails unless files are readable by their owner only.
func cmdPrivate(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg)
	for _, name := range args {
		info, err := os.Stat(ts.MkAbs(name))
		ts.Check(err)
		if mode := info.Mode().Perm(); mode != 0o600 {
			ts.Fatalf("%s has mode %v", name, mode)
		}
	}
}

// cmdMetrics prints the metrics of every process of the fleet.
func cmdMetrics(ts *testscript.TestScript, neg bool, _ []string) {
	noNeg(ts, neg)
	for _, p := range fleetOf(ts).processes {
		ops := p.has("ops")
		if ops == "" {
			continue
		}
		resp, err := http.Get(ops + "/metrics")
		ts.Check(err)
		_, err = io.Copy(ts.Stdout(), resp.Body)
		ts.Check(err)
		ts.Check(resp.Body.Close())
	}
}

// span is a span as the console exporter prints it.
type span struct {
	Name        string
	SpanContext struct{ TraceID string }
}

// cmdOneTrace fails unless the spans of the given names share a trace, over all
// processes, and the event of the given type is part of it: "one-trace
// ExchangeSucceeded 'POST /properties' 'exchange due' refresh exchange".
func cmdOneTrace(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg)
	f := fleetOf(ts)
	event, names := args[0], args[1:]
	var traces map[string]map[string]bool
	eventually(ts, "one trace with "+strings.Join(args, ", "), func() bool {
		traces = map[string]map[string]bool{}
		for name := range f.processes {
			f.readSpans(ts, name, traces)
		}
		for id, seen := range traces {
			if hasAll(seen, names) && f.stored(ts, event, id) {
				return true
			}
		}
		return false
	}, func() string { return fmt.Sprint(traces) })
}

// stored reports whether the event log on disk has an event of the type that
// carries the trace.
func (f *testFleet) stored(ts *testscript.TestScript, event, trace string) (found bool) {
	err := filepath.WalkDir(f.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || !strings.Contains(path, "/EVENTS/msgs/") {
			return err
		}
		body, err := os.ReadFile(path)
		for message := range bytes.SplitSeq(body, []byte("NATS/1.0")) {
			header, _, _ := bytes.Cut(message, []byte("\r\n\r\n"))
			found = found || bytes.Contains(header, []byte("."+event)) && bytes.Contains(header, []byte("traceparent: 00-"+trace))
		}
		return err
	})
	ts.Check(err)
	return found
}

func (f *testFleet) readSpans(ts *testscript.TestScript, process string, traces map[string]map[string]bool) {
	body, err := os.ReadFile(filepath.Join(f.dir, "log", process+".out"))
	ts.Check(err)
	dec := json.NewDecoder(bytes.NewReader(body))
	for {
		var s span
		if dec.Decode(&s) != nil {
			return // the end, a span that is not all written yet, or other output
		}
		id := s.SpanContext.TraceID
		if traces[id] == nil {
			traces[id] = map[string]bool{}
		}
		traces[id][s.Name] = true
	}
}

func hasAll(seen map[string]bool, names []string) bool {
	for _, n := range names {
		if !seen[n] {
			return false
		}
	}
	return true
}

func noNeg(ts *testscript.TestScript, neg bool) {
	if neg {
		ts.Fatalf("this command cannot be negated")
	}
}

// cmdUntilDue waits for the refresh_at of the secret that was printed last.
func cmdUntilDue(ts *testscript.TestScript, neg bool, _ []string) {
	noNeg(ts, neg)
	m := regexp.MustCompile(`"refresh_at":"([^"]+)"`).FindStringSubmatch(ts.ReadFile("stdout"))
	if m == nil {
		ts.Fatalf("the last output has no refresh_at")
	}
	due, err := time.Parse(time.RFC3339, m[1])
	ts.Check(err)
	<-time.After(time.Until(due))
}
