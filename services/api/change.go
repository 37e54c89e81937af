package api

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rekindle-dev/rekindle/pkg/audit"
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
	// Unchanged tells that it was as was asked for already.
	Unchanged bool
	// Repeated tells that nothing was done, because it was done before; see [Service.Once].
	Repeated bool
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
	// errUnseen keeps a change from being anybody's: nothing that is shown has
	// changed.
	errUnseen = errors.New("nothing that is shown has changed")
)

// ChangeSecret does to a secret what the resource data asks for: an action, or an
// update of what it names (contract A8). It returns ErrNotFound, a RefusedError,
// a TooManyError, ErrChanged, ErrNotReady or ErrUnavailable.
func (s *Service) ChangeSecret(ctx context.Context, who Caller, id string, data *Object) (*Changed, error) {
	current, err := s.Secret(ctx, who, id)
	if err != nil {
		return nil, err
	}
	action, err := readAction(data, current)
	if err != nil {
		return nil, err
	}
	if action != Update && !current.Elsewhere.IsZero() {
		return nil, refuse(Conflict, "/data/meta/action", fmt.Sprintf("action %s: another system keeps the secret fresh; take it over first", action))
	}
	switch action {
	case TestIt:
		if err := s.expectSecret(ctx, who, id); err != nil {
			return nil, err
		}
		return s.testSecret(ctx, who, current)
	case Retry:
		return s.retrySecret(ctx, who, current)
	case Reauthorize:
		return s.reauthorizeSecret(ctx, who, current)
	case Accept:
		return s.acceptHeld(ctx, who, current, data)
	default:
		return s.updateSecret(ctx, who, current, data)
	}
}

// expectSecret returns ErrChanged when the secret is not what the caller takes it
// for, for what writes nothing.
func (s *Service) expectSecret(ctx context.Context, who Caller, id string) error {
	if who.IfMatch == nil {
		return nil
	}
	stored, _, err := s.secrets.Get(ctx, id)
	switch {
	case errors.Is(err, state.ErrNotFound):
		return ErrNotFound
	case err != nil:
		return unavailable(err)
	}
	return who.IfMatch.admit(SecretTag(stored))
}

// onlyAction checks a request to do to a resource the one thing that can be done to it.
func onlyAction(data *Object, resource, id string, action Action) error {
	if err := openResource(data, resource, InvalidAction); err != nil {
		return err
	}
	var sent string
	if data.decode("id", &sent, "a string") && sent != id {
		return refuse(Conflict, data.at("id"), "id must be that of the path")
	}
	meta, _ := data.object("meta")
	meta.require("action")
	meta.oneOf("action", string(action))
	return data.report.err()
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

// edit is a change of a secret that is there.
type edit struct {
	who    Caller
	id     string
	action Action
	change func(*secret.Draft) error
	// say returns the events that announce what change has made of it.
	say func(*secret.Secret) []saying
}

// edit carries out e.change, which may be called again: whatever it leaves outside
// the draft it must overwrite. A secret that change leaves alone, by errUnchanged,
// is returned as it is, with revision 0; a change ended by errUnseen is made. Any
// other error of change is returned as it is: only what the state itself did is told
// of the state. What was changed is announced before it returns: an
// exchanger may announce what follows.
func (s *Service) edit(ctx context.Context, e edit) (*secret.Secret, state.Revision, error) {
	defer s.turns.take(e.id)()
	now, parent := s.now(), traceparent(ctx)
	var found *secret.Secret
	var own error // of the last call of change
	changed, rev, err := s.telling(func() deed {
		return deed{who: e.who, verb: audit.Updated, of: tellSecret{found}, action: e.action, says: e.say(found)}
	}).Edit(ctx, e.id, func(d *secret.Draft) error {
		found = d.Secret
		if own = e.who.IfMatch.admit(SecretTag(d.Secret)); own == nil {
			own = e.change(d)
		}
		switch {
		case own == nil:
			d.UpdatedAt, d.UpdatedBy, d.Trace = now, e.who.Actor, parent
		case errors.Is(own, errUnseen):
			own = nil
		}
		return own
	})
	switch {
	case errors.Is(own, errUnchanged):
		return found, 0, nil
	case own != nil:
		return nil, 0, own
	case errors.Is(err, state.ErrNotFound):
		return nil, 0, ErrNotFound
	case found == nil:
		return nil, 0, unavailable(err)
	case err != nil:
		return nil, 0, nameTaken(err, found.Name)
	}
	return changed, rev, nil
}

// retrySecret asks for an exchange. While one that somebody asked for has not
// been made, there is nothing more to ask for (contract A8), unless it was put off:
// then it is due now. A secret without a
// grant needs a person first: the answer says where.
func (s *Service) retrySecret(ctx context.Context, who Caller, current *secret.Secret) (*Changed, error) {
	sealer, err := s.sealer()
	if err != nil {
		return nil, err
	}
	now := s.now()
	var opened *Dialog
	retried, rev, err := s.edit(ctx, edit{who, current.ID, Retry, func(d *secret.Draft) (err error) {
		opened = nil // of an earlier run
		switch {
		case d.NeedsConsent():
			opened, err = s.openDialog(d, sealer, who, true)
		case d.Asked(now):
			err = errUnchanged
		default:
			d.Ask(now)
		}
		return err
	}, func(r *secret.Secret) []saying {
		if opened != nil {
			return []saying{sayReauthorize(r, opened.Until)}
		}
		return []saying{sayRetry(r)}
	}})
	if err != nil {
		return nil, err
	}
	s.see(ctx, rev)
	return &Changed{Secret: retried, Dialog: opened, Unchanged: rev == 0}, nil
}

// reauthorizeSecret opens a dialog for another consent. The grant in use serves
// on until the new one is proven (contract A13).
func (s *Service) reauthorizeSecret(ctx context.Context, who Caller, current *secret.Secret) (*Changed, error) {
	sealer, err := s.sealer()
	if err != nil {
		return nil, err
	}
	var opened *Dialog
	changed, rev, err := s.edit(ctx, edit{who, current.ID, Reauthorize, func(d *secret.Draft) (err error) {
		opened, err = s.openDialog(d, sealer, who, true)
		return err
	}, func(r *secret.Secret) []saying { return []saying{sayReauthorize(r, opened.Until)} }})
	if err != nil {
		return nil, err
	}
	s.see(ctx, rev)
	return &Changed{Secret: changed, Dialog: opened}, nil
}

// acceptHeld decides that the held consent, another account's, is to be used: the
// one that came at the moment that data names, if it names one.
func (s *Service) acceptHeld(ctx context.Context, who Caller, current *secret.Secret, data *Object) (*Changed, error) {
	now := s.now()
	meta, _ := data.object("meta")
	var seen time.Time
	meta.decode("authorization_held_at", &seen, "the timestamp that the secret shows")
	if err := data.report.err(); err != nil {
		return nil, err
	}
	accepted, rev, err := s.edit(ctx, edit{who, current.ID, Accept, func(d *secret.Draft) error {
		a := d.Authorization
		switch {
		case a == nil || a.HeldAt.IsZero():
			return refuse(InvalidAction, "/data/meta/action", "action accept: no other account's consent is held")
		case !seen.IsZero() && !seen.Equal(a.HeldAt):
			return refuse(Conflict, "/data/meta/authorization_held_at", "authorization_held_at is not that of the consent that is held now: look again")
		case d.ConsentWaits() && a.Accept:
			return errUnchanged
		case d.ConsentWaits():
			return refuse(Conflict, "/data/meta/action", "action accept: another consent is being exchanged; try again")
		}
		d.AcceptHeld(now)
		return nil
	}, func(a *secret.Secret) []saying { return []saying{sayConsent(a, who.Actor)} }})
	if err != nil {
		return nil, err
	}
	s.see(ctx, rev)
	return &Changed{Secret: accepted, Unchanged: rev == 0}, nil
}
