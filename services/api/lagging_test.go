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
