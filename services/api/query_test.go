package api

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/rekindle-dev/rekindle/pkg/secret"
)

// TestSecretQueryAgainstSorting asks random questions about random secrets, and
// holds the pages against those of whole secrets that are filtered and sorted.
func TestSecretQueryAgainstSorting(t *testing.T) {
	t.Parallel()
	for seed := range uint64(30) {
		dice := rand.New(rand.NewPCG(seed, 0))
		table := newSecretTable()
		table.index()
		var newestFirst []*secret.Secret
		for range dice.IntN(3 * maxRun) {
			s := anySecret(dice)
			newestFirst = append(newestFirst, s)
			table.put(newRow(s))
		}
		slices.SortFunc(newestFirst, func(a, b *secret.Secret) int {
			return cmp.Or(b.CreatedAt.Compare(a.CreatedAt), cmp.Compare(a.ID, b.ID))
		})
		for range 60 {
			q := anyQuery(dice, len(newestFirst))
			got, want := q.of(table.by(byProperty, "PR1"), new(rooms)), naivePage(q, newestFirst)
			if got.Total != want.Total || got.Items == nil {
				t.Fatalf("seed %d: %d in all, want %d", seed, got.Total, want.Total)
			}
			if diff := gocmp.Diff(ids(want.Items), ids(got.Items)); diff != "" {
				t.Fatalf("seed %d, by %v, page %d of %d (-want +got):\n%s", seed, q.Order, q.Number, q.Size, diff)
			}
		}
	}
}

var queried = time.UnixMilli(1_000_000).UTC()

// anySecret has much in common with others: there are few times, and names that
// differ late, by their length, by zeros, or not at all.
func anySecret(dice *rand.Rand) *secret.Secret {
	pick := func(of ...string) string { return of[dice.IntN(len(of))] }
	s := &secret.Secret{
		ID: fmt.Sprintf("SE%08d", dice.IntN(1e8)), Property: "PR1", Environment: pick("", "EN1", "EN2", "EN"+strings.Repeat("3", 32)),
		Name: pick("", "a", "crm of the first region ", "é") + pick("", "1", "\x00", "\x00\x00\x00\x00\x00\x00\x00\x00", "1\x00", "12345", "123456", "1234567") + pick("", "x", "\x00", "\xff"),
		Kind: secret.Kinds()[dice.IntN(len(secret.Kinds()))], Status: secret.Status(pick("pending", "succeeded", "failed")),
		CreatedAt: moment(int64(dice.IntN(9) - 3)), UpdatedAt: moment(int64(dice.IntN(9) - 3)),
		Decision: dice.Uint64(), Generation: dice.Uint64(),
	}
	switch dice.IntN(4) {
	case 0:
		s.Authorization = &secret.Authorization{AskedUntil: queried.Add(time.Duration(dice.IntN(3)-1) * time.Minute)}
	case 1:
		s.Authorization = &secret.Authorization{ConsentedAt: queried}
	}
	return s
}

// anyQuery asks for anything, and now and then for a page that is not there.
func anyQuery(dice *rand.Rand, total int) SecretQuery {
	q := SecretQuery{Now: queried, Number: 1 + dice.IntN(4), Size: 1 + dice.IntN(total+2)}
	for range dice.IntN(4) {
		q.Order = append(q.Order, SecretOrder{SecretAttribute(dice.IntN(int(SecretUpdatedAt) + 1)), dice.IntN(2) == 0})
	}
	f, asked := &q.Filter, func() bool { return dice.IntN(6) == 0 }
	if asked() {
		f.Environment = func(id string) bool { return id < "EN2" }
	}
	if asked() {
		f.Kind = func(k secret.Kind) bool { return len(k)%2 == 0 }
	}
	if asked() {
		f.Status = func(s secret.Status) bool { return s != secret.Failed }
	}
	if asked() {
		f.Name = func(name string) bool { return strings.Contains(name, "1") }
	}
	if asked() {
		f.CreatedAt = func(millis int64) bool { return millis < 3 }
	}
	if asked() {
		f.UpdatedAt = func(millis int64) bool { return millis != 0 }
	}
	return q
}

// naivePage is what a page is by definition.
func naivePage(q SecretQuery, newestFirst []*secret.Secret) Page[*secret.Secret] {
	page := Page[*secret.Secret]{Items: []*secret.Secret{}}
	f := q.Filter
	var chosen []*secret.Secret
	for _, s := range newestFirst {
		if (f.Environment == nil || f.Environment(s.Environment)) && (f.Kind == nil || f.Kind(s.Kind)) &&
			(f.Status == nil || f.Status(s.StatusAt(q.Now))) && (f.Name == nil || f.Name(s.Name)) &&
			(f.CreatedAt == nil || f.CreatedAt(millis(s.CreatedAt))) && (f.UpdatedAt == nil || f.UpdatedAt(millis(s.UpdatedAt))) {
			chosen = append(chosen, s)
		}
	}
	slices.SortStableFunc(chosen, func(a, b *secret.Secret) int {
		for _, o := range q.Order {
			c := map[SecretAttribute]int{
				SecretEnvironment: cmp.Compare(a.Environment, b.Environment),
				SecretKind:        cmp.Compare(a.Kind.Canonical(), b.Kind.Canonical()),
				SecretStatus:      cmp.Compare(a.StatusAt(q.Now), b.StatusAt(q.Now)),
				SecretName:        cmp.Compare(a.Name, b.Name),
				SecretCreatedAt:   a.CreatedAt.Compare(b.CreatedAt),
				SecretUpdatedAt:   a.UpdatedAt.Compare(b.UpdatedAt),
			}[o.By]
			if o.Descending {
				c = -c
			}
			if c != 0 {
				return c
			}
		}
		return 0
	})
	page.Total = len(chosen)
	for i := (q.Number - 1) * q.Size; i < min(q.Number*q.Size, len(chosen)); i++ {
		page.Items = append(page.Items, chosen[i])
	}
	return page
}
