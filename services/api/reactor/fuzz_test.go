package reactor_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// FuzzCreateSecret sends any body: the answer is a document of the contract and
// never a 500, a second one with the same body is refused if the first was
// taken, and no answer quotes a hidden value.
func FuzzCreateSecret(f *testing.F) {
	s := newSite(f)
	tr := s.plant(f)
	ids := strings.NewReplacer("{edge}", tr.edge, "{development}", tr.development, "{foreign}", tr.foreign)
	for _, row := range badRequests() {
		if len(row.body) < 4<<10 {
			f.Add([]byte(ids.Replace(row.body)))
		}
	}
	f.Add([]byte(oauth("refresh_offset", "14400.0")))
	f.Add([]byte(ids.Replace(linked(`{"environment":{"data":{"id":"{development}","type":"environments"}}}`))))
	post := func(t *testing.T, body []byte) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodPost, "/properties/"+tr.edge+"/secrets", bytes.NewReader(body))
		r.Header.Set("Authorization", "Bearer "+token)
		r.Header.Set("Content-Type", "application/json")
		return s.answerTo(t, r, string(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		w := post(t, body)
		if w.Header().Get("Content-Type") != "application/vnd.api+json" || !json.Valid(w.Body.Bytes()) {
			t.Fatalf("status %d with %q", w.Code, w.Body)
		}
		switch w.Code {
		case http.StatusCreated:
			if again := post(t, body); again.Code != http.StatusConflict {
				t.Errorf("the same again: status %d", again.Code)
			}
			if hidden := "client_secret"; strings.Contains(w.Body.String(), `"`+hidden+`"`) {
				t.Errorf("the answer has the member %s", hidden)
			}
			id := decode[struct{ Data shape }](t, answer{body: w.Body.Bytes()}).Data.ID
			s.call(t, http.MethodDelete, "/secrets/"+id, "")
		case http.StatusBadRequest, http.StatusNotFound, http.StatusConflict, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
			refusals(t, answer{w.Code, w.Header(), w.Body.Bytes()})
		default:
			t.Errorf("status %d: %s", w.Code, w.Body)
		}
	})
}
