package exchanger

import (
	"context"
	"fmt"

	"github.com/rekindle-dev/rekindle/pkg/seal"
	"github.com/rekindle-dev/rekindle/pkg/secret"
)

// The hidden half of a secret's credentials is sealed by an api process, that cannot
// open it, and so is dear to open; and its record lies where nothing has been written
// for long. An exchanger copies it into the grant, which it writes anyway, sealed as
// exchangers seal. The copy stands for the record as long as it is of the generation
// that the secret names: whoever changes credentials gives them another.

// readCredential finds the hidden half of what the record is the public half of: in
// the copy, or in its own record. That is written together with the secret's, so when
// these do not fit, one of them was read from behind. That is no verdict on the secret.
func (c *claim) readCredential(ctx context.Context) error {
	if copied := c.grant.Credential; c.usable(copied) {
		c.credential = copied
		return nil
	}
	stored, err := c.x.vault.Credential(ctx, c.secret.ID)
	if err != nil {
		return fmt.Errorf("credentials: %w", err)
	}
	if stored.Generation != c.secret.CredentialGeneration {
		return fmt.Errorf("credentials: %w", errBehind)
	}
	c.credential = stored
	return nil
}

// usable reports whether a copy stands for the record: it is of the right generation,
// sealed to the key that is primary now, and opens.
func (c *claim) usable(copied *secret.Credential) bool {
	if copied == nil || copied.Generation != c.secret.CredentialGeneration {
		return false
	}
	for name, f := range copied.Fields {
		_, key, err := seal.Inspect(f.Sealed)
		if err != nil || key != c.x.Keyring.Keyset().Primary() {
			return false
		}
		value, err := c.x.opener.Open(c.secret.Binding(name, f), f.Sealed)
		value.Wipe()
		if err != nil {
			return false
		}
	}
	return true
}

// copyCredential puts a copy of the credentials that were read into the grant that is
// written next, unless they are one, or are not needed a second time. What cannot be
// opened is not copied: the exchange says so.
func (c *claim) copyCredential() {
	if c.credential == c.grant.Credential || !c.secret.Kind.Expires() {
		return
	}
	copied := &secret.Credential{Generation: c.credential.Generation, Fields: make(map[string]secret.SealedField, len(c.credential.Fields))}
	for name, f := range c.credential.Fields {
		own := secret.SealedField{Generation: f.Generation} // bound to the id, whatever f is bound to
		var err error
		own.Sealed, err = c.x.reseal(c.secret.Binding(name, f), c.secret.Binding(name, own), f.Sealed)
		if err != nil {
			return
		}
		copied.Fields[name] = own
	}
	next := *c.grant
	next.Credential = copied
	c.grant, c.credential = &next, copied
}

// reseal seals what others have sealed as exchangers seal.
func (x *Exchanger) reseal(from, to seal.Binding, sealed []byte) ([]byte, error) {
	value, err := x.opener.Open(from, sealed)
	if err != nil {
		return nil, err
	}
	defer value.Wipe()
	return x.opener.Seal(to, value)
}
