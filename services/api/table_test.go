package api

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rekindle-dev/rekindle/pkg/secret"
)

func newSecretTable() *table[*row] {
	return newTable(ageOfRow,
		func(r *row) string { return r.facet.Value().property },
		func(r *row) string { return r.facet.Value().environment })
}

// TestTableAgainstSorting makes random changes and holds the indexes against
// lists that are sorted anew.
func TestTableAgainstSorting(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		dice := rand.New(rand.NewPCG(seed, 0))
		live, loaded := newSecretTable(), newSecretTable()
		live.index()
		model := make(map[string]*secret.Secret)
		for range 400 {
			id := fmt.Sprint("SE", dice.IntN(60))
			if dice.IntN(4) == 0 {
				live.remove(id)
				loaded.remove(id)
				delete(model, id)
				continue
			}
			s := &secret.Secret{
				ID: id, Property: fmt.Sprint("PR", dice.IntN(3)),
				// Few times, so that many are equal; some change, which no
				// record should do.
				CreatedAt: time.UnixMilli(int64(dice.IntN(20))),
			}
			if old := model[id]; old != nil && dice.IntN(3) > 0 {
				s.CreatedAt, s.Property = old.CreatedAt, old.Property
			}
			if dice.IntN(2) == 0 {
				s.Environment = fmt.Sprint("EN", dice.IntN(3))
			}
			live.put(newRow(s))
			loaded.put(newRow(s))
			model[id] = s
		}
		loaded.index()
		for i := range 3 {
			for which, parent := range []string{fmt.Sprint("PR", i), fmt.Sprint("EN", i)} {
				want := newestFirst(model, func(s *secret.Secret) string { return live.indexes[which].parent(newRow(s)) }, parent)
				for name, table := range map[string]*table[*row]{"live": live, "loaded": loaded} {
					q := SecretQuery{Number: 1, Size: 1000}
					page := q.of(table.by(which, parent), new(rooms))
					if diff := cmp.Diff(want, ids(page.Items)); diff != "" {
						t.Fatalf("seed %d, %s, %s (-want +got):\n%s", seed, name, parent, diff)
					}
				}
			}
		}
	}
}

func newestFirst(model map[string]*secret.Secret, parentOf func(*secret.Secret) string, parent string) []string {
	var of []*secret.Secret
	for s := range maps.Values(model) {
		if parentOf(s) == parent {
			of = append(of, s)
		}
	}
	slices.SortFunc(of, func(a, b *secret.Secret) int {
		if c := b.CreatedAt.Compare(a.CreatedAt); c != 0 {
			return c
		}
		if a.ID < b.ID {
			return -1
		}
		return 1
	})
	return ids(of)
}

func ids(secrets []*secret.Secret) []string {
	out := make([]string, len(secrets))
	for i, s := range secrets {
		out[i] = s.ID
	}
	return out
}

func TestPages(t *testing.T) {
	t.Parallel()
	const huge = int(^uint(0) >> 1)
	odd := func(n int) bool { return n%2 == 1 }
	rising := []Order[int]{{By: func(n int) string { return string(rune('a' + n)) }}}
	falling := []Order[int]{{By: rising[0].By, Descending: true}}
	evenFirst := []Order[int]{{By: func(n int) string { return fmt.Sprint(n % 2) }}}
	tests := []struct {
		name  string
		total int
		query Query[int]
		items []int // the list is total … 1 when read newest first
		count int
	}{
		{"first", 5, Query[int]{Number: 1, Size: 2}, []int{5, 4}, 5},
		{"last", 5, Query[int]{Number: 3, Size: 2}, []int{1}, 5},
		{"full last", 4, Query[int]{Number: 2, Size: 2}, []int{2, 1}, 4},
		{"beyond the end", 4, Query[int]{Number: 3, Size: 2}, nil, 4},
		{"far beyond the end", 4, Query[int]{Number: huge, Size: huge}, nil, 4},
		{"all", 3, Query[int]{Number: 1, Size: huge}, []int{3, 2, 1}, 3},
		{"empty", 0, Query[int]{Number: 1, Size: 25}, nil, 0},
		{"nothing asked for", 3, Query[int]{}, nil, 3},
		{"matching", 6, Query[int]{Match: odd, Number: 1, Size: 2}, []int{5, 3}, 3},
		{"matching, next", 6, Query[int]{Match: odd, Number: 2, Size: 2}, []int{1}, 3},
		{"in an order", 4, Query[int]{Order: rising, Number: 1, Size: 3}, []int{1, 2, 3}, 4},
		{"in the reverse of it", 4, Query[int]{Order: falling, Number: 1, Size: 3}, []int{4, 3, 2}, 4},
		{"equal in the order", 4, Query[int]{Order: evenFirst, Number: 1, Size: 9}, []int{4, 2, 3, 1}, 4},
		{"in two orders", 6, Query[int]{Order: append(evenFirst, rising...), Number: 1, Size: 9}, []int{2, 4, 6, 1, 3, 5}, 6},
		{"matching, in an order", 6, Query[int]{Match: odd, Order: rising, Number: 2, Size: 2}, []int{5}, 3},
		{"far more than the page", 26, Query[int]{Order: rising, Number: 2, Size: 2}, []int{3, 4}, 26},
		{"beyond the end of an order", 4, Query[int]{Order: rising, Number: 3, Size: 2}, nil, 4},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var oldestFirst []int
			for i := range tt.total {
				oldestFirst = append(oldestFirst, i+1)
			}
			page := tt.query.of(runs[int]{oldestFirst})
			if !slices.Equal(page.Items, tt.items) || page.Total != tt.count || page.Items == nil {
				t.Errorf("got %v of %d, want %v of %d", page.Items, page.Total, tt.items, tt.count)
			}
		})
	}
}
