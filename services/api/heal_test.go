package api_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/pkg/state/statetest"
	"github.com/rekindle-dev/rekindle/services/api"
	"github.com/rekindle-dev/rekindle/services/api/apitest"
)

// grow fills a property with a staging and a development environment, with secrets in
// both and in none, and with notes on the first and on itself.
func (w *world) grow(t testing.TB, property string, secrets int) (environments []*api.Environment, made []*secret.Secret) {
	t.Helper()
	for _, stage := range []string{"staging", "development"} {
		environments = append(environments, must[*api.Environment](t)(newEnvironment(t, w.Service, property, stage)))
	}
	for i := range secrets {
		in := ""
		if i%3 < 2 {
			in = environments[i%3].ID
		}
		made = append(made, must[*secret.Secret](t)(newToken(t, w.Service, property, in, fmt.Sprint("s", i))))
	}
	newNote(t, w.Service, property, "on the property")
	newNote(t, w.Service, made[0].ID, "on a secret")
	return environments, made
}

// settled waits until nothing under the property is left but deleted secrets.
func settled(t testing.TB, st state.Store, property string, secrets int) {
	t.Helper()
	apitest.Watch(t, st, ">", func(records map[string][]byte) bool {
		deleted := 0
		notes := ""
		var gone []string
		for key, body := range records {
			kind, _ := state.Split(key)
			switch {
			case kind == "secret":
				var s secret.Secret
				if json.Unmarshal(body, &s) != nil || s.Property == property && s.DeletedAt.IsZero() {
					return false
				}
				if s.Property == property {
					deleted++
				}
				if !s.DeletedAt.IsZero() {
					gone = append(gone, s.ID)
				}
			case kind == "note" || kind == "notes":
				notes += key + string(body)
			case kind != "credential" && !state.Passing(key) && strings.Contains(string(body)+key, property):
				return false // an environment, a place or a name
			}
		}
		return deleted == secrets && !strings.Contains(notes, property) &&
			!slices.ContainsFunc(gone, func(id string) bool { return strings.Contains(notes, id) })
	})
}

func TestDeletingAPropertyDeletesAllBeneath(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	doomed := w.newProperty(t, "edge")
	environments, made := w.grow(t, doomed.ID, 30)
	_, kept := w.grow(t, w.property.ID, 3)
	if err := w.Service.DeleteProperty(t.Context(), apitest.Caller(), doomed.ID); err != nil {
		t.Fatal(err)
	}
	// All of it is out of sight at once, healed or not.
	gone := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, api.ErrNotFound) {
			t.Errorf("%s: got error %v, want ErrNotFound", what, err)
		}
	}
	for _, e := range environments {
		_, err := w.Service.Environment(t.Context(), apitest.Caller(), e.ID)
		gone("environment", err)
		_, err = w.Service.SecretsOfEnvironment(t.Context(), apitest.Caller(), e.ID, allSecrets())
		gone("secrets of environment", err)
	}
	for _, s := range made {
		_, err := w.Service.Secret(t.Context(), apitest.Caller(), s.ID)
		gone("secret", err)
		gone("delete secret", w.Service.DeleteSecret(t.Context(), apitest.Caller(), s.ID))
	}
	settled(t, w.State, doomed.ID, len(made))
	for _, s := range kept {
		if _, err := w.Service.Secret(t.Context(), apitest.Caller(), s.ID); err != nil {
			t.Errorf("a secret of another property: %v", err)
		}
	}
	w.Stop()
	said := 0
	for _, e := range w.Events.Published() {
		if e.Data.Type() == events.TypeSecretDeleted {
			said++
		}
	}
	if said != len(made) {
		t.Errorf("%d deletions were announced, want %d", said, len(made))
	}
}

func TestDeletingAnEnvironmentDetachesItsSecrets(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	environments, made := w.grow(t, w.property.ID, 9)
	doomed := environments[0]
	if err := w.Service.DeleteEnvironment(t.Context(), apitest.Caller(), doomed.ID); err != nil {
		t.Fatal(err)
	}
	for _, s := range made {
		shown := must[*secret.Secret](t)(w.Service.Secret(t.Context(), apitest.Caller(), s.ID))
		if s.Environment == doomed.ID && (shown.Environment != "" || shown.Stage != "") {
			t.Errorf("%s still shows its environment", s.Name)
		} else if s.Environment != doomed.ID && shown.Environment != s.Environment {
			t.Errorf("%s has lost its environment", s.Name)
		}
	}
	apitest.Watch(t, w.State, "secret.*", func(records map[string][]byte) bool {
		for _, body := range records {
			var s secret.Secret
			if json.Unmarshal(body, &s) != nil || s.Environment == doomed.ID {
				return false
			}
			if next := s.Plan(); s.Deployed == doomed.ID && next.Action != secret.Withdraw {
				t.Errorf("the plan of %s is %s, want its artifact withdrawn", s.Name, next.Action)
			}
		}
		return true
	})
}

// TestHealingAfterACrash stops the world at every commit of a delete, and lets
// another process come up.
func TestHealingAfterACrash(t *testing.T) {
	t.Parallel()
	w, faulty, doomed := doomedWorld(t)
	before := len(faulty.Commits())
	if err := w.Service.DeleteProperty(t.Context(), apitest.Caller(), doomed); err != nil {
		t.Fatal(err)
	}
	settled(t, faulty, doomed, doomedSecrets)
	w.Stop()
	commits := len(faulty.Commits()) - before
	if commits != 1+1+2+doomedSecrets+2*2 { // the host, the environments, the notes on two
		t.Fatalf("the delete took %d commits, want one for each record", commits)
	}
	for n := 1; n <= commits; n++ {
		for _, when := range []statetest.When{statetest.Before, statetest.After} {
			t.Run(fmt.Sprint(when, " commit ", n), func(t *testing.T) { crashWhileDeleting(t, n, when) })
		}
	}
}

const doomedSecrets = 4

func doomedWorld(t *testing.T) (w *world, faulty *statetest.Faulty, property string) {
	t.Helper()
	inner := statetest.New()
	apitest.PublishKeyset(t, inner)
	faulty = statetest.NewFaulty(inner)
	w = &world{Process: apitest.Start(t, faulty, api.Config{})}
	w.State = inner
	w.company = w.Service.Companies(apitest.Caller(), everything[*api.Company]()).Items[0]
	property = w.newProperty(t, "edge").ID
	w.grow(t, property, doomedSecrets)
	return w, faulty, property
}

func crashWhileDeleting(t *testing.T, n int, when statetest.When) {
	w, faulty, doomed := doomedWorld(t)
	faulty.Crash(len(faulty.Commits())+n, when)
	err := w.Service.DeleteProperty(t.Context(), apitest.Caller(), doomed)
	if (err != nil) != (n == 1) {
		t.Fatalf("the delete ended with %v", err)
	}
	if n > 1 {
		w.Log.Await(t, "what is half done could not be put right")
	}
	w.Stop()

	after := apitest.Start(t, w.State, api.Config{})
	if n == 1 && when == statetest.Before {
		// Nothing was done, and nothing may be healed.
		if _, err := after.Service.Property(t.Context(), apitest.Caller(), doomed); err != nil {
			t.Errorf("the property has gone: %v", err)
		}
		if err := after.Service.DeleteProperty(t.Context(), apitest.Caller(), doomed); err != nil {
			t.Fatal(err)
		}
	}
	settled(t, w.State, doomed, doomedSecrets)
}

// TestACreateThatIsTooLate makes a secret beside the use cases, as a process
// does that has not yet seen the property go.
func TestACreateThatIsTooLate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	doomed := w.newProperty(t, "edge")
	made := must[*secret.Secret](t)(newToken(t, w.Service, doomed.ID, "", "first"))
	if err := w.Service.DeleteProperty(t.Context(), apitest.Caller(), doomed.ID); err != nil {
		t.Fatal(err)
	}
	late := *made
	late.ID, late.Name = secret.NewID(secret.PrefixSecret), "second"
	if _, err := (secret.Store{State: w.State}).Create(t.Context(), &secret.Draft{Secret: &late, Credential: &secret.Credential{Generation: 1}}); err != nil {
		t.Fatal(err)
	}
	settled(t, w.State, doomed.ID, 2)
}

// TestHealingTogether lets several processes work off the same delete.
func TestHealingTogether(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for range 2 {
		apitest.Start(t, w.State, api.Config{})
	}
	doomed := w.newProperty(t, "edge")
	_, made := w.grow(t, doomed.ID, 40)
	if err := w.Service.DeleteProperty(t.Context(), apitest.Caller(), doomed.ID); err != nil {
		t.Fatal(err)
	}
	settled(t, w.State, doomed.ID, len(made))
}
