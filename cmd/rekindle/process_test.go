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
	flags     []string
	processes map[string]*process
	base      string
	token     string
	sandbox   string
	bulk      int // secrets made by bulk
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
	p := &process{name: name, args: args, done: make(chan struct{}), said: map[string]string{}, heard: make(chan struct{})}
	program, err := lookPath(ts.Getenv("PATH"), args[0])
	ts.Check(err)
	ts.Check(os.MkdirAll(filepath.Join(f.dir, "log"), 0o700))
	stdout, err := os.OpenFile(filepath.Join(f.dir, "log", name+".out"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	ts.Check(err)
	logFile, err := os.OpenFile(filepath.Join(f.dir, "log", name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	ts.Check(err)

	p.cmd = exec.Command(program, args[1:]...)
	p.cmd.Dir = f.dir
	p.cmd.Env = append(os.Environ(), "PATH="+ts.Getenv("PATH"), "OTEL_TRACES_EXPORTER=console", "OTEL_BSP_SCHEDULE_DELAY=200",
		envBootstrap+"="+f.token)
	p.cmd.Stdout = io.MultiWriter(stdout, p.listener())
	p.cmd.Stderr = io.MultiWriter(logFile, p.listener())
	ts.Check(p.cmd.Start())
	f.processes[name] = p
	go func() {
		defer close(p.done)
		_ = p.cmd.Wait() // how it ended is for the script to ask
		_ = stdout.Close()
		_ = logFile.Close()
	}()
	ts.Defer(func() {
		_ = p.cmd.Process.Kill()
		<-p.done
	})
	return p
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
	case "leading":
		p.learn("leading", "yes")
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

// wait returns what the process says of itself, once it has said it.
func (p *process) wait(ts *testscript.TestScript, what string) string {
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
func (p *process) end(ts *testscript.TestScript, sig syscall.Signal) {
	ts.Check(p.cmd.Process.Signal(sig))
	select {
	case <-p.done:
	case <-time.After(patience):
		ts.Fatalf("%s did not end in %v after %v", p.name, patience, sig)
	}
}
