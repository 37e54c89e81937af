package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
)

// fleet is the compose file as processes of this machine: the same programs with
// the same arguments and variables. What differs is where they are: a host and
// port of the network becomes one of the loopback interface, a path in a
// container one in a temporary directory.
type fleet struct {
	compose
	dir       string            // of the volumes
	replace   map[string]string // files that are mounted in place of those of the repository
	addresses map[string]string // on this machine, by host:port of the network
	processes []*process        // in the order of their start
	ops       map[string][]string
	api       string
}

// startFleet starts what docker compose --profile sandbox up would start, except
// for Prometheus and Grafana, and waits until all of it is ready.
func startFleet(t *testing.T, replace map[string]string) *fleet {
	t.Helper()
	f := &fleet{
		compose: loadCompose(t), dir: t.TempDir(), replace: replace,
		addresses: map[string]string{}, ops: map[string][]string{},
	}
	f.runOnce(t, "admit")
	f.startNATS(t)
	f.runOnce(t, "setup")
	var serving []*process
	for name, s := range f.ours() {
		if s.Restart == types.RestartPolicyNo {
			continue
		}
		for i := range replicas(s) {
			p := f.startOurs(t, fmt.Sprintf("%s-%d", name, i+1), s)
			if s.Command[0] == "sandbox" {
				f.addresses["sandbox:8089"] = must(p.await(t.Context(), "its address", func(line string) string {
					return submatch(regexp.MustCompile(`token endpoint at http://(.*)/token`), line)
				}))(t)
				continue
			}
			serving = append(serving, p)
		}
	}
	for _, p := range serving {
		f.awaitReady(t, p)
	}
	return f
}

func replicas(s types.ServiceConfig) int {
	if s.Deploy == nil || s.Deploy.Replicas == nil {
		return 1
	}
	return *s.Deploy.Replicas
}

// runOnce runs a service that others wait for, to its end.
func (f *fleet) runOnce(t *testing.T, name string) {
	t.Helper()
	s := f.Services[name]
	if s.Restart != types.RestartPolicyNo {
		t.Fatalf("%s is started again when it has ended", name)
	}
	if out, err := f.command(t, name, s).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", name, err, out)
	}
}

// startNATS starts a NATS server and waits as the others do: until its health
// check succeeds.
func (f *fleet) startNATS(t *testing.T) {
	t.Helper()
	s := f.Services["nats"]
	f.replace[inRepository(t, "deploy/nats/nats.conf")] = f.natsConfig(t, s)
	args := append(f.onThisMachine(s, "nats", s.Command), "--addr", "127.0.0.1", "--port", "-1", "--http_port", "-1") // which win over the file
	p := startProcess(t, "nats", exec.Command(natsServer, args...))
	f.processes = append(f.processes, p)
	listening := func(what string) string {
		return must(p.await(t.Context(), what, func(line string) string {
			return submatch(regexp.MustCompile(what+` on (127\.0\.0\.1:\d+)`), line)
		}))(t)
	}
	check := s.HealthCheck.Test[len(s.HealthCheck.Test)-1]
	monitor := listening("http monitor")
	f.addresses["nats:4222"] = listening("client connections")
	awaitOK(t, strings.Replace(check, "127.0.0.1:8222", monitor, 1))
}

// natsConfig returns a copy of the server's configuration with its directory on
// this machine, which no flag can say.
func (f *fleet) natsConfig(t *testing.T, s types.ServiceConfig) string {
	t.Helper()
	directory := regexp.MustCompile(`(?m)^( *store_dir: )(.*)$`)
	text := directory.ReplaceAllStringFunc(string(readFile(t, inRepository(t, "deploy/nats/nats.conf"))), func(line string) string {
		m := directory.FindStringSubmatch(line)
		return m[1] + strconv.Quote(f.path(s, "nats", m[2]))
	})
	included := regexp.MustCompile(`(?m)^include "(.*)"$`)
	text = included.ReplaceAllStringFunc(text, func(line string) string {
		path := f.path(s, "nats", "/etc/nats/"+included.FindStringSubmatch(line)[1])
		return "include " + strconv.Quote(must(filepath.Rel(f.dir, path))(t)) // no other will do
	})
	path := filepath.Join(f.dir, "nats.conf")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// startOurs starts the program of the image as a service.
func (f *fleet) startOurs(t *testing.T, name string, s types.ServiceConfig) *process {
	t.Helper()
	p := startProcess(t, name, f.command(t, name, s))
	f.processes = append(f.processes, p)
	return p
}

func (f *fleet) command(t *testing.T, name string, s types.ServiceConfig) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(rekindle.program(), f.onThisMachine(s, name, slices.Concat(rekindle.entrypoint[1:], s.Command))...)
	env := environment(s)
	names := slices.Sorted(maps.Keys(env))
	for i, value := range f.onThisMachine(s, name, values(env, names)) {
		cmd.Env = append(cmd.Env, names[i]+"="+value)
	}
	cmd.Dir = filepath.Join(f.dir, name)
	if err := os.Mkdir(cmd.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return cmd
}

func values(m map[string]string, keys []string) []string {
	var all []string
	for _, k := range keys {
		all = append(all, m[k])
	}
	return all
}

// everywhere is an address of all interfaces of a container.
var everywhere = regexp.MustCompile(`^:\d+$`)

// onThisMachine maps addresses and paths in arguments or values of variables.
func (f *fleet) onThisMachine(s types.ServiceConfig, process string, words []string) []string {
	mapped := slices.Clone(words)
	for i, word := range mapped {
		if everywhere.MatchString(word) {
			word = "127.0.0.1:0"
		}
		for from, to := range f.addresses {
			word = strings.ReplaceAll(word, from, to)
		}
		mapped[i] = f.path(s, process, word)
	}
	return mapped
}

// path maps a path in a container of the service, and leaves all else as it is.
// A volume with a name is one directory for all, another one for each process.
func (f *fleet) path(s types.ServiceConfig, process, path string) string {
	mounts := f.mounts(s)
	target, rest, ok := within(mounts, path)
	if !ok {
		return path
	}
	source := mounts[target]
	if other := f.replace[source]; other != "" {
		source = other
	}
	if source == "" {
		source = filepath.Join(f.dir, process+"-volume")
		for _, v := range s.Volumes {
			if v.Target == target && v.Source != "" {
				source = filepath.Join(f.dir, "volume-"+v.Source)
				if v.Volume != nil {
					source = filepath.Join(source, v.Volume.Subpath)
				}
			}
		}
	}
	return source + rest
}

// awaitReady waits until a process that serves is ready.
func (f *fleet) awaitReady(t *testing.T, p *process) {
	t.Helper()
	ops := must(p.await(t.Context(), "its ops address", func(line string) string { return logged(line, "ops listener is up") }))(t)
	awaitOK(t, "http://"+ops+"/readyz")
	service := p.name[:strings.LastIndexByte(p.name, '-')]
	f.ops[service] = append(f.ops[service], ops)
	if service == "api" {
		f.api = must(p.await(t.Context(), "its address", func(line string) string { return logged(line, "serving the API") }))(t)
	}
}

// logged returns the address in a log line with the message.
func logged(line, message string) string {
	var entry struct{ Msg, Addr string }
	if json.Unmarshal([]byte(line), &entry) != nil || entry.Msg != message {
		return ""
	}
	return entry.Addr
}

func submatch(re *regexp.Regexp, s string) string {
	if m := re.FindStringSubmatch(s); m != nil {
		return m[1]
	}
	return ""
}

// must fails the test unless err is nil.
func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// patience is how long the tests wait for what should take moments.
const patience = time.Minute

// eventually asks until the answer is yes. What is asked about is another
// process, which sends no signal.
func eventually(t *testing.T, what string, ask func(ctx context.Context) (yes bool, why string)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		yes, why := ask(ctx)
		if yes {
			return
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			t.Fatalf("%s: not after %v: %s", what, patience, why)
		}
	}
}

func awaitOK(t *testing.T, url string) {
	t.Helper()
	eventually(t, url, func(ctx context.Context) (bool, string) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return false, err.Error()
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK, resp.Status
	})
}
