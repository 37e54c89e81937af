package main

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"text/tabwriter"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/provider"
	"github.com/rekindle-dev/rekindle/services/api/client"
	"github.com/rekindle-dev/rekindle/services/sandbox"
)

const day = 24 * time.Hour

// The moments of the year. It begins on a day that is not in every month, so that
// three calendar months before its end is the last of February.
const (
	yearBegins   = "2000-05-31 10:00:00" // one secret of each kind is made
	lateBegins   = "2000-05-31 11:00:00" // and one that will be forgotten
	abandonedAt  = "2000-06-02 16:15:00" // a dialog that nobody goes to
	appEnds      = "2001-01-31 00:00:00" // the client secret of an app
	askedAt      = "2001-04-09 09:00:00" // somebody asks to authorize anew
	consentedAt  = "2001-04-09 09:20:00" // and has done so
	yearEnds     = "2001-05-31 10:00:00" // and would have been due
	lateEnds     = "2001-05-31 11:00:00" // the forgotten one: nobody came
	lateCame     = "2001-06-03 12:00:00" // until then
	afterwardsIs = "2002-03-04 00:00:00" // the next year's warnings have begun
)

func instant(text string) time.Time {
	t, err := time.Parse(time.DateTime, text)
	if err != nil {
		panic(err)
	}
	return t
}

// frequentFor is for how long the secrets are kept that are refreshed every day
// or more often.
func frequentFor() time.Duration {
	if raceDetector {
		return 12 * day
	}
	return 366 * day
}

// kept is a secret of the year.
type kept struct {
	client.Secret
	// works reports whether a value is good.
	works func(value string) bool
	// values are those that its environment is to hold, one after the other.
	values []planned
}

// planned is a value and when it is planned to be refreshed.
type planned struct {
	hanging
	refresh time.Time
}

// year is the story of a year.
type year struct {
	*bubble
	environment string
	retired     time.Time // when the frequent ones are deleted
	secrets     map[string]kept
	names       []string // in order
}

// TestYear is a year of one secret of each kind: each refresh, warning and
// authorization at its second, and nothing else.
func TestYear(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(instant(yearBegins)))
		b := newBubble(t, bubbleApps())
		defer b.end()
		b.registerApps()
		y := &year{bubble: b, environment: b.home(1)[0], secrets: map[string]kept{}}
		y.retired = time.Now().Add(frequentFor() + 10*time.Minute).UTC()
		y.begin()
		y.abandonDialog()
		y.reauthorize()
		y.missReauthorization()
		y.pass(instant(afterwardsIs))

		y.checkValues()
		y.checkRequests()
		y.checkWarnings()
		y.summarise()
	})
}

// bubbleApps are apps at the three providers, which the sandbox plays.
func bubbleApps() provider.Apps {
	apps := provider.Apps{}
	for _, name := range []string{"google", "linkedin", "amazon"} {
		d, _ := provider.Defaults().Get(name)
		d.AuthorizeURL, d.TokenURL, d.Placeholders = providerURL+"/authorize", providerURL+"/token", nil
		if d.Subject.From == provider.PlaceUserinfo {
			d.Subject.URL, d.Subject.Field = providerURL+"/userinfo", "sub"
		}
		apps[name] = provider.App{Provider: d, Registration: provider.Registration{Provider: name, ClientID: "app-" + name}}
	}
	google := apps["google"]
	google.Registration.SecretExpiresAt = instant(appEnds)
	apps["google"] = google
	return apps
}

func (b *bubble) registerApps() {
	b.t.Helper()
	const back = apiURL + "/oauth2/callback"
	crm := sandbox.Client{ID: "crm", Secret: "planted-client-secret-77aa", Default: sandbox.Step{Lifetime: new(sandbox.Duration(day))}}
	for _, c := range []sandbox.Client{
		crm, sandbox.LikeGoogle("app-google", back), sandbox.LikeLinkedIn("app-linkedin", back), sandbox.LikeAmazon("app-amazon", back),
	} {
		if c.CodeFlow != nil {
			c.Secret = bubbleSecret
		}
		if err := b.provider.Put(c); err != nil {
			b.t.Fatal(err)
		}
	}
}

// begin makes the secrets, and says what is to become of them.
func (y *year) begin() {
	y.t.Helper()
	start, end := instant(yearBegins), instant(afterwardsIs)
	lasting := []planned{{hanging: hanging{at: start}}}
	is := func(want string) func(string) bool { return func(got string) bool { return got == want } }
	y.keep("token", "token", `{"token":"planted-token-5d1e"}`, is("planted-token-5d1e"), lasting)
	y.keep("simple-http", "simple-http", `{"username":"ada","password":"planted-8c0"}`,
		is(base64.StdEncoding.EncodeToString([]byte("ada:planted-8c0"))), lasting)
	y.keep("oauth2", "oauth2", `{"client_id":"crm","client_secret":"planted-client-secret-77aa","token_url":"`+providerURL+`/token"}`,
		y.active, steady(start, 20*time.Hour, day, y.retired))

	claims := `"iss":"i","aud":"a","ttl":43200,"alg":"RS256","private_key":` + y.issuer.pem(y.t)
	y.keep("jwt", "oauth2-jwt", `{`+claims+`,"refresh_offset":14400,"token_url":"`+issuerURL+`"}`,
		y.issuer.gave, steady(start, 20*time.Hour, day, y.retired))
	// Without an endpoint, its life counts from iat, which is dated back by 30 s.
	const early = 30 * time.Second
	y.keep("jwt, bare", "oauth2-jwt", `{`+claims+`}`,
		y.issuer.honours, steady(start, 12*time.Hour-30*time.Minute-early, 12*time.Hour-early, y.retired))

	y.keep("google", "oauth2-google", `{"scopes":["https://www.googleapis.com/auth/adwords"]}`,
		y.active, steady(start, 30*time.Minute, time.Hour, y.retired))
	y.keep("amazon", "oauth2-amazon", `{}`, y.active, steady(start, 30*time.Minute, time.Hour, y.retired))
	y.keep("linkedin", "oauth2-linkedin", `{}`, y.active,
		slices.Concat(likeLinkedIn(start, instant(consentedAt)), likeLinkedIn(instant(consentedAt), end)))
	y.until(instant(lateBegins))
	y.keep("linkedin, late", "oauth2-linkedin", `{}`, y.active,
		slices.Concat(likeLinkedIn(instant(lateBegins), end), likeLinkedIn(instant(lateCame), end)))
}

func (y *year) keep(name, kind, credentials string, works func(string) bool, values []planned) {
	y.t.Helper()
	made := y.create(name, kind, credentials, y.environment)
	if made.Meta.AuthorizationURL != "" {
		y.consent(made)
	}
	y.secrets[name] = kept{made, works, values}
	y.names = append(y.names, name)
}

// steady are values of a life, one after each step, before end.
func steady(from time.Time, step, life time.Duration, end time.Time) (values []planned) {
	for at := from; at.Before(end); at = at.Add(step) {
		values = append(values, planned{hanging{at, at.Add(life)}, at.Add(step)})
	}
	return values
}

// likeLinkedIn are values for 60 days, refreshed a week before their end. The
// consent ends after 365 days, and all with it: the last value has no later end
// than that before it, and what is planned then is to see that it is over.
func likeLinkedIn(consented, end time.Time) (values []planned) {
	over := consented.Add(365 * day)
	for at := consented; at.Before(end) && at.Before(over); {
		until, refresh := at.Add(60*day), at.Add(53*day)
		if until.After(over) {
			until, refresh = over, over.Add(-7*day)
		}
		if !refresh.After(at) {
			refresh = over
		}
		values = append(values, planned{hanging{at, until}, refresh})
		at = refresh
	}
	return values
}

// active reports whether the provider honours a token.
func (b *bubble) active(token string) bool { return b.provider.Introspect(token).Active }

// pass lets time pass, and looks every month, at an odd moment, whether all is
// well. The frequent secrets are deleted when it is time.
func (y *year) pass(to time.Time) {
	y.t.Helper()
	for {
		next := time.Now().Add(29*day + 7*time.Hour + 17*time.Minute).UTC()
		if now := time.Now(); now.Before(y.retired) && !next.Before(y.retired) && !to.Before(y.retired) {
			y.until(y.retired)
			for _, s := range y.secrets {
				if s.frequent() {
					y.call("DELETE", "/secrets/"+s.ID.ID, "", nil)
				}
			}
			continue
		}
		if !next.Before(to) {
			y.until(to)
			return
		}
		y.until(next)
		y.look()
	}
}

// look holds what the API shows, and the value in the environment, against what
// is expected now.
func (y *year) look() {
	y.t.Helper()
	now := time.Now().UTC()
	for _, name := range y.names {
		s := y.secrets[name]
		if s.frequent() && !now.Before(y.retired) {
			continue
		}
		i := slices.IndexFunc(s.values, func(p planned) bool { return p.at.After(now) })
		if i < 0 {
			i = len(s.values)
		}
		want := s.values[i-1]
		shown := y.show(s.ID.ID)
		if a := shown.Attributes; a.Status != "succeeded" || !same(a.ActivatedAt, want.at) || !same(a.ExpiresAt, want.until) || !same(a.RefreshAt, want.refresh) {
			y.t.Errorf("%v: %s is %s since %v until %v, to be refreshed at %v; want succeeded, %v", now, name, a.Status, a.ActivatedAt, a.ExpiresAt, a.RefreshAt, want)
		}
		if !s.works(y.value(y.environment, s.ID.ID)) {
			y.t.Errorf("%v: the value of %s does not work", now, name)
		}
	}
}

func (s kept) frequent() bool {
	first := s.values[0]
	return !first.until.IsZero() && first.until.Sub(first.at) <= day
}

// same reports whether a shown time is t; that it is not shown is the zero t.
func same(shown *time.Time, t time.Time) bool {
	if shown == nil {
		return t.IsZero()
	}
	return shown.Equal(t)
}

// abandonDialog opens a dialog that nobody goes to. Refreshes go on, as
// checkValues will see, and an hour later all is as before.
func (y *year) abandonDialog() {
	y.t.Helper()
	at, google := instant(abandonedAt), y.secrets["google"]
	y.pass(at)
	y.act(google.Secret, client.ActionReauthorize)
	for _, tt := range []struct {
		after time.Duration
		want  string
	}{{0, "pending"}, {time.Hour - time.Millisecond, "pending"}, {time.Hour, "succeeded"}} {
		y.until(at.Add(tt.after))
		if got := y.show(google.ID.ID).Attributes.Status; got != tt.want {
			y.t.Errorf("%v after a dialog was opened, google is %s, want %s", tt.after, got, tt.want)
		}
	}
}

// reauthorize starts the clock of the secret anew.
func (y *year) reauthorize() {
	y.t.Helper()
	s := y.secrets["linkedin"]
	warned := instant("2001-02-28 10:00:00")
	y.pass(warned.Add(-time.Millisecond))
	y.wantHuman("linkedin", yearEnds, false)
	y.until(warned)
	y.wantHuman("linkedin", yearEnds, true)
	y.pass(instant(askedAt))
	asked := y.act(s.Secret, client.ActionReauthorize)
	if asked.Attributes.Status != "pending" || !s.works(y.value(y.environment, s.ID.ID)) {
		y.t.Errorf("while a dialog is open, linkedin is %s", asked.Attributes.Status)
	}
	y.until(instant(consentedAt))
	y.consent(asked)
	y.wantHuman("linkedin", "2002-04-09 09:20:00", false)
}

// missReauthorization has nobody come to the secret that is forgotten: it fails
// at once, and works again when somebody comes after all.
func (y *year) missReauthorization() {
	y.t.Helper()
	s := y.secrets["linkedin, late"]
	end := instant(lateEnds)
	y.pass(end.Add(-time.Millisecond))
	y.wantHuman("linkedin, late", lateEnds, true)
	if !s.works(y.value(y.environment, s.ID.ID)) || y.show(s.ID.ID).Meta.RefreshStatus != "succeeded" {
		y.t.Error("the value does not work until its end")
	}
	y.until(end)
	failed := y.show(s.ID.ID)
	if failed.Attributes.Status != "succeeded" || failed.Meta.RefreshStatus != "failed" {
		y.t.Errorf("after its end it is %s, refresh %s", failed.Attributes.Status, failed.Meta.RefreshStatus)
	}
	if said := y.events.about(s.ID.ID, events.TypeExchangeFailed); len(said) != 1 ||
		said[0].Data.(events.ExchangeFailed).Reason != events.ReasonGrantEnded || !said[0].Time.Equal(end) {
		y.t.Errorf("failures: %v, want one of a grant that ended at %v", said, end)
	}
	y.pass(instant(lateCame))
	y.consent(y.act(s.Secret, client.ActionReauthorize))
	y.wantHuman("linkedin, late", "2002-06-03 12:00:00", false)
	if got := y.show(s.ID.ID).Meta; got.RefreshStatus == "failed" || got.RefreshStatusDetails.String() != "" {
		y.t.Errorf("authorized again, its refresh is %s: %s", got.RefreshStatus, got.RefreshStatusDetails)
	}
}

// wantHuman checks until when a person must have come, and whether it is said.
func (y *year) wantHuman(name, by string, required bool) {
	y.t.Helper()
	got := y.show(y.secrets[name].ID.ID).Meta
	if !same(got.ReauthorizeBy, instant(by)) || got.AuthorizationRequired != required {
		y.t.Errorf("%v: %s is to be authorized by %v (required: %v), want %s (%v)",
			time.Now().UTC(), name, got.ReauthorizeBy, got.AuthorizationRequired, by, required)
	}
}

// checkValues checks when each value came into the environment.
func (y *year) checkValues() {
	y.t.Helper()
	for _, name := range y.names {
		var want []hanging
		for _, v := range y.secrets[name].values {
			want = append(want, v.hanging)
		}
		y.compare("values of "+name, want, y.gallery.of(y.secrets[name].ID.ID))
	}
}

// checkRequests checks when each provider was asked: for each value, and for
// nothing else but what became of a consent that is over.
func (y *year) checkRequests() {
	y.t.Helper()
	y.compare("requests for jwt", times(y.secrets["jwt"].values), y.issuer.requests())
	for app, names := range map[string][]string{
		"crm": {"oauth2"}, "app-google": {"google"}, "app-amazon": {"amazon"}, "app-linkedin": {"linkedin", "linkedin, late"},
	} {
		var want, got []time.Time
		for _, name := range names {
			want = append(want, times(y.secrets[name].values)...)
		}
		if app == "app-linkedin" {
			want = append(want, instant(lateEnds))
		}
		slices.SortFunc(want, time.Time.Compare)
		requests, err := y.provider.Requests(app)
		if err != nil {
			y.t.Fatal(err)
		}
		for _, r := range requests {
			got = append(got, r.Time.UTC())
			if refused := r.Outcome != sandbox.OutcomeIssued; refused != (app == "app-linkedin" && r.Time.Equal(instant(lateEnds))) {
				y.t.Errorf("%v: a request of %s was %s: %s", r.Time.UTC(), app, r.Outcome, r.Error)
			}
		}
		y.compare("requests of "+app, want, got)
	}
}

func times(values []planned) (at []time.Time) {
	for _, v := range values {
		at = append(at, v.at)
	}
	return at
}

// compare tells the first difference of two lists, which may be long.
func (y *year) compare(what string, want, got any) {
	y.t.Helper()
	diff := cmp.Diff(want, got, cmp.AllowUnexported(hanging{}))
	if lines := strings.SplitAfter(diff, "\n"); diff != "" {
		y.t.Errorf("%s (-want +got):\n%s", what, strings.Join(lines[:min(len(lines), 30)], ""))
	}
}

// checkWarnings checks every word that was said to people.
func (y *year) checkWarnings() {
	y.t.Helper()
	for name, want := range map[string][]string{
		"linkedin": {"2001-02-28 10:00:00 92", "2002-01-09 09:20:00 90"},
		"linkedin, late": {
			"2001-02-28 11:00:00 92", "2001-05-01 11:00:00 30", "2001-05-17 11:00:00 14", "2001-05-24 11:00:00 7", "2001-05-30 11:00:00 1",
			"2001-05-31 11:00:00 0 ended", "2002-03-03 12:00:00 92",
		},
		"google": nil, "amazon": nil, "oauth2": nil, "jwt": nil, "jwt, bare": nil, "token": nil, "simple-http": nil,
	} {
		y.compare("warnings about "+name, want, y.warnings(name))
	}
	for _, name := range y.names {
		var want []string
		if name == "linkedin, late" { // its refresh was at its end, so nothing could be said before
			want = []string{"CredentialExpired of " + lateEnds + " at " + lateEnds}
		}
		y.compare("alarms about "+name, want, y.alarms(y.secrets[name].ID.ID))
	}
	var announced []string
	for _, e := range y.events.about("google", events.TypeRegistrationExpiring) {
		announced = append(announced, fmt.Sprint(e.Time.UTC().Format(time.DateTime), " ", e.Data.(events.RegistrationExpiring).DaysLeft))
	}
	y.compare("warnings about the app", []string{
		"2000-10-31 00:00:00 92", "2001-01-01 00:00:00 30", "2001-01-17 00:00:00 14", "2001-01-24 00:00:00 7", "2001-01-30 00:00:00 1",
	}, announced)
}

func (y *year) warnings(name string) (said []string) {
	for _, e := range y.events.about(y.secrets[name].ID.ID, events.TypeReauthorizationDue) {
		data := e.Data.(events.ReauthorizationDue)
		line := fmt.Sprint(e.Time.UTC().Format(time.DateTime), " ", data.DaysLeft)
		if data.Ended {
			line += " ended"
		}
		said = append(said, line)
	}
	return said
}

// alarms are the words that were said about values of a secret that end.
func (b *bubble) alarms(id string) (said []string) {
	say := func(e events.Event, end time.Time) {
		said = append(said, fmt.Sprintf("%s of %s at %s", e.Data.Type(), end.UTC().Format(time.DateTime), e.Time.UTC().Format(time.DateTime)))
	}
	for _, e := range b.events.about(id, events.TypeCredentialExpiring) {
		say(e, e.Data.(events.CredentialExpiring).ExpiresAt)
	}
	for _, e := range b.events.about(id, events.TypeCredentialExpired) {
		say(e, e.Data.(events.CredentialExpired).ExpiredAt)
	}
	return said
}

func (y *year) summarise() {
	var table strings.Builder
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\nSECRET\tVALUES\tFIRST\tLAST\tWARNINGS")
	for _, name := range y.names {
		values := y.gallery.of(y.secrets[name].ID.ID)
		fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\n", name, len(values), values[0].at.Format(time.DateTime),
			values[len(values)-1].at.Format(time.DateTime), strings.Join(y.warnings(name), ", "))
	}
	w.Flush()
	y.t.Log(table.String())
}
