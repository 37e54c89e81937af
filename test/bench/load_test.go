package main

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state"
)

// TestLoaded: the records are what exchangers would have left, so that the first
// refresh that is measured costs what later ones do. Its record knows the revision of
// its artifact, also when it was written again.
func TestLoaded(t *testing.T) {
	t.Parallel()
	ctx, dir := t.Context(), t.TempDir()
	store, err := openStore(ctx, dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.close() })
	table := timetable{secrets: 700, steady: 10, rate: 10, first: time.Now(), from: time.Now(), at: time.Now()}
	l, err := newLoader(store, dir, []string{"http://127.0.0.1:1/token"}, table)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.load(ctx, l.secret); err != nil {
		t.Fatal(err)
	}
	if err := l.load(ctx, l.reschedule); err != nil {
		t.Fatal(err)
	}
	st, err := store.bus.State(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for i := range table.secrets {
		record, _, err := st.Get(ctx, state.SecretKey(l.id(i)))
		if err != nil {
			t.Fatal(err)
		}
		var s secret.Secret
		if err := json.Unmarshal(record, &s); err != nil {
			t.Fatal(err)
		}
		_, stored, err := st.Get(ctx, state.ArtifactKey(s.Deployed, s.ID))
		if err != nil || stored == 0 || s.DeployedRevision != stored {
			t.Fatalf("secret %d knows revision %d of its artifact, which has %d: %v", i, s.DeployedRevision, stored, err)
		}
	}
}
