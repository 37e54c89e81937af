package main

import (
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state"
)

// records are the secrets as they stand.
type records struct {
	mu      sync.Mutex
	secrets map[string]*secret.Secret
	changed chan struct{} // closed, and made anew, with each change
}

func (r *records) apply(c state.Change) {
	s := new(secret.Secret)
	if c.Value == nil || json.Unmarshal(c.Value, s) != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.secrets[s.ID] = s
	close(r.changed)
	r.changed = make(chan struct{})
}

// await waits until all the secrets are as they should, and returns them.
func (r *records) await(t *testing.T, what string, ids []string, good func(*secret.Secret) bool) map[string]*secret.Secret {
	t.Helper()
	deadline := time.After(2 * patience) // an attempt may be a minute away
	for {
		r.mu.Lock()
		found, waiting, changed := map[string]*secret.Secret{}, "", r.changed
		for _, id := range ids {
			s := r.secrets[id]
			if s == nil || !good(s) {
				waiting = id
				if s != nil {
					waiting += fmt.Sprintf(" (%s, %s, refresh %s, decision %d)", s.Kind, s.Status, s.RefreshStatus, s.Decision)
				}
				continue
			}
			found[id] = s
		}
		r.mu.Unlock()
		if waiting == "" {
			return found
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("%d of %d secrets are %s after %v; not %s", len(found), len(ids), what, 2*patience, waiting)
		}
	}
}
