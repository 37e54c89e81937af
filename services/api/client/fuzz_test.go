package client_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/rekindle-dev/rekindle/services/api/client"
)

// FuzzAnswer: whatever stands where a server was looked for, what it answers is
// read or is an error.
func FuzzAnswer(f *testing.F) {
	const media = "application/vnd.api+json"
	for _, body := range []string{
		`{"data":{"id":"SE1","attributes":{"name":"n","status":"succeeded"}}}`, `{"data":[{"id":"CO1"},null],"meta":{"pagination":{"next_page":null}}}`,
		`{"errors":[{"status":"404","title":"no","source":{"pointer":"/data"}}]}`, `{"errors":[]}`, `{"data":[1]}`, `<html>`, ``,
	} {
		f.Add(200, media, []byte(body))
		f.Add(404, media+";charset=utf-8", []byte(body))
		f.Add(503, "text/html", []byte(body))
	}
	var status int
	var kind string
	var body []byte
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Content-Type"] = []string{kind}
		w.WriteHeader(status)
		_, _ = w.Write(body)
	}))
	f.Cleanup(srv.Close)
	c := client.New(srv.URL, "token")
	f.Fuzz(func(t *testing.T, s int, k string, b []byte) {
		status, kind, body = 200+((s%400)+400)%400, k, b
		_, err := c.Secret(t.Context(), "SE1")
		if err == nil && status != http.StatusOK && status/100 != 2 {
			t.Errorf("status %d, but no error", status)
		}
		if refused, ok := errors.AsType[*client.Error](err); ok && refused.Status != status {
			t.Errorf("status %d is told as %d", status, refused.Status)
		}
	})
}
