package secret

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/rekindle-dev/rekindle/pkg/record"
	"github.com/rekindle-dev/rekindle/pkg/state"
)

// ErrNameTaken is returned when a living secret of the property has the name.
var ErrNameTaken = errors.New("the name is taken within the property")

// ErrDamaged is returned when a record is there and cannot be read.
var ErrDamaged = errors.New("the record is damaged")

// Store keeps secrets and reserves their names. It is safe for concurrent use,
// by many processes over one state.
type Store struct{ State state.Store }

// Create writes a new secret, with all that belongs to it, and reserves the name
// within the property: all of it or nothing. It returns ErrNameTaken, or
// state.ErrConflict when the id exists already.
func (st Store) Create(ctx context.Context, d *Draft) (state.Revision, error) {
	s := d.Secret
	records := []entry{
		{state.NameKey(s.Property, s.Name), s.ID, 0},
		{state.CredentialKey(s.ID), d.Credential, 0},
	}
	if d.Consent != nil {
		records = append(records, entry{state.ConsentKey(s.ID), d.Consent, 0})
	}
	writes, err := encode(append(records, entry{state.SecretKey(s.ID), s, 0})...)
	if err != nil {
		return 0, err
	}
	for {
		rev, err := st.State.Commit(ctx, writes...)
		if !errors.Is(err, state.ErrConflict) || ctx.Err() != nil {
			return rev, err
		}
		if err := st.collision(ctx, s); err != nil {
			return 0, err
		}
		// What was in the way is gone by now.
	}
}

// collision says what keeps s from being created, nil when nothing does.
func (st Store) collision(ctx context.Context, s *Secret) error {
	holder, _, err := holderOf(ctx, st.State, state.NameKey(s.Property, s.Name))
	switch {
	case err == nil && holder == s.ID:
		return state.ErrConflict
	case err == nil:
		return ErrNameTaken
	case !errors.Is(err, state.ErrNotFound):
		return err
	}
	for _, key := range []string{state.SecretKey(s.ID), state.CredentialKey(s.ID), state.ConsentKey(s.ID)} {
		if _, _, err := st.State.Get(ctx, key); !errors.Is(err, state.ErrNotFound) {
			return cmp.Or(err, state.ErrConflict)
		}
	}
	return nil
}

// Holder returns the id of the secret that has the name within the property, or
// state.ErrNotFound.
func (st Store) Holder(ctx context.Context, property, name string) (string, error) {
	id, _, err := holderOf(ctx, st.State, state.NameKey(property, name))
	return id, err
}

// Get returns the secret or state.ErrNotFound. A deleted secret is found, with
// DeletedAt set, until it is erased.
func (st Store) Get(ctx context.Context, id string) (*Secret, state.Revision, error) {
	return get(ctx, st.State, secrets, state.SecretKey(id))
}

// Update applies change to the current record and writes the result if nobody
// else has written meanwhile; otherwise it reads again and calls change again:
// whatever change leaves outside the record it must overwrite. An error of change
// ends the update, with nothing written, and is returned as it is. When change marks the secret deleted, its
// name is free from the same moment. Change must leave id, property, name and
// what [Store.Edit] writes alone.
func (st Store) Update(ctx context.Context, id string, change func(*Secret) error) (*Secret, state.Revision, error) {
	return st.UpdateFrom(ctx, &Secret{ID: id}, 0, change)
}

// UpdateFrom is Update for whoever has read the record, as s, of revision rev: it
// is read again only if somebody else has written since. S is changed, and is not
// the caller's any more. A revision of 0 means that it has not been read.
func (st Store) UpdateFrom(ctx context.Context, s *Secret, rev state.Revision, change func(*Secret) error) (*Secret, state.Revision, error) {
	for id := s.ID; ; rev = 0 {
		var err error
		if rev == 0 {
			if s, rev, err = st.Get(ctx, id); err != nil {
				return nil, 0, err
			}
		}
		alive := s.DeletedAt.IsZero()
		if err := change(s); err != nil {
			return nil, 0, err
		}
		writes, err := encode(entry{state.SecretKey(id), s, rev})
		if err != nil {
			return nil, 0, err
		}
		if alive && !s.DeletedAt.IsZero() {
			release, err := st.release(ctx, s)
			if err != nil {
				return nil, 0, err
			}
			writes = append(release, writes...)
		}
		rev, err = st.State.Commit(ctx, writes...)
		if errors.Is(err, state.ErrConflict) && ctx.Err() == nil {
			continue
		}
		if err != nil {
			return nil, 0, err
		}
		return s, rev, nil
	}
}

// release returns the write that frees the secret's name, none when the name
// is not held by it.
func (st Store) release(ctx context.Context, s *Secret) ([]state.Write, error) {
	key := state.NameKey(s.Property, s.Name)
	holder, rev, err := holderOf(ctx, st.State, key)
	if errors.Is(err, state.ErrNotFound) || err == nil && holder != s.ID {
		return nil, nil
	}
	return []state.Write{{Key: key, Expect: rev}}, err
}

// Vault keeps what exchangers alone may touch: sealed credentials, grants and
// artifacts.
type Vault struct{ State state.Store }

// Credential returns the sealed credential of a secret, or state.ErrNotFound.
func (v Vault) Credential(ctx context.Context, id string) (*Credential, error) {
	c, _, err := get(ctx, v.State, credentials, state.CredentialKey(id))
	return c, err
}

// Consent returns the dialogs of a secret and what they brought, or
// state.ErrNotFound.
func (v Vault) Consent(ctx context.Context, id string) (*Consent, error) {
	c, _, err := get(ctx, v.State, consents, state.ConsentKey(id))
	return c, err
}

// Grant returns the grant and its revision. A secret that was never exchanged
// has an empty grant of revision 0.
func (v Vault) Grant(ctx context.Context, id string) (*Grant, state.Revision, error) {
	g, rev, err := get(ctx, v.State, grants, state.GrantKey(id))
	if errors.Is(err, state.ErrNotFound) {
		return new(Grant), 0, nil
	}
	return g, rev, err
}

// PutGrant writes the grant if its revision still is expect, and returns the
// new one; state.ErrConflict otherwise.
func (v Vault) PutGrant(ctx context.Context, id string, g *Grant, expect state.Revision) (state.Revision, error) {
	return v.put(ctx, entry{state.GrantKey(id), g, expect})
}

// Deploy stores the artifact in its environment, unless the same or a later
// generation is there already, and returns the revision of what is there then. Known
// is the revision of the artifact before, as far as it is known: that one is read
// only if known is 0 or has passed.
func (v Vault) Deploy(ctx context.Context, a *Artifact, known state.Revision) (state.Revision, error) {
	key := state.ArtifactKey(a.Environment, a.Secret)
	for rev := known; ; rev = 0 {
		if rev == 0 {
			old, there, err := get(ctx, v.State, artifacts, key)
			switch {
			case err == nil && old.Generation >= a.Generation:
				return there, nil
			case err != nil && !errors.Is(err, state.ErrNotFound):
				return 0, err
			}
			rev = there
		}
		stored, err := v.put(ctx, entry{key, a, rev})
		if !errors.Is(err, state.ErrConflict) || ctx.Err() != nil {
			return stored, err
		}
	}
}

// Withdraw removes the secret's artifact from the environment; it is no error
// when there is none.
func (v Vault) Withdraw(ctx context.Context, environment, id string) error {
	return v.remove(ctx, state.ArtifactKey(environment, id))
}

// Erase removes every record of a deleted secret, also what cannot be read. The
// secret's own record goes last, so that an erasure that is interrupted is planned
// again.
func (v Vault) Erase(ctx context.Context, s *Secret) error {
	if s.DeletedAt.IsZero() {
		return fmt.Errorf("secret %s is not deleted", s.ID)
	}
	g, _, err := v.Grant(ctx, s.ID)
	if err != nil && !errors.Is(err, ErrDamaged) {
		return err
	}
	keys := make([]string, 0, 7)
	environments := map[string]bool{s.Deployed: true, s.Environment: true}
	if g != nil && g.Outcome != nil {
		environments[g.Outcome.Environment] = true
	}
	delete(environments, "")
	for en := range environments {
		keys = append(keys, state.ArtifactKey(en, s.ID))
	}
	keys = append(keys, state.GrantKey(s.ID), state.ConsentKey(s.ID), state.CredentialKey(s.ID), state.SecretKey(s.ID))
	for _, key := range keys {
		if err := v.remove(ctx, key); err != nil {
			return err
		}
	}
	return nil
}

func (v Vault) put(ctx context.Context, r entry) (state.Revision, error) {
	writes, err := encode(r)
	if err != nil {
		return 0, err
	}
	return v.State.Commit(ctx, writes...)
}

func (v Vault) remove(ctx context.Context, key string) error {
	for {
		_, rev, err := v.State.Get(ctx, key)
		if errors.Is(err, state.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		_, err = v.State.Commit(ctx, state.Write{Key: key, Expect: rev})
		if !errors.Is(err, state.ErrConflict) || ctx.Err() != nil {
			return err
		}
	}
}

type entry struct {
	key    string
	value  any
	expect state.Revision
}

func encode(records ...entry) ([]state.Write, error) {
	writes := make([]state.Write, len(records))
	for i, r := range records {
		body, err := json.Marshal(r.value)
		if err != nil {
			return nil, fmt.Errorf("encode %s: %w", r.key, err)
		}
		writes[i] = state.Write{Key: r.key, Value: body, Expect: r.expect}
	}
	return writes, nil
}

// How records are read. Members that are not known are ignored, so that an older
// program can read what a newer one wrote.
var (
	secrets     = record.Of[Secret]()
	credentials = record.Of[Credential]()
	consents    = record.Of[Consent]()
	grants      = record.Of[Grant]()
	artifacts   = record.Of[Artifact]()
)

// Decode reads the record of a secret.
func Decode(body []byte) (*Secret, error) { return secrets.Decode(body) }

func get[T any](ctx context.Context, st state.Store, form record.Form[T], key string) (*T, state.Revision, error) {
	body, rev, err := st.Get(ctx, key)
	if err != nil {
		return nil, 0, err
	}
	v, err := form.Decode(body)
	if err != nil {
		return nil, 0, fmt.Errorf("record %s: %w: %w", key, ErrDamaged, err)
	}
	return v, rev, nil
}

// holderOf reads which secret has a name.
func holderOf(ctx context.Context, st state.Store, key string) (id string, rev state.Revision, err error) {
	body, rev, err := st.Get(ctx, key)
	if err != nil {
		return "", 0, err
	}
	if err := json.Unmarshal(body, &id); err != nil {
		return "", 0, fmt.Errorf("record %s: %w: %w", key, ErrDamaged, err)
	}
	return id, rev, nil
}
