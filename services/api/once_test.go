package api_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/pkg/state/statetest"
	"github.com/rekindle-dev/rekindle/services/api"
	"github.com/rekindle-dev/rekindle/services/api/apitest"
)

// keyed is a request with a key. Of a path that ends with an id it changes that secret, or
// deletes it if there is no body; of another it makes one there.
type keyed struct{ key, method, path, body string }

func (k keyed) ask(t *testing.T, s *api.Service, who api.Caller) (*api.Changed, error) {
	t.Helper()
	r := api.Request{Key: k.key, Method: k.method, Path: k.path}
	if k.body != "" {
		r.Data = document(t, "%s", k.body)
	}
	id := k.path[strings.LastIndex(k.path, "/")+1:]
	return s.Once(t.Context(), who, r, func(who api.Caller) (*api.Changed, error) {
		switch k.method {
		case "POST":
			return s.CreateSecret(t.Context(), who, strings.Split(k.path, "/")[2], r.Data)
		case "DELETE":
			return nil, s.DeleteSecret(t.Context(), who, id)
		default:
			return s.ChangeSecret(t.Context(), who, id, r.Data)
		}
	})
}

// keyed is a request that makes a secret.
func (w *world) keyed(key, name string) keyed {
	return keyed{key, "POST", "/properties/" + w.property.ID + "/secrets", fmt.Sprintf(`{"data":{"attributes":{"name":%q,"type_of":"token","credentials":{"token":"t0p"}}}}`, name)}
}

// TestOnce asks everything twice. The second time nothing is written, and nothing announced.
func TestOnce(t *testing.T) {
	t.Parallel()
	inner := statetest.New()
	apitest.PublishKeyset(t, inner)
	faulty := statetest.NewFaulty(inner)
	w := &world{Process: apitest.StartWith(t, api.Config{Apps: apitest.Apps(t)}, api.Deps{State: faulty})}
	w.company = w.Service.Companies(apitest.Caller(), everything[*api.Company]()).Items[0]
	w.property = w.newProperty(t, "edge")
	made, err := w.keyed("first", "s").ask(t, w.Service, apitest.Caller())
	if err != nil || made.Repeated {
		t.Fatalf("%v, %v", made, err)
	}
	secrets, self := "/properties/"+w.property.ID+"/secrets", "/secrets/"+made.ID
	steps := []keyed{
		w.keyed("first", "s"),
		{"ads", "POST", secrets, `{"data":{"attributes":{"name":"ads","type_of":"oauth2-acme","credentials":{"scopes":["all"]}}}}`},
		{"name", "PATCH", self, `{"data":{"attributes":{"name":"s-2"}}}`},
		{"same", "PATCH", self, `{"data":{"attributes":{"name":"s-2"}}}`},
		{"token", "PATCH", self, `{"data":{"attributes":{"credentials":{"token":"another"}}}}`},
		{"gone", "DELETE", self, ""},
		w.keyed("again", "s"), // the name is free
	}
	for _, step := range steps {
		if _, err := step.ask(t, w.Service, apitest.Caller()); err != nil {
			t.Fatalf("%s: %v", step.key, err)
		}
		outboxOf(t, inner, empty)
		written, told := len(faulty.Commits()), len(w.Events.Published())
		again, err := step.ask(t, w.Service, apitest.Caller())
		if err != nil || !again.Repeated || again.Dialog != nil || (again.Secret == nil) != (step.method == "DELETE") {
			t.Errorf("%s, again: %v, %v", step.key, again, err)
		}
		if n := len(faulty.Commits()); n != written {
			t.Errorf("%s, again: there are %d commits more", step.key, n-written)
		}
		if n := len(w.Events.Published()); n != told {
			t.Errorf("%s, again: there are %d events more", step.key, n-told)
		}
	}
	for _, e := range w.Events.Published() {
		if _, is := e.Data.(events.Accepted); is {
			t.Error("a request is answered on the bus")
		}
	}
	if gone, err := steps[0].ask(t, w.Service, apitest.Caller()); err != nil || !gone.Repeated || gone.Secret != nil {
		t.Errorf("of a secret that is gone: %v, %v", gone, err)
	}
}

// TestOnceForWhom: a key is one of whoever sends it, and of one request.
func TestOnceForWhom(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada, bob := apitest.Caller(), apitest.Caller()
	ada.Principal, bob.Principal = "token ada", "token bob"
	first := must[*api.Changed](t)(w.keyed("1", "ada's").ask(t, w.Service, ada))
	if other, err := w.keyed("1", "bob's").ask(t, w.Service, bob); err != nil || other.Repeated || other.ID == first.ID {
		t.Errorf("another's key is taken for the first: %v, %v", other, err)
	}
	inEnvironment := strings.Replace(w.keyed("1", "ada's").body, `}}}`, `}},"relationships":{"environment":{"data":{"id":"EN1","type":"environments"}}}}`, 1)
	self := "/secrets/" + first.ID
	rename := keyed{"2", "PATCH", self, `{"data":{"attributes":{"type_of":"token","name":"another"}}}`}
	must[*api.Changed](t)(rename.ask(t, w.Service, ada))
	for name, other := range map[string]keyed{
		"name":        w.keyed("1", "another"),
		"environment": {"1", "POST", w.keyed("", "").path, inEnvironment},
		"path":        {"1", "POST", "/properties/" + w.newProperty(t, "edge").ID + "/secrets", w.keyed("1", "ada's").body},
		"delete":      {"1", "DELETE", self, ""},
		"action":      {"2", "PATCH", self, `{"data":{"attributes":{"type_of":"token","name":"another"},"meta":{"action":"retry"}}}`},
		"method":      {"2", "PUT", self, rename.body},
	} {
		if _, err := other.ask(t, w.Service, ada); !errors.Is(err, api.ErrKeyReused) {
			t.Errorf("another %s: got error %v, want ErrKeyReused", name, err)
		}
	}
	// Credentials are not compared, lest what is kept tells of them.
	guess := w.keyed("1", "ada's")
	guess.body = strings.Replace(guess.body, "t0p", "t1p", 1)
	if again, err := guess.ask(t, w.Service, ada); err != nil || !again.Repeated {
		t.Errorf("another credential: %v, %v", again, err)
	}
}

// TestRefusedIsNotRemembered: what was refused can be mended and sent under the same key.
func TestRefusedIsNotRemembered(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.token(t, "taken")
	if _, err := w.keyed("1", "taken").ask(t, w.Service, apitest.Caller()); code(err) != api.NotUnique {
		t.Fatalf("got error %v, want NotUnique", err)
	}
	if made, err := w.keyed("1", "free").ask(t, w.Service, apitest.Caller()); err != nil || made.Repeated {
		t.Errorf("%v, %v", made, err)
	}
}

// oblivious is a state that does not show what is remembered to the first who ask, as a
// member of a cluster that is behind.
type oblivious struct {
	state.Store
	times int
}

func (o *oblivious) Get(ctx context.Context, key string) ([]byte, state.Revision, error) {
	if kind, _ := state.Split(key); kind == "intake" && o.times > 0 {
		o.times--
		return nil, 0, state.ErrNotFound
	}
	return o.Store.Get(ctx, key)
}

// TestOnceOverAReplicaThatIsBehind: what was done is not refused because it was done.
func TestOnceOverAReplicaThatIsBehind(t *testing.T) {
	t.Parallel()
	for times := range 5 {
		w := newWorld(t)
		made := must[*api.Changed](t)(w.keyed("1", "s").ask(t, w.Service, apitest.Caller()))
		again, err := w.keyed("1", "s").askBehind(t, w.State, times)
		if err != nil || !again.Repeated || again.ID != made.ID {
			t.Errorf("behind for %d questions: %v, %v", times, again, err)
		}
		gone := keyed{"2", "DELETE", "/secrets/" + made.ID, ""}
		if _, err := gone.ask(t, w.Service, apitest.Caller()); err != nil {
			t.Fatal(err)
		}
		if again, err = gone.askBehind(t, w.State, times); err != nil || !again.Repeated {
			t.Errorf("deleted, and behind for %d questions: %v, %v", times, again, err)
		}
	}
}

// askBehind asks a process that is behind, and again when it is told to.
func (k keyed) askBehind(t *testing.T, st state.Store, times int) (*api.Changed, error) {
	t.Helper()
	late := apitest.Start(t, &oblivious{st, times}, api.Config{})
	answer, err := k.ask(t, late.Service, apitest.Caller())
	for range times {
		if errors.Is(err, api.ErrRepeated) {
			answer, err = k.ask(t, late.Service, apitest.Caller())
		}
	}
	return answer, err
}

// TestTwins sends a request many times at once, to two processes: it is carried out once,
// and each is answered with the same secret, or is to ask again.
func TestTwins(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	second := apitest.Start(t, w.State, api.Config{})
	var wg sync.WaitGroup
	var mu sync.Mutex
	ids, first := map[string]bool{}, 0
	for i := range 16 {
		s := []*api.Service{w.Service, second.Service}[i%2]
		wg.Go(func() {
			made, err := w.keyed("1", "twin").ask(t, s, apitest.Caller())
			mu.Lock()
			defer mu.Unlock()
			switch {
			case errors.Is(err, api.ErrRepeated):
			case err != nil:
				t.Error(err)
			default:
				ids[made.ID] = true
				if !made.Repeated {
					first++
				}
			}
		})
	}
	wg.Wait()
	if len(ids) != 1 || first != 1 {
		t.Errorf("%d secrets were made, by %d requests", len(ids), first)
	}
}
