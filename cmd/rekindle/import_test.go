package main

import (
	"encoding/json"
	"net/http"
	"net/url"

	"github.com/rogpeppe/go-internal/testscript"
)

// cmdConsentElsewhere has a person consent to an app at the sandbox, as another
// system has it done, and sets a variable to the refresh token that comes of it:
// "consent-elsewhere google-app OLD".
func cmdConsentElsewhere(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg)
	const callback = "http://elsewhere.test/callback"
	at := fleetOf(ts).sandbox
	browser := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := browser.Get(at + "/authorize?" + url.Values{
		"response_type": {"code"}, "client_id": {args[0]}, "redirect_uri": {callback}, "state": {"s"}, "access_type": {"offline"},
	}.Encode())
	ts.Check(err)
	ts.Check(resp.Body.Close())
	back, err := resp.Location()
	ts.Check(err)
	resp, err = http.PostForm(at+"/token", url.Values{
		"grant_type": {"authorization_code"}, "code": {back.Query().Get("code")}, "redirect_uri": {callback},
		"client_id": {args[0]}, "client_secret": {"canary-app-secret"},
	})
	ts.Check(err)
	defer resp.Body.Close()
	var answer struct {
		RefreshToken string `json:"refresh_token"`
	}
	ts.Check(json.NewDecoder(resp.Body).Decode(&answer))
	if answer.RefreshToken == "" {
		ts.Fatalf("the sandbox gave no refresh token: %s, back to %v", resp.Status, back)
	}
	ts.Setenv(args[1], answer.RefreshToken)
}
