// Package callback is where a provider sends a person's browser back to
// (contract A13, RFC 6749 section 4.1.2): one small page that says what has
// become of a consent.
//
// It promises
//   - that only a GET that is whole and well formed reaches the [Service]: a
//     HEAD, or a query in which something is missing, repeated or too long,
//     uses nothing up;
//   - that a consent which has arrived is handled even if the browser has gone:
//     the code in it is good only once;
//   - that nothing of the query comes out again: no page, log line, span or
//     metric holds any of it;
//   - pages without scripts and without anything from elsewhere, which no other
//     site can frame, and which send no referrer, for their URL holds a code.
//
// It refuses to know more than the query and the verdict: whom a state belongs
// to, and what a code is good for, is the business of the Service. The state is
// the only credential here, and the Service's to check.
package callback

import (
	"context"

	"github.com/rekindle-dev/rekindle/services/api"
)

// Path is where the handler belongs, below the public URL of the API. It is to
// be mounted for all methods: a mux answers HEAD where GET is registered, and a
// handler that is asked for every method refuses the others itself.
const Path = "/oauth2/callback"

// Service takes consents.
type Service interface {
	// Consent takes what a redirect brought and says how it ended, as not known
	// if it is not well before ctx ends, which outlives the request. Errors are
	// api.ErrNoDialog, and api.ErrNotReady, api.ErrUnavailable or the end of
	// ctx, which are the same: the same consent may be sent again. Any other is
	// a fault. Except for api.ErrNoDialog their text is logged, and must hold
	// nothing of the consent. The code is wiped once Consent has returned. It is
	// called from many goroutines at once.
	Consent(ctx context.Context, c api.Consent) (api.Verdict, error)
}
