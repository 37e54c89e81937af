package api

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/rekindle-dev/rekindle/pkg/audit"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/work"
	"github.com/rekindle-dev/rekindle/services/api/auth"
)

// Whatever is changed is told of in its public form: member by member, so that what a
// record gets one day is not told unless somebody decides so.

// told is a record that can be told of.
type told interface {
	// tell returns what kind of thing it is, in the singular, whose it is, and its public
	// form. Nothing hidden is in it, sealed or not.
	tell() (resource, org string, form audit.Entity)
}

// maxPublic bounds the public form of one record, in bytes. What is larger is told
// of without.
const maxPublic = 16 << 10

// public writes the members of a public form.
func public(members any) json.RawMessage {
	body, err := json.Marshal(members)
	if err != nil || len(body) > maxPublic {
		return nil
	}
	return body
}

func (c *Company) tell() (resource, org string, form audit.Entity) {
	return "company", c.Org, audit.Entity{ID: c.ID, Name: c.Name, Public: public(struct {
		Name      string    `json:"name"`
		Org       string    `json:"org_id"`
		CreatedAt time.Time `json:"created_at"`
		UpdatedAt time.Time `json:"updated_at"`
	}{c.Name, c.Org, c.CreatedAt, c.UpdatedAt})}
}

func (p *Property) tell() (resource, org string, form audit.Entity) {
	return "property", p.Org, audit.Entity{ID: p.ID, Name: p.Name, Property: p.ID, Public: public(struct {
		Name        string    `json:"name"`
		Platform    Platform  `json:"platform"`
		Development bool      `json:"development"`
		Domains     []string  `json:"domains,omitempty"`
		Privacy     string    `json:"privacy,omitempty"`
		Host        string    `json:"host_id,omitempty"`
		Company     string    `json:"company_id"`
		CreatedAt   time.Time `json:"created_at"`
		UpdatedAt   time.Time `json:"updated_at"`
	}{p.Name, p.Platform, p.Development, p.Domains, p.Privacy, p.Host, p.Company, p.CreatedAt, p.UpdatedAt})}
}

func (e *Environment) tell() (resource, org string, form audit.Entity) {
	return "environment", e.Org, audit.Entity{ID: e.ID, Name: e.Name, Property: e.Property, Public: public(struct {
		Name      string    `json:"name"`
		Stage     Stage     `json:"stage"`
		Archive   bool      `json:"archive"`
		Encrypted bool      `json:"archive_encrypted"`
		Path      string    `json:"path,omitempty"`
		Host      string    `json:"host_id"`
		Property  string    `json:"property_id"`
		CreatedAt time.Time `json:"created_at"`
		UpdatedAt time.Time `json:"updated_at"`
	}{e.Name, e.Stage, e.Archive, e.Encrypted(), e.Path, e.Host, e.Property, e.CreatedAt, e.UpdatedAt})}
}

// Of a data element the settings are told, which name secrets and hold none.
func (e *DataElement) tell() (resource, org string, form audit.Entity) {
	return "data_element", e.Org, audit.Entity{ID: e.ID, Name: e.Name, Property: e.Property, Public: public(struct {
		Name      string    `json:"name"`
		Delegate  string    `json:"delegate_descriptor_id"`
		Settings  string    `json:"settings,omitempty"`
		Revision  int       `json:"revision_number"`
		Origin    string    `json:"origin_id"`
		Enabled   bool      `json:"enabled"`
		Property  string    `json:"property_id"`
		CreatedAt time.Time `json:"created_at"`
		UpdatedAt time.Time `json:"updated_at"`
		DeletedAt time.Time `json:"deleted_at,omitzero"`
	}{e.Name, e.Delegate, e.Settings, e.Revision, e.Origin, !e.Disabled, e.Property, e.CreatedAt, e.UpdatedAt, e.DeletedAt})}
}

func (l *Library) tell() (resource, org string, form audit.Entity) {
	return "library", l.Org, audit.Entity{ID: l.ID, Name: l.Name, Property: l.Property, Public: public(struct {
		Name        string       `json:"name"`
		State       LibraryState `json:"state"`
		Environment string       `json:"environment_id,omitempty"`
		Elements    []Held       `json:"data_elements,omitempty"`
		Property    string       `json:"property_id"`
		CreatedAt   time.Time    `json:"created_at"`
		UpdatedAt   time.Time    `json:"updated_at"`
		PublishedAt time.Time    `json:"published_at,omitzero"`
	}{l.Name, l.State, l.Environment, l.Elements, l.Property, l.CreatedAt, l.UpdatedAt, l.PublishedAt})}
}

func (b *Build) tell() (resource, org string, form audit.Entity) {
	return "build", b.Org, audit.Entity{ID: b.ID, Property: b.Property, Public: public(struct {
		Status      secret.Status `json:"status"`
		Library     string        `json:"library_id"`
		Environment string        `json:"environment_id"`
		Stage       Stage         `json:"stage"`
		CreatedAt   time.Time     `json:"created_at"`
		UpdatedAt   time.Time     `json:"updated_at"`
	}{b.Status, b.Library, b.Environment, b.Stage, b.CreatedAt, b.UpdatedAt})}
}

// A host is told of without its key.
func (h *Host) tell() (resource, org string, form audit.Entity) {
	return "host", h.Org, audit.Entity{ID: h.ID, Name: h.Name, Property: h.Property, Public: public(struct {
		Name      string    `json:"name"`
		Type      HostType  `json:"type_of"`
		Server    string    `json:"server,omitempty"`
		Path      string    `json:"path,omitempty"`
		Port      int       `json:"port,omitempty"`
		Username  string    `json:"username,omitempty"`
		Property  string    `json:"property_id"`
		CreatedAt time.Time `json:"created_at"`
		UpdatedAt time.Time `json:"updated_at"`
	}{h.Name, h.Type, h.Server, h.Path, h.Port, h.Username, h.Property, h.CreatedAt, h.UpdatedAt})}
}

// A token is told of without its hash.
func (t *Token) tell() (resource, org string, form audit.Entity) {
	return "token", t.Org, audit.Entity{ID: t.ID, Name: t.Name, Public: public(struct {
		Name      string      `json:"name"`
		Rights    auth.Rights `json:"rights"`
		CreatedAt time.Time   `json:"created_at"`
		ExpiresAt time.Time   `json:"expires_at,omitzero"`
		RevokedAt time.Time   `json:"revoked_at,omitzero"`
	}{t.Name, t.Rights, t.CreatedAt, t.ExpiresAt, t.RevokedAt})}
}

// tellNote tells of a note, without what it says: people write anything into notes.
type tellNote struct {
	*Note
	org, property string
}

func (n tellNote) tell() (resource, org string, form audit.Entity) {
	return "note", n.org, audit.Entity{ID: n.ID, Property: n.property, Public: public(struct {
		Owner     string    `json:"resource_id"`
		Type      string    `json:"resource_type"`
		CreatedAt time.Time `json:"created_at"`
	}{n.Owner, n.Type, n.CreatedAt})}
}

// tellSecret tells of a secret.
type tellSecret struct{ *secret.Secret }

func (s tellSecret) tell() (resource, org string, form audit.Entity) {
	return "secret", s.Org, audit.Entity{ID: s.ID, Name: s.Name, Property: s.Property, Public: public(struct {
		Name        string             `json:"name"`
		Kind        secret.Kind        `json:"type_of"`
		Status      secret.Status      `json:"status"`
		Credentials secret.Credentials `json:"credentials"`
		Property    string             `json:"property_id"`
		Environment string             `json:"environment_id,omitempty"`
		CreatedAt   time.Time          `json:"created_at"`
		UpdatedAt   time.Time          `json:"updated_at"`
		ActivatedAt time.Time          `json:"activated_at,omitzero"`
		ExpiresAt   time.Time          `json:"expires_at,omitzero"`
		RefreshAt   time.Time          `json:"refresh_at,omitzero"`
	}{
		s.Name, s.Kind, s.Status, s.Credentials, s.Property, s.Environment, s.CreatedAt, s.UpdatedAt,
		s.ActivatedAt, s.ExpiresAt, s.RefreshAt,
	})}
}

// tellParked tells of a parked message, without what is in it.
type tellParked struct {
	*work.Parked
	owner string
}

func (m tellParked) tell() (resource, org string, form audit.Entity) {
	return "parked_message", m.owner, audit.Entity{ID: strconv.FormatUint(m.ID, 10), Public: public(struct {
		Lane   string `json:"lane"`
		Type   string `json:"type_of"`
		Secret string `json:"secret_id"`
	}{bounded(m.Lane), bounded(m.Type), bounded(m.Secret)})}
}
