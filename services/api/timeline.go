package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/secret"
)

// Ledger is the log of events, by secret.
type Ledger interface {
	// History returns the events about a secret of an organisation behind the one
	// with the sequence after, in order and no more than most, and whether there
	// are further ones.
	History(ctx context.Context, org, secret string, after uint64, most int) (entries []events.Entry, more bool, err error)
	// Last returns the last event of a type about a secret of an organisation, or
	// reports false when none is kept.
	Last(ctx context.Context, org, secret string, t events.Type) (last events.Entry, found bool, err error)
}

// Timeline is a part of what happened to a secret, oldest first.
type Timeline struct {
	// Secret is its id.
	Secret  string
	Entries []TimelineEntry
	// After is what the next part begins behind.
	After uint64
	// More tells that there is more of it now.
	More bool
	// Explanation says why the secret is as it is, and when it will work again.
	Explanation string
}

// TimelineEntry is one thing that happened to a secret: an event as people read
// it. Texts are bounded, and in our own words.
type TimelineEntry struct {
	// Sequence is its place: it only grows.
	Sequence uint64
	// ID is the event's.
	ID string
	At time.Time
	// Event is its type: SecretCreated, ExchangeFailed …
	Event events.Type
	// Action is what an exchange was made for; see events.ExchangeSucceeded.
	Action string
	// Reason is why it failed, Detail what there is to say in a sentence.
	Reason events.Reason
	Detail string
	// By is who asked for it, "" for nobody in person.
	By string
	// Generation is that of the value, Attempts how often its refresh has failed.
	Generation uint64
	Attempts   int
	// NextAttemptAt and WorksUntil are zero when there is none.
	NextAttemptAt, WorksUntil time.Time
}

// Timeline returns what happened to a secret of the caller's organisation behind
// the entry after, no more than size entries of it; of a deleted one, too, as long
// as its events are kept. It returns ErrNotFound, ErrNotReady or ErrUnavailable.
func (s *Service) Timeline(ctx context.Context, who Caller, id string, after uint64, size int) (*Timeline, error) {
	if s.deps.Ledger == nil {
		return nil, fmt.Errorf("%w: there is no event log here", ErrNotReady)
	}
	if !secret.ValidID(secret.PrefixSecret, id) {
		return nil, ErrNotFound
	}
	line := &Timeline{Secret: id, After: after}
	switch current, err := s.Secret(ctx, who, id); {
	case err == nil:
		line.Explanation = current.Explain(s.now())
	case !errors.Is(err, ErrNotFound):
		return nil, err
	default:
		if line.Explanation, err = s.explainDeleted(ctx, who, id); err != nil {
			return nil, err
		}
	}
	entries, more, err := s.deps.Ledger.History(ctx, who.Org, id, after, size)
	if err != nil {
		return nil, unavailable(err)
	}
	line.More = more
	if len(entries) > 0 {
		line.After = entries[len(entries)-1].Sequence
	}
	fresh, err := s.untold(ctx, who, id, after, entries)
	for _, e := range fresh {
		line.Entries = append(line.Entries, entryOf(e))
	}
	return line, unavailable(err)
}

// untold leaves out what was told before, in this part of the log or ahead of it:
// what is announced again more than two minutes later is stored twice.
func (s *Service) untold(ctx context.Context, who Caller, id string, after uint64, entries []events.Entry) ([]events.Entry, error) {
	told := map[string]bool{}
	if after > 0 && slices.ContainsFunc(entries, mayRepeat) {
		if err := s.readTold(ctx, who, id, after, told); err != nil {
			return nil, err
		}
	}
	return slices.DeleteFunc(entries, func(e events.Entry) bool {
		if isAnswer(e.Type) {
			return true
		}
		again := e.Err == nil && told[e.Event.ID]
		told[e.Event.ID] = true
		return again
	}), nil
}

// toldLate is how long after it happened an event is told that may have been told
// before. Apart from the clocks it could be twice as long.
const toldLate = time.Minute

// mayRepeat reports whether an event may have been told before: it is told late, or
// it bears the time of its telling.
func mayRepeat(e events.Entry) bool {
	switch e.Type {
	case events.TypeExchangeInterrupted, events.TypeReauthorizationDue, events.TypeCredentialExpiring, events.TypeCredentialExpired:
		return e.Err == nil
	default:
		return e.Err == nil && e.Stored.Sub(e.Event.Time) > toldLate
	}
}

// readTold notes the ids of all events about a secret up to a place in the log. It
// is the price of a repetition, which takes a crash.
func (s *Service) readTold(ctx context.Context, who Caller, id string, upTo uint64, told map[string]bool) error {
	for from, more := uint64(0), true; more && from < upTo; {
		var entries []events.Entry
		var err error
		if entries, more, err = s.deps.Ledger.History(ctx, who.Org, id, from, historyPart); err != nil {
			return err
		}
		for _, e := range entries {
			if from = e.Sequence; from <= upTo {
				told[e.Event.ID] = true
			}
		}
	}
	return nil
}

// historyPart is how many events are read at a time.
const historyPart = 1000

// explainDeleted says of a secret that is not there when it was deleted and by whom,
// as far as the log goes back. It returns ErrNotFound if there never was one.
func (s *Service) explainDeleted(ctx context.Context, who Caller, id string) (string, error) {
	last, found, err := s.deps.Ledger.Last(ctx, who.Org, id, events.TypeSecretDeleted)
	if err != nil {
		return "", unavailable(err)
	}
	if end, ok := last.Event.Data.(events.SecretDeleted); found && ok {
		gone := secret.Secret{DeletedAt: last.Event.Time, UpdatedBy: secret.Actor{Email: bounded(end.By)}}
		return gone.Explain(s.now()), nil
	}
	return "It is deleted; when and by whom was not told. Nothing tries again, and it cannot be brought back.", s.remembered(ctx, who, id)
}

// remembered returns nil if there ever was such a secret, as far as the log goes
// back. The log is asked for the caller's organisation, so others' never were.
func (s *Service) remembered(ctx context.Context, who Caller, id string) error {
	entries, _, err := s.deps.Ledger.History(ctx, who.Org, id, 0, historyPart)
	if err == nil && !slices.ContainsFunc(entries, func(e events.Entry) bool { return !isAnswer(e.Type) }) {
		return ErrNotFound
	}
	return unavailable(err)
}

// isAnswer tells what became of an upstream event, which may be called as a secret is, from
// what happened to that.
func isAnswer(t events.Type) bool { return t == events.TypeAccepted || t == events.TypeRejected }

// entryOf makes of an event what people read.
func entryOf(e events.Entry) TimelineEntry {
	entry := TimelineEntry{Sequence: e.Sequence, ID: e.Event.ID, At: e.Event.Time, Event: e.Type}
	switch {
	case errors.Is(e.Err, events.ErrUnknownType):
		entry.At, entry.Detail = e.Stored, "a later version of Rekindle knows what this is"
	case e.Err != nil:
		entry.At, entry.Detail = e.Stored, "what is stored here is not an event of Rekindle"
	default:
		entry.read(e.Event.Data)
	}
	for _, text := range []*string{(*string)(&entry.Event), (*string)(&entry.Reason), &entry.ID, &entry.Action, &entry.Detail, &entry.By} {
		*text = bounded(*text)
	}
	return entry
}

// read takes in what an event says.
func (e *TimelineEntry) read(data events.Data) {
	switch d := data.(type) {
	case events.SecretCreated:
		e.By, e.Detail = d.By, fmt.Sprintf("%q, of the type %s", d.Name, d.Kind)
		if d.Imported {
			e.Detail += ", from another system"
		}
	case events.SecretUpdated:
		e.By, e.Detail = d.By, changes(d)
	case events.SecretDeleted:
		e.By = d.By
	case events.SecretTested:
		e.By, e.Detail = d.By, tested(d.Outcome)
	case events.RetryRequested:
		e.By = d.By
	case events.SecretTakenOver:
		e.By, e.NextAttemptAt = d.By, d.NextAttemptAt
		e.Detail = "another system kept it fresh; from now on this fleet does"
	case events.SecretExported:
		e.By, e.Detail = d.By, "sealed to the key "+d.Recipient
		if d.HandedOver {
			e.Detail += "; another system keeps it fresh from now on"
		}
	case events.ExchangeSucceeded:
		e.Action, e.Generation = d.Action, d.Generation
		if d.Environment == "" {
			e.Detail = "the value was not kept, because the secret has no environment"
			return
		}
		e.NextAttemptAt, e.WorksUntil, e.Detail = cmp.Or(d.NextAttemptAt, d.RefreshAt), d.ExpiresAt, warned(d.Warnings)
	case events.ExchangeFailed:
		why := secret.Failure{Reason: string(d.Reason), Detail: d.Detail}
		e.Action, e.Reason, e.Detail, e.Attempts = d.Action, d.Reason, why.Words(), d.Attempts
		e.NextAttemptAt, e.WorksUntil = d.NextAttemptAt, d.WorksUntil
	case events.JobParked:
		e.Action, e.Generation, e.WorksUntil = d.Action, d.Generation, d.WorksUntil
		e.Detail = "it could not be brought to an end: nothing tries again until an administrator requeues its job (rekindle parked)"
	case events.CredentialExpiring:
		e.Reason, e.Detail = d.Reason, "nothing has taken the place of the value in use"+nothingTries(d.NextAttemptAt)
		e.NextAttemptAt, e.WorksUntil = d.NextAttemptAt, d.ExpiresAt
	case events.CredentialExpired:
		e.Reason, e.Detail, e.NextAttemptAt = d.Reason, "the value in use ended at "+stamp(d.ExpiredAt)+nothingTries(d.NextAttemptAt), d.NextAttemptAt
	case events.ExchangeInterrupted:
		e.Action, e.Generation, e.Detail = d.Action, d.Generation, interrupted(d)
		e.NextAttemptAt, e.WorksUntil = d.NextAttemptAt, d.WorksUntil
	default:
		e.readConsent(data)
	}
}

// readConsent takes in what an event about a person's consent says.
func (e *TimelineEntry) readConsent(data events.Data) {
	switch d := data.(type) {
	case events.ReauthorizeRequested:
		e.By, e.Detail = d.By, "the link is open until "+stamp(d.Until)
	case events.ConsentReceived:
		e.By, e.Detail = d.By, "a person consented in the provider's dialog"
		if d.By != "" {
			e.Detail = "the consent of another account, which was held, is accepted"
		}
	case events.ConsentHeld:
		e.Detail = "another account than before consented: that consent is not used until somebody accepts it"
	case events.ReauthorizationDue:
		switch {
		case d.Ended:
			e.Detail = "the consent has ended: a person has to consent again"
		case d.ReauthorizeBy.IsZero():
			e.Detail = "a person has to consent again"
		default:
			e.Detail = "a person has to consent again by " + stamp(d.ReauthorizeBy)
		}
	}
}

// interrupted says why an exchange came to no end that counts, and what comes after.
func interrupted(d events.ExchangeInterrupted) string {
	const unknown = "nobody knows how it ended: its exchanger died or was stopped; "
	switch {
	case d.Cause == events.CauseVoid:
		return "its outcome is void, because something else was decided while it was made"
	case d.Cause == events.CauseKeptBack:
		return "not made: an answer was lost before, and the provider may have replaced the refresh token, so it is kept back"
	case d.Action == string(secret.Authorize):
		return unknown + "a code is not sent twice (RFC 6749 section 4.1.2), so a person may have to consent again"
	case !d.NextAttemptAt.IsZero():
		return unknown + "the provider may have replaced the refresh token, so it is kept back"
	default:
		return unknown + "it is decided anew when the next is"
	}
}

// nothingTries says that no attempt is to come, where that is so.
func nothingTries(next time.Time) string {
	if next.IsZero() {
		return ", and nothing tries again by itself"
	}
	return ""
}

// changes says what an update changed.
func changes(d events.SecretUpdated) string {
	said := make([]string, len(d.Changed))
	for i, what := range d.Changed {
		switch {
		case what == "name":
			said[i] = fmt.Sprintf("its name, to %q", d.Name)
		case what == "environment" && d.Environment == "":
			said[i] = "its environment, which is gone"
		default:
			said[i] = "its " + what
		}
	}
	return strings.Join(said, "; ")
}

// warned says what an exchange noticed, "" for nothing.
func warned(list []events.Warning) string {
	said := make([]string, len(list))
	for i, w := range list {
		said[i] = w.Detail
	}
	return strings.Join(said, "; ")
}

// tested says what came of a test.
func tested(o events.TestOutcome) string {
	switch o {
	case events.TestSucceeded:
		return "the provider gave a token, which was shown and not kept"
	case events.TestFailed:
		return "there was no token; why was shown"
	case events.TestNotMade:
		return "not made, because another exchange was under way"
	case events.TestUnknown:
		return "no answer came in time; a request may have been made"
	default:
		return ""
	}
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// maxEntryText bounds a text of an entry, in bytes: whoever may publish events
// must not fill pages.
const maxEntryText = 1 << 10

func bounded(text string) string {
	if len(text) <= maxEntryText {
		return text
	}
	cut := maxEntryText
	for !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + "…"
}
