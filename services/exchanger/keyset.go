package exchanger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/rekindle-dev/rekindle/pkg/seal"
	"github.com/rekindle-dev/rekindle/pkg/state"
)

// ErrForeignKeyset means that the fleet seals to a key that this exchanger does not hold,
// so it could not open what it is given.
var ErrForeignKeyset = errors.New("the fleet seals to a key that is not in this exchanger's keyring: " +
	"give every exchanger the keyring of the first one (--keyring)")

// publishKeyset puts the public half of the keyring where everyone who seals
// finds it. The first exchanger of a fleet founds it; later ones must hold the
// key it seals to, and one whose keyring is ahead brings the fleet up to it.
func publishKeyset(ctx context.Context, st state.Store, own seal.Keyset) error {
	body, err := json.Marshal(own)
	if err != nil {
		return fmt.Errorf("encode the keyset: %w", err)
	}
	for {
		current, rev, err := st.Get(ctx, state.KeysetKey)
		if err != nil && !errors.Is(err, state.ErrNotFound) {
			return err
		}
		if err == nil {
			if ahead, err := isAhead(own, current); !ahead || err != nil {
				return err
			}
		}
		_, err = st.Commit(ctx, state.Write{Key: state.KeysetKey, Value: body, Expect: rev})
		if !errors.Is(err, state.ErrConflict) {
			return err
		}
	}
}

// isAhead reports whether an exchanger with the keyset own is ahead of the
// fleet's, or ErrForeignKeyset if it cannot serve the fleet. Of two keysets with
// different primary keys, the one is ahead whose primary was prepared later, so
// that a keyring from before a rotation never takes it back. With the same one,
// it is the one that has a key which the other has not.
func isAhead(own seal.Keyset, fleet []byte) (bool, error) {
	var set seal.Keyset
	if err := json.Unmarshal(fleet, &set); err != nil {
		return false, fmt.Errorf("record %s: %w", state.KeysetKey, err)
	}
	theirs := place(own, set.Primary())
	if theirs < 0 {
		return false, ErrForeignKeyset
	}
	if mine := place(own, own.Primary()); mine != theirs {
		return mine > theirs, nil
	}
	return slices.ContainsFunc(own.Keys(), func(k seal.KeyInfo) bool { return place(set, k.ID) < 0 }), nil
}

// place is how many keys of the set were prepared before the key, -1 if it is
// not in the set.
func place(set seal.Keyset, id seal.KeyID) int {
	return slices.IndexFunc(set.Keys(), func(k seal.KeyInfo) bool { return k.ID == id })
}
