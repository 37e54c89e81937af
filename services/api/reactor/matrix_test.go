package reactor_test

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rekindle-dev/rekindle/pkg/work"
	"github.com/rekindle-dev/rekindle/services/api"
	"github.com/rekindle-dev/rekindle/services/api/apitest"
	"github.com/rekindle-dev/rekindle/services/api/auth"
	"github.com/rekindle-dev/rekindle/services/api/reactor"
)

// makers say how a resource of each kind is made, by the first part of its path.
// A route of another kind fails the test: whoever adds one adds its maker.
func makers() map[string]func(*testing.T, *tenant) string {
	return map[string]func(*testing.T, *tenant) string{
		"companies":    func(_ *testing.T, o *tenant) string { return o.company },
		"properties":   func(t *testing.T, o *tenant) string { return o.property(t) },
		"environments": func(t *testing.T, o *tenant) string { return o.under(t, "environments", `"name":"e"`) },
		"secrets": func(t *testing.T, o *tenant) string {
			return o.under(t, "secrets", `"name":"s","type_of":"token","credentials":{"token":"t"}`)
		},
		"hosts": func(t *testing.T, o *tenant) string { return o.under(t, "hosts", `"name":"h","type_of":"akamai"`) },
		"notes": func(t *testing.T, o *tenant) string { return o.under(t, "notes", `"text":"n"`) },
		"callbacks": func(t *testing.T, o *tenant) string {
			return o.under(t, "callbacks", `"url":"https://hooks.example.com/","subscriptions":["secret.created"]`)
		},
		"extensions": func(t *testing.T, o *tenant) string { return "EX" + o.property(t)[2:] },
		"data_elements": func(t *testing.T, o *tenant) string {
			property := o.property(t)
			return o.make(t, "/properties/"+property+"/data_elements", element("EX"+property[2:], `"name":"e"`))
		},
		"libraries": func(t *testing.T, o *tenant) string { return o.under(t, "libraries", `"name":"l"`) },
		"builds":    func(t *testing.T, o *tenant) string { return o.build(t) },
		"tokens": func(t *testing.T, o *tenant) string {
			return o.make(t, "/tokens", attributes(`"name":"t","rights":[]`))
		},
		"audit_events": func(t *testing.T, o *tenant) string {
			for {
				if list := decode[shapes](t, o.call(t, http.MethodGet, "/audit_events?page[size]=1", "")).Data; len(list) > 0 {
					return list[0].ID
				}
				o.site.told(t)
			}
		},
		"parked": func(t *testing.T, o *tenant) string {
			about := o.under(t, "secrets", `"name":"parked","type_of":"token","credentials":{"token":"t"}`)
			return strconv.FormatUint(o.site.Parked.Park(work.Parked{Lane: "job", Secret: about, Org: o.org}), 10)
		},
	}
}

// tenant is an organisation with a company, its administrator, and a token for
// each right.
type tenant struct {
	site    *site
	org     string
	admin   string
	company string
	// bearers are tokens with one right each; that of "" has none.
	bearers map[auth.Right]string
}

func (s *site) tenant(t *testing.T, org, admin string) *tenant {
	t.Helper()
	o := &tenant{site: s, org: org, admin: admin, bearers: map[auth.Right]string{}}
	o.company = decode[shapes](t, o.call(t, http.MethodGet, "/companies", "")).Data[0].ID
	for _, right := range append(auth.AllRights(), "") {
		o.bearers[right] = o.bearer(t, right, "")
	}
	return o
}

// bearer makes an API token with at most one right.
func (o *tenant) bearer(t *testing.T, right auth.Right, more string) string {
	t.Helper()
	rights := ""
	if right != "" {
		rights = strconv.Quote(string(right))
	}
	a := o.call(t, http.MethodPost, "/tokens", attributes(`"name":"one right","rights":[`+rights+`]`+more))
	text := decode[struct {
		Data struct{ Meta struct{ Token string } }
	}](t, a).Data.Meta.Token
	if text == "" {
		t.Fatalf("no token: status %d: %s", a.status, a.body)
	}
	return text
}

func (o *tenant) call(t *testing.T, method, path, body string) answer {
	t.Helper()
	return o.site.call(t, method, path, body, "Authorization: Bearer "+o.admin)
}

func (o *tenant) make(t *testing.T, path, body string) string {
	t.Helper()
	a := o.call(t, http.MethodPost, path, body)
	if a.status != http.StatusCreated {
		t.Fatalf("POST %s: status %d: %s", path, a.status, a.body)
	}
	return decode[struct{ Data shape }](t, a).Data.ID
}

func (o *tenant) property(t *testing.T) string {
	t.Helper()
	return o.make(t, "/companies/"+o.company+"/properties", attributes(`"name":"p","platform":"edge"`))
}

// under makes a resource within a property of its own.
func (o *tenant) under(t *testing.T, kind, members string) string {
	t.Helper()
	return o.make(t, "/properties/"+o.property(t)+"/"+kind, attributes(members))
}

// build makes a build of a library in an environment.
func (o *tenant) build(t *testing.T) string {
	t.Helper()
	property := o.property(t)
	environment := o.make(t, "/properties/"+property+"/environments", attributes(`"name":"e"`))
	library := o.make(t, "/properties/"+property+"/libraries", `{"data":{"attributes":{"name":"l"},"relationships":{"environment":{"data":`+
		named("environments", environment)+`}}}}`)
	id := o.make(t, "/libraries/"+library+"/builds", "")
	o.site.end(t, id)
	return id
}

// rightsOf are those of which one is enough to ask for something. Which one it
// really takes may depend on what is asked for, and on what it is asked of: see
// TestRightsOnLibraries for those.
func rightsOf(r reactor.Route) []auth.Right {
	if rights, depends := map[string][]auth.Right{
		"PATCH /libraries/{id}":       {auth.Develop, auth.Approve},
		"POST /libraries/{id}/builds": {auth.Develop, auth.Publish},
		"PATCH /builds/{id}":          {auth.Develop, auth.Publish},
	}[r.Pattern]; depends {
		return rights
	}
	return []auth.Right{r.Right}
}

// TestWhoMayDoWhat asks every route with every right, of the organisation that
// owns what is asked for and of another, and with tokens that are none.
func TestWhoMayDoWhat(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	apitest.Start(t, s.State, api.Config{Org: "ELSE@WhereOrg"}) // makes the other's company
	s.plant(t)                                                  // a write that comes later, so that it is seen
	own, other := s.tenant(t, api.DefaultOrg, token), s.tenant(t, "ELSE@WhereOrg", elsewhere)
	expired := own.bearer(t, auth.ManageTokens, `,"expires_at":"2025-11-03T09:00:00Z"`)
	s.calls.Add(3600)
	routes := reactor.Routes()
	if len(routes) < 30 {
		t.Fatalf("only %d routes", len(routes))
	}
	asked := 0
	for _, r := range routes {
		m := matrix{site: s, own: own, other: other, route: r}
		m.method, m.path, _ = strings.Cut(r.Pattern, " ")
		t.Run(r.Pattern, func(t *testing.T) {
			m.strangers(t, expired)
			for right := range own.bearers {
				m.ask(t, right)
			}
			asked += m.asked
		})
	}
	if asked < len(routes)*len(own.bearers)*2 {
		t.Errorf("%d requests for %d routes", asked, len(routes))
	}
}

type matrix struct {
	site         *site
	own, other   *tenant
	route        reactor.Route
	method, path string
	asked        int
}

// fresh returns the path of a resource that is there.
func (m *matrix) fresh(t *testing.T) string {
	t.Helper()
	if !strings.Contains(m.path, "{id}") {
		return m.path
	}
	kind := strings.Split(m.path, "/")[1]
	make, ok := makers()[kind]
	if !ok {
		t.Fatalf("the matrix has no maker for %s: add one", kind)
	}
	return strings.Replace(m.path, "{id}", make(t, m.own), 1)
}

// send asks with a token. The body is one that every route reads as far as to its
// attributes.
func (m *matrix) send(t *testing.T, path, bearer string) answer {
	t.Helper()
	body := ""
	if m.method != http.MethodGet && m.method != http.MethodDelete {
		body = attributes(`"name":"matrix","platform":"edge","type_of":"token","credentials":{"token":"t"},"rights":[]`)
	}
	if linkage := strings.Contains(m.path, "/relationships/"); linkage && m.method != http.MethodGet {
		body = `{"data":[]}`
		if strings.HasSuffix(m.path, "/environment") {
			body = `{"data":null}`
		}
	}
	m.asked++
	headers := []string{"Authorization: Bearer " + bearer}
	if path == "/events" {
		headers = append(headers, "Accept: text/event-stream")
	}
	return m.site.call(t, m.method, path, body, headers...)
}

// strangers have no token, or one that is not good any more.
func (m *matrix) strangers(t *testing.T, expired string) {
	t.Helper()
	path := m.fresh(t)
	for name, bearer := range map[string]string{"no token": "", "an expired token": expired, "a made-up token": "made-up-token-0123456789"} {
		a := m.send(t, path, bearer)
		if got := refusals(t, a); a.status != http.StatusUnauthorized || !slices.Equal(got, []string{"authentication-failure"}) {
			t.Errorf("%s: status %d, errors %v", name, a.status, got)
		}
	}
}

// ask sends what a token with one right may or may not do: within its own
// organisation, and to what belongs to another.
func (m *matrix) ask(t *testing.T, right auth.Right) {
	t.Helper()
	rights := rightsOf(m.route)
	may := slices.Contains(rights, "") || slices.Contains(rights, right)
	path := m.fresh(t)
	absent := m.path
	if strings.Contains(m.path, "{id}") {
		absent = nobodys(path)
	}
	others := m.send(t, path, m.other.bearers[right])
	never := m.send(t, absent, m.other.bearers[right])
	answered := m.send(t, path, m.own.bearers[right])
	switch identified := strings.Contains(m.path, "{id}"); {
	case !may:
		for name, a := range map[string]answer{"own": answered, "other": others, "nobody's": never} {
			if got := refusals(t, a); a.status != http.StatusForbidden || !slices.Equal(got, []string{"not-authorized"}) {
				t.Errorf("with %q, %s: status %d, errors %v, want 403", right, name, a.status, got)
			}
		}
		return
	case identified:
		for name, a := range map[string]answer{"other": others, "nobody's": never} {
			if got := refusals(t, a); a.status != http.StatusNotFound || !slices.Equal(got, []string{"not-found"}) {
				t.Errorf("with %q, %s: status %d, errors %v, want 404", right, name, a.status, got)
			}
		}
	case strings.Contains(string(others.body), m.own.company):
		t.Errorf("with %q the other organisation sees %s", right, others.body)
	}
	if len(rights) > 1 && answered.status == http.StatusForbidden {
		return
	}
	if refused := []int{401, 403, 404, 405, 406, 415, 429}; slices.Contains(refused, answered.status) || answered.status >= 500 {
		t.Errorf("with %q, own: status %d: %s", right, answered.status, answered.body)
	}
}

// nobodys is the path with an id that nothing has.
func nobodys(path string) string {
	parts := strings.Split(path, "/")
	switch id := parts[2]; {
	case len(id) == 34:
		parts[2] = id[:2] + "0123456789ab4cde8f0123456789abcd"
	default:
		parts[2] = fmt.Sprint(len(id), "99999")
	}
	return strings.Join(parts, "/")
}
