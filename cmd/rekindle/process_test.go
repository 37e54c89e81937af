package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// patience bounds every wait of a scenario, so that a fleet that is stuck fails
// the test with its logs instead of the whole run.
const patience = 60 * time.Second

// process is one process of a scenario. What it prints is kept in log/<name>.log
// and log/<name>.out, over restarts; what it says of its addresses is picked up
// as it is said.
type process struct {
	name string
	args []string
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended and its logs are written

	mu    sync.Mutex
	said  map[string]string // what was learned from its log
	heard chan struct{}     // closed, and made anew, whenever something was learned
}

// theFleet is the key of a script's testFleet.
type theFleet struct{}

// testFleet is the fleet of one scenario.
type testFleet struct {
	topology  string
	dir       string
	shipped   string // the configuration of a NATS server that is shipped
	flags     []string
	processes map[string]*process
	base      string
	token     string
	sandbox   string
	bulk      int // secrets made by bulk
	receiver  *receiver
}

func fleetOf(ts *testscript.TestScript) *testFleet {
	f, ok := ts.Value(theFleet{}).(*testFleet)
	if !ok {
		ts.Fatalf("the scenario has no fleet")
	}
	return f
}

// launch starts a process, or one that has ended once more.
func (f *testFleet) launch(ts *testscript.TestScript, name string, args ...string) *process {
	program, err := lookPath(ts.Getenv("PATH"), args[0])
	ts.Check(err)
	p, err := startProcess(f.dir, name, program, args, "PATH="+ts.Getenv("PATH"), envBootstrap+"="+f.token)
	ts.Check(err)
	f.processes[name] = p
	ts.Defer(p.kill)
	return p
}

// startProcess starts a program in dir with these variables besides the test's
// own. Args begin with its name.
func startProcess(dir, name, program string, args []string, env ...string) (*process, error) {
	p := &process{name: name, args: args, done: make(chan struct{}), said: map[string]string{}, heard: make(chan struct{})}
	if err := os.MkdirAll(filepath.Join(dir, "log"), 0o700); err != nil {
		return nil, err
	}
	stdout, err := os.OpenFile(filepath.Join(dir, "log", name+".out"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	logFile, err := os.OpenFile(filepath.Join(dir, "log", name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	p.cmd = exec.Command(program, args[1:]...)
	p.cmd.Dir = dir
	p.cmd.Env = append(append(os.Environ(), "OTEL_TRACES_EXPORTER=console", "OTEL_BSP_SCHEDULE_DELAY=200"), env...)
	p.cmd.Stdout = io.MultiWriter(stdout, p.listener())
	p.cmd.Stderr = io.MultiWriter(logFile, p.listener())
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(p.done)
		_ = p.cmd.Wait() // how it ended is for the test to ask
		_ = stdout.Close()
		_ = logFile.Close()
	}()
	return p, nil
}

// kill ends the process, if it has not ended, and waits until it has.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

func lookPath(path, name string) (string, error) {
	for _, dir := range filepath.SplitList(path) {
		if file := filepath.Join(dir, name); isExecutable(file) {
			return file, nil
		}
	}
	return "", fmt.Errorf("%s is not on the path of the scenario", name)
}

func isExecutable(file string) bool {
	info, err := os.Stat(file)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

var (
	natsListens    = regexp.MustCompile(`Listening for client connections on ([0-9.:]+)`)
	sandboxListens = regexp.MustCompile(`token endpoint at (http://[0-9.:]+)/token`)
)

// listener returns a writer that learns from what is written to it.
func (p *process) listener() io.Writer {
	r, w := io.Pipe()
	go func() {
		lines := bufio.NewScanner(r)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			p.hear(lines.Text())
		}
		_, _ = io.Copy(io.Discard, r) // a line that is too long must not stop the process
	}()
	return w
}

func (p *process) hear(line string) {
	if m := natsListens.FindStringSubmatch(line); m != nil {
		p.learn("nats", "nats://"+m[1])
	}
	if m := sandboxListens.FindStringSubmatch(line); m != nil {
		p.learn("sandbox", m[1])
	}
	if !strings.HasPrefix(line, `{"time"`) {
		return
	}
	var entry struct{ Msg, Addr, URL, Task string }
	if json.Unmarshal([]byte(line), &entry) != nil {
		return
	}
	switch entry.Msg {
	case "ops listener is up":
		p.learn("ops", "http://"+entry.Addr)
	case "serving the API":
		p.learn("api", entry.URL)
	case "task is ready":
		p.learn("ready "+entry.Task, "yes")
	case "stopping":
		p.learn(entry.Msg, "yes")
	}
}

func (p *process) learn(what, value string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.said[what] = value
	close(p.heard)
	p.heard = make(chan struct{})
}

// has returns what the process has said of itself so far, or "".
func (p *process) has(what string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.said[what]
}

// fataler is a test or a scenario.
type fataler interface {
	Fatalf(format string, args ...any)
}

// wait returns what the process says of itself, once it has said it.
func (p *process) wait(ts fataler, what string) string {
	deadline := time.After(patience)
	for {
		p.mu.Lock()
		value, heard := p.said[what], p.heard
		p.mu.Unlock()
		if value != "" {
			return value
		}
		select {
		case <-heard:
		case <-p.done:
			ts.Fatalf("%s ended before it said %q:\n%s", p.name, what, tail(p.cmd.Dir, p.name))
		case <-deadline:
			ts.Fatalf("%s did not say %q in %v:\n%s", p.name, what, patience, tail(p.cmd.Dir, p.name))
		}
	}
}

// tail is the end of a process's log.
func tail(dir, name string) string {
	body, err := os.ReadFile(filepath.Join(dir, "log", name+".log"))
	if err != nil {
		return err.Error()
	}
	return string(body[max(0, len(body)-4000):])
}

// end signals a process and waits until it has ended.
func (p *process) end(ts fataler, sig syscall.Signal) {
	if err := p.cmd.Process.Signal(sig); err != nil {
		ts.Fatalf("%s: %v", p.name, err)
	}
	select {
	case <-p.done:
	case <-time.After(patience):
		ts.Fatalf("%s did not end in %v after %v", p.name, patience, sig)
	}
}
