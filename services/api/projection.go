package api

import (
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/rekindle-dev/rekindle/pkg/provider"
	"github.com/rekindle-dev/rekindle/pkg/seal"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state"
)

// followedKeys is what the projection is made of.
func followedKeys() []string {
	return []string{
		state.CompanyKey("*"), state.PropertyKey("*"), state.EnvironmentKey("*"), state.HostKey("*"),
		state.SecretKey("*"), state.NoteKey("*"), state.DataElementKey("*"), state.LibraryKey("*"), state.BuildKey("*"),
		state.CallbackKey("*"), state.TokenKey("*"), state.OutboxKey("*"), state.KeysetKey,
	}
}

// The indexes of the table of secrets.
const (
	byProperty = iota
	byEnvironment
	byAccount
)

// projection is the state as the use cases see it. Deleted secrets are not in
// it, nor does a secret show an environment that is gone. It knows what a
// delete has left to be done: its orphans.
type projection struct {
	log   *slog.Logger
	rooms rooms

	mu           sync.RWMutex
	revision     state.Revision // of the last change applied
	caughtUp     bool
	waiting      map[chan struct{}]state.Revision
	companies    *table[*Company]     // by organisation
	properties   *table[*Property]    // by company
	environments *table[*Environment] // by property
	hosts        *table[*Host]        // by property
	callbacks    *table[*Callback]    // by property
	secrets      *table[*row]         // by property, by environment, by account
	shelf
	notes    *noted
	tokens   *table[*Token] // by organisation
	sealer   *seal.Sealer   // nil until the keyset is known
	keyset   seal.Keyset    // that the sealer is of
	sealing  chan struct{}  // closed when it is
	orphans  map[orphan]bool
	orphaned chan struct{} // holds a token when there may be a new orphan
}

// orphan is what hangs on something deleted: an environment, a host, a callback, a
// secret, or the notes on what is deleted itself, which have its id.
type orphan struct {
	prefix secret.Prefix
	id     string
}

func newProjection(log *slog.Logger, apps provider.Apps) *projection {
	return &projection{
		log:     log,
		waiting: make(map[chan struct{}]state.Revision),
		companies: newTable(ageOfCompany,
			func(c *Company) string { return c.Org }),
		properties: newTable(ageOfProperty,
			func(p *Property) string { return p.Company }),
		environments: newTable(ageOfEnvironment,
			func(e *Environment) string { return e.Property }),
		hosts: newTable(ageOfHost,
			func(h *Host) string { return h.Property }),
		callbacks: newTable(ageOfCallback,
			func(c *Callback) string { return c.Property }),
		notes: newNoted(),
		secrets: newTable(ageOfRow,
			func(r *row) string { return r.facet.Value().property },
			func(r *row) string { return r.facet.Value().environment },
			accountIn(apps)),
		tokens: newTable(ageOfToken,
			func(t *Token) string { return t.Org }),
		shelf:    newShelf(),
		sealing:  make(chan struct{}),
		orphans:  make(map[orphan]bool),
		orphaned: make(chan struct{}, 1),
	}
}

// apply takes in a change. It is called from one goroutine, in the order of
// revisions.
func (p *projection) apply(c state.Change) {
	kind, id := state.Split(c.Key)
	update := p.read(kind, id, c)
	p.mu.Lock()
	defer p.mu.Unlock()
	if update != nil {
		update()
	}
	p.revision = c.Revision
	for done, revision := range p.waiting {
		if revision <= p.revision {
			close(done)
			delete(p.waiting, done)
		}
	}
}

// read decodes a change and returns what is to be done about it, nil for
// nothing. A record that cannot be read leaves its earlier version standing.
func (p *projection) read(kind, id string, c state.Change) func() {
	var err error
	var update func()
	switch kind {
	case "company":
		update, err = change(c, p.companies.put, func() { p.companies.remove(id) })
	case "property":
		update, err = change(c, p.putProperty, func() { p.dropProperty(id) })
	case "environment":
		update, err = change(c, p.putEnvironment, func() { p.dropEnvironment(id) })
	case "host":
		update, err = change(c, p.putHost, func() { p.dropHost(id) })
	case "note":
		update, err = change(c, func(owner *string) { p.putNote(id, *owner) }, func() { p.dropNote(id) })
	case "callback":
		update, err = change(c, p.putCallback, func() { p.dropCallback(id) })
	case "secret":
		update, err = changed(c, secret.Decode, p.putSecret, func() { p.dropSecret(id) })
	case "token":
		update, err = change(c, p.tokens.put, func() { p.tokens.remove(id) })
	case "element":
		update, err = change(c, p.putElement, func() { p.dropElement(id) })
	case "library":
		update, err = change(c, p.putLibrary, func() { p.dropLibrary(id) })
	case "build":
		update, err = change(c, p.putBuild, func() { p.dropBuild(id) })
	case "keyset":
		update, err = p.readKeyset(c)
	}
	if err != nil {
		p.log.Error("a record cannot be read", "key", c.Key, "revision", uint64(c.Revision), "error", err)
	}
	return update
}

// change returns the call of put with the new record, or drop when it is gone.
func change[T any](c state.Change, put func(*T), drop func()) (func(), error) {
	return changed(c, func(body []byte) (*T, error) {
		v := new(T)
		return v, json.Unmarshal(body, v)
	}, put, drop)
}

// changed is change for whoever says how the record is read.
func changed[T any](c state.Change, read func([]byte) (*T, error), put func(*T), drop func()) (func(), error) {
	if c.Value == nil {
		return drop, nil
	}
	v, err := read(c.Value)
	if err != nil {
		return nil, err
	}
	return func() { put(v) }, nil
}

func (p *projection) putProperty(property *Property) {
	p.properties.put(property)
	if p.caughtUp {
		p.implyHost(property)
	}
}

// implyHost makes up the default host of a property that is older than the records of
// hosts.
func (p *projection) implyHost(property *Property) {
	if property.Host == "" || p.hosts.has(property.Host) {
		return
	}
	implied := defaultHost(property)
	implied.implied = true
	p.hosts.put(implied)
}

func (p *projection) putHost(h *Host) {
	h = h.shown()
	p.hosts.put(h)
	p.judgeHost(h)
}

func (p *projection) dropHost(id string) {
	p.hosts.remove(id)
	delete(p.orphans, orphan{secret.PrefixHost, id})
}

// judgeHost looks whether a host still has its property. One that has no record is
// gone with it.
func (p *projection) judgeHost(h *Host) {
	cared := p.properties.has(h.Property)
	if h.implied && !cared {
		p.dropHost(h.ID)
		return
	}
	p.judge(orphan{secret.PrefixHost, h.ID}, cared)
}

func (p *projection) putCallback(c *Callback) {
	p.callbacks.put(c)
	p.judgeCallback(c)
}

// judgeCallback leaves one that has ended to the courier, who removes it.
func (p *projection) judgeCallback(c *Callback) {
	p.judge(orphan{secret.PrefixCallback, c.ID}, !c.EndedAt.IsZero() || p.properties.has(c.Property))
}

func (p *projection) dropCallback(id string) {
	p.callbacks.remove(id)
	delete(p.orphans, orphan{secret.PrefixCallback, id})
}

func (p *projection) putEnvironment(e *Environment) {
	p.environments.put(e)
	p.judge(orphan{secret.PrefixEnvironment, e.ID}, p.properties.has(e.Property))
}

func (p *projection) putSecret(s *secret.Secret) {
	if !s.DeletedAt.IsZero() {
		p.dropSecret(s.ID)
		return
	}
	p.secrets.put(newRow(s))
	if p.caughtUp {
		p.attachment(s)
	}
}

// attachment looks whether a secret still has the property and the environment
// it is to have. One without its environment is shown as it will be once it is
// healed.
func (p *projection) attachment(s *secret.Secret) {
	attached := s.Environment == "" || p.environments.has(s.Environment)
	p.judge(orphan{secret.PrefixSecret, s.ID}, attached && p.properties.has(s.Property))
	if !attached {
		s.Detach(s.UpdatedAt)
		p.secrets.put(newRow(s))
	}
}

func (p *projection) dropProperty(id string) {
	p.properties.remove(id)
	if !p.caughtUp {
		return
	}
	for e := range p.environments.by(0, id).all() {
		p.judge(orphan{secret.PrefixEnvironment, e.ID}, false)
	}
	for _, h := range slices.Collect(p.hosts.by(0, id).all()) {
		p.judgeHost(h)
	}
	for c := range p.callbacks.by(0, id).all() {
		p.judgeCallback(c)
	}
	p.judgeNotes(id)
	p.judgeNotes(extensionOf(id))
	for r := range p.secrets.by(byProperty, id).all() {
		p.judge(orphan{secret.PrefixSecret, r.id}, false)
	}
	p.emptyShelf(id)
}

func (p *projection) dropEnvironment(id string) {
	p.environments.remove(id)
	delete(p.orphans, orphan{secret.PrefixEnvironment, id})
	if !p.caughtUp {
		return
	}
	for r := range slices.Clone(p.secrets.by(byEnvironment, id)).all() {
		p.attachment(r.secret())
	}
	for l := range slices.Clone(p.libraries.by(byHolder, id)).all() {
		p.placement(l)
	}
}

func (p *projection) dropSecret(id string) {
	p.secrets.remove(id)
	delete(p.orphans, orphan{secret.PrefixSecret, id})
	p.judgeNotes(id)
}

// judge keeps the set of orphans. While records are loaded nothing can be said:
// a parent may come after its child.
func (p *projection) judge(o orphan, cared bool) {
	if cared || !p.caughtUp {
		delete(p.orphans, o)
		return
	}
	p.orphans[o] = true
	select {
	case p.orphaned <- struct{}{}:
	default:
	}
}

// ready ends the loading.
func (p *projection) ready() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.companies.index()
	p.properties.index()
	p.environments.index()
	p.hosts.index()
	p.callbacks.index()
	p.secrets.index()
	p.tokens.index()
	p.shelf.index()
	p.caughtUp = true
	for _, property := range p.properties.all() {
		p.implyHost(property)
	}
	for _, h := range p.hosts.all() {
		p.judgeHost(h)
	}
	for _, c := range p.callbacks.all() {
		p.judgeCallback(c)
	}
	for owner := range p.notes.byOwner {
		p.judgeNotes(owner)
	}
	for _, e := range p.environments.all() {
		p.judge(orphan{secret.PrefixEnvironment, e.ID}, p.properties.has(e.Property))
	}
	for _, r := range p.secrets.all() {
		at := r.facet.Value()
		if !p.properties.has(at.property) || at.environment != "" && !p.environments.has(at.environment) {
			p.attachment(r.secret())
		}
	}
	p.judgeShelf()
}

// anOrphan returns one of the orphans, if there are any.
func (p *projection) anOrphan() (orphan, bool) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	for o := range p.orphans {
		return o, true
	}
	return orphan{}, false
}

// wait returns when the projection has come to the revision, or with ctx's
// error.
func (p *projection) wait(ctx context.Context, revision state.Revision) error {
	p.mu.Lock()
	if p.revision >= revision {
		p.mu.Unlock()
		return nil
	}
	done := make(chan struct{})
	p.waiting[done] = revision
	p.mu.Unlock()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.waiting, done)
		return ctx.Err()
	}
}

// at returns the revision of the last change applied.
func (p *projection) at() state.Revision {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.revision
}

// move returns when the projection has gone beyond a revision, or after d.
func (p *projection) move(ctx context.Context, seen state.Revision, d time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	p.wait(ctx, seen+1) //nolint:errcheck // both ends will do
}

// secret returns a secret, for those who hold the lock.
func (p *projection) secret(id string) (*secret.Secret, bool) {
	r, ok := p.secrets.get(id)
	if !ok {
		return nil, false
	}
	return r.secret(), true
}

// standing returns a secret.
func (p *projection) standing(id string) (*secret.Secret, bool) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.secret(id)
}

// hasSecret reports whether there is a secret.
func (p *projection) hasSecret(id string) bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.secrets.has(id)
}

// seen returns what find finds, which is called with the projection locked for
// reading, in a copy that stays as it is.
func seen[T any](p *projection, find func() (runs[T], error)) (runs[T], error) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	found, err := find()
	return slices.Clone(found), err
}
