package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/rekindle-dev/rekindle/pkg/audit"
	"github.com/rekindle-dev/rekindle/pkg/seal"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state"
)

// maxPath bounds the path of an environment, in bytes.
const maxPath = 1 << 10

// Environments lists the environments of a property.
func (s *Service) Environments(ctx context.Context, who Caller, property string, q Query[*Environment]) (Page[*Environment], error) {
	if _, err := s.Property(ctx, who, property); err != nil {
		return Page[*Environment]{}, err
	}
	return list(s.view, q, func() (runs[*Environment], error) {
		_, err := s.view.property(who, property)
		return s.view.environments.by(0, property), err
	})
}

// Environment returns an environment, ErrNotFound or ErrUnavailable.
func (s *Service) Environment(ctx context.Context, who Caller, id string) (*Environment, error) {
	return find(ctx, s, keyOf(secret.PrefixEnvironment, id, state.EnvironmentKey), func() (*Environment, error) {
		return s.view.environment(who, id)
	})
}

// environment is Environment for those who hold the lock. Without its property
// an environment is deleted, whatever is left of it.
func (p *projection) environment(who Caller, id string) (*Environment, error) {
	found, ok := p.environments.get(id)
	if !ok {
		return nil, ErrNotFound
	}
	if _, err := p.property(who, found.Property); err != nil {
		return nil, err
	}
	return found, nil
}

// CreateEnvironment makes an environment of the resource data within a property. It
// returns ErrNotFound, a RefusedError, ErrNotReady or ErrUnavailable.
func (s *Service) CreateEnvironment(ctx context.Context, who Caller, property string, data *Object) (*Environment, error) {
	parent, err := s.Property(ctx, who, property)
	if err != nil {
		return nil, err
	}
	company, err := s.Company(who, parent.Company)
	if err != nil {
		return nil, err
	}
	e := &Environment{ID: secret.NewID(secret.PrefixEnvironment), Org: parent.Org, Property: parent.ID}
	host, err := s.readEnvironment(ctx, who, parent, e, data)
	if err != nil {
		return nil, err
	}
	e.Host, e.Token, e.LibraryPath = host.ID, newToken(), company.Token+"/"+parent.Token
	e.CreatedAt = s.now()
	e.UpdatedAt = e.CreatedAt
	rev, err := s.createEnvironment(ctx, who, e, host)
	if err != nil {
		return nil, err
	}
	s.see(ctx, rev)
	return e, nil
}

// readEnvironment reads what a person decides about a new environment, and returns
// the host it is to be on.
func (s *Service) readEnvironment(ctx context.Context, who Caller, parent *Property, e *Environment, data *Object) (*Host, error) {
	if err := openResource(data, "environments", InvalidEnvironment); err != nil {
		return nil, err
	}
	a := data.attributes()
	a.require("name")
	stage, sent := a.oneOf("stage", string(Development), string(Staging), string(Production))
	if !sent {
		stage = string(Development)
	}
	e.Stage = Stage(stage)
	passphrase, _ := a.hidden(passphraseName, maxPassphrase)
	defer passphrase.Wipe()
	e.readAttributes(a)
	host, err := s.hostOf(ctx, who, parent, data)
	if err != nil {
		return nil, err
	}
	return host, s.lock(e, passphrase)
}

// The hidden member of an environment, and its bound in bytes.
const (
	passphraseName = "archive_passphrase"
	maxPassphrase  = 1 << 10
)

// readAttributes puts the attributes that were sent over those there are, but for the
// stage, which is given once, and the passphrase. What is wrong with them is noted.
func (e *Environment) readAttributes(a *Object) {
	if name, sent := a.text("name", maxName); sent {
		e.Name = name
	}
	if path, sent := a.text("path", maxPath); sent || a.null("path") {
		e.Path = path
	}
	a.decode("archive", &e.Archive, "true or false")
	a.switched("include_debug_library", &e.DebugLibrary)
	if _, sent := a.member(passphraseName); sent && !e.Archive && !a.faulty("archive") && !a.faulty(passphraseName) {
		a.fault(passphraseName, "is for archives: set archive to true as well")
	}
}

// lock seals a new passphrase, and forgets the one of an environment that has no
// archives any more.
func (s *Service) lock(e *Environment, passphrase seal.Plaintext) (err error) {
	if !e.Archive {
		e.Passphrase.Sealed = nil
	}
	if passphrase.Len() > 0 {
		e.Passphrase, err = s.sealNext(e.ID, passphraseName, e.Passphrase, passphrase)
	}
	return err
}

// hostOf returns the host that a new environment is to be on: the one that is named,
// or the property's default one. What is wrong with it, and all that was noted before,
// is refused.
func (s *Service) hostOf(ctx context.Context, who Caller, parent *Property, data *Object) (*Host, error) {
	const name = "host"
	relationships, _ := data.object("relationships")
	id := reference(data, name, "hosts", secret.PrefixHost)
	if id == "" && !relationships.faulty(name) {
		id = parent.Host
	}
	if id == "" {
		if !relationships.faulty(name) {
			relationships.note(HostRequired, name, "host is required, because the default host of the property was deleted")
		}
		return nil, data.report.err()
	}
	host, err := s.Host(ctx, who, id)
	switch {
	case errors.Is(err, ErrNotFound):
		relationships.note(NotFound, name, "there is no such host")
	case err != nil:
		return nil, err
	case host.Property != parent.ID:
		relationships.note(HostRequired, name, "the host belongs to another property")
	}
	return host, data.report.err()
}

// createEnvironment stores a new environment, together with the place for its stage
// when a property has only one. The host is written along, unchanged and last: of this
// and its deletion one comes first, and the other learns of it.
func (s *Service) createEnvironment(ctx context.Context, who Caller, e *Environment, host *Host) (state.Revision, error) {
	for {
		err := s.record(ctx, host)
		if err != nil {
			return 0, noHost(err)
		}
		stored, hostRev, err := read[Host](ctx, s, state.HostKey(host.ID))
		if err != nil {
			return 0, noHost(err)
		}
		puts := []put{{key: state.EnvironmentKey(e.ID), record: e}, {key: state.HostKey(host.ID), record: stored}}
		if e.Stage.unique() {
			puts = append([]put{{key: state.SlotKey(e.Property, string(e.Stage)), record: e.ID}}, puts...)
		}
		writes, err := encode(puts...)
		if err != nil {
			return 0, err
		}
		writes[len(writes)-1].Expect = hostRev
		rev, err := s.write(ctx, did(who, audit.Created, e), writes...)
		if !errors.Is(err, state.ErrConflict) || ctx.Err() != nil {
			return rev, unavailable(err)
		}
		if taken, err := s.taken(ctx, e); err != nil || taken {
			return 0, cmp.Or(err, refuse(Conflict, "/data/attributes/stage",
				fmt.Sprintf("the property already has a %s environment", e.Stage)))
		}
	}
}

// taken reports whether the one place for the environment's stage is taken.
func (s *Service) taken(ctx context.Context, e *Environment) (bool, error) {
	if !e.Stage.unique() {
		return false, nil
	}
	return s.exists(ctx, state.SlotKey(e.Property, string(e.Stage)))
}

// noHost makes of the error of somebody who looked for a host what callers are told.
func noHost(err error) error {
	if errors.Is(err, ErrNotFound) {
		return refuse(NotFound, "/data/relationships/host", "there is no such host")
	}
	return err
}

// ChangeEnvironment changes what the resource data names and keeps what it does not.
// It returns ErrNotFound, a RefusedError, ErrChanged, ErrNotReady or ErrUnavailable.
func (s *Service) ChangeEnvironment(ctx context.Context, who Caller, id string, data *Object) (*Environment, error) {
	if _, err := s.Environment(ctx, who, id); err != nil {
		return nil, err
	}
	if err := openChange(data, "environments", id, InvalidEnvironment); err != nil {
		return nil, err
	}
	a, now := data.attributes(), s.now()
	passphrase, _ := a.hidden(passphraseName, maxPassphrase)
	defer passphrase.Wipe()
	host := reference(data, "host", "hosts", secret.PrefixHost)
	noted := len(data.report.problems)
	changed, rev, err := amend(ctx, s, did(who, audit.Updated, nil), state.EnvironmentKey(id), func(e *Environment) error {
		data.report.problems = data.report.problems[:noted] // of an earlier run
		before := e.Tag()
		a.keep("name")
		a.final("stage", string(e.Stage))
		if host != "" && host != e.Host {
			relationships, _ := data.object("relationships")
			relationships.note(ReadOnly, "host", "host cannot be changed: make another environment on the other one")
		}
		if a.null(passphraseName) {
			e.Passphrase.Sealed = nil
		}
		e.readAttributes(a)
		if err := cmp.Or(who.IfMatch.admit(before), data.report.err(), s.lock(e, passphrase)); err != nil {
			return err
		}
		if e.Tag() == before {
			return errUnchanged
		}
		e.UpdatedAt = now
		return nil
	})
	if err != nil {
		return nil, err
	}
	s.see(ctx, rev)
	return changed, nil
}

// DeleteEnvironment deletes an environment. Its secrets stay, without one. It
// returns ErrNotFound, ErrChanged or ErrUnavailable.
func (s *Service) DeleteEnvironment(ctx context.Context, who Caller, id string) error {
	if _, err := s.Environment(ctx, who, id); err != nil {
		return err
	}
	rev, err := s.removeEnvironment(ctx, who, id)
	if err != nil {
		return err
	}
	s.see(ctx, rev)
	return nil
}

// removeEnvironment removes an environment's record and frees its place.
func (s *Service) removeEnvironment(ctx context.Context, who Caller, id string) (state.Revision, error) {
	return remove(ctx, s, who, state.EnvironmentKey(id), func(e *Environment, _ state.Revision) ([]state.Write, error) {
		if err := who.IfMatch.admit(e.Tag()); err != nil || !e.Stage.unique() {
			return nil, err
		}
		key := state.SlotKey(e.Property, string(e.Stage))
		holder, rev, err := read[string](ctx, s, key)
		if errors.Is(err, ErrNotFound) || err == nil && *holder != e.ID {
			return nil, nil
		}
		return []state.Write{{Key: key, Expect: rev}}, err
	})
}
