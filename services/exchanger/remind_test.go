package exchanger

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/provider"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/services/sandbox"
)

// linkedIn is a secret at a provider like LinkedIn, which somebody consents to.
func (w *world) linkedIn() *secret.Secret {
	w.t.Helper()
	s := w.create(secret.OAuth2LinkedIn)
	d, _ := provider.Defaults().Get("linkedin")
	d.AuthorizeURL, d.TokenURL = w.provider.url+"/authorize", w.provider.url+"/token?secret="+s.ID
	w.register(s, d, *sandbox.LikeLinkedIn(s.ID).CodeFlow)
	w.consent(s.ID)
	w.advance(30 * time.Second) // so long it took until the code was exchanged
	return s
}

// warning is when it was said that a person has to act, and how many days early.
type warning struct {
	At   time.Time
	Days int
}

func (w *world) warnings(id string) (list []warning) {
	for _, e := range w.events.about(id) {
		if due, ok := e.Data.(events.ReauthorizationDue); ok && !due.Ended {
			list = append(list, warning{e.Time, due.DaysLeft})
		}
	}
	return list
}

// A year with LinkedIn: its end is 365 days from the consent and not put off by
// any refresh, though the answers count from a little later and round.
func TestLinkedInYear(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	x := w.exchanger()
	s := w.linkedIn()
	consented := w.secret(s.ID).Authorization.ConsentedAt
	w.run(x, w.job(s.ID))
	end := consented.Add(365 * day)
	for w.secret(s.ID).Plan().Action != secret.Rest && w.now().Before(end) {
		if by := w.secret(s.ID).Authorization.ReauthorizeBy; !by.Equal(end) {
			t.Fatalf("at %v the end is %v, want %v", w.now(), by, end)
		}
		w.runDue(x, s.ID)
	}
	want := []warning{{end.AddDate(0, -3, 0), 92}}
	for _, days := range []int{30, 14, 7, 1} {
		want = append(want, warning{end.Add(-time.Duration(days) * day), days})
	}
	if diff := cmp.Diff(want, w.warnings(s.ID)); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
	if got := w.secret(s.ID); !got.Authorization.Required || got.Status != secret.Succeeded {
		t.Errorf("record: %s", show(got))
	}
}

// An end that an answer moves closer is believed and announced at once; one that
// an answer puts off is not.
func TestEndMovesCloser(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	x := w.exchanger()
	s := w.linkedIn()
	w.run(x, w.job(s.ID))
	first := w.secret(s.ID).Authorization.ReauthorizeBy
	refresh := func(left string) time.Time {
		w.script(s, sandbox.Step{Fields: map[string]json.RawMessage{"refresh_token_expires_in": json.RawMessage(left)}})
		w.runDue(x, s.ID)
		return w.secret(s.ID).Authorization.ReauthorizeBy
	}
	if by := refresh("31536000"); !by.Equal(first) {
		t.Errorf("put off to %v", by)
	}
	moved := w.secret(s.ID).Plan().At
	end := moved.Add(10 * day)
	if by := refresh("864000"); !by.Equal(end) {
		t.Errorf("the end is %v, want %v", by, end)
	}
	w.runDue(x, s.ID)
	w.runDue(x, s.ID)
	want := []warning{{moved, 10}, {end.Add(-7 * day), 7}, {end.Add(-day), 1}}
	if diff := cmp.Diff(want, w.warnings(s.ID)); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
	if by := refresh("31536000"); !by.Equal(end) || len(w.warnings(s.ID)) != len(want) {
		t.Errorf("put off to %v, warnings %v", by, w.warnings(s.ID))
	}
}

// Of warnings that nobody was there to give, the last is given for all.
func TestMissedWarnings(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	x := w.exchanger()
	s := w.linkedIn()
	w.run(x, w.job(s.ID))
	end := w.secret(s.ID).Authorization.ReauthorizeBy
	for w.secret(s.ID).Plan().At.Before(end.Add(-30 * day)) {
		w.runDue(x, s.ID)
	}
	before := len(w.warnings(s.ID))
	w.clock.Store(end.Add(-7*day + time.Hour).UnixMilli())
	w.run(x, w.job(s.ID))
	missed := w.warnings(s.ID)[before:]
	if diff := cmp.Diff([]warning{{w.now(), 7}}, missed); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
	a := w.secret(s.ID).Authorization
	if diff := cmp.Diff([]time.Time{end.Add(-day)}, a.Notices); diff != "" || !a.Required {
		t.Errorf("still to be given (-want +got):\n%s", diff)
	}
}

// A warning that is given again after a crash, later, is the same one.
func TestWarningGivenAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.linkedIn()
	w.run(w.exchanger(), w.job(s.ID))
	for w.secret(s.ID).Plan().Action != secret.Remind {
		w.runDue(w.exchanger(), s.ID)
	}
	w.clock.Store(w.secret(s.ID).Plan().At.UnixMilli())
	m := w.job(s.ID)
	dies := &saboteur{inner: w.store, events: w.events, named: "announce", mode: diesAfter}
	if lived, _ := process(w.exchanger(dies.sabotaged), m); lived {
		t.Fatal("it lived")
	}
	w.advance(time.Hour)
	m.Delivery++
	w.run(w.exchanger(), m)
	if n := len(w.warnings(s.ID)); n != 1 { // of one id each
		t.Errorf("%d warnings", n)
	}
}
