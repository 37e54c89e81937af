package reactor

import (
	"io"
	"net/http"
	"strings"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/events/schema"
	"github.com/rekindle-dev/rekindle/services/api"
)

// description sends the document that describes the API, to anybody.
func description(w http.ResponseWriter, _ *http.Request) {
	sendYAML(w, api.OpenAPI)
}

// busDescription sends the document that describes what is said on the bus, to anybody.
func busDescription(w http.ResponseWriter, _ *http.Request) {
	sendYAML(w, events.AsyncAPI)
}

// eventSchema sends a schema that the description of the bus refers to, to anybody.
func (d *door) eventSchema(w http.ResponseWriter, r *http.Request) {
	name, ok := strings.CutSuffix(r.PathValue("file"), ".json")
	of, found := schema.Of(name)
	if !ok || !found {
		d.refuse(w, r, api.ErrNotFound)
		return
	}
	w.Header().Set("Content-Type", "application/schema+json")
	w.Write(of) //nolint:gosec // a file of our own, whatever name was asked for
}

func sendYAML(w http.ResponseWriter, text string) {
	w.Header().Set("Content-Type", "application/yaml") // RFC 9512
	io.WriteString(w, text)                            // the client may have gone; there is nobody to tell
}
