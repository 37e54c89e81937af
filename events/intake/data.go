package intake

import "github.com/rekindle-dev/rekindle/events/sealing"

// Type names a type of upstream event. It stands in subjects and, behind
// [TypePrefix], in the CloudEvents attribute "type".
type Type string

// The types.
const (
	TypeSecretCreated        Type = "SecretCreated"
	TypeSecretUpdated        Type = "SecretUpdated"
	TypeSecretDeleted        Type = "SecretDeleted"
	TypeRetryRequested       Type = "RetryRequested"
	TypeReauthorizeRequested Type = "ReauthorizeRequested"
)

// Types lists the closed set.
func Types() []Type {
	return []Type{TypeSecretCreated, TypeSecretUpdated, TypeSecretDeleted, TypeRetryRequested, TypeReauthorizeRequested}
}

// TypePrefix makes a CloudEvents type of a Type. It differs from that of the fleet's
// own events, so that nobody takes a wish for a fact.
const TypePrefix = "dev.rekindle.intake.v1."

// Data is what an upstream event says: one of the structs of this package.
type Data interface {
	Type() Type
	// About is the secret that the event is about: its id or, where that is not
	// given, its property and name with a slash between. It is empty for data that
	// names none.
	About() string
}

// Which names a secret: by its id alone, or by its property and its name in there.
type Which struct {
	Secret   string `json:"secret,omitempty"`
	Property string `json:"property,omitempty"`
	Name     string `json:"name,omitempty"`
}

// About implements Data.
func (w Which) About() string {
	if w.Secret != "" {
		return w.Secret
	}
	return about(w.Property, w.Name)
}

// twice tells that it names a secret in both ways, which may be two.
func (w Which) twice() bool { return w.Secret != "" && w.Property+w.Name != "" }

// about is "" unless there are both.
func about(property, name string) string {
	if property == "" || name == "" {
		return ""
	}
	return sealing.AboutName(property, name)
}

// SecretCreated asks for a secret to be made, and kept fresh from then on.
type SecretCreated struct {
	// Property is the id of the property, and Name the name of the secret in there.
	Property string `json:"property"`
	Name     string `json:"name"`
	// TypeOf is the kind of the secret, as in the HTTP API (contract A9).
	TypeOf string `json:"type_of"`
	// Environment is the id of the environment that its value is put into.
	Environment string      `json:"environment,omitempty"`
	Credentials Credentials `json:"credentials,omitzero"`
}

// SecretUpdated asks for a secret to be changed. What is absent stays as it is.
type SecretUpdated struct {
	Which
	// NewName is the name it is to have.
	NewName     string      `json:"new_name,omitempty"`
	Environment string      `json:"environment,omitempty"`
	Credentials Credentials `json:"credentials,omitzero"`
}

// SecretDeleted asks for a secret to be deleted.
type SecretDeleted struct{ Which }

// RetryRequested asks for another exchange of a secret.
type RetryRequested struct{ Which }

// ReauthorizeRequested asks for a dialog in which a person consents anew. The link
// to it is in the reply to the event, and nowhere else.
type ReauthorizeRequested struct{ Which }

// Type implements Data.
func (SecretCreated) Type() Type { return TypeSecretCreated }

// About implements Data.
func (e SecretCreated) About() string { return about(e.Property, e.Name) }

// Type implements Data.
func (SecretUpdated) Type() Type { return TypeSecretUpdated }

// Type implements Data.
func (SecretDeleted) Type() Type { return TypeSecretDeleted }

// Type implements Data.
func (RetryRequested) Type() Type { return TypeRetryRequested }

// Type implements Data.
func (ReauthorizeRequested) Type() Type { return TypeReauthorizeRequested }

// Credentials are the credentials of a secret; which members are used depends on
// its type (contract A9). Those that are hidden can be put here sealed only.
type Credentials struct {
	Token sealing.Value `json:"token,omitzero"`

	Username string        `json:"username,omitempty"`
	Password sealing.Value `json:"password,omitzero"`

	ClientID     string        `json:"client_id,omitempty"`
	ClientSecret sealing.Value `json:"client_secret,omitzero"`

	Iss          string         `json:"iss,omitempty"`
	Aud          string         `json:"aud,omitempty"`
	Sub          string         `json:"sub,omitempty"`
	TTL          int64          `json:"ttl,omitempty"` // seconds
	Alg          string         `json:"alg,omitempty"`
	CustomClaims map[string]any `json:"custom_claims,omitempty"`
	PrivateKey   sealing.Value  `json:"private_key,omitzero"`
	PrivateKeyID string         `json:"private_key_id,omitempty"`

	TokenURL string `json:"token_url,omitempty"`
	// RefreshOffset is how many seconds before its end a token is refreshed; absent
	// for what the fleet takes by itself.
	RefreshOffset *int64            `json:"refresh_offset,omitempty"`
	Options       map[string]string `json:"options,omitempty"`
	Scopes        []string          `json:"scopes,omitempty"`
}

// hidden returns the member that a hidden credential stands in, nil for a name of none.
func (c *Credentials) hidden(field string) *sealing.Value {
	switch field {
	case sealing.FieldToken:
		return &c.Token
	case sealing.FieldPassword:
		return &c.Password
	case sealing.FieldClientSecret:
		return &c.ClientSecret
	case sealing.FieldPrivateKey:
		return &c.PrivateKey
	default:
		return nil
	}
}

// Seal puts a hidden credential into its member, sealed to the fleet's public keys: the
// field is one of [sealing.Fields], and about what the event is about, in the organisation
// that it is published for. A client secret is sealed for the server of the token URL,
// which has to be set before. The errors are those of [sealing.Keyset.Seal].
func (c *Credentials) Seal(keys sealing.Keyset, org, about, field string, credential []byte) error {
	sealed, err := keys.Seal(sealing.Target{Org: org, About: about, Field: field, TokenURL: c.TokenURL}, credential)
	if err == nil {
		*c.hidden(field) = sealed
	}
	return err
}
