package api_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/pkg/state/statetest"
	"github.com/rekindle-dev/rekindle/services/api"
	"github.com/rekindle-dev/rekindle/services/api/apitest"
)

func newNote(t testing.TB, s *api.Service, owner, text string) *api.Note {
	t.Helper()
	return must[*api.Note](t)(s.CreateNote(t.Context(), apitest.Caller(), owner,
		document(t, `{"data":{"attributes":{"text":%q}}}`, text)))
}

func (w *world) notes(t testing.TB, s *api.Service, owner string) (texts []string) {
	t.Helper()
	page, err := s.Notes(t.Context(), apitest.Caller(), owner, everything[*api.Note]())
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range page.Items {
		texts = append(texts, n.Text)
	}
	return texts
}

// TestNotes: newest first, through every process, and gone at once with their owner.
func TestNotes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	made := must[*secret.Secret](t)(newToken(t, w.Service, w.property.ID, "", "noted"))
	first, second := newNote(t, w.Service, made.ID, "first"), newNote(t, w.Service, made.ID, "second")
	if got := strings.Join(w.notes(t, w.Service, made.ID), " "); got != "second first" && first.CreatedAt.Before(second.CreatedAt) {
		t.Errorf("the notes are %s, want the newest first", got)
	}
	other := apitest.Start(t, w.State, api.Config{})
	found := must[*api.Note](t)(other.Service.Note(t.Context(), apitest.Caller(), second.ID))
	if found.Text != "second" || found.Owner != made.ID || found.Author != apitest.Caller().Actor {
		t.Errorf("another process finds %q on %s", found.Text, found.Owner)
	}
	if _, err := w.Service.Note(t.Context(), api.Caller{Org: "OTHER@TestOrg"}, second.ID); !errors.Is(err, api.ErrNotFound) {
		t.Errorf("another organisation: got error %v, want ErrNotFound", err)
	}
	if err := w.Service.DeleteSecret(t.Context(), apitest.Caller(), made.ID); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		only(w.Service.Note(t.Context(), apitest.Caller(), second.ID)),
		only(w.Service.Notes(t.Context(), apitest.Caller(), made.ID, everything[*api.Note]())),
	} {
		if !errors.Is(err, api.ErrNotFound) {
			t.Errorf("a note on a deleted secret: got error %v, want ErrNotFound", err)
		}
	}
	apitest.Watch(t, w.State, ">", func(records map[string][]byte) bool {
		for key := range records {
			if kind, _ := state.Split(key); kind == "note" || kind == "notes" {
				return false
			}
		}
		return true
	})
}

// TestNotesOnWhatIsMadeOfSecrets: they go with a library, stay with a data element that
// is deleted but still answers, and go with the property at last.
func TestNotesOnWhatIsMadeOfSecrets(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e := must[*api.DataElement](t)(newElement(t, w.Service, w.property.ID, "core::dataElements::x", ""))
	l := must[*api.Library](t)(newLibrary(t, w.Service, w.property.ID))
	owners := []string{e.ID, l.ID, e.Extension()}
	noted := make(map[string]*api.Note)
	for _, owner := range owners {
		noted[owner] = newNote(t, w.Service, owner, "on "+owner)
	}
	other := apitest.Start(t, w.State, api.Config{})
	for owner, n := range noted {
		if found := must[*api.Note](t)(other.Service.Note(t.Context(), apitest.Caller(), n.ID)); found.Owner != owner {
			t.Errorf("another process finds the note on %s on %s", owner, found.Owner)
		}
	}
	if err := errors.Join(
		w.Service.DeleteLibrary(t.Context(), apitest.Caller(), l.ID),
		w.Service.DeleteDataElement(t.Context(), apitest.Caller(), e.ID),
	); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Service.Note(t.Context(), apitest.Caller(), noted[l.ID].ID); !errors.Is(err, api.ErrNotFound) {
		t.Errorf("the note on a deleted library: got error %v, want ErrNotFound", err)
	}
	apitest.Watch(t, w.State, ">", func(records map[string][]byte) bool {
		return records[state.NotesKey(l.ID)] == nil && records[state.NoteKey(noted[l.ID].ID)] == nil
	})
	if got := w.notes(t, w.Service, e.ID); len(got) != 1 {
		t.Errorf("a deleted data element has the notes %v, want its one", got)
	}
	if err := w.Service.DeleteProperty(t.Context(), apitest.Caller(), w.property.ID); err != nil {
		t.Fatal(err)
	}
	apitest.Watch(t, w.State, ">", func(records map[string][]byte) bool {
		for key := range records {
			if kind, _ := state.Split(key); kind == "note" || kind == "notes" {
				return false
			}
		}
		return true
	})
}

// only returns the error of two results.
func only[T any](_ T, err error) error { return err }

// TestNotesTogether: of many who note at once, through two processes, all have their
// note.
func TestNotesTogether(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	other := apitest.Start(t, w.State, api.Config{})
	doors := []*api.Service{w.Service, other.Service}
	const n = 24
	errs := together(n, func(i int) error {
		_, err := doors[i%2].CreateNote(t.Context(), apitest.Caller(), w.property.ID,
			document(t, `{"data":{"attributes":{"text":"note %d"}}}`, i))
		return err
	})
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, text := range w.notes(t, w.Service, w.property.ID) {
		seen[text] = true
	}
	if len(seen) != n {
		t.Errorf("%d notes are there, want %d", len(seen), n)
	}
}

// TestNotesHaveAnEnd: by their number, and by their size.
func TestNotesHaveAnEnd(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name, text string
		stored     int // so many are there already
		room       int // so many there may be
	}{
		{"number", "x", 998, 1000},
		{"size", strings.Repeat("\U0001F511", 512), 230, state.MaxValue / 2048},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			stored := make([]api.Note, row.stored)
			for i := range stored {
				stored[i] = api.Note{ID: secret.NewID(secret.PrefixNote), Text: row.text, Author: apitest.Caller().Actor}
			}
			body, err := json.Marshal(stored)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := w.State.Commit(t.Context(), state.Write{Key: state.NotesKey(w.property.ID), Value: body}); err != nil {
				t.Fatal(err)
			}
			room := row.stored
			for ; room <= row.room; room++ {
				_, err = w.Service.CreateNote(t.Context(), apitest.Caller(), w.property.ID,
					document(t, `{"data":{"attributes":{"text":%q}}}`, row.text))
				if err != nil {
					break
				}
			}
			if code(err) != api.Conflict || room == row.stored || room > row.room {
				t.Errorf("there is room for %d notes, want no more than %d (%v)", room, row.room, err)
			}
			if got := len(w.notes(t, w.Service, w.property.ID)); got != room {
				t.Errorf("%d notes are there, want %d", got, room)
			}
		})
	}
}

// TestNotesOfAStateThatLags: a reader waits until the state has come to what the
// projection has heard of.
func TestNotesOfAStateThatLags(t *testing.T) {
	t.Parallel()
	inner := statetest.New()
	lagging := &lagging{Store: inner}
	w := &world{Process: apitest.Start(t, lagging, api.Config{})}
	w.company = w.Service.Companies(apitest.Caller(), everything[*api.Company]()).Items[0]
	property := w.newProperty(t, "edge")
	newNote(t, w.Service, property.ID, "first")
	before, rev, err := inner.Get(t.Context(), state.NotesKey(property.ID))
	if err != nil {
		t.Fatal(err)
	}
	newNote(t, w.Service, property.ID, "second")
	lagging.old, lagging.rev, lagging.times = before, rev, 3
	if got := w.notes(t, w.Service, property.ID); len(got) != 2 {
		t.Errorf("the notes are %v, want both", got)
	}
	if lagging.times != 0 {
		t.Errorf("the state was to answer with what was, %d times more", lagging.times)
	}
}

// TestWhatIsNotKnownToHaveNotesKeepsThem: a newer program may know better.
func TestWhatIsNotKnownToHaveNotesKeepsThem(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	owner, id := fmt.Sprintf("ZZ%032d", 1), secret.NewID(secret.PrefixNote)
	if _, err := w.State.Commit(t.Context(), state.Write{Key: state.NoteKey(id), Value: []byte(`"` + owner + `"`)}); err != nil {
		t.Fatal(err)
	}
	newNote(t, w.Service, w.property.ID, "comes later")
	if err := w.Service.DeleteProperty(t.Context(), apitest.Caller(), w.property.ID); err != nil {
		t.Fatal(err)
	}
	settled(t, w.State, w.property.ID, 0)
	if _, _, err := w.State.Get(t.Context(), state.NoteKey(id)); err != nil {
		t.Errorf("the note was removed: %v", err)
	}
	if strings.Contains(w.Log.String(), "could not be put right") {
		t.Error("the healer has tried to remove the note")
	}
}
