package api_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/services/api"
	"github.com/rekindle-dev/rekindle/services/api/apitest"
)

// held is a state whose followers hear of nothing while the gate is locked.
type held struct {
	state.Store
	gate sync.RWMutex
	// asked is called before every Get.
	mu    sync.Mutex
	asked func()
}

func (h *held) Get(ctx context.Context, key string) ([]byte, state.Revision, error) {
	h.mu.Lock()
	asked := h.asked
	h.mu.Unlock()
	if asked != nil {
		asked()
	}
	return h.Store.Get(ctx, key)
}

func (h *held) Follow(ctx context.Context, patterns []string, apply func(state.Change), caughtUp func()) error {
	return h.Store.Follow(ctx, patterns, func(c state.Change) {
		h.gate.RLock()
		defer h.gate.RUnlock()
		apply(c)
	}, caughtUp)
}

func (h *held) whenAsked(do func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.asked = do
}

// What one process has made is found through another whose projection is
// behind, in every way of looking for it.
func TestWhatAnotherProcessMadeIsFound(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	behind := &held{Store: w.State}
	second := apitest.Start(t, behind, api.Config{}).Service
	type made struct{ property, environment, secret string }
	for name, ask := range map[string]func(ctx context.Context, who api.Caller, m made) error{
		"property": func(ctx context.Context, who api.Caller, m made) error {
			_, err := second.Property(ctx, who, m.property)
			return err
		},
		"environment": func(ctx context.Context, who api.Caller, m made) error {
			_, err := second.Environment(ctx, who, m.environment)
			return err
		},
		"secret": func(ctx context.Context, who api.Caller, m made) error {
			_, err := second.Secret(ctx, who, m.secret)
			return err
		},
		"environments of the property": func(ctx context.Context, who api.Caller, m made) error {
			_, err := second.Environments(ctx, who, m.property, everything[*api.Environment]())
			return err
		},
		"secrets of the property": func(ctx context.Context, who api.Caller, m made) error {
			_, err := second.SecretsOfProperty(ctx, who, m.property, allSecrets())
			return err
		},
		"secrets of the environment": func(ctx context.Context, who api.Caller, m made) error {
			_, err := second.SecretsOfEnvironment(ctx, who, m.environment, allSecrets())
			return err
		},
		"create in the property": func(ctx context.Context, who api.Caller, m made) error {
			_, err := second.CreateEnvironment(ctx, who, m.property, document(t, `{"data":{"attributes":{"name":"e"}}}`))
			return err
		},
		"delete the secret": func(ctx context.Context, who api.Caller, m made) error {
			return second.DeleteSecret(ctx, who, m.secret)
		},
		"delete the environment": func(ctx context.Context, who api.Caller, m made) error {
			return second.DeleteEnvironment(ctx, who, m.environment)
		},
		"delete the property": func(ctx context.Context, who api.Caller, m made) error {
			return second.DeleteProperty(ctx, who, m.property)
		},
	} {
		behind.gate.Lock()
		release := sync.OnceFunc(behind.gate.Unlock)
		m := made{property: w.newProperty(t, "edge").ID}
		m.environment = must[*api.Environment](t)(newEnvironment(t, w.Service, m.property, "staging")).ID
		m.secret = must[*secret.Secret](t)(newToken(t, w.Service, m.property, m.environment, "new")).ID

		ctx, cancel := context.WithCancel(t.Context())
		behind.whenAsked(cancel)
		if err := ask(ctx, apitest.Caller(), m); !errors.Is(err, api.ErrUnavailable) {
			t.Errorf("%s, while the projection does not come on: got error %v, want ErrUnavailable", name, err)
		}
		behind.whenAsked(release)
		if err := ask(t.Context(), apitest.Caller(), m); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		behind.whenAsked(nil)
		release()
	}
}

// A process that still shows a secret that is deleted does not delete it again.
func TestADeletedSecretIsDeletedOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	behind := &held{Store: w.State}
	second := apitest.Start(t, behind, api.Config{})
	s := must[*secret.Secret](t)(newToken(t, w.Service, w.property.ID, "", "once"))
	must[*secret.Secret](t)(second.Service.Secret(t.Context(), apitest.Caller(), s.ID))
	behind.gate.Lock()
	defer behind.gate.Unlock()
	if err := w.Service.DeleteSecret(t.Context(), apitest.Caller(), s.ID); err != nil {
		t.Fatal(err)
	}
	if err := second.Service.DeleteSecret(t.Context(), apitest.Caller(), s.ID); !errors.Is(err, api.ErrNotFound) {
		t.Errorf("the second time: got error %v, want ErrNotFound", err)
	}
	if n := len(second.Events.Published()); n != 0 {
		t.Errorf("the second process announced %d events", n)
	}
}
