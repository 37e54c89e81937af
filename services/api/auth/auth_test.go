package auth_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rekindle-dev/rekindle/services/api/auth"
)

func TestAdmit(t *testing.T) {
	t.Parallel()
	gate := auth.NewGate(
		auth.NewBootstrap("", auth.Administrator("NOBODY@TestOrg")), // unset: nobody's
		auth.NewBootstrap("first", auth.Administrator("ONE@TestOrg")),
		auth.NewBootstrap("second", auth.Administrator("TWO@TestOrg")),
	)
	tests := []struct {
		name    string
		headers []string
		org     string
		err     error
	}{
		{"first", []string{"Authorization: Bearer first"}, "ONE@TestOrg", nil},
		{"second", []string{"Authorization: Bearer second"}, "TWO@TestOrg", nil},
		{"scheme in another case", []string{"Authorization: bEARER  first "}, "ONE@TestOrg", nil},
		{"its organisation", []string{"Authorization: Bearer first", "X-Gw-Ims-Org-Id: ONE@TestOrg"}, "ONE@TestOrg", nil},
		{"empty organisation", []string{"Authorization: Bearer first", "X-Gw-Ims-Org-Id: "}, "ONE@TestOrg", nil},
		{"any key", []string{"Authorization: Bearer first", "X-Api-Key: Activation-DTM"}, "ONE@TestOrg", nil},

		{"another organisation", []string{"Authorization: Bearer first", "X-Gw-Ims-Org-Id: TWO@TestOrg"}, "", auth.ErrOtherOrg},
		{"organisation in another case", []string{"Authorization: Bearer first", "X-Gw-Ims-Org-Id: one@testorg"}, "", auth.ErrOtherOrg},
		{"two organisations", []string{"Authorization: Bearer first", "X-Gw-Ims-Org-Id: ONE@TestOrg", "X-Gw-Ims-Org-Id: TWO@TestOrg"}, "", auth.ErrOtherOrg},
		{"nothing", nil, "", auth.ErrNoToken},
		{"no token", []string{"Authorization: Bearer"}, "", auth.ErrNoToken},
		{"blank token", []string{"Authorization: Bearer  "}, "", auth.ErrNoToken},
		{"another scheme", []string{"Authorization: Basic first"}, "", auth.ErrNoToken},
		{"no scheme", []string{"Authorization: first"}, "", auth.ErrNoToken},
		{"two headers", []string{"Authorization: Bearer first", "Authorization: Bearer first"}, "", auth.ErrNoToken},
		{"unknown", []string{"Authorization: Bearer third"}, "", auth.ErrUnknownToken},
		{"prefix", []string{"Authorization: Bearer firs"}, "", auth.ErrUnknownToken},
		{"zeroes", []string{"Authorization: Bearer " + strings.Repeat("\x00", 32)}, "", auth.ErrUnknownToken},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			for _, line := range tt.headers {
				name, value, _ := strings.Cut(line, ": ")
				r.Header.Add(name, value)
			}
			p, err := gate.Admit(r)
			if !errors.Is(err, tt.err) || p.Org != tt.org {
				t.Errorf("got %q and %v, want %q and %v", p.Org, err, tt.org, tt.err)
			}
			if err != nil && strings.Contains(err.Error(), "first") {
				t.Errorf("the error quotes a token: %v", err)
			}
		})
	}
}

// undecided is a verifier that cannot say.
type undecided struct{}

var errUndecided = errors.New("the provider does not answer")

func (undecided) Verify(context.Context, string) (auth.Principal, error) {
	return auth.Principal{}, errUndecided
}

func TestAVerifierThatCannotSayEndsTheSearch(t *testing.T) {
	t.Parallel()
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Authorization", "Bearer first")
	gate := auth.NewGate(undecided{}, auth.NewBootstrap("first", auth.Administrator("ONE@TestOrg")))
	if _, err := gate.Admit(r); !errors.Is(err, errUndecided) {
		t.Errorf("got %v, want what the verifier said", err)
	}
}

func TestRights(t *testing.T) {
	t.Parallel()
	some := auth.Rights{auth.Publish, auth.Approve}
	if diff := cmp.Diff([]auth.Right{auth.Approve, auth.Publish}, some.Among(auth.PropertyRights())); diff != "" {
		t.Errorf("rights (-want +got):\n%s", diff)
	}
	if none := auth.Rights(nil).Among(auth.PropertyRights()); none == nil || len(none) != 0 {
		t.Errorf("no rights are %v, want a list without members", none)
	}
	if !some.Have("") || some.Have(auth.Develop) || !auth.AllRights().Have(auth.ManageProperties) {
		t.Error("Have does not tell what is held")
	}
	if all := auth.AllRights(); len(all) != 11 {
		t.Errorf("%d rights, want 11", len(all))
	}
}

// TestNothingPrintsAToken prints a verifier in every way there is.
func TestNothingPrintsAToken(t *testing.T) {
	t.Parallel()
	b := auth.NewBootstrap("printed-token", auth.Administrator("ONE@TestOrg"))
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%x", "%q"} {
		if text := fmt.Sprintf(format, b); strings.Contains(text, "printed-token") || strings.Contains(text, fmt.Sprintf("%x", "printed-token")) {
			t.Errorf("%s prints %s", format, text)
		}
	}
}
