package reactor_test

import (
	"bytes"
	"fmt"
	"net/http"
	"sync"
	"testing"
)

// TestOneOf32 lets 32 clients of two processes create a secret of the same name
// at once.
func TestOneOf32(t *testing.T) {
	t.Parallel()
	first := newSite(t)
	tr := first.plant(t)
	second := newSiteOver(t, first.State)
	sites := []*site{first, second}
	for round := range 2 {
		var mu sync.Mutex
		statuses := make(map[int]int)
		start := make(chan struct{})
		var wg sync.WaitGroup
		for i := range 32 {
			wg.Go(func() {
				<-start
				a := sites[i%2].call(t, http.MethodPost, "/properties/"+tr.edge+"/secrets",
					attributes(fmt.Sprintf(`"name":"wanted %d","type_of":"token","credentials":{"token":"t"}`, round)))
				mu.Lock()
				defer mu.Unlock()
				statuses[a.status]++
				if a.status == http.StatusConflict && !bytes.Contains(a.body, []byte(`"code":"not-unique"`)) {
					t.Errorf("refused with %s", a.body)
				}
			})
		}
		close(start)
		wg.Wait()
		if statuses[http.StatusCreated] != 1 || statuses[http.StatusConflict] != 31 {
			t.Errorf("statuses are %v, want one 201 and 31 409", statuses)
		}
	}
}

// TestReadYourWrites looks at once for what was just made or deleted.
func TestReadYourWrites(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	tr := s.plant(t)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 8 {
				name := fmt.Sprintf("mine %d %d", i, j)
				id := s.make(t, "/properties/"+tr.edge+"/secrets",
					attributes(fmt.Sprintf(`"name":%q,"type_of":"token","credentials":{"token":"t"}`, name)))
				if a := s.call(t, http.MethodGet, "/secrets/"+id, ""); a.status != http.StatusOK {
					t.Errorf("status %d right after 201", a.status)
				}
				if a := s.call(t, http.MethodDelete, "/secrets/"+id, ""); a.status != http.StatusNoContent || len(a.body) > 0 || a.header.Get("Content-Type") != "" {
					t.Errorf("delete: status %d with %d bytes of %q", a.status, len(a.body), a.header.Get("Content-Type"))
				}
				if a := s.call(t, http.MethodGet, "/secrets/"+id, ""); a.status != http.StatusNotFound {
					t.Errorf("status %d right after 204", a.status)
				}
			}
		})
	}
	wg.Wait()
	if p := decode[shapes](t, s.call(t, http.MethodGet, "/properties/"+tr.edge+"/secrets", "")).Meta.Pagination; *p["total_count"] != 0 {
		t.Errorf("%d secrets are left", *p["total_count"])
	}
}
