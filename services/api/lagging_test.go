package api_test

import (
	"context"
	"strings"

	"github.com/rekindle-dev/rekindle/pkg/state"
)

// lagging is a state that answers a few questions about notes with what was before, as
// a member of a cluster may.
type lagging struct {
	state.Store
	old   []byte
	rev   state.Revision
	times int
}

func (l *lagging) Get(ctx context.Context, key string) ([]byte, state.Revision, error) {
	if strings.HasPrefix(key, "notes.") && l.times > 0 {
		l.times--
		return l.old, l.rev, nil
	}
	return l.Store.Get(ctx, key)
}

// interrupted is a state in which something else happens before a record is read for the
// first time.
type interrupted struct {
	state.Store
	key   string
	first func() error
}

func (i *interrupted) Get(ctx context.Context, key string) ([]byte, state.Revision, error) {
	if first := i.first; key == i.key && first != nil {
		i.first = nil
		if err := first(); err != nil {
			return nil, 0, err
		}
	}
	return i.Store.Get(ctx, key)
}
