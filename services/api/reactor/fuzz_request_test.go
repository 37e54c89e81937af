package reactor_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// FuzzAsk: whatever is asked for, with whatever header, the answer is a document
// of the contract or nothing, and never a 500.
func FuzzAsk(f *testing.F) {
	s := newSite(f)
	tr := s.plant(f)
	paths := []string{
		"/companies", "/companies/" + tr.company + "/properties", "/properties/" + tr.edge + "/environments", "/properties/" + tr.edge + "/secrets",
		"/environments/" + tr.staging + "/secrets", "/secrets/" + s.make(f, "/properties/"+tr.edge+"/secrets", oauth("refresh_offset", "14400")) + "/timeline",
		"/parked", "/parked/1", "/secrets/", "/heartbeat",
		"/properties/" + tr.edge + "/data_elements", "/properties/" + tr.edge + "/libraries", "/properties/" + tr.edge + "/extensions", "/extensions/EX" + tr.edge[2:] + "/libraries",
	}
	for i := range paths {
		f.Add(uint8(i), "", "page[size]=999&page[number]=0&sort=-name,+created_at&filter[name]=CONTAINS x", "application/vnd.api+json;revision=1", "Bearer "+token)
		f.Add(uint8(i), "%2e%2e/x", "page[after]=18446744073709551616&filter[created_at]=BETWEEN 2020-01-01T00:00:00Z,", "*/*;q=0,text/html;q=nan", "Bearer")
		f.Add(uint8(i), "\x00", "name=EQ&page[number]=9223372036854775807&page[size]=2;&%zz", "application/json; revision", "Basic x")
	}
	f.Fuzz(func(t *testing.T, which uint8, path, query, accept, authorization string) {
		r := httptest.NewRequest(http.MethodGet, paths[int(which)%len(paths)], nil)
		r.URL.Path += path
		r.URL.RawPath = url.PathEscape(r.URL.Path)
		r.URL.RawQuery = query
		r.Header.Set("Accept", accept)
		r.Header.Set("Authorization", authorization)
		w := s.answerTo(t, r, "")
		if w.Code >= http.StatusInternalServerError {
			t.Fatalf("status %d: %s", w.Code, w.Body)
		}
		if w.Header().Get("Content-Type") == "application/vnd.api+json" && !json.Valid(w.Body.Bytes()) {
			t.Errorf("status %d with %q", w.Code, w.Body)
		}
	})
}

// FuzzCreate sends any body to the collections other than secrets: what is
// created can be deleted, and everything else is refused.
func FuzzCreate(f *testing.F) {
	s := newSite(f)
	tr := s.plant(f)
	collections := []struct{ create, resource string }{
		{"/companies/" + tr.company + "/properties", "/properties/"},
		{"/properties/" + tr.edge + "/environments", "/environments/"},
		{"/properties/" + tr.edge + "/hosts", "/hosts/"},
		{"/properties/" + tr.edge + "/data_elements", "/data_elements/"},
		{"/properties/" + tr.edge + "/libraries", "/libraries/"},
	}
	for _, body := range []string{
		`{"data":{"attributes":{"name":"a","platform":"web","domains":["example.org","é"]},"type":"properties"}}`, `{"data":{"attributes":{"name":"b","platform":"edge"}}}`,
		`{"data":{"attributes":{"name":"p","stage":"production"},"relationships":{"host":{"data":null}}}}`, `{"data":{"attributes":{"name":"d"}}}`,
		`{"data":{"attributes":{"name":"h","type_of":"sftp","server":"s","port":22,"username":"u","encrypted_private_key":"k"}}}`,
		`{"data":[]}`, `{"data":{"attributes":{"name":"\u0000","name":"x"}}}`, `{"data":{"attributes":{"domains":[null]}}`, `null`, "\xef\xbb\xbf{}",
	} {
		f.Add(uint8(0), []byte(body))
		f.Add(uint8(1), []byte(body))
		f.Add(uint8(2), []byte(body))
	}
	for _, row := range badLibraryRequests() {
		if len(row.body) < 4<<10 {
			f.Add(uint8(2), []byte(strings.ReplaceAll(row.body, "{extension}", "EX"+tr.edge[2:])))
			f.Add(uint8(3), []byte(row.body))
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, body []byte) {
		c := collections[int(which)%len(collections)]
		r := httptest.NewRequest(http.MethodPost, c.create, bytes.NewReader(body))
		r.Header.Set("Authorization", "Bearer "+token)
		r.Header.Set("Content-Type", "application/json")
		w := s.answerTo(t, r, string(body))
		got := answer{w.Code, w.Header(), w.Body.Bytes()}
		switch {
		case w.Code == http.StatusCreated:
			id := decode[struct{ Data shape }](t, got).Data.ID
			if gone := s.call(t, http.MethodDelete, c.resource+id, ""); gone.status != http.StatusNoContent {
				t.Errorf("created, but not deleted: status %d", gone.status)
			}
		case w.Code >= http.StatusInternalServerError:
			t.Errorf("status %d: %s", w.Code, w.Body)
		default:
			refusals(t, got)
		}
	})
}

// FuzzChange sends any body, under any condition, to what can be changed, and to what
// notes can be on: it is changed or refused.
func FuzzChange(f *testing.F) {
	s := newSite(f)
	tr := s.plant(f)
	host := decode[struct{ Data shape }](f, s.call(f, http.MethodGet, "/environments/"+tr.staging+"/host", "")).Data
	requests := []struct{ method, path string }{
		{http.MethodPatch, "/properties/" + tr.web},
		{http.MethodPatch, "/environments/" + tr.staging},
		{http.MethodPatch, "/hosts/" + host.ID},
		{http.MethodPost, "/properties/" + tr.web + "/notes"},
	}
	for i := range requests {
		for _, body := range []string{
			`{"data":{"attributes":{"name":"a","domains":["example.org"],"privacy":"optedin","ssl_enabled":true}}}`,
			`{"data":{"attributes":{"name":null,"archive":true,"archive_passphrase":"p","path":null,"stage":"staging"},"relationships":{"host":{"data":{"id":"x"}}}}}`,
			`{"data":{"attributes":{"name":"h","type_of":"akamai","server":null,"encrypted_private_key":"k"},"id":7}}`,
			`{"data":{"attributes":{"text":"\ud800"}}}`, `{"data":{"attributes":[]}}`, `null`,
		} {
			f.Add(uint8(i), "*", []byte(body))
			f.Add(uint8(i), `"a", W/"b",`, []byte(body))
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, match string, body []byte) {
		to := requests[int(which)%len(requests)]
		r := httptest.NewRequest(to.method, to.path, bytes.NewReader(body))
		r.Header.Set("Authorization", "Bearer "+token)
		r.Header.Set("Content-Type", "application/json")
		r.Header["If-Match"] = []string{match}
		w := s.answerTo(t, r, string(body))
		switch {
		case w.Code >= http.StatusInternalServerError:
			t.Errorf("status %d: %s", w.Code, w.Body)
		case w.Code >= http.StatusBadRequest:
			refusals(t, answer{w.Code, w.Header(), w.Body.Bytes()})
		case !json.Valid(w.Body.Bytes()):
			t.Errorf("status %d with %q", w.Code, w.Body)
		}
	})
}

// FuzzChangeParked sends any body to a parked message that is not there.
func FuzzChangeParked(f *testing.F) {
	s := newSite(f)
	f.Add("1", []byte(`{"data":{"id":"1","type":"parked","meta":{"action":"requeue"}}}`))
	f.Add("18446744073709551616", []byte(`{"data":{"meta":{"action":1}}}`))
	f.Add("-", []byte(`[]`))
	f.Fuzz(func(t *testing.T, id string, body []byte) {
		r := httptest.NewRequest(http.MethodPatch, "/parked/"+url.PathEscape(id), bytes.NewReader(body))
		r.Header.Set("Authorization", "Bearer "+token)
		r.Header.Set("Content-Type", "application/json")
		w := s.answerTo(t, r, string(body))
		if w.Code < http.StatusBadRequest && w.Code/100 != 3 || w.Code >= http.StatusInternalServerError {
			t.Errorf("status %d: %s", w.Code, w.Body)
		}
	})
}

// FuzzChangeLibrary sends any body to whatever can be changed about libraries: it is
// taken or refused, and never a 500.
func FuzzChangeLibrary(f *testing.F) {
	s := newSite(f)
	sh := s.stock(f)
	ids := sh.names()
	var requests []string
	for _, row := range badLibraryRequests() {
		if method, _, _ := strings.Cut(row.request, " "); row.body != "" && method != http.MethodGet && len(row.body) < 4<<10 {
			f.Add(uint8(len(requests)), []byte(ids.Replace(row.body)))
			requests = append(requests, row.request)
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, body []byte) {
		method, path, _ := strings.Cut(ids.Replace(requests[int(which)%len(requests)]), " ")
		r := httptest.NewRequest(method, path, bytes.NewReader(body))
		r.Header.Set("Authorization", "Bearer "+token)
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		s.handler.ServeHTTP(w, r)
		switch got := (answer{w.Code, w.Header(), w.Body.Bytes()}); {
		case w.Code >= http.StatusInternalServerError:
			t.Errorf("%s %s: status %d: %s", method, path, w.Code, w.Body)
		case w.Code >= http.StatusBadRequest:
			refusals(t, got)
		}
	})
}
