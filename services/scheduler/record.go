package scheduler

import (
	"context"
	"encoding/hex"
	"slices"
	"time"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/secret"
)

// parseID returns the binary form of a secret's id.
func parseID(id string) (u uid, ok bool) {
	if !secret.ValidID(secret.PrefixSecret, id) {
		return u, false
	}
	_, err := hex.Decode(u[:], []byte(id[len(secret.PrefixSecret):]))
	return u, err == nil
}

// String returns the id as it stands in records.
func (u uid) String() string { return string(secret.PrefixSecret) + hex.EncodeToString(u[:]) }

// read returns the record of the secret id, or false when it cannot be one. Of
// a record that a newer program wrote, it ignores what it does not know.
func read(id uid, body []byte) (*secret.Secret, bool) {
	s, err := secret.Decode(body)
	if err != nil || s.ID != id.String() {
		return nil, false
	}
	return s, true
}

// planOf condenses a record. The organisation is left to the index.
func planOf(id uid, s *secret.Secret) *plan {
	next, say := nextOf(s)
	p := &plan{
		id:       id,
		trace:    parseTrace(s.Trace),
		action:   ordinal(actions(), next.Action),
		decision: s.Decision,
		class: class{
			kind:    ordinal(kinds(), s.Kind.Canonical()),
			status:  ordinal(statuses(), s.Status),
			refresh: ordinal(statuses(), s.RefreshStatus),
		},
	}
	if p.action != rest {
		p.due = next.At.UnixMilli()
	}
	if say.Action != secret.Rest {
		p.alarm = say.At.UnixMilli()
	}
	p.human = s.Authorization != nil && s.Authorization.Required
	if s.Deployed != "" && !s.ExpiresAt.IsZero() {
		p.expires = s.ExpiresAt.UnixMilli()
	}
	return p
}

// nextOf is what has to happen to s next, an alarm included, which is given when no
// exchange was due before it; and when the next alarm is. What was set aside rests until
// a person has dealt with it.
func nextOf(s *secret.Secret) (next, say secret.Next) {
	next, say = s.Plan(), s.PlanAlarm()
	if s.SetAside() {
		next = secret.Next{Action: secret.Rest}
	}
	if say.Action != secret.Rest && (next.Action == secret.Rest || say.At.Before(next.At)) {
		next = say
	}
	return next, say
}

// waitsFor is whose turn and patience what is next has to wait for: nobody's, where
// that is to send again what was lost, for the grace it comes in is seconds.
func waitsFor(s *secret.Secret) secret.Endpoint {
	if s.Replays() {
		return secret.Endpoint{}
	}
	return s.Endpoint()
}

// class is how a secret stands, in ordinals of kinds and statuses.
type class struct{ kind, status, refresh uint8 }

// ordinal is the number of v in the list, counted from 1; 0 if it is not there.
func ordinal[T comparable](list []T, v T) uint8 {
	return uint8(slices.Index(list, v) + 1)
}

// The actions by ordinal. An action of a newer program rests here.
const (
	rest = iota
	exchange
	refresh
	withdraw
	erase
	authorize
	remind
	alarm
)

func actions() []secret.Action {
	return []secret.Action{
		secret.Exchange, secret.Refresh, secret.Withdraw, secret.Erase, secret.Authorize, secret.Remind, secret.Alarm,
	}
}

func statuses() []secret.Status {
	return []secret.Status{secret.Pending, secret.Succeeded, secret.Failed}
}

// kinds lists the canonical kinds: an alias counts as what it stands for.
func kinds() []secret.Kind {
	return slices.DeleteFunc(secret.Kinds(), func(k secret.Kind) bool { return k != k.Canonical() })
}

// origin is where a trace began: a W3C traceparent in binary. It is zero when
// there is none.
type origin struct {
	traceID trace.TraceID
	spanID  trace.SpanID
	flags   trace.TraceFlags
}

func parseTrace(parent string) origin {
	if parent == "" {
		return origin{}
	}
	ctx := propagation.TraceContext{}.Extract(context.Background(), propagation.MapCarrier{events.HeaderTrace: parent})
	sc := trace.SpanContextFromContext(ctx)
	return origin{sc.TraceID(), sc.SpanID(), sc.TraceFlags()}
}

func (o origin) spanContext() trace.SpanContext {
	return trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: o.traceID, SpanID: o.spanID, TraceFlags: o.flags, Remote: true,
	})
}

// dueAt is the plan's due time as the record has it.
func (p *plan) dueAt() time.Time { return time.UnixMilli(p.due).UTC() }
