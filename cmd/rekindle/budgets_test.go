package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/rekindle-dev/rekindle/services/sandbox"
)

// underWay is for how long requests may still arrive that were sent before others
// could know.
const underWay = 500 * time.Millisecond

// cmdPatient fails if the sandbox had a request of a client within the time for
// which it had asked the client for patience, or none of another: "patient busy 4s
// calm".
func cmdPatient(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg)
	asked, err := time.ParseDuration(args[1])
	ts.Check(err)
	var from time.Time
	for _, r := range fleetOf(ts).ledger(ts, args[0]) {
		switch {
		case from.IsZero() && r.Outcome == sandbox.OutcomeFailed:
			from = r.Time
		case from.IsZero() || r.Time.Before(from.Add(underWay)):
		case r.Time.Before(from.Add(asked)):
			ts.Fatalf("a request %v after the provider asked for %v", r.Time.Sub(from), asked)
		}
	}
	if from.IsZero() {
		ts.Fatalf("the sandbox has not asked %s for patience", args[0])
	}
	for _, r := range fleetOf(ts).ledger(ts, args[2]) {
		if r.Time.After(from) && r.Time.Before(from.Add(asked)) {
			return
		}
	}
	ts.Fatalf("no request of %s meanwhile", args[2])
}

func (f *testFleet) ledger(ts *testscript.TestScript, id string) (all []sandbox.Request) {
	resp, err := http.Get(f.sandbox + "/sandbox/requests?client=" + url.QueryEscape(id))
	ts.Check(err)
	defer resp.Body.Close()
	var body struct{ Requests []sandbox.Request }
	ts.Check(json.NewDecoder(resp.Body).Decode(&body))
	return body.Requests
}

// cmdOpens waits until the breaker of the sandbox is open, or with "!" until it is
// not, by what every scheduler says.
func cmdOpens(ts *testscript.TestScript, neg bool, _ []string) {
	f := fleetOf(ts)
	u, err := url.Parse(f.sandbox)
	ts.Check(err)
	want := fmt.Sprintf("rekindle_breaker_open{host=%q} 1", u.Host)
	eventually(ts, "opens", func() bool {
		open := false
		for _, p := range f.processes {
			if ops := p.has("ops"); ops != "" {
				resp, err := http.Get(ops + "/metrics")
				ts.Check(err)
				text, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				ts.Check(err)
				open = open || strings.Contains(string(text), want)
			}
		}
		return open != neg
	}, func() string { return want })
}

// cmdProbed fails if the sandbox had more requests of a client that it fails than
// it takes to find out, and one each five seconds: "probed shaky".
func cmdProbed(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg)
	const exchangers, each, others = 2, 5, 4
	all := fleetOf(ts).ledger(ts, args[0])
	took := all[len(all)-1].Time.Sub(all[0].Time)
	if most := exchangers*each + others + int(took/(5*time.Second)); len(all) > most {
		ts.Fatalf("%d requests in %v, want at most %d", len(all), took, most)
	}
}
