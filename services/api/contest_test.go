package api_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/services/api"
	"github.com/rekindle-dev/rekindle/services/api/apitest"
)

// contest is two changes that meet, each by way of a process of its own.
type contest struct {
	left, right func(*api.Service) error
	// check looks at what has become of it.
	check func(t *testing.T)
}

// contests are those that docs/tree.md tells the winner of, with each way in which they
// may end: what the left one got and the right one, as outcome has it.
func contests() map[string]struct {
	make func(t *testing.T, w *world) contest
	ends []string
} {
	type row = struct {
		make func(t *testing.T, w *world) contest
		ends []string
	}
	return map[string]row{
		"a rename, and the secret's deletion":               {renameDelete, []string{"ok ok", "not-found ok"}},
		"two renames to one name":                           {renameRename, []string{"ok not-unique", "not-unique ok"}},
		"a rename, and a create of the name":                {renameCreate, []string{"ok not-unique", "not-unique ok"}},
		"a create of the name of a secret, and its end":     {createDelete, []string{"ok ok", "not-unique ok"}},
		"a change, and an exchange that ends":               {changeExchange, []string{"ok ok"}},
		"a change with a tag, and an exchange that ends":    {tagExchange, []string{"ok ok", "changed ok"}},
		"a secret in an environment, and its deletion":      {secretEnvironment, []string{"ok ok", "not-found ok"}},
		"a note on a secret, and the secret's deletion":     {noteSecret, []string{"ok ok", "not-found ok"}},
		"a library put into an environment, and its end":    {placeEnvironment, []string{"ok ok", "not-found ok"}},
		"a library put into an environment, and deleted":    {placeDelete, []string{"ok ok", "not-found ok"}},
		"two libraries and one environment":                 {placePlace, []string{"ok conflict", "conflict ok"}},
		"two submits of one library":                        {submitSubmit, []string{"ok invalid-action", "invalid-action ok"}},
		"two builds of one library":                         {buildBuild, []string{"ok ok"}},
		"a build for production, and the library's refusal": {buildReject, []string{"ok ok", "ok invalid-action", "environment-required ok"}},
		"a revision, and the data element's deletion":       {reviseDelete, []string{"ok ok", "deleted-resources ok"}},
		"a token's end, and its deletion":                   {revokeDelete, []string{"ok ok", "not-found ok"}},
	}
}

// outcome is what somebody got, in a word.
func outcome(err error) string {
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, api.ErrNotFound):
		return string(api.NotFound)
	case errors.Is(err, api.ErrChanged):
		return "changed"
	case code(err) != "":
		return string(code(err))
	}
	return err.Error()
}

// meet lets the two meet: one behind the other, or both at once.
func (c contest) meet(round int, doors []*api.Service) string {
	if round%2 > 0 {
		doors = []*api.Service{doors[1], doors[0]}
	}
	var errs []error
	switch round % 5 {
	case 0:
		errs = []error{c.left(doors[0]), c.right(doors[1])}
	case 1:
		errs = []error{nil, c.right(doors[1])}
		errs[0] = c.left(doors[0])
	default:
		errs = together(2, func(i int) error { return []func(*api.Service) error{c.left, c.right}[i](doors[i]) })
	}
	return outcome(errs[0]) + " " + outcome(errs[1])
}

// TestWhoWins lets changes meet by way of two processes, in both orders and at once.
// Each contest ends in one of the ways there are for it, and leaves a state as if one
// of the two had come after the other.
func TestWhoWins(t *testing.T) {
	t.Parallel()
	for name, row := range contests() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, doors := twoProcesses(t)
			seen := map[string]int{}
			for round := range 20 {
				w.property = w.newProperty(t, "edge")
				c := row.make(t, w)
				end := c.meet(round, doors)
				if seen[end]++; !slices.Contains(row.ends, end) {
					t.Fatalf("round %d ended with %q, want one of %q", round, end, row.ends)
				}
				c.check(t)
			}
			if len(seen) < min(2, len(row.ends)) {
				t.Errorf("it always ended with %v", slices.Collect(maps.Keys(seen)))
			}
		})
	}
}

// rename returns a change of the name of a secret.
func rename(t *testing.T, id, name string) func(*api.Service) error {
	return func(s *api.Service) error {
		return only(s.ChangeSecret(t.Context(), apitest.Caller(), id, document(t, `{"data":{"attributes":{"name":%q}}}`, name)))
	}
}

func deleteSecret(t *testing.T, id string) func(*api.Service) error {
	return func(s *api.Service) error { return s.DeleteSecret(t.Context(), apitest.Caller(), id) }
}

// token makes a secret in no environment.
func (w *world) token(t *testing.T, name string) *secret.Secret {
	t.Helper()
	return must[*secret.Secret](t)(newToken(t, w.Service, w.property.ID, "", name))
}

// holders says who holds the names of the property, as the state has it.
func (w *world) holders(t *testing.T, names ...string) (ids []string) {
	t.Helper()
	for _, name := range names {
		id, err := secret.Store{State: w.State}.Holder(t.Context(), w.property.ID, name)
		if err != nil && !errors.Is(err, state.ErrNotFound) {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	return ids
}

// living checks that names are held by the secrets that have them, and by no others.
func (w *world) living(t *testing.T, names []string, ids ...string) {
	t.Helper()
	want := map[string]string{}
	for _, id := range ids {
		s, _, err := secret.Store{State: w.State}.Get(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if s.DeletedAt.IsZero() {
			want[s.Name] = s.ID
		}
	}
	for i, holder := range w.holders(t, names...) {
		if holder != want[names[i]] {
			t.Errorf("%s is held by %q, want %q", names[i], holder, want[names[i]])
		}
	}
}

func renameDelete(t *testing.T, w *world) contest {
	s := w.token(t, "old")
	return contest{rename(t, s.ID, "new"), deleteSecret(t, s.ID), func(t *testing.T) { w.living(t, []string{"old", "new"}, s.ID) }}
}

func renameRename(t *testing.T, w *world) contest {
	a, b := w.token(t, "a"), w.token(t, "b")
	return contest{rename(t, a.ID, "c"), rename(t, b.ID, "c"), func(t *testing.T) { w.living(t, []string{"a", "b", "c"}, a.ID, b.ID) }}
}

// creating returns a create of a secret in an environment, "" for none, and the ids of
// what it has made.
func creating(t *testing.T, property, environment, name string) (func(*api.Service) error, func() []string) {
	var made []string
	return func(s *api.Service) error {
		n, err := newToken(t, s, property, environment, name)
		if err == nil {
			made = append(made, n.ID)
		}
		return err
	}, func() []string { return made }
}

func renameCreate(t *testing.T, w *world) contest {
	a := w.token(t, "a")
	create, made := creating(t, w.property.ID, "", "b")
	return contest{rename(t, a.ID, "b"), create, func(t *testing.T) { w.living(t, []string{"a", "b"}, append(made(), a.ID)...) }}
}

func createDelete(t *testing.T, w *world) contest {
	a := w.token(t, "a")
	create, made := creating(t, w.property.ID, "", "a")
	return contest{create, deleteSecret(t, a.ID), func(t *testing.T) { w.living(t, []string{"a"}, append(made(), a.ID)...) }}
}

// ending returns what an exchanger does in the end: it brings the outcome.
func (w *world) ending(t *testing.T, id string) func(*api.Service) error {
	return func(*api.Service) error {
		_, _, err := secret.Store{State: w.State}.Update(t.Context(), id, func(s *secret.Secret) error {
			s.Apply(&secret.Outcome{Decision: s.Decision, Action: secret.Exchange, At: s.CreatedAt}, s.CreatedAt)
			return nil
		})
		return err
	}
}

func changeExchange(t *testing.T, w *world) contest {
	s := w.token(t, "old")
	return contest{rename(t, s.ID, "new"), w.ending(t, s.ID), func(t *testing.T) {
		got, _, err := secret.Store{State: w.State}.Get(t.Context(), s.ID)
		if err != nil || got.Name != "new" || got.Status != secret.Succeeded || got.Generation != 1 {
			t.Errorf("it is called %s and has %s with generation %d (%v)", got.Name, got.Status, got.Generation, err)
		}
	}}
}

func tagExchange(t *testing.T, w *world) contest {
	s := w.token(t, "old")
	who := apitest.Caller()
	who.IfMatch = api.Tags{api.SecretTag(s)}
	change := func(svc *api.Service) error {
		return only(svc.ChangeSecret(t.Context(), who, s.ID, document(t, `{"data":{"attributes":{"name":"new"}}}`)))
	}
	return contest{change, w.ending(t, s.ID), func(t *testing.T) { w.living(t, []string{"old", "new"}, s.ID) }}
}

func (w *world) environment(t *testing.T, stage string) (id string, remove func(*api.Service) error) {
	t.Helper()
	e := must[*api.Environment](t)(newEnvironment(t, w.Service, w.property.ID, stage))
	return e.ID, func(s *api.Service) error { return s.DeleteEnvironment(t.Context(), apitest.Caller(), e.ID) }
}

// heals waits until nothing but deleted secrets speaks of an id in the state.
func (w *world) heals(t *testing.T, id string) {
	t.Helper()
	apitest.Watch(t, w.State, ">", func(records map[string][]byte) bool {
		for key, body := range records {
			kind, _ := state.Split(key)
			if kind == "secret" && bytes.Contains(body, []byte(`"deleted_at"`)) || kind == "credential" || state.Passing(key) {
				continue
			}
			// What is in an environment no more may have an artifact there.
			if strings.Contains(strings.ReplaceAll(key+string(body), `"deployed":"`+id, ""), id) {
				return false
			}
		}
		return true
	})
}

func secretEnvironment(t *testing.T, w *world) contest {
	id, remove := w.environment(t, "staging")
	create, _ := creating(t, w.property.ID, id, "a")
	return contest{create, remove, func(t *testing.T) { w.heals(t, id) }}
}

func noteSecret(t *testing.T, w *world) contest {
	s := w.token(t, "a")
	note := func(svc *api.Service) error {
		return only(svc.CreateNote(t.Context(), apitest.Caller(), s.ID, document(t, `{"data":{"attributes":{"text":"n"}}}`)))
	}
	return contest{note, deleteSecret(t, s.ID), func(t *testing.T) {
		apitest.Watch(t, w.State, ">", func(records map[string][]byte) bool {
			for key, body := range records {
				if strings.HasPrefix(key, "note") && strings.Contains(key+string(body), s.ID) {
					return false
				}
			}
			return true
		})
	}}
}

func (w *world) library(t *testing.T) *api.Library {
	t.Helper()
	return must[*api.Library](t)(newLibrary(t, w.Service, w.property.ID))
}

func placing(t *testing.T, library, environment string) func(*api.Service) error {
	return func(s *api.Service) error {
		return only(s.PlaceLibrary(t.Context(), apitest.Caller(), library, environment))
	}
}

// acting returns an action on a library.
func acting(t *testing.T, library string, action api.Action) func(*api.Service) error {
	return func(s *api.Service) error {
		return only(s.ChangeLibrary(t.Context(), apitest.Caller(), library, document(t, `{"data":{"meta":{"action":%q}}}`, string(action))))
	}
}

func placeEnvironment(t *testing.T, w *world) contest {
	l := w.library(t)
	id, remove := w.environment(t, "development")
	return contest{placing(t, l.ID, id), remove, func(t *testing.T) { w.heals(t, id) }}
}

func placeDelete(t *testing.T, w *world) contest {
	l := w.library(t)
	id, _ := w.environment(t, "development")
	remove := func(s *api.Service) error { return s.DeleteLibrary(t.Context(), apitest.Caller(), l.ID) }
	return contest{placing(t, l.ID, id), remove, func(t *testing.T) { w.heals(t, l.ID) }}
}

// held checks that an environment and a library know of each other, or neither does.
func (w *world) held(t *testing.T, environment string, libraries ...string) {
	t.Helper()
	var holder string
	if body, _, err := w.State.Get(t.Context(), state.HoldKey(environment)); err == nil {
		holder = strings.Trim(string(body), `"`)
	}
	for _, id := range libraries {
		if l := w.stored(t, id); (l.Environment == environment) != (holder == id) {
			t.Errorf("the library is in %q, and the environment holds %q", l.Environment, holder)
		}
	}
}

// stored is a library as the state has it.
func (w *world) stored(t *testing.T, id string) *api.Library {
	t.Helper()
	l := new(api.Library)
	body, _, err := w.State.Get(t.Context(), state.LibraryKey(id))
	if err := errors.Join(err, json.Unmarshal(body, l)); err != nil {
		t.Fatal(err)
	}
	return l
}

func placePlace(t *testing.T, w *world) contest {
	a, b := w.library(t), w.library(t)
	id, _ := w.environment(t, "development")
	return contest{placing(t, a.ID, id), placing(t, b.ID, id), func(t *testing.T) { w.held(t, id, a.ID, b.ID) }}
}

func submitSubmit(t *testing.T, w *world) contest {
	l := w.library(t)
	submit := acting(t, l.ID, api.Submit)
	return contest{submit, submit, func(t *testing.T) {
		if got := w.stored(t, l.ID).State; got != api.Submitted {
			t.Errorf("the library is %s", got)
		}
	}}
}

// building returns a build of an approved library for production, and its end.
func (w *world) building(t *testing.T) (l *api.Library, environment string, build func(*api.Service) error, ended func() []secret.Status) {
	t.Helper()
	l = w.library(t)
	environment, _ = w.environment(t, "production")
	w.act(t, l.ID, api.Approve)
	if err := placing(t, l.ID, environment)(w.Service); err != nil {
		t.Fatal(err)
	}
	made := make(chan string, 2)
	build = func(s *api.Service) error {
		b, err := s.CreateBuild(t.Context(), apitest.Caller(), l.ID)
		if err == nil {
			made <- b.ID
		}
		return err
	}
	return l, environment, build, func() (all []secret.Status) {
		close(made)
		for id := range made {
			all = append(all, built(t, w.State, id).Status)
		}
		return all
	}
}

func buildBuild(t *testing.T, w *world) contest {
	l, environment, build, ended := w.building(t)
	return contest{build, build, func(t *testing.T) {
		if got := ended(); !slices.Equal(got, []secret.Status{secret.Succeeded, secret.Succeeded}) || w.stored(t, l.ID).State != api.Published {
			t.Errorf("the builds have %v, and the library is %s", got, w.stored(t, l.ID).State)
		}
		w.held(t, environment, l.ID)
	}}
}

// buildReject: a library that was published stays so, and one that was rejected before
// its build's end is in no environment.
func buildReject(t *testing.T, w *world) contest {
	l, environment, build, ended := w.building(t)
	return contest{build, acting(t, l.ID, api.Reject), func(t *testing.T) {
		builds, got := ended(), w.stored(t, l.ID)
		published := got.State == api.Published && slices.Equal(builds, []secret.Status{secret.Succeeded}) && got.Environment == environment
		rejected := got.State == api.Rejected && !slices.Contains(builds, secret.Succeeded) && got.Environment == ""
		if !published && !rejected {
			t.Errorf("the library is %s in %q, and its builds have %v", got.State, got.Environment, builds)
		}
		w.held(t, environment, l.ID)
	}}
}

func reviseDelete(t *testing.T, w *world) contest {
	e := must[*api.DataElement](t)(newElement(t, w.Service, w.property.ID, secretDelegate, ""))
	revise := func(s *api.Service) error {
		return only(s.ChangeDataElement(t.Context(), apitest.Caller(), e.ID, document(t, `{"data":{"meta":{"action":"revise"}}}`)))
	}
	remove := func(s *api.Service) error { return s.DeleteDataElement(t.Context(), apitest.Caller(), e.ID) }
	return contest{revise, remove, func(t *testing.T) {
		if err := revise(w.Service); code(err) != api.DeletedResources && err != nil {
			t.Errorf("a deleted one is revised: %v", err)
		}
	}}
}

func revokeDelete(t *testing.T, w *world) contest {
	made, _, err := w.Service.CreateToken(t.Context(), apitest.Caller(), document(t, `{"data":{"attributes":{"name":"n","rights":[]}}}`))
	if err != nil {
		t.Fatal(err)
	}
	revoke := func(s *api.Service) error {
		return only(s.ChangeToken(t.Context(), apitest.Caller(), made.ID, document(t, `{"data":{"meta":{"action":"revoke"}}}`)))
	}
	remove := func(s *api.Service) error { return s.DeleteToken(t.Context(), apitest.Caller(), made.ID) }
	return contest{revoke, remove, func(t *testing.T) {
		if _, _, err := w.State.Get(t.Context(), state.TokenKey(made.ID)); !errors.Is(err, state.ErrNotFound) {
			t.Errorf("the token is there yet: %v", err)
		}
	}}
}

// TestNothingIsLeftBeneath: whatever two processes make beneath a property that is
// deleted meanwhile, in the end there is none of it, and what was announced is told of
// to the end.
func TestNothingIsLeftBeneath(t *testing.T) {
	t.Parallel()
	w, doors := twoProcesses(t)
	for round := range 10 {
		p := w.newProperty(t, "edge")
		in := must[*api.Environment](t)(newEnvironment(t, w.Service, p.ID, "development"))
		me := apitest.Caller()
		makers := []func(*api.Service) error{
			func(s *api.Service) error { return s.DeleteProperty(t.Context(), me, p.ID) },
			func(s *api.Service) error { return only(newEnvironment(t, s, p.ID, "staging")) },
			func(s *api.Service) error { return only(newToken(t, s, p.ID, in.ID, "s")) },
			func(s *api.Service) error { return only(s.CreateHost(t.Context(), me, p.ID, document(t, sftp, "k"))) },
			func(s *api.Service) error {
				return only(s.CreateNote(t.Context(), me, p.ID, document(t, `{"data":{"attributes":{"text":"n"}}}`)))
			},
			func(s *api.Service) error { return only(newElement(t, s, p.ID, secretDelegate, "")) },
			func(s *api.Service) error { return only(newLibrary(t, s, p.ID)) },
		}
		for i, err := range together(len(makers), func(i int) error { return makers[i](doors[(round+i)%2]) }) {
			if got := outcome(err); got != "ok" && (i == 0 || got != string(api.NotFound)) {
				t.Errorf("maker %d of round %d: %s", i, round, got)
			}
		}
		w.heals(t, p.ID)
	}
	told := map[string]int{}
	for _, e := range slices.Concat(w.Events.Published(), w.second.Events.Published()) {
		switch e.Data.(type) {
		case events.SecretCreated:
			told[e.Data.About()]++
		case events.SecretDeleted:
			told[e.Data.About()]--
		}
	}
	for id, open := range told {
		if open != 0 {
			t.Errorf("of %s there are %d creations more than deletions told", id, open)
		}
	}
}

// TestTheLastNote: of many notes by way of two processes there is room for one.
func TestTheLastNote(t *testing.T) {
	t.Parallel()
	w, doors := twoProcesses(t)
	p := w.newProperty(t, "edge")
	const room = 1000
	for left := range 3 {
		notes := make([]api.Note, room-1)
		for i := range notes {
			notes[i] = api.Note{ID: secret.NewID(secret.PrefixNote), Text: fmt.Sprint(i), CreatedAt: p.CreatedAt}
		}
		body, err := json.Marshal(notes)
		if err != nil {
			t.Fatal(err)
		}
		_, rev, err := w.State.Get(t.Context(), state.NotesKey(p.ID))
		if err != nil && !errors.Is(err, state.ErrNotFound) {
			t.Fatal(err)
		}
		if _, err := w.State.Commit(t.Context(), state.Write{Key: state.NotesKey(p.ID), Value: body, Expect: rev}); err != nil {
			t.Fatal(err)
		}
		if ok, refused := tally(t, together(8, func(i int) error {
			return only(doors[i%2].CreateNote(t.Context(), apitest.Caller(), p.ID, document(t, `{"data":{"attributes":{"text":"last"}}}`)))
		}), api.Conflict); ok != 1 || refused != 7 {
			t.Errorf("round %d: %d were made and %d refused, want 1 and 7", left, ok, refused)
		}
	}
}

// TestARevokedTokenIsRefusedEverywhere: by the process that has ended it at once, by
// another as soon as that has heard of it, which is before it shows its own next write.
func TestARevokedTokenIsRefusedEverywhere(t *testing.T) {
	t.Parallel()
	w, doors := twoProcesses(t)
	w.property = w.newProperty(t, "edge")
	for round := range 20 {
		here, there := doors[round%2], doors[1-round%2]
		made, text, err := here.CreateToken(t.Context(), apitest.Caller(), document(t, `{"data":{"attributes":{"name":"n","rights":[]}}}`))
		if err != nil {
			t.Fatal(err)
		}
		bearer := string(text.Reveal())
		if _, err := there.Verify(t.Context(), bearer); err != nil {
			t.Fatalf("round %d: a token that was just made: %v", round, err)
		}
		must[*api.Token](t)(here.ChangeToken(t.Context(), apitest.Caller(), made.ID, document(t, `{"data":{"meta":{"action":"revoke"}}}`)))
		must[*api.Library](t)(newLibrary(t, there, w.property.ID))
		for i, s := range []*api.Service{here, there} {
			if _, err := s.Verify(t.Context(), bearer); err == nil {
				t.Errorf("round %d: process %d takes it yet", round, i)
			}
		}
	}
}
