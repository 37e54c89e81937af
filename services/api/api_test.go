package api_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	dto "github.com/prometheus/client_model/go"
	"go.uber.org/goleak"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/seal"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/pkg/state/statetest"
	"github.com/rekindle-dev/rekindle/services/api"
	"github.com/rekindle-dev/rekindle/services/api/apitest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is one process over a state, with an edge property in it.
type world struct {
	*apitest.Process
	opener   *seal.Opener
	company  *api.Company
	property *api.Property
	second   *apitest.Process // nil unless there are two
}

func newWorld(t testing.TB) *world {
	t.Helper()
	st := statetest.New()
	opener := apitest.PublishKeyset(t, st)
	w := &world{Process: apitest.Start(t, st, api.Config{}), opener: opener}
	w.company = w.Service.Companies(apitest.Caller(), everything[*api.Company]()).Items[0]
	w.property = w.newProperty(t, "edge")
	return w
}

func everything[T any]() api.Query[T] { return api.Query[T]{Number: 1, Size: 1 << 30} }
func allSecrets() api.SecretQuery     { return api.SecretQuery{Number: 1, Size: 1 << 30} }

func document(t testing.TB, format string, args ...any) *api.Object {
	t.Helper()
	data, err := api.ReadDocument(fmt.Appendf(nil, format, args...))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func (w *world) newProperty(t testing.TB, platform string) *api.Property {
	t.Helper()
	p, err := w.Service.CreateProperty(t.Context(), apitest.Caller(), w.company.ID,
		document(t, `{"data":{"attributes":{"name":"p","platform":%q,"domains":["example.org"]}}}`, platform))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func newEnvironment(t testing.TB, s *api.Service, property, stage string) (*api.Environment, error) {
	return s.CreateEnvironment(t.Context(), apitest.Caller(), property,
		document(t, `{"data":{"attributes":{"name":"e","stage":%q}}}`, stage))
}

func newToken(t testing.TB, s *api.Service, property, environment, name string) (*secret.Secret, error) {
	relationships := "{}"
	if environment != "" {
		relationships = fmt.Sprintf(`{"environment":{"data":{"id":%q,"type":"environments"}}}`, environment)
	}
	made, err := s.CreateSecret(t.Context(), apitest.Caller(), property,
		document(t, `{"data":{"attributes":{"name":%q,"type_of":"token","credentials":{"token":"t0p"}},"relationships":%s}}`,
			name, relationships))
	if err != nil {
		return nil, err
	}
	return made.Secret, nil
}

func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// code returns the one code an error refuses with.
func code(err error) api.Code {
	refused, ok := errors.AsType[*api.RefusedError](err)
	if !ok || len(refused.Problems) != 1 {
		return ""
	}
	return refused.Problems[0].Code
}

func TestNothingIsCreatedWithoutAKeyset(t *testing.T) {
	t.Parallel()
	st := statetest.New()
	w := &world{Process: apitest.Start(t, st, api.Config{})}
	w.company = w.Service.Companies(apitest.Caller(), everything[*api.Company]()).Items[0]
	property := w.newProperty(t, "edge")
	if _, err := newToken(t, w.Service, property.ID, "", "early"); !errors.Is(err, api.ErrNotReady) {
		t.Fatalf("got error %v, want ErrNotReady", err)
	}
	select {
	case <-w.Service.Sealing():
		t.Fatal("sealing without a keyset")
	default:
	}
	apitest.PublishKeyset(t, st)
	select {
	case <-w.Service.Sealing():
	case <-time.After(apitest.Patience):
		t.Fatal("not sealing with a keyset")
	}
	if _, err := newToken(t, w.Service, property.ID, "", "early"); err != nil {
		t.Fatal(err)
	}
}

func TestOneCompany(t *testing.T) {
	t.Parallel()
	st := statetest.New()
	cfg := api.Config{Org: "ONE@TestOrg", Company: "One"}
	ids := make(chan string, 8)
	see := func(t *testing.T, cfg api.Config) {
		p := apitest.Start(t, st, cfg)
		for _, c := range p.Service.Companies(api.Caller{Org: cfg.Org}, everything[*api.Company]()).Items {
			ids <- c.ID
			if c.Name != "One" {
				t.Errorf("the company is called %s", c.Name)
			}
		}
	}
	t.Run("at once", func(t *testing.T) {
		for i := range 4 {
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				t.Parallel()
				see(t, cfg)
			})
		}
	})
	see(t, api.Config{Org: cfg.Org, Company: "Another name"})
	close(ids)
	seen := slices.Collect(func(yield func(string) bool) {
		for id := range ids {
			if !yield(id) {
				return
			}
		}
	})
	if len(seen) != 5 || len(slices.Compact(seen)) != 1 {
		t.Fatalf("the processes see the companies %v, want one and the same", seen)
	}
	if id := seen[0]; !secret.ValidID(secret.PrefixCompany, id) || id[2+12] != '4' || !strings.ContainsRune("89ab", rune(id[2+16])) {
		t.Errorf("%s has not the form of a version 4 UUID", id)
	}
}

func TestOthersSeeNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	environment := must[*api.Environment](t)(newEnvironment(t, w.Service, w.property.ID, "staging"))
	made := must[*secret.Secret](t)(newToken(t, w.Service, w.property.ID, environment.ID, "mine"))
	other := api.Caller{Org: "OTHER@TestOrg"}
	s, ctx := w.Service, t.Context()

	check := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, api.ErrNotFound) {
			t.Errorf("%s: got error %v, want ErrNotFound", what, err)
		}
	}
	if page := s.Companies(other, everything[*api.Company]()); page.Total != 0 {
		t.Error("another organisation sees the company")
	}
	_, err := s.Company(other, w.company.ID)
	check("company", err)
	_, err = s.Properties(other, w.company.ID, everything[*api.Property]())
	check("properties", err)
	_, err = s.Property(t.Context(), other, w.property.ID)
	check("property", err)
	_, err = s.Environments(t.Context(), other, w.property.ID, everything[*api.Environment]())
	check("environments", err)
	_, err = s.Environment(t.Context(), other, environment.ID)
	check("environment", err)
	_, err = s.SecretsOfProperty(t.Context(), other, w.property.ID, allSecrets())
	check("secrets of property", err)
	_, err = s.SecretsOfEnvironment(t.Context(), other, environment.ID, allSecrets())
	check("secrets of environment", err)
	_, err = s.Secret(t.Context(), other, made.ID)
	check("secret", err)
	_, err = s.CreateProperty(ctx, other, w.company.ID, document(t, `{"data":{}}`))
	check("create property", err)
	_, err = s.CreateEnvironment(ctx, other, w.property.ID, document(t, `{"data":{}}`))
	check("create environment", err)
	_, err = s.CreateSecret(ctx, other, w.property.ID, document(t, `{"data":{}}`))
	check("create secret", err)
	check("delete secret", s.DeleteSecret(ctx, other, made.ID))
	check("delete environment", s.DeleteEnvironment(ctx, other, environment.ID))
	check("delete property", s.DeleteProperty(ctx, other, w.property.ID))
	if _, err := s.Secret(t.Context(), apitest.Caller(), made.ID); err != nil {
		t.Errorf("the secret has gone: %v", err)
	}
}

func TestEventsAnnounce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	made := must[*secret.Secret](t)(newToken(t, w.Service, w.property.ID, "", "said"))
	if err := w.Service.DeleteSecret(t.Context(), apitest.Caller(), made.ID); err != nil {
		t.Fatal(err)
	}
	published := w.Events.Published()
	if len(published) != 2 {
		t.Fatalf("%d events, want 2", len(published))
	}
	want := []events.Event{
		{
			ID: made.ID + ".created", Source: "/rekindle/api", Org: api.DefaultOrg, Time: made.CreatedAt,
			Data: events.SecretCreated{Secret: made.ID, Property: w.property.ID, Name: "said", Kind: "token", By: "ada@example.org"},
		},
		{
			ID: made.ID + ".deleted", Source: "/rekindle/api", Org: api.DefaultOrg, Time: published[1].Time,
			Data: events.SecretDeleted{Secret: made.ID, Property: w.property.ID, Name: "said", Kind: "token", By: "ada@example.org"},
		},
	}
	if diff := cmp.Diff(want, published); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

func TestAnEventThatFailsDoesNotFailTheChange(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Events.Break(errors.New("no stream"))
	made := must[*secret.Secret](t)(newToken(t, w.Service, w.property.ID, "", "unsaid"))
	if _, err := w.Service.Secret(t.Context(), apitest.Caller(), made.ID); err != nil {
		t.Error(err)
	}
	if !strings.Contains(w.Log.String(), "an event could not be published") {
		t.Error("the log does not tell of the event")
	}
	families, err := w.Metrics.Gather()
	families = slices.DeleteFunc(families, func(f *dto.MetricFamily) bool { return f.GetName() != "rekindle_events_unpublished_total" })
	if err != nil || len(families) != 1 || families[0].GetMetric()[0].GetCounter().GetValue() != 1 {
		t.Errorf("the event was not counted: %v, %v", families, err)
	}
}

// TestAFailingState checks what is told when the outcome of a commit is not
// known, and that what was made is there afterwards.
func TestAFailingState(t *testing.T) {
	t.Parallel()
	inner := statetest.New()
	apitest.PublishKeyset(t, inner)
	faulty := statetest.NewFaulty(inner)
	w := &world{Process: apitest.Start(t, faulty, api.Config{})}
	w.company = w.Service.Companies(apitest.Caller(), everything[*api.Company]()).Items[0]
	property := w.newProperty(t, "edge")
	for _, when := range []statetest.When{statetest.Before, statetest.After} {
		faulty.FailCommit(len(faulty.Commits())+1, when)
		name := "lost " + when.String()
		if _, err := newToken(t, w.Service, property.ID, "", name); !errors.Is(err, api.ErrUnavailable) {
			t.Fatalf("%s: got error %v, want ErrUnavailable", name, err)
		}
		_, err := newToken(t, w.Service, property.ID, "", name)
		if written := when == statetest.After; written != (code(err) == api.NotUnique) {
			t.Errorf("%s: the second try got %v", name, err)
		}
	}
}

func TestRecordsThatCannotBeReadStandAsTheyWere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	made := must[*secret.Secret](t)(newToken(t, w.Service, w.property.ID, "", "sound"))
	for _, key := range []string{state.PropertyKey(w.property.ID), state.SecretKey(made.ID), state.KeysetKey} {
		_, rev, err := w.State.Get(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.State.Commit(t.Context(), state.Write{Key: key, Value: []byte(`{"id":7}`), Expect: rev}); err != nil {
			t.Fatal(err)
		}
	}
	w.newProperty(t, "web") // the projection has come to the broken records
	if _, err := w.Service.Secret(t.Context(), apitest.Caller(), made.ID); err != nil {
		t.Errorf("the secret is not shown any more: %v", err)
	}
	if _, err := newToken(t, w.Service, w.property.ID, "", "another"); err != nil {
		t.Errorf("nothing can be created any more: %v", err)
	}
	if n := strings.Count(w.Log.String(), "a record cannot be read"); n != 3 {
		t.Errorf("the log tells of %d records, want 3", n)
	}
}
