package secret_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/secret"
)

// TestExplain asks for each state a secret can be in. In the sentences, T-2h is
// two hours before the question.
func TestExplain(t *testing.T) {
	t.Parallel()
	const update = "update what is wrong in it, which exchanges it at once, or " +
		"mend what is wrong at the provider or in the configuration of the deployment and then retry it"
	now := noon()
	at := func(d time.Duration) time.Time { return now.Add(d) }
	fails := func(reason events.Reason, detail string) *secret.Failure {
		return &secret.Failure{Reason: string(reason), Detail: detail, At: at(-time.Hour)}
	}
	timeout := fails(events.ReasonTimeout, "no answer within 10s")
	patience := func(until time.Duration) *secret.Failure {
		f := fails(events.ReasonThrottled, "too many requests")
		f.RetryAt = at(until)
		return f
	}
	ended := fails(events.ReasonGrantEnded, "the consent has ended")
	// Two secrets that work: one that needs nobody, and one that somebody has
	// consented to.
	plain := secret.Secret{
		Kind: secret.OAuth2, Environment: env, Deployed: env, Status: secret.Succeeded, Generation: 1, ActivatedAt: at(-8 * time.Hour),
		ExpiresAt: at(4 * time.Hour), RefreshAt: at(30 * time.Minute), NextAttemptAt: at(30 * time.Minute),
	}
	consented := func(edit func(*secret.Secret, *secret.Authorization)) secret.Secret {
		s := plain
		s.Kind, s.Authorization = secret.OAuth2LinkedIn, &secret.Authorization{AuthorizedAt: at(-8 * time.Hour)}
		edit(&s, s.Authorization)
		return s
	}
	edited := func(edit func(*secret.Secret)) secret.Secret {
		s := plain
		edit(&s)
		return s
	}
	fresh := func(kind secret.Kind, a *secret.Authorization) secret.Secret {
		return secret.Secret{Kind: kind, Environment: env, Deployed: env, Status: secret.Pending, Authorization: a}
	}
	for _, test := range []struct {
		name string
		give secret.Secret
		want string
	}{
		{"works", plain, "All is well: the value in use works until T+4h and is refreshed at T+30m."},
		{"set aside", edited(func(s *secret.Secret) {
			s.NextAttemptAt, s.Parked = at(-time.Hour), &secret.Parked{Action: secret.Refresh, At: at(-30 * time.Minute)}
		}), "What is due, refresh, could not be brought to an end, and its job was set aside at T-30m. Nothing tries again until an administrator " +
			"requeues it (rekindle parked), or somebody retries the secret. As it is, the value in use works until T+4h."},
		{"works for ever", edited(func(s *secret.Secret) {
			s.Kind, s.ExpiresAt, s.RefreshAt, s.NextAttemptAt = secret.Token, time.Time{}, time.Time{}, time.Time{}
		}), "All is well: the value in use does not end."},
		{
			"deleted", edited(func(s *secret.Secret) { s.Delete(at(-time.Minute)) }),
			"It was deleted at T-1m. Nothing tries again, and it cannot be brought back.",
		},
		{"deleted by somebody", edited(func(s *secret.Secret) {
			s.Delete(at(-time.Minute))
			s.UpdatedBy = secret.Actor{Email: "ada@example.org", DisplayName: "Ada"}
		}), "It was deleted at T-1m by ada@example.org. Nothing tries again, and it cannot be brought back."},
		{"never attached", edited(func(s *secret.Secret) {
			s.Environment, s.Deployed, s.ActivatedAt, s.NextAttemptAt = "", "", time.Time{}, time.Time{}
		}), "Its exchange succeeded, but it has no environment: its value was not kept and is not refreshed until it is given one."},
		{
			"new",
			secret.Secret{Kind: secret.OAuth2, Status: secret.Pending, NextAttemptAt: at(-time.Second)},
			"An exchange was asked for at T-1s and is being made.",
		},
		{
			"new, and nobody makes it",
			secret.Secret{Kind: secret.OAuth2, Status: secret.Pending, NextAttemptAt: at(-time.Hour)},
			"An exchange was asked for at T-1h and has not been made yet, because the exchangers or the scheduler are down or behind.",
		},
		{
			"new, one of many",
			secret.Secret{Kind: secret.OAuth2, Status: secret.Pending, NextAttemptAt: at(10 * time.Minute)},
			"An exchange was asked for, and is put off until T+10m, because many were asked for at once.",
		},
		{
			"staged",
			secret.Secret{Kind: secret.OAuth2, Status: secret.Pending, Elsewhere: at(-time.Hour)},
			"It was staged at T-1h and waits for the hand-over: the system that it came from keeps it fresh, and nothing is sent for it from here until it is taken over.",
		},
		{
			"handed over", edited(func(s *secret.Secret) { s.Generation = 3; s.Leave(at(-time.Minute)) }),
			"It was handed over at T-1m: another system keeps it fresh, and nothing is sent for it from here until it is taken over. As it is, the value in use works until T+4h.",
		},
		{
			"retried while a value is in use", edited(func(s *secret.Secret) { s.Ask(at(-time.Second)) }),
			"An exchange was asked for at T-1s and is being made. As it is, the value in use works until T+4h.",
		},
		{
			"failed from the start",
			secret.Secret{Kind: secret.OAuth2, Status: secret.Failed, StatusDetails: timeout},
			"Its exchange failed at T-1h: no answer within 10s. Nothing tries again by itself; retry it when that has passed.",
		},
		{
			"no such host",
			secret.Secret{Kind: secret.OAuth2, Status: secret.Failed, StatusDetails: fails(events.ReasonNoSuchHost, "nxdomain")},
			"Its exchange failed at T-1h: the host of the token URL does not exist. Nothing tries again by itself; " + update + ".",
		},
		{"a retry failed", edited(func(s *secret.Secret) {
			s.Status, s.StatusDetails, s.NextAttemptAt = secret.Failed, timeout, time.Time{}
		}), "Its exchange failed at T-1h: no answer within 10s. Nothing tries again by itself; retry it when that has passed. As it is, the value in use works until T+4h."},

		{"a refresh failed once", edited(func(s *secret.Secret) {
			s.RefreshStatus, s.RefreshStatusDetails, s.Attempts = secret.Pending, timeout, 1
		}), "Its refresh failed once, at T-1h: no answer within 10s. The next attempt is at T+30m; the value in use works until T+4h."},
		{"a refresh failed three times", edited(func(s *secret.Secret) {
			s.RefreshStatus, s.RefreshStatusDetails, s.Attempts = secret.Pending, timeout, 3
		}), "Its refresh failed 3 times, last at T-1h: no answer within 10s. The next attempt is at T+30m; the value in use works until T+4h."},
		{"a refresh failed, the next is overdue", edited(func(s *secret.Secret) {
			s.RefreshStatus, s.RefreshStatusDetails, s.Attempts, s.NextAttemptAt = secret.Pending, timeout, 1, at(-5*time.Minute)
		}), "Its refresh failed once, at T-1h: no answer within 10s. The next attempt was due at T-5m and has not been made yet, because the exchangers or the scheduler are down or behind; the value in use works until T+4h."},
		{"a refresh given up", edited(func(s *secret.Secret) {
			s.RefreshStatus, s.RefreshStatusDetails, s.Attempts, s.NextAttemptAt = secret.Failed, timeout, 4, time.Time{}
		}), "Its refresh failed 4 times, last at T-1h: no answer within 10s. It is given up: nothing tries again by itself, and the value in use works until T+4h; retry it when that has passed."},
		{"given up and run out", edited(func(s *secret.Secret) {
			s.RefreshStatus, s.RefreshStatusDetails, s.Attempts, s.NextAttemptAt, s.ExpiresAt = secret.Failed, timeout, 4, time.Time{}, at(-time.Minute)
		}), "Its refresh failed 4 times, last at T-1h: no answer within 10s. It is given up: nothing tries again by itself, and the value in use ended at T-1m; retry it when that has passed."},
		{"a refresh given up for what is configured", edited(func(s *secret.Secret) {
			s.RefreshStatus, s.RefreshStatusDetails, s.Attempts, s.NextAttemptAt = secret.Failed, fails(events.ReasonRejected, "check client_secret"), 4, time.Time{}
		}), "Its refresh failed 4 times, last at T-1h: check client_secret. It is given up: nothing tries again by itself, and the value in use works until T+4h; " + update + "."},
		{"a refresh failed for what is configured", edited(func(s *secret.Secret) {
			s.RefreshStatus, s.RefreshStatusDetails, s.Attempts = secret.Pending, fails(events.ReasonRejected, "check client_secret"), 1
		}), "Its refresh failed once, at T-1h: check client_secret. The next attempt is at T+30m; the value in use works until T+4h. It will most likely fail, too, until somebody acts: " + update + "."},
		{"a refresh is to wait", edited(func(s *secret.Secret) {
			s.RefreshStatus, s.RefreshStatusDetails, s.Attempts = secret.Pending, patience(30*time.Minute), 1
		}), "Its refresh failed once, at T-1h: too many requests. The provider asked to wait until T+30m. The next attempt is at T+30m; the value in use works until T+4h."},
		{"a refresh is to wait for longer than the value lives", edited(func(s *secret.Secret) {
			s.RefreshStatus, s.RefreshStatusDetails, s.Attempts = secret.Pending, patience(24*time.Hour), 1
			s.NextAttemptAt = s.RefreshStatusDetails.RetryAt
		}), "Its refresh failed once, at T-1h: too many requests. The provider asked to wait until T+24h. The next attempt is at T+24h; the value in use works until T+4h. From then until the provider answers again there is none: only the provider can shorten that."},
		{"an exchange is to wait", edited(func(s *secret.Secret) {
			s.Status, s.StatusDetails, s.NextAttemptAt = secret.Failed, patience(5*time.Minute), time.Time{}
		}), "Its exchange failed at T-1h: too many requests. Nothing tries again by itself; the provider asked to wait until T+5m, so retry it after that. As it is, the value in use works until T+4h."},
		{"an exchange had to wait", edited(func(s *secret.Secret) {
			s.Status, s.StatusDetails, s.NextAttemptAt = secret.Failed, patience(-5*time.Minute), time.Time{}
		}), "Its exchange failed at T-1h: too many requests. Nothing tries again by itself; retry it when that has passed. As it is, the value in use works until T+4h."},
		{"an exchange is tried again", edited(func(s *secret.Secret) {
			s.Status, s.StatusDetails, s.NextAttemptAt = secret.Pending, timeout, at(time.Second)
		}), "Its exchange failed at T-1h: no answer within 10s. The next attempt is at T+1s. As it is, the value in use works until T+4h."},
		{"an exchange is kept back", edited(func(s *secret.Secret) {
			s.Status, s.StatusDetails, s.NextAttemptAt = secret.Pending, fails(events.ReasonUnknown, "the exchange was interrupted"), at(time.Hour)
		}), "Its exchange was interrupted at T-1h: the exchange was interrupted. It is made at T+1h, or at once if you retry it. As it is, the value in use works until T+4h."},
		{"a grant refused once", consented(func(s *secret.Secret, a *secret.Authorization) {
			a.Strikes, s.NextAttemptAt = 1, at(time.Minute)
			s.RefreshStatus, s.RefreshStatusDetails, s.Attempts = secret.Pending, ended, 1
		}), "Its refresh failed once, at T-1h: the consent has ended. The next attempt is at T+1m; the value in use works until T+4h. If that is refused, too, a person has to consent again."},
		{
			"a refresh is overdue", edited(func(s *secret.Secret) { s.NextAttemptAt = at(-time.Hour) }),
			"Its refresh was due at T-1h and has not been made yet, because the exchangers or the scheduler are down or behind; the value in use works until T+4h.",
		},
		{
			"a refresh is due just now", edited(func(s *secret.Secret) { s.NextAttemptAt = at(-time.Second) }),
			"All is well: the value in use works until T+4h and is being refreshed.",
		},
		{
			"a refresh is due just now, and the value has ended",
			edited(func(s *secret.Secret) { s.NextAttemptAt, s.ExpiresAt = at(-time.Second), at(-time.Second) }),
			"Its refresh is being made; the value in use ended at T-1s.",
		},
		{
			"the value ends at this moment",
			edited(func(s *secret.Secret) { s.NextAttemptAt, s.ExpiresAt = now, now }),
			"Its refresh is being made; the value in use ended at T0s.",
		},
		{
			"ended, and the refresh is to come",
			edited(func(s *secret.Secret) { s.NextAttemptAt, s.ExpiresAt = at(time.Second), at(-time.Second) }),
			"Its refresh is due at T+1s; the value in use ended at T-1s.",
		},

		{
			"waits for a consent", fresh(secret.OAuth2Google, &secret.Authorization{AskedUntil: at(time.Hour)}),
			"Nobody has consented to it yet. It will work when a person does, by a link that is open until T+1h.",
		},
		{
			"nobody came", fresh(secret.OAuth2Google, &secret.Authorization{AskedUntil: at(-time.Hour)}),
			"Nobody has consented to it, and the link was open until T-1h only: reauthorize it to get another.",
		},
		{"nobody was asked", fresh(secret.OAuth2Google, nil), "Nobody has consented to it yet: reauthorize it to get a link."},
		{
			"consented", fresh(secret.OAuth2Google, &secret.Authorization{ConsentedAt: at(-time.Second)}),
			"A person consented at T-1s, and that consent is being exchanged.",
		},
		{
			"consented again", consented(func(_ *secret.Secret, a *secret.Authorization) { a.ConsentedAt = at(-time.Second) }),
			"A person consented at T-1s, and that consent is being exchanged. As it is, the value in use works until T+4h.",
		},
		{
			"held consent accepted", consented(func(_ *secret.Secret, a *secret.Authorization) { a.ConsentedAt, a.Accept = at(-time.Second), true }),
			"The consent of another account was accepted at T-1s and is being put to use. As it is, the value in use works until T+4h.",
		},
		{
			"another account's consent", consented(func(_ *secret.Secret, a *secret.Authorization) { a.HeldAt = at(-time.Hour) }),
			"All is well: the value in use works until T+4h and is refreshed at T+30m. Another account consented at T-1h: that consent is not used until somebody accepts it.",
		},
		{
			"asked again", consented(func(_ *secret.Secret, a *secret.Authorization) { a.AskedUntil = at(time.Minute) }),
			"All is well: the value in use works until T+4h and is refreshed at T+30m. A person was asked to consent, by a link that is open until T+1m.",
		},
		{
			"asked again, nobody came", consented(func(_ *secret.Secret, a *secret.Authorization) { a.AskedUntil = at(-time.Minute) }),
			"All is well: the value in use works until T+4h and is refreshed at T+30m.",
		},
		{"refused again", consented(func(_ *secret.Secret, a *secret.Authorization) {
			a.Failure = fails(events.ReasonConsentRefused, "the consent was refused: authorize again")
		}), "All is well: the value in use works until T+4h and is refreshed at T+30m. The last dialog, at T-1h, brought no new consent: the consent was refused: authorize again."},
		{"consent ends soon", consented(func(_ *secret.Secret, a *secret.Authorization) {
			a.ReauthorizeBy, a.Required = at(720*time.Hour), true
		}), "All is well: the value in use works until T+4h and is refreshed at T+30m. A person has to consent again by T+720h."},
		{"consent ends some day", consented(func(_ *secret.Secret, a *secret.Authorization) {
			a.ReauthorizeBy, a.Notices = at(7200*time.Hour), []time.Time{at(720 * time.Hour)}
		}), "All is well: the value in use works until T+4h and is refreshed at T+30m."},
		{"consent ended, attempts left", consented(func(s *secret.Secret, a *secret.Authorization) {
			a.EndedAt, a.Required = at(-time.Hour), true
			s.RefreshStatus, s.RefreshStatusDetails, s.Attempts = secret.Pending, ended, 1
		}), "Its refresh failed once, at T-1h: the consent has ended. The next attempt is at T+30m; the value in use works until T+4h. The provider ended the consent at T-1h: a person has to consent again."},
		{"consent ended, given up", consented(func(s *secret.Secret, a *secret.Authorization) {
			a.EndedAt, a.Required = at(-time.Hour), true
			s.RefreshStatus, s.RefreshStatusDetails, s.Attempts, s.NextAttemptAt = secret.Failed, ended, 4, time.Time{}
		}), "Its refresh failed 4 times, last at T-1h: the consent has ended. It is given up: nothing tries again by itself, and the value in use works until T+4h; a person has to consent again: reauthorize it."},
		{"the first dialog was refused", consented(func(s *secret.Secret, a *secret.Authorization) {
			f := fails(events.ReasonConsentRefused, "the consent was refused: authorize again")
			*s = secret.Secret{Kind: s.Kind, Status: secret.Failed, StatusDetails: f, Authorization: &secret.Authorization{Failure: f}}
		}), "Its exchange failed at T-1h: the consent was refused: authorize again. Nothing tries again by itself; a person has to consent again: reauthorize it."},
		{"the first consent was interrupted", consented(func(s *secret.Secret, _ *secret.Authorization) {
			f := fails(events.ReasonUnknown, "the exchange was interrupted")
			*s = secret.Secret{Kind: s.Kind, Status: secret.Failed, StatusDetails: f, Authorization: &secret.Authorization{Failure: f}}
		}), "Its exchange failed at T-1h: the exchange was interrupted. Nothing tries again by itself; a person has to consent again: reauthorize it."},
		{"a refresh was interrupted, and waits", consented(func(s *secret.Secret, _ *secret.Authorization) {
			s.RefreshStatus, s.RefreshStatusDetails = secret.Pending, fails(events.ReasonUnknown, "the exchange was interrupted")
		}), "Its refresh was interrupted at T-1h: the exchange was interrupted. The next attempt is at T+30m; the value in use works until T+4h."},
		{"an administrator forbids it", consented(func(s *secret.Secret, a *secret.Authorization) {
			f := fails(events.ReasonAdminPolicy, "the administrator has to allow the app")
			*s = secret.Secret{Kind: s.Kind, Status: secret.Failed, StatusDetails: f, Authorization: &secret.Authorization{Failure: f}}
		}), "Its exchange failed at T-1h: the administrator has to allow the app. Nothing tries again by itself; a person has to consent again: reauthorize it."},
		{"failed, and asked again", consented(func(s *secret.Secret, a *secret.Authorization) {
			*s = secret.Secret{Kind: s.Kind, Status: secret.Failed, StatusDetails: ended, Authorization: &secret.Authorization{AskedUntil: at(time.Hour)}}
		}), "Its exchange failed at T-1h: the consent has ended. Nothing tries again by itself; a person has to consent again. A person was asked to consent, by a link that is open until T+1h."},
		{"without a refresh token", consented(func(s *secret.Secret, _ *secret.Authorization) {
			s.RefreshAt, s.NextAttemptAt = time.Time{}, time.Time{}
		}), "It cannot be refreshed, and the value in use works until T+4h; a person has to consent again: reauthorize it."},
	} {
		before := test.give
		got := test.give.Explain(now)
		if diff := cmp.Diff(relativeTo(now, test.want), got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
		if diff := cmp.Diff(before, test.give); diff != "" {
			t.Errorf("%s: explaining changed the record:\n%s", test.name, diff)
		}
	}
}

// relativeTo replaces T+4h in a text by the time four hours after now.
func relativeTo(now time.Time, text string) string {
	words := strings.Fields(text)
	for i, w := range words {
		mark := strings.TrimRight(w, ".,:;")
		if d, err := time.ParseDuration(strings.TrimPrefix(mark, "T")); err == nil && mark != w[:0] && strings.HasPrefix(w, "T") {
			words[i] = now.Add(d).Format("2006-01-02 15:04:05 UTC") + w[len(mark):]
		}
	}
	return strings.Join(words, " ")
}

// The advice follows from the verdict on the failure: it is never to retry what only
// somebody's hand mends, nor to ask a person where time helps.
func TestAdviceFollowsTheVerdict(t *testing.T) {
	t.Parallel()
	for _, reason := range append(events.Reasons(), "of tomorrow") {
		f := &secret.Failure{Reason: string(reason), Detail: "a detail"}
		for name, s := range map[string]secret.Secret{
			"needs nobody": {Kind: secret.OAuth2},
			"has a grant":  {Kind: secret.OAuth2Google, Authorization: &secret.Authorization{AuthorizedAt: noon()}},
			"has no grant": {Kind: secret.OAuth2Google},
		} {
			s.Status, s.StatusDetails = secret.Failed, f
			text := s.Explain(noon())
			waits := strings.Contains(text, "; retry it when that has passed")
			person := strings.Contains(text, "a person has to consent again")
			mends := strings.Contains(text, "configuration of the deployment") || strings.Contains(text, "the windows") || strings.Contains(text, "the exchangers")
			var right bool
			switch reason.Verdict() {
			case events.Retry, events.Wait: // a code is good for one request: there is nothing to retry without a grant
				right = !mends && person == (name == "has no grant") && waits != person
			case events.NeedsConfiguration:
				right = mends && !waits && !person
			case events.NeedsHuman:
				right = person && !waits && !mends || name == "needs nobody" // there is nobody who has consented
			case events.Unknown:
				right = !mends && person == s.Kind.Interactive() && waits != person
			}
			if !right || strings.Contains(text, "reauthorize it") != (person || mends && name == "has no grant") {
				t.Errorf("%s, of what %s: %s", reason, name, text)
			}
		}
	}
}

// Whatever a record says, there is something to say of it, in whole sentences.
func TestExplainAnything(t *testing.T) {
	t.Parallel()
	for _, kind := range secret.Kinds() {
		for _, status := range []secret.Status{secret.Pending, secret.Succeeded, secret.Failed, ""} {
			for _, reason := range append(events.Reasons(), "another") {
				f := &secret.Failure{Reason: string(reason), Detail: "a detail"}
				for _, s := range []secret.Secret{
					{},
					{StatusDetails: f},
					{RefreshStatusDetails: f, Environment: env},
					{Authorization: &secret.Authorization{Failure: f}},
					{StatusDetails: f, RefreshStatusDetails: f, NextAttemptAt: noon(), ExpiresAt: noon(), Environment: env},
				} {
					s.Kind, s.Status = kind, status
					if text := s.Explain(noon()); !strings.HasSuffix(text, ".") || strings.Contains(text, "..") || strings.Contains(text, "  ") {
						t.Errorf("of %s, %s, %s: %q", kind, status, reason, text)
					}
				}
			}
		}
	}
}
