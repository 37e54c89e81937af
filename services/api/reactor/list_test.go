package reactor_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/services/api"
)

// listed is what an answer shows of a secret, as texts, of those that can be asked
// about; what is null is not there.
type listed struct {
	id     string
	values map[string]string
}

// crowded returns the API with a property of many secrets that have much in common,
// and the path of their list.
func crowded(t testing.TB) (s *site, path string) {
	s = newSite(t)
	tr := s.plant(t)
	dice := rand.New(rand.NewPCG(7, 7))
	pick := func(of ...string) string { return of[dice.IntN(len(of))] }
	now := time.Date(2025, 11, 3, 8, 15, 0, 0, time.UTC)
	for i := range 300 {
		made := &secret.Secret{
			ID: secret.NewID(secret.PrefixSecret), Org: api.DefaultOrg, Property: tr.edge, Environment: pick("", tr.development, tr.staging),
			Name: pick("crm ", "CRM of the north ", "null", "Émile", "ı%,", "") + pick("", "a", "P (", "\x00", "77") + fmt.Sprint(i%40),
			Kind: secret.Kinds()[dice.IntN(len(secret.Kinds()))], Status: secret.Status(pick("pending", "succeeded", "failed")),
			CreatedAt: now.Add(time.Duration(dice.IntN(60)) * time.Millisecond), UpdatedAt: now.Add(time.Duration(dice.IntN(3)) * time.Hour),
		}
		if i%20 == 0 {
			made.Name = "null"
		}
		if dice.IntN(9) == 0 {
			made.Authorization = &secret.Authorization{AskedUntil: now.Add(time.Duration(dice.IntN(3)-1) * 24 * time.Hour)}
		}
		body, err := json.Marshal(made)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.State.Commit(t.Context(), state.Write{Key: state.SecretKey(made.ID), Value: body}); err != nil {
			t.Fatal(err)
		}
	}
	s.make(t, "/properties/"+tr.edge+"/environments", `{"data":{"attributes":{"name":"later"}}}`) // all of it is seen
	return s, "/properties/" + tr.edge + "/secrets"
}

// ask returns a page and the number of all.
func (s *site) ask(t testing.TB, path, query string) (page []listed, total int) {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, path, nil)
	r.URL.RawQuery = query
	r.Header.Set("Authorization", "Bearer "+token)
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		t.Fatalf("%q: status %d: %s", query, w.Code, w.Body)
	}
	var doc struct {
		Data []struct {
			ID            string
			Attributes    map[string]any
			Relationships struct {
				Environment struct{ Data *struct{ ID string } }
			}
		}
		Meta struct {
			Pagination struct {
				Total int `json:"total_count"`
			}
		}
	}
	if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	for _, d := range doc.Data {
		values := make(map[string]string)
		for name, v := range d.Attributes {
			if text, ok := v.(string); ok {
				values[name] = text
			}
		}
		if e := d.Relationships.Environment.Data; e != nil {
			values["environment_id"] = e.ID
		}
		page = append(page, listed{d.ID, values})
	}
	return page, doc.Meta.Pagination.Total
}

// filterable are the attributes of contract A4.
var filterable = []string{"created_at", "environment_id", "name", "status", "type_of", "updated_at"}

const oldName, newName = "oauth2", "oauth2-client_credentials" // of one kind (contract A17.1)

func canonical(attribute, value string) string {
	if attribute == "type_of" && value == newName {
		return oldName
	}
	return value
}

// oracle answers from what answers show, by the words of contract A4.
func oracle(all []listed, params url.Values) (page []listed, total int) {
	last := func(name string) string {
		v := params[name]
		if len(v) == 0 {
			return ""
		}
		return v[len(v)-1]
	}
	chosen := slices.Clone(all)
	for _, attribute := range filterable {
		expression := last("filter[" + attribute + "]")
		if expression == "" && last(attribute) != "" {
			expression = last(attribute)
			if !slices.Contains([]string{"EQ", "NOT", "LT", "GT", "BETWEEN", "CONTAINS"}, strings.Split(expression, " ")[0]) {
				expression = "EQ " + expression
			}
		}
		if holds := oracleCondition(attribute, expression); holds != nil {
			chosen = slices.DeleteFunc(chosen, func(l listed) bool { return !holds(l.values) })
		}
	}
	var fields []string
	for field := range strings.SplitSeq(last("sort"), ",") {
		if slices.Contains(filterable, strings.TrimLeft(field, "+ -")) && len(fields) < len(filterable) {
			fields = append(fields, strings.TrimLeft(field, " "))
		}
	}
	slices.SortStableFunc(chosen, func(a, b listed) int {
		for _, field := range fields {
			name := strings.TrimLeft(field, "+ -")
			c := strings.Compare(canonical(name, a.values[name]), canonical(name, b.values[name]))
			if strings.HasPrefix(field, "-") {
				c = -c
			}
			if c != 0 {
				return c
			}
		}
		return 0
	})
	number, size := oracleCount(last("page[number]"), 1), min(999, oracleCount(last("page[size]"), 25))
	for i, l := range chosen {
		if i/size == number-1 {
			page = append(page, l)
		}
	}
	return page, len(chosen)
}

func oracleCount(text string, otherwise int) int {
	n, err := strconv.Atoi(text)
	if n < 1 || err != nil && n != 1<<63-1 {
		return otherwise
	}
	return n
}

// oracleCondition returns nil for what is to be ignored.
func oracleCondition(attribute, expression string) func(map[string]string) bool {
	op, rest, ok := strings.Cut(expression, " ")
	values := strings.Split(rest, ",")
	if !ok || len(values) > 100 || op == "BETWEEN" && len(values) != 2 || !slices.Contains([]string{"EQ", "NOT", "LT", "GT", "BETWEEN", "CONTAINS"}, op) {
		return nil
	}
	for i, v := range values {
		v = strings.TrimLeft(strings.TrimPrefix(strings.TrimLeft(v, " "), op+" "), " ")
		if strings.HasSuffix(attribute, "_at") && v != "null" {
			at, err := time.Parse(time.RFC3339, v)
			if err != nil {
				return nil
			}
			v = at.UTC().Format("2006-01-02T15:04:05.000Z")
		}
		if op != "CONTAINS" {
			v = canonical(attribute, v)
		}
		values[i] = v
	}
	return func(of map[string]string) bool {
		got, present := of[attribute]
		names := []string{got}
		if attribute == "type_of" && canonical(attribute, got) == oldName {
			names = []string{oldName, newName}
		}
		got = canonical(attribute, got)
		one := func(holds func(v string) bool) bool { return present && slices.ContainsFunc(values, holds) }
		switch op {
		case "EQ":
			return one(func(v string) bool { return got == v }) || !present && slices.Contains(values, "null")
		case "NOT":
			return present && !one(func(v string) bool { return got == v && v != "null" }) || !present && !slices.Contains(values, "null")
		case "LT":
			return one(func(v string) bool { return got < v })
		case "GT":
			return one(func(v string) bool { return got > v })
		case "BETWEEN":
			return present && values[0] <= got && got <= values[1]
		default:
			return one(func(v string) bool {
				return slices.ContainsFunc(names, func(name string) bool { return like(strings.ToLower(name), strings.Split(strings.ToLower(v), "%")) })
			})
		}
	}
}

func like(text string, pieces []string) bool {
	_, after, found := strings.Cut(text, pieces[0])
	return found && (len(pieces) == 1 || like(after, pieces[1:]))
}

// anyListQuery asks for a page in the ways that clients do, and in some that they
// should not.
func anyListQuery(dice *rand.Rand, all []listed) string {
	pick := func(of ...string) string { return of[dice.IntN(len(of))] }
	params := make(url.Values)
	for range dice.IntN(3) {
		attribute := pick(append(filterable, "credentials")...)
		op := pick("EQ", "NOT", "LT", "GT", "BETWEEN", "CONTAINS", "LIKE")
		var values []string
		for range 1 + dice.IntN(3) {
			v := all[dice.IntN(len(all))].values[attribute]
			if attribute != "created_at" && attribute != "updated_at" && len(v) > 2 && op == "CONTAINS" {
				at := dice.IntN(len(v))
				v = pick(v[:at]+pick("", "%")+v[len(v)-dice.IntN(2):], v[at:]+"%"+v[:at])
			}
			values = append(values, pick("", "", op+" ")+pick(v, v, v, strings.ToUpper(v), "null", "7"))
		}
		params.Add(pick("filter["+attribute+"]", "filter["+attribute+"]", attribute), pick(op+" ", op+" ", "")+strings.Join(values, ","))
	}
	var fields []string
	for range dice.IntN(4) {
		fields = append(fields, pick("", "+", "-", " -", "+-")+pick(append(filterable, "refresh_at")...))
	}
	params.Set("sort", strings.Join(fields, ","))
	params.Set("page[number]", pick("", "1", "2", "3", "x", "99"))
	params.Set("page[size]", pick("", "1", "7", "100", "999", "1000", "0"))
	query := params.Encode()
	if dice.IntN(2) == 0 {
		query = strings.NewReplacer("%2B", "+", "%5B", "[", "%5D", "]").Replace(query)
	}
	return query
}

func checkList(t *testing.T, s *site, path, query string, all []listed) {
	t.Helper()
	params, _ := url.ParseQuery(query) // what is malformed is left out
	want, count := oracle(all, params)
	got, total := s.ask(t, path, query)
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(listed{})); diff != "" || total != count {
		t.Fatalf("%q: %d in all, want %d (-want +got):\n%s", query, total, count, diff)
	}
}

// TestListsAgainstOracle asks random questions.
func TestListsAgainstOracle(t *testing.T) {
	t.Parallel()
	s, path := crowded(t)
	all, _ := s.ask(t, path, "page[size]=999")
	dice := rand.New(rand.NewPCG(1, 1))
	for range 1000 {
		checkList(t, s, path, anyListQuery(dice, all), all)
	}
}

// FuzzList asks anything.
func FuzzList(f *testing.F) {
	s, path := crowded(f)
	all, _ := s.ask(f, path, "page[size]=999")
	for _, query := range []string{
		"", "sort=name&page[size]=7&page[number]=3", "sort=-type_of,%2Bstatus, -updated_at&page[number]=9223372036854775808",
		"filter[name]=CONTAINS%20p%25(,CONTAINS+%C3%89&filter%5Bstatus%5D=EQ+pending,EQ+failed", "name=null&status=NOT null",
		"filter[environment_id]=NOT%20null,EQ&filter[type_of]=CONTAINS client", "filter[created_at]=BETWEEN+2025-11-03T09:15:00.0209%2B01:00,null",
		"filter[updated_at]=LT null&filter[updated_at]=GT%202025-11-03T08:15:00Z&sort=environment_id",
	} {
		f.Add(query)
	}
	f.Fuzz(func(t *testing.T, query string) { checkList(t, s, path, query, all) })
}

// A secret is in the lists of whoever made it, and as it was made, at once, however
// much is asked for meanwhile.
func TestListsShowWhatWasWritten(t *testing.T) {
	t.Parallel()
	s, path := crowded(t)
	stop := make(chan struct{})
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				r := httptest.NewRequest(http.MethodGet, path+"?sort=name&filter[status]=NOT+null&page[size]=5", nil)
				r.Header.Set("Authorization", "Bearer "+token)
				s.handler.ServeHTTP(httptest.NewRecorder(), r)
			}
		}
	}()
	defer func() { close(stop); <-stopped }()
	_, before := s.ask(t, path, "")
	for i := range 50 {
		name := fmt.Sprint("written ", i)
		id := s.make(t, path, fmt.Sprintf(`{"data":{"attributes":{"name":%q,"type_of":"token","credentials":{"token":"t"}}}}`, name))
		for _, query := range []string{"", "filter[name]=EQ " + name, "sort=-created_at&filter[name]=CONTAINS WRITTEN"} {
			page, _ := s.ask(t, path, strings.ReplaceAll(query, " ", "+"))
			if len(page) == 0 || page[0].id != id || page[0].values["name"] != name {
				t.Fatalf("%q does not show secret %d", query, i)
			}
		}
		if i%2 == 0 {
			s.call(t, http.MethodDelete, "/secrets/"+id, "")
		}
	}
	if _, after := s.ask(t, path, ""); after != before+25 {
		t.Errorf("%d in all, want %d", after, before+25)
	}
}
