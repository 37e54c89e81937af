// Package ledger says how the log of events is followed: which of them, from where on,
// and what is handed over. It says nothing about who keeps the log.
package ledger

import (
	"slices"
	"time"

	"github.com/rekindle-dev/rekindle/events"
)

// MaxSubjects bounds the subjects of a [Selection], and so the pairs of a type and a
// secret that one names.
const MaxSubjects = 200

// Selection is which events are followed: some of one organisation's, or all of them.
type Selection struct {
	Org string
	// Types are those that are wanted, none for all. They go into subjects as they are, so
	// they must be types of package events.
	Types []events.Type
	// Secrets are the ids of those whose events are wanted, none for all.
	Secrets []string
}

// Subjects are the patterns of the subjects of what is selected. No two of them overlap.
func (s Selection) Subjects() []string {
	types, secrets := s.Types, s.Secrets
	if len(types) == 0 {
		types = []events.Type{""}
	}
	if len(secrets) == 0 {
		secrets = []string{""}
	}
	var all []string
	for _, t := range types {
		for _, id := range secrets {
			all = append(all, events.SubjectsIn(s.Org, t, id))
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// Start is where following begins: behind an event, with what was stored since a time or,
// if neither is given, with what comes from now on.
type Start struct {
	// After is the sequence of the event, 0 for the very beginning; nil for none.
	After *uint64
	Since time.Time
}

// Part is what is handed over at a time: events, oldest first, or nothing but that there
// are none now.
type Part struct {
	// Gap is what is missing before Entries; nil for nothing.
	Gap     *Gap
	Entries []events.Entry
	// Position is up to where all was handed over that is selected, this part included:
	// who begins behind it misses nothing and gets nothing twice. It only grows, but for a
	// log that was set back.
	Position uint64
	// Present tells that what there was when following began has been handed over. It stays
	// true from then on.
	Present bool
}

// Gap says that events that were asked for are not there any more. Whether any of them was
// among those selected is not known.
type Gap struct {
	// SetBack tells that the log ends before the place that was asked for: it was restored, or
	// lost its end with its disk's power. Nobody knows what came between.
	SetBack bool
	// AtMost is how many events are missing, of all organisations and types; 0 if that is
	// not known.
	AtMost uint64
	// OldestAt is when the oldest event was stored that is kept, zero when there is none.
	OldestAt time.Time
}
