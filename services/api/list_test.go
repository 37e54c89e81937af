package api

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rekindle-dev/rekindle/pkg/secret"
)

// BenchmarkList asks for pages of a property with many secrets.
func BenchmarkList(b *testing.B) {
	const secrets = 20_000
	p := newTestProjection()
	for i := range secrets {
		s := &secret.Secret{
			ID: secret.NewID(secret.PrefixSecret), Org: "REKINDLE@LocalOrg", Property: "PR1", Name: fmt.Sprint("a secret ", i),
			Kind: secret.OAuth2, Status: secret.Succeeded,
			Credentials: secret.Credentials{ClientID: fmt.Sprint("client-", i), TokenURL: "https://idp.example.org/oauth2/token", RefreshOffset: new(int64(14400))},
			CreatedAt:   time.UnixMilli(int64(i + 1)), UpdatedAt: time.UnixMilli(int64(i + 1)),
		}
		p.secrets.put(newRow(s))
	}
	p.ready()
	name := func(s *secret.Secret) string { return s.Name }
	for what, q := range map[string]Query[*secret.Secret]{
		"filtered": {Match: func(s *secret.Secret) bool { return strings.Contains(s.Name, "77") }, Number: 1, Size: 100},
		"ordered":  {Order: []Order[*secret.Secret]{{By: name}}, Number: 3, Size: 100},
	} {
		b.Run(what, func(b *testing.B) {
			for b.Loop() {
				page, err := listRows(p, q, func() ([]*row, error) { return p.secrets.by(byProperty, "PR1"), nil })
				if err != nil || len(page.Items) != 100 {
					b.Fatal(len(page.Items), err)
				}
			}
		})
	}
}
