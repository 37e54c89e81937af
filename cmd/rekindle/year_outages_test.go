package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/services/api/client"
	"github.com/rekindle-dev/rekindle/services/sandbox"
)

// tended is a secret of the year of outages.
type tended struct {
	client.Secret
	app    string
	life   time.Duration
	offset time.Duration
}

// lastWord is how long before the end of a value it is said at the latest that it ends.
func (s tended) lastWord() time.Duration { return min(2*time.Hour, s.offset/2) }

// stretch is from when to when something was.
type stretch struct{ from, to time.Time }

// promptly is how long it may take until an alarm is given that waits for an exchange.
const promptly = 3 * time.Minute

// outages is a year in which providers refuse, fail or ask for patience, nobody makes
// exchanges for a while, and people come to it late.
type outages struct {
	*bubble
	random  *rand.Rand
	secrets []tended
	down    []stretch // when there was no exchanger
}

// TestYearOfOutages: of exactly those values that have ended it is said that they have,
// at their end or as soon as somebody is there; and before that they do, of each for
// which somebody was there to say so; and of none that another took the place of in time.
func TestYearOfOutages(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, nil)
		defer b.end()
		o := &outages{bubble: b, random: rand.New(rand.NewPCG(2026, 11))}
		o.begin()
		end := time.Now().Add(366 * day)
		if raceDetector {
			end = time.Now().Add(40 * day)
		}
		for time.Now().Before(end) {
			o.until(time.Now().Add(o.hours(10, 200)))
			o.outage()
			o.tend()
		}
		o.check()
	})
}

// hours is a time that is drawn by lot, in seconds.
func (o *outages) hours(least, most int64) time.Duration {
	return time.Duration(o.random.Int64N((most-least)*3600)+least*3600) * time.Second
}

func (o *outages) begin() {
	environment := o.home(1)[0]
	const hour = time.Hour
	for i, s := range []tended{
		{life: 8 * hour, offset: 4 * hour},
		{life: day, offset: 4 * hour},
		{life: day, offset: 20 * hour},
		{life: 2 * day},
		{life: 5 * day, offset: 30 * hour},
		{life: 60 * day, offset: 7 * day},
		{life: 9 * hour, offset: 10 * time.Minute},
	} {
		s.app = fmt.Sprint("app-", i)
		o.treat(s, sandbox.Step{})
		s.Secret = o.create(s.app, "oauth2", fmt.Sprintf(`{"client_id":%q,"client_secret":"planted-client-secret-77aa","token_url":"%s/token","refresh_offset":%d}`,
			s.app, providerURL, s.offset/time.Second), environment)
		o.secrets = append(o.secrets, s)
	}
}

// treat has the provider treat an app so from now on.
func (o *outages) treat(s tended, step sandbox.Step) {
	o.t.Helper()
	step.Lifetime = new(sandbox.Duration(s.life))
	if err := o.provider.Put(sandbox.Client{ID: s.app, Secret: "planted-client-secret-77aa", Default: step}); err != nil {
		o.t.Fatal(err)
	}
}

// outage has something go wrong for a while.
func (o *outages) outage() {
	ways := []sandbox.Step{
		{Status: 500}, {Error: "invalid_client"}, {Status: 503, Headers: map[string]string{"Retry-After": "20000"}}, {Status: 429},
	}
	way, lasts := o.random.IntN(len(ways)+1), o.hours(1, 40)
	if way == len(ways) {
		from := time.Now()
		o.lane.stop()
		o.until(from.Add(lasts))
		o.lane.goOn()
		synctest.Wait()
		o.down = append(o.down, stretch{from, time.Now()})
		return
	}
	for _, s := range o.secrets {
		if o.random.IntN(3) > 0 {
			o.treat(s, ways[way])
		}
	}
	o.until(time.Now().Add(lasts))
	for _, s := range o.secrets {
		o.treat(s, sandbox.Step{})
	}
}

// tend has a person see to what is given up, some time later.
func (o *outages) tend() {
	o.until(time.Now().Add(o.hours(0, 30)))
	for _, s := range o.secrets {
		if shown := o.show(s.ID.ID); shown.Meta.RefreshStatus == "failed" || shown.Attributes.Status == "failed" {
			o.act(s.Secret, client.ActionRetry)
		}
	}
}

// check holds what was said against the values that were there.
func (o *outages) check() {
	o.t.Helper()
	ended, warned, mute := 0, 0, 0
	for _, s := range o.secrets {
		values := o.gallery.of(s.ID.ID)
		said := map[string][]time.Time{}
		for _, e := range o.events.about(s.ID.ID, events.TypeCredentialExpired) {
			what := fmt.Sprint("ended ", e.Data.(events.CredentialExpired).ExpiredAt.UTC())
			said[what] = append(said[what], e.Time)
		}
		for _, e := range o.events.about(s.ID.ID, events.TypeCredentialExpiring) {
			what := fmt.Sprint("ends ", e.Data.(events.CredentialExpiring).ExpiresAt.UTC())
			said[what] = append(said[what], e.Time)
		}
		for i, v := range values {
			next := time.Now()
			if i+1 < len(values) {
				next = values[i+1].at
			}
			over, before := said[fmt.Sprint("ended ", v.until)], said[fmt.Sprint("ends ", v.until)]
			o.checkEnd(s, v, next, over)
			o.checkWarned(s, v, next, before)
			if len(over) > 0 {
				ended++
			}
			if len(over) > 0 && len(before) > 0 {
				warned++
			}
			if len(over)+len(before) == 0 {
				mute++
			}
		}
	}
	o.t.Logf("%d values had ended, %d of them with a warning; of %d nothing was said", ended, warned, mute)
	if ended < 10 || warned < 5 || mute < 500 {
		o.t.Error("too little has happened")
	}
}

// checkEnd checks what was said of the end of a value, in whose place another came.
func (o *outages) checkEnd(s tended, v hanging, next time.Time, said []time.Time) {
	o.t.Helper()
	switch late := next.Sub(v.until); {
	case late < 0 && len(said) > 0:
		o.t.Errorf("%s, until %v: it was said at %v to have ended, and was replaced at %v", s.app, v.until, said, next)
	case late > promptly && len(said) != 1:
		o.t.Errorf("%s, until %v: it was said %v to have ended, and was replaced at %v", s.app, v.until, said, next)
	case len(said) > 0 && said[0].Sub(o.somebody(v.until)) > promptly:
		o.t.Errorf("%s, until %v: it was said at %v to have ended", s.app, v.until, said)
	}
}

// checkWarned checks what was said before the end of a value, in whose place another
// came.
func (o *outages) checkWarned(s tended, v hanging, next time.Time, said []time.Time) {
	o.t.Helper()
	for _, at := range said {
		if at.Before(v.until.Add(-s.offset)) || !at.Before(v.until) || at.After(next) {
			o.t.Errorf("%s, until %v: it was said at %v to end, and replaced at %v", s.app, v.until, said, next)
		}
	}
	last := o.somebody(v.until.Add(-s.lastWord())).Add(promptly)
	if s.offset > 0 && next.After(v.until) && last.Before(v.until) && len(said) == 0 {
		o.t.Errorf("%s, until %v: nothing was said before, though there was time from %v on", s.app, v.until, last)
	}
	if len(said) > 3 {
		o.t.Errorf("%s, until %v: it was said at %v to end", s.app, v.until, said)
	}
}

// somebody is the first moment from then on at which there was an exchanger.
func (o *outages) somebody(from time.Time) time.Time {
	if i := slices.IndexFunc(o.down, func(d stretch) bool { return !from.Before(d.from) && from.Before(d.to) }); i >= 0 {
		return o.down[i].to
	}
	return from
}
