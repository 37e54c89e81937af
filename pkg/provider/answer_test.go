package provider

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// jwt returns an access token with these claims.
func jwt(claims string) string {
	return "e30." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".c2ln"
}

func TestReadExpiry(t *testing.T) {
	t.Parallel()
	const at = 1893456000 // 2030-01-01
	moment := time.Unix(at, 0).UTC()
	tests := []struct {
		name     string
		rule     Expiry
		members  string
		lifetime time.Duration
		at       time.Time
	}{
		{"a number", Expiry{}, `"expires_in":3600`, time.Hour, time.Time{}},
		{"a text", Expiry{}, `"expires_in":"3600"`, time.Hour, time.Time{}},
		{"a fraction", Expiry{}, `"expires_in":3599.9`, 3599 * time.Second, time.Time{}},
		{"an exponent", Expiry{}, `"expires_in":3.6e3`, time.Hour, time.Time{}},
		{"none", Expiry{}, `"x":1`, 0, time.Time{}},
		{"null", Expiry{}, `"expires_in":null`, 0, time.Time{}},
		{"zero", Expiry{}, `"expires_in":0`, 0, time.Time{}},
		{"negative", Expiry{}, `"expires_in":-1`, 0, time.Time{}},
		{"less than a second", Expiry{}, `"expires_in":0.5`, 0, time.Time{}},
		{"no number", Expiry{}, `"expires_in":"soon"`, 0, time.Time{}},
		{"hexadecimal", Expiry{}, `"expires_in":"0x10"`, 0, time.Time{}},
		{"not a number", Expiry{}, `"expires_in":"NaN"`, 0, time.Time{}},
		{"infinite", Expiry{}, `"expires_in":"1e999"`, 0, time.Time{}},
		{"an object", Expiry{}, `"expires_in":{}`, 0, time.Time{}},
		{"twice", Expiry{}, `"expires_in":1,"expires_in":2`, 0, time.Time{}},
		{"beyond belief", Expiry{}, `"expires_in":1e30`, maxLifetime, time.Time{}},
		{"milliseconds", Expiry{Unit: UnitMilliseconds}, `"expires_in":3600000`, time.Hour, time.Time{}},
		{"milliseconds, taken for seconds", Expiry{}, `"expires_in":3600000000`, maxLifetime, time.Time{}},
		{"as text", Expiry{Unit: UnitText}, `"expires_in":"1h"`, time.Hour, time.Time{}},
		{"as text, backwards", Expiry{Unit: UnitText}, `"expires_in":"-1h"`, 0, time.Time{}},
		{"another name", Expiry{Field: "expires"}, `"expires":60,"expires_in":1`, time.Minute, time.Time{}},
		{"another place", Expiry{Field: "life.left"}, `"life":{"left":60}`, time.Minute, time.Time{}},
		{"a moment in seconds", Expiry{At: "expires_at"}, fmt.Sprintf(`"expires_at":%d`, at), 0, moment},
		{"a moment in milliseconds", Expiry{At: "expires_at"}, fmt.Sprintf(`"expires_at":"%d000"`, at), 0, moment},
		{"a moment by RFC 3339", Expiry{At: "expires_at"}, `"expires_at":"2030-01-01T02:00:00+02:00"`, 0, moment},
		{"no moment", Expiry{At: "expires_at"}, `"expires_at":"tomorrow"`, 0, time.Time{}},
		{"a moment before all", Expiry{At: "expires_at"}, `"expires_at":-5`, 0, time.Time{}},
		{"a moment beyond all", Expiry{At: "expires_at"}, `"expires_at":1e18`, 0, time.Time{}},
		{"both", Expiry{At: "expires_at"}, fmt.Sprintf(`"expires_at":%d,"expires_in":60`, at), time.Minute, moment},
		{"fixed", Expiry{Fixed: time.Hour}, `"expires_in":60`, time.Hour, time.Time{}},
		{"default is not for an answer", Expiry{Default: time.Hour}, `"x":1`, 0, time.Time{}},
	}
	for _, tt := range tests {
		d := valid()
		d.Expiry = tt.rule
		f, err := d.Read("", []byte(`{"access_token":"a",`+tt.members+`}`))
		if err != nil || f.Lifetime != tt.lifetime || !f.ExpiresAt.Equal(tt.at) {
			t.Errorf("%s: %v, %v, %v; want %v, %v", tt.name, f.Lifetime, f.ExpiresAt, err, tt.lifetime, tt.at)
		}
	}
}

func TestReadJWT(t *testing.T) {
	t.Parallel()
	d := valid()
	d.Expiry.At = "expires_at"
	exp := time.Unix(1893456000, 0).UTC()
	tests := []struct {
		name, token string
		want        time.Time
	}{
		{"sooner than the answer says", jwt(`{"exp":1893456000}`), exp},
		{"later", jwt(`{"exp":1999999999}`), exp.Add(time.Hour)},
		{"without", jwt(`{}`), exp.Add(time.Hour)},
		{"no claims", "a.b.c", exp.Add(time.Hour)},
		{"opaque", "a", exp.Add(time.Hour)},
	}
	for _, tt := range tests {
		body := fmt.Sprintf(`{"access_token":%q,"expires_at":%d}`, tt.token, exp.Add(time.Hour).Unix())
		if f, err := d.Read("", []byte(body)); err != nil || !f.ExpiresAt.Equal(tt.want) {
			t.Errorf("%s: %v, %v", tt.name, f.ExpiresAt, err)
		}
	}
	d.Expiry = Expiry{Endless: true}
	if f, _ := d.Read("", []byte(`{"access_token":"a"}`)); !f.Endless {
		t.Error("a token without lifetime ends, where none does")
	}
	if f, _ := d.Read("", []byte(`{"access_token":"a","expires_in":60}`)); f.Endless {
		t.Error("a token with a lifetime is endless")
	}
}

func TestReadForms(t *testing.T) {
	t.Parallel()
	d, _ := Defaults().Get("github")
	got, err := d.Read("application/x-www-form-urlencoded; charset=utf-8",
		[]byte("access_token=ghu_1&expires_in=28800&refresh_token=ghr_1&refresh_token_expires_in=15897600&scope=a%2Cb&token_type=bearer"))
	want := reading{AccessToken: "ghu_1", RefreshToken: "ghr_1", TokenType: "bearer", Lifetime: "8h", RefreshLifetime: "184d", Scopes: []string{"a", "b"}}
	if diff := cmp.Diff(want, read(got)); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	_, err = d.Read("application/x-www-form-urlencoded", []byte("error=bad_verification_code&error_description=x"))
	refused, ok := errors.AsType[*RefusedError](err)
	if !ok || refused.Meaning != NeedsHuman || refused.Code != "bad_verification_code" {
		t.Errorf("a refusal with status 200: %v", err)
	}
}

func TestReadMalformed(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, media, body, want string }{
		{"a page", "text/html", "<html>", "is neither JSON nor a form"},
		{"nothing", "application/json", "", "is neither JSON nor a form"},
		{"two values", "application/json", "{}{}", "is neither JSON nor a form"},
		{"a list", "application/json", "[]", "is JSON, but no object"},
		{"null", "application/json", "null", "is JSON, but no object"},
		{"a bad form", "application/x-www-form-urlencoded", "%zz", "is a form that cannot be read"},
		{"too long", "application/json", `{"x":"` + strings.Repeat("a", maxAnswer) + `"}`, "is too long"},
		{"no token", "application/json", `{"token":"a"}`, "has no access_token"},
		{"an empty token", "application/json", `{"access_token":""}`, "has no access_token"},
		{"a number", "application/json", `{"access_token":1}`, "has a token that is not one text: access_token"},
		{"two tokens", "application/json", `{"access_token":"a","access_token":"b"}`, "has a token that is not one text: access_token"},
		{"two tokens in a form", "application/x-www-form-urlencoded", `access_token=a&access_token=b`, "has a token that is not one text: access_token"},
		{"a line break", "application/json", `{"access_token":"a\r\nb"}`, "has a token with characters that no header may hold: access_token"},
		{"not ASCII", "application/json", `{"access_token":"a","refresh_token":"é"}`, "has a token with characters that no header may hold: refresh_token"},
		{"a giant token", "application/json", `{"access_token":"` + strings.Repeat("a", maxToken+1) + `"}`, "has a token that is too long: access_token"},
		{"no object where one should be", "application/json", `{"data":1,"access_token":"a"}`, "has no object where its tokens should be"},
		{"an object without a token", "application/json", `{"data":{},"access_token":"a"}`, "has no access_token"},
	}
	for _, tt := range tests {
		d := valid()
		d.Answer.Token = "data"
		_, err := d.Read(tt.media, []byte(tt.body))
		if m, ok := errors.AsType[*MalformedError](err); !ok || m.Problem != tt.want {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}

func TestReadParts(t *testing.T) {
	t.Parallel()
	d := valid()
	d.Answer = Answer{Token: "data.token", Scopes: "granted", Keep: []string{"api.domain", "n", "long", "line", "gone"}}
	d.Subject = Subject{PlaceIDToken, "sub", ""}
	body := fmt.Sprintf(`{"id_token":%q,"granted":["read",1,"b c","write"],"api":{"domain":"eu"},"n":62515,"line":"a\nb","long":%q,`+
		`"data":{"token":{"access_token":"a","refresh_token":"r","refresh_token_expires_in":"60"}}}`,
		jwt(`{"sub":"me"}`), strings.Repeat("x", maxMember+1))
	got, err := d.Read("application/json", []byte(body))
	want := reading{
		AccessToken: "a", RefreshToken: "r", IDToken: true, RefreshLifetime: "1m", Scopes: []string{"read", "write"},
		Subject: "me", Extra: map[string]string{"api.domain": "eu", "n": "62515"},
	}
	if diff := cmp.Diff(want, read(got)); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	d.Subject = Subject{PlaceCallback, "shop", ""}
	got, _ = d.Read("application/json", []byte(`{"access_token":"a"}`))
	if got.Subject != "" || got.Scopes != nil || got.Extra != nil {
		t.Errorf("read what is not there: subject %q, scopes %v, extra %v", got.Subject, got.Scopes, got.Extra)
	}
}

func TestScopes(t *testing.T) {
	t.Parallel()
	for s, want := range map[Separator]string{"": "a b", SeparatorSpace: "a b", SeparatorComma: "a,b", SeparatorPlus: "a+b"} {
		if got := s.Join([]string{"a", "b"}); got != want {
			t.Errorf("%q joins to %q", s, got)
		}
		if diff := cmp.Diff([]string{"a", "b"}, s.split(want)); diff != "" {
			t.Errorf("%q:\n%s", s, diff)
		}
	}
}

func TestFieldsCannotPrint(t *testing.T) {
	t.Parallel()
	f := Fields{AccessToken: "s3cret", RefreshToken: "s3cret", Extra: map[string]string{"s3cret": "s3cret"}}
	var logged strings.Builder
	slog.New(slog.NewJSONHandler(&logged, nil)).Info("x", "fields", f, "pointer", &f)
	marshalled, err := json.Marshal(map[string]any{"a": f, "b": &f, "c": []Fields{f}})
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		fmt.Sprint(f), fmt.Sprintf("%v %+v %#v %s %q %x %d", f, f, f, f, f, f, f), fmt.Sprintf("%v %+v %#v", &f, &f, &f),
		fmt.Sprintf("%+v", struct{ F Fields }{f}), logged.String(), string(marshalled),
	} {
		if strings.Contains(text, "s3cret") || strings.Contains(text, fmt.Sprintf("%x", "s3cret")) {
			t.Errorf("shows a token: %s", text)
		}
	}
}

// FuzzRead feeds every descriptor with anything: it must neither panic nor accept
// a token that no header may hold.
func FuzzRead(f *testing.F) {
	paths, err := filepath.Glob("testdata/*.json")
	if err != nil || len(paths) == 0 {
		f.Fatal(paths, err)
	}
	for _, path := range paths {
		body, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		var s shape
		if err := json.Unmarshal(body, &s); err != nil {
			f.Fatal(err)
		}
		f.Add("application/json", []byte(s.Code.Answer))
		f.Add("application/json", []byte(s.Refresh.Answer))
		for _, r := range s.Refused {
			f.Add("application/json", []byte(r.Answer))
		}
	}
	f.Add("application/x-www-form-urlencoded", []byte("access_token=a&expires_in=1"))
	f.Add("application/json", []byte(strings.Repeat("[", 20000)))
	f.Add("application/json", []byte(`{"a":`+strings.Repeat(`{"a":`, 5000)))
	f.Add("text/html", []byte("<html>"))
	set := Defaults()
	var all []Descriptor
	for _, name := range set.Names() {
		d, _ := set.Get(name)
		all = append(all, d)
	}
	f.Fuzz(func(t *testing.T, media string, body []byte) {
		for _, d := range all {
			got, err := d.Read(media, body)
			d.Refused(media, body)
			if (got.AccessToken == "") != (err != nil) {
				t.Errorf("%s: access token of %d bytes, %v", d.Name, len(got.AccessToken), err)
			}
			if got.Lifetime < 0 || got.Lifetime > maxLifetime || got.RefreshLifetime < 0 {
				t.Errorf("%s: access token of %d bytes, %v, %v", d.Name, len(got.AccessToken), got.Lifetime, got.RefreshLifetime)
			}
			for _, token := range []string{got.AccessToken, got.RefreshToken, got.IDToken} {
				if len(token) > maxToken || strings.ContainsFunc(token, notVisible) {
					t.Errorf("%s: a token that no header may hold", d.Name)
				}
			}
		}
	})
}

// A refresh token that came is not lost for what else is wrong with an answer: the
// one that was sent may be spent.
func TestReadFlawed(t *testing.T) {
	t.Parallel()
	const form = "application/x-www-form-urlencoded"
	for name, tt := range map[string]struct{ media, body, want string }{
		"no access token":         {"", `{"refresh_token":"r"}`, "has no access_token"},
		"a number":                {"", `{"access_token":1,"refresh_token":"r"}`, "has a token that is not one text: access_token"},
		"two access tokens":       {"", `{"access_token":"a","refresh_token":"r","access_token":"a"}`, "has a token that is not one text: access_token"},
		"a giant access token":    {"", `{"access_token":"` + strings.Repeat("a", maxToken+1) + `","refresh_token":"r"}`, "has a token that is too long: access_token"},
		"not ASCII":               {"", `{"access_token":"é","refresh_token":"r"}`, "has a token with characters that no header may hold: access_token"},
		"a page behind it":        {"", `{"access_token":"a","refresh_token":"r"}<!-- x -->`, "is neither JSON nor a form"},
		"broken off":              {"", `{"refresh_token":"r","access_token":"a`, "is neither JSON nor a form"},
		"broken off in a list":    {"", `{"refresh_token":"r","a":[{},tru`, "is neither JSON nor a form"},
		"broken off in an object": {"", `{"refresh_token":"r","a":{"b":`, "is neither JSON nor a form"},
		"broken off at a name":    {"", `{"refresh_token":"r","acc`, "is neither JSON nor a form"},
		"a form":                  {form, "refresh_token=r", "has no access_token"},
	} {
		f, err := valid().Read(tt.media, []byte(tt.body))
		if m, ok := errors.AsType[*MalformedError](err); !ok || m.Problem != tt.want || f.RefreshToken != "r" || f.AccessToken != "" {
			t.Errorf("%s: a refresh token of %d bytes, %v, want %q", name, len(f.RefreshToken), err, tt.want)
		}
	}
	for name, body := range map[string]string{
		"broken off in it": `{"access_token":"a","refresh_token":"r`,
		"flawed itself":    `{"access_token":"a","refresh_token":"é"}`,
		"twice":            `{"access_token":"a","refresh_token":"r","refresh_token":"s"}`,
		"a refusal":        `{"error":"invalid_grant","refresh_token":"r"}`,
	} {
		if f, err := valid().Read("", []byte(body)); err == nil || f.RefreshToken != "" || f.AccessToken != "" {
			t.Errorf("%s: a refresh token of %d bytes, %v", name, len(f.RefreshToken), err)
		}
	}
}

// What leaves no doubt about the tokens is read.
func TestReadLeniently(t *testing.T) {
	t.Parallel()
	const form = "application/x-www-form-urlencoded"
	for name, tt := range map[string]struct{ media, body string }{
		"a byte order mark":        {"", "\ufeff" + `{"access_token":"a","refresh_token":"r"}`},
		"JSON called a form":       {form, " \n" + `{"access_token":"a","refresh_token":"r"}`},
		"JSON called a page":       {"text/html", `{"access_token":"a","refresh_token":"r"}`},
		"an id_token of objects":   {"", `{"access_token":"a","refresh_token":"r","id_token":{"sub":"x"}}`},
		"an empty error":           {"", `{"access_token":"a","refresh_token":"r","error":""}`},
		"an error of zero":         {"", `{"access_token":"a","refresh_token":"r","error":"0"}`},
		"a list of no errors":      {"", `{"access_token":"a","refresh_token":"r","error":[ ]}`},
		"an error without members": {"", `{"access_token":"a","refresh_token":"r","error":{ }}`},
	} {
		f, err := valid().Read(tt.media, []byte(tt.body))
		if err != nil || f.AccessToken != "a" || f.RefreshToken != "r" || f.IDToken != "" {
			t.Errorf("%s: %v", name, err)
		}
	}
}
