package api

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/rekindle-dev/rekindle/pkg/audit"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/pkg/webhook"
)

// Courier is who tells callbacks what happens.
type Courier interface {
	// Log returns how a callback fares.
	Log(callback string) webhook.Log
	// Send makes one try at once: of a message that was sent before, by its id, or with none
	// of one that is about nothing. It returns webhook.ErrNoMessage for one that is not
	// known, or not any more.
	Send(ctx context.Context, to *webhook.Callback, message string) (webhook.Try, error)
	// Secret returns a signing secret of a callback.
	Secret(callback string, generation uint64) (webhook.Secret, error)
}

// errNoCourier: nothing can be signed here.
var errNoCourier = fmt.Errorf("%w: this process has not the key that callbacks are signed with", ErrNotReady)

// Callback is the record of a callback (contract A15.8).
type Callback struct{ webhook.Callback }

// Tag is as that of a property.
func (c *Callback) Tag() string { return tagOf(c) }

// ChangedCallback is a callback, and what is told of it but once.
type ChangedCallback struct {
	*Callback
	// Secret is the signing secret if there is a new one.
	Secret *webhook.Secret
	// Test is what came of the test that was asked for, and Again of the message that was to
	// be sent again.
	Test, Again *webhook.Try
	// Asked says that a replay was asked for: it is shown as it was then.
	Asked bool
}

// A callback is told of by the host of its URL alone: receivers have passwords in the
// rest of it.
func (c *Callback) tell() (resource, org string, form audit.Entity) {
	return "callback", c.Org, audit.Entity{ID: c.ID, Name: originOf(c.URL), Property: c.Property, Public: public(struct {
		URL           string           `json:"url"`
		Subscriptions []string         `json:"subscriptions"`
		Ordering      webhook.Ordering `json:"ordering"`
		Generation    uint64           `json:"secret_generation"`
		Property      string           `json:"property_id"`
		CreatedAt     time.Time        `json:"created_at"`
		UpdatedAt     time.Time        `json:"updated_at"`
	}{originOf(c.URL), c.Subscriptions, c.Order(), c.Generation, c.Property, c.CreatedAt, c.UpdatedAt})}
}

// originOf is the scheme and the host of a URL.
func originOf(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

// Callbacks lists the callbacks of a property.
func (s *Service) Callbacks(ctx context.Context, who Caller, property string, q Query[*Callback]) (Page[*Callback], error) {
	if _, err := s.Property(ctx, who, property); err != nil {
		return Page[*Callback]{}, err
	}
	return list(s.view, q, func() (runs[*Callback], error) {
		_, err := s.view.property(who, property)
		return s.view.callbacks.by(0, property), err
	})
}

// Callback returns a callback, ErrNotFound or ErrUnavailable.
func (s *Service) Callback(ctx context.Context, who Caller, id string) (*Callback, error) {
	return find(ctx, s, keyOf(secret.PrefixCallback, id, state.CallbackKey), func() (*Callback, error) {
		return s.view.callback(who, id)
	})
}

// callback is Callback for those who hold the lock.
func (p *projection) callback(who Caller, id string) (*Callback, error) {
	found, ok := p.callbacks.get(id)
	if !ok {
		return nil, ErrNotFound
	}
	if _, err := p.property(who, found.Property); err != nil {
		return nil, err
	}
	return found, nil
}

// CreateCallback makes a callback of the resource data within a property, with its signing
// secret. It returns ErrNotFound, a RefusedError, ErrNotReady or ErrUnavailable.
func (s *Service) CreateCallback(ctx context.Context, who Caller, property string, data *Object) (*ChangedCallback, error) {
	parent, err := s.Property(ctx, who, property)
	if err != nil {
		return nil, err
	}
	if err := openResource(data, "callbacks", InvalidCallback); err != nil {
		return nil, err
	}
	a := data.attributes()
	a.require("url", "subscriptions")
	c := &Callback{webhook.Callback{Generation: 1}}
	s.readCallback(a, &c.Callback)
	if err := cmp.Or(data.report.err(), s.roomForCallback(property)); err != nil {
		return nil, err
	}
	c.ID, c.Org, c.Property = secret.NewID(secret.PrefixCallback), parent.Org, parent.ID
	c.CreatedAt = s.now()
	c.UpdatedAt = c.CreatedAt
	signing, err := s.signing(c)
	if err != nil {
		return nil, err
	}
	rev, err := s.commit(ctx, did(who, audit.Created, c), put{key: state.CallbackKey(c.ID), record: c})
	if err != nil {
		return nil, err
	}
	s.see(ctx, rev)
	return &ChangedCallback{Callback: c, Secret: signing}, nil
}

// signing returns the current signing secret of a callback, or errNoCourier.
func (s *Service) signing(c *Callback) (*webhook.Secret, error) {
	if s.deps.Courier == nil {
		return nil, errNoCourier
	}
	found, err := s.deps.Courier.Secret(c.ID, c.Generation)
	return &found, err
}

// roomForCallback refuses one callback too many.
func (s *Service) roomForCallback(property string) error {
	s.view.mu.RLock()
	defer s.view.mu.RUnlock()
	if s.view.callbacks.by(0, property).len() < webhook.MaxPerProperty {
		return nil
	}
	return refuse(InvalidCallback, "/data", fmt.Sprintf("the property has %d callbacks, and no more are possible: delete one first", webhook.MaxPerProperty))
}

// readCallback puts the attributes that were sent over those there are. What is wrong with
// them is noted.
func (s *Service) readCallback(a *Object, c *webhook.Callback) {
	if raw, sent := a.text("url", webhook.MaxURL); sent {
		s.checkReceiver(a, raw)
		c.URL = raw
	}
	var names []string
	if a.decode("subscriptions", &names, "a list of names of events") {
		c.Subscriptions = subscriptions(a, names)
	}
	if order, sent := a.oneOf("ordering", string(webhook.Prompt), string(webhook.Strict)); sent {
		c.Ordering = webhook.Ordering(order)
	}
}

// subscriptions returns the names that were sent, sorted and each once.
func subscriptions(a *Object, names []string) []string {
	known := webhook.Types()
	if len(names) == 0 || len(names) > len(known) {
		a.fault("subscriptions", fmt.Sprintf("must have 1 to %d members", len(known)))
		return nil
	}
	for i, name := range names {
		if name != webhook.Everything && !slices.Contains(known, name) {
			a.note(InvalidCallback, "subscriptions", fmt.Sprintf("subscriptions: member %d is no event; those there are: %s for all, %s",
				i+1, webhook.Everything, strings.Join(known, ", ")))
			return nil
		}
	}
	sorted := slices.Clone(names)
	slices.Sort(sorted)
	return slices.Compact(sorted)
}

// checkReceiver notes what keeps a URL from being that of a receiver. Where names lead is
// seen only when it is dialled.
func (s *Service) checkReceiver(a *Object, raw string) {
	checkURL(a, "url", raw)
	if a.faulty("url") {
		return
	}
	u, err := url.Parse(raw)
	if err != nil || u.Scheme == "https" {
		return
	}
	ip, err := netip.ParseAddr(u.Hostname())
	within := func(p netip.Prefix) bool { return p.Contains(ip.Unmap().WithZone("")) }
	if len(s.cfg.PlainHTTP) == 0 || err == nil && !slices.ContainsFunc(s.cfg.PlainHTTP, within) {
		a.fault("url", "must be an https URL: plain http is for networks that the deployment allows (--egress-allow)")
	}
}

// ChangeCallback changes what the resource data names and keeps what it does not, or does
// the action in its meta. It returns ErrNotFound, a RefusedError, ErrChanged, ErrNotReady, a
// TooManyError or ErrUnavailable.
func (s *Service) ChangeCallback(ctx context.Context, who Caller, id string, data *Object) (*ChangedCallback, error) {
	current, err := s.Callback(ctx, who, id)
	if err != nil {
		return nil, err
	}
	if err := openChange(data, "callbacks", id, InvalidCallback); err != nil {
		return nil, err
	}
	meta, _ := data.object("meta")
	var action Action
	meta.decode("action", &action, "a string")
	if err := data.report.err(); err != nil {
		return nil, err
	}
	switch action {
	case Update:
		return s.updateCallback(ctx, who, id, data)
	case Rotate:
		return s.rotateCallback(ctx, who, id)
	case TestIt:
		return s.sendCallback(ctx, who, current, "")
	case Redeliver:
		return s.redeliver(ctx, who, current, meta)
	case Replay:
		return s.replayCallback(ctx, who, id, meta)
	default:
		return nil, refuse(InvalidAction, "/data/meta/action", "action must be one of redeliver, replay, rotate, test")
	}
}

func (s *Service) updateCallback(ctx context.Context, who Caller, id string, data *Object) (*ChangedCallback, error) {
	a, now := data.attributes(), s.now()
	noted := len(data.report.problems)
	return s.amendCallback(ctx, who, id, Update, func(c *Callback) error {
		data.report.problems = data.report.problems[:noted] // of an earlier run
		before := c.Tag()
		a.keep("url", "subscriptions", "ordering")
		s.readCallback(a, &c.Callback)
		if err := cmp.Or(who.IfMatch.admit(before), data.report.err()); err != nil {
			return err
		}
		if c.Tag() == before {
			return errUnchanged
		}
		c.UpdatedAt = now
		return nil
	})
}

// amendCallback changes a callback's record.
func (s *Service) amendCallback(ctx context.Context, who Caller, id string, action Action, change func(*Callback) error) (*ChangedCallback, error) {
	d := did(who, audit.Updated, nil)
	d.action = action
	c, rev, err := amend(ctx, s, d, state.CallbackKey(id), change)
	if err != nil {
		return nil, err
	}
	s.see(ctx, rev)
	return &ChangedCallback{Callback: c}, nil
}

// DeleteCallback deletes a callback, with what waits for it. It returns ErrNotFound,
// ErrChanged or ErrUnavailable.
func (s *Service) DeleteCallback(ctx context.Context, who Caller, id string) error {
	if _, err := s.Callback(ctx, who, id); err != nil {
		return err
	}
	rev, err := s.removeCallback(ctx, who, id, func(c *Callback) error { return who.IfMatch.admit(c.Tag()) })
	if err != nil {
		return err
	}
	s.see(ctx, rev)
	return nil
}

// removeCallback removes a callback's record, unless the error of may is against it. The
// courier removes the rest.
func (s *Service) removeCallback(ctx context.Context, who Caller, id string, may func(*Callback) error) (state.Revision, error) {
	return remove(ctx, s, who, state.CallbackKey(id), func(c *Callback, _ state.Revision) ([]state.Write, error) { return nil, may(c) })
}

// mendCallback ends a callback whose property is gone. The courier tells it of that, and
// removes it.
func (s *Service) mendCallback(ctx context.Context, id string) error {
	now := s.now()
	_, rev, err := amend(ctx, s, did(Caller{}, audit.Deleted, nil), state.CallbackKey(id), func(c *Callback) error {
		if !c.EndedAt.IsZero() {
			return errUnchanged
		}
		cared, err := s.exists(ctx, state.PropertyKey(c.Property))
		if err == nil && cared {
			err = errCared
		}
		c.EndedAt = now
		return err
	})
	if err != nil {
		return err
	}
	return s.view.wait(ctx, rev)
}
