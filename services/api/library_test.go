package api_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/pkg/state/statetest"
	"github.com/rekindle-dev/rekindle/services/api"
	"github.com/rekindle-dev/rekindle/services/api/apitest"
)

const secretDelegate = "core::dataElements::secret"

// newElement makes a data element with these settings.
func newElement(t testing.TB, s *api.Service, property, delegate, settings string) (*api.DataElement, error) {
	return s.CreateDataElement(t.Context(), apitest.Caller(), property, document(t,
		`{"data":{"attributes":{"name":"e","delegate_descriptor_id":%q,"settings":%q},"relationships":{"extension":{"data":{"id":"EX%s","type":"extensions"}}}}}`,
		delegate, settings, property[2:]))
}

// naming are settings that name a secret for each of the stages.
func naming(id string, stages ...string) string {
	chosen := make([]string, len(stages))
	for i, stage := range stages {
		chosen[i] = fmt.Sprintf(`%q:{"id":%q,"name":"n"}`, stage, id)
	}
	return `{"secrets":{` + strings.Join(chosen, ",") + `}}`
}

// TestNothingChanges: what a request leaves as it is is not written, so that it is not
// told either, and what is revised stays so.
func TestNothingChanges(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx, me := t.Context(), apitest.Caller()
	e := must[*api.DataElement](t)(newElement(t, w.Service, w.property.ID, secretDelegate, `{"secrets":{}}`))
	must[*api.DataElement](t)(w.Service.ChangeDataElement(ctx, me, e.ID, document(t, `{"data":{"meta":{"action":"revise"}}}`)))
	l := w.shelve(t, must[*api.Environment](t)(newEnvironment(t, w.Service, w.property.ID, "development")), e.ID)
	at := must[*api.DataElement](t)(w.Service.DataElement(ctx, me, e.ID)).Tag()
	for what, change := range map[string]func() error{
		"no member": func() error { return only(w.Service.ChangeLibrary(ctx, me, l.ID, document(t, `{"data":{}}`))) },
		"its name": func() error {
			return only(w.Service.ChangeLibrary(ctx, me, l.ID, document(t, `{"data":{"attributes":{"name":"l"}}}`)))
		},
		"what it has":   func() error { return only(w.Service.LinkElements(ctx, me, l.ID, api.Link, linkage(t, e.ID))) },
		"all it has":    func() error { return only(w.Service.LinkElements(ctx, me, l.ID, api.Replace, linkage(t, e.ID))) },
		"nothing of it": func() error { return only(w.Service.LinkElements(ctx, me, l.ID, api.Unlink, linkage(t))) },
	} {
		if err := change(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if now := must[*api.Library](t)(w.Service.Library(ctx, me, l.ID)); now.Tag() != l.Tag() {
			t.Errorf("%s: the library has changed", what)
		}
	}
	must[*api.DataElement](t)(w.Service.ChangeDataElement(ctx, me, e.ID, document(t, `{"data":{}}`)))
	if now := must[*api.DataElement](t)(w.Service.DataElement(ctx, me, e.ID)); now.Tag() != at || now.Dirty() {
		t.Error("a data element that nobody has changed is dirty")
	}
}

func newLibrary(t testing.TB, s *api.Service, property string) (*api.Library, error) {
	return s.CreateLibrary(t.Context(), apitest.Caller(), property, document(t, `{"data":{"attributes":{"name":"l"}}}`))
}

func linkage(t testing.TB, ids ...string) *api.Linkage {
	t.Helper()
	refs := make([]string, len(ids))
	for i, id := range ids {
		refs[i] = fmt.Sprintf(`{"id":%q,"type":"data_elements"}`, id)
	}
	l, err := api.ReadLinkage([]byte(`{"data":[`+strings.Join(refs, ",")+`]}`), "data_elements")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// shelve makes a library with the data elements in an environment.
func (w *world) shelve(t testing.TB, e *api.Environment, elements ...string) *api.Library {
	t.Helper()
	l := must[*api.Library](t)(newLibrary(t, w.Service, e.Property))
	must[*api.Library](t)(w.Service.LinkElements(t.Context(), apitest.Caller(), l.ID, api.Link, linkage(t, elements...)))
	return must[*api.Library](t)(w.Service.PlaceLibrary(t.Context(), apitest.Caller(), l.ID, e.ID))
}

// act carries out an action on a library.
func (w *world) act(t testing.TB, library string, action api.Action) {
	t.Helper()
	must[*api.Library](t)(w.Service.ChangeLibrary(t.Context(), apitest.Caller(), library,
		document(t, `{"data":{"meta":{"action":%q}}}`, string(action))))
}

// built waits for the end of a build.
func built(t testing.TB, st state.Store, id string) *api.Build {
	t.Helper()
	b := new(api.Build)
	apitest.Watch(t, st, state.BuildKey(id), func(records map[string][]byte) bool {
		body, ok := records[state.BuildKey(id)]
		*b = api.Build{}
		return ok && json.Unmarshal(body, b) == nil && b.Status != secret.Pending
	})
	return b
}

func (w *world) build(t testing.TB, library string) *api.Build {
	t.Helper()
	b := must[*api.Build](t)(w.Service.CreateBuild(t.Context(), apitest.Caller(), library))
	if b.Status != secret.Pending {
		t.Errorf("a build begins as %s", b.Status)
	}
	return built(t, w.State, b.ID)
}

// exchanged lets the exchange of a secret end.
func (w *world) exchanged(t testing.TB, id string, failure *secret.Failure) {
	t.Helper()
	_, rev, err := secret.Store{State: w.State}.Update(t.Context(), id, func(s *secret.Secret) error {
		s.Apply(&secret.Outcome{Decision: s.Decision, Action: secret.Exchange, At: s.CreatedAt, Environment: s.Environment, Failure: failure}, s.CreatedAt)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	must[*secret.Secret](t)(newToken(t, w.Service, w.property.ID, "", fmt.Sprint("later than ", rev))) // by now it is seen
}

// TestBuildRule: every secret data element needs a secret that has succeeded in the
// environment (contract A15.7).
func TestBuildRule(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := func(stage string) *api.Environment {
		return must[*api.Environment](t)(newEnvironment(t, w.Service, w.property.ID, stage))
	}
	dev, other, staging := in("development"), in("development"), in("staging")
	made := func(property string, e *api.Environment, name string) string {
		environment := ""
		if e != nil {
			environment = e.ID
		}
		return must[*secret.Secret](t)(newToken(t, w.Service, property, environment, name)).ID
	}
	good, pending, failed, loose := made(w.property.ID, dev, "good"), made(w.property.ID, dev, "pending"), made(w.property.ID, dev, "failed"), made(w.property.ID, nil, "loose")
	away, staged, foreign, gone := made(w.property.ID, other, "away"), made(w.property.ID, staging, "staged"), made(w.newProperty(t, "edge").ID, nil, "foreign"), made(w.property.ID, dev, "gone")
	w.exchanged(t, failed, &secret.Failure{Reason: "invalid_client", Detail: "x"})
	for _, id := range []string{good, loose, away, staged, foreign} {
		w.exchanged(t, id, nil)
	}
	if err := w.Service.DeleteSecret(t.Context(), apitest.Caller(), gone); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name, delegate, settings string
		environment              *api.Environment
		want                     string // what the one fault says, "" for none
	}{
		{"good", secretDelegate, naming(good, "development"), dev, ""},
		{"good for the stage, and bad for another", secretDelegate, `{"secrets":{"development":{"id":"` + good + `","name":"n"},"production":{"id":"` + gone + `","name":"n"}}}`, dev, ""},
		{"of another delegate", "core::dataElements::path", `{"path":"x"}`, dev, ""},
		{"staging", secretDelegate, naming(staged, "staging"), staging, ""},
		{"no settings", secretDelegate, "", dev, "names no secret for the stage development"},
		{"nothing chosen", secretDelegate, `{"secrets":{}}`, dev, "names no secret for the stage development"},
		{"for another stage", secretDelegate, naming(good, "staging", "production"), dev, "names no secret for the stage development"},
		{"pending", secretDelegate, naming(pending, "development"), dev, "whose status is pending"},
		{"failed", secretDelegate, naming(failed, "development"), dev, "whose status is failed"},
		{"in no environment", secretDelegate, naming(loose, "development"), dev, "not attached to the environment"},
		{"in another one of the stage", secretDelegate, naming(away, "development"), dev, "not attached to the environment"},
		{"of another property", secretDelegate, naming(foreign, "development"), dev, "which the property does not have"},
		{"deleted", secretDelegate, naming(gone, "development"), dev, "which the property does not have"},
		{"never was", secretDelegate, naming("x", "development"), dev, "which the property does not have"},
	} {
		t.Run(row.name, func(t *testing.T) {
			e := must[*api.DataElement](t)(newElement(t, w.Service, w.property.ID, row.delegate, row.settings))
			l := must[*api.Library](t)(newLibrary(t, w.Service, w.property.ID))
			must[*api.Library](t)(w.Service.LinkElements(t.Context(), apitest.Caller(), l.ID, api.Link, linkage(t, e.ID)))
			if row.environment == staging {
				w.act(t, l.ID, api.Submit)
			}
			must[*api.Library](t)(w.Service.PlaceLibrary(t.Context(), apitest.Caller(), l.ID, row.environment.ID))
			b := w.build(t, l.ID)
			switch {
			case row.want == "" && (b.Status != secret.Succeeded || len(b.Faults) != 0):
				t.Errorf("the build has %s: %v", b.Status, b.Faults)
			case row.want != "" && (b.Status != secret.Failed || len(b.Faults) != 1 || !strings.Contains(b.Faults[0].Detail, row.want) || !strings.Contains(b.Faults[0].Detail, e.ID)):
				t.Errorf("the build has %s: %v; want a fault that says %q", b.Status, b.Faults, row.want)
			}
			if err := w.Service.DeleteLibrary(t.Context(), apitest.Caller(), l.ID); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestBuildTellsOfEachElement: and not of more than can be read.
func TestBuildTellsOfEachElement(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	dev := must[*api.Environment](t)(newEnvironment(t, w.Service, w.property.ID, "development"))
	var elements []string
	for range 30 {
		elements = append(elements, must[*api.DataElement](t)(newElement(t, w.Service, w.property.ID, secretDelegate, "")).ID)
	}
	if err := w.Service.DeleteDataElement(t.Context(), apitest.Caller(), elements[1]); err != nil {
		t.Fatal(err)
	}
	l := must[*api.Library](t)(newLibrary(t, w.Service, w.property.ID))
	if _, err := w.Service.LinkElements(t.Context(), apitest.Caller(), l.ID, api.Link, linkage(t, elements...)); code(err) != api.DeletedResources {
		t.Fatalf("a deleted one is linked: %v", err)
	}
	elements = slices.Delete(elements, 1, 2)
	must[*api.Library](t)(w.Service.LinkElements(t.Context(), apitest.Caller(), l.ID, api.Link, linkage(t, elements...)))
	must[*api.Library](t)(w.Service.PlaceLibrary(t.Context(), apitest.Caller(), l.ID, dev.ID))
	if err := w.Service.DeleteDataElement(t.Context(), apitest.Caller(), elements[0]); err != nil {
		t.Fatal(err)
	}
	b := w.build(t, l.ID)
	if len(b.Faults) != 21 || b.Faults[0].Code != api.DeletedResources || b.Faults[20].Detail != "there are 9 faults more" {
		t.Errorf("%d faults: %v", len(b.Faults), b.Faults)
	}
}

// TestAPendingBuildIsEnded lets the process that began a build die before and while
// it ends it: another does.
func TestAPendingBuildIsEnded(t *testing.T) {
	t.Parallel()
	for _, when := range []statetest.When{statetest.Before, statetest.After} {
		t.Run(when.String(), func(t *testing.T) {
			t.Parallel()
			inner := statetest.New()
			apitest.PublishKeyset(t, inner)
			faulty := statetest.NewFaulty(inner)
			w := &world{Process: apitest.Start(t, faulty, api.Config{})}
			w.company = w.Service.Companies(apitest.Caller(), everything[*api.Company]()).Items[0]
			w.property = w.newProperty(t, "edge")
			prod := must[*api.Environment](t)(newEnvironment(t, w.Service, w.property.ID, "production"))
			l := must[*api.Library](t)(newLibrary(t, w.Service, w.property.ID))
			w.act(t, l.ID, api.Approve)
			must[*api.Library](t)(w.Service.PlaceLibrary(t.Context(), apitest.Caller(), l.ID, prod.ID))
			faulty.Crash(len(faulty.Commits())+2, when)
			b := must[*api.Build](t)(w.Service.CreateBuild(t.Context(), apitest.Caller(), l.ID))
			w.Log.Await(t, "what is half done could not be put right")
			w.Stop()

			after := apitest.Start(t, inner, api.Config{})
			if ended := built(t, inner, b.ID); ended.Status != secret.Succeeded {
				t.Errorf("the build has %s: %v", ended.Status, ended.Faults)
			}
			must[*api.Library](t)(newLibrary(t, after.Service, w.property.ID)) // by now the end of the build is seen
			shown := must[*api.Library](t)(after.Service.Library(t.Context(), apitest.Caller(), l.ID))
			if shown.State != api.Published {
				t.Errorf("the library is %s", shown.State)
			}
		})
	}
}

// TestOneLibraryGetsTheEnvironment lets libraries of two processes want the same.
func TestOneLibraryGetsTheEnvironment(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	second := apitest.Start(t, w.State, api.Config{})
	doors := []*api.Service{w.Service, second.Service}
	for range 5 {
		dev := must[*api.Environment](t)(newEnvironment(t, w.Service, w.property.ID, "development"))
		const n = 8
		var libraries []string
		for range n {
			libraries = append(libraries, must[*api.Library](t)(newLibrary(t, w.Service, w.property.ID)).ID)
		}
		errs := together(n, func(i int) error {
			_, err := doors[i%2].PlaceLibrary(t.Context(), apitest.Caller(), libraries[i], dev.ID)
			return err
		})
		if ok, refused := tally(t, errs, api.Conflict); ok != 1 || refused != n-1 {
			t.Fatalf("%d got the environment and %d did not, want 1 and %d", ok, refused, n-1)
		}
	}
}

// TestRevisionsAreNumberedOnce revises one data element in two processes at once.
func TestRevisionsAreNumberedOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	second := apitest.Start(t, w.State, api.Config{})
	doors := []*api.Service{w.Service, second.Service}
	e := must[*api.DataElement](t)(newElement(t, w.Service, w.property.ID, secretDelegate, ""))
	const n = 16
	var numbers [n]int
	for i, err := range together(n, func(i int) error {
		revision, err := doors[i%2].ChangeDataElement(t.Context(), apitest.Caller(), e.ID, document(t, `{"data":{"meta":{"action":"revise"}}}`))
		if err == nil {
			numbers[i] = revision.Revision
		}
		return err
	}) {
		if err != nil {
			t.Error(i, err)
		}
	}
	slices.Sort(numbers[:])
	for i, number := range numbers {
		if number != i+1 {
			t.Fatalf("the revisions have the numbers %v", numbers)
		}
	}
}

// TestDataElementsOfSecret: those that name it for any stage, once each, of its own
// property, as they are now.
func TestDataElementsOfSecret(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	another := w.newProperty(t, "edge")
	id := must[*secret.Secret](t)(newToken(t, w.Service, w.property.ID, "", "s")).ID
	all := must[*api.DataElement](t)(newElement(t, w.Service, w.property.ID, secretDelegate, naming(id, "development", "staging", "production")))
	one := must[*api.DataElement](t)(newElement(t, w.Service, w.property.ID, secretDelegate, naming(id, "staging")))
	must[*api.DataElement](t)(newElement(t, w.Service, another.ID, secretDelegate, naming(id, "staging")))
	must[*api.DataElement](t)(newElement(t, w.Service, w.property.ID, "core::dataElements::path", naming(id, "staging")))
	must[*api.DataElement](t)(w.Service.ChangeDataElement(t.Context(), apitest.Caller(), all.ID, document(t, `{"data":{"meta":{"action":"revise"}}}`)))
	listed := func(want ...string) {
		t.Helper()
		page, err := w.Service.DataElementsOfSecret(t.Context(), apitest.Caller(), id, everything[*api.DataElement]())
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, e := range page.Items {
			got = append(got, e.ID)
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) || page.Total != len(want) {
			t.Errorf("got %v, %d in all, want %v", got, page.Total, want)
		}
	}
	listed(all.ID, one.ID)
	must[*api.DataElement](t)(w.Service.ChangeDataElement(t.Context(), apitest.Caller(), all.ID, document(t, `{"data":{"attributes":{"settings":%q}}}`, naming("other", "staging"))))
	listed(one.ID)
	if err := w.Service.DeleteDataElement(t.Context(), apitest.Caller(), one.ID); err != nil {
		t.Fatal(err)
	}
	listed()
}

// left waits until nothing of a property is on the shelf.
func left(t testing.TB, st state.Store) {
	t.Helper()
	apitest.Watch(t, st, ">", func(records map[string][]byte) bool {
		for key := range records {
			switch kind, _ := state.Split(key); kind {
			case "element", "library", "build", "hold", "environment":
				return false
			}
		}
		return true
	})
}

// TestDeletingAPropertyEmptiesItsShelf, and a crash in between changes nothing.
func TestDeletingAPropertyEmptiesItsShelf(t *testing.T) {
	t.Parallel()
	for _, crash := range []bool{false, true} {
		t.Run(fmt.Sprint(crash), func(t *testing.T) {
			t.Parallel()
			inner := statetest.New()
			apitest.PublishKeyset(t, inner)
			faulty := statetest.NewFaulty(inner)
			w := &world{Process: apitest.Start(t, faulty, api.Config{})}
			w.company = w.Service.Companies(apitest.Caller(), everything[*api.Company]()).Items[0]
			doomed := w.newProperty(t, "edge")
			dev := must[*api.Environment](t)(newEnvironment(t, w.Service, doomed.ID, "development"))
			e := must[*api.DataElement](t)(newElement(t, w.Service, doomed.ID, secretDelegate, ""))
			l := w.shelve(t, dev, e.ID)
			b := must[*api.Build](t)(w.Service.CreateBuild(t.Context(), apitest.Caller(), l.ID))
			built(t, inner, b.ID)
			if crash {
				faulty.Crash(len(faulty.Commits())+3, statetest.After)
			}
			if err := w.Service.DeleteProperty(t.Context(), apitest.Caller(), doomed.ID); err != nil {
				t.Fatal(err)
			}
			_, ofElement := w.Service.DataElement(t.Context(), apitest.Caller(), e.ID)
			_, ofLibrary := w.Service.Library(t.Context(), apitest.Caller(), l.ID)
			_, ofBuild := w.Service.Build(t.Context(), apitest.Caller(), b.ID)
			for _, err := range []error{ofElement, ofLibrary, ofBuild} {
				if !crash && !errors.Is(err, api.ErrNotFound) {
					t.Errorf("got %v, want ErrNotFound", err)
				}
			}
			if crash {
				w.Log.Await(t, "what is half done could not be put right")
				w.Stop()
				apitest.Start(t, inner, api.Config{})
			}
			left(t, inner)
		})
	}
}

// TestDeletingAnEnvironmentFreesItsLibrary: it is in none from that moment, and can
// be put into another.
func TestDeletingAnEnvironmentFreesItsLibrary(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	dev := must[*api.Environment](t)(newEnvironment(t, w.Service, w.property.ID, "development"))
	l := w.shelve(t, dev)
	if err := w.Service.DeleteEnvironment(t.Context(), apitest.Caller(), dev.ID); err != nil {
		t.Fatal(err)
	}
	if shown := must[*api.Library](t)(w.Service.Library(t.Context(), apitest.Caller(), l.ID)); shown.Environment != "" {
		t.Error("the library still shows its environment")
	}
	if _, err := w.Service.CreateBuild(t.Context(), apitest.Caller(), l.ID); code(err) != api.EnvironmentRequired {
		t.Errorf("a build in no environment: %v", err)
	}
	apitest.Watch(t, w.State, ">", func(records map[string][]byte) bool {
		_, held := records[state.HoldKey(dev.ID)]
		return !held && !bytes.Contains(records[state.LibraryKey(l.ID)], []byte(dev.ID))
	})
	other := must[*api.Environment](t)(newEnvironment(t, w.Service, w.property.ID, "development"))
	must[*api.Library](t)(w.Service.PlaceLibrary(t.Context(), apitest.Caller(), l.ID, other.ID))
}

// TestTheLastBuildsAreKept: ten of a library.
func TestTheLastBuildsAreKept(t *testing.T) {
	t.Parallel()
	st := statetest.New()
	var passed atomic.Int64
	now := func() time.Time { return time.UnixMilli(passed.Add(1)) }
	w := &world{Process: apitest.StartWith(t, api.Config{}, api.Deps{State: st, Now: now})}
	w.company = w.Service.Companies(apitest.Caller(), everything[*api.Company]()).Items[0]
	w.property = w.newProperty(t, "edge")
	dev := must[*api.Environment](t)(newEnvironment(t, w.Service, w.property.ID, "development"))
	l := w.shelve(t, dev)
	var made []string
	for range 12 {
		made = append(made, w.build(t, l.ID).ID)
	}
	page := must[api.Page[*api.Build]](t)(w.Service.BuildsOfLibrary(t.Context(), apitest.Caller(), l.ID, everything[*api.Build]()))
	for _, b := range page.Items {
		if slices.Contains(made[:2], b.ID) {
			t.Errorf("an old build is kept")
		}
	}
	if page.Total != 10 {
		t.Errorf("%d builds are kept", page.Total)
	}
}

// TestAPropertyHasRoomForSomeElements: and deleted ones make room when nothing leads
// to them.
func TestAPropertyHasRoomForSomeElements(t *testing.T) {
	t.Parallel()
	const most = 2000
	w := newWorld(t)
	first := must[*api.DataElement](t)(newElement(t, w.Service, w.property.ID, secretDelegate, ""))
	second := must[*api.DataElement](t)(newElement(t, w.Service, w.property.ID, secretDelegate, ""))
	linked := must[*api.DataElement](t)(newElement(t, w.Service, w.property.ID, secretDelegate, ""))
	l := must[*api.Library](t)(newLibrary(t, w.Service, w.property.ID))
	must[*api.Library](t)(w.Service.LinkElements(t.Context(), apitest.Caller(), l.ID, api.Link, linkage(t, linked.ID)))
	revise := func() error {
		_, err := w.Service.ChangeDataElement(t.Context(), apitest.Caller(), first.ID, document(t, `{"data":{"meta":{"action":"revise"}}}`))
		return err
	}
	if err := revise(); err != nil {
		t.Fatal(err)
	}
	var writes []state.Write
	for range most - 4 {
		e := *first
		e.ID = secret.NewID(secret.PrefixDataElement)
		e.Origin = e.ID
		writes = append(writes, state.Write{Key: state.DataElementKey(e.ID), Value: must[[]byte](t)(json.Marshal(e))})
	}
	for some := range slices.Chunk(writes, state.MaxCommit) {
		must[state.Revision](t)(w.State.Commit(t.Context(), some...))
	}
	must[*api.Library](t)(newLibrary(t, w.Service, w.property.ID)) // by now all are seen
	if err := revise(); code(err) != api.TooMany {
		t.Errorf("one revision too many: %v", err)
	}
	create := func() error {
		_, err := newElement(t, w.Service, w.property.ID, secretDelegate, "")
		return err
	}
	for _, id := range []string{first.ID, linked.ID} { // one has a revision, one is in a library
		if err := w.Service.DeleteDataElement(t.Context(), apitest.Caller(), id); err != nil {
			t.Fatal(err)
		}
		if err := create(); code(err) != api.TooMany {
			t.Errorf("one too many: %v", err)
		}
	}
	if err := w.Service.DeleteDataElement(t.Context(), apitest.Caller(), second.ID); err != nil {
		t.Fatal(err)
	}
	if err := create(); err != nil {
		t.Error(err)
	}
	if _, err := w.Service.DataElement(t.Context(), apitest.Caller(), second.ID); !errors.Is(err, api.ErrNotFound) {
		t.Errorf("the one that made room: %v", err)
	}
}
