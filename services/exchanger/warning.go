package exchanger

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/secret"
)

// What is noticed and is no failure is a warning: it goes with the outcome into
// the record and the event, and is gone when an exchange no longer notices it.

// warn notes something that somebody should know. Format and args are ours.
func (g *got) warn(code events.WarningCode, format string, args ...any) {
	g.warnings = append(g.warnings, secret.Warning{Code: string(code), Detail: fmt.Sprintf(format, args...)})
}

// shortLife is how long a token lives of which people are told how little may go
// wrong while it is refreshed.
const shortLife = 5 * time.Minute

// warnOfLife warns of a token that lives no longer than shortLife, or than the
// least time between two refreshes.
func (g *got) warnOfLife(minGap time.Duration) {
	if life := g.lifetime; life > 0 && life <= max(shortLife, minGap) {
		g.warn(events.WarningShortLife, "the token lives for %v: when its refresh falls due, %v are left for it", life, g.offset)
	}
}

// maxNamed is how many scopes a warning names.
const maxNamed = 8

// warnOfScopes warns of scopes that were asked for and not granted. Those that the
// provider's descriptor always adds are not missed: answers leave them out.
func (g *got) warnOfScopes(asked, granted []string) {
	missing := slices.DeleteFunc(slices.Clone(asked), func(scope string) bool { return slices.Contains(granted, scope) })
	named, more := missing, ""
	if len(missing) > maxNamed {
		named, more = missing[:maxNamed], fmt.Sprintf(" and %d more", len(missing)-maxNamed)
	}
	if len(missing) > 0 {
		g.warn(events.WarningFewerScopes, "fewer scopes were granted than were asked for, without %s%s", strings.Join(named, ", "), more)
	}
}

// announcedWarnings are the warnings of an outcome, as an event has them.
func announcedWarnings(list []secret.Warning) (out []events.Warning) {
	for _, w := range list {
		out = append(out, events.Warning{Code: events.WarningCode(w.Code), Detail: w.Detail})
	}
	return out
}
