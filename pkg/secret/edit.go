package secret

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/rekindle-dev/rekindle/pkg/state"
)

// Draft is a secret with what is written together with it.
type Draft struct {
	*Secret
	// Credential is of the generation that the secret names.
	Credential *Credential
	// Consent is nil for kinds that need none.
	Consent *Consent
}

// Edit applies change to all that is known of a secret but its grant, and writes
// what it has changed: all of it or nothing, and only if nobody else has written
// meanwhile; otherwise it reads again and calls change again: whatever change
// leaves outside the draft it must overwrite. An error of change ends the edit,
// with nothing written, and is returned as it is. A new name is reserved and the old one set free. It returns
// ErrNameTaken, or state.ErrNotFound when there is no secret or it is deleted.
func (st Store) Edit(ctx context.Context, id string, change func(*Draft) error) (*Secret, state.Revision, error) {
	for {
		before, err := st.read(ctx, id)
		if err != nil {
			return nil, 0, err
		}
		draft := Draft{Secret: before.secret, Credential: before.credential, Consent: before.consent}
		name := draft.Name
		if err := change(&draft); err != nil {
			return nil, 0, err
		}
		writes, err := before.writes(draft)
		if err != nil {
			return nil, 0, err
		}
		if draft.Name != name {
			renaming, err := st.rename(ctx, draft.Secret, name)
			if err != nil {
				return nil, 0, err
			}
			writes = append(renaming, writes...)
		}
		rev, err := st.State.Commit(ctx, writes...)
		if errors.Is(err, state.ErrConflict) && ctx.Err() == nil {
			continue
		}
		if err != nil {
			return nil, 0, err
		}
		return draft.Secret, rev, nil
	}
}

// stored is a draft as it was read, with the revisions its writes expect. Whoever
// writes a credential or a consent writes the secret, too, so the secret's
// revision guards all of them.
type stored struct {
	secret     *Secret
	credential *Credential
	consent    *Consent

	secretRev, credentialRev, consentRev state.Revision
	credentialWas, consentWas            []byte
}

// read reads what an edit may change.
func (st Store) read(ctx context.Context, id string) (stored, error) {
	var d stored
	var err error
	if d.secret, d.secretRev, err = st.Get(ctx, id); err != nil {
		return d, err
	}
	if !d.secret.DeletedAt.IsZero() {
		return d, state.ErrNotFound
	}
	d.credential, d.credentialRev, err = get(ctx, st.State, credentials, state.CredentialKey(id))
	if err != nil {
		return d, fmt.Errorf("credentials: %w", err)
	}
	d.consent, d.consentRev, err = get(ctx, st.State, consents, state.ConsentKey(id))
	if errors.Is(err, state.ErrNotFound) {
		d.consent, err = nil, nil
	}
	if err != nil {
		return d, err
	}
	if d.credentialWas, err = json.Marshal(d.credential); err != nil {
		return d, err
	}
	d.consentWas, err = json.Marshal(d.consent)
	return d, err
}

// writes returns the writes that make of what was read the draft. The secret is
// written in any case: its revision guards the rest.
func (d stored) writes(draft Draft) ([]state.Write, error) {
	writes, err := encode(
		entry{state.CredentialKey(draft.ID), draft.Credential, d.credentialRev},
		entry{state.ConsentKey(draft.ID), draft.Consent, d.consentRev},
		entry{state.SecretKey(draft.ID), draft.Secret, d.secretRev},
	)
	if err != nil {
		return nil, err
	}
	changed := writes[2:]
	if !bytes.Equal(writes[1].Value, d.consentWas) {
		changed = append([]state.Write{writes[1]}, changed...)
	}
	if !bytes.Equal(writes[0].Value, d.credentialWas) {
		changed = append([]state.Write{writes[0]}, changed...)
	}
	return changed, nil
}

// rename returns the writes that reserve the new name of s and free the old one.
func (st Store) rename(ctx context.Context, s *Secret, old string) ([]state.Write, error) {
	key := state.NameKey(s.Property, s.Name)
	if _, _, err := st.State.Get(ctx, key); err == nil {
		return nil, ErrNameTaken
	} else if !errors.Is(err, state.ErrNotFound) {
		return nil, err
	}
	writes, err := encode(entry{key, s.ID, 0})
	if err != nil {
		return nil, err
	}
	held := *s
	held.Name = old
	release, err := st.release(ctx, &held)
	return append(writes, release...), err
}
