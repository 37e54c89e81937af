package api

import (
	"fmt"
	"slices"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/provider"
	"github.com/rekindle-dev/rekindle/pkg/secret"
)

// Some providers end the oldest grant of an account with an app, unannounced, when
// there are too many (Google: 100). What is known of it here is how many secrets
// have one, by the fingerprints of accounts: the least there can be.

// accountIn returns the account whose grant a secret has, of those providers' apps
// that limit them; "" for none.
func accountIn(apps provider.Apps) func(*row) string {
	return func(r *row) string {
		if r.more == nil {
			return ""
		}
		return accountOf(apps, r.facet.Value().kind, r.more.authorization)
	}
}

func accountOf(apps provider.Apps, kind secret.Kind, a *secret.Authorization) string {
	if a == nil || !a.EndedAt.IsZero() || apps[kind.Provider()].Provider.Refresh.PerAccount == 0 {
		return ""
	}
	return a.Account
}

// warned is a secret with the warning that its account has nearly as many grants as
// it may have, if that is so. The view is locked.
func (s *Service) warned(found *secret.Secret) *secret.Secret {
	p := s.cfg.Apps[found.Kind.Provider()].Provider
	account := accountOf(s.cfg.Apps, found.Kind, found.Authorization)
	if account == "" {
		return found
	}
	n := s.view.secrets.by(byAccount, account).len()
	if 10*n < 9*p.Refresh.PerAccount {
		return found
	}
	warned := *found
	warned.Warnings = append(slices.Clip(found.Warnings), secret.Warning{
		Code: string(events.WarningAccountLimit),
		Detail: fmt.Sprintf("%d secrets have a grant of this account, and %s ends the oldest of an account and app beyond %d, unannounced; "+
			"each new consent counts: consent with another account, or delete what is not needed", n, p.Label, p.Refresh.PerAccount),
	})
	return &warned
}

// warnedPage is a page of secrets with such warnings.
func (s *Service) warnedPage(page Page[*secret.Secret]) Page[*secret.Secret] {
	s.view.mu.RLock()
	defer s.view.mu.RUnlock()
	for i, found := range page.Items {
		page.Items[i] = s.warned(found)
	}
	return page
}
