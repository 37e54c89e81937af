package secret_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rekindle-dev/rekindle/pkg/secret"
)

// later is when the events of the lifecycle happen: the first refresh of a value
// of noon falls due. It is no whole millisecond.
func later() time.Time { return noon().Add(20*time.Hour + 4321*time.Microsecond) }

// transition is one event and all that it changes.
type transition struct {
	name  string
	from  *secret.Secret
	event func(*secret.Secret)
	// want makes of from what becomes of it; nil for nothing.
	want func(*secret.Secret)
	// status and refresh are what is shown afterwards.
	status, refresh secret.Status
}

func (tr transition) check(t *testing.T) {
	t.Parallel()
	want := clone(t, tr.from)
	if tr.want != nil {
		tr.want(want)
	}
	tr.event(tr.from)
	if diff := cmp.Diff(want, tr.from); diff != "" {
		t.Errorf("record (-want +got):\n%s", diff)
	}
	if got := tr.from.StatusAt(later()); got != tr.status {
		t.Errorf("shows status %q, want %q", got, tr.status)
	}
	if got := tr.from.RefreshState(later()); got != tr.refresh {
		t.Errorf("shows refresh status %q, want %q", got, tr.refresh)
	}
}

// clone is s as another process reads it.
func clone(t *testing.T, s *secret.Secret) *secret.Secret {
	t.Helper()
	body, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	read := new(secret.Secret)
	if err := json.Unmarshal(body, read); err != nil {
		t.Fatal(err)
	}
	return read
}

// The events.

func ask(s *secret.Secret)    { s.Ask(later()) }
func remove(s *secret.Secret) { s.Delete(later()) }

func apply(o *secret.Outcome) func(*secret.Secret) {
	return func(s *secret.Secret) { s.Apply(o, later()) }
}

// The secrets they happen to.

// working returns a secret that was exchanged at noon.
func working(environment string) *secret.Secret {
	s := asked(environment)
	s.Apply(good(1, environment, noon()), noon())
	return s
}

func failed() *secret.Secret {
	s := asked(env)
	s.Apply(bad(1, env, noon()), noon())
	return s
}

// lastAttempt returns a secret whose refresh has failed three times.
func lastAttempt() *secret.Secret {
	s := working(env)
	for at := s.NextAttemptAt; s.Attempts < 3; at = s.NextAttemptAt {
		s.Apply(bad(s.Decision, env, at), at)
	}
	return s
}

// waiting returns a secret of an interactive kind that nobody has consented to,
// with a dialog that is open for an hour from noon on.
func waiting(environment string) *secret.Secret {
	s := &secret.Secret{CreatedAt: noon(), Kind: secret.OAuth2LinkedIn}
	if environment != "" {
		s.Attach(environment, "production")
	}
	s.Ask(noon())
	s.OpenDialog(noon(), noon().Add(time.Hour))
	return s
}

// consented returns one whose code is to be exchanged.
func consented(environment string) *secret.Secret {
	s := waiting(environment)
	s.Consented(noon())
	return s
}

// authorized returns one whose code was exchanged at noon.
func authorized(environment string) *secret.Secret {
	s := consented(environment)
	s.Apply(code(1, environment, noon()), noon())
	return s
}

const year = 365 * 24 * time.Hour

// with adds to an outcome what was found out about a grant that was given at noon
// and ends after 365 days.
func with(o *secret.Outcome, action secret.Action) *secret.Outcome {
	o.Action = action
	if o.Failure == nil {
		o.Authorized = &secret.Authorized{At: noon(), ReauthorizeBy: noon().Add(year), Reminders: secret.DefaultReminders()}
	}
	return o
}

// code is the outcome of the exchange of a code.
func code(d uint64, environment string, now time.Time) *secret.Outcome {
	return with(good(d, environment, now), secret.Authorize)
}

// notices of a grant that was given at noon and ends after 365 days.
func notices() []time.Time {
	return []time.Time{
		at("2025-02-01T12:00:00Z"), at("2025-04-01T12:00:00Z"), at("2025-04-17T12:00:00Z"),
		at("2025-04-24T12:00:00Z"), at("2025-04-30T12:00:00Z"),
	}
}

// TestContractLifecycle is the state table of contract A12: a subtest for each
// row, with every way there is to it.
func TestContractLifecycle(t *testing.T) {
	t.Parallel()
	for row, cases := range map[string][]transition{
		"create":                                 created(),
		"pending, exchange ok, env attached":     exchanged(),
		"pending, exchange ok, no env":           exchangedUnattached(),
		"pending, exchange failed":               exchangeFailed(),
		"any, retry or new credentials":          retried(),
		"pending (interactive), user completes":  completed(t),
		"pending (interactive), URL expires":     abandoned(),
		"succeeded, auto refresh ok":             refreshed(),
		"succeeded, auto refresh fails for now":  refreshFailed(),
		"succeeded, auto refresh finally fails":  refreshGivenUp(),
		"any, delete":                            deleted(),
		"A13: reauthorize, the old grant serves": reauthorized(t),
		"A14: environment":                       moved(),
	} {
		t.Run(row, func(t *testing.T) {
			t.Parallel()
			for _, c := range cases {
				t.Run(c.name, c.check)
			}
		})
	}
}

// stored is how a record holds the time later.
func stored() time.Time { return later().Truncate(time.Millisecond) }

// renewed is what a value that came at the time later changes.
func renewed(s *secret.Secret) {
	s.UpdatedAt = stored()
	s.Generation, s.Decision = s.Decision, s.Decision+1
	s.ExpiresAt, s.RefreshAt = secret.Dates(later().Add(-time.Second), lifetime, 4*time.Hour)
	s.Attempts, s.RefreshStatusDetails, s.FailingSince = 0, nil, time.Time{}
	if s.Environment != "" {
		s.ActivatedAt, s.NextAttemptAt = stored(), s.RefreshAt
	}
}

func created() []transition {
	return []transition{
		{"attached", &secret.Secret{CreatedAt: noon()}, func(s *secret.Secret) { s.Attach(env, "production"); s.Ask(later()) }, func(s *secret.Secret) {
			s.Environment, s.Stage, s.Deployed = env, "production", env
			s.Status, s.UpdatedAt, s.Decision, s.NextAttemptAt, s.AskedAt = secret.Pending, stored(), 1, stored(), stored()
		}, secret.Pending, ""},
		{"unattached", &secret.Secret{CreatedAt: noon()}, ask, func(s *secret.Secret) {
			s.Status, s.UpdatedAt, s.Decision, s.NextAttemptAt, s.AskedAt = secret.Pending, stored(), 1, stored(), stored()
		}, secret.Pending, ""},
		{"interactive", &secret.Secret{CreatedAt: noon(), Kind: secret.OAuth2Google}, ask, func(s *secret.Secret) {
			s.Status, s.UpdatedAt = secret.Pending, stored() // until a person consents
		}, secret.Pending, ""},
	}
}

func exchanged() []transition {
	succeeded := func(s *secret.Secret) { s.Status = secret.Succeeded; renewed(s) }
	return []transition{
		{"value that ends", asked(env), apply(good(1, env, later())), succeeded, secret.Succeeded, ""},
		{"value without end", asked(env), apply(&secret.Outcome{Decision: 1, Environment: env}), func(s *secret.Secret) {
			s.Status, s.UpdatedAt, s.ActivatedAt = secret.Succeeded, stored(), stored()
			s.Generation, s.Decision, s.NextAttemptAt = 1, 2, time.Time{}
		}, secret.Succeeded, ""},
	}
}

func exchangedUnattached() []transition {
	return []transition{{"value that ends", asked(""), apply(good(1, "", later())), func(s *secret.Secret) {
		s.Status, s.NextAttemptAt = secret.Succeeded, time.Time{}
		renewed(s)
	}, secret.Succeeded, ""}}
}

func exchangeFailed() []transition {
	fails := func(s *secret.Secret) {
		s.Status, s.StatusDetails, s.UpdatedAt = secret.Failed, failure(), stored()
		s.Decision, s.NextAttemptAt = s.Decision+1, time.Time{}
	}
	again := working(env)
	again.Ask(noon())
	return []transition{
		{"first", asked(env), apply(bad(1, env, later())), fails, secret.Failed, ""},
		{"retry of one that worked", again, apply(bad(3, env, later())), fails, secret.Failed, ""}, // the dates stay
		{"code of a first consent", consented(env), apply(with(bad(1, env, later()), secret.Authorize)), func(s *secret.Secret) {
			fails(s)
			s.Authorization = &secret.Authorization{Failure: failure()}
		}, secret.Failed, ""},
		{"consent refused", waiting(env), func(s *secret.Secret) { s.Refused(failure(), later(), time.Time{}) }, func(s *secret.Secret) {
			s.Status, s.StatusDetails, s.UpdatedAt = secret.Failed, failure(), stored()
			s.Authorization = &secret.Authorization{Failure: failure()}
		}, secret.Failed, ""},
	}
}

func retried() []transition {
	pending := func(s *secret.Secret) {
		s.Status, s.StatusDetails, s.UpdatedAt = secret.Pending, nil, stored()
		s.RefreshStatus, s.RefreshStatusDetails, s.Attempts, s.FailingSince = "", nil, 0, time.Time{}
		s.Decision, s.NextAttemptAt, s.AskedAt = s.Decision+1, stored(), stored()
	}
	unauthorized := waiting(env)
	unauthorized.Refused(failure(), noon(), time.Time{})
	late := lastAttempt()
	late.RefreshLate = true
	return []transition{
		{"pending", asked(env), ask, pending, secret.Pending, ""},
		{"failed", failed(), ask, pending, secret.Pending, ""},
		{"succeeded", working(env), ask, pending, secret.Pending, ""}, // the dates stay
		{"succeeded, no env", working(""), ask, pending, secret.Pending, ""},
		{"succeeded, between attempts", late, ask, func(s *secret.Secret) { pending(s); s.RefreshLate = false }, secret.Pending, ""},
		{"interactive", authorized(env), ask, pending, secret.Pending, ""},
		{"interactive, nobody has consented", unauthorized, ask, func(s *secret.Secret) {
			s.Status, s.StatusDetails, s.UpdatedAt = secret.Pending, nil, stored()
		}, secret.Pending, ""},
		{"interactive, a code waits", consented(env), ask, func(s *secret.Secret) { s.UpdatedAt = stored() }, secret.Pending, ""},
	}
}

func completed(t *testing.T) []transition {
	grants := func(s *secret.Secret) {
		renewed(s)
		s.Status = secret.Succeeded
		s.Authorization = &secret.Authorization{
			AuthorizedAt: noon(), AliveAt: noon(), ReauthorizeBy: noon().Add(year), Notices: notices(),
		}
	}
	endless := code(1, env, later())
	endless.RefreshAt = time.Time{} // there is no refresh token
	refused, other := waiting(env), consented(env)
	refused.Refused(failure(), noon(), time.Time{})
	answered := clone(t, refused)
	answered.Consented(noon())
	other.Refused(failure(), noon(), time.Time{})
	return []transition{
		{"dialog answered", waiting(env), func(s *secret.Secret) { s.Consented(later()) }, func(s *secret.Secret) {
			s.UpdatedAt, s.Decision = stored(), 1
			s.Authorization = &secret.Authorization{ConsentedAt: stored()}
		}, secret.Pending, ""},
		{"dialog answered after one was refused", refused, func(s *secret.Secret) { s.Consented(later()) }, func(s *secret.Secret) {
			s.UpdatedAt, s.Decision = stored(), 1
			s.Authorization = &secret.Authorization{ConsentedAt: stored()}
		}, secret.Pending, ""},
		{"code exchanged", consented(env), apply(code(1, env, later())), grants, secret.Succeeded, ""},
		{"code exchanged, no env", consented(""), apply(code(1, "", later())), grants, secret.Succeeded, ""},
		{"code exchanged, no refresh token", consented(env), apply(endless), func(s *secret.Secret) {
			grants(s)
			s.RefreshAt, s.NextAttemptAt = time.Time{}, time.Time{}
		}, secret.Succeeded, ""},
		{"code exchanged after a failure", answered, apply(code(1, env, later())), func(s *secret.Secret) { grants(s); s.StatusDetails = nil }, secret.Succeeded, ""},
		{"code exchanged while another dialog was refused", other, apply(code(1, env, later())), grants, secret.Succeeded, ""},
	}
}

func abandoned() []transition {
	failed := waiting(env)
	failed.Refused(failure(), noon(), time.Time{})
	failed.OpenDialog(noon(), noon().Add(time.Hour))
	working := authorized(env)
	working.OpenDialog(noon(), noon().Add(time.Hour))
	nothing := func(*secret.Secret) {}
	return []transition{
		{"never authorized", waiting(env), nothing, nil, secret.Pending, ""},
		{"refused before", failed, nothing, nil, secret.Failed, ""},
		{"a grant is in use", working, nothing, nil, secret.Succeeded, secret.Pending}, // and its refresh is due
	}
}

func refreshed() []transition {
	refreshed := func(s *secret.Secret) { renewed(s); s.RefreshStatus = secret.Succeeded }
	return []transition{
		{"first", working(env), apply(good(2, env, later())), refreshed, secret.Succeeded, secret.Succeeded},
		{"last attempt", lastAttempt(), apply(good(5, env, later())), refreshed, secret.Succeeded, secret.Succeeded},
		{"interactive", authorized(env), apply(with(good(2, env, later()), secret.Refresh)), func(s *secret.Secret) {
			refreshed(s)
			s.Authorization.AliveAt = later()
		}, secret.Succeeded, secret.Succeeded},
	}
}

func refreshFailed() []transition {
	failed := func(s *secret.Secret) {
		s.UpdatedAt, s.RefreshStatus, s.RefreshStatusDetails = stored(), secret.Pending, failure()
		s.Decision, s.Attempts, s.NextAttemptAt, s.FailingSince = 3, 1, s.RefreshAt.Add(40*time.Minute), stored()
	}
	over := with(bad(2, env, later()), secret.Refresh)
	over.Ended = true
	foreign := with(bad(2, env, later()), secret.Refresh)
	foreign.Foreign = true
	struck := authorized(env)
	struck.Authorization.Strikes = 1
	return []transition{
		{"first", working(env), apply(bad(2, env, later())), failed, secret.Succeeded, secret.Pending},
		{"the grant has ended", authorized(env), apply(over), func(s *secret.Secret) {
			failed(s)
			s.Authorization.Strikes, s.NextAttemptAt = 1, stored().Add(time.Minute)
		}, secret.Succeeded, secret.Pending},
		{"the grant has ended, for the second time", struck, apply(over), func(s *secret.Secret) {
			failed(s)
			s.RefreshStatus, s.NextAttemptAt = secret.Failed, time.Time{}
			s.Authorization.EndedAt, s.Authorization.Required, s.Authorization.Notices = stored(), true, nil
			s.Authorization.Strikes = 2
		}, secret.Succeeded, secret.Failed},
		{"another app's grant", authorized(env), apply(foreign), func(s *secret.Secret) {
			failed(s)
			s.Authorization.Required = true
		}, secret.Succeeded, secret.Pending},
	}
}

func refreshGivenUp() []transition {
	return []transition{{"last attempt", lastAttempt(), apply(bad(5, env, later().Add(2*time.Hour))), func(s *secret.Secret) {
		s.UpdatedAt, s.RefreshStatus, s.RefreshStatusDetails = stored(), secret.Failed, failure()
		s.Decision, s.Attempts, s.NextAttemptAt = 6, 4, time.Time{}
	}, secret.Succeeded, secret.Failed}}
}

func deleted() []transition {
	gone := func(s *secret.Secret) { s.DeletedAt, s.UpdatedAt = stored(), stored() }
	again := working(env)
	again.Delete(noon())
	return []transition{
		{"pending", asked(env), remove, gone, secret.Pending, ""},
		{"failed", failed(), remove, gone, secret.Failed, ""},
		{"succeeded", working(env), remove, gone, secret.Succeeded, ""},
		{"while a code waits", consented(env), remove, gone, secret.Pending, ""},
		{"deleted", again, remove, nil, secret.Succeeded, ""},
	}
}

// reauthorized is contract A13: what another dialog does to a secret that works.
func reauthorized(t *testing.T) []transition {
	change := func(change func(*secret.Secret)) *secret.Secret {
		s := authorized(env)
		change(s)
		return s
	}
	answered := change(func(s *secret.Secret) { s.Consented(noon()) })
	asked := change(func(s *secret.Secret) { s.Ask(noon()); s.Consented(noon()) })
	held := change(func(s *secret.Secret) {
		s.Consented(noon())
		s.Apply(heldOutcome(3), noon())
	})
	accepted := clone(t, held)
	accepted.AcceptHeld(noon())
	spent := func(s *secret.Secret) {
		s.UpdatedAt, s.Decision = stored(), s.Decision+1
		s.Authorization.ConsentedAt, s.Authorization.Accept = time.Time{}, false
	}
	return []transition{
		{"asked for", authorized(env), func(s *secret.Secret) { s.OpenDialog(later(), later().Add(time.Hour)) }, func(s *secret.Secret) {
			s.UpdatedAt, s.Authorization.AskedUntil = stored(), stored().Add(time.Hour)
		}, secret.Pending, secret.Pending}, // the refresh that is due goes on
		{"answered", authorized(env), func(s *secret.Secret) { s.Consented(later()) }, func(s *secret.Secret) {
			s.UpdatedAt, s.Authorization.ConsentedAt, s.Decision = stored(), stored(), 3
		}, secret.Pending, secret.Pending},
		{"refused", authorized(env), func(s *secret.Secret) { s.Refused(failure(), later(), time.Time{}) }, func(s *secret.Secret) {
			s.UpdatedAt, s.Authorization.Failure = stored(), failure()
		}, secret.Succeeded, secret.Pending},
		{"code refused", clone(t, answered), apply(with(bad(3, env, later()), secret.Authorize)), func(s *secret.Secret) {
			spent(s)
			s.Authorization.Failure = failure()
		}, secret.Succeeded, secret.Pending},
		{"code refused, and a retry was asked for", asked, apply(with(bad(4, env, later()), secret.Authorize)), func(s *secret.Secret) {
			spent(s)
			s.Authorization.Failure = failure()
		}, secret.Pending, ""},
		{"code exchanged", clone(t, answered), apply(code(3, env, later())), func(s *secret.Secret) {
			renewed(s)
			s.Authorization.ConsentedAt = time.Time{}
		}, secret.Succeeded, ""},
		{"another account", answered, apply(heldOutcome(3)), func(s *secret.Secret) {
			spent(s)
			s.Authorization.HeldAt = stored()
		}, secret.Succeeded, secret.Pending},
		{"accepted", held, func(s *secret.Secret) { s.AcceptHeld(later()) }, func(s *secret.Secret) {
			s.UpdatedAt, s.Decision = stored(), 5
			s.Authorization.ConsentedAt, s.Authorization.Accept = stored(), true
		}, secret.Pending, secret.Pending},
		{"accepted, and refused", clone(t, accepted), apply(with(bad(5, env, later()), secret.Authorize)), func(s *secret.Secret) {
			spent(s)
			s.Authorization.Failure = failure() // it is still held
		}, secret.Succeeded, secret.Pending},
		{"accepted, and exchanged", accepted, apply(code(5, env, later())), func(s *secret.Secret) {
			renewed(s)
			a := s.Authorization
			a.ConsentedAt, a.Accept, a.HeldAt = time.Time{}, false, time.Time{}
		}, secret.Succeeded, ""},
	}
}

func heldOutcome(d uint64) *secret.Outcome {
	return &secret.Outcome{Decision: d, Action: secret.Authorize, At: noon(), Held: true}
}

// moved is contract A14: what becomes of a secret that loses its environment, or
// gets one.
func moved() []transition {
	detach := func(s *secret.Secret) { s.Detach(later()) }
	detached := func(s *secret.Secret) {
		s.UpdatedAt = stored()
		s.Environment, s.Stage, s.ActivatedAt = "", "", time.Time{}
	}
	attach := func(s *secret.Secret) { s.Attach(otherEnv, "staging"); s.Ask(later()) }
	attached := func(s *secret.Secret) {
		s.UpdatedAt = stored()
		s.Environment, s.Stage = otherEnv, "staging"
		if s.Deployed == "" {
			s.Deployed = otherEnv
		}
	}
	exchange := func(s *secret.Secret) {
		s.Status, s.Decision, s.NextAttemptAt, s.AskedAt = secret.Pending, s.Decision+1, stored(), stored()
	}
	answered, late := authorized(env), consented("")
	answered.Consented(noon())
	attach(late)
	unattached := authorized("")
	unattached.Consented(noon())
	attach(unattached)
	return []transition{
		{"deleted", lastAttempt(), detach, func(s *secret.Secret) {
			detached(s)
			s.RefreshStatus, s.RefreshStatusDetails, s.Attempts, s.FailingSince = "", nil, 0, time.Time{}
			s.Decision, s.NextAttemptAt = 6, time.Time{} // a refresh on its way is called off
		}, secret.Succeeded, ""},
		{"deleted while pending", asked(env), detach, detached, secret.Pending, ""},
		{"deleted while a code waits", answered, detach, func(s *secret.Secret) {
			detached(s)
			s.NextAttemptAt = time.Time{} // but the code is exchanged all the same
		}, secret.Pending, ""},
		{"set later", working(""), attach, func(s *secret.Secret) { attached(s); exchange(s) }, secret.Pending, ""},
		{"set later, interactive", authorized(""), attach, func(s *secret.Secret) { attached(s); exchange(s) }, secret.Pending, ""},
		{"set while a code waits", consented(""), attach, attached, secret.Pending, ""},
		{"set while the first code was exchanged", late, apply(code(1, "", later())), func(s *secret.Secret) {
			s.Environment = ""
			renewed(s)
			attached(s)
			exchange(s) // for the environment
			s.Authorization = &secret.Authorization{
				AuthorizedAt: noon(), AliveAt: noon(), ReauthorizeBy: noon().Add(year), Notices: notices(),
			}
		}, secret.Pending, ""},
		{"set while a code was exchanged in vain", unattached, apply(with(bad(3, "", later()), secret.Authorize)), func(s *secret.Secret) {
			s.Decision++
			exchange(s) // with the grant in use
			s.UpdatedAt = stored()
			s.Authorization.ConsentedAt, s.Authorization.Failure = time.Time{}, failure()
		}, secret.Pending, ""},
	}
}
