package reactor_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/rekindle-dev/rekindle/pkg/work"
)

// TestOthersFindNothing asks every route for what belongs to another
// organisation, with an administrator's rights.
func TestOthersFindNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	tr := s.plant(t)
	secret := s.make(t, "/properties/"+tr.edge+"/secrets", linked(`{"environment":{"data":{"id":"`+tr.staging+`","type":"environments"}}}`))
	s.Parked.Park(work.Parked{Lane: "job", Secret: secret, Org: "ELSE@WhereOrg"}) // a lie
	before := everything(t, s.State)
	ids := strings.NewReplacer("CO", tr.company, "PR", tr.edge, "EN", tr.staging, "SE", secret)
	for _, request := range []string{
		"GET /companies/CO", "GET /companies/CO/properties", "POST /companies/CO/properties",
		"GET /properties/PR", "DELETE /properties/PR", "GET /properties/PR/company",
		"GET /properties/PR/environments", "POST /properties/PR/environments",
		"GET /properties/PR/secrets", "POST /properties/PR/secrets", "POST /properties/PR/imports",
		"GET /environments/EN", "DELETE /environments/EN", "GET /environments/EN/property",
		"GET /environments/EN/relationships/host", "GET /environments/EN/secrets",
		"GET /secrets/SE", "DELETE /secrets/SE", "GET /secrets/SE/environment", "GET /secrets/SE/property",
		"GET /secrets/SE/timeline",
		"PATCH /parked/1", "DELETE /parked/1",
	} {
		method, path, _ := strings.Cut(request, " ")
		path = ids.Replace(path)
		body := ""
		switch method {
		case http.MethodPatch:
			body = requeue("1")
		case http.MethodPost:
			body = attributes(`"name":"mine","platform":"edge","type_of":"token","credentials":{"token":"t"}`)
		}
		a := s.call(t, method, path, body, "Authorization: Bearer "+elsewhere)
		if got := refusals(t, a); a.status != http.StatusNotFound || len(got) != 1 || got[0] != "not-found" {
			t.Errorf("%s: status %d, errors %v", request, a.status, got)
		}
		if a := s.call(t, http.MethodGet, path, "", "Authorization: Bearer "+readToken); method == http.MethodGet && a.status != http.StatusOK {
			t.Errorf("%s: status %d for one who may read", request, a.status)
		}
	}
	a := s.call(t, http.MethodGet, "/companies", "", "Authorization: Bearer "+elsewhere)
	if got := refusals(t, a); a.status != http.StatusNotFound || got[0] != "no-available-orgs" {
		t.Errorf("companies: status %d, errors %v", a.status, got)
	}
	if a := s.call(t, http.MethodGet, "/parked", "", "Authorization: Bearer "+elsewhere); len(decode[shapes](t, a).Data) != 0 {
		t.Errorf("parked messages: status %d: %s", a.status, a.body)
	}
	if a := s.call(t, http.MethodGet, "/parked/1", ""); a.status != http.StatusOK || len(s.Parked.Jobs()) != 0 {
		t.Errorf("the parked message: status %d, %d jobs", a.status, len(s.Parked.Jobs()))
	}
	if !same(before, everything(t, s.State)) {
		t.Error("the state has changed")
	}
}
