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
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/rekindle-dev/rekindle/pkg/seal"
)

// Path is where the handler belongs, below the public URL of the API. It is to
// be mounted for all methods: a mux answers HEAD where GET is registered, and a
// handler that is asked for every method refuses the others itself.
const Path = "/oauth2/callback"

// Errors of [Service.Consent].
var (
	// ErrNoDialog: the state is unknown, used or expired.
	ErrNoDialog = errors.New("no dialog waits for this consent")
	// ErrUnavailable: it could not be found out or not be stored. The same
	// consent may be sent again.
	ErrUnavailable = errors.New("consents cannot be taken now")
)

// Service takes consents.
type Service interface {
	// Consent takes what a redirect brought and says how it ended, as Working
	// if that is not known well before ctx ends, which outlives the request.
	// Errors are ErrNoDialog, and ErrUnavailable or the end of ctx, which are
	// the same; any other is a fault. Except for ErrNoDialog their text is
	// logged, and must hold nothing of the consent. The code is wiped once
	// Consent has returned. It is called from many goroutines at once.
	Consent(ctx context.Context, c Consent) (Verdict, error)
}

// Consent is what the redirect brought. It prints as "[redacted]".
type Consent struct {
	// State is the state of the dialog, at most 512 bytes.
	State string
	// Code is the authorization code; zero if there is an Error.
	Code seal.Plaintext
	// Error is the provider's error code (RFC 6749 section 4.1.2.1), as it was
	// sent; empty if there is a Code.
	Error string
	// Params are the other parameters, such as iss (RFC 9207) or scope. Whoever
	// can make a person open a link can write them.
	Params map[string]string
}

// Format writes "[redacted]" for every verb.
func (Consent) Format(f fmt.State, _ rune) { io.WriteString(f, "[redacted]") }

// LogValue returns "[redacted]".
func (Consent) LogValue() slog.Value { return slog.StringValue("[redacted]") }

// Result is how a consent ended.
type Result string

// The results.
const (
	// Authorized: the secret has a new grant.
	Authorized Result = "authorized"
	// Held: another account's consent waits for a decision.
	Held Result = "held"
	// Refused: the person, or the provider in the dialog, said no.
	Refused Result = "refused"
	// Failed: there was a consent, and no grant came of it.
	Failed Result = "failed"
	// Working: not known yet.
	Working Result = "working"
)

// Verdict is how a consent ended, as far as is known. All texts are for the
// person, and are shown as text whatever they hold.
type Verdict struct {
	Secret   string // its name
	Provider string // what people call it: "Google"
	Result   Result
	Detail   string // a sentence of ours, or empty
	// URL is where to go on. It is shown if it is an absolute http or https
	// URL.
	URL string
}
