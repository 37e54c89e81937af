package api_test

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/services/api"
	"github.com/rekindle-dev/rekindle/services/api/apitest"
)

// together calls do from n goroutines at the same time and returns what each
// got.
func together(n int, do func(i int) error) []error {
	errs := make([]error, n)
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			<-start
			errs[i] = do(i)
		})
	}
	close(start)
	wg.Wait()
	return errs
}

// tally counts the successes and the refusals with a code, and fails the test
// for anything else.
func tally(t *testing.T, errs []error, refusal api.Code) (ok, refused int) {
	t.Helper()
	for _, err := range errs {
		switch {
		case err == nil:
			ok++
		case code(err) == refusal:
			refused++
		default:
			t.Errorf("unexpected: %v", err)
		}
	}
	return ok, refused
}

func TestOneOfManyGetsTheName(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	second := apitest.Start(t, w.State, api.Config{})
	doors := []*api.Service{w.Service, second.Service}
	const rounds, n = 8, 32
	for round := range rounds {
		name := fmt.Sprintf("wanted %d", round)
		var winner atomic.Pointer[secret.Secret]
		errs := together(n, func(i int) error {
			made, err := newToken(t, doors[i%2], w.property.ID, "", name)
			if err == nil {
				winner.Store(made)
			}
			return err
		})
		if ok, refused := tally(t, errs, api.NotUnique); ok != 1 || refused != n-1 {
			t.Fatalf("%d got the name and %d did not, want 1 and %d", ok, refused, n-1)
		}
		// Each door sees its own writes at once and the other's a little later;
		// asking for one waits for it.
		if _, err := w.Service.Secret(t.Context(), apitest.Caller(), winner.Load().ID); err != nil {
			t.Errorf("the secret with the name: %v", err)
		}
	}
	page, err := w.Service.SecretsOfProperty(t.Context(), apitest.Caller(), w.property.ID, allSecrets())
	if err != nil || page.Total != rounds {
		t.Errorf("%d secrets are listed (%v), want %d", page.Total, err, rounds)
	}
}

func TestANameIsFreeWhenItsSecretIsDeleted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const n = 8
	errs := together(n, func(int) error {
		for range 20 {
			made, err := newToken(t, w.Service, w.property.ID, "", "passed on")
			if code(err) == api.NotUnique {
				continue
			}
			if err != nil {
				return err
			}
			if err := w.Service.DeleteSecret(t.Context(), apitest.Caller(), made.ID); err != nil {
				return err
			}
		}
		return nil
	})
	tally(t, errs, "")
	if _, err := newToken(t, w.Service, w.property.ID, "", "passed on"); err != nil {
		t.Errorf("the name is not free in the end: %v", err)
	}
}

func TestOneEnvironmentPerStage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	second := apitest.Start(t, w.State, api.Config{})
	doors := []*api.Service{w.Service, second.Service}
	for _, stage := range []string{"staging", "production"} {
		for range 3 {
			made := make([]*api.Environment, 16)
			errs := together(len(made), func(i int) (err error) {
				made[i], err = newEnvironment(t, doors[i%2], w.property.ID, stage)
				return err
			})
			if ok, refused := tally(t, errs, api.Conflict); ok != 1 || refused != 15 {
				t.Fatalf("%s: %d were made and %d refused, want 1 and 15", stage, ok, refused)
			}
			winner := slices.Index(errs, nil)
			if err := doors[winner%2].DeleteEnvironment(t.Context(), apitest.Caller(), made[winner].ID); err != nil {
				t.Fatal(err)
			}
			if _, _, err := w.State.Get(t.Context(), state.SlotKey(w.property.ID, stage)); !errors.Is(err, state.ErrNotFound) {
				t.Fatalf("%s: the place is still taken: %v", stage, err)
			}
		}
	}
	errs := together(16, func(i int) error {
		_, err := newEnvironment(t, doors[i%2], w.property.ID, "development")
		return err
	})
	if ok, _ := tally(t, errs, ""); ok != 16 {
		t.Errorf("%d development environments were made, want 16", ok)
	}
}

func TestOneOfManyDeletes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	second := apitest.Start(t, w.State, api.Config{})
	doors := []*api.Service{w.Service, second.Service}
	environment := must[*api.Environment](t)(newEnvironment(t, w.Service, w.property.ID, "staging"))
	made := must[*secret.Secret](t)(newToken(t, w.Service, w.property.ID, environment.ID, "unwanted"))
	doomed := w.newProperty(t, "edge")
	host := must[*api.Host](t)(w.Service.CreateHost(t.Context(), apitest.Caller(), w.property.ID, document(t, `{"data":{"attributes":{"name":"h","type_of":"akamai"}}}`)))
	for what, remove := range map[string]func(s *api.Service) error{
		"secret":      func(s *api.Service) error { return s.DeleteSecret(t.Context(), apitest.Caller(), made.ID) },
		"environment": func(s *api.Service) error { return s.DeleteEnvironment(t.Context(), apitest.Caller(), environment.ID) },
		"host":        func(s *api.Service) error { return s.DeleteHost(t.Context(), apitest.Caller(), host.ID) },
		"property":    func(s *api.Service) error { return s.DeleteProperty(t.Context(), apitest.Caller(), doomed.ID) },
	} {
		done := 0
		for _, err := range together(16, func(i int) error { return remove(doors[i%2]) }) {
			switch {
			case err == nil:
				done++
			case !errors.Is(err, api.ErrNotFound):
				t.Errorf("%s: %v", what, err)
			}
		}
		if done != 1 {
			t.Errorf("%s: %d deleted it, want 1", what, done)
		}
	}
	said := map[events.Type]int{}
	for _, e := range append(w.Events.Published(), second.Events.Published()...) {
		said[e.Data.Type()]++
	}
	if said[events.TypeSecretCreated] != 1 || said[events.TypeSecretDeleted] != 1 {
		t.Errorf("announced %v, want one creation and one deletion", said)
	}
}
