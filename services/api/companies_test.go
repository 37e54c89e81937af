package api_test

import (
	"testing"

	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/services/api"
)

// TestUserID: a person may take another name, and another's name, and is the same user.
func TestUserID(t *testing.T) {
	t.Parallel()
	caller := func(principal, name string) api.Caller {
		return api.Caller{Org: api.DefaultOrg, Principal: principal, Actor: secret.Actor{Email: name + "@example.org", DisplayName: name}}
	}
	ada := api.UserID(caller("oidc https://idp.test 1", "ada"))
	if renamed := api.UserID(caller("oidc https://idp.test 1", "grace")); renamed != ada {
		t.Errorf("after another name %s, before %s", renamed, ada)
	}
	if other := api.UserID(caller("oidc https://idp.test 2", "ada")); other == ada {
		t.Error("two who say the same of themselves are one user")
	}
}
