package reactor

import "github.com/rekindle-dev/rekindle/services/api/auth"

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
