package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/services/api"
	"github.com/rekindle-dev/rekindle/services/api/apitest"
)

// behind is a state of which followers hear nothing new from hold to release, as of one
// that a process is cut off from. Its own writes release it: who writes waits for them.
type behind struct {
	state.Store
	held     atomic.Bool
	released chan struct{}
	release  func()
}

func newBehind(st state.Store) *behind {
	b := &behind{Store: st, released: make(chan struct{})}
	b.release = sync.OnceFunc(func() { close(b.released) })
	return b
}

func (b *behind) hold() { b.held.Store(true) }

func (b *behind) Commit(ctx context.Context, writes ...state.Write) (state.Revision, error) {
	rev, err := b.Store.Commit(ctx, writes...)
	if b.held.Load() {
		b.release()
	}
	return rev, err
}

func (b *behind) Follow(ctx context.Context, patterns []string, apply func(state.Change), caughtUp func()) error {
	return b.Store.Follow(ctx, patterns, func(c state.Change) {
		if b.held.Load() {
			select {
			case <-b.released:
			case <-ctx.Done():
			}
		}
		apply(c)
	}, caughtUp)
}

// TestNotesOfWhatIsDeletedElsewhere: whoever asks for notes that another process has
// just removed does not wait for them to come back.
func TestNotesOfWhatIsDeletedElsewhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.token(t, "a")
	newNote(t, w.Service, s.ID, "n")
	slow := newBehind(w.State)
	late := apitest.Start(t, &interrupted{Store: slow, key: state.NotesKey(s.ID), first: func() error {
		slow.release()
		return nil
	}}, api.Config{})
	slow.hold()
	if err := w.Service.DeleteSecret(t.Context(), apitest.Caller(), s.ID); err != nil {
		t.Fatal(err)
	}
	apitest.Watch(t, w.State, "notes.*", func(records map[string][]byte) bool { return len(records) == 0 })
	ctx, cancel := context.WithTimeout(t.Context(), apitest.Patience)
	defer cancel()
	if _, err := late.Service.Notes(ctx, apitest.Caller(), s.ID, everything[*api.Note]()); !errors.Is(err, api.ErrNotFound) {
		t.Errorf("got error %v, want ErrNotFound", err)
	}
}

// TestWhatAnotherProcessPublishedIsKept: a process that has not heard that a library is
// published does not delete it either.
func TestWhatAnotherProcessPublishedIsKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l, _, _, _ := w.building(t)
	slow := newBehind(w.State)
	late := apitest.Start(t, slow, api.Config{})
	slow.hold()
	if b := w.build(t, l.ID); b.Status != secret.Succeeded {
		t.Fatalf("the build has %s: %v", b.Status, b.Faults)
	}
	if err := late.Service.DeleteLibrary(t.Context(), apitest.Caller(), l.ID); code(err) != api.ReadOnly {
		t.Errorf("got error %v, want ReadOnly", err)
	}
}

// TestWhatAnotherProcessPlacedIsBuilt: a library is built where it is, not where a
// process has last heard that it was.
func TestWhatAnotherProcessPlacedIsBuilt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.library(t)
	environment, _ := w.environment(t, "development")
	slow := newBehind(w.State)
	late := apitest.Start(t, slow, api.Config{})
	slow.hold()
	if err := placing(t, l.ID, environment)(w.Service); err != nil {
		t.Fatal(err)
	}
	if err := only(late.Service.CreateBuild(t.Context(), apitest.Caller(), l.ID)); err != nil {
		t.Errorf("the build is refused: %v", err)
	}
}

// TestABuildLooksAtWhatTheLibraryHolds: what another process has put into a library
// just now is not taken for deleted.
func TestABuildLooksAtWhatTheLibraryHolds(t *testing.T) {
	t.Parallel()
	for range 10 {
		w := newWorld(t)
		l := w.library(t)
		environment, _ := w.environment(t, "development")
		if err := placing(t, l.ID, environment)(w.Service); err != nil {
			t.Fatal(err)
		}
		stored := w.stored(t, l.ID)
		w.Stop()
		e := api.DataElement{ID: secret.NewID(secret.PrefixDataElement), Org: l.Org, Property: l.Property, Name: "e", CreatedAt: l.CreatedAt}
		e.Origin, stored.Elements = e.ID, []api.Held{{ID: e.ID, Origin: e.ID}}
		meanwhile := &interrupted{Store: w.State, key: state.LibraryKey(l.ID)}
		meanwhile.first = func() error {
			put(t, w.State, state.DataElementKey(e.ID), e)
			put(t, w.State, state.LibraryKey(l.ID), stored)
			return nil
		}
		b := api.Build{
			ID: secret.NewID(secret.PrefixBuild), Org: l.Org, Property: l.Property, Library: l.ID, Environment: environment,
			Stage: api.Development, Status: secret.Pending, CreatedAt: l.CreatedAt,
		}
		late := apitest.Start(t, meanwhile, api.Config{})
		put(t, w.State, state.BuildKey(b.ID), b)
		if got := built(t, w.State, b.ID); got.Status != secret.Succeeded {
			t.Fatalf("the build has %s: %v", got.Status, got.Faults)
		}
		late.Stop()
	}
}

// put writes a record, whatever there was.
func put(t *testing.T, st state.Store, key string, record any) {
	t.Helper()
	_, rev, err := st.Get(t.Context(), key)
	if err != nil && !errors.Is(err, state.ErrNotFound) {
		t.Error(err)
	}
	body, err := json.Marshal(record)
	if err != nil {
		t.Error(err)
	}
	if _, err := st.Commit(t.Context(), state.Write{Key: key, Value: body, Expect: rev}); err != nil {
		t.Error(err)
	}
}

// TestWhatIsDeletedMeanwhileIsNotRevised: nor is a revision of it linked.
func TestWhatIsDeletedMeanwhileIsNotRevised(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.library(t)
	e := must[*api.DataElement](t)(newElement(t, w.Service, w.property.ID, secretDelegate, ""))
	late := apitest.Start(t, &interrupted{Store: w.State, key: state.DataElementKey(e.ID), first: func() error {
		return w.Service.DeleteDataElement(t.Context(), apitest.Caller(), e.ID)
	}}, api.Config{})
	revising, err := api.ReadLinkage([]byte(`{"data":[{"id":"`+e.ID+`","type":"data_elements","meta":{"action":"revise"}}]}`), "data_elements")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := late.Service.LinkElements(t.Context(), apitest.Caller(), l.ID, api.Link, revising); code(err) != api.DeletedResources {
		t.Errorf("got error %v, want DeletedResources", err)
	}
	if got := w.stored(t, l.ID); len(got.Elements) > 0 {
		t.Errorf("the library holds %v", got.Elements)
	}
}
