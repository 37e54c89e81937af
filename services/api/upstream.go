package api

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"strings"

	"github.com/rekindle-dev/rekindle/events/intake"
	"github.com/rekindle-dev/rekindle/pkg/secret"
)

// CarryOut does what an upstream event asks for: the same use case that the matching HTTP
// request runs, with its data made into the resource of that request. Subject is what the
// event says it is about, "" for nothing. The pointers of a refusal lead into the data of
// the event. It returns a RefusedError, ErrRepeated, ErrNotReady or ErrUnavailable.
//
// The body may hold plaintext, though it must not: what of that is found is refused, and
// overwritten.
func (s *Service) CarryOut(ctx context.Context, who Caller, t intake.Type, subject string, body []byte) (*Changed, error) {
	w, err := readWish(t, subject, body)
	if err != nil {
		return nil, inData(t, err)
	}
	changed, err := s.carryOut(ctx, who, w)
	if err == nil && changed.Unchanged {
		err = s.settle(ctx, who, changed.Secret)
	}
	return changed, inData(t, err)
}

// wish is an upstream event as it was sent. What is wrong with it is noted in its data.
type wish struct {
	typ  intake.Type
	data *Object
	// id is what names the secret, or else property and name.
	id, property, name string
}

// readWish reads what the types of upstream events have in common.
func readWish(t intake.Type, subject string, body []byte) (*wish, error) {
	data, err := readRoot(body)
	if err != nil {
		return nil, err
	}
	data.report.invalid = InvalidSecret
	w := &wish{typ: t, data: data}
	w.id, _ = data.text("secret", maxID)
	w.property, _ = data.text("property", maxID)
	w.name, _ = data.text("name", maxName)
	about := intake.Which{Secret: w.id, Property: w.property, Name: w.name}.About()
	switch _, named := data.member("secret"); {
	case t == intake.TypeSecretCreated:
		data.require("property", "name")
		about = intake.SecretCreated{Property: w.property, Name: w.name}.About()
	case !named:
		data.require("property", "name")
	case w.property != "" || w.name != "":
		data.fault("secret", "must stand alone: property and name name a secret, too")
	}
	if subject != "" && about != "" && subject != about {
		data.report.problems = append(data.report.problems, Problem{InvalidSecret, "", "the header ce-subject is not what the data is about"})
	}
	data.SealedOnly(about)
	data.onlySealed() // beside the credentials, too
	data.onlyCredentials()
	return w, nil
}

// maxID bounds what may be an id.
const maxID = 64

// onlyCredentials notes what of the credentials is not sealed and must be, also of an event
// that takes none; and what is no member of any: it may be a hidden one under another name.
func (o *Object) onlyCredentials() {
	credentials, _ := o.object("credentials")
	credentials.onlySealed()
	known := map[string]bool{"authorization_url": true} // what token_url was called in 2021
	for f := range reflect.TypeFor[intake.Credentials]().Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		known[name] = true
	}
	for _, name := range credentials.names() {
		if !known[name] {
			credentials.note(InvalidSecret, name, "this is no credential of any type: what was sent is erased, and should be replaced if it is secret")
		}
	}
}

func (s *Service) carryOut(ctx context.Context, who Caller, w *wish) (*Changed, error) {
	if w.typ == intake.TypeSecretCreated {
		resource, err := w.resource("", "name", "type_of", "credentials")
		if err != nil {
			return nil, err
		}
		made, err := s.CreateSecret(ctx, who, w.property, resource)
		if errors.Is(err, ErrNotFound) {
			err = cmp.Or(w.data.report.err(), refuse(NotFound, "/property", "there is no such property"))
		}
		return made, err
	}
	current, err := s.wished(ctx, who, w)
	if err != nil {
		return nil, err
	}
	switch w.typ {
	case intake.TypeSecretDeleted:
		if err := w.data.report.err(); err != nil {
			return nil, err
		}
		err = s.DeleteSecret(ctx, who, current.ID)
		return &Changed{Secret: current}, w.notFound(err)
	case intake.TypeRetryRequested:
		return s.change(ctx, who, w, current, Retry)
	case intake.TypeReauthorizeRequested:
		return s.change(ctx, who, w, current, Reauthorize)
	default:
		return s.change(ctx, who, w, current, Update)
	}
}

// change does something to the secret that is there.
func (s *Service) change(ctx context.Context, who Caller, w *wish, current *secret.Secret, action Action) (*Changed, error) {
	var resource *Object
	var err error
	if action == Update {
		resource, err = w.resource(action, "new_name", "credentials")
	} else {
		resource, err = w.resource(action)
	}
	if err != nil {
		return nil, err
	}
	kind, err := json.Marshal(current.Kind)
	if err != nil {
		return nil, err
	}
	attributes, _ := resource.object("attributes")
	attributes.members["type_of"] = kind // which an action has to name
	if resource.members["attributes"], err = json.Marshal(attributes.members); err != nil {
		return nil, err
	}
	changed, err := s.ChangeSecret(ctx, who, current.ID, resource)
	return changed, w.notFound(err)
}

// wished returns the secret that an event is about.
func (s *Service) wished(ctx context.Context, who Caller, w *wish) (*secret.Secret, error) {
	if err := w.data.report.err(); err != nil && w.id == "" && (w.property == "" || w.name == "") {
		return nil, err
	}
	if w.id != "" {
		found, err := s.Secret(ctx, who, w.id)
		return found, w.notFound(err)
	}
	switch _, err := s.Property(ctx, who, w.property); {
	case errors.Is(err, ErrNotFound):
		return nil, refuse(NotFound, "/property", "there is no such property")
	case err != nil:
		return nil, err
	}
	found, err := s.named(ctx, who, w.property, w.name)
	return found, w.notFound(err)
}

// notFound says of a secret that there is none where the event names it.
func (w *wish) notFound(err error) error {
	switch {
	case !errors.Is(err, ErrNotFound):
		return err
	case w.id != "":
		return refuse(NotFound, "/secret", "there is no such secret")
	default:
		return refuse(NotFound, "/name", "the property has no secret of this name")
	}
}

// resource makes of the named members of the data, and of its environment, the resource
// that a request would send.
func (w *wish) resource(action Action, members ...string) (*Object, error) {
	attributes := map[string]json.RawMessage{}
	for _, name := range members {
		if raw, sent := w.data.member(name); sent {
			attributes[strings.TrimPrefix(name, "new_")] = raw
		}
	}
	resource := map[string]any{"attributes": attributes}
	if action != Update {
		resource["meta"] = map[string]Action{"action": action}
	} else if id, ok := w.data.text("environment", maxID); ok {
		resource["relationships"] = map[string]any{"environment": map[string]any{"data": map[string]string{"id": id, "type": "environments"}}}
	}
	body, err := json.Marshal(resource)
	if err != nil {
		return nil, err
	}
	parts, err := split(body)
	if err != nil {
		return nil, err
	}
	return &Object{pointer: "/data", members: parts, report: w.data.report}, nil
}

// inData makes the pointers of a refusal lead into the data of an event.
func inData(t intake.Type, err error) error {
	refused, ok := errors.AsType[*RefusedError](err)
	if !ok {
		return err
	}
	var there []Problem
	seen := make(map[Problem]bool, len(refused.Problems))
	for _, p := range refused.Problems {
		p.Pointer = pointerInData(t, p.Pointer)
		if p.Pointer == "/new_name" && strings.HasPrefix(p.Detail, "name ") {
			p.Detail = "new_" + p.Detail
		}
		if !seen[p] { // what the data and the resource of it have in common
			seen[p], there = true, append(there, p)
		}
	}
	return &RefusedError{there}
}

func pointerInData(t intake.Type, pointer string) string {
	attribute, isAttribute := strings.CutPrefix(pointer, "/data/attributes/")
	switch {
	case isAttribute && attribute == "name" && t != intake.TypeSecretCreated:
		return "/new_name"
	case isAttribute && attribute == "type_of" && t != intake.TypeSecretCreated:
		return ""
	case isAttribute:
		return "/" + attribute
	case strings.HasPrefix(pointer, "/data/relationships/environment"):
		return "/environment"
	case pointer == "/data/id":
		return "/secret"
	case pointer == "/data" || strings.HasPrefix(pointer, "/data/"):
		return ""
	default:
		return pointer
	}
}
