package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
)

// routes builds the one table of endpoints.
func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.frontPage)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok\n") })
	mux.HandleFunc("GET /authorize", s.authorize)
	mux.HandleFunc("POST /authorize", s.authorize)
	mux.HandleFunc("POST /token", s.token)
	mux.HandleFunc("GET /userinfo", s.userinfo)
	mux.HandleFunc("POST /introspect", s.introspect)
	mux.HandleFunc("GET /sandbox/clients", s.listClients)
	mux.HandleFunc("PUT /sandbox/clients/{id}", s.putClient)
	mux.HandleFunc("GET /sandbox/clients/{id}", s.getClient)
	mux.HandleFunc("DELETE /sandbox/clients/{id}", s.deleteClient)
	mux.HandleFunc("POST /sandbox/clients/{id}/release", s.releaseClient)
	mux.HandleFunc("GET /sandbox/clients/{id}/grants", s.listGrants)
	mux.HandleFunc("POST /sandbox/clients/{id}/revoke", s.revokeGrant)
	mux.HandleFunc("POST /sandbox/clients/{id}/expire", s.expireGrant)
	mux.HandleFunc("GET /sandbox/requests", s.listRequests)
	mux.HandleFunc("POST /sandbox/reset", s.resetAll)
	return mux
}

const pageText = `Rekindle sandbox: a scriptable OAuth 2.0 authorization server for demos and tests.

GET    /authorize                      response_type=code, by any client that has a code_flow
POST   /token                          grant_type=client_credentials, authorization_code or refresh_token
POST   /introspect                     token=...
GET    /userinfo                       whose access token it is
GET    /sandbox/clients                all clients and their counters
PUT    /sandbox/clients/{id}           register or re-script a client
GET    /sandbox/clients/{id}
DELETE /sandbox/clients/{id}
POST   /sandbox/clients/{id}/release   answer its held requests
GET    /sandbox/clients/{id}/grants    what people consented to, and its refresh tokens
POST   /sandbox/clients/{id}/revoke    end its grants; ?grant=N for one
POST   /sandbox/clients/{id}/expire    let its refresh tokens expire; ?grant=N for one
GET    /sandbox/requests               the ledger; ?client=ID, and with it ?wait=N requests
POST   /sandbox/reset                  forget everything
GET    /healthz

A client whose first two requests fail, and whose tokens then live a minute:

curl -X PUT http://%[1]s/sandbox/clients/demo -d '{"secret": "s3cret", "script": [
  {"status": 503, "headers": {"Retry-After": "2"}}, {"fault": "reset"}, {"lifetime": "1m"}]}'
curl http://%[1]s/token -d grant_type=client_credentials -d client_id=demo -d client_secret=s3cret

A client whose people see a page with two buttons, and whose refresh tokens are
replaced by each use:

curl -X PUT http://%[1]s/sandbox/clients/app -d '{"secret": "s3cret", "code_flow": {
  "redirect_uris": ["http://127.0.0.1:8080/oauth2/callback"], "dialog": "page",
  "refresh_tokens": {"rotation": "rotate", "grace": "30s", "detect_reuse": true}}}'
`

func (s *Server) frontPage(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintf(w, pageText, r.Host) //nolint:gosec // plain text, and said to be: nothing in it is run
}

// introspect serves POST /introspect. Unlike RFC 7662 §2.1 it asks nobody for
// credentials: whoever holds the token may know whether it works.
func (s *Server) introspect(w http.ResponseWriter, r *http.Request) {
	form, why := readForm(w, r)
	if why == nil && !form.Has("token") {
		why = noToken
	}
	if why != nil {
		answer{}.sendRefusal(w, why)
		return
	}
	writeJSON(w, http.StatusOK, s.Introspect(form.Get("token")))
}

var noToken = &refusal{http.StatusBadRequest, "invalid_request", "token is missing"}

func (s *Server) listClients(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string][]State{"clients": s.Clients()})
}

func (s *Server) putClient(w http.ResponseWriter, r *http.Request) {
	c, err := s.readClient(w, r)
	if err == nil {
		err = s.Put(c)
	}
	s.writeState(w, c.ID, err)
}

// readClient reads the document of a client whose id is in the path; in the
// document it may be left out, but not differ.
func (s *Server) readClient(w http.ResponseWriter, r *http.Request) (Client, error) {
	doc, err := readBody(w, r, maxControlBody)
	if err != nil {
		return Client{}, fmt.Errorf("%w: body: %w", ErrInvalid, err)
	}
	c, err := DecodeClient(doc)
	if err != nil {
		return Client{}, err
	}
	id := r.PathValue("id")
	if c.ID != "" && c.ID != id {
		return Client{}, fmt.Errorf("%w: id: differs from the path", ErrInvalid)
	}
	c.ID = id
	return c, nil
}

func (s *Server) getClient(w http.ResponseWriter, r *http.Request) {
	s.writeState(w, r.PathValue("id"), nil)
}

func (s *Server) deleteClient(w http.ResponseWriter, r *http.Request) {
	writeDone(w, s.Delete(r.PathValue("id")))
}

func (s *Server) releaseClient(w http.ResponseWriter, r *http.Request) {
	writeDone(w, s.Release(r.PathValue("id")))
}

func (s *Server) listGrants(w http.ResponseWriter, r *http.Request) {
	list, err := s.Grants(r.PathValue("id"))
	if err != nil {
		writeError(w, err)
		return
	}
	writeJSON(w, http.StatusOK, map[string][]Grant{"grants": list})
}

func (s *Server) revokeGrant(w http.ResponseWriter, r *http.Request) {
	number, err := grantNumber(r)
	if err == nil {
		err = s.Revoke(r.PathValue("id"), number)
	}
	writeDone(w, err)
}

func (s *Server) expireGrant(w http.ResponseWriter, r *http.Request) {
	number, err := grantNumber(r)
	if err == nil {
		err = s.Expire(r.PathValue("id"), number)
	}
	writeDone(w, err)
}

// grantNumber reads ?grant=N; 0, for all, when there is none.
func grantNumber(r *http.Request) (uint64, error) {
	text := r.URL.Query().Get("grant")
	if text == "" {
		return 0, nil
	}
	number, err := strconv.ParseUint(text, 10, 64)
	if err != nil || number == 0 {
		return 0, fmt.Errorf("%w: grant: want a number from 1", ErrInvalid)
	}
	return number, nil
}

func (s *Server) resetAll(w http.ResponseWriter, _ *http.Request) {
	s.Reset()
	writeDone(w, nil)
}

// listRequests serves GET /sandbox/requests: the newest entries of one client or
// of all. With wait=N it first waits, for half a minute at most, until the client
// has made N requests; the answer tells by its counter whether it has.
func (s *Server) listRequests(w http.ResponseWriter, r *http.Request) {
	id := r.URL.Query().Get("client")
	if id == "" {
		writeRequests(w, s.AllRequests())
		return
	}
	if err := s.waitFor(r, id); err != nil {
		writeError(w, err)
		return
	}
	list, err := s.Requests(id)
	if err != nil {
		writeError(w, err)
		return
	}
	writeRequests(w, list)
}

// waitFor waits as the query's wait says; that the time is over is no error.
func (s *Server) waitFor(r *http.Request, id string) error {
	text := r.URL.Query().Get("wait")
	if text == "" {
		return nil
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return fmt.Errorf("%w: wait: want a number of requests", ErrInvalid)
	}
	ctx, cancel := context.WithTimeout(r.Context(), maxWait)
	defer cancel()
	err = s.WaitRequests(ctx, id, n)
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func writeRequests(w http.ResponseWriter, list []Request) {
	if list == nil {
		list = []Request{}
	}
	writeJSON(w, http.StatusOK, map[string][]Request{"requests": list[max(0, len(list)-maxListed):]})
}

// writeState answers with a client's state, or with why it cannot.
func (s *Server) writeState(w http.ResponseWriter, id string, err error) {
	var state State
	if err == nil {
		state, err = s.Client(id)
	}
	if err != nil {
		writeError(w, err)
		return
	}
	writeJSON(w, http.StatusOK, state)
}

func writeDone(w http.ResponseWriter, err error) {
	if err != nil {
		writeError(w, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// writeError answers a control request that failed.
func writeError(w http.ResponseWriter, err error) {
	status := http.StatusInternalServerError
	switch {
	case errors.Is(err, ErrUnknownClient), errors.Is(err, ErrUnknownGrant):
		status = http.StatusNotFound
	case errors.Is(err, ErrInvalid):
		status = http.StatusBadRequest
	case errors.Is(err, ErrFull):
		status = http.StatusInsufficientStorage
	}
	writeJSON(w, status, map[string]string{"error": err.Error()})
}

func writeJSON[T any](w http.ResponseWriter, status int, v T) {
	w.Header().Set("Content-Type", typeJSON)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) //nolint:errcheck // an error here is the caller's, who has gone
}

// readBody reads a body of at most limit bytes.
func readBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	return io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
}
