package reactor

import (
	"maps"
	"slices"
	"time"

	"github.com/rekindle-dev/rekindle/services/api/auth"
)

// Route is a route, for the tests of who may use it.
type Route struct {
	Pattern string
	Right   auth.Right
}

// Routes lists the routes there are.
func Routes() []Route {
	var all []Route
	for _, r := range new(door).routes() {
		all = append(all, Route{r.pattern, r.right})
	}
	return all
}

// Filters lists what each list can be filtered by, by the type of what is in it.
func Filters() map[string][]string {
	return map[string][]string{
		"AuditEvent":    names(filterableAuditEvents()),
		"Build":         names(filterableBuilds()),
		"Callback":      names(filterableCallbacks()),
		"Company":       names(filterableCompanies()),
		"DataElement":   names(filterableElements(view{})),
		"Delivery":      names(filterableTries()),
		"Environment":   names(filterableEnvironments()),
		"Event":         {"property", "secret", "type_of"},
		"Extension":     names(filterableExtensions()),
		"Host":          names(filterableHosts()),
		"Library":       names(filterableLibraries()),
		"Note":          names(filterableNotes()),
		"ParkedMessage": names(filterableParked()),
		"Property":      names(filterableProperties()),
		"Secret":        names(secretFields()),
		"Token":         names(filterableTokens(time.Time{})),
	}
}

func names[V any](fields map[string]V) []string { return slices.Collect(maps.Keys(fields)) }
