package api_test

import (
	"context"
	"testing"

	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/pkg/state/statetest"
	"github.com/rekindle-dev/rekindle/services/api"
	"github.com/rekindle-dev/rekindle/services/api/apitest"
)

// board passes on what it is told, with what it can read by then.
type board struct {
	read chan func(string) (*secret.Secret, bool)
	told chan told
}

type told struct {
	id       string
	revision state.Revision
	shown    bool
}

func (b *board) Changed(id string, revision state.Revision, shown bool) {
	b.told <- told{id, revision, shown}
}

func (b *board) Run(ctx context.Context, read func(string) (*secret.Secret, bool)) {
	b.read <- read
	<-ctx.Done()
}

// Whoever shows how secrets stand is told of every change, also of those before the start,
// once it can be read.
func TestBoardIsTold(t *testing.T) {
	t.Parallel()
	st := statetest.New()
	apitest.PublishKeyset(t, st)
	w := &world{Process: apitest.Start(t, st, api.Config{})}
	w.company = w.Service.Companies(apitest.Caller(), everything[*api.Company]()).Items[0]
	w.property = w.newProperty(t, "edge")
	kept, deleted := w.token(t, "kept"), w.token(t, "deleted")
	if err := w.Service.DeleteSecret(t.Context(), apitest.Caller(), deleted.ID); err != nil {
		t.Fatal(err)
	}

	b := &board{read: make(chan func(string) (*secret.Secret, bool), 1), told: make(chan told, 100)}
	other := apitest.StartWith(t, api.Config{}, api.Deps{State: st, Board: b})
	read := <-b.read
	shown := map[string]bool{}
	for range 2 {
		at := <-b.told
		shown[at.id] = at.shown
	}
	if !shown[kept.ID] || shown[deleted.ID] {
		t.Errorf("at the start %v was told", shown)
	}
	if s, ok := read(kept.ID); !ok || s.Name != "kept" {
		t.Errorf("%v %v", s, ok)
	}
	if err := other.Service.DeleteSecret(t.Context(), apitest.Caller(), kept.ID); err != nil {
		t.Fatal(err)
	}
	at := <-b.told
	_, rev, err := st.Get(t.Context(), state.SecretKey(kept.ID))
	if err != nil || at != (told{kept.ID, rev, false}) {
		t.Errorf("%+v was told, want revision %d, %v", at, rev, err)
	}
	if _, ok := read(kept.ID); ok {
		t.Error("what is deleted can be read")
	}
}
