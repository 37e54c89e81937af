package main

import (
	"bytes"
	"encoding/json"
	"io"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rekindle-dev/rekindle/services/api/client"
)

func TestRelative(t *testing.T) {
	t.Parallel()
	const hour, day = time.Hour, 24 * time.Hour
	for away, want := range map[time.Duration]string{
		0:                              "now",
		400 * time.Millisecond:         "now",
		-400 * time.Millisecond:        "now",
		42 * time.Second:               "in 42 s",
		-42 * time.Second:              "42 s ago",
		time.Minute - time.Millisecond: "in 1 min",
		30 * time.Minute:               "in 30 min",
		hour - time.Second:             "in 1 h",
		6*hour - time.Second:           "in 6 h",
		6*hour - 20*time.Minute:        "in 5 h 40 min",
		36 * hour:                      "in 36 h",
		2 * day:                        "in 2 d",
		90*day - time.Minute:           "in 90 d",
		90*day - 12*hour:               "in 89 d",
		-90 * day:                      "90 d ago",
	} {
		now := time.Date(2026, time.May, 1, 12, 0, 0, 0, time.UTC)
		if got := relative(new(now.Add(away)), now); got != want {
			t.Errorf("%v away is %q, want %q", away, got, want)
		}
	}
	if got := relative(nil, time.Now()); got != "" {
		t.Errorf("no time is %q", got)
	}
}

// TestTable: columns with nothing in them are left out, and what strangers wrote
// cannot leave its cell.
func TestTable(t *testing.T) {
	t.Parallel()
	table := table{head: []string{"NAME", "EMPTY", "STATUS"}}
	table.add("crm", "", "failed: \x1b[2Jgone\nNEXT\tCELL")
	table.add("überweisung", "", "")
	var out bytes.Buffer
	table.write(&out)
	want := "NAME          STATUS\n" +
		"crm           failed: \uFFFD[2Jgone\uFFFDNEXT\uFFFDCELL\n" +
		"überweisung   -\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
}

// TestLongNamesAreCut: in tables only.
func TestLongNamesAreCut(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("ü", maxCell+1)
	table := table{head: []string{"NAME", "STATUS"}}
	table.add(long, "failed")
	table.add(long[len("ü"):], "failed")
	var out bytes.Buffer
	table.write(&out)
	want := "NAME" + strings.Repeat(" ", maxCell-1) + "STATUS\n" +
		strings.Repeat("ü", maxCell-1) + "…   failed\n" +
		strings.Repeat("ü", maxCell) + "   failed\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
	out.Reset()
	sheet := sheet{lines: [][2]string{{"name", long}}}
	sheet.write(&out)
	if want := "name   " + long + "\n"; out.String() != want {
		t.Errorf("sheet %q, want %q", out.String(), want)
	}
}

// TestAnnounce: a person is sent to a dialog only while the secret waits for one.
func TestAnnounce(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, time.May, 1, 12, 0, 0, 0, time.UTC)
	const meta = `"meta":{"authorization_url":"https://idp.example.com/authorize","authorization_url_expires_at":"2026-05-01T13:00:00.000Z"}`
	for document, want := range map[string]string{
		`{"attributes":{"status":"pending"},` + meta + `}`:   "open this in a browser, before 2026-05-01T13:00:00Z (in 1 h):\n\n  https://idp.example.com/authorize\n\n",
		`{"attributes":{"status":"succeeded"},` + meta + `}`: "",
		`{"attributes":{"status":"failed"},` + meta + `}`:    "",
		`{"attributes":{"status":"pending"}}`:                "",
	} {
		var said bytes.Buffer
		s := &session{err: &said, now: func() time.Time { return now }}
		s.announce(secretFrom(t, document))
		if said.String() != want {
			t.Errorf("of %s is said %q, want %q", document, said.String(), want)
		}
	}
}

// TestAuthorizedScopes: what was granted is shown when it is not what was asked.
func TestAuthorizedScopes(t *testing.T) {
	t.Parallel()
	for meta, want := range map[string]bool{`{"authorized_scopes":["read","openid"]}`: true, `{}`: false} {
		var out bytes.Buffer
		s := &session{remote: &remote{output: outputText}, out: &out, err: io.Discard, now: time.Now}
		s.printSecret(secretFrom(t, `{"attributes":{"name":"ads","credentials":{"scopes":["read","write"]}},"meta":`+meta+`}`))
		if got := strings.Contains(out.String(), "authorized scopes   read openid\n"); got != want {
			t.Errorf("with %s it prints %s", meta, out.String())
		}
	}
}

// TestNextAttempt: when a secret is exchanged again is what is planned, and not when
// it was to be refreshed: after that has failed nothing may be planned.
func TestNextAttempt(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, time.May, 1, 12, 0, 0, 0, time.UTC)
	const (
		dates   = `"refresh_at":"2026-05-01T11:00:00.000Z","expires_at":"2026-05-01T15:00:00.000Z"`
		planned = `"next_attempt_at":"2026-05-01T12:40:00.000Z"`
		hint    = "nothing tries again by itself; what to do says: rekindle secret timeline SE1\n"
	)
	for name, tt := range map[string]struct{ status, meta, row, hint string }{
		"planned":         {"succeeded", planned, "next attempt   2026-05-01T12:40:00Z (in 40 min)\n", ""},
		"attempts left":   {"succeeded", `"refresh_status":"pending",` + planned, "next attempt   2026-05-01T12:40:00Z (in 40 min)\n", ""},
		"given up":        {"succeeded", `"refresh_status":"failed"`, "", hint},
		"a retry failed":  {"failed", `"status_details":{"errors":[{"detail":"x"}]}`, "", hint},
		"is to wait":      {"failed", `"status_details":{"errors":[{"detail":"x","meta":{"retry_at":"2026-05-01T12:05:00.000Z"}}]}`, "provider asks to wait until   2026-05-01T12:05:00Z (in 5 min)\n", hint},
		"refresh to wait": {"succeeded", planned + `,"refresh_status_details":{"errors":[{"detail":"x","meta":{"retry_at":"2026-05-01T12:05:00.000Z"}}]}`, "provider asks to wait until   2026-05-01T12:05:00Z (in 5 min)\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out, said bytes.Buffer
			s := &session{remote: &remote{output: outputText}, out: &out, err: &said, now: func() time.Time { return now }}
			one := secretFrom(t, `{"id":"SE1","attributes":{"name":"crm","status":"`+tt.status+`",`+dates+`},"meta":{`+tt.meta+`}}`)
			s.printSecret(one)
			if text := columns.ReplaceAllString(out.String(), "   "); !strings.Contains(text, tt.row) || strings.Contains(text, "11:00") || said.String() != tt.hint {
				t.Errorf("of the secret is printed %s and said %q", text, said.String())
			}
		})
	}
}

// columns are the gaps of a table.
var columns = regexp.MustCompile(` {3,}`)

func TestStanding(t *testing.T) {
	t.Parallel()
	for document, want := range map[string]string{
		`{"attributes":{"status":"succeeded"}}`:                                                                                           "succeeded",
		`{"attributes":{"status":"succeeded"},"meta":{"refresh_status":"succeeded"}}`:                                                     "succeeded",
		`{"attributes":{"status":"succeeded"},"meta":{"refresh_status":"failed"}}`:                                                        "succeeded, refresh failed",
		`{"attributes":{"status":"succeeded"},"meta":{"authorization_required":true}}`:                                                    "succeeded, authorize again",
		`{"attributes":{"status":"succeeded"},"meta":{"authorization_held_at":"2026-05-01T12:00:00.000Z","authorization_required":true}}`: "succeeded, consent held",
	} {
		if got := standing(secretFrom(t, document)); got != want {
			t.Errorf("%s stands as %q, want %q", document, got, want)
		}
	}
}

// Each warning has a line.
func TestWarningsAreShown(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	s := &session{remote: &remote{output: outputText}, out: &out, err: io.Discard, now: time.Now}
	s.printSecret(secretFrom(t, `{"attributes":{"name":"ads"},"meta":{"warnings":[{"code":"short_life","detail":"it is short"},{"code":"later","detail":"and more"}]}}`))
	for _, line := range []string{"warning", "it is short\n", "and more\n"} {
		if !strings.Contains(out.String(), line) {
			t.Errorf("%q is not in:\n%s", line, out.String())
		}
	}
}

func secretFrom(t *testing.T, document string) client.Secret {
	t.Helper()
	var s client.Secret
	if err := json.Unmarshal([]byte(document), &s); err != nil {
		t.Fatal(err)
	}
	s.JSON = json.RawMessage(document)
	return s
}

// TestTestIsMasked: of a provider's answer nothing is shown whole that may be a
// secret, in whatever member it comes, unless it is asked for.
func TestTestIsMasked(t *testing.T) {
	t.Parallel()
	const document = `{"id":"SE1","attributes":{"name":"crm"},"meta":{"test_exchange":{
		"access_token":"sk-proj-4242424242424z789","expires_in":36000,"token_type":"Bearer","scope":"read",
		"refresh_token":"canary-refresh-token","more":{"id_token":"canary-id-token"},"list":["canary-in-a-list"],"ok":true}}}`
	for name, tt := range map[string]struct {
		output string
		show   bool
		want   string
	}{
		"text": {outputText, false, "access_token    sk-p****z789\nexpires_in      36000\nlist            [\"can****ist\"]\n" +
			"more            {\"id_token\":\"can****ken\"}\nok              true\nrefresh_token   cana****oken\nscope           read\ntoken_type      Bearer\n"},
		"id": {outputID, false, "SE1\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			s := &session{remote: &remote{output: tt.output}, out: &out}
			if err := s.printTest(secretFrom(t, document), tt.show); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, out.String()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	for _, show := range []bool{false, true} {
		var out bytes.Buffer
		s := &session{remote: &remote{output: outputJSON}, out: &out}
		if err := s.printTest(secretFrom(t, document), show); err != nil {
			t.Fatal(err)
		}
		if !json.Valid(out.Bytes()) || bytes.Contains(out.Bytes(), []byte("canary-refresh-token")) != show {
			t.Errorf("as JSON, show %v: %s", show, out.String())
		}
	}
}

func TestRefusedTestFails(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	s := &session{remote: &remote{output: outputText}, out: &out}
	err := s.printTest(secretFrom(t, `{"attributes":{"name":"crm"},"meta":{"test_exchange":{"error":"invalid_client","status":401}}}`), false)
	if err == nil || err.Error() != "the exchange of crm failed: invalid_client" {
		t.Errorf("the error is %v", err)
	}
	if want := "error    invalid_client\nstatus   401\n"; out.String() != want {
		t.Errorf("printed %q, want %q", out.String(), want)
	}
	if err := s.printTest(secretFrom(t, `{}`), false); err == nil {
		t.Error("no answer at all is no error")
	}
}

// TestFailure: what of a secret that was waited for is an error.
func TestFailure(t *testing.T) {
	t.Parallel()
	const (
		now      = "2026-05-01T12:00:00.000Z"
		held     = `"authorization_held_at":"` + now + `"`
		refused  = `"authorization_status_details":{"errors":[{"id":"2","detail":"no"}]}`
		dialogTo = `"authorization_url_expires_at":`
	)
	for name, tt := range map[string]struct{ before, after, status, want string }{
		"fine":            {status: "succeeded"},
		"failed":          {status: "failed", want: "ads failed"},
		"failed, and why": {status: "failed", after: `"status_details":{"errors":[{"detail":"x"}]}`, want: "ads failed: x"},
		"held":            {status: "succeeded", after: held, want: "ads: the consent is held, for another account than before gave it"},
		"held before":     {status: "succeeded", before: held, after: held},
		"refused":         {status: "succeeded", after: refused, want: "ads was not authorized: no"},
		"refused again":   {status: "succeeded", before: `"authorization_status_details":{"errors":[{"id":"1"}]}`, after: refused, want: "ads was not authorized: no"},
		"refused before":  {status: "succeeded", before: refused, after: refused},
		"nobody came":     {status: "succeeded", before: dialogTo + `"2026-05-01T11:59:59.000Z"`, want: "ads was not authorized: nobody has consented in time"},
		"somebody came":   {status: "succeeded", before: dialogTo + `"2026-05-01T12:00:01.000Z"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			before := secretFrom(t, `{"attributes":{"name":"ads","status":"pending"},"meta":{`+tt.before+`}}`)
			after := secretFrom(t, `{"attributes":{"name":"ads","status":"`+tt.status+`"},"meta":{`+tt.after+`}}`)
			at, err := time.Parse(time.RFC3339, now)
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			if err := failure(before, after, at); err != nil {
				got = err.Error()
			}
			if got != tt.want {
				t.Errorf("the error is %q, want %q", got, tt.want)
			}
		})
	}
}
