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
	sh := s.stock(t)
	tr := sh.tree
	secret := s.make(t, "/properties/"+tr.edge+"/secrets", linked(`{"environment":{"data":{"id":"`+tr.staging+`","type":"environments"}}}`))
	callback := s.make(t, "/properties/"+tr.edge+"/callbacks", attributes(`"url":"https://hook.example.com/","subscriptions":["*"]`))
	s.Parked.Park(work.Parked{Lane: "job", Secret: secret, Org: "ELSE@WhereOrg"}) // a lie
	before := everything(t, s.State)
	ids := strings.NewReplacer("CB", callback, "CO", tr.company, "PR", tr.edge, "EN", tr.staging, "SE", secret,
		"EX", sh.extension, "DE", sh.element, "LB", sh.library, "BL", sh.build)
	for _, request := range []string{
		"GET /companies/CO", "GET /companies/CO/properties", "POST /companies/CO/properties",
		"GET /properties/PR", "DELETE /properties/PR", "GET /properties/PR/company",
		"GET /properties/PR/environments", "POST /properties/PR/environments",
		"GET /properties/PR/callbacks", "POST /properties/PR/callbacks", "GET /callbacks/CB", "PUT /callbacks/CB",
		"DELETE /callbacks/CB", "GET /callbacks/CB/property", "GET /callbacks/CB/deliveries",
		"GET /properties/PR/secrets", "POST /properties/PR/secrets", "POST /properties/PR/imports",
		"GET /environments/EN", "DELETE /environments/EN", "GET /environments/EN/property",
		"GET /environments/EN/relationships/host", "GET /environments/EN/secrets",
		"GET /secrets/SE", "DELETE /secrets/SE", "GET /secrets/SE/environment", "GET /secrets/SE/property",
		"GET /secrets/SE/timeline",
		"GET /secrets/SE/data_elements", "GET /environments/EN/library", "GET /environments/EN/builds",
		"GET /properties/PR/extensions", "POST /properties/PR/extensions", "GET /properties/PR/rules", "POST /properties/PR/rules",
		"GET /extensions/EX", "PATCH /extensions/EX", "GET /extensions/EX/property", "GET /extensions/EX/origin", "GET /extensions/EX/revisions", "GET /extensions/EX/libraries",
		"GET /properties/PR/data_elements", "POST /properties/PR/data_elements", "GET /data_elements/DE", "PATCH /data_elements/DE", "DELETE /data_elements/DE",
		"GET /data_elements/DE/property", "GET /data_elements/DE/extension", "GET /data_elements/DE/origin", "GET /data_elements/DE/revisions", "GET /data_elements/DE/libraries",
		"GET /properties/PR/libraries", "POST /properties/PR/libraries", "GET /libraries/LB", "PATCH /libraries/LB", "DELETE /libraries/LB",
		"GET /libraries/LB/property", "GET /libraries/LB/environment", "GET /libraries/LB/upstream_library", "GET /libraries/LB/builds", "POST /libraries/LB/builds",
		"GET /libraries/LB/data_elements", "GET /libraries/LB/extensions", "GET /libraries/LB/rules",
		"GET /libraries/LB/relationships/environment", "PATCH /libraries/LB/relationships/environment", "DELETE /libraries/LB/relationships/environment",
		"GET /libraries/LB/relationships/data_elements", "POST /libraries/LB/relationships/data_elements", "PATCH /libraries/LB/relationships/data_elements", "DELETE /libraries/LB/relationships/data_elements",
		"GET /libraries/LB/relationships/extensions", "POST /libraries/LB/relationships/extensions", "PATCH /libraries/LB/relationships/extensions", "DELETE /libraries/LB/relationships/extensions",
		"GET /libraries/LB/relationships/rules", "POST /libraries/LB/relationships/rules", "PATCH /libraries/LB/relationships/rules", "DELETE /libraries/LB/relationships/rules",
		"GET /builds/BL", "PATCH /builds/BL", "GET /builds/BL/property", "GET /builds/BL/environment", "GET /builds/BL/library",
		"PATCH /parked/1", "DELETE /parked/1",
	} {
		method, path, _ := strings.Cut(request, " ")
		path = ids.Replace(path)
		body := ""
		switch {
		case strings.HasSuffix(path, "/relationships/environment"):
			body = `{"data":null}`
		case strings.Contains(path, "/relationships/"):
			body = `{"data":[]}`
		case method == http.MethodPatch:
			body = requeue("1")
		case method == http.MethodPost, method == http.MethodPut:
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
