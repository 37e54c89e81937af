package audit

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"
)

const (
	// recentPages is how far back an entry is known that comes again. What is told again was
	// not told some seconds before, in which a busy fleet writes two pages each.
	recentPages = 128
	// maxChains is of how many organisations a Keeper knows the end of the chain by
	// heart.
	maxChains = 256
	// appendAttempts is how often a page is tried that others are faster with.
	appendAttempts = 50
)

// Keeper writes entries down. Any number of processes may have one over the same log. It is
// safe for concurrent use.
type Keeper struct {
	log Log
	now func() time.Time

	mu     sync.Mutex
	chains map[string]*chain
}

// NewKeeper returns a Keeper over a log.
func NewKeeper(log Log, now func() time.Time) *Keeper {
	return &Keeper{log: log, now: now, chains: map[string]*chain{}}
}

// chain is the end of the pages of an organisation.
type chain struct {
	mu    sync.Mutex
	known bool
	// Of the last page; zero when there is none.
	last   Link
	number uint64
	total  uint64 // of entries, with those of the last page
	at     time.Time
	// recent has the entries of the last pages, page by page, and ids all of them.
	recent [][]string
	ids    map[string]bool
}

// Kept is what a call of [Keeper.Keep] has written.
type Kept struct{ Pages, Entries int }

// Keep writes the entries of an organisation down, in as many pages as it takes, but for
// those which stand on one of the last pages already. After an error some of them may have
// been written; to call it again with all of them does no harm.
func (k *Keeper) Keep(ctx context.Context, org string, entries []Entry) (kept Kept, err error) {
	c := k.chain(org)
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.known {
		if err := c.load(ctx, k.log, org); err != nil {
			return kept, err
		}
	}
	for attempt := 0; ; {
		entries = c.fresh(entries)
		if len(entries) == 0 {
			return kept, nil
		}
		page, body, err := c.next(org, entries, k.now())
		if err != nil {
			return kept, err
		}
		sequence, err := k.log.Append(ctx, org, body, c.last.Sequence)
		switch {
		case err == nil:
			c.extend(Stored{sequence, body}, page)
			kept = Kept{kept.Pages + 1, kept.Entries + len(page.Entries)}
			continue
		case errors.Is(err, ErrMoved) && attempt < appendAttempts:
			attempt++
			err = c.catchUp(ctx, k.log, org)
		}
		if err != nil {
			c.known = false // whether the page was written, the log has to say
			return kept, err
		}
	}
}

// chain returns what is known of an organisation's pages.
func (k *Keeper) chain(org string) *chain {
	k.mu.Lock()
	defer k.mu.Unlock()
	c, ok := k.chains[org]
	if !ok {
		if len(k.chains) >= maxChains {
			clear(k.chains) // all are read again
		}
		c = new(chain)
		k.chains[org] = c
	}
	return c
}

// fresh returns the entries that stand on none of the last pages, each once.
func (c *chain) fresh(entries []Entry) []Entry {
	var list []Entry
	twice := make(map[string]bool, len(entries))
	for _, e := range entries {
		if !c.ids[e.ID] && !twice[e.ID] {
			list, twice[e.ID] = append(list, e), true
		}
	}
	return list
}

// next makes the next page of as many of the entries as it takes.
func (c *chain) next(org string, entries []Entry, now time.Time) (*Page, []byte, error) {
	p := &Page{Org: org, Number: c.number + 1, Before: c.last, Total: c.total, At: now.UTC().Truncate(time.Millisecond)}
	if p.At.Before(c.at) {
		p.At = c.at
	}
	if _, err := p.fill(entries); err != nil {
		return nil, nil, err
	}
	body, err := json.Marshal(p)
	return p, body, err
}

// extend takes in the page that comes next. One that cannot be read ends the chain as it
// was: whatever is written behind it begins another.
func (c *chain) extend(s Stored, p *Page) {
	c.last = Link{s.Sequence, s.Hash()}
	if p == nil {
		c.number, c.total = 0, 0
		return
	}
	c.number, c.total, c.at = p.Number, p.Total+uint64(len(p.Entries)), p.At
	ids := make([]string, len(p.Entries))
	for i, e := range p.Entries {
		ids[i] = e.ID
		c.ids[e.ID] = true
	}
	c.recent = append(c.recent, ids)
	if len(c.recent) > recentPages {
		for _, id := range c.recent[0] {
			delete(c.ids, id)
		}
		c.recent = c.recent[1:]
	}
}

// load reads the end of the chain.
func (c *chain) load(ctx context.Context, log Log, org string) error {
	c.last, c.number, c.total, c.at = Link{}, 0, 0, time.Time{}
	c.recent, c.ids = nil, map[string]bool{}
	s, err := log.Last(ctx, org)
	if errors.Is(err, ErrNone) {
		c.known = true
		return nil
	}
	if err != nil {
		return err
	}
	from, err := backward(ctx, log, org, s, recentPages)
	if err != nil {
		return err
	}
	c.last.Sequence = from - 1
	if err := c.catchUp(ctx, log, org); err != nil {
		return err
	}
	c.known = true
	return nil
}

// backward returns the sequence of the page that is so many pages before s, or of the
// earliest that can be found.
func backward(ctx context.Context, log Log, org string, s Stored, pages int) (uint64, error) {
	for range pages - 1 {
		p, err := ReadPage(s.Body)
		if err != nil || p.Before.Sequence == 0 || p.Before.Sequence >= s.Sequence {
			break
		}
		before, err := log.Next(ctx, org, p.Before.Sequence)
		if err != nil {
			return 0, err
		}
		if before.Sequence != p.Before.Sequence { // it is gone
			break
		}
		s = before
	}
	return s.Sequence, nil
}

// catchUp takes in the pages that others have written.
func (c *chain) catchUp(ctx context.Context, log Log, org string) error {
	for {
		s, err := log.Next(ctx, org, c.last.Sequence+1)
		if errors.Is(err, ErrNone) {
			return nil
		}
		if err != nil {
			return err
		}
		p, err := ReadPage(s.Body)
		if err != nil {
			p = nil
		}
		c.extend(s, p)
	}
}
