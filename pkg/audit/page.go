package audit

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// The bounds of a page. What makes one larger goes into the next.
const (
	// MaxEntries is how many entries a page may have.
	MaxEntries = 500
	// maxPageBytes bounds the entries of a page as they are written.
	maxPageBytes = 384 << 10
	// MaxPage bounds a page as it is stored, in bytes: no entry is larger than what is
	// over.
	MaxPage = 512 << 10
)

// Page is a link of the chain of one organisation. What is stored of it are the bytes that
// were written once; its hash is theirs.
type Page struct {
	Org string `json:"org"`
	// Number counts the pages of the organisation from 1.
	Number uint64 `json:"number"`
	// Before is the page before it, zero for the first.
	Before Link `json:"before,omitzero"`
	// Total is how many entries the pages before it have.
	Total uint64 `json:"total"`
	// At is when it was written; no page is older than the one before it.
	At      time.Time `json:"at"`
	Entries []Entry   `json:"entries"`
}

// Link names a page.
type Link struct {
	// Sequence is its place in the log.
	Sequence uint64 `json:"sequence"`
	Hash     string `json:"hash"`
}

// Stored is a page as a log keeps it.
type Stored struct {
	// Sequence is its place among the pages of all organisations: later ones have
	// higher ones.
	Sequence uint64
	Body     []byte
}

// Hash is the SHA-256 of what is stored, in lower-case hex digits.
func (s Stored) Hash() string { return hashOf(s.Body) }

func hashOf(body []byte) string {
	h := sha256.Sum256(body)
	return hex.EncodeToString(h[:])
}

// What a log may answer.
var (
	// ErrNone: there is no such page.
	ErrNone = errors.New("no such page of the audit trail")
	// ErrMoved: another page was written behind the one that was named.
	ErrMoved = errors.New("another page of the audit trail was written first")
)

// Log keeps the pages of all organisations. Implementations are safe for concurrent use, by
// several processes at once. Any other error means that the log did not answer: what was to
// be written may have been written or not.
type Log interface {
	// Append stores a page of an organisation, if its last page is the one with the
	// sequence last, 0 for none, and returns its sequence; else ErrMoved.
	Append(ctx context.Context, org string, page []byte, last uint64) (sequence uint64, err error)
	// Next returns the first page of an organisation whose sequence is at least from, or
	// ErrNone.
	Next(ctx context.Context, org string, from uint64) (Stored, error)
	// Last returns the last page of an organisation, or ErrNone.
	Last(ctx context.Context, org string) (Stored, error)
}

// ReadPage reads what is stored as a page. Members it does not know are ignored. Its error
// quotes nothing.
func ReadPage(body []byte) (*Page, error) {
	p := new(Page)
	if err := json.Unmarshal(body, p); err != nil {
		return nil, errors.New("what is stored is no page of the audit trail")
	}
	if p.Number == 0 || len(p.Entries) == 0 {
		return nil, errors.New("a page of the audit trail has no number or no entries")
	}
	return p, nil
}

// fill moves entries from the list into the page until it is full, and returns what is
// over. An entry too large for any page is put down without its public form.
func (p *Page) fill(entries []Entry) ([]Entry, error) {
	size := 0
	for i, e := range entries {
		body, err := json.Marshal(e)
		if err != nil {
			return nil, fmt.Errorf("encode an entry of the audit trail: %w", err)
		}
		if len(body) > maxPageBytes {
			e.Entity.Public = nil
		}
		if size += len(body); i == MaxEntries || i > 0 && size > maxPageBytes {
			return entries[i:], nil
		}
		p.Entries = append(p.Entries, e)
	}
	return nil, nil
}
