package api

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/rekindle-dev/rekindle/pkg/audit"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state"
)

// All notes on something are one record, of which the projection knows no more than
// whose they are: a note is read by few, and there may be many. Beside it, each note
// has a small record that says what it is on. The two are written together.

// The bounds of notes (contract A15.5 for the text). No single note can be deleted, so
// that there is an end to what one thing can have.
const (
	maxNoteText = 512 // code points
	maxNotes    = 1000
	maxNoteSize = state.MaxValue - 4<<10 // bytes of all notes on something
)

// staleWait is how long a reader waits at most for the state to come to what the
// projection has seen.
const staleWait = 20 * time.Millisecond

// Note is what somebody has noted on something (contract A15.5). It is never changed.
type Note struct {
	ID        string       `json:"id"`
	Text      string       `json:"text"`
	Author    secret.Actor `json:"author"`
	CreatedAt time.Time    `json:"created_at"`
	// Owner is the id of what the note is on, and Type the type of that resource.
	Owner string `json:"-"`
	Type  string `json:"-"`
}

// notable is a kind of record that there can be notes on.
type notable struct {
	typ string              // of the resource
	key func(string) string // of the record
	has func(*projection, string) bool
	// look returns the property it belongs to.
	look func(s *Service, ctx context.Context, who Caller, id string) (property string, err error)
}

// notables are the kinds of records that there can be notes on. A further one needs a
// row here and its two routes, and tells the projection when it is gone (judgeNotes).
// An extension is there as long as its property.
func notables() map[secret.Prefix]notable {
	return map[secret.Prefix]notable{
		secret.PrefixProperty: {
			"properties", state.PropertyKey, func(p *projection, id string) bool { return p.properties.has(id) },
			look((*Service).Property, func(p *Property) string { return p.ID }),
		},
		secret.PrefixSecret: {
			"secrets", state.SecretKey, func(p *projection, id string) bool { return p.secrets.has(id) },
			look((*Service).Secret, func(s *secret.Secret) string { return s.Property }),
		},
		secret.PrefixDataElement: {
			"data_elements", state.DataElementKey, func(p *projection, id string) bool { return p.elements.has(id) },
			look((*Service).DataElement, func(e *DataElement) string { return e.Property }),
		},
		secret.PrefixLibrary: {
			"libraries", state.LibraryKey, func(p *projection, id string) bool { return p.libraries.has(id) },
			look((*Service).Library, func(l *Library) string { return l.Property }),
		},
		secret.PrefixExtension: {
			"extensions", func(id string) string { return state.PropertyKey(propertyOf(id)) },
			func(p *projection, id string) bool { return p.properties.has(propertyOf(id)) },
			look((*Service).Extension, func(e *Extension) string { return e.Property }),
		},
	}
}

// look makes of a look-up one that says no more than whose it is.
func look[T any](find func(*Service, context.Context, Caller, string) (T, error), property func(T) string) func(*Service, context.Context, Caller, string) (string, error) {
	return func(s *Service, ctx context.Context, who Caller, id string) (string, error) {
		found, err := find(s, ctx, who, id)
		if err != nil {
			return "", err
		}
		return property(found), nil
	}
}

// notableOf returns the kind of record an id is of.
func notableOf(owner string) (notable, bool) {
	if len(owner) < 2 {
		return notable{}, false
	}
	prefix := secret.Prefix(owner[:2])
	n, ok := notables()[prefix]
	return n, ok && secret.ValidID(prefix, owner)
}

// owner returns the kind of record an id is of and the property it belongs to,
// ErrNotFound when the caller may not see it, or ErrUnavailable.
func (s *Service) owner(ctx context.Context, who Caller, owner string) (n notable, property string, err error) {
	n, ok := notableOf(owner)
	if !ok {
		return n, "", ErrNotFound
	}
	property, err = n.look(s, ctx, who, owner)
	return n, property, err
}

// Notes lists the notes on something. It returns ErrNotFound or ErrUnavailable.
func (s *Service) Notes(ctx context.Context, who Caller, owner string, q Query[*Note]) (Page[*Note], error) {
	kind, _, err := s.owner(ctx, who, owner)
	if err != nil {
		return Page[*Note]{}, err
	}
	notes, err := s.readNotes(ctx, kind, owner)
	return q.of(runs[*Note]{notes}), err
}

// Note returns a note, ErrNotFound or ErrUnavailable.
func (s *Service) Note(ctx context.Context, who Caller, id string) (*Note, error) {
	owner, err := find(ctx, s, keyOf(secret.PrefixNote, id, state.NoteKey), func() (string, error) {
		if owner, ok := s.view.notes.owner(id); ok {
			return owner, nil
		}
		return "", ErrNotFound
	})
	if err != nil {
		return nil, err
	}
	kind, _, err := s.owner(ctx, who, owner)
	if err != nil {
		return nil, err
	}
	notes, err := s.readNotes(ctx, kind, owner)
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(notes, func(n *Note) bool { return n.ID == id })
	if at < 0 {
		return nil, ErrNotFound
	}
	return notes[at], nil
}

// CreateNote makes a note of the resource data on something. It returns ErrNotFound, a
// RefusedError or ErrUnavailable.
func (s *Service) CreateNote(ctx context.Context, who Caller, owner string, data *Object) (*Note, error) {
	kind, property, err := s.owner(ctx, who, owner)
	if err != nil {
		return nil, err
	}
	if err := openResource(data, "notes", InvalidNote); err != nil {
		return nil, err
	}
	a := data.attributes()
	a.require("text")
	text := noteText(a)
	if err := data.report.err(); err != nil {
		return nil, err
	}
	n := &Note{
		ID: secret.NewID(secret.PrefixNote), Text: text, Author: who.Actor, CreatedAt: s.now(),
		Owner: owner, Type: kind.typ,
	}
	rev, err := s.addNote(ctx, did(who, audit.Created, tellNote{n, who.Org, property}), n)
	if err != nil {
		return nil, err
	}
	s.see(ctx, rev)
	return n, nil
}

// noteText reads a text that may have several lines.
func noteText(a *Object) string {
	var text string
	if !a.decode("text", &text, "a string") {
		return ""
	}
	odd := func(r rune) bool { return unicode.IsControl(r) && !strings.ContainsRune("\n\r\t", r) }
	switch {
	case strings.TrimSpace(text) == "":
		a.fault("text", "must not be empty")
	case utf8.RuneCountInString(text) > maxNoteText:
		a.fault("text", fmt.Sprintf("must be at most %d characters long", maxNoteText))
	case strings.ContainsFunc(text, odd):
		a.fault("text", "must not contain control characters other than line breaks and tabs")
	case strings.ContainsRune(text, utf8.RuneError):
		a.fault("text", "must be valid Unicode")
	}
	return text
}

// addNote stores a note behind those that its owner has.
func (s *Service) addNote(ctx context.Context, d deed, n *Note) (state.Revision, error) {
	for {
		notes, rev, err := read[[]*Note](ctx, s, state.NotesKey(n.Owner))
		if errors.Is(err, ErrNotFound) {
			notes, err = new([]*Note), nil
		}
		if err != nil {
			return 0, err
		}
		writes, err := encode(put{key: state.NotesKey(n.Owner), record: append(*notes, n)}, put{key: state.NoteKey(n.ID), record: n.Owner})
		if err != nil {
			return 0, err
		}
		if len(*notes) >= maxNotes || len(writes[0].Value) > maxNoteSize {
			return 0, refuse(Conflict, "/data", fmt.Sprintf("there is no room for another note: "+
				"one thing can have %d notes, or %d KiB of them, and no single one can be deleted", maxNotes, maxNoteSize>>10))
		}
		writes[0].Expect = rev
		rev, err = s.write(ctx, d, writes...)
		if !errors.Is(err, state.ErrConflict) || ctx.Err() != nil {
			return rev, unavailable(err)
		}
	}
}

// readNotes returns the notes on something, oldest first: all those at least that the
// projection has heard of. The state may be behind it for a moment, on a cluster; or
// ahead of it, when another process has deleted what they are on: then the projection
// comes to it, and that is ErrNotFound.
func (s *Service) readNotes(ctx context.Context, kind notable, owner string) ([]*Note, error) {
	for {
		s.view.mu.RLock()
		heard, there := s.view.notes.count(owner), kind.has(s.view, owner)
		s.view.mu.RUnlock()
		switch {
		case !there:
			return nil, ErrNotFound
		case heard == 0:
			return nil, nil
		}
		notes, _, err := read[[]*Note](ctx, s, state.NotesKey(owner))
		if err != nil && !errors.Is(err, ErrNotFound) {
			return nil, err
		}
		if err == nil && len(*notes) >= heard {
			for _, n := range *notes {
				n.Owner, n.Type = owner, kind.typ
			}
			return *notes, nil
		}
		select {
		case <-time.After(staleWait):
		case <-ctx.Done():
			return nil, unavailable(ctx.Err())
		}
	}
}

// lives reports whether what notes are on is there still, as the state says.
func (s *Service) lives(ctx context.Context, owner string) (bool, error) {
	kind, _ := notableOf(owner) // no other is an orphan
	record, _, err := read[struct {
		DeletedAt time.Time `json:"deleted_at"`
	}](ctx, s, kind.key(owner))
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return kind.typ != "secrets" || record.DeletedAt.IsZero(), nil
}

// removeNotes removes the notes on something, and returns the last revision of it that
// the projection comes to, or ErrNotFound when there is none.
func (s *Service) removeNotes(ctx context.Context, owner string) (last state.Revision, err error) {
	s.view.mu.RLock()
	ids := slices.Clone(s.view.notes.byOwner[owner])
	s.view.mu.RUnlock()
	if _, err := s.erase(ctx, state.NotesKey(owner)); err != nil && !errors.Is(err, ErrNotFound) {
		return 0, err
	}
	for _, id := range ids {
		rev, err := s.erase(ctx, state.NoteKey(id))
		if err != nil && !errors.Is(err, ErrNotFound) {
			return 0, err
		}
		last = max(last, rev)
	}
	if last == 0 {
		return 0, ErrNotFound
	}
	return last, nil
}
