// Package audittest is for tests of what is built on package audit: a log in memory, which
// can be tampered with, and the suite that every log has to pass.
package audittest

import (
	"bytes"
	"context"
	"sync"

	"github.com/rekindle-dev/rekindle/pkg/audit"
)

// Log is an audit.Log in memory. The zero Log is empty.
type Log struct {
	mu     sync.Mutex
	pages  []page
	broken error
}

type page struct {
	org string
	audit.Stored
}

var _ audit.Log = (*Log)(nil)

// Append implements audit.Log.
func (l *Log) Append(ctx context.Context, org string, body []byte, last uint64) (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.fails(ctx); err != nil {
		return 0, err
	}
	var have, sequence uint64
	for _, p := range l.pages {
		if sequence = p.Sequence; p.org == org {
			have = p.Sequence
		}
	}
	if have != last {
		return 0, audit.ErrMoved
	}
	l.pages = append(l.pages, page{org, audit.Stored{Sequence: sequence + 1, Body: bytes.Clone(body)}})
	return sequence + 1, nil
}

// Next implements audit.Log.
func (l *Log) Next(ctx context.Context, org string, from uint64) (audit.Stored, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.pages {
		if p.org == org && p.Sequence >= from {
			return p.Stored, l.fails(ctx)
		}
	}
	return audit.Stored{}, cmpErr(l.fails(ctx))
}

// Last implements audit.Log.
func (l *Log) Last(ctx context.Context, org string) (found audit.Stored, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	err = cmpErr(l.fails(ctx))
	for _, p := range l.pages {
		if p.org == org {
			found, err = p.Stored, l.fails(ctx)
		}
	}
	return found, err
}

// cmpErr is ErrNone unless there is another error.
func cmpErr(err error) error {
	if err == nil {
		return audit.ErrNone
	}
	return err
}

func (l *Log) fails(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return l.broken
}

// Break lets every call fail from now on; nil mends it.
func (l *Log) Break(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.broken = err
}

// Pages returns what is stored for an organisation.
func (l *Log) Pages(org string) (list []audit.Stored) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.pages {
		if p.org == org {
			list = append(list, p.Stored)
		}
	}
	return list
}

// Tamper puts other pages in the place of an organisation's.
func (l *Log) Tamper(org string, pages []audit.Stored) {
	l.mu.Lock()
	defer l.mu.Unlock()
	kept := l.pages[:0:0]
	for _, p := range l.pages {
		if p.org != org {
			kept = append(kept, p)
		}
	}
	for _, s := range pages {
		kept = append(kept, page{org, s})
	}
	l.pages = kept
}
