package api_test

import (
	"cmp"
	"errors"
	"fmt"
	"testing"

	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state/statetest"
	"github.com/rekindle-dev/rekindle/services/api"
	"github.com/rekindle-dev/rekindle/services/api/apitest"
)

// patched is a resource that two members of are changed, through any process.
type patched struct {
	// patch changes resource attributes, given as JSON, as who.
	patch func(s *api.Service, who api.Caller, attributes string) error
	// one and other set a member each to a text.
	one, other func(value string) string
	// read returns the two members and the tag, as the process shows them.
	read func(s *api.Service) (one, other, tag string)
}

func member(name string) func(string) string {
	return func(value string) string { return fmt.Sprintf(`%q:%q`, name, value) }
}

// patchables are one of each resource that has tags.
func patchables(t *testing.T, w *world) map[string]patched {
	ctx, me := t.Context(), apitest.Caller()
	attributes := func(members string) *api.Object {
		return document(t, "%s", `{"data":{"attributes":{`+members+`}}}`)
	}
	p := w.newProperty(t, "edge")
	e := must[*api.Environment](t)(newEnvironment(t, w.Service, p.ID, "staging"))
	h := must[*api.Host](t)(w.Service.CreateHost(ctx, me, p.ID, document(t, sftp, "k")))
	s := must[*api.Changed](t)(w.Service.CreateSecret(ctx, me, p.ID, attributes(
		`"name":"s","type_of":"oauth2","credentials":{"client_id":"c","client_secret":"s","token_url":"https://idp.test/t","options":{"b":"1","a":"2"}}`)))
	made := must[*api.DataElement](t)(newElement(t, w.Service, p.ID, "core::dataElements::secret", `{"secrets":{}}`))
	return map[string]patched{
		"data element": {
			func(s *api.Service, who api.Caller, members string) error {
				return only(s.ChangeDataElement(ctx, who, made.ID, attributes(members)))
			},
			member("name"), member("default_value"),
			func(s *api.Service) (string, string, string) {
				e := must[*api.DataElement](t)(s.DataElement(ctx, me, made.ID))
				return e.Name, *cmp.Or(e.Default, new(string)), e.Tag()
			},
		},
		"property": {
			func(s *api.Service, who api.Caller, members string) error {
				return only(s.ChangeProperty(ctx, who, p.ID, attributes(members)))
			},
			member("name"), member("privacy"),
			func(s *api.Service) (string, string, string) {
				p := must[*api.Property](t)(s.Property(ctx, me, p.ID))
				return p.Name, p.Privacy, p.Tag()
			},
		},
		"environment": {
			func(s *api.Service, who api.Caller, members string) error {
				return only(s.ChangeEnvironment(ctx, who, e.ID, attributes(members)))
			},
			member("name"), member("path"),
			func(s *api.Service) (string, string, string) {
				e := must[*api.Environment](t)(s.Environment(ctx, me, e.ID))
				return e.Name, e.Path, e.Tag()
			},
		},
		"host": {
			func(s *api.Service, who api.Caller, members string) error {
				return only(s.ChangeHost(ctx, who, h.ID, attributes(members)))
			},
			member("server"), member("username"),
			func(s *api.Service) (string, string, string) {
				h := must[*api.Host](t)(s.Host(ctx, me, h.ID))
				return h.Server, h.Username, h.Tag()
			},
		},
		"secret": {
			func(svc *api.Service, who api.Caller, members string) error {
				return only(svc.ChangeSecret(ctx, who, s.ID, attributes(members)))
			},
			member("name"), func(value string) string { return fmt.Sprintf(`"credentials":{"client_id":%q}`, value) },
			func(svc *api.Service) (string, string, string) {
				s := must[*secret.Secret](t)(svc.Secret(ctx, me, s.ID))
				return s.Name, s.Credentials.ClientID, api.SecretTag(s)
			},
		},
	}
}

// twoProcesses are two processes over one state.
func twoProcesses(t *testing.T) (*world, []*api.Service) {
	t.Helper()
	st := statetest.New()
	apitest.PublishKeyset(t, st)
	w := &world{Process: apitest.Start(t, st, api.Config{})}
	w.company = w.Service.Companies(apitest.Caller(), everything[*api.Company]()).Items[0]
	w.second = apitest.Start(t, st, api.Config{})
	return w, []*api.Service{w.Service, w.second.Service}
}

// TestTwoPatches: of two that change different members at once, through two
// processes, both have their way; of the same member the last has.
func TestTwoPatches(t *testing.T) {
	t.Parallel()
	w, doors := twoProcesses(t)
	for name, what := range patchables(t, w) {
		t.Run(name, func(t *testing.T) {
			for round := range 10 {
				first, second := fmt.Sprint(name, " one ", round), fmt.Sprint("other ", round)
				errs := together(2, func(i int) error {
					return what.patch(doors[i], apitest.Caller(), []string{what.one(first), what.other(second)}[i])
				})
				if err := errors.Join(errs...); err != nil {
					t.Fatal(err)
				}
				// A write of one's own is the end of what both have written, as soon
				// as it comes.
				third := first + ", again"
				if err := what.patch(doors[0], apitest.Caller(), what.one(third)); err != nil {
					t.Fatal(err)
				}
				if one, other, _ := what.read(doors[0]); one != third || other != second {
					t.Fatalf("round %d: %q and %q, want %q and %q", round, one, other, third, second)
				}
			}
		})
	}
}

// TestOneOfManyWithATag: of many who change what they have all seen, each another
// member or not, one is the first, and the others learn of it.
func TestOneOfManyWithATag(t *testing.T) {
	t.Parallel()
	w, doors := twoProcesses(t)
	for name, what := range patchables(t, w) {
		t.Run(name, func(t *testing.T) {
			const n = 16
			_, _, tag := what.read(doors[0])
			who := apitest.Caller()
			who.IfMatch = api.Tags{"of something else", tag}
			done := 0
			for _, err := range together(n, func(i int) error {
				set := what.one
				if i%2 > 0 {
					set = what.other
				}
				return what.patch(doors[i%2], who, set(fmt.Sprint(name, i)))
			}) {
				switch {
				case err == nil:
					done++
				case !errors.Is(err, api.ErrChanged):
					t.Error(err)
				}
			}
			if done != 1 {
				t.Errorf("%d changed it, want 1", done)
			}
			// Whoever asks, through any process, is given the same tag.
			if err := what.patch(doors[0], apitest.Caller(), what.one("before")); err != nil {
				t.Fatal(err)
			}
			_, _, tag = what.read(doors[0])
			who.IfMatch = api.Tags{tag}
			if err := what.patch(doors[1], who, what.one("last")); err != nil {
				t.Errorf("with the tag of the other process: %v", err)
			}
			_, _, here := what.read(doors[1])
			third := apitest.Start(t, w.State, api.Config{})
			if _, _, there := what.read(third.Service); here != there {
				t.Errorf("the tag is %s here and %s there", here, there)
			}
		})
	}
}
