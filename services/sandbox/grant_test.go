package sandbox_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rekindle-dev/rekindle/services/sandbox"
)

func rotating(rules sandbox.RefreshTokens) sandbox.CodeFlow {
	rules.Rotation = sandbox.RotationRotate
	return sandbox.CodeFlow{RefreshTokens: rules}
}

// TestRotation plays refresh tokens by their numbers, with "+" for ten seconds
// that pass. Each that works gives the next number.
func TestRotation(t *testing.T) {
	t.Parallel()
	grace := sandbox.Duration(30 * time.Second)
	for name, tc := range map[string]struct {
		rules sandbox.RefreshTokens
		play  string
		want  string // the number given, or "-"
		ended sandbox.Ending
	}{
		"in order":           {sandbox.RefreshTokens{}, "1 2 3", "2 3 4", ""},
		"again":              {sandbox.RefreshTokens{}, "1 1 2", "2 - 3", ""},
		"again, detected":    {sandbox.RefreshTokens{DetectReuse: true}, "1 1 2", "2 - -", sandbox.EndedRefreshReused},
		"within grace":       {sandbox.RefreshTokens{Grace: grace, DetectReuse: true}, "1 ++ 1 3 4", "2 3 4 5", ""},
		"both of a race":     {sandbox.RefreshTokens{Grace: grace, DetectReuse: true}, "1 1 2 3", "2 3 4 5", ""},
		"after grace":        {sandbox.RefreshTokens{Grace: grace}, "1 +++ 1 2", "2 - 3", ""},
		"grace, not sliding": {sandbox.RefreshTokens{Grace: grace}, "1 ++ 1 ++ 1", "2 3 -", ""},
		"successor was used": {sandbox.RefreshTokens{Grace: grace, DetectReuse: true}, "1 2 1 3", "2 3 - -", sandbox.EndedRefreshReused},
		"the one before":     {sandbox.RefreshTokens{Grace: grace}, "1 2 2 1", "2 3 4 -", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := startApp(t, rotating(tc.rules))
			tokens := map[string]string{"1": a.redeem(a.consent()).RefreshToken}
			next, got := 2, []string{}
			for move := range strings.FieldsSeq(tc.play) {
				if strings.HasPrefix(move, "+") {
					a.clock.advance(time.Duration(len(move)) * 10 * time.Second)
					continue
				}
				answer, number := a.refresh(tokens[move]), "-"
				if answer.RefreshToken != "" {
					number = fmt.Sprint(next)
					tokens[number] = answer.RefreshToken
					next++
				} else if answer.Error != "invalid_grant" {
					t.Errorf("refused with %q", answer.Error)
				}
				got = append(got, number)
			}
			if s := strings.Join(got, " "); s != tc.want {
				t.Errorf("gave %s, want %s", s, tc.want)
			}
			if g := a.grant(); g.Ended != tc.ended {
				t.Errorf("ended %q", g.Ended)
			}
		})
	}
}

func TestRefreshTokenLifetimes(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	life := sandbox.Duration(10 * day)
	for name, tc := range map[string]struct {
		rules  sandbox.RefreshTokens
		left   int64 // of the refresh token after four days
		access string
		alive  bool // after the tenth
	}{
		"fixed":       {sandbox.RefreshTokens{Lifetime: life}, int64(6 * day / time.Second), "604800", false},
		"sliding":     {sandbox.RefreshTokens{Lifetime: life, Sliding: true}, int64(10 * day / time.Second), "604800", true},
		"ends access": {sandbox.RefreshTokens{Lifetime: life, EndsAccess: true}, int64(6 * day / time.Second), "518400", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := startApp(t, sandbox.CodeFlow{Lifetime: sandbox.Duration(7 * day), RefreshTokens: tc.rules})
			first := a.redeem(a.consent())
			if first.RefreshFor == nil || *first.RefreshFor != int64(10*day/time.Second) {
				t.Errorf("at first %v s", first.RefreshFor)
			}
			a.clock.advance(4 * day)
			again := a.refresh(first.RefreshToken)
			if again.RefreshFor == nil || *again.RefreshFor != tc.left || string(again.ExpiresIn) != tc.access {
				t.Errorf("after four days %v s, access token %s s", again.RefreshFor, again.ExpiresIn)
			}
			a.clock.advance(6*day - 1)
			if got := a.refresh(first.RefreshToken); got.AccessToken == "" {
				t.Errorf("just before the end: %q", got.Error)
			}
			a.clock.advance(1)
			if got := a.refresh(first.RefreshToken); (got.AccessToken != "") != tc.alive {
				t.Errorf("after ten days: %q", got.Error)
			}
		})
	}
}

// TestOffline: access_type=offline brings a refresh token once, and again when
// consent is forced.
func TestOffline(t *testing.T) {
	t.Parallel()
	a := startApp(t, sandbox.CodeFlow{RefreshTokens: sandbox.RefreshTokens{Issue: sandbox.IssueOffline}})
	given := func(pairs ...string) bool { return a.redeem(a.consent(pairs...)).RefreshToken != "" }
	for i, step := range []struct {
		pairs []string
		want  bool
	}{
		{nil, false},
		{[]string{"access_type", "online"}, false},
		{[]string{"access_type", "offline", "approval_prompt", "force"}, true},
		{[]string{"access_type", "offline"}, false},
		{[]string{"access_type", "offline", "prompt", "select_account consent"}, true},
	} {
		if got := given(step.pairs...); got != step.want {
			t.Errorf("step %d: %v", i, got)
		}
	}
	if err := a.Revoke("a", 0); err != nil || !given("access_type", "offline") {
		t.Error("no refresh token at the first consent after a revocation", err)
	}
	a.put(sandbox.CodeFlow{RefreshTokens: sandbox.RefreshTokens{Issue: sandbox.IssueNever}})
	if given("access_type", "offline") {
		t.Error("given where none is")
	}
}

// TestSettlementOfFaults: what an answer's fate does not change, and what was
// never done.
func TestSettlementOfFaults(t *testing.T) {
	t.Parallel()
	a := startApp(t, rotating(sandbox.RefreshTokens{DetectReuse: true}), func(c *sandbox.Client) {
		c.Script = []sandbox.Step{
			{Status: 503, Times: 1},
			{Fault: sandbox.FaultReset, Times: 1},
			{Times: 1},
			{Error: "slow_down", Times: 1},
			{Times: 1},
			{Fault: sandbox.FaultDropAfterCommit, Times: 1},
			{Times: 1},
		}
	})
	code := a.consent()
	form := func(pairs ...string) reply {
		f := credentials("a", "s")
		set(f, pairs)
		return a.form("/token", f)
	}
	redeem := func() reply {
		return form("grant_type", "authorization_code", "code", code, "redirect_uri", a.callback, "code_verifier", verifier)
	}
	refresh := func(token string) reply { return form("grant_type", "refresh_token", "refresh_token", token) }

	if r := redeem(); r.status != 503 {
		t.Errorf("scripted: %d", r.status)
	}
	if r := redeem(); r.err == nil {
		t.Errorf("reset: %d", r.status)
	}
	first := decode[flowAnswer](t, redeem()).RefreshToken
	if r := refresh(first); r.status != 400 {
		t.Errorf("scripted: %d", r.status)
	}
	second := decode[flowAnswer](t, refresh(first)).RefreshToken
	if r := refresh(second); r.err == nil {
		t.Errorf("dropped: %d", r.status)
	}
	if r := refresh(second); verdict(t, r) != "400 invalid_grant" {
		t.Errorf("after the drop: %d %s", r.status, r.body)
	}

	var got []string
	list, _ := a.Requests("a")
	for _, r := range list {
		got = append(got, fmt.Sprintf("%s %d: %d for %d, %s", r.Grant, r.GrantNumber, r.IssuedRefreshToken, r.RefreshToken, r.Outcome))
	}
	want := []string{
		"authorization_code 1: 0 for 0, failed", "authorization_code 1: 0 for 0, failed", "authorization_code 1: 1 for 0, issued",
		"refresh_token 1: 0 for 1, failed", "refresh_token 1: 2 for 1, issued", "refresh_token 1: 3 for 2, issued", "refresh_token 1: 0 for 2, refused",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	now := a.clock.Now()
	wantGrant := sandbox.Grant{
		Number: 1, Account: "account-1", Scopes: []string{"read", "write"}, AuthorizedAt: now, CodePresented: 3, Ended: sandbox.EndedRefreshReused,
		RefreshTokens: []sandbox.RefreshToken{
			{Number: 1, Presented: 2, ReplacedAt: now}, {Number: 2, Predecessor: 1, Presented: 2, ReplacedAt: now}, {Number: 3, Predecessor: 2},
		},
	}
	if diff := cmp.Diff(wantGrant, a.grant()); diff != "" {
		t.Error(diff)
	}
}

func TestFormAnswer(t *testing.T) {
	t.Parallel()
	a := startApp(t, sandbox.CodeFlow{}, func(c *sandbox.Client) {
		c.Default = sandbox.Step{Body: new("a={{access_token}}&r={{refresh_token}}"), ContentType: "application/x-www-form-urlencoded"}
	})
	f := credentials("a", "s")
	set(f, []string{"grant_type", "authorization_code", "code", a.consent(), "redirect_uri", a.callback, "code_verifier", verifier})
	got, err := url.ParseQuery(a.form("/token", f).body)
	if err != nil || !a.Introspect(got.Get("a")).Active {
		t.Fatalf("%v %v", got, err)
	}
	f = credentials("a", "s")
	set(f, []string{"grant_type", "refresh_token", "refresh_token", got.Get("r")})
	if r := a.form("/token", f); r.status != 200 {
		t.Errorf("refresh: %d %s", r.status, r.body)
	}
}

// TestGrantControls revokes and expires over HTTP.
func TestGrantControls(t *testing.T) {
	t.Parallel()
	a := startApp(t, sandbox.CodeFlow{RefreshTokens: sandbox.RefreshTokens{Rotation: sandbox.RotationRepeat}})
	var got [3]flowAnswer
	for i := range got {
		got[i] = a.redeem(a.consent())
	}
	post := func(path string, want int) {
		t.Helper()
		if r := a.control("POST", "/sandbox/clients/"+path, ""); r.status != want {
			t.Errorf("%s: %d %s", path, r.status, r.body)
		}
	}
	works := func(i int) string {
		refreshes := a.refresh(got[i].RefreshToken).RefreshToken == got[i].RefreshToken
		return fmt.Sprint(refreshes, a.Introspect(got[i].AccessToken).Active)
	}
	post("a/revoke?grant=1", 204)
	post("a/expire?grant=2", 204)
	if diff := cmp.Diff([]string{"false false", "false true", "true true"}, []string{works(0), works(1), works(2)}); diff != "" {
		t.Error(diff)
	}
	post("a/revoke", 204)
	if s := works(2); s != "false false" {
		t.Errorf("after all were revoked: %s", s)
	}
	post("a/revoke?grant=4", 404)
	post("a/revoke?grant=0", 400)
	post("a/expire?grant=x", 400)
	post("who/expire", 404)
	if err := a.Expire("a", 9); !errors.Is(err, sandbox.ErrUnknownGrant) {
		t.Error(err)
	}
	r := a.control("GET", "/sandbox/clients/a/grants", "")
	if list := decode[struct{ Grants []sandbox.Grant }](t, r); len(list.Grants) != 3 || list.Grants[0].Ended != sandbox.EndedRevoked {
		t.Errorf("list %s", r.body)
	}
	if strings.Contains(r.body, "sandbox-token-") {
		t.Error("the list tells tokens")
	}
	if r := a.control("GET", "/sandbox/clients/who/grants", ""); r.status != 404 {
		t.Errorf("grants of nobody: %d", r.status)
	}
}

// TestSettingsOfAReplacedClient: a new document keeps the grants, and its rules
// hold for them.
func TestSettingsOfAReplacedClient(t *testing.T) {
	t.Parallel()
	a := startApp(t, rotating(sandbox.RefreshTokens{}))
	first := a.redeem(a.consent()).RefreshToken
	second := a.refresh(first).RefreshToken
	a.put(rotating(sandbox.RefreshTokens{Grace: sandbox.Duration(time.Minute)}))
	if got := a.refresh(first); got.RefreshToken == "" {
		t.Errorf("under the new rules: %q", got.Error)
	}
	a.put(sandbox.CodeFlow{})
	if got := a.refresh(second); got.AccessToken == "" || got.RefreshToken != "" {
		t.Errorf("without rotation: %q", got.Error)
	}
	a.script()
	if got := a.refresh(second); got.Error != "unauthorized_client" {
		t.Errorf("without codes: %q", got.Error)
	}
}

// handlerApp is client "a" at a server without sockets.
func handlerApp(t testing.TB, client sandbox.Client) (s *sandbox.Server, consent func() url.Values, token func(pairs ...string) flowAnswer) {
	s = sandbox.New(sandbox.Config{})
	client.ID = "a"
	if err := s.Put(client); err != nil {
		t.Fatal(err)
	}
	back := client.CodeFlow.RedirectURIs[0]
	ask := "/authorize?" + url.Values{"response_type": {"code"}, "client_id": {"a"}, "redirect_uri": {back}, "access_type": {"offline"}}.Encode()
	consent = func() url.Values {
		rec := httptest.NewRecorder()
		s.Handler().ServeHTTP(rec, httptest.NewRequest("GET", ask, nil))
		u, err := url.Parse(rec.Header().Get("Location"))
		if err != nil {
			t.Fatal(err)
		}
		return u.Query()
	}
	token = func(pairs ...string) flowAnswer {
		form := url.Values{"client_id": {"a"}, "redirect_uri": {back}}
		set(form, pairs)
		r := httptest.NewRequestWithContext(context.Background(), "POST", "/token", strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		rec := httptest.NewRecorder()
		s.Handler().ServeHTTP(rec, r)
		var a flowAnswer
		if err := json.Unmarshal(rec.Body.Bytes(), &a); err != nil {
			t.Fatal(err)
		}
		return a
	}
	return s, consent, token
}

// TestYear is a year of LinkedIn in virtual time: a refresh a month, none of
// which moves the end.
func TestYear(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, consent, token := handlerApp(t, sandbox.LikeLinkedIn("a", "http://127.0.0.1/back"))
		began := time.Now()
		refresh := token("grant_type", "authorization_code", "code", consent().Get("code")).RefreshToken
		for range 12 {
			time.Sleep(30 * 24 * time.Hour)
			got := token("grant_type", "refresh_token", "refresh_token", refresh)
			left := 365*24*time.Hour - time.Since(began)
			access := min(left, 60*24*time.Hour)
			if got.RefreshFor == nil || *got.RefreshFor != int64(left.Seconds()) || string(got.ExpiresIn) != fmt.Sprint(int64(access.Seconds())) {
				t.Fatalf("after %v: %s s, and %v s", time.Since(began), got.ExpiresIn, got.RefreshFor)
			}
		}
		time.Sleep(5 * 24 * time.Hour)
		if got := token("grant_type", "refresh_token", "refresh_token", refresh); got.Error != "invalid_grant" {
			t.Errorf("after a year: %q", got.Error)
		}
	})
}

// TestBounds: the oldest grants and refresh tokens are forgotten.
func TestBounds(t *testing.T) {
	t.Parallel()
	flow := rotating(sandbox.RefreshTokens{})
	flow.RedirectURIs = []string{"http://127.0.0.1/back"}
	s, consent, token := handlerApp(t, sandbox.Client{CodeFlow: &flow})
	first := token("grant_type", "authorization_code", "code", consent().Get("code"))
	refresh := first.RefreshToken
	for range 1500 {
		refresh = token("grant_type", "refresh_token", "refresh_token", refresh).RefreshToken
	}
	list, err := s.Grants("a")
	if err != nil || len(list) != 1 || len(list[0].RefreshTokens) != 1024 || list[0].RefreshTokens[1023].Number != 1501 {
		t.Fatalf("%d grants, %v", len(list), err)
	}
	for range 1024 {
		consent()
	}
	if list, _ := s.Grants("a"); len(list) != 1024 || list[0].Number != 2 {
		t.Errorf("%d grants", len(list))
	}
	if s.Introspect(first.AccessToken).Active || token("grant_type", "refresh_token", "refresh_token", refresh).Error != "invalid_grant" {
		t.Error("what is forgotten works")
	}
}
