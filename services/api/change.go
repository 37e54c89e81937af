package api

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/rekindle-dev/rekindle/pkg/seal"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state"
)

// Changed is a secret that a use case has changed, with what is told of it in
// that one answer only.
type Changed struct {
	*secret.Secret
	// Dialog is where a person may consent; nil for kinds that need nobody.
	Dialog *Dialog
	// Test is what a test found; nil when none was made.
	Test *Test
}

// Action is what a change is to do besides (contract A8).
type Action string

// The actions. The empty one is a plain update.
const (
	Update      Action = ""
	TestIt      Action = "test"
	Retry       Action = "retry"
	Reauthorize Action = "reauthorize"
	// Accept uses the consent of another account, which is held until then. It
	// is an addition to the contract.
	Accept Action = "accept"
)

// Errors that end an edit of a secret and never leave this package.
var (
	errGone      = errors.New("the secret is deleted")
	errUnchanged = errors.New("there is nothing to change")
)

// ChangeSecret does to a secret what the resource data asks for: an action, or an
// update of what it names (contract A8). It returns ErrNotFound, a RefusedError,
// a TooManyError, ErrNotReady or ErrUnavailable.
func (s *Service) ChangeSecret(ctx context.Context, who Caller, id string, data *Object) (*Changed, error) {
	current, err := s.Secret(ctx, who, id)
	if err != nil {
		return nil, err
	}
	action, err := readAction(data, current)
	if err != nil {
		return nil, err
	}
	switch action {
	case TestIt:
		return s.testSecret(ctx, who, current)
	case Retry:
		return s.retrySecret(ctx, who, current)
	case Reauthorize:
		return s.reauthorizeSecret(ctx, who, current)
	case Accept:
		return s.acceptHeld(ctx, who, current)
	default:
		return s.updateSecret(ctx, who, current, data)
	}
}

// readAction reads what every change has in common and what it is to do.
func readAction(data *Object, current *secret.Secret) (Action, error) {
	if err := openResource(data, "secrets", InvalidSecret); err != nil {
		return "", err
	}
	var id string
	if data.decode("id", &id, "a string") && id != current.ID {
		return "", refuse(Conflict, data.at("id"), "id must be that of the path")
	}
	meta, _ := data.object("meta")
	var action Action
	meta.decode("action", &action, "a string")
	switch allowed := actionsOf(current.Kind); {
	case meta.faulty("action"), action == Update:
	case !slices.Contains([]Action{TestIt, Retry, Reauthorize, Accept}, action):
		meta.note(InvalidAction, "action", "action must be one of "+named(allowed))
	case !slices.Contains(allowed, action):
		meta.note(InvalidAction, "action", fmt.Sprintf("action %s is not for secrets of the type %s, which have %s", action, current.Kind, named(allowed)))
	}
	a, _ := data.object("attributes")
	var kind secret.Kind
	if a.decode("type_of", &kind, "a string") && kind.Canonical() != current.Kind.Canonical() {
		a.fault("type_of", fmt.Sprintf("cannot be changed: it is %s", current.Kind))
	}
	if action != Update {
		a.require("type_of")
	}
	return action, data.report.err()
}

// actionsOf are the actions of a kind (contract A8).
func actionsOf(k secret.Kind) []Action {
	switch c := k.Canonical(); {
	case c == secret.OAuth2 || c == secret.OAuth2JWT:
		return []Action{TestIt, Retry}
	case k.Interactive():
		return []Action{Retry, Reauthorize, Accept}
	default:
		return []Action{Retry}
	}
}

func named(actions []Action) string {
	names := make([]string, len(actions))
	for i, a := range actions {
		names[i] = string(a)
	}
	return strings.Join(names, ", ")
}

// edit carries out change, which must be pure, and makes what became of it
// visible to everyone. A secret that change leaves alone, by errUnchanged, is
// returned as it is, with revision 0.
func (s *Service) edit(ctx context.Context, who Caller, id string, change func(*secret.Draft) error) (*secret.Secret, state.Revision, error) {
	now, trace := s.now(), traceparent(ctx)
	var found *secret.Secret
	changed, rev, err := s.secrets.Edit(ctx, id, func(d *secret.Draft) error {
		found = d.Secret
		if err := change(d); err != nil {
			return err
		}
		d.UpdatedAt, d.UpdatedBy, d.Trace = now, who.Actor, trace
		return nil
	})
	refused, isRefused := errors.AsType[*RefusedError](err)
	switch {
	case errors.Is(err, errUnchanged):
		return found, 0, nil
	case errors.Is(err, state.ErrNotFound):
		return nil, 0, ErrNotFound
	case isRefused:
		return nil, 0, refused
	case found == nil:
		return nil, 0, unavailable(err)
	case err != nil:
		return nil, 0, nameTaken(err, found.Name)
	}
	s.see(ctx, rev)
	return changed, rev, nil
}

// retrySecret asks for an exchange. While one that somebody asked for has not
// been made, there is nothing more to ask for (contract A8). A secret without a
// grant needs a person first: the answer says where.
func (s *Service) retrySecret(ctx context.Context, who Caller, current *secret.Secret) (*Changed, error) {
	sealer, err := s.sealer()
	if err != nil {
		return nil, err
	}
	now := s.now()
	var opened *Dialog
	retried, rev, err := s.edit(ctx, who, current.ID, func(d *secret.Draft) (err error) {
		opened = nil // of an earlier run
		switch {
		case waits(d.Secret):
			d.OpenDialog(now, now.Add(dialogLife))
			opened, err = s.openDialog(d, sealer, who)
		case d.Asked():
			err = errUnchanged
		default:
			d.Ask(now)
		}
		return err
	})
	switch {
	case err != nil:
		return nil, err
	case opened != nil:
		s.announceReauthorize(ctx, retried, rev, opened.Until)
	case rev > 0:
		s.announceRetry(ctx, retried, rev)
	}
	return &Changed{Secret: retried, Dialog: opened}, nil
}

// waits reports whether there is nothing to exchange until somebody consents.
func waits(s *secret.Secret) bool {
	a := s.Authorization
	return s.Kind.Interactive() && (a == nil || a.AuthorizedAt.IsZero() && a.ConsentedAt.IsZero())
}

// reauthorizeSecret opens a dialog for another consent. The grant in use serves
// on until the new one is proven (contract A13).
func (s *Service) reauthorizeSecret(ctx context.Context, who Caller, current *secret.Secret) (*Changed, error) {
	sealer, err := s.sealer()
	if err != nil {
		return nil, err
	}
	now := s.now()
	var opened *Dialog
	changed, rev, err := s.edit(ctx, who, current.ID, func(d *secret.Draft) (err error) {
		d.OpenDialog(now, now.Add(dialogLife))
		opened, err = s.openDialog(d, sealer, who)
		return err
	})
	if err != nil {
		return nil, err
	}
	s.announceReauthorize(ctx, changed, rev, opened.Until)
	return &Changed{Secret: changed, Dialog: opened}, nil
}

// acceptHeld decides that the held consent, another account's, is to be used.
func (s *Service) acceptHeld(ctx context.Context, who Caller, current *secret.Secret) (*Changed, error) {
	now := s.now()
	accepted, rev, err := s.edit(ctx, who, current.ID, func(d *secret.Draft) error {
		a := d.Authorization
		switch {
		case a != nil && !a.ConsentedAt.IsZero():
			return errUnchanged
		case a == nil || a.HeldAt.IsZero():
			return refuse(InvalidAction, "/data/meta/action", "action accept: no other account's consent is held")
		}
		d.AcceptHeld(now)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if rev > 0 {
		s.announceConsent(ctx, accepted, rev)
	}
	return &Changed{Secret: accepted}, nil
}

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
	updated, rev, err := s.edit(ctx, who, current.ID, func(d *secret.Draft) (err error) {
		data.report.problems = data.report.problems[:noted] // of an earlier run
		u.changed = nil
		if err := s.apply(ctx, u, d); err != nil {
			return err
		}
		_, registered := s.cfg.Apps[d.Kind.Provider()]
		switch consent := d.Kind.Interactive() && slices.Contains(u.changed, "credentials"); {
		case registered || consent:
			opened, err = s.openDialog(d, u.sealer, who)
		case len(u.changed) == 0:
			err = errUnchanged
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if len(u.changed) > 0 {
		s.announceUpdated(ctx, updated, rev, u.changed)
	}
	return &Changed{Secret: updated, Dialog: opened}, nil
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
		u.hidden = readHidden(u.credentials, current.Kind)
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
	now := s.now()
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
	switch {
	case changed && d.Kind.Interactive():
		d.OpenDialog(now, now.Add(dialogLife))
	case changed:
		d.Ask(now)
	}
	if attached && (!changed || d.Kind.Interactive()) {
		d.Ask(now)
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
	readable := !u.credentials.faulty("token_url") && !u.credentials.faulty("authorization_url")
	for _, name := range hiddenNames(d.Kind) {
		_, sent := u.hidden[name]
		_, stored := fields[name]
		switch moved := readable && public.SealedAs(name) != d.Credentials.SealedAs(name); {
		case sent || u.credentials.faulty(name):
		case !stored:
			u.credentials.fault(name, "is required")
		case moved:
			u.credentials.fault(name, "is required, because token_url names another server, which the stored one is not for")
		}
	}
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
