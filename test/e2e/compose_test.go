package e2e

import (
	"bytes"
	"context"
	"maps"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/template"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/nats-io/nats-server/v2/conf"
	"github.com/sirupsen/logrus"
)

// bootstrapToken is the operator's, in these tests.
const bootstrapToken = "e2e-bootstrap-token-0123456789"

// operator is the environment the compose file is read in: what it demands, and
// what a person sets to reach the sandbox.
func operator() types.Mapping {
	return types.Mapping{"REKINDLE_BOOTSTRAP_TOKEN": bootstrapToken, "REKINDLE_EGRESS_ALLOW": "127.0.0.0/8"}
}

func composeDetails(t testing.TB, env types.Mapping) types.ConfigDetails {
	t.Helper()
	path := inRepository(t, "docker-compose.yml")
	return types.ConfigDetails{
		WorkingDir: filepath.Dir(path), Environment: env,
		ConfigFiles: []types.ConfigFile{{Filename: path, Content: readFile(t, path)}},
	}
}

func everyProfile(o *loader.Options) { o.Profiles = []string{"*"} }

// loadCompose returns the services of the compose file, of every profile.
func loadCompose(t testing.TB) compose {
	t.Helper()
	project, err := loader.LoadWithContext(context.Background(), composeDetails(t, operator()), everyProfile)
	if err != nil {
		t.Fatal(err)
	}
	return compose{project}
}

func TestComposeLoadsWithoutWarnings(t *testing.T) {
	var warnings bytes.Buffer
	logrus.SetOutput(&warnings)
	defer logrus.SetOutput(os.Stderr)
	loadCompose(t)
	if warnings.Len() > 0 {
		t.Errorf("reading it warns:\n%s", &warnings)
	}
}

func TestComposeDemandsABootstrapToken(t *testing.T) {
	_, err := loader.LoadWithContext(t.Context(), composeDetails(t, nil), everyProfile)
	if err == nil || !strings.Contains(err.Error(), "REKINDLE_BOOTSTRAP_TOKEN") {
		t.Errorf("without REKINDLE_BOOTSTRAP_TOKEN: %v, want a demand for it", err)
	}
}

// compose is docker-compose.yml.
type compose struct{ *types.Project }

// ours returns the services that run the program, by name.
func (c compose) ours() map[string]types.ServiceConfig {
	ours := map[string]types.ServiceConfig{}
	for name, s := range c.Services {
		if s.Build != nil {
			ours[name] = s
		}
	}
	return ours
}

// environment returns what a service's process finds in its environment.
func environment(s types.ServiceConfig) map[string]string {
	env := map[string]string{}
	if s.Build != nil {
		maps.Copy(env, rekindle.env)
	}
	for name, value := range s.Environment {
		if value != nil {
			env[name] = *value
		}
	}
	return env
}

// words returns every argument and every value of a variable of a service.
func words(s types.ServiceConfig) []string {
	return slices.Concat(s.Entrypoint, s.Command, slices.Sorted(maps.Values(environment(s))))
}

func TestComposeCommands(t *testing.T) {
	for name, s := range loadCompose(t).ours() {
		if len(s.Entrypoint) > 0 {
			t.Errorf("%s: has an entrypoint of its own, want that of the image", name)
		}
		understands(t, s.Command)
	}
}

func TestComposeVariables(t *testing.T) {
	c := loadCompose(t)
	known := variables(t)
	for name, s := range c.ours() {
		for variable := range s.Environment {
			if !slices.Contains(known, variable) {
				t.Errorf("%s: the program knows no variable %s", name, variable)
			}
		}
		for arg := range s.Build.Args {
			if !slices.Contains(rekindle.takes, arg) {
				t.Errorf("%s: the Dockerfile takes no argument %s", name, arg)
			}
		}
	}
	raw, err := loader.LoadModelWithContext(t.Context(), composeDetails(t, nil), everyProfile,
		func(o *loader.Options) { o.SkipInterpolation = true })
	if err != nil {
		t.Fatal(err)
	}
	for variable := range template.ExtractVariables(raw, nil) {
		if strings.HasPrefix(variable, "REKINDLE_") && !slices.Contains(known, variable) {
			t.Errorf("asks the operator for %s, which the program does not know", variable)
		}
	}
}

// TestComposeBuilds checks that every service of ours is built as the image
// these tests have built.
func TestComposeBuilds(t *testing.T) {
	for name, s := range loadCompose(t).ours() {
		if s.Build.Context != inRepository(t) || s.Build.Dockerfile != "deploy/Dockerfile" {
			t.Errorf("%s: built by %s in %s, want deploy/Dockerfile in the repository", name, s.Build.Dockerfile, s.Build.Context)
		}
		if !s.ReadOnly {
			t.Errorf("%s: its files can be written to, want read_only", name)
		}
		for _, v := range s.Volumes {
			if owner := rekindle.owner[v.Target]; v.Type == types.VolumeTypeVolume && owner != rekindle.user {
				t.Errorf("%s: volume at %s belongs to %q, want the user %q", name, v.Target, owner, rekindle.user)
			}
		}
	}
}

// versions of what the tests stand in for images: they must be the same.
func TestComposeImages(t *testing.T) {
	pinned := regexp.MustCompile(`^[a-z/]+:v?(\d+\.\d+\.\d+)(-[a-z]+)?$`)
	c := loadCompose(t)
	for name, s := range c.Services {
		if s.Build == nil && !pinned.MatchString(s.Image) {
			t.Errorf("%s: image %s is not pinned to a version", name, s.Image)
		}
	}
	mod := string(readFile(t, "go.mod"))
	version := func(service string) string { return pinned.FindStringSubmatch(c.Services[service].Image)[1] }
	if want := "github.com/nats-io/nats-server/v2 v" + version("nats"); !strings.Contains(mod, want+"\n") {
		t.Errorf("the fleet is tested against another NATS server: go.mod does not have %s", want)
	}
	// Prometheus v3.15.0 is the Go module v0.315.0.
	parts := strings.Split(version("prometheus"), ".")
	minor, err := strconv.Atoi(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	if want := "github.com/prometheus/prometheus v0." + strconv.Itoa(300+minor) + "." + parts[2]; !strings.Contains(mod, want+"\n") {
		t.Errorf("the rules are read by another Prometheus: go.mod does not have %s", want)
	}
}

// mounts returns what a service has at which path: a file or directory of the
// repository, or nothing for what is a volume.
func (c compose) mounts(s types.ServiceConfig) map[string]string {
	at := map[string]string{}
	if s.Build != nil {
		for _, v := range rekindle.volumes {
			at[v] = ""
		}
	}
	for _, v := range s.Volumes {
		at[v.Target] = ""
		if v.Type == types.VolumeTypeBind {
			at[v.Target] = v.Source
		}
	}
	for _, ref := range s.Configs {
		at[ref.Target] = c.Configs[ref.Source].File
	}
	return at
}

// TestComposeFiles checks that what is mounted exists, and that what a service is
// told of is mounted.
func TestComposeFiles(t *testing.T) {
	c := loadCompose(t)
	for name, s := range c.Services {
		mounts := c.mounts(s)
		for target, source := range mounts {
			if _, err := os.Stat(source); source != "" && err != nil {
				t.Errorf("%s: %s: %v", name, target, err)
			}
		}
		for _, word := range words(s) {
			if !strings.HasPrefix(word, "/") {
				continue
			}
			target, rest, ok := within(mounts, word)
			if !ok {
				t.Errorf("%s: %s is in nothing that is mounted", name, word)
			} else if source := mounts[target]; source != "" {
				if _, err := os.Stat(source + rest); err != nil {
					t.Errorf("%s: %s: %v", name, word, err)
				}
			}
		}
	}
}

// within returns the mount that path is in, and the path from there.
func within(mounts map[string]string, path string) (target, rest string, ok bool) {
	for target := range mounts {
		if rest, ok := strings.CutPrefix(path, target); ok && (rest == "" || rest[0] == '/') {
			return target, rest, true
		}
	}
	return "", "", false
}

// listens returns the ports at which a service can be reached from others.
func (c compose) listens(t testing.TB, s types.ServiceConfig) (ports []string) {
	t.Helper()
	if s.Build == nil {
		return foreignPorts(t, s)
	}
	listeners := map[string]string{"listen": "REKINDLE_LISTEN", "ops-listen": "REKINDLE_OPS_LISTEN"}
	if s.Command[0] == "sandbox" {
		listeners = map[string]string{"listen": "REKINDLE_SANDBOX_LISTEN"}
	} else if target, _ := flagOf(s.Command, "target"); target != "api" {
		delete(listeners, "listen")
	}
	for flag, variable := range listeners {
		address, ok := flagOf(s.Command, flag)
		if !ok {
			address = environment(s)[variable]
		}
		host, port, err := net.SplitHostPort(address)
		if err != nil || host != "" {
			t.Errorf("%s: --%s is %q, which nobody outside of the container reaches", s.Name, flag, address)
		}
		ports = append(ports, port)
	}
	return ports
}

// foreignPorts are those of images that are not ours, by their documentation or
// by their configuration here.
func foreignPorts(t testing.TB, s types.ServiceConfig) []string {
	t.Helper()
	name, _, _ := strings.Cut(s.Image, ":")
	switch name {
	case "prom/prometheus":
		return []string{"9090"}
	case "grafana/grafana":
		return []string{"3000"}
	case "nats":
		text := regexp.MustCompile(`(?m)^include .*$`).ReplaceAll(readFile(t, inRepository(t, "deploy/nats/nats.conf")), nil)
		cfg, err := conf.Parse(string(text))
		if err != nil {
			t.Fatal(err)
		}
		host, port, err := net.SplitHostPort(cfg["listen"].(string))
		if err != nil || host != "0.0.0.0" {
			t.Errorf("nats.conf: listens on %v, want every address of the container", cfg["listen"])
		}
		return []string{port}
	}
	t.Errorf("%s: it is not known which ports %s has", s.Name, s.Image)
	return nil
}

// flagOf returns the value of a flag of a command line.
func flagOf(args []string, name string) (value string, ok bool) {
	for i, arg := range args {
		if value, ok := strings.CutPrefix(arg, "--"+name+"="); ok {
			return value, true
		}
		if arg == "--"+name && i+1 < len(args) {
			return args[i+1], true
		}
	}
	return "", false
}

func TestComposePorts(t *testing.T) {
	c := loadCompose(t)
	for name, s := range c.Services {
		for _, p := range s.Ports {
			if p.HostIP != "127.0.0.1" {
				t.Errorf("%s: port %s is published on %q, want 127.0.0.1 alone", name, p.Published, p.HostIP)
			}
			if port := strconv.Itoa(int(p.Target)); !slices.Contains(c.listens(t, s), port) {
				t.Errorf("%s: publishes port %s, but listens on %v", name, port, c.listens(t, s))
			}
		}
	}
}

// address matches host:port with a host that is a name.
var address = regexp.MustCompile(`\b([a-z][a-z0-9-]*):([0-9]{2,5})\b`)

// TestComposeAddresses checks that whom a service is told to talk to is there,
// listens, and is on a network with it.
func TestComposeAddresses(t *testing.T) {
	c := loadCompose(t)
	found := 0
	for name, s := range c.Services {
		for _, word := range words(s) {
			for _, m := range address.FindAllStringSubmatch(word, -1) {
				found++
				c.reaches(t, name, m[1], m[2])
			}
		}
	}
	if found < len(c.ours())-2 { // all but the sandbox and who makes keys talk to NATS
		t.Errorf("found only %d addresses: are they read rightly?", found)
	}
	// What people are told: the token endpoint of the sandbox, for exchangers.
	for _, m := range address.FindAllStringSubmatch(comments(t, "docker-compose.yml"), -1) {
		c.reaches(t, "exchanger", m[1], m[2])
	}
	for _, m := range regexp.MustCompile(`http://127\.0\.0\.1:(\d+)`).FindAllStringSubmatch(comments(t, "docker-compose.yml"), -1) {
		if !c.publishes(m[1]) {
			t.Errorf("docker-compose.yml speaks of http://127.0.0.1:%s, where nothing is published", m[1])
		}
	}
}

// reaches fails the test unless the service from can reach host:port.
func (c compose) reaches(t *testing.T, from, host, port string) {
	t.Helper()
	s, ok := c.Services[host]
	if !ok {
		t.Errorf("%s: there is no service %s", from, host)
		return
	}
	if !slices.Contains(c.listens(t, s), port) {
		t.Errorf("%s: %s does not listen on %s, only on %v", from, host, port, c.listens(t, s))
	}
	shared := false
	for network := range c.Services[from].Networks {
		_, on := s.Networks[network]
		shared = shared || on
	}
	if !shared {
		t.Errorf("%s: has no network in common with %s", from, host)
	}
}

// TestOnlyTheFleetReachesNATS: NATS asks who they are, and still nobody else has to get so far.
func TestOnlyTheFleetReachesNATS(t *testing.T) {
	c := loadCompose(t)
	for network := range c.Services["nats"].Networks {
		if !c.Networks[network].Internal {
			t.Errorf("network %s of NATS is not internal", network)
		}
		for name, s := range c.Services {
			_, on := s.Networks[network]
			if on && name != "nats" && environment(s)["REKINDLE_NATS_URL"] == "" {
				t.Errorf("%s is on network %s of NATS without need", name, network)
			}
		}
	}
	if len(c.Services["nats"].Ports) > 0 {
		t.Error("NATS is published")
	}
}

func (c compose) publishes(port string) bool {
	for _, s := range c.Services {
		if slices.ContainsFunc(s.Ports, func(p types.ServicePortConfig) bool { return p.Published == port }) {
			return true
		}
	}
	return false
}

// comments returns the comments of a file of the repository.
func comments(t testing.TB, path string) string {
	t.Helper()
	return string(bytes.Join(regexp.MustCompile(`(?m)^\s*#.*$`).FindAll(readFile(t, inRepository(t, path)), -1), []byte("\n")))
}
