package e2e

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rekindle-dev/rekindle/services/api/client"
)

// workingDay returns a copy of the example configuration with windows that a test
// can wait for, and with an app, for the metrics about it.
func workingDay(t *testing.T, example string) string {
	t.Helper()
	text := string(readFile(t, example))
	for field, value := range map[string]string{"min_validity": "2s", "min_interval": "1s", "default_offset": "1s"} {
		line := regexp.MustCompile(`(?m)^( +` + field + `:).*$`)
		if !line.MatchString(text) {
			t.Fatalf("%s has no field %s", example, field)
		}
		text = line.ReplaceAllString(text, "$1 "+value)
	}
	const apps = "\nproviders:\n"
	if !strings.Contains(text, apps) {
		t.Fatalf("%s has no providers", example)
	}
	dir := t.TempDir()
	secret := filepath.Join(dir, "client-secret")
	text = strings.Replace(text, apps, apps+"  google: {client_id: e2e, client_secret_file: '"+secret+"', secret_expires_at: 2099-01-01}\n", 1)
	path := filepath.Join(dir, filepath.Base(example))
	for name, content := range map[string]string{path: text, secret: "e2e-secret\n"} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

// TestFleet runs the fleet of the compose file through a working day.
func TestFleet(t *testing.T) {
	example := inRepository(t, "deploy/config/rekindle.yaml")
	f := startFleet(t, map[string]string{example: workingDay(t, example)})
	s := &scenario{f, client.New("http://"+f.api, bootstrapToken), "http://" + f.addresses["sandbox:8089"]}

	t.Run("secrets are kept fresh", s.keepsSecretsFresh)
	t.Run("strangers publish and subscribe", s.servesStrangers)
	t.Run("what is exposed is what is asked for", s.exposesWhatIsAskedFor)
	t.Run("nothing is written but to volumes", s.writesToVolumesOnly)
	t.Run("every process stops when asked to", s.stops)
}

type scenario struct {
	*fleet
	client  *client.Client
	sandbox string
}

func (s *scenario) keepsSecretsFresh(t *testing.T) {
	companies := must(s.client.Companies(t.Context()))(t)
	if len(companies) != 1 || companies[0].Attributes.Name != "Rekindle" {
		t.Fatalf("companies: %+v, want the one of the configuration", companies)
	}
	property := must(s.client.CreateProperty(t.Context(), companies[0].ID.ID, "shop"))(t)
	env := must(s.client.CreateEnvironment(t.Context(), property.ID.ID, "production", "production"))(t)
	create := func(name, script string) client.Secret {
		t.Helper()
		s.script(t, name, script)
		return must(s.client.CreateSecret(t.Context(), property.ID.ID, client.NewSecret{
			Name: name, TypeOf: "oauth2-client_credentials", Environment: env.ID.ID,
			Credentials: map[string]any{"client_id": name, "client_secret": "e2e-secret", "token_url": s.sandbox + "/token"},
		}))(t)
	}
	steady := create("steady", `{"default": {"lifetime": "2s"}}`)
	doomed := create("doomed", `{"script": [{"lifetime": "2s"}, {"error": "invalid_client"}]}`)
	short := create("short", `{"default": {"lifetime": "1s"}}`)

	awaitState(t, s.client, steady.ID.ID, "steady", func(now client.Secret) bool {
		return now.Attributes.Status == "succeeded" && now.Meta.RefreshStatus == "succeeded" &&
			now.Attributes.ExpiresAt.Sub(now.Attributes.CreatedAt).Seconds() > 4 // so it has had two values or more after its first
	})
	awaitState(t, s.client, doomed.ID.ID, "doomed", func(now client.Secret) bool {
		return now.Attributes.Status == "succeeded" && now.Meta.RefreshStatus == "failed"
	})
	awaitState(t, s.client, short.ID.ID, "short", func(now client.Secret) bool {
		return now.Attributes.Status == "failed" && strings.Contains(now.Meta.StatusDetails.String(), "expires_in")
	})
}

// script tells the sandbox how to treat a client.
func (s *scenario) script(t *testing.T, id, doc string) {
	t.Helper()
	req := must(http.NewRequestWithContext(t.Context(), http.MethodPut, s.sandbox+"/sandbox/clients/"+id, strings.NewReader(doc)))(t)
	resp := must(http.DefaultClient.Do(req))(t)
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("script of %s: %s", id, resp.Status)
	}
}

func awaitState(t *testing.T, c *client.Client, id, what string, reached func(now client.Secret) bool) {
	t.Helper()
	eventually(t, what, func(ctx context.Context) (bool, string) {
		now, err := c.Secret(ctx, id)
		if err != nil {
			return false, err.Error()
		}
		a, m := now.Attributes, now.Meta
		return reached(now), fmt.Sprintf("%s %s, refresh %s %s, authorization %s, expires %v",
			a.Status, m.StatusDetails, m.RefreshStatus, m.RefreshStatusDetails, m.AuthorizationStatusDetails, a.ExpiresAt)
	})
}

// exposesWhatIsAskedFor scrapes what Prometheus would, by its configuration, and
// checks every query of the alerts and dashboards against it.
func (s *scenario) exposesWhatIsAskedFor(t *testing.T) {
	e := exposed{}
	scrapes, _ := prometheusConfig(t)
	for _, target := range scrapes {
		for _, service := range target.Services {
			if got, want := len(s.ops[service]), replicas(s.Services[service]); got != want {
				t.Errorf("%s: %d processes to scrape, want %d", service, got, want)
			}
			for _, addr := range s.ops[service] {
				e.add(t, service, addr)
			}
		}
	}
	for _, q := range queries(t) {
		for _, problem := range e.missing(q.expr) {
			t.Errorf("%s: %s", q.where, problem)
		}
	}
}

// writesToVolumesOnly checks that nothing was written where a container's file
// system is read-only: at least not to the working directory.
func (s *scenario) writesToVolumesOnly(t *testing.T) {
	for _, p := range s.processes {
		if p.cmd.Dir == "" {
			continue
		}
		for _, entry := range must(os.ReadDir(p.cmd.Dir))(t) {
			t.Errorf("%s wrote %s", p.name, entry.Name())
		}
	}
	keyring := s.path(s.Services["exchanger"], "", "/keys/keyring.json")
	if _, err := os.Stat(keyring); err != nil {
		t.Errorf("the exchangers' keyring: %v", err)
	}
}

// stops asks the processes to stop, the last that started first.
func (s *scenario) stops(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for _, p := range slices.Backward(s.processes) {
		if err := p.stop(ctx); err != nil {
			t.Error(err)
		}
	}
}
