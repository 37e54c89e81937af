package secret

import (
	"cmp"
	"fmt"
	"strings"
	"time"
)

// slack is how long after its time an exchange may begin before it is called
// overdue.
const slack = time.Minute

// Explain says in a few plain sentences why the secret is as it is at the time
// now, and when it will work again or what a person has to do for that. It says
// what the record knows, in our own words: nothing hidden, nothing of a provider.
func (s *Secret) Explain(now time.Time) string {
	switch a := s.Authorization; {
	case !s.DeletedAt.IsZero():
		return sentences(s.explainDeleted())
	case !s.Elsewhere.IsZero():
		return sentences(s.explainElsewhere(), s.meanwhile(now))
	case s.SetAside():
		return sentences(s.explainParked(), s.meanwhile(now))
	case s.ConsentWaits() && a.Accept:
		return sentences("The consent of another account was accepted at "+when(a.ConsentedAt)+" and is being put to use", s.meanwhile(now))
	case s.ConsentWaits():
		return sentences("A person consented at "+when(a.ConsentedAt)+", and that consent is being exchanged", s.meanwhile(now))
	}
	switch s.Status {
	case Pending:
		return sentences(s.explainPending(now), s.meanwhile(now))
	case Failed:
		return sentences(s.explainFailed(now), s.meanwhile(now), s.explainConsent(now))
	default:
		return sentences(s.explainSucceeded(now), s.explainConsent(now))
	}
}

// explainDeleted is about a secret that is gone. Who deleted it is the last who
// changed it.
func (s *Secret) explainDeleted() string {
	said := "It was deleted at " + when(s.DeletedAt)
	if by := cmp.Or(s.UpdatedBy.Email, s.UpdatedBy.DisplayName); by != "" {
		said += " by " + by
	}
	return said + ". Nothing tries again, and it cannot be brought back"
}

// explainElsewhere is about a secret that another system keeps fresh.
func (s *Secret) explainElsewhere() string {
	const rest = ", and nothing is sent for it from here until it is taken over"
	if s.Generation == 0 {
		return "It was staged at " + when(s.Elsewhere) + " and waits for the hand-over: the system that it came from keeps it fresh" + rest
	}
	return "It was handed over at " + when(s.Elsewhere) + ": another system keeps it fresh" + rest
}

// explainParked is about a secret that waits for an administrator.
func (s *Secret) explainParked() string {
	return fmt.Sprintf("What is due, %s, could not be brought to an end, and its job was set aside at %s. "+
		"Nothing tries again until an administrator requeues it (rekindle parked), or somebody retries the secret", s.Parked.Action, when(s.Parked.At))
}

// explainPending is about a secret that somebody waits for.
func (s *Secret) explainPending(now time.Time) string {
	a, f := s.Authorization, s.StatusDetails
	switch {
	case f != nil && f.unknown() && s.NextAttemptAt.After(now.Add(confirmAsked)):
		return fmt.Sprintf("Its exchange was interrupted at %s: %s. It is made at %s, or at once if you retry it", when(f.At), f.Words(), when(s.NextAttemptAt))
	case f != nil && !s.NextAttemptAt.IsZero():
		return fmt.Sprintf("Its exchange failed at %s: %s. The next attempt %s", when(f.At), f.Words(), s.due(now, "is"))
	case s.NextAttemptAt.After(now):
		return "An exchange was asked for, and is put off until " + when(s.NextAttemptAt) + ", because many were asked for at once"
	case !s.NextAttemptAt.IsZero():
		return "An exchange was asked for at " + when(s.NextAttemptAt) + " and " + s.underWay(now)
	case a == nil || a.AskedUntil.IsZero():
		return "Nobody has consented to it yet: reauthorize it to get a link"
	case a.AskedUntil.After(now):
		return "Nobody has consented to it yet. It will work when a person does, by a link that is open until " + when(a.AskedUntil)
	default:
		return "Nobody has consented to it, and the link was open until " + when(a.AskedUntil) + " only: reauthorize it to get another"
	}
}

// explainFailed is about a secret whose exchange failed that a person asked for.
func (s *Secret) explainFailed(now time.Time) string {
	f := s.StatusDetails
	if f == nil {
		return "Its exchange failed. Nothing tries again by itself; " + s.cure(nil, now)
	}
	return fmt.Sprintf("Its exchange failed at %s: %s. Nothing tries again by itself; %s", when(f.At), f.Words(), s.cure(f, now))
}

// explainSucceeded is about a secret that has a value, or had one.
func (s *Secret) explainSucceeded(now time.Time) string {
	f := s.RefreshStatusDetails
	switch {
	case s.Environment == "":
		return "Its exchange succeeded, but it has no environment: its value was not kept and is not refreshed until it is given one"
	case f != nil:
		return fmt.Sprintf("Its refresh %s at %s: %s. %s", failed(s.Attempts), when(f.At), f.Words(), s.afterFailure(f, now))
	case !s.NextAttemptAt.IsZero():
		return s.explainWorking(now)
	case s.ExpiresAt.IsZero():
		return "All is well: " + s.value(now)
	default:
		return "It cannot be refreshed, and " + s.value(now) + "; " + s.cure(nil, now)
	}
}

// explainWorking is about a secret whose refresh is planned or just being made.
func (s *Secret) explainWorking(now time.Time) string {
	switch due := s.NextAttemptAt; {
	case !s.works(now), !due.Add(slack).After(now):
		return "Its refresh " + s.due(now, "is due") + "; " + s.value(now)
	case due.After(now):
		return "All is well: " + s.value(now) + " and is refreshed at " + when(due)
	default:
		return "All is well: " + s.value(now) + " and is being refreshed"
	}
}

// afterFailure says what comes after a refresh has failed.
func (s *Secret) afterFailure(f *Failure, now time.Time) string {
	if s.NextAttemptAt.IsZero() {
		return "It is given up: nothing tries again by itself, and " + s.value(now) + "; " + s.cure(f, now)
	}
	next := "The next attempt " + s.due(now, "is") + "; " + s.value(now)
	switch a := s.Authorization; {
	case f.passes() && !f.RetryAt.IsZero():
		next = "The provider asked to wait until " + when(f.RetryAt) + ". " + next
		if s.works(now) && !s.ExpiresAt.IsZero() && s.NextAttemptAt.After(s.ExpiresAt) {
			next += ". From then until the provider answers again there is none: only the provider can shorten that"
		}
	case f.passes(), f.unknown(), a != nil && !a.EndedAt.IsZero():
	case f.needsConsent():
		next += ". If that is refused, too, a person has to consent again"
	default:
		next += ". It will most likely fail, too, until somebody acts: " + s.cure(f, now)
	}
	return next
}

// due says when the next exchange is, or that it is being made or overdue. Is are
// the words for one that is still to come.
func (s *Secret) due(now time.Time, is string) string {
	switch at := s.NextAttemptAt; {
	case at.After(now):
		return is + " at " + when(at)
	case at.Add(slack).After(now):
		return s.underWay(now)
	default:
		return "was due at " + when(at) + " and " + s.underWay(now)
	}
}

// underWay is what is said of an exchange that is due.
func (s *Secret) underWay(now time.Time) string {
	if s.NextAttemptAt.Add(slack).After(now) {
		return "is being made"
	}
	return "has not been made yet, because the exchangers or the scheduler are down or behind"
}

// meanwhile is what is said of the value in use, "" when there is none.
func (s *Secret) meanwhile(now time.Time) string {
	if s.ActivatedAt.IsZero() {
		return ""
	}
	return "As it is, " + s.value(now)
}

// works reports whether the value in use has not ended.
func (s *Secret) works(now time.Time) bool { return s.ExpiresAt.IsZero() || s.ExpiresAt.After(now) }

// value says how long the value in use works.
func (s *Secret) value(now time.Time) string {
	switch {
	case s.ExpiresAt.IsZero():
		return "the value in use does not end"
	case s.works(now):
		return "the value in use works until " + when(s.ExpiresAt)
	default:
		return "the value in use ended at " + when(s.ExpiresAt)
	}
}

// cure says what a person has to do about a failure, nil when it is about the end
// of a value that cannot be refreshed. What is to be done to the secret is called
// as the commands and the actions of the API are.
func (s *Secret) cure(f *Failure, now time.Time) string {
	a := s.Authorization
	ended := a != nil && !a.EndedAt.IsZero()
	switch {
	case !s.Kind.Interactive(), f != nil && !ended && !f.needsConsent() && !f.unknown() && !(f.passes() && s.withoutGrant()):
		return s.repair(f, now)
	case a != nil && a.AskedUntil.After(now):
		return "a person has to consent again"
	default:
		return "a person has to consent again: reauthorize it"
	}
}

// repair is what to do where it is not a consent that is missing, or not only.
func (s *Secret) repair(f *Failure, now time.Time) string {
	const outside = "mend what is wrong at the provider or in the configuration of the deployment"
	then := " and then retry it"
	if s.withoutGrant() {
		then = " and then reauthorize it"
	}
	switch {
	case f == nil:
		return "retry it to get another"
	case f.passes() && f.RetryAt.After(now):
		return "the provider asked to wait until " + when(f.RetryAt) + ", so retry it after that"
	case f.passes(), f.unknown():
		return "retry it when that has passed"
	case f.Reason == "app_refused", f.Reason == "not_registered":
		return "mend the registration of the app, at the provider or in the configuration of the deployment," + then
	case f.Reason == "window", f.Reason == "no_lifetime":
		return "have the provider issue tokens that live longer, or lower the refresh offset or the windows," + then
	case f.Reason == "unsupported":
		return "mend or upgrade the exchangers," + then
	case s.Kind.Interactive():
		return outside + then
	default:
		return "update what is wrong in it, which exchanges it at once, or " + outside + then
	}
}

// explainConsent is about the second clock: what a person has to do besides.
func (s *Secret) explainConsent(now time.Time) string {
	a := s.Authorization
	switch {
	case a == nil:
		return ""
	case !a.HeldAt.IsZero():
		return "Another account consented at " + when(a.HeldAt) + ": that consent is not used until somebody accepts it"
	case a.AskedUntil.After(now):
		return "A person was asked to consent, by a link that is open until " + when(a.AskedUntil)
	case s.Status != Succeeded || s.RefreshStatusDetails != nil && s.NextAttemptAt.IsZero():
		return "" // it was said what to do
	case !a.EndedAt.IsZero():
		return "The provider ended the consent at " + when(a.EndedAt) + ": a person has to consent again"
	case s.ReauthorizationRequired(now) && !a.ReauthorizeBy.IsZero():
		return "A person has to consent again by " + when(a.ReauthorizeBy)
	case a.Failure != nil:
		return "The last dialog, at " + when(a.Failure.At) + ", brought no new consent: " + a.Failure.Words()
	default:
		return ""
	}
}

// needsConsent reports whether only a person's consent helps. The reasons are
// those of package events.
func (f *Failure) needsConsent() bool {
	switch f.Reason {
	case "grant_ended", "admin_policy", "no_refresh_token", "consent_refused":
		return true
	default:
		return false
	}
}

// passes reports whether it may pass without anybody's help. The reasons are those
// of package events whose verdict is to retry or to wait.
func (f *Failure) passes() bool {
	switch f.Reason {
	case "unreachable", "timeout", "disconnected", "provider_error", "malformed", "too_large", "throttled":
		return true
	default:
		return false
	}
}

// unknown reports whether nobody knows what came of the request.
func (f *Failure) unknown() bool { return f.Reason == "unknown" }

// Words are the details of the failure for people. What clients know by a word of
// the contract (A5.2) is spelled out.
func (f *Failure) Words() string {
	if f.Reason == "no_such_host" {
		return "the host of the token URL does not exist"
	}
	return f.Detail
}

// failed says how often a refresh did. An interruption is no failure.
func failed(attempts int) string {
	switch attempts {
	case 0:
		return "was interrupted"
	case 1:
		return "failed once,"
	default:
		return fmt.Sprintf("failed %d times, last", attempts)
	}
}

// when is a time for people, who are told the zone.
func when(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// sentences joins what there is to say. A part may hold more than one sentence,
// and lacks its last full stop.
func sentences(parts ...string) string {
	var said []string
	for _, p := range parts {
		if p != "" {
			said = append(said, p+".")
		}
	}
	return strings.Join(said, " ")
}
