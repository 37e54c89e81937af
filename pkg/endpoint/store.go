package endpoint

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/rekindle-dev/rekindle/pkg/state"
)

// Store keeps the records. It is safe for concurrent use, by many processes over
// one state.
type Store struct{ State state.Store }

// Update applies change to what is known of the host and writes what comes of
// it, if change reports that it has changed anything. When somebody else has
// written meanwhile it reads again and calls change again. It returns what is
// stored then, and whether it has written. A record that is damaged counts as
// none, and is written over; one that says nothing any more is removed.
func (st Store) Update(ctx context.Context, host string, now time.Time, change func(*Health) bool) (*Health, bool, error) {
	key := state.EndpointKey(host)
	for {
		body, rev, err := st.State.Get(ctx, key)
		if err != nil && !errors.Is(err, state.ErrNotFound) {
			return nil, false, err
		}
		h, err := Decode(key, body, now)
		if err != nil {
			h = &Health{Host: host}
		}
		h.Revision = rev
		if !change(h) {
			return h, false, nil
		}
		h.prune(now)
		w := state.Write{Key: key, Expect: rev}
		if !h.empty() {
			if w.Value, err = json.Marshal(h); err != nil {
				return nil, false, fmt.Errorf("encode the record of a host: %w", err)
			}
		} else if rev == 0 {
			return h, false, nil
		}
		h.Revision, err = st.State.Commit(ctx, w)
		if errors.Is(err, state.ErrConflict) && ctx.Err() == nil {
			continue
		}
		return h, err == nil, err
	}
}
