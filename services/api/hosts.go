package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rekindle-dev/rekindle/pkg/audit"
	"github.com/rekindle-dev/rekindle/pkg/seal"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state"
)

// Host is the record of a host that builds go to (contract A15.4). Nothing connects
// to one: its settings are kept and shown.
type Host struct {
	ID        string    `json:"id"`
	Org       string    `json:"org"`
	Property  string    `json:"property"`
	Name      string    `json:"name"`
	Type      HostType  `json:"type_of"`
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`

	// Those of an SFTP host.
	Server       string             `json:"server,omitempty"`
	Path         string             `json:"path,omitempty"`
	Port         int                `json:"port,omitempty"`
	Username     string             `json:"username,omitempty"`
	SkipSymlinks bool               `json:"skip_symlinks,omitempty"`
	PrivateKey   secret.SealedField `json:"encrypted_private_key,omitzero"`

	// implied tells that there is no record: the property is older than the records
	// of hosts.
	implied bool
}

// HostType is what a host is.
type HostType string

// The types of hosts.
const (
	Akamai HostType = "akamai"
	SFTP   HostType = "sftp"
)

// privateKey is the hidden member of an SFTP host.
const privateKey = "encrypted_private_key"

// maxPort is the largest number of a TCP port.
const maxPort = 1<<16 - 1

// shown is the host without what nobody is shown.
func (h *Host) shown() *Host {
	shown := *h
	shown.PrivateKey.Sealed = nil
	return &shown
}

// defaultHost is the host that a property has from the beginning.
func defaultHost(p *Property) *Host {
	return &Host{
		ID: p.Host, Org: p.Org, Property: p.ID, Name: "Akamai", Type: Akamai,
		CreatedAt: p.CreatedAt, UpdatedAt: p.CreatedAt,
	}
}

// Hosts lists the hosts of a property.
func (s *Service) Hosts(ctx context.Context, who Caller, property string, q Query[*Host]) (Page[*Host], error) {
	if _, err := s.Property(ctx, who, property); err != nil {
		return Page[*Host]{}, err
	}
	return list(s.view, q, func() (runs[*Host], error) {
		_, err := s.view.property(who, property)
		return s.view.hosts.by(0, property), err
	})
}

// Host returns a host, ErrNotFound or ErrUnavailable.
func (s *Service) Host(ctx context.Context, who Caller, id string) (*Host, error) {
	return find(ctx, s, keyOf(secret.PrefixHost, id, state.HostKey), func() (*Host, error) {
		return s.view.host(who, id)
	})
}

// host is Host for those who hold the lock.
func (p *projection) host(who Caller, id string) (*Host, error) {
	found, ok := p.hosts.get(id)
	if !ok {
		return nil, ErrNotFound
	}
	if _, err := p.property(who, found.Property); err != nil {
		return nil, err
	}
	return found, nil
}

// CreateHost makes a host of the resource data within a property. It returns
// ErrNotFound, a RefusedError, ErrNotReady or ErrUnavailable.
func (s *Service) CreateHost(ctx context.Context, who Caller, property string, data *Object) (*Host, error) {
	parent, err := s.Property(ctx, who, property)
	if err != nil {
		return nil, err
	}
	if err := openResource(data, "hosts", InvalidHost); err != nil {
		return nil, err
	}
	a := data.attributes()
	a.require("name", "type_of")
	kind, _ := a.oneOf("type_of", string(Akamai), string(SFTP))
	h := &Host{Type: HostType(kind)}
	if h.Type == SFTP {
		a.require("server", "username", privateKey)
	}
	h.readAttributes(a)
	key, sent := h.readPrivateKey(a)
	defer key.Wipe()
	if err := data.report.err(); err != nil {
		return nil, err
	}
	h.ID, h.Org, h.Property = secret.NewID(secret.PrefixHost), parent.Org, parent.ID
	h.CreatedAt = s.now()
	h.UpdatedAt = h.CreatedAt
	if sent {
		if h.PrivateKey, err = s.sealNext(h.ID, privateKey, h.PrivateKey, key); err != nil {
			return nil, err
		}
	}
	rev, err := s.commit(ctx, did(who, audit.Created, h), put{key: state.HostKey(h.ID), record: h})
	if err != nil {
		return nil, err
	}
	s.see(ctx, rev)
	return h, nil
}

// readAttributes puts the attributes that were sent over those there are. What is
// wrong with them is noted.
func (h *Host) readAttributes(a *Object) {
	if name, sent := a.text("name", maxName); sent {
		h.Name = name
	}
	if h.Type != SFTP {
		h.noSFTP(a)
		return
	}
	if server, sent := a.text("server", maxDomain); sent {
		h.Server = server
	}
	if username, sent := a.text("username", maxIdentifier); sent {
		h.Username = username
	}
	if path, sent := a.text("path", maxPath); sent || a.null("path") {
		h.Path = path
	}
	if port, sent := a.count("port", maxPort); sent || a.null("port") {
		h.Port = port
	}
	a.decode("skip_symlinks", &h.SkipSymlinks, "true or false")
}

// noSFTP notes what only SFTP hosts have.
func (h *Host) noSFTP(a *Object) {
	for _, name := range []string{"server", "path", "port", "username", privateKey, "skip_symlinks"} {
		if _, sent := a.member(name); sent && h.Type == Akamai {
			a.fault(name, "is for hosts of the type sftp only")
		}
	}
}

// readPrivateKey reads the hidden member of an SFTP host, once: what it was read
// from is overwritten.
func (h *Host) readPrivateKey(a *Object) (seal.Plaintext, bool) {
	if h.Type != SFTP {
		return seal.Plaintext{}, false
	}
	return a.hidden(privateKey, maxHidden)
}

// sealNext seals the successor of a hidden value of a record, or returns
// ErrNotReady.
func (s *Service) sealNext(id, field string, old secret.SealedField, value seal.Plaintext) (secret.SealedField, error) {
	sealer, err := s.sealer()
	if err != nil {
		return old, err
	}
	next := old.Generation + 1
	sealed, err := sealer.Seal(seal.LongLived, seal.Binding{Secret: id, Field: field, Generation: next}, value)
	return secret.SealedField{Generation: next, Sealed: sealed}, err
}

// ChangeHost changes what the resource data names and keeps what it does not. It
// returns ErrNotFound, a RefusedError, ErrChanged, ErrNotReady or ErrUnavailable.
func (s *Service) ChangeHost(ctx context.Context, who Caller, id string, data *Object) (*Host, error) {
	current, err := s.Host(ctx, who, id)
	if err != nil {
		return nil, err
	}
	if err := openChange(data, "hosts", id, InvalidHost); err != nil {
		return nil, err
	}
	if err := s.record(ctx, current); err != nil {
		return nil, err
	}
	a, now := data.attributes(), s.now()
	key, sent := current.readPrivateKey(a)
	defer key.Wipe()
	noted := len(data.report.problems)
	changed, rev, err := amend(ctx, s, did(who, audit.Updated, nil), state.HostKey(id), func(h *Host) (err error) {
		data.report.problems = data.report.problems[:noted] // of an earlier run
		before := h.Tag()
		a.keep("name")
		if h.Type == SFTP {
			a.keep("server", "username", privateKey)
		}
		a.final("type_of", string(h.Type))
		h.readAttributes(a)
		if err := cmp.Or(who.IfMatch.admit(before), data.report.err()); err != nil {
			return err
		}
		if sent {
			if h.PrivateKey, err = s.sealNext(id, privateKey, h.PrivateKey, key); err != nil {
				return err
			}
		}
		if h.Tag() == before {
			return errUnchanged
		}
		h.UpdatedAt = now
		return nil
	})
	if err != nil {
		return nil, err
	}
	s.see(ctx, rev)
	return changed, nil
}

// record makes the record of a host that has none, so that it can be written by
// compare-and-swap like the others. The property is written along, unchanged: a
// process that deletes the host clears it there, and one of the two is first.
func (s *Service) record(ctx context.Context, h *Host) error {
	if !h.implied {
		return nil
	}
	for {
		there, err := s.exists(ctx, state.HostKey(h.ID))
		if err != nil || there {
			return err
		}
		p, rev, err := read[Property](ctx, s, state.PropertyKey(h.Property))
		if err != nil {
			return err
		}
		if p.Host != h.ID {
			return ErrNotFound
		}
		writes, err := encode(put{key: state.PropertyKey(p.ID), record: p}, put{key: state.HostKey(h.ID), record: defaultHost(p)})
		if err != nil {
			return err
		}
		writes[0].Expect = rev
		_, err = s.quietly(ctx, writes...)
		if !errors.Is(err, state.ErrConflict) || ctx.Err() != nil {
			return unavailable(err)
		}
	}
}

// DeleteHost deletes a host that no environment is on. It returns ErrNotFound, a
// RefusedError, ErrChanged or ErrUnavailable.
func (s *Service) DeleteHost(ctx context.Context, who Caller, id string) error {
	current, err := s.Host(ctx, who, id)
	if err != nil {
		return err
	}
	if err := s.record(ctx, current); err != nil {
		return err
	}
	rev, err := remove(ctx, s, who, state.HostKey(id), func(h *Host, rev state.Revision) ([]state.Write, error) {
		if err := who.IfMatch.admit(h.Tag()); err != nil {
			return nil, err
		}
		if err := s.unused(ctx, h, rev); err != nil {
			return nil, err
		}
		return s.forgetDefault(ctx, h)
	})
	if err != nil {
		return err
	}
	s.see(ctx, rev)
	return nil
}

// unused refuses to delete a host, of revision rev, that an environment is on. Who
// makes an environment writes the host along, so that a projection that has come to
// the host's revision shows all environments that were made before it.
func (s *Service) unused(ctx context.Context, h *Host, rev state.Revision) error {
	if err := s.view.wait(ctx, rev); err != nil {
		return unavailable(err)
	}
	s.view.mu.RLock()
	defer s.view.mu.RUnlock()
	on := 0
	for e := range s.view.environments.by(0, h.Property).all() {
		if e.Host == h.ID {
			on++
		}
	}
	if on > 0 {
		return refuse(HostInUse, "", fmt.Sprintf("%d of the property's environments are on the host %s: delete them first", on, h.Name))
	}
	return nil
}

// forgetDefault returns the write by which a property has no default host any more,
// if h is that, none otherwise.
func (s *Service) forgetDefault(ctx context.Context, h *Host) ([]state.Write, error) {
	p, rev, err := read[Property](ctx, s, state.PropertyKey(h.Property))
	if errors.Is(err, ErrNotFound) {
		return nil, nil // the host goes with it
	}
	if err != nil || p.Host != h.ID {
		return nil, err
	}
	p.Host = ""
	writes, err := encode(put{key: state.PropertyKey(p.ID), record: p})
	if err != nil {
		return nil, err
	}
	writes[0].Expect = rev
	return writes, nil
}
