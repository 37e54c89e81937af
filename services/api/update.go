package api

import (
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"reflect"
	"slices"

	"github.com/rekindle-dev/rekindle/pkg/seal"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state"
)

// updateSecret changes what is named and keeps what is not (contract A8). Whoever
// changes what goes into the exchange, or gives the secret its environment, asks
// for an exchange; whoever changes what a person consents to, for a consent.
func (s *Service) updateSecret(ctx context.Context, who Caller, current *secret.Secret, data *Object) (*Changed, error) {
	u, err := s.readUpdate(ctx, who, current, data)
	defer u.hidden.wipe()
	if err != nil {
		return nil, err
	}
	if u.sealer, err = s.sealer(); err != nil {
		return nil, err
	}
	noted := len(data.report.problems)
	var opened *Dialog
	updated, rev, err := s.edit(ctx, edit{who, current.ID, Update, func(d *secret.Draft) (err error) {
		data.report.problems = data.report.problems[:noted] // of an earlier run
		u.changed, opened = nil, nil
		if err := s.apply(ctx, u, d); err != nil {
			return err
		}
		_, registered := s.cfg.Apps[d.Kind.Provider()]
		switch consent := d.Kind.Interactive() && slices.Contains(u.changed, "credentials"); {
		case d.Elsewhere.IsZero() && (registered || consent):
			opened, err = s.openDialog(d, u.sealer, who, consent)
			if err == nil && len(u.changed) == 0 {
				err = errUnseen
			}
		case len(u.changed) == 0:
			err = errUnchanged
		}
		return err
	}, func(r *secret.Secret) (says []saying) {
		if len(u.changed) > 0 {
			says = append(says, sayUpdated(r, who.Actor, u.changed))
		}
		if opened != nil && slices.Contains(u.changed, "credentials") {
			says = append(says, sayReauthorize(r, opened.Until))
		}
		return says
	}})
	if err != nil {
		return nil, err
	}
	s.see(ctx, rev)
	return &Changed{Secret: updated, Dialog: opened, Unchanged: rev == 0}, nil
}

// update is a plain update as it was sent.
type update struct {
	data        *Object
	attributes  *Object
	name        string // empty: not sent
	credentials *Object
	sent        bool // whether there are credentials
	hidden      hiddenFields
	environment *Environment // nil: not sent
	sealer      *seal.Sealer
	// changed is what it changes: name, credentials, environment.
	changed []string
}

// readUpdate reads what does not depend on the stored secret.
func (s *Service) readUpdate(ctx context.Context, who Caller, current *secret.Secret, data *Object) (*update, error) {
	u := &update{data: data}
	u.attributes, _ = data.object("attributes")
	u.name, _ = u.attributes.text("name", maxName)
	if raw, there := u.attributes.members["name"]; there && string(raw) == "null" {
		u.attributes.fault("name", "must not be null")
	}
	u.credentials, u.sent = u.attributes.object("credentials")
	if u.sent {
		u.hidden = s.readHidden(u.credentials, current.Kind, current.ID)
	}
	parent, err := s.Property(ctx, who, current.Property)
	if err != nil {
		return u, err
	}
	u.environment, err = s.target(ctx, who, parent, data)
	return u, err
}

// apply makes the draft what the update asks for, or refuses all of it.
func (s *Service) apply(ctx context.Context, u *update, d *secret.Draft) error {
	if u.name != "" && u.name != d.Name {
		d.Name = u.name
		u.changed = append(u.changed, "name")
	}
	attached, err := s.attach(ctx, u, d)
	if err != nil {
		return err
	}
	changed, err := u.replaceCredentials(s, d)
	if err := cmp.Or(u.data.report.err(), err); err != nil {
		return err
	}
	if attached {
		u.changed = append(u.changed, "environment")
	}
	if changed {
		u.changed = append(u.changed, "credentials")
	}
	if changed && !d.Kind.Interactive() || attached {
		d.Ask(s.now())
	}
	return nil
}

// attach gives the secret its environment. It cannot be taken away again, nor
// changed for another, unless it is deleted (contract A14): then the state decides,
// for a healer may not have come to the secret yet. The error is ErrUnavailable.
func (s *Service) attach(ctx context.Context, u *update, d *secret.Draft) (bool, error) {
	if u.data.faulty("relationships") {
		return false, nil
	}
	relationships, _ := u.data.object("relationships")
	wanted := ""
	if u.environment != nil {
		wanted = u.environment.ID
	}
	if wanted == d.Environment || wanted == "" && !cleared(relationships) {
		return false, nil
	}
	if d.Environment != "" {
		there, err := s.exists(ctx, state.EnvironmentKey(d.Environment))
		if err != nil {
			return false, err
		}
		if there {
			relationships.note(ReadOnly, "environment", "environment cannot be changed once it is set: make another secret for the other one")
			return false, nil
		}
		d.Detach(d.UpdatedAt)
	}
	if wanted == "" {
		return false, nil
	}
	d.Attach(wanted, string(u.environment.Stage))
	return true, nil
}

// cleared reports whether the environment is to be taken away.
func cleared(relationships *Object) bool {
	environment, ok := relationships.object("environment")
	return ok && string(environment.members["data"]) == "null"
}

// replaceCredentials puts the credentials that were sent over the stored ones and
// reports whether that changed them. What is wrong with the result is noted.
func (u *update) replaceCredentials(s *Service, d *secret.Draft) (bool, error) {
	if !u.sent {
		return false, nil
	}
	merged, err := u.credentials.over(d.Credentials, d.Kind)
	if err != nil {
		return false, err
	}
	public := s.readPublic(merged, d.Kind)
	fields := maps.Clone(d.Credential.Fields)
	u.needHidden(d, public)
	if u.data.report.err() != nil || len(u.hidden) == 0 && reflect.DeepEqual(public, d.Credentials) {
		return false, nil
	}
	d.Credentials = public
	d.CredentialGeneration++
	fresh, err := sealFields(u.sealer, d.Secret, u.hidden)
	if err != nil {
		return false, err
	}
	maps.Copy(fields, fresh.Fields)
	d.Credential = &secret.Credential{Generation: d.CredentialGeneration, Fields: fields}
	return true, nil
}

// needHidden notes that the hidden credential is missing: there is none, or the one
// there is was given for another server than the one that public names.
func (u *update) needHidden(d *secret.Draft, public secret.Credentials) {
	name, c := d.Kind.Hidden(), u.credentials
	_, sent := u.hidden[name]
	_, stored := d.Credential.Fields[name]
	readable := !c.faulty("token_url") && !c.faulty("authorization_url")
	switch {
	case name == "" || sent || c.faulty(name):
	case !stored:
		c.fault(name, "is required")
	case readable && public.SealedAs(name) != d.Credentials.SealedAs(name):
		c.fault(name, "is required, because token_url names another server, which the stored one is not for")
	}
}

// over returns the object with the members of what is stored that were not sent.
func (o *Object) over(stored secret.Credentials, kind secret.Kind) (*Object, error) {
	encoded, err := json.Marshal(stored)
	if err != nil {
		return nil, err
	}
	members, err := split(encoded)
	if err != nil {
		return nil, err
	}
	if _, old := o.member("authorization_url"); old && kind.Canonical() == secret.OAuth2 {
		delete(members, "token_url") // which is what it was called in 2021
	}
	maps.Copy(members, o.members)
	return &Object{pointer: o.pointer, members: members, report: o.report}, nil
}
