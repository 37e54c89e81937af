package e2e

import (
	"context"
	"encoding/json"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rekindle-dev/rekindle/services/api/client"
)

// org is the organisation of the compose file, as a file is called that belongs to it.
const org, orgFile = "REKINDLE@LocalOrg", "REKINDLE=40LocalOrg"

// servesStrangers runs the examples against the fleet, with the credentials that its
// first start has made for them.
func (s *scenario) servesStrangers(t *testing.T) {
	dir := t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-o", dir, "./...")
	build.Dir, build.Env = inRepository(t, "examples"), append(build.Environ(), "GOWORK=off")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v: %s", err, out)
	}
	seeds := filepath.Join(s.path(s.Services["admit"], "admit", "/admitted"), "orgs", orgFile)
	companies := must(s.client.Companies(t.Context()))(t)
	property := must(s.client.CreateProperty(t.Context(), companies[0].ID.ID, "upstream"))(t).ID.ID
	program := func(name, seed string, args ...string) *exec.Cmd {
		args = append([]string{"-nats", "nats://" + s.addresses["nats:4222"], "-creds", filepath.Join(seeds, seed), "-org", org}, args...)
		return exec.Command(filepath.Join(dir, name), args...)
	}
	upstream := func(lines ...string) (string, error) {
		cmd := program("upstream", "upstream-upstream.nk", "-property", property)
		cmd.Stdin = strings.NewReader(strings.Join(lines, "\n") + "\n")
		out, err := cmd.CombinedOutput()
		return string(out), err
	}

	good := tenant(t, "tenant 1", s.sandbox+"/token")
	out, err := upstream(good, tenant(t, "tenant 2", s.sandbox+"/token"))
	if err != nil {
		t.Fatalf("upstream: %v: %s", err, out)
	}
	id := submatch(regexp.MustCompile(`tenant 1: accepted as (SE\w+)`), out)
	awaitState(t, s.client, id, "a secret that an upstream system has sealed", func(now client.Secret) bool {
		return now.Attributes.Status == "succeeded"
	})
	out, err = upstream(good, tenant(t, "tenant 3", "ftp://nowhere"))
	if err == nil || !strings.Contains(out, "tenant 1: accepted before as "+id) || !strings.Contains(out, "tenant 3: refused\n  /credentials/token_url: ") {
		t.Errorf("the same again, and a bad one: %v: %s", err, out)
	}

	said := startProcess(t, "subscriber", program("subscriber", "reader.nk", "-since", "10m", "-secret", id))
	shown := startProcess(t, "watcher", program("subscriber", "reader.nk", "-status", "-property", property))
	kept := startProcess(t, "durable", program("subscriber", "reader.nk", "-since", "10m", "-type", "Rejected", "-durable", "e2e"))
	ctx, stop := context.WithTimeout(t.Context(), patience)
	defer stop()
	for _, want := range []struct {
		of   *process
		line string
	}{{said, "SecretCreated " + id}, {said, "ExchangeSucceeded " + id}, {shown, id + ` "tenant 1" is succeeded`}, {kept, "Rejected "}} {
		pattern := regexp.MustCompile("(" + regexp.QuoteMeta(want.line) + ")")
		if _, err := want.of.await(ctx, want.line, func(line string) string { return submatch(pattern, line) }); err != nil {
			t.Error(err)
		}
	}
}

// tenant is a line of what the upstream system reads. The client secret is what the
// sandbox takes of anybody.
func tenant(t *testing.T, name, tokenURL string) string {
	t.Helper()
	return string(must(json.Marshal(map[string]string{
		"name": name, "client_id": strings.ReplaceAll(name, " ", "-"), "client_secret": "e2e-secret", "token_url": tokenURL,
	}))(t))
}
