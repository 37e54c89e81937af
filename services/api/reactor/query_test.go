package reactor_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/services/api"
	"github.com/rekindle-dev/rekindle/services/api/apitest"
)

func names(t *testing.T, a answer) []string {
	t.Helper()
	if a.status != http.StatusOK {
		t.Fatalf("status %d: %s", a.status, a.body)
	}
	var list []string
	for _, d := range decode[shapes](t, a).Data {
		list = append(list, d.Attributes["name"].(string))
	}
	return list
}

// TestPagination walks through 1,000 secrets in pages of several sizes.
func TestPagination(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	tr := s.plant(t)
	const total = 1000
	want := make([]string, total)
	for i := range total {
		name := fmt.Sprint("s", i)
		want[total-1-i] = name // newest first
		made := &secret.Secret{
			ID: secret.NewID(secret.PrefixSecret), Org: api.DefaultOrg, Property: tr.edge, Name: name,
			Kind: secret.Token, Status: secret.Pending, CreatedAt: time.UnixMilli(int64(i + 1)), UpdatedAt: time.UnixMilli(int64(i + 1)),
		}
		if _, err := (secret.Store{State: s.State}).Create(t.Context(), &secret.Draft{Secret: made, Credential: &secret.Credential{Generation: 1}}); err != nil {
			t.Fatal(err)
		}
	}
	s.make(t, "/properties/"+tr.edge+"/environments", `{"data":{"attributes":{"name":"later"}}}`) // all of it is seen
	for _, size := range []int{999, 100, 77} {
		var got []string
		pages := (total + size - 1) / size
		for number := 1; number <= pages; number++ {
			a := s.call(t, http.MethodGet, fmt.Sprintf("/properties/%s/secrets?page[number]=%d&page[size]=%d", tr.edge, number, size), "")
			got = append(got, names(t, a)...)
			p := decode[shapes](t, a).Meta.Pagination
			checkPage(t, p, number, pages, total)
		}
		if !slices.Equal(got, want) {
			t.Errorf("pages of %d do not add up to the list, newest first", size)
		}
	}
	for query, count := range map[string]int{
		"":                                  25,
		"?page%5Bsize%5D=2":                 2,
		"?page[size]=1000":                  999,
		"?page[size]=999999999999999999999": 999,
		"?page[size]=0":                     25,
		"?page[size]=-3":                    25,
		"?page[size]=ten":                   25,
		"?page[number]=0&page[size]=3":      3,
		"?page[number]=x&page[size]=3":      3,
		"?page[number]=41":                  0,
		"?page[number]=9223372036854775807&page[size]=999": 0,
		"?page[number]=9223372036854775808":                0,
		"?page[number]=-9223372036854775809":               25,
		"?page[number]=&page[size]=":                       25,
		"?page[size]=4&page[size]=5":                       5,
		"?page[size=4":                                     25,
		"?%zz&page[size]=6":                                6,
	} {
		a := s.call(t, http.MethodGet, "/properties/"+tr.edge+"/secrets"+query, "")
		if got := len(names(t, a)); got != count {
			t.Errorf("%s: %d secrets, want %d", query, got, count)
		}
	}
}

// TestPagesOfOurOwnLists: what a page is said to be and cannot be is refused, with
// what would be right; in the lists of the contract it is ignored, see above.
func TestPagesOfOurOwnLists(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	tr := s.plant(t)
	made := "/secrets/" + s.make(t, "/properties/"+tr.edge+"/secrets", oauth("refresh_offset", "14400")) + "/timeline"
	const whole = "page[%s] must be a whole number from 1"
	for _, path := range []string{"/parked", made} {
		for _, value := range []string{"0", "-1", "ten", "1.5", "1e3", "+", "%20", "%201", "1%00", "-99999999999999999999"} {
			for _, name := range []string{"size", "number"} {
				want := fmt.Sprintf(whole, name)
				if path == made && name == "number" {
					want = "" // it knows no numbers
				}
				s.checkParameter(t, path+"?page["+name+"]="+value, "page["+name+"]", want)
			}
		}
		for _, value := range []string{"", "1", "999", "1000", "9223372036854775807", "99999999999999999999"} {
			s.checkParameter(t, path+"?page[size]="+value, "", "")
			s.checkParameter(t, path+"?page[number]="+value, "", "")
		}
	}
	const place = "page[after] must be what meta.page.after of an answer was, or the id of an entry"
	for value, want := range map[string]string{
		"": "", "0": "", "1": "", "18446744073709551615": "",
		"18446744073709551616": place, "-1": place, "+1": place, "%201": place, "%20": place, "crm": place, "1.0": place, "0x1": place,
	} {
		s.checkParameter(t, made+"?page[after]="+value, "page[after]", want)
	}
	s.checkParameter(t, made+"?page[after]=1&page[after]=x&page[size]=x", "page[after]", place)
}

// checkParameter asks for a list, which is refused for one parameter, or not at all
// when the detail is "".
func (s *site) checkParameter(t *testing.T, path, parameter, detail string) {
	t.Helper()
	a := s.call(t, http.MethodGet, path, "")
	if detail == "" {
		if a.status != http.StatusOK {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
		return
	}
	want := fmt.Sprintf(`"status":"400","code":"invalid-parameter","title":"Invalid Parameter","detail":%q,"source":{"parameter":%q}`, detail, parameter)
	if a.status != http.StatusBadRequest || !strings.Contains(string(a.body), want) {
		t.Errorf("%s: %d %s, want %s", path, a.status, a.body, want)
	}
}

func checkPage(t *testing.T, p map[string]*int, number, pages, total int) {
	t.Helper()
	next, prev := new(number+1), new(number-1)
	if number == pages {
		next = nil
	}
	if number == 1 {
		prev = nil
	}
	for name, want := range map[string]*int{
		"current_page": &number, "total_pages": &pages, "total_count": &total, "next_page": next, "prev_page": prev,
	} {
		if got, sent := p[name]; !sent || (got == nil) != (want == nil) || got != nil && *got != *want {
			t.Errorf("page %d: %s is not as it should be", number, name)
		}
	}
}

// TestFilterAndSort asks for parts of a list as real clients do.
func TestFilterAndSort(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	tr := s.plant(t)
	in := func(environment string) string {
		return fmt.Sprintf(`{"environment":{"data":{"id":%q,"type":"environments"}}}`, environment)
	}
	ids := make(map[string]string)
	for _, row := range [][4]string{ // oldest first
		{"Alpha", "token", `"token":"t"`, in(tr.staging)},
		{"Lucas Alpha", "simple-http", `"username":"u","password":"p"`, in(tr.development)},
		{"Bravo (P)", "oauth2", `"client_id":"c","client_secret":"s","token_url":"https://idp.test/t"`, `{}`},
		{"null", "token", `"token":"t"`, in(tr.development)},
		{"Delta P x (", "oauth2-client_credentials", `"client_id":"c","client_secret":"s","token_url":"https://idp.test/t"`, in(tr.staging)},
	} {
		ids[row[0]] = s.make(t, "/properties/"+tr.edge+"/secrets", fmt.Sprintf(
			`{"data":{"attributes":{"name":%q,"type_of":%q,"credentials":{%s}},"relationships":%s}}`, row[0], row[1], row[2], row[3]))
	}
	bravo, err := s.Service.Secret(t.Context(), apitest.Caller(), ids["Bravo (P)"])
	if err != nil {
		t.Fatal(err)
	}
	at := url.QueryEscape(bravo.CreatedAt.Format("2006-01-02T15:04:05.999Z07:00"))
	all := "Delta P x (|null|Bravo (P)|Lucas Alpha|Alpha"
	rows := []struct{ query, want string }{
		{"", all},
		{"filter[name]=EQ Alpha", "Alpha"},
		{"filter[name]=EQ alpha", ""},
		{"filter[name]=EQ Alpha,EQ Bravo (P)", "Bravo (P)|Alpha"},
		{"filter[name]=EQ Alpha,Bravo (P)", "Bravo (P)|Alpha"},
		{"filter[name]=NOT Alpha,NOT Bravo (P)", "Delta P x (|null|Lucas Alpha"},
		{"filter[name]=CONTAINS alpha", "Lucas Alpha|Alpha"},
		{"filter[name]=CONTAINS lucas,CONTAINS bravo", "Bravo (P)|Lucas Alpha"},
		{"filter[name]=CONTAINS P%25(", "Delta P x ("},
		{"filter[name]=CONTAINS %25", all},
		{"filter[name]=GT Bravo", "Delta P x (|null|Bravo (P)|Lucas Alpha"},
		{"filter[name]=LT Bravo", "Alpha"},
		{"filter[name]=BETWEEN Alpha,Bravo (P)", "Bravo (P)|Alpha"},
		{"filter[environment_id]=NOT null", "Delta P x (|null|Lucas Alpha|Alpha"},
		{"filter[environment_id]=EQ null", "Bravo (P)"},
		{"filter[environment_id]=EQ " + tr.staging, "Delta P x (|Alpha"},
		{"filter[environment_id]=NOT " + tr.staging, "null|Bravo (P)|Lucas Alpha"},
		{"filter[environment_id]=GT A", "Delta P x (|null|Lucas Alpha|Alpha"},
		{"filter[type_of]=EQ oauth2", "Delta P x (|Bravo (P)"},
		{"filter[type_of]=EQ oauth2-client_credentials", "Delta P x (|Bravo (P)"},
		{"filter[type_of]=EQ token,EQ simple-http", "null|Lucas Alpha|Alpha"},
		{"filter[type_of]=CONTAINS client", "Delta P x (|Bravo (P)"},
		{"filter[type_of]=CONTAINS OAuth2", "Delta P x (|Bravo (P)"},
		{"filter[type_of]=CONTAINS oauth2-client_credentials", "Delta P x (|Bravo (P)"},
		{"filter[type_of]=CONTAINS http,CONTAINS tok", "null|Lucas Alpha|Alpha"},
		{"filter[type_of]=NOT null", all},
		{"filter[name]=NOT null", all},
		{"filter[name]=NOT null,NOT Alpha", "Delta P x (|null|Bravo (P)|Lucas Alpha"},
		{"filter[name]=EQ null", "null"},
		{"name=null", "null"},
		{"filter[status]=EQ pending&filter[name]=CONTAINS o", "Bravo (P)"},
		{"filter[status]=EQ failed", ""},
		{"filter[created_at]=GT " + at, "Delta P x (|null"},
		{"filter[created_at]=LT " + at, "Lucas Alpha|Alpha"},
		{"filter[created_at]=BETWEEN " + at + "," + at, "Bravo (P)"},
		{"filter[updated_at]=EQ " + at, "Bravo (P)"},
		{"name=Alpha", "Alpha"},
		{"name=CONTAINS Alpha", "Lucas Alpha|Alpha"},
		{"filter[name]=EQ x&filter[name]=EQ Alpha", "Alpha"}, // the last wins

		// What makes no sense is ignored.
		{"filter[name]=Alpha", all},
		{"filter[name]=EQ", all},
		{"filter[name]=LIKE Alpha", all},
		{"filter[name]=BETWEEN Alpha", all},
		{"filter[name]=BETWEEN A,B,C", all},
		{"filter[created_at]=GT yesterday", all},
		{"filter[credentials]=EQ c", all},
		{"filter[]=EQ c&filter=EQ d", all},
		{"filter[name]=EQ " + strings.Repeat("a,", 200), all},

		{"sort=name", "Alpha|Bravo (P)|Delta P x (|Lucas Alpha|null"},
		{"sort=+name", "Alpha|Bravo (P)|Delta P x (|Lucas Alpha|null"},
		{"sort=%2Bname", "Alpha|Bravo (P)|Delta P x (|Lucas Alpha|null"},
		{"sort=-name", "null|Lucas Alpha|Delta P x (|Bravo (P)|Alpha"},
		{"sort=type_of,-name", "Delta P x (|Bravo (P)|Lucas Alpha|null|Alpha"},
		{"sort=type_of, -created_at", "Delta P x (|Bravo (P)|Lucas Alpha|null|Alpha"},
		{"sort=created_at", "Alpha|Lucas Alpha|Bravo (P)|null|Delta P x ("},
		{"sort=credentials,,-", all},
	}
	for _, row := range rows {
		query := strings.ReplaceAll(row.query, " ", "%20")
		got := strings.Join(names(t, s.call(t, http.MethodGet, "/properties/"+tr.edge+"/secrets?"+query, "")), "|")
		if got != row.want {
			t.Errorf("%s:\n got %s\nwant %s", row.query, got, row.want)
		}
	}
	// The same filters work on the list of an environment, and with all the
	// ways to write brackets and blanks.
	for _, query := range []string{"filter[name]=CONTAINS+alpha", "filter%5Bname%5D=CONTAINS%20alpha"} {
		if got := names(t, s.call(t, http.MethodGet, "/environments/"+tr.staging+"/secrets?"+query, "")); !slices.Equal(got, []string{"Alpha"}) {
			t.Errorf("%s: got %v", query, got)
		}
	}
}

// TestOtherListsFilter asks the other lists for a part and in an order.
func TestOtherListsFilter(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	tr := s.plant(t)
	for path, want := range map[string]string{
		"/companies/" + tr.company + "/properties?filter[platform]=EQ edge&sort=name":                 "edge|other",
		"/companies/" + tr.company + "/properties?filter[enabled]=EQ false":                           "",
		"/companies/" + tr.company + "/properties?filter[copying]=EQ true":                            "",
		"/properties/" + tr.edge + "/environments?filter[stage]=EQ staging":                           "staging",
		"/properties/" + tr.edge + "/environments?filter[archive]=EQ false&sort=-stage,name":          "staging|development",
		"/companies?filter[org_id]=EQ REKINDLE@LocalOrg":                                              "Rekindle",
		"/companies?sort=-created_at&page[size]=100":                                                  "Rekindle",
		"/companies/" + tr.company + "/properties?filter[token]=NOT null&page[size]=1&sort=-platform": "web",
	} {
		got := strings.Join(names(t, s.call(t, http.MethodGet, strings.ReplaceAll(path, " ", "%20"), "")), "|")
		if got != want {
			t.Errorf("%s:\n got %s\nwant %s", path, got, want)
		}
	}
}
