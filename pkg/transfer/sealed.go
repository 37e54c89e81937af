package transfer

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/rekindle-dev/rekindle/pkg/seal"
	"github.com/rekindle-dev/rekindle/pkg/secret"
)

// What is hidden in a row may be sealed to a recipient: in place of its text there is
// {"sealed": "<base64>"}, which opens in that row and in that member only. A client
// secret opens for the server only that the row had as its token_url: whoever changes
// that cannot have it sent elsewhere.

// sealedValue is a member that is sealed.
type sealedValue struct {
	Sealed []byte `json:"sealed"`
}

// memberRefreshToken is the hidden member of a grant.
const memberRefreshToken = "refresh_token"

// Recipient seals rows to the public key of whoever is to import them. It is safe for
// concurrent use.
type Recipient struct {
	sealer *seal.Sealer
	// Key is the id of the key.
	Key string
}

// LoadRecipient reads the file of a public key.
func LoadRecipient(path string) (*Recipient, error) {
	body, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("public key: %w", err)
	}
	var keys seal.Keyset
	if err := json.Unmarshal(body, &keys); err != nil {
		return nil, fmt.Errorf("%s is not the public key of a recipient: %w", path, err)
	}
	return NewRecipient(keys)
}

// NewRecipient returns the recipient that has the private half of the keys.
func NewRecipient(keys seal.Keyset) (*Recipient, error) {
	sealer, err := seal.NewSealer(keys)
	if err != nil {
		return nil, err
	}
	return &Recipient{sealer, keys.Primary().String()}, nil
}

// SealCredential puts the hidden credential of the row's type into it, sealed. The
// row must have its id and its public credentials.
func (r *Recipient) SealCredential(row *Row, value seal.Plaintext) error {
	return r.seal(row, row.Credentials, secret.Kind(row.TypeOf).Hidden(), value)
}

// SealRefreshToken puts the refresh token into the row's grant, sealed.
func (r *Recipient) SealRefreshToken(row *Row, value seal.Plaintext) error {
	return r.seal(row, row.Grant, memberRefreshToken, value)
}

func (r *Recipient) seal(row *Row, members map[string]json.RawMessage, member string, value seal.Plaintext) error {
	sealed, err := r.sealer.Seal(seal.LongLived, row.binding(member), value)
	if err != nil {
		return err
	}
	members[member], err = json.Marshal(sealedValue{sealed})
	return err
}

// binding is what a member of the row is bound to when it is sealed.
func (r *Row) binding(member string) seal.Binding {
	var public secret.Credentials
	for name, into := range map[string]*string{"token_url": &public.TokenURL, "authorization_url": &public.TokenURL} {
		if raw, ok := r.Credentials[name]; ok && public.TokenURL == "" {
			_ = json.Unmarshal(raw, into) //nolint:errcheck // what is no text opens nothing
		}
	}
	return seal.Binding{Secret: r.ID, Field: "exported " + public.SealedAs(member) + " of " + r.TypeOf, Generation: Version}
}

// Opener opens what is sealed in rows. It is safe for concurrent use. A nil Opener
// refuses it.
type Opener struct{ keys *seal.Opener }

// LoadOpener reads the file of a private key.
func LoadOpener(path string) (*Opener, error) {
	ring, err := seal.LoadKeyring(path)
	if err != nil {
		return nil, fmt.Errorf("private key: %w", err)
	}
	return NewOpener(ring), nil
}

// NewOpener returns an Opener for the private keys.
func NewOpener(ring *seal.Keyring) *Opener { return &Opener{seal.NewOpener(ring)} }

// Sealed reports whether anything in the row is sealed.
func Sealed(row Row) bool {
	for _, raw := range []json.RawMessage{row.Credentials[secret.Kind(row.TypeOf).Hidden()], row.Grant[memberRefreshToken]} {
		if len(raw) > 0 && raw[0] == '{' {
			return true
		}
	}
	return false
}

// Open puts the text in place of what is sealed in the row. It returns a
// ProblemError.
func (o *Opener) Open(row *Row) error {
	if name := secret.Kind(row.TypeOf).Hidden(); name != "" {
		if err := o.open(row, "credentials", row.Credentials, name); err != nil {
			return err
		}
	}
	return o.open(row, "grant", row.Grant, memberRefreshToken)
}

func (o *Opener) open(row *Row, of string, members map[string]json.RawMessage, member string) error {
	raw, ok := members[member]
	if !ok || raw[0] != '{' {
		return nil
	}
	at := of + "." + member
	sealed, err := split(at, raw, []string{"sealed"})
	if err != nil {
		return err
	}
	var value sealedValue
	switch {
	case sealed["sealed"] == nil || json.Unmarshal(raw, &value) != nil:
		return problem(at, "must be a string, or what an export has sealed")
	case o == nil:
		return problem(at, "is sealed: name the file of the private key with --identity")
	case row.ID == "":
		return problem("id", "is missing: what is sealed in the row is bound to it")
	}
	opened, err := o.keys.Open(row.binding(member), value.Sealed)
	if errors.Is(err, seal.ErrUnknownKey) {
		return problem(at, "is sealed to another key than the one that was named")
	}
	if err != nil {
		return problem(at, "does not open: the row was changed since it was exported")
	}
	defer opened.Wipe()
	text := opened.Reveal()
	defer clear(text)
	members[member], err = json.Marshal(string(text))
	return err
}
