package exchanger

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/seal"
	"github.com/rekindle-dev/rekindle/pkg/secret"
)

// fieldValue is what a secret's current value is bound to when it is sealed.
const fieldValue = "value"

// exchange makes the exchange of a claimed decision and keeps the claim alive
// meanwhile. Whatever the provider does is an outcome; the error says that the
// exchange was stopped from this side, or the claim was lost, and nothing is
// known.
func (x *Exchanger) exchange(ctx context.Context, c *claim, due secret.Next) (*result, error) {
	ctx, span := x.Tracer.Start(ctx, "exchange", trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(
		attribute.String("rekindle.kind", string(c.secret.Kind)), attribute.String("rekindle.action", string(due.Action)),
	))
	defer span.End()
	started := x.Now()
	x.metrics.lateness.WithLabelValues(string(due.Action)).Observe(started.Sub(due.At).Seconds())

	var r *result
	var err error
	once := c.secret.Kind.Interactive()
	if once {
		// What is sent here may be good for one request only, and what comes back
		// is nowhere else: the client's timeout is the only end.
		ctx = context.WithoutCancel(ctx)
	}
	asked := *c // as it was claimed: c is written to while the claim is renewed
	lost := c.whileKept(ctx, func(kept context.Context) {
		if once {
			kept = ctx // also when the claim is lost: see salvage
		}
		asked.save = c.save
		r, err = x.attempt(kept, &asked, due.Action)
	})
	if err != nil || r == nil {
		return nil, cmp.Or(lost, err)
	}
	r.outcome.StartedAt = moment(started)
	x.record(ctx, c.secret, r.outcome, x.Now().Sub(started))
	return r, nil
}

// result is what an exchange changes in the grant.
type result struct {
	outcome *secret.Outcome
	// consent is what a person's consent comes to from now on; nil when nothing
	// of it has changed.
	consent *secret.ConsentGrant
	// lost is the claim of which nobody knows what became of the refresh token it sent;
	// nil when there is none.
	lost *secret.Claim
}

// in is the grant with the result in place of the claim.
func (r *result) in(g *secret.Grant) *secret.Grant {
	next := g.With(nil, r.outcome)
	switch own := g.Claim; {
	case r.consent != nil && own != nil && g.Lost != nil && own.Token == g.Lost.Token:
		next.Lost = nil // it was answered this time
	case r.lost != nil:
		next.Lost = r.lost
	}
	switch o := r.outcome; {
	case o.Ended && o.Action == secret.Authorize:
		next.Held = nil // only what was held can end in an authorization
	case r.consent == nil:
	case o.Failure != nil:
		replace(&next.Consent, r.consent)
		replace(&next.Held, r.consent)
	case o.Held:
		next.Held = r.consent
	case o.Action == secret.Authorize:
		next.Consent, next.Held = r.consent, nil
	default:
		next.Consent = r.consent
	}
	next.Lost = stillLost(next)
	return next
}

// replace puts what has become of a consent in its place, if it is there.
func replace(place **secret.ConsentGrant, c *secret.ConsentGrant) {
	if old := *place; old != nil && old.Account == c.Account && old.AuthorizedAt.Equal(c.AuthorizedAt) {
		*place = c
	}
}

// attempt makes the exchange. The error is ctx's, which ended before the outcome
// was known, or errLate: there is none. What this program itself does wrong is an
// outcome, too: one bad secret must not be tried again for ever.
func (x *Exchanger) attempt(ctx context.Context, c *claim, action secret.Action) (*result, error) {
	begun := x.now()
	r, err := x.try(ctx, c, action)
	if err == nil {
		r.outcome.Action = action
		return r, nil
	}
	why, ok := errors.AsType[*ExchangeError](err)
	if !ok && (ctx.Err() != nil || errors.Is(err, errLate)) {
		return nil, cmp.Or(ctx.Err(), err)
	}
	if !ok {
		x.Logger.ErrorContext(ctx, "an exchange failed by a fault of the exchanger's own", "secret", c.secret.ID, "error", err)
		why = failed(events.ReasonUnsupported, "the exchanger has a fault of its own: its log tells more")
		why.Sent = r == nil || r.consent == nil // perhaps, and what came is gone
	}
	if name := c.secret.Kind.Provider(); name != "" {
		why.Detail = strings.ReplaceAll(why.Detail, "token_url", "providers."+name+".token_url")
	}
	if v := why.Reason.Verdict(); v == events.NeedsConfiguration || v == events.NeedsHuman {
		why.RetryAfter = 0 // it does not pass by waiting
	}
	if r != nil && r.consent != nil {
		c.grant = c.replaced(r.consent) // the token was of no use, but the grant was used
	}
	now := x.now()
	lost := c.lost(why, now)
	retryAt, replay := c.retryAt(why, lost, now)
	ended := why.Reason == events.ReasonGrantEnded || why.Reason == events.ReasonAdminPolicy && c.uses() != nil
	left := x.health.failed(ctx, c.secret.Endpoint(), why, begun, c.probe)
	told := &result{outcome: &secret.Outcome{
		Decision: c.secret.Decision, Action: action, At: now, Failure: x.failure(ctx, c.neverRevoked(why), now),
		Answered: why.Status != 0, Ended: ended, Foreign: why.Foreign, Replay: replay && !ended,
		RetryAt: cmp.Or(retryAt, left), Down: retryAt.IsZero() && !left.IsZero(),
		ForceConsent: why.Reason == events.ReasonNoRefreshToken,
	}, lost: lost}
	if r != nil {
		told.consent = r.consent
	}
	return told, nil
}

// try opens the credentials, gets the value they stand for, holds it against
// the validity windows and seals it. The dates count from before the request.
// With an error, the result may have what has become of a consent, and no more.
// The error is an *ExchangeError, errLate, ctx's if it has ended, or a fault of this
// program, a panic included.
func (x *Exchanger) try(ctx context.Context, c *claim, action secret.Action) (r *result, err error) {
	defer func() {
		if p := recover(); p != nil {
			// What was thrown may hold anything; its type and the stack do not.
			r, err = nil, fmt.Errorf("panic with a %T\n%s", p, debug.Stack())
		}
	}()
	requestedAt := x.now()
	got, err := x.value(ctx, c, action, requestedAt)
	r = &result{consent: got.consent}
	if err != nil {
		return r, err
	}
	defer got.value.Wipe()
	s := c.secret
	o := &secret.Outcome{Decision: s.Decision, At: x.now(), Held: got.held, Authorized: got.authorized, ForceConsent: got.force}
	r.outcome = o
	if got.held {
		return r, nil // its value is not to be used yet
	}
	if got.lifetime > 0 {
		window := x.Policy.Window(s.Kind)
		if err := window.Check(got.lifetime, got.offset); err != nil {
			return r, failed(events.ReasonWindow, "%s", err.Error())
		}
		asked := requestedAt
		if !got.since.IsZero() {
			requestedAt = got.since
		}
		o.ExpiresAt, o.RefreshAt = secret.Dates(requestedAt, got.lifetime, got.offset)
		if at := window.NextAt(s.ID, s.Decision, asked, o.RefreshAt); at.Before(o.RefreshAt) {
			o.NextAt = at
		}
	}
	if got.last {
		o.RefreshAt, o.NextAt = time.Time{}, time.Time{}
	}
	got.warnOfLife(x.Apps[s.Kind.Provider()].Provider.Refresh.MinGap)
	o.Warnings = got.warnings
	if s.Environment == "" {
		return r, nil // the value is thrown away (contract A10)
	}
	o.Environment = s.Environment
	o.Sealed, err = x.opener.Seal(seal.Binding{Secret: s.ID, Field: fieldValue, Generation: s.Decision}, got.value)
	return r, err
}

// got is what an exchange yields.
type got struct {
	value    seal.Plaintext
	lifetime time.Duration // 0 for values that do not end
	offset   time.Duration // how long before its end it is refreshed
	since    time.Time     // from when it counts; zero: from before the request
	last     bool          // there is nothing to refresh it with
	warnings []secret.Warning

	// Of kinds that a person consents to:
	consent    *secret.ConsentGrant // what the consent comes to from now on
	held       bool                 // it is another account's
	authorized *secret.Authorized
	force      bool // the next dialog has to force consent
}

// value gets the value of a secret.
func (x *Exchanger) value(ctx context.Context, c *claim, action secret.Action, now time.Time) (got, error) {
	s := c.secret
	if s.Kind.Interactive() {
		return x.consented(ctx, c, action, now)
	}
	switch s.Kind.Canonical() {
	case secret.Token:
		token, err := x.open(ctx, c, "token")
		return got{value: token}, err
	case secret.SimpleHTTP:
		return x.basic(ctx, c)
	case secret.OAuth2:
		return x.clientCredentials(ctx, c)
	case secret.OAuth2JWT:
		return x.jwt(ctx, c)
	default:
		return got{}, failed(events.ReasonUnsupported, "this exchanger does not know the type %s: upgrade it", s.Kind)
	}
}

// basic is the value of simple-http: what HTTP Basic puts behind its name
// (RFC 7617), without the name (contract A10).
func (x *Exchanger) basic(ctx context.Context, c *claim) (got, error) {
	password, err := x.open(ctx, c, "password")
	if err != nil {
		return got{}, err
	}
	defer password.Wipe()
	revealed := password.Reveal()
	defer clear(revealed)
	pair := slices.Concat([]byte(c.secret.Credentials.Username), []byte{':'}, revealed)
	defer clear(pair)
	encoded := base64.StdEncoding.AppendEncode(nil, pair)
	defer clear(encoded)
	return got{value: seal.NewPlaintext(encoded)}, nil
}

func (x *Exchanger) clientCredentials(ctx context.Context, c *claim) (got, error) {
	r, err := x.clientCredentialsRequest(ctx, c)
	defer r.wipe()
	if err != nil {
		return got{}, err
	}
	return x.ask(ctx, c, r)
}

// clientCredentialsRequest is the request of RFC 6749 section 4.4.
func (x *Exchanger) clientCredentialsRequest(ctx context.Context, c *claim) (TokenRequest, error) {
	public := c.secret.Credentials
	clientSecret, err := x.open(ctx, c, "client_secret")
	return TokenRequest{
		URL: public.TokenURL, Style: InParams, Grant: grantClientCredentials,
		ClientID: public.ClientID, ClientSecret: clientSecret, Options: public.Options,
	}, err
}

// ask sends a request whose answer is the value.
func (x *Exchanger) ask(ctx context.Context, c *claim, r TokenRequest) (got, error) {
	answer, err := x.Client.Exchange(ctx, r)
	return got{
		value:    answer.AccessToken,
		lifetime: answer.Lifetime, offset: c.secret.Credentials.Offset(),
	}, err
}

// wipe overwrites what the request proves itself with.
func (r TokenRequest) wipe() {
	r.ClientSecret.Wipe()
	for _, f := range r.Fields {
		f.Value.Wipe()
	}
}

// open opens one hidden field of the credentials.
func (x *Exchanger) open(ctx context.Context, c *claim, field string) (seal.Plaintext, error) {
	f, ok := c.credential.Fields[field]
	if !ok {
		return seal.Plaintext{}, failed(events.ReasonCannotOpen, "the stored credentials have no %s: send it again", field)
	}
	p, err := x.opener.Open(c.secret.Binding(field, f), f.Sealed)
	if err != nil {
		return seal.Plaintext{}, x.cannotOpen(ctx, c.secret.ID, field, remedy(c.secret, field, f, err), err)
	}
	return p, nil
}

// remedy is what puts another hidden field in the place of one that does not open. A
// publisher learns what it should have sealed that for.
func remedy(s *secret.Secret, field string, f secret.SealedField, err error) string {
	again := "send the " + field + " again"
	if f.Bound == "" || !errors.Is(err, seal.ErrCannotOpen) {
		return again
	}
	return fmt.Sprintf("it was sent sealed, for something else than %s of %s in %s: %s, sealed for that or for %s",
		s.Credentials.SealedAs(field), f.Bound, s.Org, again, s.ID)
}

// cannotOpen says why something that is stored could not be opened; remedy is what
// puts another in its place.
func (x *Exchanger) cannotOpen(ctx context.Context, id, what, remedy string, err error) error {
	x.Logger.ErrorContext(ctx, "what is stored sealed could not be opened", "secret", id, "error", err)
	if errors.Is(err, seal.ErrUnknownKey) {
		return failed(events.ReasonCannotOpen, "the stored %s is sealed to a key that the exchanger does not hold: give it the keyring of the fleet, or %s", what, remedy)
	}
	return failed(events.ReasonCannotOpen, "the stored %s could not be opened: %s", what, remedy)
}

// failure makes of an error what the secret's record says. Its request id is
// the trace id, so that whoever reads the record finds the trace and the logs.
func (x *Exchanger) failure(ctx context.Context, e *ExchangeError, at time.Time) *secret.Failure {
	id := secret.NewRequestID()
	if sc := trace.SpanContextFromContext(ctx); sc.HasTraceID() {
		id = sc.TraceID().String()
	}
	f := &secret.Failure{ID: secret.NewUUID(), Reason: string(e.Reason), Detail: e.Detail, RequestID: id, At: at}
	if e.RetryAfter > 0 {
		f.RetryAt = moment(at.Add(e.RetryAfter))
	}
	return f
}

// record counts, traces and logs an exchange.
func (x *Exchanger) record(ctx context.Context, s *secret.Secret, o *secret.Outcome, took time.Duration) {
	outcome := exchangeSucceeded
	if o.Held {
		outcome = exchangeHeld
	}
	if o.Failure != nil {
		outcome = o.Failure.Reason
		trace.SpanFromContext(ctx).SetStatus(codes.Error, fmt.Sprintf("%s: %s", o.Failure.Reason, o.Failure.Detail))
	}
	x.metrics.count(s, o.Action, outcome)
	for _, w := range o.Warnings {
		x.metrics.warnings.WithLabelValues(w.Code).Inc()
	}
	x.metrics.duration.WithLabelValues(string(s.Kind.Canonical())).Observe(took.Seconds())
	x.Logger.InfoContext(ctx, "exchanged", "secret", s.ID, "kind", string(s.Kind), "job", string(o.Action), "outcome", outcome, "generation", o.Decision, "took", took)
}
