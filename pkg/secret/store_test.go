package secret_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/pkg/state/statetest"
)

// newSecret returns a secret with a fresh id, as the api creates it.
func newSecret(name string) *secret.Secret {
	s := asked(env)
	s.ID, s.Org, s.Property, s.Name, s.Kind = secret.NewID(secret.PrefixSecret), "acme", propertyID, name, secret.OAuth2
	return s
}

func create(t *testing.T, st state.Store, s *secret.Secret) {
	t.Helper()
	if _, err := (secret.Store{State: st}).Create(t.Context(), &secret.Draft{Secret: s, Credential: fullCredential()}); err != nil {
		t.Fatalf("create %s: %v", s.Name, err)
	}
}

// wants fails the test unless exactly these records exist.
func wants(t *testing.T, st state.Store, keys ...string) {
	t.Helper()
	got, want := make(map[string]bool), make(map[string]bool)
	for _, patterns := range [][]string{{">"}, {state.GrantKey("*"), state.ArtifactKey("*", "*")}} {
		ctx, cancel := context.WithCancel(t.Context())
		st.Follow(ctx, patterns, func(c state.Change) { got[c.Key] = true }, cancel)
	}
	for _, key := range keys {
		want[key] = true
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
}

// remains lists the three records of a secret that is alive and not exchanged.
func remains(s *secret.Secret) []string {
	return []string{state.NameKey(s.Property, s.Name), state.CredentialKey(s.ID), state.SecretKey(s.ID)}
}

// hooked calls a function before each commit or get, with its number from 1.
type hooked struct {
	state.Store
	commit, get  func(n int)
	commits, got int
}

func (h *hooked) Commit(ctx context.Context, writes ...state.Write) (state.Revision, error) {
	if h.commits++; h.commit != nil {
		h.commit(h.commits)
	}
	return h.Store.Commit(ctx, writes...)
}

func (h *hooked) Get(ctx context.Context, key string) ([]byte, state.Revision, error) {
	if h.got++; h.get != nil {
		h.get(h.got)
	}
	return h.Store.Get(ctx, key)
}

func TestCreate(t *testing.T) {
	t.Parallel()
	st := statetest.New()
	store := secret.Store{State: st}
	a := newSecret("a")
	rev, err := store.Create(t.Context(), &secret.Draft{Secret: a, Credential: fullCredential()})
	if err != nil {
		t.Fatal(err)
	}
	got, gotRev, err := store.Get(t.Context(), a.ID)
	if err != nil || gotRev != rev {
		t.Fatalf("get: revision %d, error %v; created at %d", gotRev, err, rev)
	}
	if diff := cmp.Diff(a, got); diff != "" {
		t.Errorf("record (-created +read):\n%s", diff)
	}
	c, err := secret.Vault{State: st}.Credential(t.Context(), a.ID)
	if diff := cmp.Diff(fullCredential(), c); err != nil || diff != "" {
		t.Errorf("credential, error %v (-created +read):\n%s", err, diff)
	}

	twin := newSecret("a")
	if _, err := store.Create(t.Context(), &secret.Draft{Secret: twin, Credential: fullCredential()}); !errors.Is(err, secret.ErrNameTaken) {
		t.Errorf("the same name: got error %v, want ErrNameTaken", err)
	}
	again := newSecret("b")
	again.ID = a.ID
	if _, err := store.Create(t.Context(), &secret.Draft{Secret: again, Credential: fullCredential()}); !errors.Is(err, state.ErrConflict) {
		t.Errorf("the same id: got error %v, want ErrConflict", err)
	}
	if _, err := store.Create(t.Context(), &secret.Draft{Secret: a, Credential: fullCredential()}); !errors.Is(err, state.ErrConflict) {
		t.Errorf("the same id and name: got error %v, want ErrConflict", err)
	}
	wants(t, st, remains(a)...)

	elsewhere := newSecret("a")
	elsewhere.Property = strings.Replace(propertyID, "0", "1", 1)
	create(t, st, elsewhere)
	upper := newSecret("A")
	create(t, st, upper)
	wants(t, st, append(remains(a), append(remains(elsewhere), remains(upper)...)...)...)
}

func TestCreateRace(t *testing.T) {
	t.Parallel()
	st := statetest.New()
	const racers, names = 8, 10
	var group sync.WaitGroup
	var mu sync.Mutex
	won := make(map[string][]string)
	for range racers {
		group.Go(func() {
			for i := range names {
				s := newSecret(fmt.Sprint(i))
				_, err := secret.Store{State: st}.Create(t.Context(), &secret.Draft{Secret: s, Credential: fullCredential()})
				mu.Lock()
				if err == nil {
					won[s.Name] = append(won[s.Name], remains(s)...)
				} else if !errors.Is(err, secret.ErrNameTaken) {
					t.Error(err)
				}
				mu.Unlock()
			}
		})
	}
	group.Wait()
	var all []string
	for name, keys := range won {
		if len(keys) != 3 {
			t.Errorf("%d secrets are named %s", len(keys)/3, name)
		}
		all = append(all, keys...)
	}
	if len(won) != names {
		t.Errorf("%d names are held, want %d", len(won), names)
	}
	wants(t, st, all...)
}

// The holder of the name is deleted at the moment another secret wants it.
func TestCreateAfterHolderWent(t *testing.T) {
	t.Parallel()
	inner := statetest.New()
	holder, s := newSecret("a"), newSecret("a")
	create(t, inner, holder)
	st := &hooked{Store: inner, get: func(n int) {
		if n == 1 {
			deleteSecret(t, inner, holder.ID)
		}
	}}
	if _, err := (secret.Store{State: st}).Create(t.Context(), &secret.Draft{Secret: s, Credential: fullCredential()}); err != nil {
		t.Fatal(err)
	}
	wants(t, inner, append(remains(s), remains(holder)[1:]...)...)
}

// What cannot be looked up is not called a name that is taken.
func TestCreateStoreFails(t *testing.T) {
	t.Parallel()
	inner := statetest.New()
	create(t, inner, newSecret("a"))
	broken := errors.New("broken")
	st := &failingGet{Store: inner, err: broken}
	if _, err := (secret.Store{State: st}).Create(t.Context(), &secret.Draft{Secret: newSecret("a"), Credential: fullCredential()}); !errors.Is(err, broken) {
		t.Errorf("got error %v, want %v", err, broken)
	}
	faulty := statetest.NewFaulty(statetest.New())
	faulty.FailCommit(1, statetest.Before)
	if _, err := (secret.Store{State: faulty}).Create(t.Context(), &secret.Draft{Secret: newSecret("a"), Credential: fullCredential()}); !errors.Is(err, statetest.ErrFault) {
		t.Errorf("got error %v, want ErrFault", err)
	}
}

type failingGet struct {
	state.Store
	err error
}

func (f *failingGet) Get(context.Context, string) ([]byte, state.Revision, error) {
	return nil, 0, f.err
}

func deleteSecret(t *testing.T, st state.Store, id string) {
	t.Helper()
	_, _, err := secret.Store{State: st}.Update(t.Context(), id, func(s *secret.Secret) error {
		s.Delete(noon())
		return nil
	})
	if err != nil {
		t.Fatalf("delete %s: %v", id, err)
	}
}

func TestUpdate(t *testing.T) {
	t.Parallel()
	st := statetest.New()
	store := secret.Store{State: st}
	s := newSecret("a")
	create(t, st, s)
	refused := errors.New("refused")
	for _, test := range []struct {
		name   string
		id     string
		change func(*secret.Secret) error
		want   error
	}{
		{"ok", s.ID, func(s *secret.Secret) error { s.Trace = "new"; return nil }, nil},
		{"refused", s.ID, func(s *secret.Secret) error { s.Trace = "lost"; return refused }, refused},
		{"unknown", newSecret("b").ID, func(*secret.Secret) error { return nil }, state.ErrNotFound},
	} {
		got, rev, err := store.Update(t.Context(), test.id, test.change)
		if !errors.Is(err, test.want) {
			t.Errorf("%s: got error %v, want %v", test.name, err, test.want)
		}
		if err != nil && (got != nil || rev != 0) {
			t.Errorf("%s: got revision %d and a record beside the error", test.name, rev)
		}
		read, readRev, err := store.Get(t.Context(), s.ID)
		if err != nil || read.Trace != "new" {
			t.Errorf("%s: trace is %q, error %v", test.name, read.Trace, err)
		}
		if test.want == nil && (rev != readRev || got.Trace != "new") {
			t.Errorf("%s: update returned revision %d, get %d", test.name, rev, readRev)
		}
	}
}

// Another program writes between reading and writing: the change is applied to
// what that program wrote.
func TestUpdateTriesAgain(t *testing.T) {
	t.Parallel()
	inner := statetest.New()
	s := newSecret("a")
	create(t, inner, s)
	st := &hooked{Store: inner, commit: func(n int) {
		if n <= 3 {
			if _, _, err := (secret.Store{State: inner}).Update(t.Context(), s.ID, count); err != nil {
				t.Error(err)
			}
		}
	}}
	got, _, err := secret.Store{State: st}.Update(t.Context(), s.ID, count)
	if err != nil || got.Attempts != 4 || st.commits != 4 {
		t.Errorf("attempts %d after %d commits, error %v; want 4 after 4", got.Attempts, st.commits, err)
	}
}

func count(s *secret.Secret) error {
	s.Attempts++
	return nil
}

// Whoever has read the record pays for no second read, unless it has changed since.
func TestUpdateFrom(t *testing.T) {
	t.Parallel()
	for name, meanwhile := range map[string]bool{"unchanged": false, "changed meanwhile": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inner := statetest.New()
			s := newSecret("a")
			create(t, inner, s)
			store := &hooked{Store: inner}
			read, rev, err := (secret.Store{State: inner}).Get(t.Context(), s.ID)
			if err != nil {
				t.Fatal(err)
			}
			wantReads, wantAttempts := 0, 1
			if meanwhile {
				wantReads, wantAttempts = 1, 7
				_, _, err := (secret.Store{State: inner}).Update(t.Context(), s.ID, func(s *secret.Secret) error { s.Attempts = 6; return nil })
				if err != nil {
					t.Fatal(err)
				}
			}
			got, _, err := (secret.Store{State: store}).UpdateFrom(t.Context(), read, rev, func(s *secret.Secret) error { s.Attempts++; return nil })
			if err != nil {
				t.Fatal(err)
			}
			if got.Attempts != wantAttempts || store.got != wantReads {
				t.Errorf("%d attempts after %d reads, want %d after %d", got.Attempts, store.got, wantAttempts, wantReads)
			}
		})
	}
}

func TestUpdateRace(t *testing.T) {
	t.Parallel()
	st := statetest.New()
	s := newSecret("a")
	create(t, st, s)
	const writers, rounds = 8, 25
	var group sync.WaitGroup
	for range writers {
		group.Go(func() {
			for range rounds {
				if _, _, err := (secret.Store{State: st}).Update(t.Context(), s.ID, count); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	got, _, err := secret.Store{State: st}.Get(t.Context(), s.ID)
	if err != nil || got.Attempts != writers*rounds {
		t.Errorf("counted %d, error %v; want %d", got.Attempts, err, writers*rounds)
	}
}

// An update that never gets its turn ends with its context.
func TestUpdateEnds(t *testing.T) {
	t.Parallel()
	inner := statetest.New()
	s := newSecret("a")
	create(t, inner, s)
	ctx, cancel := context.WithCancel(t.Context())
	st := &hooked{Store: inner, commit: func(n int) {
		if _, _, err := (secret.Store{State: inner}).Update(t.Context(), s.ID, count); err != nil {
			t.Error(err)
		}
		if n == 5 {
			cancel()
		}
	}}
	if _, _, err := (secret.Store{State: st}).Update(ctx, s.ID, count); !errors.Is(err, context.Canceled) || st.commits != 5 {
		t.Errorf("got error %v after %d commits, want context.Canceled after 5", err, st.commits)
	}
}

// Deleting frees the name in the same commit.
func TestDeleteFreesName(t *testing.T) {
	t.Parallel()
	st := statetest.NewFaulty(statetest.New())
	s := newSecret("a")
	create(t, st, s)
	deleteSecret(t, st, s.ID)
	commits := st.Commits()
	want := []string{state.NameKey(s.Property, s.Name), state.SecretKey(s.ID)}
	if diff := cmp.Diff(want, commits[len(commits)-1]); diff != "" {
		t.Errorf("the deleting commit (-want +got):\n%s", diff)
	}
	wants(t, st, remains(s)[1:]...)
	got, _, err := secret.Store{State: st}.Get(t.Context(), s.ID)
	if err != nil || !got.DeletedAt.Equal(noon()) {
		t.Errorf("deleted at %v, error %v", got.DeletedAt, err)
	}

	// Whoever has the name next keeps it, whatever becomes of the old holder.
	next := newSecret("a")
	create(t, st, next)
	deleteSecret(t, st, s.ID)
	if _, _, err := (secret.Store{State: st}).Update(t.Context(), s.ID, func(s *secret.Secret) error {
		s.DeletedAt = time.Time{}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	deleteSecret(t, st, s.ID) // even one that came back from the dead
	wants(t, st, append(remains(next), remains(s)[1:]...)...)
}

// The name changes hands between reading and deleting.
func TestDeleteTriesAgain(t *testing.T) {
	t.Parallel()
	inner := statetest.New()
	s := newSecret("a")
	create(t, inner, s)
	st := &hooked{Store: inner, commit: func(n int) {
		if n == 1 {
			key := state.NameKey(s.Property, s.Name)
			_, rev, err := inner.Get(t.Context(), key)
			if err == nil {
				_, err = inner.Commit(t.Context(), state.Write{Key: key, Value: []byte(`"another"`), Expect: rev})
			}
			if err != nil {
				t.Error(err)
			}
		}
	}}
	deleteSecret(t, st, s.ID)
	wants(t, inner, remains(s)...)
	if st.commits != 2 {
		t.Errorf("%d commits, want 2", st.commits)
	}
}

func TestDeleteRace(t *testing.T) {
	t.Parallel()
	st := statetest.New()
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 20 {
				s := newSecret("a")
				_, err := secret.Store{State: st}.Create(t.Context(), &secret.Draft{Secret: s, Credential: fullCredential()})
				if errors.Is(err, secret.ErrNameTaken) {
					continue
				}
				if err != nil {
					t.Error(err)
					continue
				}
				deleteSecret(t, st, s.ID)
				read, _, err := secret.Store{State: st}.Get(t.Context(), s.ID)
				if err == nil {
					err = secret.Vault{State: st}.Erase(t.Context(), read)
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	wants(t, st)
}

// A record that cannot be read is named, and not quoted.
func TestDamagedRecord(t *testing.T) {
	t.Parallel()
	st := statetest.New()
	s := newSecret("a")
	create(t, st, s)
	_, rev, err := st.Get(t.Context(), state.SecretKey(s.ID))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := st.Commit(t.Context(), state.Write{Key: state.SecretKey(s.ID), Value: []byte(`{"id":"CANARY", broken`), Expect: rev}); err != nil {
		t.Fatal(err)
	}
	_, _, err = secret.Store{State: st}.Get(t.Context(), s.ID)
	if err == nil || !strings.Contains(err.Error(), state.SecretKey(s.ID)) || strings.Contains(err.Error(), "CANARY") {
		t.Errorf("got error %v, want one that names the record", err)
	}
}
