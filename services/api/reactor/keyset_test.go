package reactor_test

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/rekindle-dev/rekindle/events/sealing"
	"github.com/rekindle-dev/rekindle/pkg/seal"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state/statetest"
	"github.com/rekindle-dev/rekindle/services/api"
)

// TestKeysetIsServed, to anybody, and is what is sealed to by whoever sends a credential.
func TestKeysetIsServed(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a := s.call(t, http.MethodGet, "/keyset", "", "Authorization:", "Accept:")
	keys, err := sealing.Parse(a.body)
	if err != nil || a.status != http.StatusOK || a.header.Get("Content-Type") != "application/json" || a.header.Get("Cache-Control") != "public, no-cache" {
		t.Fatalf("status %d, %v, %v", a.status, a.header, err)
	}
	tag := a.header.Get("ETag")
	for sent, want := range map[string]int{tag: 304, `"other", W/` + tag: 304, `"other"`: 200, "": 200} {
		again := s.call(t, http.MethodGet, "/keyset", "", "Authorization:", "If-None-Match: "+sent)
		if again.status != want || again.header.Get("ETag") != tag || (want == 304) != (len(again.body) == 0) {
			t.Errorf("If-None-Match %s: status %d, %d bytes", sent, again.status, len(again.body))
		}
	}

	tr := s.plant(t)
	const hidden = "canary-sealed-by-its-sender"
	value, err := keys.Seal(sealing.Target{Org: api.DefaultOrg, About: sealing.AboutName(tr.edge, "crm"), Field: "token"}, []byte(hidden))
	if err != nil {
		t.Fatal(err)
	}
	sent, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	made := s.call(t, http.MethodPost, "/properties/"+tr.edge+"/secrets", attributes(`"name":"crm","type_of":"token","credentials":{"token":`+string(sent)+`}`))
	if made.status != http.StatusCreated {
		t.Fatalf("status %d: %s", made.status, made.body)
	}
	id := decode[struct{ Data shape }](t, made).Data.ID
	stored, _, err := secret.Store{State: s.State}.Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	c, err := secret.Vault{State: s.State}.Credential(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	opened, err := s.opener.Open(stored.Binding("token", c.Fields["token"]), c.Fields["token"].Sealed)
	if err != nil || !opened.Equal(seal.NewPlaintext(hidden)) {
		t.Errorf("what was stored opens as something else: %v", err)
	}
}

func TestNoKeysetYet(t *testing.T) {
	t.Parallel()
	s := newSiteOver(t, statetest.New())
	a := s.call(t, http.MethodGet, "/keyset", "", "Authorization:")
	if got := decode[problems](t, a).Errors; a.status != http.StatusServiceUnavailable || len(got) != 1 || got[0].Code != "not-ready" || a.header.Get("Cache-Control") != "no-store" {
		t.Errorf("status %d, %v", a.status, got)
	}
}
