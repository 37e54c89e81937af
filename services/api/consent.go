package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/audit"
	"github.com/rekindle-dev/rekindle/pkg/provider"
	"github.com/rekindle-dev/rekindle/pkg/seal"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state"
)

// ErrNoDialog means that the state of a consent is unknown, used or expired.
var ErrNoDialog = errors.New("no dialog waits for this consent")

// errWaits keeps a second consent from taking the place of a first whose code is
// being exchanged. Its state is not used up by that.
var errWaits = fmt.Errorf("%w: another consent to the same secret is being exchanged", ErrNotReady)

// Consent is what a provider's redirect brought (RFC 6749 section 4.1.2). It prints
// as "[redacted]".
type Consent struct {
	// State is the state of the dialog.
	State string
	// Code is the authorization code, the caller's to wipe; zero if there is an
	// Error.
	Code seal.Plaintext
	// Error is the provider's error code (RFC 6749 section 4.1.2.1), as it was
	// sent; empty if there is a Code.
	Error string
	// Request is the id of the request that brought it.
	Request string
	// Params are the other parameters, such as iss (RFC 9207) or scope. Whoever
	// can make a person open a link can write them.
	Params map[string]string
}

// Format writes "[redacted]" for every verb.
func (Consent) Format(f fmt.State, _ rune) { io.WriteString(f, "[redacted]") }

// LogValue returns "[redacted]".
func (Consent) LogValue() slog.Value { return slog.StringValue("[redacted]") }

// Verdict is how a consent ended, as far as is known.
type Verdict struct {
	Secret *secret.Secret
	// Provider is what people call it.
	Provider string
	// Known is false while the code is still being exchanged.
	Known bool
	// Failure is why there is no new grant; nil when there is one, or when it
	// is held.
	Failure *secret.Failure
	// Held tells that the consent is another account's, and waits for a decision.
	Held bool
}

// verdictIn is how long is waited for the exchange of a code, before it is said
// that it is still going on.
const verdictIn = 8 * time.Second

// Consent takes in what became of a dialog. The state is used up by it, in the
// same commit that decides the exchange of the code, so a code is given to one
// exchange however often the redirect comes. While another consent's code is being
// exchanged it returns ErrNotReady and uses nothing up. It returns ErrNoDialog,
// ErrNotReady or ErrUnavailable.
func (s *Service) Consent(ctx context.Context, given Consent) (Verdict, error) {
	id := secretOf(given.State)
	if id == "" {
		return Verdict{}, ErrNoDialog
	}
	sealer, err := s.sealer()
	if err != nil {
		return Verdict{}, err
	}
	var app provider.App
	var refused *secret.Failure
	var own error // of the last call
	var answered *secret.Secret
	_, rev, err := s.telling(func() deed {
		d := deed{who: Caller{Request: given.Request}, verb: audit.Reauthorized, of: tellSecret{answered}, outcome: "consented"}
		d.says = []saying{sayConsent(answered, secret.Actor{})}
		if refused != nil {
			d.outcome, d.says = "refused", []saying{sayRefused(answered, refused)}
		}
		return d
	}).Edit(ctx, id, func(d *secret.Draft) error {
		answered, app = d.Secret, s.cfg.Apps[d.Kind.Provider()]
		refused, own = s.take(ctx, d, sealer, app.Provider, given)
		return own
	})
	switch {
	case own != nil:
		return Verdict{}, own
	case errors.Is(err, state.ErrNotFound):
		return Verdict{}, ErrNoDialog
	case err != nil:
		return Verdict{}, unavailable(err)
	}
	verdict := Verdict{Secret: answered, Provider: cmp.Or(app.Provider.Label, answered.Kind.Provider()), Known: true, Failure: refused}
	if refused != nil {
		s.see(ctx, rev)
		return verdict, nil
	}
	return s.verdict(ctx, verdict, rev), nil
}

// take writes what was given into the draft. It returns why there is no consent, if
// there is none. The errors are ErrNoDialog, ErrNotReady, and faults of our own.
func (s *Service) take(ctx context.Context, d *secret.Draft, sealer *seal.Sealer, p provider.Descriptor, given Consent) (*secret.Failure, error) {
	if d.Consent == nil {
		return nil, ErrNoDialog
	}
	now := s.now()
	dialog, open := d.Consent.Find(given.State, now)
	switch {
	case !open, !d.Elsewhere.IsZero():
		return nil, ErrNoDialog
	case d.ConsentWaits():
		return nil, errWaits
	}
	d.Consent = d.Consent.Clone()
	d.Consent.End(dialog)
	d.Trace = traceparent(ctx)
	if given.Error != "" || given.Code.IsZero() {
		refused := refusedDialog(ctx, p, given.Error, now)
		d.Refused(refused, now, d.Consent.AskedUntil())
		return refused, nil
	}
	d.Consented(now)
	return nil, answer(d, dialog, sealer, p, given)
}

// answer puts the code where an exchanger finds it, and decides its exchange.
func answer(d *secret.Draft, dialog secret.Dialog, sealer *seal.Sealer, p provider.Descriptor, given Consent) error {
	sealed, err := sealer.Seal(seal.ShortLived, seal.Binding{
		Secret: d.ID, Field: secret.FieldCode, Generation: dialog.Number,
	}, given.Code)
	if err != nil {
		return err
	}
	d.Consent.Answered, d.Consent.AnsweredAt = &dialog, d.Authorization.ConsentedAt
	d.Consent.Code, d.Consent.Callback = sealed, nil
	keep := p.Answer.KeepCallback
	if p.Subject.From == provider.PlaceCallback {
		keep = append(slices.Clone(keep), p.Subject.Field)
	}
	if p.Issuer.From == provider.PlaceCallback {
		keep = append(slices.Clone(keep), p.Issuer.Field)
	}
	for _, name := range keep {
		if value, ok := given.Params[name]; ok && len(value) <= maxCallbackValue {
			if d.Consent.Callback == nil {
				d.Consent.Callback = make(map[string]string, len(keep))
			}
			d.Consent.Callback[name] = value
		}
	}
	return nil
}

// maxCallbackValue bounds what is kept of a redirect, in bytes.
const maxCallbackValue = 2 << 10

// refusedDialog says why a dialog brought no code. What the provider said is not
// in it.
func refusedDialog(ctx context.Context, p provider.Descriptor, code string, now time.Time) *secret.Failure {
	reason, detail := events.ReasonConsentRefused, "the consent was refused: authorize again"
	why := p.RefusedCallback(code)
	switch why.Meaning {
	case provider.AdminPolicy:
		reason, detail = events.ReasonAdminPolicy, "the administrator of the account's organisation has to allow the app: authorize again then"
	case provider.NeedsConfig:
		reason, detail = events.ReasonAppRefused, "the provider refused the app: check its registration"
	case provider.Retry, provider.Wait:
		reason, detail = events.ReasonProviderError, "the provider has a fault of its own: authorize again later"
	}
	f := &secret.Failure{
		ID: secret.NewUUID(), Reason: string(reason), Detail: cmp.Or(why.Hint, detail),
		RequestID: secret.NewRequestID(), At: now,
	}
	if sc := trace.SpanContextFromContext(ctx); sc.HasTraceID() {
		f.RequestID = sc.TraceID().String()
	}
	return f
}

// verdict waits for a while for what becomes of the code.
func (s *Service) verdict(ctx context.Context, v Verdict, rev state.Revision) Verdict {
	s.see(ctx, rev)
	ctx, cancel := context.WithTimeout(ctx, verdictIn)
	defer cancel()
	decision := v.Secret.Decision
	for {
		seen := s.view.at()
		now, ok := s.current(v.Secret.ID)
		if !ok {
			v.Known = false
			return v
		}
		if now.Decision > decision && now.Authorization != nil && now.Authorization.ConsentedAt.IsZero() {
			v.Secret, v.Failure = now, now.Authorization.Failure
			v.Held = v.Failure == nil && !now.Authorization.HeldAt.IsZero()
			return v
		}
		if s.view.wait(ctx, seen+1) != nil {
			v.Known = false
			return v
		}
	}
}

// current is the secret as the projection shows it.
func (s *Service) current(id string) (*secret.Secret, bool) {
	s.view.mu.RLock()
	defer s.view.mu.RUnlock()
	return s.view.secret(id)
}
