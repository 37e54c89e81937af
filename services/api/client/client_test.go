package client_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/rekindle-dev/rekindle/services/api/client"
)

const jsonAPI = "application/vnd.api+json"

// answering returns a client of a server that answers everything alike.
func answering(t *testing.T, status int, mediaType, body string) (*client.Client, string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if mediaType != "" {
			w.Header().Set("Content-Type", mediaType)
		}
		w.WriteHeader(status)
		if status != http.StatusNoContent {
			_, _ = io.WriteString(w, body)
		}
	}))
	t.Cleanup(server.Close)
	return client.New(server.URL+"/", "token"), server.URL
}

// TestForeign: what no Rekindle server says is not taken for one's answer,
// whatever its status, and is not quoted.
func TestForeign(t *testing.T) {
	t.Parallel()
	const page = "<html>canary</html>"
	for name, tt := range map[string]struct {
		status          int
		mediaType, body string
		reads, deletes  string // the error's beginning, after the URL; empty for none
	}{
		"no such path":       {404, "text/plain; charset=utf-8", "404 page not found\n", " does not look", " does not look"},
		"a page":             {200, "text/html", page, " does not look", " does not look"},
		"a page of no fault": {404, "text/html", page, " does not look", " does not look"},
		"a sign-in":          {401, "text/html", page, " does not look", " does not look"},
		"somebody's JSON":    {200, "application/json", `{"data":[]}`, " does not look", " does not look"},
		"somebody's error":   {404, "application/json", `{"errors":["canary"]}`, " does not look", " does not look"},
		"not JSON at all":    {200, jsonAPI, page, " does not look", " does not look"},
		"an empty error":     {404, jsonAPI, `{"errors":[]}`, " does not look", " does not look"},
		"nothing":            {204, "", "", " does not look", ""},
		"a proxy's error":    {502, "text/html", page, "the server answered 502 Bad Gateway", "the server answered 502 Bad Gateway"},
		"an error":           {404, jsonAPI + ";revision=1", `{"errors":[{"detail":"gone"}]}`, "gone", "gone"},
		"an empty list":      {200, jsonAPI, `{"data":[]}`, "", " does not look"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, url := answering(t, tt.status, tt.mediaType, tt.body)
			_, err := c.Companies(t.Context())
			checkError(t, err, url, tt.reads)
			checkError(t, c.DeleteSecret(t.Context(), "SE1"), url, tt.deletes)
		})
	}
}

func checkError(t *testing.T, err error, url, want string) {
	t.Helper()
	if want == "" || err == nil {
		if want != "" || err != nil {
			t.Errorf("the error is %v, want %q", err, want)
		}
		return
	}
	_, foreign := errors.AsType[*client.ForeignError](err)
	if strings.HasPrefix(want, " ") {
		want = url + want
	}
	if !strings.HasPrefix(err.Error(), want) || foreign != strings.HasPrefix(want, url) {
		t.Errorf("the error is %T %v, want %q", err, err, want)
	}
	if strings.Contains(err.Error(), "canary") {
		t.Errorf("the error quotes the answer: %v", err)
	}
}

// TestAcceptNamesTheConsent: to the millisecond, as the API shows it.
func TestAcceptNamesTheConsent(t *testing.T) {
	t.Parallel()
	var asked string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		asked = string(body)
		w.Header().Set("Content-Type", jsonAPI)
		_, _ = io.WriteString(w, `{"data":{"id":"SE1","type":"secrets"}}`)
	}))
	t.Cleanup(server.Close)
	held := time.Date(2026, time.May, 1, 12, 0, 0, 123e6, time.UTC)
	if _, err := client.New(server.URL, "token").Accept(t.Context(), "SE1", "oauth2-google", held); err != nil {
		t.Fatal(err)
	}
	const want = `"meta":{"action":"accept","authorization_held_at":"2026-05-01T12:00:00.123Z"}`
	if !strings.Contains(asked, want) {
		t.Errorf("asked with %s, want %s in it", asked, want)
	}
}
