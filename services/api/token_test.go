package api_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/pkg/state/statetest"
	"github.com/rekindle-dev/rekindle/services/api"
	"github.com/rekindle-dev/rekindle/services/api/apitest"
	"github.com/rekindle-dev/rekindle/services/api/auth"
)

// owner is a caller with these rights.
func owner(rights ...auth.Right) api.Caller {
	who := apitest.Caller()
	who.Rights = rights
	return who
}

func makeBearer(t testing.TB, s *api.Service, who api.Caller, attributes string) (*api.Token, string) {
	t.Helper()
	made, text, err := s.CreateToken(t.Context(), who, document(t, `{"data":{"attributes":{%s}}}`, attributes))
	if err != nil {
		t.Fatal(err)
	}
	return made, string(text.Reveal())
}

// refusalOf returns why a token was refused, "" for another error.
func refusalOf(err error) string {
	if refused, ok := errors.AsType[*auth.RefusedError](err); ok {
		return refused.Why
	}
	return ""
}

func TestTokensAreKeptAsHashes(t *testing.T) {
	t.Parallel()
	st := statetest.New()
	p := apitest.Start(t, st, api.Config{})
	made, text := makeBearer(t, p.Service, owner(auth.Develop), `"name":"ci","rights":["develop"]`)
	apitest.Watch(t, st, ">", func(records map[string][]byte) bool {
		for key, body := range records {
			if bytes.Contains(body, []byte(text[40:])) {
				t.Errorf("%s holds the token", key)
			}
		}
		return records[state.TokenKey(made.ID)] != nil
	})
	got, err := p.Service.Verify(t.Context(), text)
	want := auth.Principal{
		Org: api.DefaultOrg, Email: "token-" + made.ID + "@localhost", DisplayName: "ci",
		Rights: auth.Rights{auth.Develop}, Key: made.ID,
	}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("the principal, %v (-want +got):\n%s", err, diff)
	}
	if !strings.Contains(text, made.ID[2:]) {
		t.Error("the token does not tell its id")
	}
	if strings.Contains(p.Log.String(), text[40:]) {
		t.Error("the log has the token")
	}
}

func TestTokensThatAreNone(t *testing.T) {
	t.Parallel()
	p := apitest.Start(t, statetest.New(), api.Config{})
	_, text := makeBearer(t, p.Service, owner(), `"name":"ci","rights":[]`)
	other, _ := makeBearer(t, p.Service, owner(), `"name":"other","rights":[]`)
	resummed := func(body string) string { return body + api.Checksum(body) }
	body := text[:len(text)-8]
	at := 50 // of two letters that differ
	for body[at] == body[at+1] {
		at++
	}
	const mistyped = "is not whole: its checksum is wrong, so something of it is missing or mistyped"
	for name, tt := range map[string]struct{ text, why string }{
		"empty":              {"", ""},
		"of another kind":    {"eyJhbGciOiJub25lIn0.e30.", ""},
		"the prefix":         {"rkd_", mistyped},
		"one letter less":    {text[:len(text)-1], mistyped},
		"one letter more":    {text + "0", mistyped},
		"two letters turned": {body[:at] + string(body[at+1]) + string(body[at]) + body[at+2:] + text[len(text)-8:], mistyped},
		"upper case":         {"rkd_" + strings.ToUpper(text[4:]), mistyped},
		"another's id":       {resummed("rkd_" + other.ID[2:] + body[36:]), ""},
		"nobody's id":        {resummed("rkd_" + strings.Repeat("0", 32) + body[36:]), ""},
		"no id":              {resummed("rkd_" + strings.Repeat(">", 32) + body[36:]), mistyped},
		"another secret":     {resummed(body[:len(body)-1] + string('0'+(body[len(body)-1]-'0'+1)%10)), ""},
	} {
		if text == tt.text {
			t.Fatalf("%s: is the token", name)
		}
		_, err := p.Service.Verify(t.Context(), tt.text)
		if why := refusalOf(err); why != tt.why || why == "" && !errors.Is(err, auth.ErrUnknownToken) {
			t.Errorf("%s: got %v, want %q", name, err, tt.why)
		}
	}
	if _, err := p.Service.Verify(t.Context(), text); err != nil {
		t.Errorf("the token itself: %v", err)
	}
}

// TestNobodyGivesMoreThanTheyHave: not in rights, and not in time.
func TestNobodyGivesMoreThanTheyHave(t *testing.T) {
	t.Parallel()
	p := apitest.Start(t, statetest.New(), api.Config{})
	end := time.Now().Add(time.Hour).UTC().Truncate(time.Millisecond)
	bounded := owner(auth.Develop, auth.ManageTokens)
	bounded.Until = end
	create := func(who api.Caller, attributes string) (*api.Token, error) {
		made, _, err := p.Service.CreateToken(t.Context(), who, document(t, `{"data":{"attributes":{%s}}}`, attributes))
		return made, err
	}
	for _, right := range auth.AllRights() {
		_, err := create(bounded, fmt.Sprintf(`"name":"x","rights":[%q]`, right))
		if held := bounded.Rights.Have(right); held != (err == nil) || !held && code(err) != api.InvalidToken {
			t.Errorf("%s: %v", right, err)
		}
	}
	made, err := create(bounded, `"name":"x","rights":[]`)
	if err != nil || !made.ExpiresAt.Equal(end) {
		t.Errorf("without an end of its own it ends at %v (%v), want %v", made, err, end)
	}
	if _, err := create(bounded, fmt.Sprintf(`"name":"x","rights":[],"expires_at":%q`, end.Add(time.Second).Format(time.RFC3339))); code(err) != api.InvalidToken {
		t.Errorf("an end after that of the token that makes it: %v", err)
	}
	if _, err := create(bounded, fmt.Sprintf(`"name":"x","rights":[],"expires_at":%q`, end.Add(-time.Minute).Format(time.RFC3339))); err != nil {
		t.Errorf("an end before it: %v", err)
	}
}

func TestTokensOfOthers(t *testing.T) {
	t.Parallel()
	p := apitest.Start(t, statetest.New(), api.Config{})
	made, _ := makeBearer(t, p.Service, owner(), `"name":"ci","rights":[]`)
	other := owner(auth.AllRights()...)
	other.Org = "ELSE@WhereOrg"
	revoke := document(t, `{"data":{"meta":{"action":"revoke"}}}`)
	_, getErr := p.Service.Token(t.Context(), other, made.ID)
	_, changeErr := p.Service.ChangeToken(t.Context(), other, made.ID, revoke)
	deleteErr := p.Service.DeleteToken(t.Context(), other, made.ID)
	for what, err := range map[string]error{"get": getErr, "change": changeErr, "delete": deleteErr} {
		if !errors.Is(err, api.ErrNotFound) {
			t.Errorf("%s: %v, want ErrNotFound", what, err)
		}
	}
	if page := p.Service.Tokens(other, everything[*api.Token]()); page.Total != 0 {
		t.Errorf("%d tokens are listed", page.Total)
	}
}

func TestTooManyTokens(t *testing.T) {
	t.Parallel()
	p := apitest.Start(t, statetest.New(), api.Config{})
	first, _ := makeBearer(t, p.Service, owner(), `"name":"ci","rights":[]`)
	for range api.MaxTokens - 1 {
		makeBearer(t, p.Service, owner(), `"name":"ci","rights":[]`)
	}
	another := document(t, `{"data":{"attributes":{"name":"ci","rights":[]}}}`)
	if _, _, err := p.Service.CreateToken(t.Context(), owner(), another); code(err) != api.Conflict {
		t.Errorf("one too many: %v", err)
	}
	if err := p.Service.DeleteToken(t.Context(), owner(), first.ID); err != nil {
		t.Fatal(err)
	}
	makeBearer(t, p.Service, owner(), `"name":"ci","rights":[]`)
}

// TestRevokedEverywhere: what one process makes the other takes at once, and what
// one has revoked the other refuses as soon as it has seen a later write.
func TestRevokedEverywhere(t *testing.T) {
	t.Parallel()
	st := statetest.New()
	first, second := apitest.Start(t, st, api.Config{}), apitest.Start(t, st, api.Config{})
	for range 20 {
		made, text := makeBearer(t, first.Service, owner(), `"name":"ci","rights":[]`)
		if _, err := second.Service.Verify(t.Context(), text); err != nil {
			t.Fatalf("the other process: %v", err)
		}
		if _, err := first.Service.ChangeToken(t.Context(), owner(), made.ID, document(t, `{"data":{"meta":{"action":"revoke"}}}`)); err != nil {
			t.Fatal(err)
		}
		if _, err := first.Service.Verify(t.Context(), text); refusalOf(err) != "is revoked" {
			t.Errorf("the process that revoked it: %v", err)
		}
		makeBearer(t, second.Service, owner(), `"name":"later","rights":[]`)
		if _, err := second.Service.Verify(t.Context(), text); refusalOf(err) != "is revoked" {
			t.Errorf("the other process: %v", err)
		}
	}
}

func TestTokensExpire(t *testing.T) {
	t.Parallel()
	var now atomic.Value // of the processes, and of this test
	now.Store(time.Date(2027, 3, 1, 12, 0, 0, 0, time.UTC))
	p := apitest.StartWith(t, api.Config{}, api.Deps{State: statetest.New(), Now: func() time.Time { return now.Load().(time.Time) }})
	made, text := makeBearer(t, p.Service, owner(), `"name":"ci","rights":[],"expires_at":"2027-03-02T14:00:00+02:00"`)
	for after, want := range map[time.Duration]string{24*time.Hour - time.Millisecond: "", 24 * time.Hour: "is expired"} {
		now.Store(made.CreatedAt.Add(after))
		if _, err := p.Service.Verify(t.Context(), text); refusalOf(err) != want || want == "" && err != nil {
			t.Errorf("after %v: %v, want %q", after, err, want)
		}
	}
}

// TestUsesAreNoted uses tokens all the time in two processes: the records say when,
// and are written about once a minute.
func TestUsesAreNoted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := statetest.NewFaulty(statetest.New()) // it counts
		first, second := apitest.Start(t, st, api.Config{}), apitest.Start(t, st, api.Config{})
		made, text := makeBearer(t, first.Service, owner(), `"name":"ci","rights":[]`)
		before, began := len(st.Commits()), time.Now()
		for time.Since(began) < 10*time.Minute {
			for _, p := range []*apitest.Process{first, second} {
				if _, err := p.Service.Verify(t.Context(), text); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(time.Second)
			synctest.Wait()
		}
		if n := len(st.Commits()) - before; n < 5 || n > 11 {
			t.Errorf("%d writes in ten minutes of use", n)
		}
		noted, err := second.Service.Token(t.Context(), owner(), made.ID)
		if err != nil || time.Since(noted.LastUsedAt) > 2*time.Minute {
			t.Errorf("last used at %v (%v), now is %v", noted.LastUsedAt, err, time.Now())
		}
		first.Stop()
		second.Stop()
	})
}

func FuzzBearer(f *testing.F) {
	f.Add("rkd_0123456789ab4cde8f0123456789abcd_"+strings.Repeat("0", 64)+"00000000", []byte(`{"id":"AT1","rights":["develop"],"hash":"AA=="}`))
	f.Add("rkd_", []byte(`{"rights":7}`))
	f.Fuzz(func(t *testing.T, text string, record []byte) {
		if id, ours, whole := api.BearerOf(text); whole && (!ours || !strings.Contains(text, id[2:])) {
			t.Errorf("%q is taken for the token %s", text, id)
		}
		if found := new(api.Token); json.Unmarshal(record, found) == nil {
			_ = fmt.Sprint(found.Status(time.Now()), slog.Any("token", found))
		}
	})
}
