package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
)

// Requests is how a client writes its token requests where that is not RFC
// 6749's way. Requests in any other form are refused.
type Requests struct {
	// Format is where the parameters are; empty is a form.
	Format RequestFormat `json:"format,omitzero"`
	// Names has the parameters that go by other names, {"client_id": "client_key"}.
	// An empty name says that the parameter is not sent; the grant type is then
	// told by what is.
	Names map[string]string `json:"names,omitzero"`
	// Grants are grant types that are served besides, on the word of the client
	// alone, as client_credentials is.
	Grants []string `json:"grants,omitzero"`
}

// RequestFormat is an encoding of token requests.
type RequestFormat string

// The formats.
const (
	FormatForm  RequestFormat = ""
	FormatJSON  RequestFormat = "json"  // an object of texts
	FormatQuery RequestFormat = "query" // in the URL, without a body
)

var wrongFormat = &refusal{http.StatusBadRequest, "invalid_request", "the client is registered for requests in another format"}

// validate returns every broken rule, each beginning with the member at fault.
func (q *Requests) validate() []error {
	if q == nil {
		return nil
	}
	var errs []error
	if !slices.Contains([]RequestFormat{FormatForm, FormatJSON, FormatQuery}, q.Format) {
		errs = append(errs, fmt.Errorf("format: want %q, %q or none", FormatJSON, FormatQuery))
	}
	if len(q.Names) > maxMembers {
		errs = append(errs, fmt.Errorf("names: want at most %d", maxMembers))
	}
	if !shortTexts(q.Grants, maxMembers) {
		errs = append(errs, fmt.Errorf("grants: want at most %d, none empty", maxMembers))
	}
	for name, own := range q.Names {
		if len(name) > maxName || len(own) > maxName {
			errs = append(errs, fmt.Errorf("names: want at most %d bytes each", maxName))
		}
	}
	return errs
}

// readParameters reads the parameters of a token request, wherever they are.
// After a refusal they are what could be read.
func readParameters(w http.ResponseWriter, r *http.Request) (url.Values, RequestFormat, *refusal) {
	if r.Header.Get("Content-Type") == "" && r.ContentLength == 0 {
		query, err := url.ParseQuery(r.URL.RawQuery)
		if err != nil || len(query) > maxFields {
			return nil, FormatForm, notForm
		}
		return query, FormatQuery, repeated(query)
	}
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err == nil && media == typeJSON {
		object, why := readObject(w, r)
		return object, FormatJSON, why
	}
	form, why := readForm(w, r)
	return form, FormatForm, why
}

// readObject reads a body that is a JSON object of texts.
func readObject(w http.ResponseWriter, r *http.Request) (url.Values, *refusal) {
	body, err := readBody(w, r, maxTokenBody)
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		return nil, tooLarge
	}
	var object map[string]string
	if err != nil || json.Unmarshal(body, &object) != nil || len(object) > maxFields {
		return nil, notReadable
	}
	values := make(url.Values, len(object))
	for name, value := range object {
		values.Set(name, value)
	}
	return values, nil
}

// repeated refuses parameters that are there twice (RFC 6749 §3.2).
func repeated(values url.Values) *refusal {
	for _, each := range values {
		if len(each) > 1 {
			return repeatedField
		}
	}
	return nil
}

// named returns the parameters under the names of RFC 6749.
func (q *Requests) named(values url.Values) url.Values {
	if q == nil || len(q.Names) == 0 {
		return values
	}
	ours := make(url.Values, len(values))
	maps.Copy(ours, values)
	for name := range q.Names {
		delete(ours, name) // it does not go by this name
	}
	for name, own := range q.Names {
		if values.Has(own) {
			ours[name] = values[own]
		}
	}
	if own, renamed := q.Names["grant_type"]; renamed && own == "" {
		ours.Set("grant_type", grantOf(ours))
	}
	return ours
}

// grantOf tells the grant type by what is presented.
func grantOf(values url.Values) string {
	switch {
	case values.Has("refresh_token"):
		return grantRefresh
	case values.Has("code"):
		return grantCode
	default:
		return grantClientCredentials
	}
}
