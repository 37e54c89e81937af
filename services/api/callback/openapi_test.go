package callback_test

import (
	"errors"
	"fmt"
	"mime"
	"net/http"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/rekindle-dev/rekindle/services/api"
	"github.com/rekindle-dev/rekindle/services/api/callback"
)

// description is how the page is described.
var description = sync.OnceValues(func() (*openapi3.Operation, error) {
	doc, err := openapi3.NewLoader().LoadFromData([]byte(api.OpenAPI))
	if err != nil {
		return nil, err
	}
	return doc.Paths.Value(callback.Path).GetOperation(http.MethodGet), nil
})

// check holds an answer against the description of the API: its status, the headers that it
// has at least, and the type of the page.
func check(t *testing.T, a answer) {
	t.Helper()
	if err := holds(a); err != nil {
		t.Errorf("status %d is not as described: %v", a.status, err)
	}
}

func holds(a answer) error {
	op, err := description()
	if err != nil {
		return err
	}
	response := op.Responses.Status(a.status)
	if response == nil {
		return errors.New("there is no such status")
	}
	for name, header := range response.Value.Headers {
		value := a.header.Get(name)
		var sent any = value
		if header.Value.Schema.Value.Type.Is(openapi3.TypeInteger) {
			var n float64
			if _, err := fmt.Sscan(value, &n); err != nil {
				return fmt.Errorf("the header %s: %w", name, err)
			}
			sent = n
		}
		if err := header.Value.Schema.Value.VisitJSON(sent); err != nil {
			return fmt.Errorf("the header %s: %w", name, err)
		}
	}
	media, _, err := mime.ParseMediaType(a.header.Get("Content-Type"))
	if err == nil && response.Value.Content[media] == nil {
		err = fmt.Errorf("a page of the type %s", media)
	}
	return err
}
