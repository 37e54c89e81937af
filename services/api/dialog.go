package api

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/rekindle-dev/rekindle/pkg/provider"
	"github.com/rekindle-dev/rekindle/pkg/seal"
	"github.com/rekindle-dev/rekindle/pkg/secret"
)

// dialogLife is how long a person may take to consent (contract A13).
const dialogLife = time.Hour

// Dialog is where a person may consent to a secret, and until when. It is told
// once: the URL holds the state, which is kept as a hash only.
type Dialog struct {
	URL   string
	Until time.Time
}

// openDialog adds a dialog to the draft. The code verifier is sealed at once:
// only an exchanger will see it again (RFC 7636 section 4.1). Asked tells that
// somebody asked for it: then the secret shows as pending.
func (s *Service) openDialog(d *secret.Draft, sealer *seal.Sealer, who Caller, asked bool) (*Dialog, error) {
	app, ok := s.cfg.Apps[d.Kind.Provider()]
	if !ok {
		return nil, refuse(InvalidSecret, "/data/attributes/type_of", fmt.Sprintf(
			"no app is registered with the provider any more: set providers.%s.client_id in the configuration", d.Kind.Provider()))
	}
	now, param, verifier := s.now(), newState(d.ID), newVerifier()
	opened := secret.Dialog{
		Number: 1, State: hash(param), RedirectURI: who.Callback,
		ClientID: app.Registration.ClientID, Until: now.Add(dialogLife), Asked: asked,
	}
	if d.Consent != nil {
		opened.Number = d.Consent.Opened + 1
	}
	plain := seal.NewPlaintext(verifier)
	defer plain.Wipe()
	var err error
	opened.Verifier, err = sealer.Seal(seal.ShortLived, seal.Binding{
		Secret: d.ID, Field: secret.FieldVerifier, Generation: opened.Number,
	}, plain)
	if err != nil {
		return nil, err
	}
	to, err := app.Provider.AuthorizationURL(provider.Dialog{
		ClientID: app.Registration.ClientID, RedirectURI: who.Callback, Scopes: d.Credentials.Scopes,
		State: param, Challenge: base64.RawURLEncoding.EncodeToString(hash(string(verifier))),
		Force: d.Authorization != nil && d.Authorization.ForceConsent,
	})
	if err != nil {
		return nil, err
	}
	if d.Consent == nil {
		d.Consent = new(secret.Consent)
	} else {
		d.Consent = d.Consent.Clone()
	}
	d.Consent.Begin(opened, now)
	if asked {
		d.OpenDialog(now, opened.Until)
	}
	return &Dialog{URL: to, Until: opened.Until}, nil
}

const (
	idBytes    = 16 // of a secret's id without its prefix
	stateBytes = 32 // of randomness, twice what contract A13 asks for
)

// newState returns a state for a dialog of the secret: its id, so that the secret
// is found, and what nobody can guess.
func newState(id string) string {
	raw, err := hex.DecodeString(id[len(secret.PrefixSecret):])
	if err != nil {
		panic("the secret has no id") // it was made or found by it
	}
	raw = append(raw, make([]byte, stateBytes)...)
	rand.Read(raw[idBytes:]) // never fails: it ends the program instead
	return base64.RawURLEncoding.EncodeToString(raw)
}

// secretOf returns the id of the secret that a state was made for, "" for what
// is no state.
func secretOf(state string) string {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(state)
	if err != nil || len(raw) != idBytes+stateBytes {
		return ""
	}
	id := string(secret.PrefixSecret) + hex.EncodeToString(raw[:idBytes])
	if !secret.ValidID(secret.PrefixSecret, id) {
		return ""
	}
	return id
}

// newVerifier returns a code verifier of 256 random bits.
func newVerifier() []byte {
	var raw [32]byte
	rand.Read(raw[:])
	defer clear(raw[:])
	return base64.RawURLEncoding.AppendEncode(nil, raw[:])
}

func hash(text string) []byte {
	sum := sha256.Sum256([]byte(text))
	return sum[:]
}
