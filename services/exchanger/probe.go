package exchanger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/seal"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/pkg/work"
)

// actionTest is the action of an exchange of which nothing is kept.
const actionTest secret.Action = "test"

// noDecision keeps the claim of a test from being taken for that of an exchange.
const noDecision = 0

// test makes one exchange for somebody who wants to see the provider's answer
// (contract A8), and changes nothing about the secret. It comes in the secret's
// lane and claims its grant like any other exchange, so there never are two at
// once; but the claim is of no decision, so whatever was decided stays to be
// done. Nobody waits long for a test: what cannot be done now is not done.
func (x *Exchanger) test(ctx context.Context, m work.Message) (result string, err error) {
	ask, err := events.DecodeTestRequested(m.Data)
	if err != nil {
		return "", work.Reject(err)
	}
	if !secret.ValidID(secret.PrefixSecret, ask.Secret) {
		return "", work.Reject(errors.New("the secret to test is not the id of a secret"))
	}
	if m.Answer == nil || !x.now().Before(ask.Before) {
		return jobStale, nil
	}
	g, rev, err := x.vault.Grant(ctx, ask.Secret)
	if err != nil {
		return "", err
	}
	s, _, err := x.secrets.Get(ctx, ask.Secret)
	if errors.Is(err, state.ErrNotFound) || err == nil && !s.DeletedAt.IsZero() {
		return jobStale, nil
	}
	if err != nil {
		return "", err
	}
	answer, err := x.heldTest(s)
	if err == nil && answer.Exchange == nil {
		answer, err = x.probe(ctx, &claim{x: x, secret: s, grant: g, revision: rev})
	}
	if err != nil {
		return "", err
	}
	return jobDone, x.reply(ctx, m, ask, answer)
}

// heldTest is the answer while the provider is not to be asked, if it is not.
func (x *Exchanger) heldTest(s *secret.Secret) (events.TestAnswer, error) {
	asked := s.Endpoint()
	why := failed(events.ReasonThrottled, "the provider has asked to be left alone")
	until := x.health.paused(asked)
	if open := x.health.open(asked); open.After(until) {
		why = failed(events.ReasonProviderError, "the provider has failed several times in a row and is left alone")
		until = open
	}
	if !until.After(x.now()) {
		return events.TestAnswer{}, nil
	}
	body, err := json.Marshal(testFailure{
		Error: string(why.Reason), Description: fmt.Sprintf("%s until %s: nothing was sent", why.Detail, until.UTC().Format(time.RFC3339)),
	})
	return events.TestAnswer{Exchange: body}, err
}

// probe makes the exchange if nobody else is at work on the secret.
func (x *Exchanger) probe(ctx context.Context, c *claim) (events.TestAnswer, error) {
	now := x.now()
	busy := events.TestAnswer{Busy: true}
	if open := c.grant.Claim; open != nil && (heldFor(open, now, x.Steady()) > 0 || open.Decision >= c.secret.Decision) {
		return busy, nil // a claim that was left open is not a test's to give up
	}
	if err := c.readCredential(ctx); err != nil {
		return busy, err
	}
	tested := *c.secret
	tested.Decision = noDecision
	c.secret = &tested
	before := c.grant.Claim // a trace: the decision it is of was claimed
	if before != nil && before.Decision == noDecision {
		before = &secret.Claim{Decision: before.Last, Holder: before.Holder, StartedAt: before.StartedAt}
	}
	first := c.revision == 0
	err := c.write(ctx, c.claimed(now, now.Add(claimLife)))
	if errors.Is(err, state.ErrConflict) {
		return busy, nil
	}
	if err == nil && first {
		err = c.verify(ctx)
	}
	if errors.Is(err, errVoid) {
		return busy, nil
	}
	if err != nil {
		return busy, err
	}
	var answer events.TestAnswer
	started := x.Now()
	made := false
	lost := c.whileKept(ctx, func(ctx context.Context) {
		made = true
		answer, err = x.tryOut(ctx, c)
	})
	x.metrics.duration.WithLabelValues(string(c.secret.Kind.Canonical())).Observe(x.Now().Sub(started).Seconds())
	if errors.Is(lost, errFenced) || !made {
		return busy, nil
	}
	unstopped := context.WithoutCancel(ctx)
	if putErr := c.put(unstopped, c.grant.With(before, c.grant.Outcome)); putErr != nil && !errors.Is(putErr, errFenced) {
		x.Logger.WarnContext(ctx, "the claim of a test could not be given back: it has to run out", "secret", c.secret.ID, "error", putErr)
	}
	return answer, err
}

// tryOut makes the exchange and says what came of it.
func (x *Exchanger) tryOut(ctx context.Context, c *claim) (events.TestAnswer, error) {
	begun := x.now()
	body, warning, err := x.raw(ctx, c)
	defer clear(body)
	outcome := exchangeSucceeded
	why, refused := errors.AsType[*ExchangeError](err)
	switch {
	case refused:
		outcome = string(why.Reason)
		x.health.failed(ctx, c.secret.Endpoint(), why, begun, false)
	case err != nil && ctx.Err() != nil:
		return events.TestAnswer{}, ctx.Err()
	case err != nil:
		x.Logger.ErrorContext(ctx, "a test failed by a fault of the exchanger's own", "secret", c.secret.ID, "error", err)
		why, refused = failed(events.ReasonUnsupported, "the exchanger has a fault of its own: its log tells more"), true
		outcome = string(why.Reason)
	}
	x.metrics.count(c.secret, actionTest, outcome)
	if refused {
		body, err = json.Marshal(testFailure{Error: string(why.Reason), Description: why.Detail, Status: why.Status})
		return events.TestAnswer{Exchange: body}, err
	}
	return events.TestAnswer{Exchange: append(json.RawMessage(nil), body...), Warning: warning}, nil
}

// testFailure is what is shown of an exchange that did not succeed (contract A8).
type testFailure struct {
	Error       string `json:"error"`
	Description string `json:"error_description"`
	Status      int    `json:"status,omitempty"`
}

// raw makes the exchange and returns the provider's answer as it came, which is
// the caller's to overwrite, and what would keep it from being accepted.
func (x *Exchanger) raw(ctx context.Context, c *claim) (body []byte, warning string, err error) {
	switch c.secret.Kind.Canonical() {
	case secret.OAuth2:
		r, err := x.clientCredentialsRequest(ctx, c)
		defer r.wipe()
		if err != nil {
			return nil, "", err
		}
		return x.shown(ctx, c, r)
	case secret.OAuth2JWT:
		if c.secret.Credentials.TokenURL == "" {
			return x.signedOnly(ctx, c)
		}
		_, err = x.bear(ctx, c, func(r TokenRequest) (err error) {
			body, warning, err = x.shown(ctx, c, r)
			return err
		})
		return body, warning, err
	default:
		return nil, "", failed(events.ReasonUnsupported, "secrets of the type %s cannot be tested", c.secret.Kind)
	}
}

// shown sends a request and returns the answer as it came.
func (x *Exchanger) shown(ctx context.Context, c *claim, r TokenRequest) (body []byte, warning string, err error) {
	raw, answer, err := x.Client.Probe(ctx, r)
	defer raw.Wipe()
	defer answer.AccessToken.Wipe()
	if err != nil {
		return nil, "", err
	}
	return raw.Reveal(), x.warning(c, answer.Lifetime), nil
}

// signedOnly is the answer for a JWT that is not exchanged.
func (x *Exchanger) signedOnly(ctx context.Context, c *claim) (body []byte, warning string, err error) {
	jwt, _, err := x.sign(ctx, c, x.now())
	defer jwt.Wipe()
	if err != nil {
		return nil, "", err
	}
	revealed := jwt.Reveal()
	defer clear(revealed)
	ttl := c.secret.Credentials.TTL
	body, err = json.Marshal(struct {
		AccessToken string `json:"access_token"`
		ExpiresIn   int64  `json:"expires_in"`
		TokenType   string `json:"token_type"`
	}{string(revealed), ttl, "Bearer"})
	return body, x.warning(c, secret.Lifetime(ttl)), err
}

// warning says which window a token of this lifetime breaks.
func (x *Exchanger) warning(c *claim, lifetime time.Duration) string {
	if err := x.Policy.Window(c.secret.Kind).Check(lifetime, c.secret.Credentials.Offset()); err != nil {
		return err.Error()
	}
	return ""
}

// reply seals the answer to the one key that the request brought, and sends it.
func (x *Exchanger) reply(ctx context.Context, m work.Message, ask events.TestRequested, answer events.TestAnswer) error {
	text, err := json.Marshal(answer)
	if err != nil {
		return err
	}
	defer clear(text)
	clear(answer.Exchange)
	plain := seal.NewPlaintext(text)
	defer plain.Wipe()
	sealed, err := seal.SealReply(ask.Key, seal.Binding{Secret: ask.Secret, Field: events.FieldTestAnswer, Generation: noDecision}, plain)
	if err != nil {
		return work.Reject(err)
	}
	return m.Answer(ctx, sealed)
}
