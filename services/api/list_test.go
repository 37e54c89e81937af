package api

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state"
)

// BenchmarkList asks for pages of 100 of properties with few and many secrets, of a
// million in all, while a thousand of these are refreshed each second.
func BenchmarkList(b *testing.B) {
	now := time.Now()
	p := crowd(1_000_000)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		refresh(b, p, stop)
	}()
	defer func() { close(stop); <-stopped }()
	for _, size := range []int{1000, 10_000, 100_000} {
		for _, question := range questions() {
			b.Run(fmt.Sprintf("%d/%s", size, strings.ReplaceAll(question.name, " ", "-")), func(b *testing.B) {
				q := question.q
				if q.Now, q.Size = now, 100; q.Number == 0 {
					q.Number = size / 200 // in the middle, or nearly
				}
				var took []time.Duration
				b.ReportAllocs()
				for b.Loop() {
					began := time.Now()
					found, err := seen(p, func() (runs[*row], error) { return p.secrets.by(byProperty, fmt.Sprint("PR", size)), nil })
					if page := q.of(found, &p.rooms); err != nil || page.Total == 0 {
						b.Fatal(page.Total, err)
					}
					took = append(took, time.Since(began))
				}
				slices.Sort(took)
				b.ReportMetric(took[len(took)/2].Seconds()*1000, "p50-ms")
				b.ReportMetric(took[len(took)*99/100].Seconds()*1000, "p99-ms")
			})
		}
	}
}

type question struct {
	name string
	q    SecretQuery // of the page 0, which is one in the middle
}

func questions() []question {
	contains := SecretFilter{Name: func(name string) bool { return strings.Contains(name, "77") }}
	succeeded := SecretFilter{Status: func(s secret.Status) bool { return s == secret.Succeeded }}
	recent := SecretFilter{UpdatedAt: func(millis int64) bool { return millis > 500_000 }}
	by := func(a SecretAttribute) []SecretOrder { return []SecretOrder{{By: a}} }
	return []question{
		{"first page", SecretQuery{Number: 1}},
		{"name contains 77", SecretQuery{Filter: contains, Number: 1}},
		{"one status", SecretQuery{Filter: succeeded, Number: 1}},
		{"updated after", SecretQuery{Filter: recent, Number: 1}},
		{"by name", SecretQuery{Order: by(SecretName), Number: 1}},
		{"by name, page in the middle", SecretQuery{Order: by(SecretName)}},
		{"by updated_at, page in the middle", SecretQuery{Order: by(SecretUpdatedAt)}},
		{"by environment_id and name, page in the middle", SecretQuery{Order: append(by(SecretEnvironment), by(SecretName)...)}},
		{"one status, by name, page in the middle", SecretQuery{Filter: succeeded, Order: by(SecretName)}},
		{"name contains 77, by updated_at", SecretQuery{Filter: contains, Order: by(SecretUpdatedAt), Number: 1}},
	}
}

// crowd is a projection in which PR100000, PR10000 and PR1000 have as many secrets
// as they say. Neighbours in a list are none in memory.
func crowd(total int) *projection {
	p := newTestProjection()
	for i := range total {
		n := i * 7_368_787 % total // anything from 0, once
		property := "PR0"
		switch {
		case n%10 == 0:
			property = "PR100000"
		case n%100 == 1:
			property = "PR10000"
		case n%1000 == 2:
			property = "PR1000"
		}
		status := secret.Succeeded
		if n%11 == 0 {
			status = secret.Failed
		}
		p.secrets.put(newRow(&secret.Secret{
			ID: crowdID(n), Org: "REKINDLE@LocalOrg", Property: property,
			Environment: fmt.Sprintf("EN%032d", n%70), Name: fmt.Sprintf("secret %07d", n*31%total),
			Kind: secret.OAuth2, Status: status,
			Credentials: secret.Credentials{ClientID: fmt.Sprint("client-", n), TokenURL: "https://idp.example.org/oauth2/token", RefreshOffset: new(int64(14400))},
			CreatedAt:   time.UnixMilli(int64(n + 1)), UpdatedAt: time.UnixMilli(int64(n*17%total + 1)),
		}))
	}
	p.ready()
	return p
}

func crowdID(n int) string { return fmt.Sprintf("SE%032d", n) }

// refresh changes two records each millisecond, as a thousand refreshes a second
// do, until it is stopped.
func refresh(b *testing.B, p *projection, stop chan struct{}) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for revision := p.at() + 1; ; revision++ {
		if revision%2 == 0 {
			select {
			case <-stop:
				return
			case <-tick.C:
			}
		}
		p.mu.RLock()
		s, ok := p.secret(crowdID(rand.IntN(1_000_000)))
		p.mu.RUnlock()
		if !ok {
			panic("a secret is gone")
		}
		s.Generation++
		s.UpdatedAt = s.UpdatedAt.Add(time.Millisecond)
		p.apply(encoded(b, state.SecretKey(s.ID), s, revision))
	}
}
