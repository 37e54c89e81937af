package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/bus"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/services/api"
	"github.com/rekindle-dev/rekindle/services/api/apitest"
	"github.com/rekindle-dev/rekindle/services/sandbox"
)

// doors is a fleet with two processes that serve the API, on a NATS server of its own,
// and the provider that it asks.
type doors struct {
	t           *testing.T
	dir, nats   string
	processes   [2]*process
	urls        [2]string
	provider    *sandbox.Server
	tokenURL    string
	bus         *bus.Bus
	state       *bus.State
	property    string
	environment string
}

func newDoors(t *testing.T) *doors {
	t.Helper()
	d := &doors{t: t, provider: sandbox.New(sandbox.Config{})}
	provider := httptest.NewServer(d.provider.Handler())
	t.Cleanup(provider.Close)
	d.tokenURL = provider.URL + "/token"
	dir := t.TempDir()
	d.dir = dir
	start := func(name, program string, args ...string) *process {
		path, err := exec.LookPath(program)
		if err != nil {
			t.Fatal(err)
		}
		p, err := startProcess(dir, name, path, append([]string{program}, args...), envBootstrap+"="+scenarioToken)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(p.kill)
		return p
	}
	nats := start("nats", "nats-server", "-a", "127.0.0.1", "-p", "-1", "-js", "-sd", filepath.Join(dir, "nats")).wait(t, "nats")
	for i, target := range []string{targetAll, targetAPI} {
		p := start(fmt.Sprint("door-", i), "rekindle", "serve", "--target", target, "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0",
			"--data-dir", "data", "--nats-url", nats, "--egress-allow", "127.0.0.0/8", "--log-format", "json", "--log-level", "debug")
		p.wait(t, "ready "+targetAPI)
		p.wait(t, "ready intake")
		d.urls[i], d.processes[i] = p.wait(t, "api"), p
	}
	d.nats = nats
	d.connect(nats)
	companies := d.ask(0, http.MethodGet, "/companies", "", "")
	d.property = d.made(0, "/companies/"+companies.ids[0]+"/properties", `"name":"p","platform":"edge"`)
	d.environment = d.made(0, "/properties/"+d.property+"/environments", `"name":"e"`)
	return d
}

// connect has the test look at the state and the events itself.
func (d *doors) connect(nats string) {
	b, err := bus.Connect(d.t.Context(), bus.Config{URL: nats, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(b.Close)
	d.bus = b
	if d.state, err = b.State(d.t.Context()); err != nil {
		d.t.Fatal(err)
	}
}

// told is what one of the doors has answered.
type told struct {
	status int
	tag    string
	ids    []string
	body   string
}

// ask asks one of the doors. The tag is the condition, "" for none.
func (d *doors) ask(door int, method, path, body, tag string) told {
	d.t.Helper()
	r, err := http.NewRequestWithContext(d.t.Context(), method, d.urls[door%2]+path, strings.NewReader(body))
	if err != nil {
		d.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+scenarioToken)
	if body != "" {
		r.Header.Set("Content-Type", "application/vnd.api+json")
	}
	if tag != "" {
		r.Header.Set("If-Match", tag)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		d.t.Error(err)
		return told{}
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		d.t.Error(err)
	}
	a := told{status: resp.StatusCode, tag: resp.Header.Get("Etag"), body: string(text)}
	var many struct{ Data []struct{ ID string } }
	var one struct{ Data struct{ ID string } }
	if json.Unmarshal(text, &many) == nil {
		for _, found := range many.Data {
			a.ids = append(a.ids, found.ID)
		}
	} else if json.Unmarshal(text, &one) == nil {
		a.ids = []string{one.Data.ID}
	}
	return a
}

// made makes something and returns its id.
func (d *doors) made(door int, path, attributes string) string {
	d.t.Helper()
	a := d.ask(door, http.MethodPost, path, attributed(attributes), "")
	if a.status != http.StatusCreated {
		d.t.Fatalf("POST %s: status %d: %s", path, a.status, a.body)
	}
	return a.ids[0]
}

func attributed(members string) string { return `{"data":{"attributes":{` + members + `}}}` }

// meet does two things by way of the two doors, one behind the other or both at once,
// and returns their statuses, sorted.
func (d *doors) meet(round int, do ...func(door int) int) []int {
	statuses := make([]int, len(do))
	var meeting sync.WaitGroup
	for i := range do {
		at := (i + round) % len(do)
		meeting.Go(func() { statuses[at] = do[at](at + round/2) })
		if round%3 == 0 {
			meeting.Wait()
		}
	}
	meeting.Wait()
	slices.Sort(statuses)
	return statuses
}

// TestTwoDoors has changes meet by way of two processes that serve the API.
func TestTwoDoors(t *testing.T) {
	t.Parallel()
	d := newDoors(t)
	for name, do := range map[string]func(*testing.T, int){
		"one name": d.oneName, "one place": d.onePlace, "one tag": d.oneTag,
		"changes and an exchange": d.changesAndExchange, "a deletion and an exchange": d.deletionAndExchange,
	} {
		t.Run(name, func(t *testing.T) {
			for round := range 8 {
				do(t, round)
			}
		})
	}
}

// oneName: of two creates of the same name one makes a secret.
func (d *doors) oneName(t *testing.T, round int) {
	create := func(door int) int {
		return d.ask(door, http.MethodPost, "/properties/"+d.property+"/secrets",
			attributed(fmt.Sprintf(`"name":"wanted %d","type_of":"token","credentials":{"token":"t"}`, round)), "").status
	}
	if got := d.meet(round, create, create); !slices.Equal(got, []int{http.StatusCreated, http.StatusConflict}) {
		t.Errorf("round %d: %v, want one 201 and one 409", round, got)
	}
}

// onePlace: of two staging environments there is one.
func (d *doors) onePlace(t *testing.T, round int) {
	companies := d.ask(round, http.MethodGet, "/companies", "", "")
	property := d.made(round, "/companies/"+companies.ids[0]+"/properties", `"name":"p","platform":"edge"`)
	create := func(door int) int {
		return d.ask(door, http.MethodPost, "/properties/"+property+"/environments", attributed(`"name":"e","stage":"staging"`), "").status
	}
	if got := d.meet(round, create, create); !slices.Equal(got, []int{http.StatusCreated, http.StatusConflict}) {
		t.Errorf("round %d: %v, want one 201 and one 409", round, got)
	}
	apitest.Watch(t, d.state, state.EnvironmentKey("*"), func(records map[string][]byte) bool {
		for key, body := range records {
			if !strings.Contains(string(body), property) {
				delete(records, key)
			}
		}
		if len(records) != 1 {
			t.Errorf("round %d: there are %d environments", round, len(records))
		}
		return true
	})
}

// oneTag: both doors show the same tag, and of two who send it the second is told.
func (d *doors) oneTag(t *testing.T, round int) {
	id := d.made(round, "/properties/"+d.property+"/environments", `"name":"old"`)
	here, there := d.ask(0, http.MethodGet, "/environments/"+id, "", ""), d.ask(1, http.MethodGet, "/environments/"+id, "", "")
	if here.tag == "" || here.tag != there.tag {
		t.Fatalf("round %d: the tags are %q and %q", round, here.tag, there.tag)
	}
	change := func(members string) func(int) int {
		return func(door int) int {
			return d.ask(door, http.MethodPatch, "/environments/"+id, attributed(members), here.tag).status
		}
	}
	if got := d.meet(round, change(`"name":"new"`), change(`"path":"new"`)); !slices.Equal(got, []int{http.StatusOK, http.StatusPreconditionFailed}) {
		t.Errorf("round %d: %v, want one 200 and one 412", round, got)
	}
}

// exchanging makes a secret whose first exchange is held at the provider, once the
// request is there. Later ones are answered at once.
func (d *doors) exchanging(t *testing.T, client string) (id string, answer func(int) int) {
	t.Helper()
	if err := d.provider.Put(sandbox.Client{ID: client, Script: []sandbox.Step{{Hold: true, Times: 1}}}); err != nil {
		t.Fatal(err)
	}
	a := d.ask(0, http.MethodPost, "/properties/"+d.property+"/secrets", fmt.Sprintf(
		`{"data":{"attributes":{"name":%[1]q,"type_of":"oauth2","credentials":{"client_id":%[1]q,"client_secret":"s","token_url":%[2]q,"refresh_offset":14400}},
		"relationships":{"environment":{"data":{"id":%[3]q,"type":"environments"}}}}}`, client, d.tokenURL, d.environment), "")
	if a.status != http.StatusCreated {
		t.Fatalf("status %d: %s", a.status, a.body)
	}
	if err := d.provider.WaitRequests(t.Context(), client, 1); err != nil {
		t.Fatal(err)
	}
	return a.ids[0], func(int) int {
		if err := d.provider.Release(client); err != nil {
			t.Error(err)
		}
		return 0
	}
}

// said counts the events about a secret by their types.
func (d *doors) said(t *testing.T, id string) map[events.Type]int {
	t.Helper()
	entries, _, err := d.bus.History(t.Context(), api.DefaultOrg, id, 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	counts := map[events.Type]int{}
	for _, e := range entries {
		counts[e.Type]++
	}
	return counts
}

// changesAndExchange: two changes of different members and an exchange that ends all
// have their way. The value is that of the credentials as they are in the end.
func (d *doors) changesAndExchange(t *testing.T, round int) {
	client := fmt.Sprint("changed-", round)
	id, answer := d.exchanging(t, client)
	change := func(members string) func(int) int {
		return func(door int) int {
			return d.ask(door, http.MethodPatch, "/secrets/"+id, attributed(`"type_of":"oauth2",`+members), "").status
		}
	}
	got := d.meet(round, change(`"name":"renamed `+client+`"`), answer, change(`"credentials":{"options":{"scope":"read"}}`))
	if !slices.Equal(got, []int{0, http.StatusOK, http.StatusOK}) {
		t.Fatalf("round %d: %v, want both changed", round, got)
	}
	var s secret.Secret
	apitest.Watch(t, d.state, state.SecretKey(id), func(records map[string][]byte) bool {
		s = secret.Secret{}
		return json.Unmarshal(records[state.SecretKey(id)], &s) == nil && s.Status == secret.Succeeded && s.Generation > 1
	})
	if s.Name != "renamed "+client || s.Credentials.Options["scope"] != "read" || s.Decision != s.Generation+1 || s.CredentialGeneration != 2 {
		t.Errorf("round %d: it is called %s, with %v of generation %d, value %d, decision %d", round, s.Name, s.Credentials.Options, s.CredentialGeneration, s.Generation, s.Decision)
	}
	var a secret.Artifact
	body, _, err := d.state.Get(t.Context(), state.ArtifactKey(d.environment, id))
	if err := errors.Join(err, json.Unmarshal(body, &a)); err != nil || a.Generation != s.Generation {
		t.Errorf("round %d: the artifact is of generation %d (%v), want %d", round, a.Generation, err, s.Generation)
	}
	if said := d.said(t, id); said[events.TypeSecretCreated] != 1 || said[events.TypeSecretUpdated] != 2 || said[events.TypeSecretDeleted] != 0 {
		t.Errorf("round %d: the events are %v", round, said)
	}
	if asked, err := d.provider.Requests(client); err != nil || len(asked) != 2 {
		t.Errorf("round %d: the provider was asked %d times (%v), want 2", round, len(asked), err)
	}
}

// deletionAndExchange: what is deleted stays so, whatever its exchange yields, and
// leaves nothing behind but its events.
func (d *doors) deletionAndExchange(t *testing.T, round int) {
	client := fmt.Sprint("deleted-", round)
	id, answer := d.exchanging(t, client)
	remove := func(door int) int { return d.ask(door, http.MethodDelete, "/secrets/"+id, "", "").status }
	if got := d.meet(round, remove, answer, remove); !slices.Equal(got, []int{0, http.StatusNoContent, http.StatusNotFound}) {
		t.Fatalf("round %d: %v, want one 204 and one 404", round, got)
	}
	d.made(round, "/properties/"+d.property+"/secrets", fmt.Sprintf(`"name":%q,"type_of":"token","credentials":{"token":"t"}`, client)) // the name is free
	apitest.Watch(t, d.state, state.SecretKey(id), func(records map[string][]byte) bool { return len(records) == 0 })
	for _, key := range []string{state.CredentialKey(id), state.GrantKey(id), state.ArtifactKey(d.environment, id)} {
		if _, _, err := d.state.Get(t.Context(), key); !errors.Is(err, state.ErrNotFound) {
			t.Errorf("round %d: %s is there yet: %v", round, key, err)
		}
	}
	if said := d.said(t, id); said[events.TypeSecretCreated] != 1 || said[events.TypeSecretDeleted] != 1 {
		t.Errorf("round %d: the events are %v", round, said)
	}
	if asked, err := d.provider.Requests(client); err != nil || len(asked) != 1 {
		t.Errorf("round %d: the provider was asked %d times (%v), want once", round, len(asked), err)
	}
}
