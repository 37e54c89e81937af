package sandbox

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"sync"
)

// registry holds the clients. Its lock guards the map only and is never held
// while a record's lock is taken.
type registry struct {
	open   bool
	max    int
	ledger int

	mu        sync.RWMutex
	records   map[string]*record
	made      uint64  // records ever made
	strangers *record // takes down the requests that no client made
}

func newRegistry(cfg Config) *registry {
	return &registry{
		open:      cfg.OpenClients,
		max:       cfg.MaxClients,
		ledger:    cfg.LedgerSize,
		records:   map[string]*record{},
		strangers: newRecord(Client{}, 0, cfg.LedgerSize),
	}
}

// find returns the record that a call belongs to, registering an open client at
// its first call. A call from no client is refused and goes to the strangers.
func (g *registry) find(c *call) *record {
	if r, err := g.get(c.id); err == nil {
		return r
	}
	if r := g.renamed(c); r != nil {
		return r
	}
	if c.refusal == nil && c.format != FormatForm {
		c.refuse(notForm)
	}
	if c.refusal == nil {
		r, err := g.welcome(c.id)
		if err == nil {
			return r
		}
		if errors.Is(err, ErrFull) {
			c.refuse(serverIsFull)
		}
	}
	c.refuse(unknownClient)
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.strangers
}

// renamed returns the client that the call is from whose requests have another
// name for its id, or nil.
func (g *registry) renamed(c *call) *record {
	if c.id != "" {
		return nil
	}
	for _, r := range g.all() {
		if q := r.requestStyle(); q != nil && q.Names["client_id"] != "" && c.params.Get(q.Names["client_id"]) == r.client.ID {
			return r
		}
	}
	return nil
}

// welcome returns the record of id, registering an open client that may do
// everything. The error is ErrUnknownClient or ErrFull.
func (g *registry) welcome(id string) (*record, error) {
	if r, err := g.get(id); err == nil {
		return r, nil
	}
	if !g.open || id == "" || len(id) > maxID {
		return nil, ErrUnknownClient
	}
	return g.getOrAdd(Client{ID: id, CodeFlow: &CodeFlow{AnyRedirect: true}})
}

func (g *registry) get(id string) (*record, error) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	if r, ok := g.records[id]; ok {
		return r, nil
	}
	return nil, ErrUnknownClient
}

// getOrAdd returns the record of c's id, made from c if there is none.
func (g *registry) getOrAdd(c Client) (*record, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if r, ok := g.records[c.ID]; ok {
		return r, nil
	}
	if len(g.records) >= g.max {
		return nil, ErrFull
	}
	g.made++
	r := newRecord(c, g.made, g.ledger)
	g.records[c.ID] = r
	return r, nil
}

func (g *registry) put(c Client) error {
	r, err := g.getOrAdd(c)
	if err != nil {
		return err
	}
	r.redefine(c)
	return nil
}

func (g *registry) remove(id string) error {
	g.mu.Lock()
	r, ok := g.records[id]
	delete(g.records, id)
	g.mu.Unlock()
	if !ok {
		return ErrUnknownClient
	}
	r.end()
	return nil
}

func (g *registry) reset() {
	g.mu.Lock()
	old := g.records
	g.records = map[string]*record{}
	g.strangers = newRecord(Client{}, 0, g.ledger)
	g.mu.Unlock()
	for _, r := range old {
		r.end()
	}
}

// all returns the records ordered by client id.
func (g *registry) all() []*record {
	g.mu.RLock()
	defer g.mu.RUnlock()
	ids := slices.Sorted(maps.Keys(g.records))
	records := make([]*record, len(ids))
	for i, id := range ids {
		records[i] = g.records[id]
	}
	return records
}

// requests merges the ledgers of clients and strangers, oldest first.
func (g *registry) requests() []Request {
	records := g.all()
	g.mu.RLock()
	records = append(records, g.strangers)
	g.mu.RUnlock()
	var list []Request
	for _, r := range records {
		list = append(list, r.requests()...)
	}
	slices.SortFunc(list, func(a, b Request) int { return cmp.Compare(a.Seq, b.Seq) })
	return list
}
