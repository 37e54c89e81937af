package reactor_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"mime"
	"net/http"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/webhook"
	"github.com/rekindle-dev/rekindle/services/api"
	"github.com/rekindle-dev/rekindle/services/api/auth"
	"github.com/rekindle-dev/rekindle/services/api/reactor"
)

// described is the document that describes the API. Every request of these tests
// and every answer to one is held against it: see site.call.
type described struct {
	doc *openapi3.T
	// mux finds the path of a request, as the API itself does.
	mux *http.ServeMux

	// Schemas of bodies are compiled once each, by their places in the document.
	mu       sync.Mutex
	compiler *jsonschema.Compiler
	schemas  map[string]*jsonschema.Schema
}

const place = "https://rekindle.test/openapi.json"

// description loads the document once. It and its examples are valid.
var description = sync.OnceValues(func() (*described, error) {
	doc, err := openapi3.NewLoader().LoadFromData([]byte(api.OpenAPI))
	if err != nil {
		return nil, err
	}
	d := &described{doc: doc, mux: http.NewServeMux(), compiler: jsonschema.NewCompiler(), schemas: map[string]*jsonschema.Schema{}}
	encoded, err := doc.MarshalJSON()
	if err != nil {
		return nil, err
	}
	tree, err := jsonschema.UnmarshalJSON(bytes.NewReader(encoded))
	if err != nil {
		return nil, err
	}
	d.compiler.AssertFormat()
	if err := d.compiler.AddResource(place, tree); err != nil {
		return nil, err
	}
	for path, item := range doc.Paths.Map() {
		for method := range item.Operations() {
			d.mux.HandleFunc(method+" "+path, func(http.ResponseWriter, *http.Request) {})
		}
	}
	return d, doc.Validate(context.Background(), openapi3.IsOpenAPI31OrLater())
})

func describe(t testing.TB) *described {
	t.Helper()
	d, err := description()
	if err != nil {
		t.Fatalf("openapi.yaml: %v", err)
	}
	return d
}

// operation is what a request is for.
type operation struct {
	*openapi3.Operation
	item *openapi3.PathItem
	// id is what the path has in the place of {id}.
	id string
}

// route returns the operation that a request is for, nil for none.
func (d *described) route(r *http.Request) *operation {
	_, pattern := d.mux.Handler(r)
	method, at, ok := strings.Cut(pattern, " ")
	if !ok || path.Clean(r.URL.Path) != r.URL.Path {
		return nil
	}
	item := d.doc.Paths.Value(at)
	op := &operation{Operation: item.GetOperation(method), item: item}
	if i := slices.Index(strings.Split(at, "/"), "{id}"); i >= 0 {
		op.id = strings.Split(r.URL.Path, "/")[i]
	}
	return op
}

// holds says in what a request or the answer to it is not as described. Of a request
// that was refused only the answer is looked at; what was taken must be as described. In
// a query nothing is wrong (contract A4).
func (d *described) holds(r *http.Request, sent string, a answer) error {
	op := d.route(r)
	if op == nil {
		return d.holdsError(a)
	}
	if a.status < 400 {
		if err := d.holdsRequest(op, r.Header.Get("Content-Type"), sent); err != nil {
			return fmt.Errorf("the request: %w", err)
		}
	}
	response := op.Responses.Status(a.status)
	if response == nil {
		return errors.New("there is no such status")
	}
	for name, header := range response.Value.Headers {
		if err := d.header(name, header, a.header.Values(name)); err != nil {
			return err
		}
	}
	switch {
	case r.Method == http.MethodHead:
		return nil
	case len(response.Value.Content) > 0:
		return d.body(response.Ref, response.Value.Content, a.header.Get("Content-Type"), a.body)
	case len(a.body) > 0 || a.header.Get("Content-Type") != "":
		return errors.New("there is a body, or the type of one")
	}
	return nil
}

// holdsRequest says in what a request that was taken is not as described.
func (d *described) holdsRequest(op *operation, contentType, sent string) error {
	for _, p := range op.item.Parameters {
		if p.Value.In != openapi3.ParameterInPath {
			continue
		}
		if err := d.text(p.Ref, p.Value.Schema, op.id); err != nil {
			return err
		}
	}
	if body := op.RequestBody; body != nil {
		return d.body(body.Ref, body.Value.Content, contentType, []byte(sent))
	}
	return nil
}

// header says in what a header of an answer is not as described.
func (d *described) header(name string, header *openapi3.HeaderRef, values []string) error {
	switch {
	case len(values) > 1 || len(values) == 0 && header.Value.Required:
		return fmt.Errorf("there are %d headers %s", len(values), name)
	case len(values) == 0:
		return nil
	}
	if err := d.text(header.Ref, header.Value.Schema, values[0]); err != nil {
		return fmt.Errorf("the header %s: %w", name, err)
	}
	return nil
}

// text says in what a part of a path, or a header, is not as the schema of a component.
func (d *described) text(component string, schema *openapi3.SchemaRef, text string) error {
	if schema.Value.Type.Is(openapi3.TypeInteger) {
		return d.valid(component+"/schema", []byte(text))
	}
	quoted, err := json.Marshal(text)
	if err != nil {
		return err
	}
	return d.valid(component+"/schema", quoted)
}

// body says in what a body is not one of a component's contents.
func (d *described) body(component string, contents openapi3.Content, contentType string, body []byte) error {
	media, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		return err
	}
	switch content := contents[media]; {
	case content == nil:
		return fmt.Errorf("a body of the type %s is not described", media)
	case content.Schema == nil, media == "text/event-stream":
		return nil // it is none of JSON
	}
	return d.valid(component+"/content/"+strings.ReplaceAll(media, "/", "~1")+"/schema", body)
}

// valid says in what a document is not as the schema at a place.
func (d *described) valid(pointer string, body []byte) error {
	schema, err := d.schema(pointer)
	if err != nil {
		return err
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		return err
	}
	return schema.Validate(value)
}

func (d *described) schema(pointer string) (*jsonschema.Schema, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if known := d.schemas[pointer]; known != nil {
		return known, nil
	}
	schema, err := d.compiler.Compile(place + pointer)
	if err == nil {
		d.schemas[pointer] = schema
	}
	return schema, err
}

// holdsError is holds for what no operation is described for: where there is nothing, and
// methods that are not allowed.
func (d *described) holdsError(a answer) error {
	if a.status != http.StatusNotFound && a.status != http.StatusMethodNotAllowed {
		return fmt.Errorf("status %d of what is not described", a.status)
	}
	return d.valid("#/components/schemas/Errors", a.body)
}

// TestEveryRouteIsDescribed, and nothing is described that there is not.
func TestEveryRouteIsDescribed(t *testing.T) {
	t.Parallel()
	// These take no token; the callback is served by a package of its own.
	served := map[string][]auth.Right{"GET /heartbeat": {""}, "GET /openapi.yaml": {""}, "GET /keyset": {""}, "GET /oauth2/callback": {""}}
	served["GET /asyncapi.yaml"], served["GET /schema/{file}"] = []auth.Right{""}, []auth.Right{""}
	for _, r := range reactor.Routes() {
		served[r.Pattern] = rightsOf(r)
	}
	doc := describe(t).doc
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			pattern := method + " " + path
			if rights, ok := served[pattern]; !ok {
				t.Errorf("%s is described, but not served", pattern)
			} else if described := describedRights(op); !slices.Equal(described, rights) {
				t.Errorf("%s takes one of the rights %q, and is described with %q", pattern, rights, described)
			}
			delete(served, pattern)
			if op.OperationID == "" || op.Summary == "" || len(op.Tags) != 1 || doc.Tags.Get(op.Tags[0]) == nil {
				t.Errorf("%s lacks an id, a summary, or a tag that is explained", pattern)
			}
		}
	}
	for pattern := range served {
		t.Errorf("%s is served, but not described", pattern)
	}
}

// describedRights are those of which an operation takes one, the empty one for any token or
// none.
func describedRights(op *openapi3.Operation) (rights []auth.Right) {
	if op.Security == nil || len(*op.Security) == 0 {
		return []auth.Right{""}
	}
	for _, alternative := range *op.Security {
		for _, right := range alternative["bearer"] {
			rights = append(rights, auth.Right(right))
		}
	}
	return rights
}

// TestEveryFilterIsDescribed, and none is that there is not.
func TestEveryFilterIsDescribed(t *testing.T) {
	t.Parallel()
	lists := reactor.Filters()
	for name, parameter := range describe(t).doc.Components.Parameters {
		list, is := strings.CutSuffix(name, "Filter")
		if !is {
			continue
		}
		described := slices.Sorted(maps.Keys(parameter.Value.Schema.Value.Properties))
		if served := slices.Sorted(slices.Values(lists[list])); !slices.Equal(described, served) {
			t.Errorf("%s: described are %v, served %v", name, described, served)
		}
		delete(lists, list)
	}
	for list := range lists {
		t.Errorf("no %sFilter is described", list)
	}
}

// TestEverySubscriptionIsDescribed, and none is that there is not.
func TestEverySubscriptionIsDescribed(t *testing.T) {
	t.Parallel()
	schemas := describe(t).doc.Components.Schemas
	var described []string
	for _, name := range schemas["Subscription"].Value.Enum {
		described = append(described, fmt.Sprint(name))
	}
	served := append([]string{webhook.Everything}, webhook.Types()...)
	if diff := cmp.Diff(served, described); diff != "" {
		t.Errorf("(-served +described):\n%s", diff)
	}
	most := schemas["CallbackSettings"].Value.Properties["subscriptions"].Value.MaxItems
	if most == nil || *most != uint64(len(webhook.Types())) {
		t.Errorf("a callback takes %d subscriptions, and is described otherwise", len(webhook.Types()))
	}
}

// TestEveryBodyHasAnExample: each body that can be sent, and each document of one
// resource. That examples are as described is seen when the document is loaded.
func TestEveryBodyHasAnExample(t *testing.T) {
	t.Parallel()
	components := describe(t).doc.Components
	for name, body := range components.RequestBodies {
		if len(body.Value.Content["application/vnd.api+json"].Examples) == 0 {
			t.Errorf("the body %s has no example", name)
		}
	}
	for name, schema := range components.Schemas {
		document, is := strings.CutSuffix(name, "Document")
		if response := components.Responses[document]; is && schema != nil &&
			(response == nil || len(response.Value.Content["application/vnd.api+json"].Examples) == 0) {
			t.Errorf("the document %s has no example", name)
		}
	}
}

// TestDescriptionIsServed, to anybody.
func TestDescriptionIsServed(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a := s.call(t, http.MethodGet, "/openapi.yaml", "", "Authorization:", "Accept:")
	if a.status != http.StatusOK || a.header.Get("Content-Type") != "application/yaml" || string(a.body) != api.OpenAPI {
		t.Errorf("status %d, type %s, %d bytes", a.status, a.header.Get("Content-Type"), len(a.body))
	}
}

// TestBusIsDescribed, to anybody, with the files that the description refers to.
func TestBusIsDescribed(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a := s.call(t, http.MethodGet, "/asyncapi.yaml", "", "Authorization:", "Accept:")
	if a.status != http.StatusOK || a.header.Get("Content-Type") != "application/yaml" || string(a.body) != events.AsyncAPI {
		t.Errorf("status %d, type %s, %d bytes", a.status, a.header.Get("Content-Type"), len(a.body))
	}
	references := regexp.MustCompile(`\./schema/[\w.]+\.json`).FindAllString(events.AsyncAPI, -1)
	if len(references) < 20 {
		t.Errorf("only %d schemas are referred to", len(references))
	}
	for _, reference := range references {
		a := s.call(t, http.MethodGet, strings.TrimPrefix(reference, "."), "", "Authorization:", "Accept:")
		if a.status != http.StatusOK || a.header.Get("Content-Type") != "application/schema+json" || !json.Valid(a.body) {
			t.Errorf("%s: status %d, type %s: %s", reference, a.status, a.header.Get("Content-Type"), a.body)
		}
	}
	for _, path := range []string{"/schema/dev.rekindle.v1.SecretCreated", "/schema/schema.go", "/schema/x.json", "/schema/..%2Fschema%2Fx.json"} {
		if a := s.call(t, http.MethodGet, path, "", "Authorization:"); a.status != http.StatusNotFound {
			t.Errorf("%s: status %d", path, a.status)
		}
	}
}
