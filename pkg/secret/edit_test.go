package secret_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/pkg/state/statetest"
)

// interactive creates a secret with all the records an edit may write.
func interactive(t *testing.T, st state.Store, name string) *secret.Secret {
	t.Helper()
	s := waiting(env)
	s.ID, s.Org, s.Property, s.Name = secret.NewID(secret.PrefixSecret), "acme", propertyID, name
	c := &secret.Consent{}
	c.Begin(dialog(1, noon()), noon())
	d := &secret.Draft{Secret: s, Credential: &secret.Credential{}, Consent: c}
	if _, err := (secret.Store{State: st}).Create(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	return s
}

// held lists the records of an interactive secret that is called name.
func held(s *secret.Secret, name string) []string {
	return []string{state.NameKey(s.Property, name), state.CredentialKey(s.ID), state.ConsentKey(s.ID), state.SecretKey(s.ID)}
}

// stand is what an edit may change of a secret, as it is stored.
type stand struct {
	Name                   string
	Attempts               int
	Generation, Credential uint64
	Dialogs                uint64
}

func standing(t *testing.T, st state.Store, id string) stand {
	t.Helper()
	store, vault := secret.Store{State: st}, secret.Vault{State: st}
	s, _, err := store.Get(t.Context(), id)
	c, err2 := vault.Credential(t.Context(), id)
	d, err3 := vault.Consent(t.Context(), id)
	if err := errors.Join(err, err2, err3); err != nil {
		t.Fatal(err)
	}
	return stand{s.Name, s.Attempts, s.CredentialGeneration, c.Generation, d.Opened}
}

// Edits. Each counts, so that an edit that is done twice shows.

func rename(to string) func(*secret.Draft) error {
	return func(d *secret.Draft) error {
		d.Name = to
		return nil
	}
}

func touch(d *secret.Draft) error { return count(d.Secret) }

func reseal(d *secret.Draft) error {
	d.CredentialGeneration++
	d.Credential = &secret.Credential{Generation: d.CredentialGeneration}
	return nil
}

func openAnother(d *secret.Draft) error {
	d.Consent = d.Consent.Clone()
	d.Consent.Begin(dialog(d.Consent.Opened+1, noon()), noon())
	return nil
}

func all(to string) func(*secret.Draft) error {
	return func(d *secret.Draft) error {
		return errors.Join(rename(to)(d), touch(d), reseal(d), openAnother(d))
	}
}

// TestEdit holds what is written to what has changed, and the order: the secret
// last, for its revision is what the api waits for.
func TestEdit(t *testing.T) {
	t.Parallel()
	refused := errors.New("refused")
	tests := []struct {
		name   string
		change func(*secret.Draft) error
		want   stand
		writes []string // by kind; none when the edit is refused
		err    error
	}{
		{"nothing", func(*secret.Draft) error { return nil }, stand{"a", 0, 0, 0, 1}, []string{"secret"}, nil},
		{"the secret", touch, stand{"a", 1, 0, 0, 1}, []string{"secret"}, nil},
		{"the credential", reseal, stand{"a", 0, 1, 1, 1}, []string{"credential", "secret"}, nil},
		{"the consent", openAnother, stand{"a", 0, 0, 0, 2}, []string{"consent", "secret"}, nil},
		{"the name", rename("b"), stand{"b", 0, 0, 0, 1}, []string{"name", "name", "secret"}, nil},
		{"all", all("b"), stand{"b", 1, 1, 1, 2}, []string{"name", "name", "credential", "consent", "secret"}, nil},
		{"all, and then not", func(d *secret.Draft) error { return errors.Join(all("b")(d), refused) }, stand{"a", 0, 0, 0, 1}, nil, refused},
		{"a name that is taken", all("taken"), stand{"a", 0, 0, 0, 1}, nil, secret.ErrNameTaken},
		{"the same name", rename("a"), stand{"a", 0, 0, 0, 1}, []string{"secret"}, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			inner := statetest.New()
			s, other := interactive(t, inner, "a"), interactive(t, inner, "taken")
			st := statetest.NewFaulty(inner)
			got, rev, err := secret.Store{State: st}.Edit(t.Context(), s.ID, test.change)
			if !errors.Is(err, test.err) || err != nil && (got != nil || rev != 0) {
				t.Fatalf("got error %v, want %v; a secret beside it: %v", err, test.err, got != nil)
			}
			if diff := cmp.Diff(test.want, standing(t, inner, s.ID)); diff != "" {
				t.Errorf("records (-want +got):\n%s", diff)
			}
			wants(t, inner, append(held(s, test.want.Name), held(other, "taken")...)...)
			var writes []string
			for _, commit := range st.Commits() {
				for _, key := range commit {
					kind, _ := state.Split(key)
					writes = append(writes, kind)
				}
			}
			if diff := cmp.Diff(test.writes, writes); diff != "" {
				t.Errorf("writes (-want +got):\n%s", diff)
			}
			if err != nil {
				return
			}
			read, readRev, err := secret.Store{State: inner}.Get(t.Context(), s.ID)
			if diff := cmp.Diff(read, got); err != nil || rev != readRev || diff != "" {
				t.Errorf("edit returned revision %d, get %d, error %v (-stored +returned):\n%s", rev, readRev, err, diff)
			}
		})
	}
}

// A secret without dialogs gets its first, and one that needs none stays without.
func TestEditWithoutConsent(t *testing.T) {
	t.Parallel()
	st := statetest.New()
	s := newSecret("a")
	create(t, st, s)
	store := secret.Store{State: st}
	if _, _, err := store.Edit(t.Context(), s.ID, reseal); err != nil {
		t.Fatal(err)
	}
	wants(t, st, remains(s)...)
	_, _, err := store.Edit(t.Context(), s.ID, func(d *secret.Draft) error {
		d.Consent = new(secret.Consent)
		return openAnother(d)
	})
	if err != nil {
		t.Fatal(err)
	}
	wants(t, st, append(remains(s), state.ConsentKey(s.ID))...)
}

// A name that an edit gives up is free at once, and one that somebody else holds
// stays theirs, whatever the record says.
func TestEditNames(t *testing.T) {
	t.Parallel()
	st := statetest.New()
	store := secret.Store{State: st}
	s := interactive(t, st, "a")
	for _, name := range []string{"b", "a", "c"} {
		if _, _, err := store.Edit(t.Context(), s.ID, rename(name)); err != nil {
			t.Fatalf("to %s: %v", name, err)
		}
		wants(t, st, held(s, name)...)
	}
	next := interactive(t, st, "a")
	wants(t, st, append(held(s, "c"), held(next, "a")...)...)

	// A program that knows no better has given s the name of another.
	if _, _, err := store.Update(t.Context(), s.ID, func(s *secret.Secret) error { s.Name = "a"; return nil }); err != nil {
		t.Fatal(err)
	}
	if _, _, err := store.Edit(t.Context(), s.ID, rename("d")); err != nil {
		t.Fatal(err)
	}
	wants(t, st, append(held(s, "d"), append(held(next, "a"), state.NameKey(s.Property, "c"))...)...)
}

// There is nothing to edit of what is unknown or deleted.
func TestEditNotFound(t *testing.T) {
	t.Parallel()
	st := statetest.New()
	gone := interactive(t, st, "a")
	deleteSecret(t, st, gone.ID)
	for _, id := range []string{gone.ID, secret.NewID(secret.PrefixSecret)} {
		_, _, err := secret.Store{State: st}.Edit(t.Context(), id, func(*secret.Draft) error {
			t.Error("a secret was changed that is not there")
			return nil
		})
		if !errors.Is(err, state.ErrNotFound) {
			t.Errorf("got error %v, want ErrNotFound", err)
		}
	}
	wants(t, st, held(gone, "a")[1:]...)
}

// Another writer comes between reading and writing, with an edit of each kind.
// The change is applied to what that writer has left.
func TestEditTriesAgain(t *testing.T) {
	t.Parallel()
	inner := statetest.New()
	store := secret.Store{State: inner}
	s := interactive(t, inner, "a")
	between := []func() error{
		func() error { _, _, err := store.Update(t.Context(), s.ID, count); return err },
		func() error { _, _, err := store.Edit(t.Context(), s.ID, reseal); return err },
		func() error { _, _, err := store.Edit(t.Context(), s.ID, openAnother); return err },
		func() error { _, _, err := store.Edit(t.Context(), s.ID, rename("b")); return err },
	}
	st := &hooked{Store: inner, commit: func(n int) {
		if n <= len(between) {
			if err := between[n-1](); err != nil {
				t.Error(err)
			}
		}
	}}
	got, _, err := secret.Store{State: st}.Edit(t.Context(), s.ID, all("c"))
	if err != nil || st.commits != len(between)+1 {
		t.Fatalf("error %v after %d commits", err, st.commits)
	}
	if diff := cmp.Diff(stand{"c", 2, 2, 2, 3}, standing(t, inner, s.ID)); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
	if got.Attempts != 2 || got.Name != "c" {
		t.Errorf("edit returned attempts %d, name %s", got.Attempts, got.Name)
	}
	wants(t, inner, held(s, "c")...)
}

// What came between makes the edit impossible.
func TestEditOvertaken(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		between func(t *testing.T, st state.Store, s *secret.Secret)
		want    error
	}{
		{"the name was taken", func(t *testing.T, st state.Store, _ *secret.Secret) { interactive(t, st, "b") }, secret.ErrNameTaken},
		{"deleted", func(t *testing.T, st state.Store, s *secret.Secret) { deleteSecret(t, st, s.ID) }, state.ErrNotFound},
		{"erased", func(t *testing.T, st state.Store, s *secret.Secret) {
			deleteSecret(t, st, s.ID)
			read, _, err := secret.Store{State: st}.Get(t.Context(), s.ID)
			if err == nil {
				err = secret.Vault{State: st}.Erase(t.Context(), read)
			}
			if err != nil {
				t.Error(err)
			}
		}, state.ErrNotFound},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			inner := statetest.New()
			s := interactive(t, inner, "a")
			st := &hooked{Store: inner, commit: func(int) { test.between(t, inner, s) }}
			if _, _, err := (secret.Store{State: st}).Edit(t.Context(), s.ID, all("b")); !errors.Is(err, test.want) || st.commits != 1 {
				t.Errorf("got error %v after %d commits, want %v after one", err, st.commits, test.want)
			}
		})
	}
}

// A secret that is erased between the reads of an edit is not found.
func TestEditWhileErased(t *testing.T) {
	t.Parallel()
	inner := statetest.New()
	s := interactive(t, inner, "a")
	st := &hooked{Store: inner, get: func(n int) {
		if n != 2 {
			return
		}
		deleteSecret(t, inner, s.ID)
		read, _, err := secret.Store{State: inner}.Get(t.Context(), s.ID)
		if err == nil {
			err = secret.Vault{State: inner}.Erase(t.Context(), read)
		}
		if err != nil {
			t.Error(err)
		}
	}}
	if _, _, err := (secret.Store{State: st}).Edit(t.Context(), s.ID, touch); !errors.Is(err, state.ErrNotFound) {
		t.Errorf("got error %v, want ErrNotFound", err)
	}
	wants(t, inner)
}

// An edit that never gets its turn ends with its context.
func TestEditEnds(t *testing.T) {
	t.Parallel()
	inner := statetest.New()
	s := interactive(t, inner, "a")
	ctx, cancel := context.WithCancel(t.Context())
	st := &hooked{Store: inner, commit: func(n int) {
		if _, _, err := (secret.Store{State: inner}).Edit(t.Context(), s.ID, touch); err != nil {
			t.Error(err)
		}
		if n == 5 {
			cancel()
		}
	}}
	if _, _, err := (secret.Store{State: st}).Edit(ctx, s.ID, touch); !errors.Is(err, context.Canceled) || st.commits != 5 {
		t.Errorf("got error %v after %d commits, want context.Canceled after 5", err, st.commits)
	}
}

// Edits and updates of one secret at the same time: none is lost, and the halves
// of the credentials stay together.
func TestEditRace(t *testing.T) {
	t.Parallel()
	st := statetest.New()
	store := secret.Store{State: st}
	s := interactive(t, st, "a")
	const writers, rounds = 4, 20
	edits := []func() error{
		func() error { _, _, err := store.Update(t.Context(), s.ID, count); return err },
		func() error { _, _, err := store.Edit(t.Context(), s.ID, reseal); return err },
		func() error { _, _, err := store.Edit(t.Context(), s.ID, openAnother); return err },
	}
	var group sync.WaitGroup
	for range writers {
		for _, edit := range edits {
			group.Go(func() {
				for range rounds {
					if err := edit(); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
	group.Wait()
	const n = writers * rounds
	if diff := cmp.Diff(stand{"a", n, n, n, n + 1}, standing(t, st, s.ID)); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
}

// Many secrets change to few names: each name ends up with one of them, and
// there is no name that nobody has.
func TestRenameRace(t *testing.T) {
	t.Parallel()
	st := statetest.New()
	store := secret.Store{State: st}
	secrets := make([]*secret.Secret, 8)
	for i := range secrets {
		secrets[i] = interactive(t, st, fmt.Sprint("own ", i))
	}
	var group sync.WaitGroup
	for i, s := range secrets {
		group.Go(func() {
			for round := range 30 {
				name := fmt.Sprint((i + round) % 5)
				if _, _, err := store.Edit(t.Context(), s.ID, rename(name)); err != nil && !errors.Is(err, secret.ErrNameTaken) {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	var keys []string
	names := make(map[string]bool)
	for _, s := range secrets {
		name := standing(t, st, s.ID).Name
		if names[name] {
			t.Errorf("two secrets are called %s", name)
		}
		names[name] = true
		keys = append(keys, held(s, name)...)
	}
	wants(t, st, keys...)
}

// TestWritesInterrupted ends the program at the commit of a create and of an
// edit, before it and after: everything is there or nothing, and the same again,
// as a person would ask for it, ends well.
func TestWritesInterrupted(t *testing.T) {
	t.Parallel()
	for _, when := range []statetest.When{statetest.Before, statetest.After} {
		t.Run(fmt.Sprint(when, " edit"), func(t *testing.T) {
			t.Parallel()
			inner := statetest.New()
			s := interactive(t, inner, "a")
			st := statetest.NewFaulty(inner)
			st.Crash(1, when)
			if _, _, err := (secret.Store{State: st}).Edit(t.Context(), s.ID, all("b")); !errors.Is(err, statetest.ErrFault) {
				t.Fatalf("got error %v, want ErrFault", err)
			}
			want := map[statetest.When]stand{statetest.Before: {"a", 0, 0, 0, 1}, statetest.After: {"b", 1, 1, 1, 2}}[when]
			if diff := cmp.Diff(want, standing(t, inner, s.ID)); diff != "" {
				t.Errorf("records (-want +got):\n%s", diff)
			}
			wants(t, inner, held(s, want.Name)...)
			if _, _, err := (secret.Store{State: inner}).Edit(t.Context(), s.ID, rename("b")); err != nil {
				t.Fatal(err)
			}
			wants(t, inner, held(s, "b")...)
		})
		t.Run(fmt.Sprint(when, " create"), func(t *testing.T) {
			t.Parallel()
			inner := statetest.New()
			st := statetest.NewFaulty(inner)
			st.Crash(1, when)
			s := newSecret("a")
			d := &secret.Draft{Secret: s, Credential: fullCredential(), Consent: new(secret.Consent)}
			if _, err := (secret.Store{State: st}).Create(t.Context(), d); !errors.Is(err, statetest.ErrFault) {
				t.Fatalf("got error %v, want ErrFault", err)
			}
			if when == statetest.Before {
				wants(t, inner)
			} else {
				wants(t, inner, held(s, "a")...)
			}
		})
	}
}

// What is left of another secret with the id is never written over.
func TestCreateOverRemains(t *testing.T) {
	t.Parallel()
	for _, key := range held(&secret.Secret{ID: secretID, Property: propertyID}, "a")[1:] {
		st := statetest.New()
		if _, err := st.Commit(t.Context(), state.Write{Key: key, Value: []byte("{}")}); err != nil {
			t.Fatal(err)
		}
		s := newSecret("a")
		s.ID = secretID
		d := &secret.Draft{Secret: s, Credential: fullCredential(), Consent: new(secret.Consent)}
		if _, err := (secret.Store{State: st}).Create(t.Context(), d); !errors.Is(err, state.ErrConflict) {
			t.Errorf("%s is there: got error %v, want ErrConflict", key, err)
		}
		wants(t, st, key)
	}
}
